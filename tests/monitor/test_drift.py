"""Distances of distributions against numbers worked out by hand, and what they warn of."""

from __future__ import annotations

from datetime import date, timedelta
from math import log

import numpy as np
import pytest

from nightjar.monitor import drift
from nightjar.settings import load_conf

WATCH = load_conf().watch
DAY = date(2001, 1, 15)


def test_jensen_shannon_by_hand() -> None:
    """Of (1/2, 1/2) and (1, 0) the mean is (3/4, 1/4): 1/2 (1/2 log2 2/3 + 1/2 log2 2) + 1/2 log2 4/3 = 0.311278."""
    assert drift.jensen_shannon({"a": 1, "b": 1}, {"a": 7}) == pytest.approx(0.311278, abs=1e-6)
    assert drift.jensen_shannon({"a": 1}, {"b": 1}) == 1.0
    assert drift.jensen_shannon({"a": 2, "b": 6}, {"a": 1, "b": 3}) == 0.0


def test_l_infinity_by_hand() -> None:
    assert drift.l_infinity({"a": 2, "b": 1, "c": 1}, {"a": 1, "b": 1}) == (0.25, "b")
    gap, widest = drift.l_infinity({"a": 6, "b": 4}, {"a": 9, "b": 1})
    assert (gap, widest) == (pytest.approx(0.3), "a")
    assert drift.l_infinity({}, {}) == (0.0, "")


def test_population_stability_by_hand() -> None:
    """(0.6 - 0.9) ln(0.6 / 0.9) + (0.4 - 0.1) ln(0.4 / 0.1) = 0.537528."""
    assert drift.population_stability({"a": 6, "b": 4}, {"a": 9, "b": 1}) == pytest.approx(0.537528, abs=1e-6)
    gone = (0.5 - drift.FLOOR) * log(0.5 / drift.FLOOR) + 0.5 * log(2)
    assert drift.population_stability({"a": 1, "b": 1}, {"a": 1}) == pytest.approx(gone)


def test_nights_count_alike_however_busy() -> None:
    assert drift.mean_shares([{"a": 1000.0}, {"a": 1.0, "b": 1.0}, {}]) == {"a": 0.75, "b": 0.25}


def test_deciles_of_what_was_before() -> None:
    before = [np.arange(0.0, 50.0), np.arange(50.0, 100.0)]
    tonight, nights = drift.by_decile(np.full(5, 99.0), before)
    assert {name: share for name, share in tonight.items() if share} == {"decile 10": 5.0}
    assert list(nights[0].values()) == [10.0, 10.0, 10.0, 10.0, 10.0, 0.0, 0.0, 0.0, 0.0, 0.0]


def test_a_hundred_numbers_stand_for_many() -> None:
    many = np.random.default_rng(3).normal(size=20_000)
    tonight, (before,) = drift.by_decile(np.array(drift.quantiles(many)), [many])
    assert drift.jensen_shannon(tonight, before) < 0.001
    assert drift.quantiles(np.empty(0)) == ()


def test_concentration_by_hand() -> None:
    """Places 1 to 4 of (0, 0, 1, 3): (2x3 - 5) x 1 + (2x4 - 5) x 3 = 10, over 4 x 4."""
    assert drift.concentration([3, 1], 4) == pytest.approx(10 / 16)
    assert drift.concentration([5, 5], 2) == 0.0
    assert drift.concentration([], 3) == 0.0


USUAL = [{"view": 90.0, "cart": 10.0}] * 5


@pytest.mark.parametrize(
    ("tonight", "stop", "level"),
    [
        ({"view": 88.0, "cart": 12.0}, 0.0, "good"),
        ({"view": 60.0, "cart": 40.0}, 0.0, "warn"),
        ({"view": 60.0, "cart": 40.0}, 0.5, "stop"),
        ({"view": 60.0, "cart": 40.0}, 0.6, "warn"),
    ],
)
def test_levels(tonight: dict[str, float], stop: float, level: str) -> None:
    conf = WATCH.model_copy(update={"stop_population_stability": stop})
    assert drift.drift("events", "kinds", tonight, USUAL, conf).level == level


def test_a_drift_says_where() -> None:
    measure = drift.drift("events", "kinds", {"view": 60.0, "cart": 40.0}, USUAL, WATCH)
    assert measure.said == "JS 0.091, L-infinity 0.300 (cart 10.0 % to 40.0 %), PSI 0.538"


def test_too_few_nights_are_not_judged() -> None:
    measure = drift.drift("events", "kinds", {"view": 1.0}, USUAL[: WATCH.min_nights - 1], WATCH)
    assert (measure.value, measure.level) == (None, "good")
    assert "not judged" in measure.said


def test_the_scorecard() -> None:
    usual = {"num_rows": 1000, "duplicate_share": 0.01, "quarantined_share": 0.002, "last_event_hour": 23.9}
    facts = {DAY - timedelta(days=back): dict(usual) for back in range(1, 9)}
    facts[DAY] = usual | {"num_rows": 400, "last_event_hour": 15.4, "duplicate_share": 0.3}
    found = {one.name: (one.level, one.said) for one in drift.scorecard(DAY, facts, WATCH)}
    assert found == {
        "freshness": ("warn", "the last event 8.5 h earlier than usual"),
        "completeness": ("good", "99.8 % of the drop's records became events"),
        "duplicates": ("warn", "0.300"),
        "week over week": ("warn", "-60 % events on the same day a week before"),
    }
    assert {one.value for one in drift.scorecard(DAY, {}, WATCH)} == {None}
