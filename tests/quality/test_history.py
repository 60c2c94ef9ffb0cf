from datetime import date, timedelta

from nightjar.quality.history import (
    earlier_days,
    filled_ratio,
    largest_gap,
    ratio_to_median,
    rise_over_median,
    same_kind,
)
from nightjar.settings import load_conf

GATE = load_conf().gate
MONDAY = {"dt": "2001-01-15", "num_rows": 100, "null_share": 0.9}


def days(count, **facts):
    return [{"dt": str(date(2001, 1, 15) - timedelta(days=back)), **facts} for back in range(count, 0, -1)]


def test_seven_earlier_days_are_history_and_six_are_none():
    assert [day["dt"] for day in earlier_days(MONDAY, days(7), GATE)][::6] == ["2001-01-08", "2001-01-14"]
    assert earlier_days(MONDAY, days(6), GATE) == []


def test_days_before_the_window_and_after_the_day_are_no_history():
    history = [*days(40), {"dt": "2001-01-15"}, {"dt": "2001-01-20"}]
    seen = earlier_days(MONDAY, history, GATE)
    assert (seen[0]["dt"], seen[-1]["dt"], len(seen)) == ("2000-12-18", "2001-01-14", 28)


def test_weekends_are_compared_with_weekends():
    sunday = {"dt": "2001-01-14"}
    history = [{"dt": str(date(2001, 1, 14) - timedelta(days=back))} for back in range(1, 9)]
    assert [day["dt"] for day in same_kind(sunday, history)] == ["2001-01-13", "2001-01-07", "2001-01-06"]


def test_one_weekend_day_is_too_few_so_all_days_count():
    assert len(same_kind({"dt": "2001-01-14"}, [*days(1), {"dt": "2001-01-11"}, {"dt": "2001-01-12"}])) == 3


def test_ratio_is_to_the_median_not_to_the_mean():
    history = [{"dt": "x", "num_rows": rows} for rows in (40, 50, 5000)]
    assert ratio_to_median(MONDAY, "num_rows", history) == 2.0


def test_without_history_nothing_is_compared():
    assert ratio_to_median(MONDAY, "num_rows", []) is None
    assert rise_over_median(MONDAY, "null_share", []) is None
    assert filled_ratio(MONDAY, "null_share", []) is None
    assert largest_gap(MONDAY, ["num_rows"], []) is None


def test_half_of_a_mostly_null_column_lost_is_a_ratio_of_one_half():
    history = [{"dt": "x", "null_share": 0.8}]
    assert round(rise_over_median(MONDAY, "null_share", history), 9) == 0.1
    assert round(filled_ratio(MONDAY, "null_share", history), 9) == 0.5


def test_an_all_but_empty_column_has_no_ratio():
    assert filled_ratio({"null_share": 0.99}, "null_share", [{"null_share": 0.96}]) is None


def test_largest_gap_is_that_of_the_share_that_moved_most():
    history = [{"a": 0.8, "b": 0.2}, {"a": 0.6, "b": 0.4}]
    assert round(largest_gap({"a": 0.4, "b": 0.35, "c": 0.25}, ["a", "b", "c"], history), 9) == 0.3
