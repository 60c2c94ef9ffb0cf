"""A yes or no from rows to a fitted model and a verdict: the only trainer there is, whatever the question.

Rows are people at instants. Models learn at earlier instants from some of the people; the others tune them there: they
stop the trees, weigh the two models, calibrate. All contenders are then judged at a later instant whose window nobody
has seen; what serves is calibrated on it at last.

Legend: B = people, T = tasks.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.learn.dataset import hashed_share
from nightjar.predict import calibration
from nightjar.predict.aggregates import Columns
from nightjar.predict.bundle import Fitted
from nightjar.predict.contest import COMBINED, ENCODER, RULE, TREES, Combination, Verdict, judge
from nightjar.predict.task import Binary
from nightjar.predict.trees import Trees

#: What stands where there is no encoder to combine them with.
TREES_ALONE = Combination(bias=0.0, trees=1.0, encoder=0.0)

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Counts = NDArray[np.int64]


class Rows(NamedTuple):
    """People at one or several instants."""

    features: pa.Table  #: `user_features`
    labels: pa.Table  #: `labels` of the same people and instants, in the same order
    encoder_B: Floats  #: the encoder's probability for the task at hand, not a number where it has none

    def where(self, which_B: Flags) -> Rows:
        mask = pa.array(which_B)
        return Rows(self.features.filter(mask), self.labels.filter(mask), self.encoder_B[which_B])


def is_tuning(user_ids: pa.ChunkedArray, share: float) -> Flags:
    """Who tunes: the same people at every instant, drawn by a hash of their pseudonym."""
    found: Flags = hashed_share(user_ids.combine_chunks()) < share
    return found


def fit(
    task: Binary,
    earlier: Rows,
    later: Rows,
    *,
    tuning_share: float,
    sensitive: Collection[str],
    min_positives: int,
    seed: int,
    threads: int = 0,
) -> tuple[Fitted, Verdict] | None:
    """Fit and judge; None where the earlier rows hold too few of either outcome to learn from."""
    earlier, outcomes_B = answered(task, earlier)
    tunes_B = is_tuning(earlier.features.column("user_id"), tuning_share)
    if min(rarer(outcomes_B[tunes_B]), rarer(outcomes_B[~tunes_B])) < min_positives:
        return None
    columns = Columns.of(earlier.features, sensitive=sensitive)
    features_BF = columns.matrix(earlier.features)
    tuning, said_B = earlier.where(tunes_B), outcomes_B[tunes_B]
    trees = Trees.fit(
        features_BF[~tunes_B],
        outcomes_B[~tunes_B],
        tuning=(features_BF[tunes_B], said_B),
        names=columns.names,
        categorical=columns.categorical,
        seed=seed,
        threads=threads,
    )
    learned: tuple[str, ...] = (TREES,)
    combination = TREES_ALONE
    if not np.isnan(earlier.encoder_B).all():
        learned = (TREES, ENCODER, COMBINED)
        combination = Combination.fit(trees.predict(features_BF[tunes_B]), tuning.encoder_B, said_B)
    fitted = Fitted(task, RULE, columns, trees, combination, {}, None)
    for name in (RULE, *learned):
        fitted.calibrations[name] = calibration.fit(said_B, fitted.raw(name, tuning.features, tuning.encoder_B))
    later, happened_B = answered(task, later)
    scores = {name: fitted.probabilities(later.features, later.encoder_B, name) for name in fitted.calibrations}
    verdict = judge(task.metric, happened_B, scores, min_positives=min_positives, seed=seed)
    of_tuning_B = fitted.probabilities(tuning.features, tuning.encoder_B, verdict.winner)
    return replace(fitted, serving=verdict.winner, deciles=calibration.Deciles.of(of_tuning_B)), verdict


def on_latest(fitted: Fitted, later: Rows) -> Fitted:
    """Calibrated anew, with new deciles, on the people who judged.

    Levels move between instants, by season or because the log was shorter then. Only after the verdict, whose figures
    are of people whom nothing had seen. Where they are too few to calibrate on, everything stays.
    """
    later, happened_B = answered(fitted.definition, later)
    found = calibration.fit(happened_B, fitted.raw(fitted.serving, later.features, later.encoder_B))
    if found == calibration.Calibration():
        return fitted
    moved = replace(fitted, calibrations=fitted.calibrations | {fitted.serving: found})
    probability_B = moved.probabilities(later.features, later.encoder_B)
    return replace(moved, deciles=calibration.Deciles.of(probability_B))


def answered(task: Binary, rows: Rows) -> tuple[Rows, Counts]:
    """Rows to which the task's question has an answer."""
    outcomes_B = task.outcomes(rows.labels)
    known_B = ~np.isnan(outcomes_B)
    return rows.where(known_B), outcomes_B[known_B].astype(np.int64)


def rarer(outcomes_B: Counts | Floats) -> int:
    """How many have the rarer of the outcomes 1 and 0."""
    return int(min(outcomes_B.sum(), (1 - outcomes_B).sum()))
