"""How far a night is from the nights before it: distances of distributions, coverage, concentration, the scorecard.

A distribution is a mapping of names to weights that need not add up to 1; a name that one side lacks weighs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from math import log, log2
from statistics import fmean, median
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nightjar.settings import Watch

Shares = Mapping[str, float]
Level = Literal["good", "warn", "stop"]

#: Of an empty class in the population stability index, whose logarithm would have no bound.
FLOOR = 1e-4


def normalised(weights: Mapping[str, float]) -> dict[str, float]:
    """The same proportions, adding up to 1; nothing stays nothing."""
    total = sum(weights.values())
    return {name: weight / total for name, weight in weights.items()} if total else {}


def mean_shares(nights: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of several nights' distributions: each night counts alike, however busy it was."""
    known = [shares for night in nights if (shares := normalised(night))]
    names = sorted({name for shares in known for name in shares})
    return {name: fmean(shares.get(name, 0.0) for shares in known) for name in names}


def jensen_shannon(ours: Shares, theirs: Shares) -> float:
    """Jensen-Shannon divergence in bits, 0 to 1 (Lin: Divergence measures based on the Shannon entropy, 1991)."""
    ours, theirs = normalised(ours), normalised(theirs)
    total = 0.0
    for name in sorted({*ours, *theirs}):
        p, q = ours.get(name, 0.0), theirs.get(name, 0.0)
        middle = (p + q) / 2
        total += sum(part / 2 * log2(part / middle) for part in (p, q) if part)
    return min(max(total, 0.0), 1.0)


def l_infinity(ours: Shares, theirs: Shares) -> tuple[float, str]:
    """The largest gap of any one share, and whose it is; the first of equals by name."""
    ours, theirs = normalised(ours), normalised(theirs)
    names = sorted({*ours, *theirs})
    widest = max(names, key=lambda name: abs(ours.get(name, 0.0) - theirs.get(name, 0.0)), default="")
    return (abs(ours.get(widest, 0.0) - theirs.get(widest, 0.0)), widest)


def population_stability(ours: Shares, theirs: Shares) -> float:
    """Population stability index: the sum of (p - q) ln(p / q), shares below FLOOR taken as FLOOR."""
    ours, theirs = normalised(ours), normalised(theirs)
    total = 0.0
    for name in sorted({*ours, *theirs}):
        p, q = max(ours.get(name, 0.0), FLOOR), max(theirs.get(name, 0.0), FLOOR)
        total += (p - q) * log(p / q)
    return total


def by_decile(values: NDArray[np.float64], before: Sequence[NDArray[np.float64]]) -> tuple[Shares, list[Shares]]:
    """Shares of values between the deciles of everything before: tonight's, and each earlier night's."""
    edges = np.quantile(np.concatenate(before), np.arange(0.1, 1.0, 0.1))

    def shares(of: NDArray[np.float64]) -> Shares:
        counts = np.bincount(np.searchsorted(edges, of, side="right"), minlength=10)
        return {f"decile {number + 1:02}": float(count) for number, count in enumerate(counts)}

    return shares(values), [shares(night) for night in before]


def quantiles(values: NDArray[np.float64]) -> tuple[float, ...]:
    """A hundred and one numbers that stand for any number of values: each per cent of them, ends included."""
    return tuple(np.quantile(values, np.linspace(0, 1, 101)).round(6).tolist()) if len(values) else ()


def concentration(counts: Iterable[int], num_items: int) -> float:
    """Gini coefficient of how often each of `num_items` is shown: 0 all alike, near 1 a few take everything."""
    shown = np.sort(np.fromiter(counts, np.float64))
    if not shown.sum() or num_items < 1:
        return 0.0
    places = np.arange(num_items - len(shown) + 1, num_items + 1)  # those that nobody sees stand first, with zero
    return float(((2 * places - num_items - 1) * shown).sum() / (num_items * shown.sum()))


@dataclass(frozen=True)
class Sketch:
    """What later nights need to know of a night's lists: as large as the shop's categories, and no more."""

    reasons: Mapping[str, float]
    categories: Mapping[str, float]
    model_version: str | None  #: of most lists by a model
    scores: Sequence[float]  #: `quantiles` of the first scores of such lists
    num_items: int  #: in anybody's list
    concentration: float


