"""The pictures of docs/scores.md; the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jobs.ops.plots import OTHERS, OURS, picture

Numbers = Mapping[str, Any]


def qini(trials: Mapping[str, Numbers], path: Path) -> None:
    """A curve of incremental outcomes for each learner, a trial below the other; the one that serves in our colour."""
    with picture(path, len(trials), height=3.2) as axes:
        for axis, (title, trial) in zip(axes, trials.items(), strict=True):
            depth = trial["depth"]
            whole = trial["learners"][trial["serving"]]["gain"][-1]
            axis.plot([0, 1], [0, whole * 1e3], color=OTHERS, linestyle=":", label="random order")
            for number, (name, one) in enumerate(trial["learners"].items()):
                serves = name == trial["serving"]
                colour, width = (OURS, 2.2) if serves else (f"C{number}", 1.2)
                label = f"{name}, serves" if serves else name
                axis.plot(depth, [gain * 1e3 for gain in one["gain"]], color=colour, linewidth=width, label=label)
            axis.set_title(title, loc="left")
            axis.set_ylabel("gained per 1,000 people")
            axis.legend(frameon=False, fontsize=8)
        axes[-1].set_xlabel("share of people treated, best first")


def _hillstrom(numbers: Numbers, folder: Path) -> None:
    qini({f"the {arm}'s e-mail": one for arm, one in numbers.items()}, folder / "scores-qini-hillstrom.svg")


#: Part -> what draws its pictures into a folder.
PICTURES: dict[str, Callable[[Numbers, Path], None]] = {"hillstrom": _hillstrom}


def draw(parts: Mapping[str, Numbers], folder: Path) -> None:
    """The pictures of every part that was measured and has some."""
    for name, drawn in PICTURES.items():
        if "numbers" in parts.get(name, {}):
            drawn(parts[name]["numbers"], folder)
