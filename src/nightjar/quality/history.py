"""A day beside the days before it: plain Python over facts, so that no Spark is needed to read or test it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from statistics import mean, median

from nightjar.settings import Gate

#: What one day's facts are: numbers by name, null where the day gives none. `dt` is an ISO day.
Facts = dict[str, float | int | str | None]

#: Of a weekday kind fewer earlier days than this say nothing; then every earlier day counts.
_MIN_DAYS_OF_KIND = 2

#: Below this trailing share a column is all but empty, and the ratio of two such shares is noise.
_MIN_FILLED_SHARE = 0.05


def earlier_days(facts: Facts, trailing: Iterable[Mapping[str, object]], gate: Gate) -> list[Facts]:
    """The days within `trailing_days` before this one, oldest first; none when there are too few to compare with."""
    day = date.fromisoformat(str(facts["dt"]))
    by_day = {date.fromisoformat(str(entry["dt"])): dict(entry) for entry in trailing}
    first = day - timedelta(days=gate.trailing_days)
    days = [by_day[earlier] for earlier in sorted(by_day) if first <= earlier < day]
    return days if len(days) >= gate.min_trailing_days else []  # type: ignore[return-value]


def same_kind(facts: Facts, days: Sequence[Facts]) -> list[Facts]:
    """The working days among `days` for a working day, the weekends for a weekend: shops breathe by the week."""
    alike = [day for day in days if _is_weekend(day) == _is_weekend(facts)]
    return alike if len(alike) >= _MIN_DAYS_OF_KIND else list(days)


def ratio_to_median(facts: Facts, name: str, days: Sequence[Facts]) -> float | None:
    """Today's value over the trailing median; null without history or over a median of zero."""
    usual = _median(days, name)
    today = facts[name]
    return None if not usual or not isinstance(today, int | float) else today / usual


def rise_over_median(facts: Facts, name: str, days: Sequence[Facts]) -> float | None:
    """Today's value less the trailing median; negative when it fell."""
    usual = _median(days, name)
    today = facts[name]
    return None if usual is None or not isinstance(today, int | float) else today - usual


def filled_ratio(facts: Facts, null_share: str, days: Sequence[Facts]) -> float | None:
    """Today's share of non-null values over the usual one.

    The rise of a null share cannot see half of the ids vanish from a column that is mostly null
    anyway (0.80 to 0.90); this ratio is 0.5 then, whatever the column's usual fill.
    """
    usual = _median(days, null_share)
    today = facts[null_share]
    if usual is None or not isinstance(today, int | float) or 1 - usual < _MIN_FILLED_SHARE:
        return None
    return (1 - today) / (1 - usual)


def largest_gap(facts: Facts, names: Iterable[str], days: Sequence[Facts]) -> float | None:
    """L-infinity distance of a distribution to its trailing mean: the largest gap of any one share."""
    gaps = [abs(_number(facts, name) - mean(_number(day, name) for day in days)) for name in names if days]
    return max(gaps, default=None)


def _median(days: Sequence[Facts], name: str) -> float | None:
    known = [value for day in days if isinstance(value := day.get(name), int | float)]
    return median(known) if known else None


def _number(facts: Facts, name: str) -> float:
    value = facts.get(name)
    return float(value) if isinstance(value, int | float) else 0.0


def _is_weekend(facts: Facts) -> bool:
    return date.fromisoformat(str(facts["dt"])).weekday() >= 5
