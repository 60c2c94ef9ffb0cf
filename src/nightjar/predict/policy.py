"""What a policy would have earned, from the log of another one: off-policy estimates for one action per row.

A row holds the reward of the action that was taken and the chance with which the logging policy took it. The policy in
question is known by its chance of that same action. Rows where the policies agree count more, the others less; where
they agree nowhere, no estimator helps, and `warnings` say so.

Legend: B rows of the log, A actions.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from nightjar.learn.metrics import Interval
from nightjar.predict.metrics import Floats, percentiles, resamples

#: Below this share of the log, or this many rows, what is left after weighting is called thin.
THIN_SHARE = 0.05
THIN_ROWS = 500

#: Share of all weight that one row may carry without a warning.
HEAVY_ROW = 0.02


class Log(NamedTuple):
    """Rewards, and the chances of the actions taken: the logging policy's, and that of the policy in question."""

    reward: Floats
    logged: Floats
    target: Floats

    @property
    def weights(self) -> Floats:
        """How much more often the policy in question takes the action."""
        return self.target / self.logged


def log(reward: Floats, logged: Floats, target: Floats) -> Log:
    """A log of one action per row, refused where it cannot be weighted.

    Args:
        logged: chance with which the logging policy took the action that it took, above 0.
        target: chance with which the policy in question would have; 0 where it would not.
    """
    columns = [np.asarray(column, np.float64) for column in (reward, logged, target)]
    if len({len(column) for column in columns}) > 1 or not len(columns[0]):
        raise ValueError(f"rewards and chances of the same rows: {[len(column) for column in columns]}")
    if not all(np.isfinite(column).all() for column in columns):
        raise ValueError("a reward or a chance is no number")
    if columns[1].min() <= 0 or columns[1].max() > 1:
        raise ValueError("an action was taken that the log gives no chance, or one above 1")
    if columns[2].min() < 0 or columns[2].max() > 1:
        raise ValueError("a chance of the policy in question is not between 0 and 1")
    return Log(*columns)


class Estimate(NamedTuple):
    """Mean reward per row under the policy in question.

    `standard_error` is the textbook's, `interval` (95 %) comes from resampled rows and its `mean` is the estimate.
    `effective_rows` is how many rows of that policy's own log would say as much about it.
    """

    interval: Interval
    standard_error: float
    effective_rows: float
    warnings: tuple[str, ...]

    @property
    def value(self) -> float:
        """The estimate."""
        return self.interval.mean


def effective_rows(weights: Floats) -> float:
    """(sum of w) squared over the sum of w squared: rows with equal weights that would vary as little.

    Kish, "Survey Sampling", 1965; Kong 1992 for weights of this kind. 0 without any weight.

    >>> effective_rows(np.array([1.0, 1.0])), effective_rows(np.array([1.0, 0.0]))
    (2.0, 1.0)
    """
    squares = float((weights**2).sum())
    return float(weights.sum()) ** 2 / squares if squares else 0.0


def overlap_warnings(weights: Floats) -> tuple[str, ...]:
    """What makes an estimate from these weights doubtful, in words; nothing where nothing does.

    A mean weight is 1 up to chance if the log's chances are right and cover what the policy does (Li et al. 2015, as in
    Saito et al., "Open Bandit Dataset and Pipeline", 2021, https://arxiv.org/abs/2008.07146).

    >>> overlap_warnings(np.ones(1000))
    ()
    >>> overlap_warnings(np.array([4.0] + [0.0] * 3))[0]
    'the policies agree on 1.0 effective rows of 4'
    """
    num_rows, left = len(weights), effective_rows(weights)
    said = []
    if left < max(THIN_ROWS, THIN_SHARE * num_rows):
        said.append(f"the policies agree on {left:.1f} effective rows of {num_rows}")
    heaviest = float(weights.max() / weights.sum()) if weights.any() else 1.0
    if heaviest > HEAVY_ROW:
        said.append(f"one row carries {heaviest:.0%} of the weight")
    error = float(weights.std(ddof=1)) / math.sqrt(num_rows) if num_rows > 1 else 0.0
    gap = float(weights.mean()) - 1
    if abs(gap) > 3 * error + 1e-9:
        said.append(f"the mean weight is {1 + gap:.3f}: chances are wrong, or the policy does what the log never does")
    return tuple(said)


def _mean(terms_B: Floats, weights_B: Floats, seed: int, num_resamples: int) -> Estimate:
    """An estimate that is a mean over rows."""
    drawn = resamples(len(terms_B), seed=seed, num_resamples=num_resamples)
    interval = percentiles(float(terms_B.mean()), [float(counts @ terms_B) / len(terms_B) for counts in drawn])
    error = float(terms_B.std(ddof=1)) / math.sqrt(len(terms_B)) if len(terms_B) > 1 else math.nan
    return Estimate(interval, error, effective_rows(weights_B), overlap_warnings(weights_B))


def inverse_propensity(rows: Log, *, seed: int, num_resamples: int = 1000) -> Estimate:
    """IPS: the mean of weighted rewards; without bias, and wide where weights are large.

    Horvitz and Thompson 1952, https://doi.org/10.1080/01621459.1952.10483446.

    >>> rows = log(np.array([1.0, 0.0]), np.array([0.25, 0.75]), np.array([0.5, 0.5]))
    >>> inverse_propensity(rows, seed=1).value  # (1 x 0.5 / 0.25 + 0) / 2
    1.0
    """
    return _mean(rows.weights * rows.reward, rows.weights, seed, num_resamples)


