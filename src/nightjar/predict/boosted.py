"""Boosted trees as parts of uplift models: small trees with many people in each leaf, kept as LightGBM's text.

Legend: B people, D features.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import lightgbm
import numpy as np

from nightjar.predict.metrics import Floats
from nightjar.predict.uplift import Fit

#: Effects are far smaller than outcomes: a leaf of fewer people would follow chance.
_PARAMETERS: dict[str, Any] = {
    "learning_rate": 0.05,
    "num_leaves": 8,
    "min_data_in_leaf": 200,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
    "num_threads": 1,
}


@dataclass(frozen=True)
class Boosted:
    """A fitted ensemble: a chance where it was fitted to yes and no, else a number of either sign."""

    text: str

    @cached_property
    def _booster(self) -> lightgbm.Booster:
        return lightgbm.Booster(model_str=self.text)

    def predict(self, features_BD: Floats) -> Floats:
        return np.asarray(self._booster.predict(features_BD, num_threads=1), np.float64)

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "boosted", "text": self.text}


def read_boosted(saved: dict[str, Any]) -> Boosted:
    """The part that `Boosted.as_dict` saved."""
    return Boosted(saved["text"])


def boosted(objective: Literal["binary", "regression"], num_trees: int, *, seed: int = 1) -> Fit:
    """Fits `num_trees` trees to chances (binary) or to effects (regression). Ke et al. 2017, as `predict.trees`."""

    def fit(features_BD: Floats, outcome_B: Floats, weights_B: Floats) -> Boosted:
        rows = lightgbm.Dataset(features_BD, outcome_B, weight=weights_B)
        settings = {**_PARAMETERS, "objective": objective, "seed": seed}
        return Boosted(lightgbm.train(settings, rows, num_boost_round=num_trees).model_to_string())

    return fit
