"""What can be foretold of a person, as a value: which label, for whom, held against which rule, at which price.

A task is a file in `nightjar.predict.tasks` and a line of its registry, and of one of the kinds below. Training, the
contest, calibration, publishing and the report read these values; none of them knows a task by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.contracts import LABELS, USER_FEATURES
from nightjar.settings import Labels

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

#: What may be added to rows of `user_features`: see `nightjar.predict.accounts` and `nightjar.learn.surprise`.
ACCOUNTS, SURPRISE = "accounts_on_device", "surprise"

#: What may be added to rows of `labels`: see `nightjar.predict.cases`.
CONFIRMED = "fraud_confirmed"

#: Metrics that decide between models; higher is better in each.
Metric = Literal["auroc", "average_precision"]


@dataclass(frozen=True)
class Costs:
    """What a wrong decision costs, relative to each other or in the shop's currency."""

    false_positive: float
    false_negative: float

    def __post_init__(self) -> None:
        if min(self.false_positive, self.false_negative) <= 0:
            raise ValueError("an error that costs nothing needs no model")


@dataclass(frozen=True)
class Rule:
    """What a person would write in a query instead of a model: higher means sooner."""

    doc: str
    score: Callable[[pa.Table], Floats]


class Task(Protocol):
    """What is common to all kinds."""

    @property
    def name(self) -> str:
        """`user_scores.score_name`, and the end of the registered model's name."""
        ...

    @property
    def doc(self) -> str:
        """What the score is of."""
        ...

    @property
    def serves(self) -> Callable[[pa.Table, Labels], Flags]:
        """Who is asked about, from what is known at the instant."""
        ...

    @property
    def judged_by(self) -> dict[str, Any]:
        """What decides whether a model of it may serve, for the ledger `promotions`."""
        ...


@dataclass(frozen=True)
class Binary:
    """A yes or no about each person within a window after an instant."""

    name: str  #: `user_scores.score_name`
    doc: str  #: what the probability is of
    label: str  #: column of `labels`, or `CONFIRMED`: true, false, or null where nobody can say
    window_days: Callable[[Labels], int]
    rule: Rule
    metric: Metric
    costs: Costs
    #: who is asked about, from what is known at the instant
    serves: Callable[[pa.Table, Labels], Flags]
    #: column of `labels`: rows without it are not judged, for the question did not arise; None: all are
    judged_where: str | None = None
    #: slice -> who belongs to it, beside platform and activity
    slices: Mapping[str, Callable[[pa.Table], Flags]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        named = {self.label, *([self.judged_where] if self.judged_where else [])}
        if unknown := named - {*LABELS.names, CONFIRMED}:
            raise ValueError(f"task {self.name}: no column of labels: {sorted(unknown)}")

    @property
    def judged_by(self) -> dict[str, Any]:
        return {"metric": self.metric, "rule": self.rule.doc, "costs": asdict(self.costs)}

    def outcomes(self, labels: pa.Table) -> Floats:
        """1, 0, or not a number where the row says nothing, in the order of `labels`."""
        said = labels.column(self.label)
        if self.judged_where is not None:
            asked = pc.fill_null(labels.column(self.judged_where), False)
            said = pc.if_else(asked, said, pa.scalar(None, pa.bool_()))
        found: Floats = said.cast(pa.int8()).cast(pa.float64()).to_numpy()
        return found


class Signal(NamedTuple):
    """A number of which a large one is conspicuous; not a number where it says nothing."""

    doc: str
    of: Callable[[pa.Table], Floats]


@dataclass(frozen=True)
class Anomaly:
    """Who stands out from everybody by signals that a person has named, where nobody has labels to learn from."""

    name: str
    doc: str
    #: by the names that reasons give; over `user_features` with `ACCOUNTS` and `SURPRISE`
    signals: Mapping[str, Signal]
    serves: Callable[[pa.Table, Labels], Flags]
    rule: Rule  #: what it is compared with where a truth is known
    flagged_share: float  #: of the people it learned from, the most conspicuous

    @property
    def judged_by(self) -> dict[str, Any]:
        return {"judged": False, "signals": {name: one.doc for name, one in self.signals.items()}}


@dataclass(frozen=True)
class Multiclass:
    """Which of several outcomes a person's next is, if there is one within a window after an instant."""

    name: str
    doc: str
    label: str  #: column of `labels` that names it; null where there was none
    serves: Callable[[pa.Table, Labels], Flags]
    rule_doc: str
    rule: Callable[[pa.Table], pa.ChunkedArray]  #: names one outcome, or null

    @property
    def judged_by(self) -> dict[str, Any]:
        return {"metric": "top1_accuracy", "rule": self.rule_doc}


@dataclass(frozen=True)
class Uplift:
    """What an offer changes, learned from a trial in which chance decided who got it."""

    name: str
    doc: str
    serves: Callable[[pa.Table, Labels], Flags]

    @property
    def judged_by(self) -> dict[str, Any]:
        return {"metric": "qini", "rule": "a model of what the treated do"}


def numbers(features: pa.Table, name: str) -> Floats:
    """A column of `user_features`, or one that was added to them, null as not a number.

    >>> numbers(pa.table({"num_orders": [2, None]}), "num_orders").tolist()
    [2.0, nan]
    """
    assert name in (*USER_FEATURES.names, ACCOUNTS, SURPRISE), name
    found: Floats = features.column(name).cast(pa.float64()).to_numpy()
    return found


def everybody(features: pa.Table, _: Labels) -> Flags:
    return np.ones(features.num_rows, np.bool_)


def ordered(features: pa.Table, _: Labels) -> Flags:
    found: Flags = numbers(features, "num_orders") > 0
    return found


def recency(features: pa.Table, name: str) -> Floats:
    """Minus the hours since something; who never did it comes last."""
    hours_B = numbers(features, name)
    return -np.where(np.isnan(hours_B), np.inf, hours_B)


def by_levels(*levels_B: Floats) -> Floats:
    """One score that sorts by the first, its ties by the second, and so on: the place among all, 0 to 1.

    >>> by_levels(np.array([1.0, 1.0, 0.0]), np.array([5.0, 3.0, 9.0])).tolist()
    [1.0, 0.5, 0.0]
    """
    rows = np.stack(levels_B, axis=1)
    _, places_B = np.unique(rows, axis=0, return_inverse=True)
    found: Floats = places_B.reshape(-1) / max(1, places_B.max(initial=0))
    return found
