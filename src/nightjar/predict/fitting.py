"""A yes or no from rows to a fitted model and a verdict: the only trainer there is, whatever the question.

Rows are people at instants. Models learn at earlier instants from some of the people, and are weighed and calibrated on
what they say of the others: heads leave one group of people out, trees each of them in turn. All contenders are then
judged at a later instant whose window nobody has seen; at last the winner learns from it as well.

Legend: B = people, T = tasks.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.learn.dataset import hashed_share
from nightjar.predict import calibration
from nightjar.predict.aggregates import Columns
from nightjar.predict.bundle import Fitted
from nightjar.predict.contest import COMBINED, ENCODER, RULE, TREES, TREES_ALONE, Combination, Verdict, judge
from nightjar.predict.task import Binary
from nightjar.predict.trees import Trees

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

    @classmethod
    def of(cls, parts: Sequence[Rows]) -> Rows:
        """All of them, one after the other."""
        return cls(
            pa.concat_tables([one.features for one in parts]),
            pa.concat_tables([one.labels for one in parts]),
            np.concatenate([one.encoder_B for one in parts]),
        )


#: Groups of people, each unseen by one member of the trees; the first one is unseen by the heads.
NUM_GROUPS = 5


def is_tuning(user_ids: pa.ChunkedArray, share: float) -> Flags:
    """Who tunes: the same people at every instant, drawn by a hash of their pseudonym."""
    found: Flags = hashed_share(user_ids.combine_chunks()) < share
    return found


def groups(user_ids: pa.ChunkedArray, share: float) -> Counts:
    """0 for those who tune, the others evenly 1 to `NUM_GROUPS` - 1, by the same hash."""
    places_B = (hashed_share(user_ids.combine_chunks()) - share) / (1 - share)
    found: Counts = np.where(places_B < 0, 0, 1 + np.floor(places_B * (NUM_GROUPS - 1))).astype(np.int64)
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
    columns, trees, unseen_B = _cross_fit(earlier, outcomes_B, tuning_share, sensitive, seed, threads)
    #: contender -> what it says of people who did not teach it, and what became of them
    said = {RULE: (task.rule.score(earlier.features), outcomes_B), TREES: (unseen_B, outcomes_B)}
    combination = TREES_ALONE
    if not np.isnan(earlier.encoder_B).all():
        trees_B, encoder_B, happened_B = unseen_B[tunes_B], earlier.encoder_B[tunes_B], outcomes_B[tunes_B]
        combination = Combination.fit(trees_B, encoder_B, happened_B)
        said[ENCODER] = encoder_B, happened_B
        together = said[TREES] if combination == TREES_ALONE else (combination.apply(trees_B, encoder_B), happened_B)
        said[COMBINED] = together
    calibrations = {name: calibration.fit(happened_B, said_B) for name, (said_B, happened_B) in said.items()}
    fitted = Fitted(task, RULE, columns, trees, combination, calibrations, None)
    later, happened_B = answered(task, later)
    scores = {name: fitted.probabilities(later.features, later.encoder_B, name) for name in calibrations}
    verdict = judge(task.metric, happened_B, scores, min_positives=min_positives, seed=seed)
    winner = verdict.winner
    deciles = calibration.Deciles.of(calibrations[winner].apply(said[winner][0]))
    return replace(fitted, serving=winner, deciles=deciles), verdict


def with_latest(
    fitted: Fitted,
    earlier: Rows,
    later: Rows,
    *,
    tuning_share: float,
    sensitive: Collection[str],
    seed: int,
    threads: int = 0,
) -> Fitted:
    """What serves, learned from the people who judged too, and with their level and deciles.

    Trees learn anew from everybody; heads and weights stay. The calibration is on what is said of the people who judged
    by members that have not seen them: levels move between instants, by season or because the log was shorter then.
    Only after the verdict, whose figures are of people whom nothing had seen. Where they are too few to calibrate on,
    everything stays. What it gains: docs/experiments.md.

    Returns:
        The winner alone: no other contender is calibrated any more.
    """
    earlier, before_B = answered(fitted.definition, earlier)
    later, happened_B = answered(fitted.definition, later)
    columns, trees = fitted.columns, fitted.trees
    if fitted.serving in (TREES, COMBINED):
        everybody, outcomes_B = Rows.of([earlier, later]), np.concatenate([before_B, happened_B])
        columns, trees, unseen_B = _cross_fit(everybody, outcomes_B, tuning_share, sensitive, seed, threads)
        said_B = unseen_B[len(before_B) :]
        if fitted.serving == COMBINED:
            said_B = fitted.combination.apply(said_B, later.encoder_B)
    else:
        said_B = fitted.raw(fitted.serving, later.features, later.encoder_B)
    found = calibration.fit(happened_B, said_B)
    if found == calibration.Calibration():
        return fitted
    return replace(
        fitted,
        columns=columns,
        trees=trees,
        calibrations={fitted.serving: found},
        deciles=calibration.Deciles.of(found.apply(said_B)),
    )


def _cross_fit(
    rows: Rows, outcomes_B: Counts, tuning_share: float, sensitive: Collection[str], seed: int, threads: int
) -> tuple[Columns, Trees, Floats]:
    """Trees, and of each row what the member says that has not seen its person."""
    columns = Columns.of(rows.features, sensitive=sensitive)
    trees, unseen_B = Trees.cross_fit(
        columns.matrix(rows.features),
        outcomes_B,
        groups(rows.features.column("user_id"), tuning_share),
        names=columns.names,
        categorical=columns.categorical,
        seed=seed,
        threads=threads,
    )
    return columns, trees, unseen_B


def answered(task: Binary, rows: Rows) -> tuple[Rows, Counts]:
    """Rows to which the task's question has an answer."""
    outcomes_B = task.outcomes(rows.labels)
    known_B = ~np.isnan(outcomes_B)
    return rows.where(known_B), outcomes_B[known_B].astype(np.int64)


def rarer(outcomes_B: Counts | Floats) -> int:
    """How many have the rarer of the outcomes 1 and 0."""
    return int(min(outcomes_B.sum(), (1 - outcomes_B).sum()))
