"""Small plots as inline SVG that follow the page's width and colours.

Horizontal positions are percentages and there is no view box, so that nothing is stretched and no text
shrinks on a phone; words stand in HTML beside the plot. Colours are classes of the page's style sheet.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from markupsafe import Markup, escape

BARS_HEIGHT = 96
CALIBRATION_HEIGHT = 150
_GAP = 0.22  # of a bar's slot


def bars(values: Sequence[float | None], titles: Sequence[str], label: str) -> Markup:
    """One bar a day, the last one marked, with a line at the median of the days before it.

    None leaves a gap: no partition is not the same as a day of zero.

    Args:
        titles: what a pointer on each bar reads.
        label: what a screen reader says of the plot.
    """
    known = [value for value in values if value is not None]
    top = max(known, default=0) or 1
    width = 100 / max(len(values), 1)
    shapes = [
        _bar(width * number, width, value / top, title, "bar last" if number == len(values) - 1 else "bar")
        for number, (value, title) in enumerate(zip(values, titles, strict=True))
        if value is not None
    ]
    earlier = [value for value in values[:-1] if value is not None]
    if earlier:
        y = _y(median(earlier) / top)
        shapes.append(Markup('<line class="median" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(y))
    return _svg(BARS_HEIGHT, label, shapes)


def interval(mean: float, low: float, high: float, top: float, css: str, label: str) -> Markup:
    """A point with its interval on an axis from 0 to `top`."""
    left, right, at = (f"{100 * min(max(value / top, 0), 1):.2f}%" for value in (low, high, mean))
    shapes = [
        Markup('<line class="axis" x1="0" x2="100%" y1="12" y2="12"/>'),
        Markup('<line class="whisker {}" x1="{}" x2="{}" y1="12" y2="12"/>').format(css, left, right),
        Markup('<circle class="point {}" cx="{}" cy="12" r="5"/>').format(css, at),
    ]
    return _svg(24, label, shapes)


def lines(series: Sequence[tuple[str, Sequence[float | None]]], titles: Sequence[str], label: str) -> Markup:
    """Lines from night to night over an axis from 0; a night without a value interrupts its line.

    Args:
        series: (CSS class, a value per night), the last one drawn on top.
        titles: what a pointer on each night reads.
    """
    known = [value for _, values in series for value in values if value is not None]
    top = (max(known, default=0) or 1) * 1.08
    step = 100 / max(len(titles), 1)
    shapes = [Markup('<line class="ground" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(BARS_HEIGHT)]
    for css, values in series:
        places = [(step * (at + 0.5), None if value is None else _y(value / top)) for at, value in enumerate(values)]
        for (left, above), (right, below) in pairwise(places):
            if above is not None and below is not None:
                piece = Markup('<line class="{}" x1="{:.2f}%" x2="{:.2f}%" y1="{}" y2="{}"/>')
                shapes.append(piece.format(f"line {css}", left, right, above, below))
        shapes += [
            Markup('<circle class="dot {}" cx="{:.2f}%" cy="{}" r="3"/>').format(css, x, y)
            for x, y in places
            if y is not None
        ]
    for at, title in enumerate(titles):
        area = Markup('<rect class="area" x="{:.2f}%" width="{:.2f}%" y="0" height="{}"><title>{}</title></rect>')
        shapes.append(area.format(step * at, step, BARS_HEIGHT, title))
    return _svg(BARS_HEIGHT, label, shapes)


class Point(NamedTuple):
    """What was foretold, what happened with its interval, and what a pointer on it reads; all from 0 to 1."""

    foretold: float
    happened: float
    low: float
    high: float
    title: str


def calibration(points: Sequence[Point], label: str) -> Markup:
    """What happened over what was foretold, both axes from 0 to `calibration_top`; on the diagonal it holds."""
    top, height = calibration_top(points), CALIBRATION_HEIGHT
    shapes = [
        Markup('<line class="ground" x1="0" x2="100%" y1="{0}" y2="{0}"/>').format(height),
        Markup('<line class="median" x1="0" x2="100%" y1="{}" y2="0"/>').format(height),
    ]
    for point in points:
        x = f"{100 * point.foretold / top:.2f}%"
        low, at, high = (
            round(height * (1 - min(value / top, 1)), 1) for value in (point.low, point.happened, point.high)
        )
        shapes += [
            Markup('<line class="line baseline" x1="{0}" x2="{0}" y1="{1}" y2="{2}"/>').format(x, low, high),
            Markup('<circle class="dot ours" cx="{}" cy="{}" r="4"><title>{}</title></circle>').format(
                x, at, point.title
            ),
        ]
    return _svg(height, label, shapes)


def calibration_top(points: Sequence[Point]) -> float:
    """The end of both axes; an interval may reach beyond it."""
    return min(max((max(point.foretold, point.happened) for point in points), default=1.0) * 1.08 or 1.0, 1.0)


def shares(parts: Sequence[tuple[str, float]], label: str) -> Markup:
    """One bar of stacked parts, in their order.

    Args:
        parts: (CSS class, number); zero takes no room.
    """
    total = sum(number for _, number in parts) or 1
    shapes, start = [], 0.0
    for css, number in parts:
        width = 100 * number / total
        shape = Markup('<rect class="{}" x="{:.3f}%" width="{:.3f}%" y="0" height="22"/>')
        shapes.append(shape.format(css, start, width))
        start += width
    return _svg(22, label, shapes)


def meter(value: float, top: float) -> Markup:
    """A thin bar beside a number that already says it."""
    width = 100 * value / top if top else 0.0
    bar = Markup('<rect class="meter" x="0" y="0" width="{:.1f}%" height="4" rx="2"/>').format(width)
    return Markup('<svg aria-hidden="true" width="100%" height="4">{}</svg>').format(bar)


def _bar(left: float, width: float, height: float, title: str, css: str) -> Markup:
    y = _y(height)
    return Markup(
        '<rect class="{}" x="{:.3f}%" width="{:.3f}%" y="{}" height="{}" rx="1.5"><title>{}</title></rect>'
    ).format(css, left + width * _GAP / 2, width * (1 - _GAP), y, round(BARS_HEIGHT - y, 1), title)


def _y(height: float) -> float:
    """Pixels from the top; a bar that is not zero is at least one pixel high."""
    return round(min(BARS_HEIGHT * (1 - height), BARS_HEIGHT - (height > 0)), 1)


def _svg(height: int, label: str, shapes: Sequence[Markup]) -> Markup:
    inner = Markup("").join(shapes)
    return Markup('<svg role="img" aria-label="{}" width="100%" height="{}">{}</svg>').format(
        escape(label), height, inner
    )
