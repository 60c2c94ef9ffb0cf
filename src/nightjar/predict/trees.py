"""Gradient-boosted trees on aggregates: what learned encoders are held against, and joined with.

LightGBM (Ke et al. 2017, https://papers.nips.cc/paper/6907), kept as its text, never pickled. Equal rows and seeds give
equal trees, whatever the number of threads.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from nightjar.predict.aggregates import Matrix

Floats = NDArray[np.float64]

#: Small trees and slow steps: a shop has tens of thousands of people, not millions of clicks.
_PARAMETERS: dict[str, Any] = {
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_child_samples": 40,
    "feature_fraction": 0.7,
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


class Trees:
    """A fitted ensemble for a yes or no, or for one of several classes."""

    def __init__(self, text: str) -> None:
        """`text`: as LightGBM writes it."""
        self.text = text

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
    ) -> Trees:
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
    def _booster(self) -> lightgbm.Booster:
        return lightgbm.Booster(model_str=self.text)

    @property
    def num_trees(self) -> int:
        return int(self._booster.num_trees())

    def predict(self, features_BF: Matrix) -> Floats:
        """Probability of a yes, shape (people,); of several classes, shape (people, classes)."""
        return np.asarray(self._booster.predict(features_BF), np.float64)

    def contributions(self, features_BF: Matrix) -> Floats:
        """By how much each column moves a person's log-odds from the average of all, shape (people, columns).

        Shapley values of the trees (Lundberg et al. 2020, https://arxiv.org/abs/1905.04610).
        """
        return np.asarray(self._booster.predict(features_BF, pred_contrib=True), np.float64)[:, :-1]

    def contributions_to(self, features_BF: Matrix, classes_B: NDArray[np.int64]) -> Floats:
        """The same of several classes: by how much each column moves a person's score of one class, given by number."""
        moved_BN = np.asarray(self._booster.predict(features_BF, pred_contrib=True), np.float64)
        moved_BKF = moved_BN.reshape(len(features_BF), -1, features_BF.shape[1] + 1)
        found: Floats = moved_BKF[np.arange(len(classes_B)), classes_B, :-1]
        return found
