"""What was foretold of people held against what they did, once the tasks' windows are over.

Legend: B = people with one score.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightjar.contracts import REALISED_CALIBRATION, REALISED_SCORES, Platform
from nightjar.contracts.published import ALL_PEOPLE
from nightjar.contracts.render import arrow_schema
from nightjar.predict import metrics
from nightjar.predict.contest import described
from nightjar.predict.task import Binary, Flags, Floats, numbers
from nightjar.predict.tasks import TASKS
from nightjar.settings import Labels

#: What is read of the night's `user_features`, beside what the slices of a task read.
ACTIVITY_COLUMN = "num_sessions_28d"

#: Visits up to which people are called so; who came more often is active.
ACTIVITIES = ((0, "activity: none"), (1, "activity: 1 visit"), (4, "activity: 2 to 4 visits"))
ACTIVE = "activity: 5 or more visits"

_TOLD = ("auroc", "average_precision", "log_loss", "ece", "lift_first_decile")


class Realised(NamedTuple):
    """Rows of `realised_scores` and of `realised_calibration`."""

    scores: pa.Table
    calibration: pa.Table


def judge(told: pa.Table, labels: pa.Table, features: pa.Table, conf: Labels, *, day: date) -> Realised:
    """Every score of a night, for everybody and group by group.

    Only of a yes or no can anybody say what became of it; what is no task any more is left out too.

    Args:
        told: the night's `foretold`.
        labels: `labels` of the same instant.
        features: `user_features` of the same instant: who belongs to which group.
    """
    scores, calibration = [], []
    asked = {name: task for name, task in TASKS.items() if isinstance(task, Binary)}
    for name in sorted(set(pc.unique(told.column("score_name")).to_pylist()) & asked.keys()):
        mine = told.filter(pc.equal(told.column("score_name"), name))
        for version in pc.unique(mine.column("model_version")).sort().to_pylist():
            one = mine.filter(pc.equal(mine.column("model_version"), version)).combine_chunks()
            fixed = {"dt": day, "score_name": name, "contender": one["contender"][0].as_py(), "model_version": version}
            people = _met(asked[name], one, labels, features)
            window = {"window_days": asked[name].window_days(conf)}
            scores += [fixed | window | row for row in _rows(people)]
            calibration += [fixed | row for row in _groups(people.outcome_B, people.probability_B)]
    return Realised(_table(REALISED_SCORES, scores), _table(REALISED_CALIBRATION, calibration))


class _People(NamedTuple):
    probability_B: Floats
    outcome_B: Floats  #: 1, 0, or not a number where nobody can say
    segments: list[tuple[str, Flags]]


def _met(task: Binary, told: pa.Table, labels: pa.Table, features: pa.Table) -> _People:
    """Join by person; who has no features of the night any more, having been erased, is in no group."""
    outcomes = np.append(task.outcomes(labels), np.nan)
    places = pc.fill_null(pc.index_in(told.column("user_id"), labels.column("user_id").combine_chunks()), -1)
    known = pc.index_in(told.column("user_id"), features.column("user_id").combine_chunks())
    theirs, found_B = features.take(known.drop_null()), np.asarray(known.is_valid())

    def spread(which: Flags) -> Flags:
        flags = np.zeros(len(found_B), np.bool_)
        flags[found_B] = which
        return flags

    segments = [(name, spread(which)) for name, which in _segments(task, theirs)]
    everybody = (ALL_PEOPLE, np.ones(told.num_rows, np.bool_))
    return _People(told.column("probability").to_numpy(), outcomes[np.asarray(places)], [everybody, *segments])


def _segments(task: Binary, features: pa.Table) -> Iterator[tuple[str, Flags]]:
    platforms = np.array(features.column("last_platform").to_pylist(), np.str_)
    for platform in Platform:
        yield f"platform: {platform.value}", platforms == platform.value
    activity_B = np.searchsorted([most for most, _ in ACTIVITIES], numbers(features, ACTIVITY_COLUMN))
    for place, name in enumerate([*(name for _, name in ACTIVITIES), ACTIVE]):
        yield name, activity_B == place
    for name, belong in task.slices.items():
        yield name, belong(features)


def _rows(people: _People) -> Iterator[dict[str, Any]]:
    answered_B = ~np.isnan(people.outcome_B)
    for segment, belongs_B in people.segments:
        if not belongs_B.any():
            continue
        outcome_B = people.outcome_B[belongs_B & answered_B].astype(np.int64)
        probability_B = people.probability_B[belongs_B & answered_B]
        found = described(outcome_B, probability_B) if len(outcome_B) else {}
        by_chance = metrics.calibration_error_by_chance(probability_B)
        yield {
            "segment": segment,
            "num_foretold": int(belongs_B.sum()),
            "num_people": len(outcome_B),
            "num_positives": int(outcome_B.sum()),
            "foretold_sum": math.fsum(probability_B),
            **{name: _known(found.get(name, math.nan)) for name in _TOLD},
            "ece_by_chance": _known(by_chance.mean),
            "ece_by_chance_high": _known(by_chance.high),
        }


def _groups(outcome_B: Floats, probability_B: Floats) -> Iterator[dict[str, Any]]:
    answered_B = ~np.isnan(outcome_B)
    curve = metrics.reliability(outcome_B[answered_B].astype(np.int64), probability_B[answered_B])
    for number, (predicted, observed, num_people) in enumerate(zip(*curve, strict=True), 1):
        yield {
            "bin": number,
            "num_people": int(num_people),
            "num_positives": round(float(observed * num_people)),
            "foretold_sum": float(predicted * num_people),
        }


def _known(value: float) -> float | None:
    """What a sample cannot tell is null."""
    return None if math.isnan(value) else value


def _table(table: Any, rows: list[dict[str, Any]]) -> pa.Table:
    found = pa.Table.from_pylist(rows, arrow_schema(table))
    return found.sort_by([(name, "ascending") for name in table.order])