def clipped(rows: Log, cap: float | None = None, *, seed: int, num_resamples: int = 1000) -> Estimate:
    """Clipped IPS: weights above `cap` count as `cap`; less variance, and too low for rewards that are not negative.

    Ionides, "Truncated importance sampling", 2008, https://doi.org/10.1198/106186008X320456.

    Args:
        cap: the square root of the number of rows where it is not given, as Ionides proposes.

    >>> rows = log(np.array([1.0, 0.0]), np.array([0.25, 0.75]), np.array([0.5, 0.5]))
    >>> clipped(rows, cap=1.5, seed=1).value
    0.75
    """
    weights_B = np.minimum(rows.weights, math.sqrt(len(rows.reward)) if cap is None else cap)
    said = _mean(weights_B * rows.reward, weights_B, seed, num_resamples)
    cut = int((rows.weights > weights_B).sum())
    # A mean weight below 1 is what clipping does, so overlap is judged by the weights as they were.
    warnings = overlap_warnings(rows.weights) + ((f"{cut} weights were clipped",) if cut else ())
    return said._replace(warnings=warnings)


def self_normalised(rows: Log, *, seed: int, num_resamples: int = 1000) -> Estimate:
    """SNIPS: weighted rewards over the sum of weights; within the rewards' range, with a bias that vanishes as 1 / B.

    Swaminathan and Joachims, "The self-normalized estimator for counterfactual learning", 2015; the standard error is
    that of a ratio (delta method). NaN where no row has weight.

    >>> rows = log(np.array([1.0, 0.0]), np.array([0.25, 0.75]), np.array([0.5, 0.5]))
    >>> round(self_normalised(rows, seed=1).value, 6)  # 2 / (2 + 2 / 3)
    0.75
    """
    weights_B = rows.weights
    weighted_B = weights_B * rows.reward
    total = float(weights_B.sum())
    value = float(weighted_B.sum()) / total if total else math.nan
    sums = [
        (float(counts @ weighted_B), float(counts @ weights_B))
        for counts in resamples(len(weights_B), seed=seed, num_resamples=num_resamples)
    ]
    interval = percentiles(value, [top / bottom if bottom else math.nan for top, bottom in sums])
    error = math.sqrt(float((weights_B**2 * (rows.reward - value) ** 2).sum())) / total if total else math.nan
    return Estimate(interval, error, effective_rows(weights_B), overlap_warnings(weights_B))


def direct(rows: Log, expected_B: Floats, *, seed: int, num_resamples: int = 1000) -> Estimate:
    """Direct method: the mean of a reward model's prediction under the policy in question.

    Its interval knows of the rows, not of the model's errors, so it always warns. Dudik et al. 2014: `doubly_robust`.

    Args:
        expected_B: per row, the predicted reward averaged over what the policy would do there.
    """
    _of_rows(rows, expected_B)
    said = _mean(expected_B, rows.weights, seed, num_resamples)
    return said._replace(warnings=(*said.warnings, "as good as the reward model: its errors are not in the interval"))


def doubly_robust(
    rows: Log, expected_B: Floats, predicted_B: Floats, *, seed: int, num_resamples: int = 1000
) -> Estimate:
    """The direct method corrected by the weighted errors of the model: right where either chances or model are.

    Dudik et al., "Doubly robust policy evaluation and optimization", 2014, https://doi.org/10.1214/14-STS500. Fit the
    model on other rows than these.

    Args:
        expected_B: as of `direct`.
        predicted_B: the predicted reward of the action that was taken.

    >>> rows = log(np.array([1.0, 0.0]), np.array([0.25, 0.75]), np.array([0.5, 0.5]))
    >>> doubly_robust(rows, np.array([0.5, 0.5]), np.array([1.0, 0.0]), seed=1).value  # no errors to correct
    0.5
    """
    _of_rows(rows, expected_B)
    _of_rows(rows, predicted_B)
    return _mean(expected_B + rows.weights * (rows.reward - predicted_B), rows.weights, seed, num_resamples)


def _of_rows(rows: Log, predictions_B: Floats) -> None:
    if len(predictions_B) != len(rows.reward):
        raise ValueError(f"one prediction per row: {len(rows.reward)} rows against {len(predictions_B)}")
    if not np.isfinite(predictions_B).all():
        raise ValueError("a prediction is no number")


def softmax_policy(rewards_BA: Floats, *, temperature: float, exploration: float) -> Floats:
    """Chances of actions that rise with their predicted rewards, each of at least exploration / A.

    Boltzmann exploration mixed with a uniform share (Sutton and Barto, "Reinforcement Learning", 2018, section 2.8):
    what it logs can be weighted to any other policy.

    Args:
        temperature: in the unit of the rewards; a lead of this much makes an action e times as likely.

    >>> softmax_policy(np.array([[0.0, 0.0, np.log(2)]]), temperature=1.0, exploration=0.0).round(6).tolist()
    [[0.25, 0.25, 0.5]]
    >>> softmax_policy(np.array([[0.0, 9.0]]), temperature=0.01, exploration=0.2).round(6).tolist()
    [[0.1, 0.9]]
    """
    from scipy.special import softmax

    chances_BA: Floats = softmax(rewards_BA / temperature, axis=1)
    mixed_BA: Floats = (1 - exploration) * chances_BA + exploration / rewards_BA.shape[1]
    return mixed_BA
