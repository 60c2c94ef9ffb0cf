"""Gradient-boosted trees on aggregates: what learned encoders are held against, and joined with.

LightGBM (Ke et al. 2017, https://papers.nips.cc/paper/6907), kept as its text, never pickled. Equal rows and seeds give
equal trees, whatever the number of threads. Of a yes or no there are several ensembles, each learned without one group
of people: together they say more than one does, and each group has somebody who has never seen it.

Legend: B = people, F = columns, M = members.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cached_property
from typing import Any, Self

import lightgbm
import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from nightjar.predict.aggregates import Matrix

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

#: Small trees and slow steps: a shop has tens of thousands of people, not millions of clicks. Columns are many and say
#: much the same, so that each tree looks at few of them: docs/experiments.md.
_PARAMETERS: dict[str, Any] = {
    "learning_rate": 0.05,
    "num_leaves": 7,
    "min_child_samples": 80,
    "feature_fraction": 0.3,
    "bagging_fraction": 0.8,
    "bagging_freq": 1,
    "lambda_l2": 5.0,
    "max_cat_to_onehot": 8,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}

#: Trees at most, and without a gain on the tuning rows before it stops.
MAX_ROUNDS, PATIENCE_ROUNDS = 600, 40


#: Where LightGBM's text of a member begins.
_BEGIN = re.compile(r"^(?=tree$)", re.MULTILINE)


class Trees:
    """Fitted ensembles for a yes or no, whose log-odds are averaged, or one for one of several classes."""

    def __init__(self, text: str) -> None:
        """`text`: as LightGBM writes it, one member after the other."""
        self.text = text

    @classmethod
    def cross_fit(
        cls,
        features_BF: Matrix,
        outcomes_B: NDArray[Any],
        groups_B: Counts,
        *,
        names: Sequence[str],
        categorical: Sequence[int],
        seed: int,
        threads: int = 0,
    ) -> tuple[Self, Floats]:
        """One member for each group of people, which does not learn from it and stops where it is best on it.

        The average of models learned on overlapping parts is a cross-validated committee (Parmanto et al. 1996);
        learning on all but one part to have something to say of that one is cross-fitting.

        Args:
            outcomes_B: 1 or 0.
            groups_B: numbered from 0; rows of one person belong to one group.

        Returns:
            The ensemble, and of each row what the member says that has not seen its person.
        """
        members, unseen_B = [], np.empty(len(outcomes_B))
        for group in range(int(groups_B.max()) + 1):
            out_B = groups_B == group
            if not out_B.any():
                continue
            member = cls.fit(
                features_BF[~out_B],
                outcomes_B[~out_B],
                tuning=(features_BF[out_B], outcomes_B[out_B]),
                names=names,
                categorical=categorical,
                seed=seed + group,
                threads=threads,
            )
            unseen_B[out_B] = member.predict(features_BF[out_B])
            members.append(member.text)
        return cls("".join(members)), unseen_B

    @classmethod
    def fit(
        cls,
        features_BF: Matrix,
        labels_B: NDArray[Any],
        *,
        tuning: tuple[Matrix, NDArray[Any]],
        names: Sequence[str],
        categorical: Sequence[int],
        seed: int,
        num_classes: int = 2,
        threads: int = 0,
    ) -> Self:
        """Learn until the loss on the tuning rows has not fallen for `PATIENCE_ROUNDS` trees.

        Args:
            labels_B: 0 or 1; with `num_classes` above 2 the number of the class.
            threads: 0 for all.
        """
        objective: dict[str, Any] = {"objective": "binary"}
        if num_classes > 2:
            objective = {"objective": "multiclass", "num_class": num_classes}
        settings = {**_PARAMETERS, **objective, "seed": seed, "num_threads": threads}
        kept: dict[str, Any] = {"feature_name": list(names), "categorical_feature": list(categorical)}
        known = lightgbm.Dataset(features_BF, labels_B, **kept)
        later = lightgbm.Dataset(*tuning, reference=known, **kept)
        stop = lightgbm.early_stopping(PATIENCE_ROUNDS, verbose=False)
        booster = lightgbm.train(settings, known, MAX_ROUNDS, valid_sets=[later], callbacks=[stop])
        return cls(booster.model_to_string(num_iteration=booster.best_iteration))

    @cached_property
    def _boosters(self) -> list[lightgbm.Booster]:
        return [lightgbm.Booster(model_str=text) for text in _BEGIN.split(self.text) if text]

    @property
    def num_trees(self) -> int:
        """Of all members together."""
        return sum(int(one.num_trees()) for one in self._boosters)

    def predict(self, features_BF: Matrix) -> Floats:
        """Probability of a yes, shape (people,); of several classes, shape (people, classes)."""
        if len(self._boosters) == 1:
            return np.asarray(self._boosters[0].predict(features_BF), np.float64)
        log_odds_MB = [one.predict(features_BF, raw_score=True) for one in self._boosters]
        found: Floats = expit(np.mean(log_odds_MB, axis=0))
        return found

    def contributions(self, features_BF: Matrix) -> Floats:
        """By how much each column moves a person's log-odds from the average of all, shape (people, columns).

        Shapley values of the trees (Lundberg et al. 2020, https://arxiv.org/abs/1905.04610); those of an average are
        the average of its parts'.
        """
        moved_MBF = [np.asarray(one.predict(features_BF, pred_contrib=True), np.float64) for one in self._boosters]
        found: Floats = np.mean(moved_MBF, axis=0)[:, :-1]
        return found

    def contributions_to(self, features_BF: Matrix, classes_B: NDArray[np.int64]) -> Floats:
        """The same of several classes: by how much each column moves a person's score of one class, given by number."""
        moved_BN = np.asarray(self._boosters[0].predict(features_BF, pred_contrib=True), np.float64)
        moved_BKF = moved_BN.reshape(len(features_BF), -1, features_BF.shape[1] + 1)
        found: Floats = moved_BKF[np.arange(len(classes_B)), classes_B, :-1]
        return found
