"""What the parts of the report share: how they say where they are, and how they write numbers down."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from nightjar.learn.metrics import Interval

#: Told of each step as it begins.
Say = Callable[[str], None]


class Where(NamedTuple):
    """The folder of data sets, a folder to work in, and whom to tell."""

    data: Path
    work: Path
    say: Say


#: As JSON has it; None is what a sample cannot tell.
Number = float | None


def rounded(values: Iterable[float]) -> list[Number]:
    """To six significant digits, so that a page is the same on every machine where the numbers are."""
    return [number(value) for value in values]


def number(value: float) -> Number:
    return None if math.isnan(value) else float(f"{value:.6g}")


def interval(one: Interval) -> list[Number]:
    """The estimate, the lower end, the upper end."""
    return rounded(one)
