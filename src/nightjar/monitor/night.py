"""One night in plain values: what the page says, before it is a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Literal

from nightjar.monitor.scores import Decision, Score

#: Jobs in the order of the night. A shop with logs of its own has no `simulate`.
JOBS = (
    *("simulate", "clean", "sessionize", "identity", "sequences", "features", "marts"),
    *("train", "evaluate", "train_scores", "score_people", "decide", "score", "realise"),
    *("realise_scores", "watch", "publish"),
)

#: Scorers in the order of the page.
SCORERS = ("candidate", "champion", "popularity", "markov", "cooccurrence", "item-knn")


@dataclass(frozen=True)
class Step:
    """What one job says of its latest run for this night; `missing` where it says nothing."""

    name: str
    status: Literal["done", "failed", "missing"]
    counts: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    peak_gib: float | None = None
    cpu_seconds: float | None = None
    bytes_written: int | None = None
    error: str | None = None
    #: The result is of another run of the same night: a part of the night was repeated.
    other_run: bool = False

    @classmethod
    def of(cls, name: str, result: Mapping[str, Any] | None, run_id: str) -> Step:
        """Read a result manifest; None where the job left none."""
        if result is None:
            return cls(name, "missing")
        return cls(
            name,
            "done" if result.get("status") == "done" else "failed",
            result.get("counts") or {},
            result.get("seconds"),
            result.get("peak_gib"),
            result.get("cpu_seconds"),
            result.get("bytes_written"),
            result.get("error"),
            result.get("run_id") != run_id,
        )


@dataclass(frozen=True)
class Scorer:
    """One row of the comparison: means, and [mean, low, high] of 95 % intervals where there are any."""

    name: str
    version: str | None
    means: Mapping[str, float]
    intervals: Mapping[str, Sequence[float]]

    @property
    def label(self) -> str:
        known = {
            "champion": "Champion so far",
            "markov": "Last-item Markov",
            "cooccurrence": "Co-occurrence",
            "item-knn": "Item-kNN",
        }
        name = known.get(self.name, self.name.capitalize())
        return f"{name}, version {self.version}" if self.version else name


@dataclass(frozen=True)
class Trial:
    """One decision of `promotions`: who was compared, on how many people, and what came of it."""

    decision: str
    reason: str
    metric: str
    num_people: int
    scorers: tuple[Scorer, ...]

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Trial:
        """Read a row of the ledger."""
        metrics, rule = json.loads(row["metrics"]), json.loads(row["rule"])
        versions = {"candidate": row["candidate_version"], "champion": row["champion_version"]}
        means, intervals = metrics.get("scorers", {}), metrics.get("intervals", {})
        ordered = [name for name in SCORERS if name in means] + sorted(set(means) - set(SCORERS))
        scorers = [Scorer(name, versions.get(name), means[name], intervals.get(name, {})) for name in ordered]
        return cls(row["decision"], row["reason"], rule["metric"], metrics.get("users", 0), tuple(scorers))


@dataclass(frozen=True)
class Champion:
    """The model that scores."""

    name: str
    version: str
    run_id: str
    as_of: date  # the day whose end its training data knew


@dataclass(frozen=True)
class Check:
    """One expectation's verdict."""

    table: str
    expectation: str
    severity: str
    success: bool
    observed: str


@dataclass(frozen=True)
class Kpi:
    """One number of the shop's day beside those of the day and the week before; None where nobody counted."""

    name: str
    today: float
    yesterday: float | None
    week_before: float | None
    is_share: bool = False


@dataclass(frozen=True)
class Realised:
    """What became of one night's lists, beside the control; None where nobody came back."""

    day: date
    replayed: bool
    num_lists: int
    num_active: int
    num_purchases: int
    num_listed_purchases: int
    hit_rate: float | None
    hit_rate_popular: float | None
    ndcg: float | None
    ndcg_popular: float | None


@dataclass(frozen=True)
class Effect:
    """What the model's lists did beside none, over all nights shown, with its 95 % interval."""

    name: str
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Mover:
    """An item whose place changed most since the night before."""

    item_id: str
    title: str | None
    num_lists: int
    num_yesterday: int


@dataclass(frozen=True)
class Judged:
    """The champion's or the promoted candidate's quality on one night's holdout."""

    day: date
    value: float
    popularity: float | None


@dataclass(frozen=True)
class Day:
    """A day of the trend; None where the lake has no partition."""

    day: date
    num_events: int | None
    num_sessions: int | None


@dataclass(frozen=True)
class Item:
    """A recommended item: in how many lists, and its place by that count the night before."""

    item_id: str
    title: str | None
    num_lists: int
    rank_yesterday: int | None


@dataclass(frozen=True)
class Recommended:
    """The night's lists as a whole. A list is what one person gets on one surface."""

    num_rows: int
    num_lists: int
    num_fallback: int
    num_items: int
    num_candidates: int | None
    reasons: Mapping[str, int]
    top: tuple[Item, ...]
    top_rows: int  #: rows that show one of `top`
    knows_yesterday: bool

    @property
    def fallback_share(self) -> float:
        return self.num_fallback / self.num_lists if self.num_lists else 0.0

    @property
    def coverage(self) -> float | None:
        return self.num_items / self.num_candidates if self.num_candidates else None

    @property
    def rows_per_list(self) -> float:
        return self.num_rows / self.num_lists if self.num_lists else 0.0


@dataclass(frozen=True)
class Night:
    """Everything the page says. No value in it names a person."""

    shop: str
    day: date
    run_id: str
    steps: tuple[Step, ...]
    checks: tuple[Check, ...]
    trend: tuple[Day, ...]
    trial: Trial | None
    champion: Champion | None
    recommended: Recommended | None
    overlap_yesterday: float | None  #: of a list stood in the same person's list the night before, mean over lists
    publish_target: str
    docs_link: str | None  #: relative to the page
    kpis: tuple[Kpi, ...] = ()
    funnel: tuple[tuple[str, int], ...] = ()  #: step -> sessions that reached it, in order
    realised: tuple[Realised, ...] = ()  #: oldest first
    effects: tuple[Effect, ...] = ()
    movers: tuple[Mover, ...] = ()
    judged: tuple[Judged, ...] = ()  #: oldest first
    watched: tuple[Check, ...] = ()
    scores: tuple[Score, ...] = ()
    decisions: tuple[Decision, ...] = ()
    of_people: tuple[Check, ...] = ()  #: what is watched of what is foretold

    def step(self, name: str) -> Step:
        return next((step for step in self.steps if step.name == name), Step(name, "missing"))