_DRIFT = "drift of "

#: What the ledger calls the measures of `jobs/watch.py`, in the order of the page.
WATCHED = (
    *("freshness", "completeness", "duplicates", "week over week"),
    *(f"{_DRIFT}{name}" for name in ("kinds", "platform of events", "category of viewed")),
    *(f"{_DRIFT}{name}" for name in ("reasons", "scores", "categories")),
    *("coverage", "concentration", "calibration"),
)


@dataclass(frozen=True)
class Measure:
    """One thing that is watched; `value` is compared with the bound, `said` is for people."""

    table: str
    name: str
    value: float | None
    level: Level
    said: str

    @property
    def good(self) -> bool:
        return self.level == "good"

    @property
    def is_drift(self) -> bool:
        """A distribution that moved, which a model trained since may know."""
        return self.name.startswith(_DRIFT) and not self.good


def drift(table: str, name: str, tonight: Shares, before: Sequence[Shares], conf: Watch) -> Measure:
    """Tonight's distribution beside the mean of the nights before; too few of them are said, not judged."""
    nights = [night for night in before if sum(night.values())]
    if len(nights) < conf.min_nights or not sum(tonight.values()):
        return Measure(table, f"{_DRIFT}{name}", None, "good", f"{len(nights)} nights to compare with: not judged")
    usual = mean_shares(nights)
    bits, stability = jensen_shannon(tonight, usual), population_stability(tonight, usual)
    gap, widest = l_infinity(tonight, usual)
    too_far = (
        bits > conf.warn_jensen_shannon or gap > conf.warn_l_infinity or stability > conf.warn_population_stability
    )
    stops = 0 < conf.stop_population_stability < stability
    level: Level = "stop" if stops else "warn" if too_far else "good"
    shares = f"{widest} {_percent(usual.get(widest, 0.0))} to {_percent(normalised(tonight).get(widest, 0.0))}"
    said = f"JS {bits:.3f}, L-infinity {gap:.3f} ({shares}), PSI {stability:.3f}"
    return Measure(table, f"{_DRIFT}{name}", stability, level, said)


def bounded(
    table: str, name: str, value: float | None, *, low: float = 0.0, high: float = float("inf"), said: str = ""
) -> Measure:
    """A number that warns outside of its bounds; None is not judged."""
    if value is None:
        return Measure(table, name, None, "good", "not known: not judged")
    level: Level = "good" if low <= value <= high else "warn"
    return Measure(table, name, value, level, said or f"{value:.3f}")


def scorecard(day: date, facts: Mapping[date, Mapping[str, Any]], conf: Watch) -> list[Measure]:
    """Freshness, completeness, duplicates and the change since last week, from facts of `events` by day.

    Args:
        facts: what the gate measured, of the day and of those before it.
    """
    today, week = facts.get(day, {}), facts.get(day - timedelta(days=7), {})
    earlier = [facts[past] for past in sorted(facts) if past < day]
    return [
        _late(today, earlier, conf),
        _complete(today, conf),
        bounded("events", "duplicates", today.get("duplicate_share"), high=conf.max_duplicate_share),
        _week(today, week, conf),
    ]


def _late(today: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]], conf: Watch) -> Measure:
    last, usual = today.get("last_event_hour"), [v for one in earlier if (v := one.get("last_event_hour")) is not None]
    late = None if last is None or not usual else max(0.0, median(usual) - last)
    said = "" if late is None else f"the last event {late:.1f} h earlier than usual"
    return bounded("events", "freshness", late, high=conf.max_stale_hours, said=said)


def _complete(today: Mapping[str, Any], conf: Watch) -> Measure:
    kept = today.get("quarantined_share")
    said = "" if kept is None else f"{_percent(1 - kept)} of the drop's records became events"
    return bounded("events", "completeness", None if kept is None else 1 - kept, low=conf.min_complete_share, said=said)


def _week(today: Mapping[str, Any], week: Mapping[str, Any], conf: Watch) -> Measure:
    now, then = today.get("num_rows"), week.get("num_rows")
    change = now / then - 1 if now is not None and then else None
    said = "" if change is None else f"{100 * change:+.0f} % events on the same day a week before"
    value = None if change is None else abs(change)
    return bounded("events", "week over week", value, high=conf.max_week_over_week, said=said)


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
