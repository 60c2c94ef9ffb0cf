"""Scores made probabilities that hold, by few numbers that can be read, and groups of people that stay comparable."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from nightjar.predict.metrics import Floats, Labels, probabilities

Kind = Literal["beta", "platt", "identity"]

#: People of the rarer class that each fitted number needs: Peduzzi et al. 1996,
#: https://doi.org/10.1016/S0895-4356(96)00236-3.
PEOPLE_PER_NUMBER = 10

#: Scores nearer to 0 or 1 are taken as this far from it, so that their logarithms are finite.
EDGE = 1e-9

#: Of an empty group in the population stability index, whose logarithm would have no bound.
FLOOR = 1e-4


@dataclass(frozen=True)
class Calibration:
    """The map p -> sigmoid(a ln p - b ln(1 - p) + c), never falling since a and b are not negative.

    `kind` says which numbers were fitted: all three (beta), a = b and c (Platt scaling of the log-odds), or none.
    `dataclasses.asdict` gives JSON, and `Calibration(**numbers)` reads it.
    """

    kind: Kind = "identity"
    a: float = 1.0
    b: float = 1.0
    c: float = 0.0

    def __post_init__(self) -> None:
        if not all(map(math.isfinite, (self.a, self.b, self.c))) or min(self.a, self.b) < 0:
            raise ValueError(f"no map that never falls: {self}")

    def apply(self, scores: Floats) -> Floats:
        """Probabilities of scores between 0 and 1, in the same order; ends move in by EDGE first.

        >>> Calibration("beta", a=2.0, b=0.0, c=0.0).apply(np.array([0.0, 0.5])).round(6).tolist()  # odds are p squared
        [0.0, 0.2]
        """
        from scipy.special import expit

        _, scores = probabilities(np.zeros(len(scores), np.int64), scores)
        if self.kind == "identity":
            return scores
        said: Floats = expit(_features(scores) @ np.array([self.a, self.b, self.c]))
        return said


def _features(scores: Floats) -> Floats:
    inner = np.clip(scores, EDGE, 1 - EDGE)
    return np.column_stack([np.log(inner), -np.log1p(-inner), np.ones(len(inner))])


def fit(y: Labels, scores: Floats) -> Calibration:
    """Beta calibration; with fewer than 30 people of the rarer class Platt scaling, with fewer than 20 nothing.

    Kull et al., "Beyond sigmoids: how to obtain well-calibrated probabilities from binary classifiers with beta
    calibration", 2017, https://doi.org/10.1214/17-EJS1338SI, fitted in one go under a, b >= 0. Labels are moved inwards
    as in Platt, "Probabilistic outputs for support vector machines", 1999, to (n1 + 1) / (n1 + 2) and 1 / (n0 + 2), so
    that the numbers stay finite where scores separate the classes. Fit it on people whom the scorer was not fitted on.

    A score that stands the wrong way round becomes a constant, the share of positives.
    """
    y, scores = probabilities(y, scores)
    num_positive = int(y.sum())
    rarer = min(num_positive, len(y) - num_positive)
    if rarer < 2 * PEOPLE_PER_NUMBER:
        return Calibration()
    target_B = np.where(y == 1, (num_positive + 1) / (num_positive + 2), 1 / (len(y) - num_positive + 2))
    log_B, other_log_B, ones_B = _features(scores).T
    if rarer < 3 * PEOPLE_PER_NUMBER:
        slope, c = _logistic(np.column_stack([log_B + other_log_B, ones_B]), target_B)
        return Calibration("platt", slope, slope, c)
    return Calibration("beta", *_logistic(np.column_stack([log_B, other_log_B, ones_B]), target_B))


def _logistic(features_BD: Floats, target_B: Floats) -> tuple[float, ...]:
    """The weights of least log loss, none but the last (the constant) negative."""
    from scipy.optimize import minimize
    from scipy.special import expit

    def loss(weights_D: Floats) -> tuple[float, Floats]:
        logit_B = features_BD @ weights_D
        losses_B = np.logaddexp(0, logit_B) - target_B * logit_B
        return float(losses_B.mean()), features_BD.T @ (expit(logit_B) - target_B) / len(target_B)

    num_slopes = features_BD.shape[1] - 1
    found = minimize(
        loss,
        np.append(np.ones(num_slopes), 0.0),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * num_slopes + [(None, None)],
        options={"maxiter": 1000, "ftol": 1e-14, "gtol": 1e-9},
    )
    return tuple(found.x.tolist())


@dataclass(frozen=True)
class Deciles:
    """Groups of scores, 10 the highest, cut once where a population's deciles were: they move when people do.

    `shares` is what each group held then; ties can make it other than a tenth, or nothing. JSON as of `Calibration`,
    lists for tuples.
    """

    cuts: tuple[float, ...]
    shares: tuple[float, ...]

    @classmethod
    def of(cls, scores: Floats) -> Self:
        """Cuts at the deciles of these people's scores. Nobody is a ValueError.

        >>> Deciles.of(np.arange(1.0, 11.0)).cuts
        (2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0)
        """
        _numbers(scores)
        cuts = np.quantile(scores, np.arange(1, 10) / 10, method="higher")
        return cls(tuple(cuts.tolist()), tuple(_shares(cuts, scores).tolist()))

    def __post_init__(self) -> None:
        object.__setattr__(self, "cuts", tuple(self.cuts))
        object.__setattr__(self, "shares", tuple(self.shares))

    def number(self, scores: Floats) -> NDArray[np.int64]:
        """Each person's decile, 1 to 10; a score on a cut belongs above it.

        >>> Deciles.of(np.arange(1.0, 11.0)).number(np.array([0.0, 2.0, 2.5, 99.0])).tolist()
        [1, 2, 2, 10]
        """
        if np.isnan(scores).any():
            raise ValueError(f"{int(np.isnan(scores).sum())} scores are NaN")
        return _group(np.array(self.cuts), scores) + 1

    def population_stability(self, scores: Floats) -> float:
        """Population stability index of these people's deciles against the ones that were cut.

        The sum of (p - q) ln(p / q), shares below 1e-4 taken as that. Below 0.1 little moved, above 0.25 much did:
        Siddiqi, "Credit Risk Scorecards", 2006, chapter 8. Of n people then and m now, chance alone makes 9 / n + 9 / m
        (Yurdakul, "Statistical properties of population stability index", 2018).

        >>> Deciles.of(np.arange(1.0, 11.0)).population_stability(np.arange(1.0, 11.0))
        0.0
        """
        _numbers(scores)
        now, then = (
            np.maximum(share, FLOOR) for share in (_shares(np.array(self.cuts), scores), np.array(self.shares))
        )
        return float(((now - then) * np.log(now / then)).sum())


def _numbers(scores: Floats) -> None:
    if not len(scores) or np.isnan(scores).any():
        raise ValueError(f"deciles of {len(scores)} scores, {int(np.isnan(scores).sum())} of them NaN")


def _group(cuts: Floats, scores: Floats) -> NDArray[np.int64]:
    return np.searchsorted(cuts, scores, side="right").astype(np.int64)


def _shares(cuts: Floats, scores: Floats) -> Floats:
    return np.bincount(_group(cuts, scores), minlength=len(cuts) + 1) / len(scores)
