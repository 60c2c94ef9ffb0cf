"""Plots, read back as XML."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from nightjar.monitor.charts import BARS_HEIGHT, CALIBRATION_HEIGHT, Point, bars, calibration, interval, shares


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg)  # noqa: S314 - our own


def shapes(svg: str, tag: str) -> list[dict[str, str]]:
    return [dict(shape.attrib) for shape in parsed(svg).iter(tag)]


def test_bars_are_in_proportion_and_gaps_stay_gaps() -> None:
    svg = bars([50, None, 100, 0], ["a", "b", "c", "d"], "label")
    drawn = shapes(svg, "rect")
    assert [float(bar["height"]) for bar in drawn] == [BARS_HEIGHT / 2, BARS_HEIGHT, 0]
    assert [float(bar["x"].rstrip("%")) for bar in drawn] == pytest.approx([2.75, 52.75, 77.75])
    assert [bar["class"] for bar in drawn] == ["bar", "bar", "bar last"]
    # the median of the days before the last: 75 of 100
    (median,) = shapes(svg, "line")
    assert float(median["y1"]) == BARS_HEIGHT / 4


def test_a_tiny_day_is_visible_and_a_day_of_zero_is_not() -> None:
    heights = [float(bar["height"]) for bar in shapes(bars([1, 0, 1_000_000], ["", "", ""], ""), "rect")]
    assert heights == [1, 0, BARS_HEIGHT]


def test_bars_without_any_value() -> None:
    assert shapes(bars([None, None], ["", ""], ""), "rect") == []
    assert shapes(bars([], [], ""), "rect") == []


def test_interval_lies_where_its_numbers_say() -> None:
    svg = interval(0.10, 0.05, 0.15, 0.20, "ours", "label")
    axis, whisker = shapes(svg, "line")
    assert (axis["x1"], axis["x2"]) == ("0", "100%")
    assert (whisker["x1"], whisker["x2"]) == ("25.00%", "75.00%")
    assert shapes(svg, "circle")[0]["cx"] == "50.00%"


def test_what_is_foretold_right_lies_on_the_diagonal() -> None:
    """The axes end at 0.4 x 1.08; an interval that reaches beyond is cut there."""
    svg = calibration([Point(0.1, 0.1, 0.05, 0.2, "few"), Point(0.4, 0.2, 0.1, 0.9, "many")], "label")
    right, low = ((float(dot["cx"].rstrip("%")), float(dot["cy"])) for dot in shapes(svg, "circle"))
    assert right == pytest.approx((100 * 0.1 / 0.432, CALIBRATION_HEIGHT * (1 - 0.1 / 0.432)), abs=0.06)
    assert low == pytest.approx((100 * 0.4 / 0.432, CALIBRATION_HEIGHT * (1 - 0.2 / 0.432)), abs=0.06)
    _, diagonal, _, whisker = shapes(svg, "line")
    assert (diagonal["y1"], diagonal["y2"]) == (str(CALIBRATION_HEIGHT), "0")
    assert float(whisker["y2"]) == 0
    assert "many" in svg
    assert shapes(calibration([], "label"), "circle") == []


def test_shares_fill_the_bar() -> None:
    drawn = shapes(shares([("a", 1), ("b", 3), ("c", 0)], "label"), "rect")
    assert [(part["x"], part["width"]) for part in drawn] == [
        ("0.000%", "25.000%"),
        ("25.000%", "75.000%"),
        ("100.000%", "0.000%"),
    ]


def test_labels_are_escaped() -> None:
    assert parsed(bars([1], ['<i> "q"'], 'a "b" <c>')).attrib["aria-label"] == 'a "b" <c>'
