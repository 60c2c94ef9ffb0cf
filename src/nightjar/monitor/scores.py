"""What is foretold of people and decided about them, as the page tells it: counts, contests, what came of it before."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nightjar.contracts.published import ACT, ALL_PEOPLE
from nightjar.monitor.arms import Arms, compared
from nightjar.monitor.realised import Interval, share_interval

#: What is read of `foretold`.
COLUMNS = ("score_name", "probability", "flagged", "contender", "model_version")

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Contender:
    """One of those that were judged when the serving model was learned; None where the sample could not tell."""

    name: str
    auroc: float | None
    ece: float | None
    ahead_of_rule: tuple[float, float, float] | None  #: mean, low, high of 95 %; of the rule itself none
    serves: bool
    accuracy: float | None = None  #: of a choice among several outcomes, which has no AUROC of its own


@dataclass(frozen=True)
class Judged:
    """One group of people of a past night: foretold and happened."""

    day: date
    segment: str
    num_people: int
    foretold: float
    happened: float
    auroc: float | None
    ece: float
    ece_by_chance: float
    lift: float | None

    @classmethod
    def of(cls, row: Row) -> Judged:
        """Read a row of `realised_scores` with people in it."""
        num_people = row["num_people"]
        rates = (row["foretold_sum"] / num_people, row["num_positives"] / num_people)
        measures = (row[name] for name in ("auroc", "ece", "ece_by_chance", "lift_first_decile"))
        return cls(row["dt"], row["segment"], num_people, *rates, *measures)


@dataclass(frozen=True)
class Group:
    """People of like probability: the mean that was foretold, and what happened with its 95 % interval (Wilson)."""

    num_people: int
    foretold: float
    happened: Interval


@dataclass(frozen=True)
class Score:
    """One score of the night."""

    name: str
    contender: str
    model_version: str
    num_people: int
    num_flagged: int
    mean: float
    metric: str  #: that decided the contest
    contest: tuple[Contender, ...]
    reason: str  #: the verdict's sentence
    nights: tuple[Judged, ...]  #: everybody of each judged night, oldest first
    groups: tuple[Group, ...]  #: of the latest of them, likely people last
    segments: tuple[Judged, ...]  #: of the latest of them

    @property
    def words(self) -> str:
        return self.name.replace("_", " ")

    @property
    def chooses(self) -> bool:
        """Whether it names one of several outcomes."""
        return any(one.accuracy is not None for one in self.contest)


@dataclass(frozen=True)
class Decision:
    """One decision of the night, and what became of it on the nights that were judged."""

    name: str
    score_name: str = ""
    acted: int = 0
    control: int = 0
    left_out: int = 0
    cost: float = 0.0
    budget: float | None = None  #: None: none was set
    expected_value: float = 0.0  #: of everybody who is acted on
    unmet: str = ""  #: why nobody is
    outcome: str | None = None
    num_nights: int = 0
    arms: Arms | None = None

    @property
    def words(self) -> str:
        return self.name.replace("_", " ")


def scores(
    told: pa.Table, contests: Mapping[str, Row], realised: Sequence[Row], calibration: Sequence[Row]
) -> tuple[Score, ...]:
    """Every score of tonight, by name.

    Args:
        told: tonight's `foretold` with COLUMNS.
        contests: score -> the row of `promotions` that put its serving model there.
        realised: rows of `realised_scores` of past nights, oldest first.
        calibration: rows of `realised_calibration` of the same nights.
    """
    found = []
    for name in pc.unique(told.column("score_name")).sort().to_pylist():
        mine = told.filter(pc.equal(told.column("score_name"), name))
        past = [Judged.of(row) for row in realised if row["score_name"] == name and row["num_people"]]
        nights = tuple(one for one in past if one.segment == ALL_PEOPLE)
        latest = nights[-1].day if nights else None
        serving = mine.column("contender")[0].as_py()
        decided = contests.get(name)
        found.append(
            Score(
                name,
                serving,
                mine.column("model_version")[0].as_py(),
                mine.num_rows,
                pc.sum(mine.column("flagged")).as_py(),
                pc.mean(mine.column("probability")).as_py(),
                json.loads(decided["rule"]).get("metric", "") if decided else "",
                _contest(json.loads(decided["metrics"]), serving) if decided else (),
                decided["reason"] if decided else "",
                nights,
                tuple(_group(row) for row in calibration if (row["score_name"], row["dt"]) == (name, latest)),
                tuple(one for one in past if one.day == latest and one.segment != ALL_PEOPLE),
            )
        )
    return tuple(found)


def _contest(metrics: Mapping[str, Mapping[str, Any]], serving: str) -> tuple[Contender, ...]:
    """In the ledger's order, which is that of their cost; not every kind of task has every metric."""

    def ahead(name: str, bounds: Sequence[float | None]) -> tuple[float, float, float] | None:
        known = [value for value in bounds if value is not None]
        return (known[0], known[1], known[2]) if len(known) == 3 and name != "rule" else None

    return tuple(
        Contender(
            name,
            one.get("auroc"),
            one.get("ece"),
            ahead(name, one.get("ahead_of_rule", ())),
            name == serving,
            one.get("top1_accuracy"),
        )
        for name, one in metrics.items()
    )


def _group(row: Row) -> Group:
    happened = share_interval(row["num_positives"], row["num_people"])
    assert happened is not None
    return Group(row["num_people"], row["foretold_sum"] / row["num_people"], happened)


def decisions(
    said: Row, decided: Iterable[Row], budgets: Mapping[str, float], realised: Sequence[Row]
) -> tuple[Decision, ...]:
    """Every decision that was wanted tonight, those that act on somebody first.

    Args:
        said: what `decide` said: `decisions` and `unmet`.
        decided: decision, arm and expected_value of tonight's rows.
        budgets: decision -> what it may cost, of those that have a bound.
        realised: rows of `realised_decisions` of past nights.
    """
    expected: dict[str, float] = {}
    for row in decided:
        if row["arm"] == ACT:
            expected[row["decision"]] = expected.get(row["decision"], 0.0) + row["expected_value"]
    found = []
    for name in [*said.get("decisions", {}), *said.get("unmet", {})]:
        past = [row for row in realised if row["decision"] == name]
        counts = said.get("decisions", {}).get(name) or {"unmet": said["unmet"][name]}
        found.append(
            Decision(
                name,
                **counts,
                budget=budgets.get(name),
                expected_value=expected.get(name, 0.0),
                outcome=next((row["outcome"] for row in past), None),
                num_nights=len({row["dt"] for row in past}),
                arms=compared(past),
            )
        )
    return tuple(found)
