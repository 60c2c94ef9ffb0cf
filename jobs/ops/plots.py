"""Pictures for the docs: SVG whose bytes depend on the numbers alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from nightjar.stores.files import write_atomically

#: What is ours, and what it is held against.
OURS, OTHERS = "#b5541c", "#8a97a6"


@contextmanager
def picture(path: Path, rows: int = 1, *, width: float = 7.0, height: float = 2.6) -> Iterator[list[Any]]:
    """Axes, one below the other, each `width` x `height` inches; drawn to `path` at the end."""
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    with pyplot.rc_context({"svg.hashsalt": "nightjar", "svg.fonttype": "none", "font.size": 10}):
        figure, axes = pyplot.subplots(rows, 1, figsize=(width, height * rows), squeeze=False, layout="constrained")
        for axis in axes[:, 0]:
            axis.spines[["top", "right"]].set_visible(False)
        try:
            yield list(axes[:, 0])
            drawn = BytesIO()
            figure.savefig(drawn, format="svg", metadata={"Date": None})
        finally:
            pyplot.close(figure)
    write_atomically(path, drawn.getvalue())
