"""How good scores of people are, as free functions, with intervals from resampling people.

Everywhere `y` holds 0 or 1 per person, or the number of a class, and scores are probabilities unless a docstring says
that only their order counts. A score that is NaN, a label that is neither 0 nor 1, and arrays of different lengths
raise ValueError: nothing is dropped in silence. What a sample cannot tell, such as the AUROC of people who all bought,
is NaN.

Legend: B people, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nightjar.learn.metrics import Interval, hr, ranks

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]
Labels = NDArray[np.int64] | NDArray[np.bool_]

#: Of labels and scores of the same people.
Metric = Callable[[Labels, Floats], float]

#: Groups of a calibration curve and of a table of gains.
NUM_BINS = 10


def _checked(y: Labels, scores: Floats) -> tuple[Counts, Floats]:
    scores = np.asarray(scores, np.float64)
    if len(y) != len(scores):
        raise ValueError(f"one score per person: {len(y)} labels against {len(scores)} scores")
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).sum())} scores are NaN")
    if not np.isin(y, (0, 1)).all():
        raise ValueError("a label is 0 or 1")
    return y.astype(np.int64), scores


def probabilities(y: Labels, scores: Floats) -> tuple[Counts, Floats]:
    """Labels as integers and scores as float64, after the checks that this module's docstring names."""
    y, scores = _checked(y, scores)
    if len(scores) and not (scores.min() >= 0 and scores.max() <= 1):
        raise ValueError(f"no probabilities: scores from {scores.min()} to {scores.max()}")
    return y, scores


def auroc(y: Labels, scores: Floats) -> float:
    """Chance that a random positive stands above a random negative, a tie counting half; NaN with one class only.

    Only the order of scores counts. Fawcett, "An introduction to ROC analysis", 2006,
    https://doi.org/10.1016/j.patrec.2005.10.010.

    >>> auroc(np.array([1, 0, 1, 0]), np.array([0.9, 0.6, 0.6, 0.1]))  # of four pairs three right, one tied
    0.875
    """
    from sklearn.metrics import roc_auc_score

    y, scores = _checked(y, scores)
    return float(roc_auc_score(y, scores)) if 0 < y.sum() < len(y) else math.nan


def average_precision(y: Labels, scores: Floats) -> float:
    """Mean precision over the positives, each at its own score, tied people in one step; NaN without a positive.

    Only the order of scores counts. A scorer that knows nothing gets the share of positives. Davis and Goadrich, "The
    relationship between precision-recall and ROC curves", 2006, https://doi.org/10.1145/1143844.1143874.

    >>> average_precision(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.7, 0.1]))  # (1/1 + 2/3) / 2
    0.8333333333333333
    """
    from sklearn.metrics import average_precision_score

    y, scores = _checked(y, scores)
    return float(average_precision_score(y, scores)) if y.any() else math.nan


def log_loss(y: Labels, scores: Floats) -> float:
    """Mean of -ln of the probability that was given to what happened, in nats; NaN of nobody.

    Probabilities of 0 and 1 are moved inwards by 2.2e-16, so that being sure and wrong costs 36 nats. Good, "Rational
    decisions", 1952, https://doi.org/10.1111/j.2517-6161.1952.tb00104.x.

    >>> round(log_loss(np.array([1, 0]), np.array([0.5, 0.0])), 6)  # (ln 2 + 0) / 2
    0.346574
    """
    from sklearn.metrics import log_loss as mean_loss

    y, scores = probabilities(y, scores)
    return float(mean_loss(y, scores, labels=[0, 1])) if len(y) else math.nan


def brier(y: Labels, scores: Floats) -> float:
    """Mean squared distance between probability and what happened, 0 to 1; NaN of nobody.

    Brier, "Verification of forecasts expressed in terms of probability", 1950, in its form for two classes,
    https://doi.org/10.1175/1520-0493(1950)078%3C0001:VOFEIT%3E2.0.CO;2.

    >>> brier(np.array([1, 0]), np.array([0.5, 0.0]))
    0.125
    """
    from sklearn.metrics import brier_score_loss

    y, scores = probabilities(y, scores)
    return float(brier_score_loss(y, scores, pos_label=1)) if len(y) else math.nan


class Reliability(NamedTuple):
    """People in groups of like probability, from low to high: what was said and what happened."""

    predicted: Floats
    observed: Floats
    num_people: Counts


def reliability(y: Labels, scores: Floats, num_bins: int = NUM_BINS) -> Reliability:
    """The reliability curve over groups of equally many people; people with one score stay together.

    Groups of equally many people, since scores of rare acts crowd near zero: Nguyen and O'Connor, "Posterior
    calibration and exploratory analysis", 2015, https://arxiv.org/abs/1508.05154. Ties can leave fewer groups than
    `num_bins`.

    >>> curve = reliability(np.array([0, 0, 0, 1]), np.array([0.1, 0.3, 0.6, 0.8]), num_bins=2)
    >>> curve.predicted.round(6).tolist(), curve.observed.tolist(), curve.num_people.tolist()
    ([0.2, 0.7], [0.0, 0.5], [2, 2])
    """
    y, scores = probabilities(y, scores)
    if not len(y):
        return Reliability(np.empty(0), np.empty(0), np.empty(0, np.int64))
    edges = np.quantile(scores, np.arange(1, num_bins) / num_bins)
    group_B = np.searchsorted(edges, scores)
    num_people = np.bincount(group_B, minlength=num_bins)
    some = num_people > 0
    num_people = num_people[some]
    predicted = np.bincount(group_B, scores, num_bins)[some] / num_people
    return Reliability(predicted, np.bincount(group_B, y, num_bins)[some] / num_people, num_people)


def expected_calibration_error(y: Labels, scores: Floats, num_bins: int = NUM_BINS) -> float:
    """Mean distance between said and observed over `reliability`'s groups, weighted by people; NaN of nobody.

    Naeini et al., "Obtaining well calibrated probabilities using Bayesian binning", 2015,
    https://doi.org/10.1609/aaai.v29i1.9602. It is never quite zero: a group of n people with a true probability p
    strays by about sqrt(2 p (1 - p) / (pi n)) on its own.

    >>> round(expected_calibration_error(np.array([0, 0, 0, 1]), np.array([0.1, 0.3, 0.6, 0.8]), num_bins=2), 6)
    0.2
    """
    curve = reliability(y, scores, num_bins)
    return float(np.average(abs(curve.predicted - curve.observed), weights=curve.num_people)) if len(y) else math.nan


class Chance(NamedTuple):
    """What a metric would be were there nothing to find: its mean, and what one draw in forty is above."""

    mean: float
    high: float


def calibration_error_by_chance(scores: Floats, num_bins: int = NUM_BINS) -> Chance:
    """What `expected_calibration_error` is on people whose probabilities are right; NaN of nobody.

    A group's share then strays from its probability like a normal variable of variance p (1 - p) / n; the mean distance
    is sqrt(2 / pi) of its standard deviation, the distance's variance (1 - 2 / pi) of that variance.

    >>> found = calibration_error_by_chance(np.full(50, 0.5))  # one group: 0.0707 x 0.7979, and 1.96 x 0.0707 x 0.6028
    >>> round(found.mean, 4), round(found.high - found.mean, 4)
    (0.0564, 0.0835)
    """
    if not len(scores):
        return Chance(math.nan, math.nan)
    curve = reliability(np.zeros(len(scores), np.int64), scores, num_bins)
    weights = curve.num_people / curve.num_people.sum()
    variance = weights**2 * curve.predicted * (1 - curve.predicted) / curve.num_people
    mean = math.sqrt(2 / math.pi) * float(np.sqrt(variance).sum())
    return Chance(mean, mean + 1.959964 * math.sqrt((1 - 2 / math.pi) * float(variance.sum())))


class Gains(NamedTuple):
    """Of each depth, a share of people from the highest score down: what is found there."""

    depth: Floats
    gain: Floats  # share of all positives down to this depth
    lift: Floats  # positives of this step per person, over those of everybody
    cumulative_lift: Floats  # the same down to this depth


def lift_and_gain(y: Labels, scores: Floats, num_bins: int = NUM_BINS) -> Gains:
    """Lift and cumulated gain at deciles; NaN without a positive.

    Only the order of scores counts. A cut through people of one score takes its share of their positives, the mean over
    all orders that they could have stood in, so that the order of rows decides nothing. Ling and Li, "Data mining for
    direct marketing", KDD 1998, https://www.aaai.org/Papers/KDD/1998/KDD98-011.pdf.

    >>> found = lift_and_gain(np.array([1, 0, 1, 0]), np.array([0.9, 0.8, 0.5, 0.5]), num_bins=4)
    >>> found.gain.tolist(), found.lift.tolist()
    ([0.5, 0.5, 0.75, 1.0], [2.0, 0.0, 1.0, 1.0])
    """
    y, scores = _checked(y, scores)
    depth = np.arange(1, num_bins + 1) / num_bins
    if not y.any():
        return Gains(depth, *(np.full(num_bins, math.nan) for _ in range(3)))
    order, ends = descending(scores)
    at_ends = np.append(0.0, np.cumsum(y[order])[ends] / y.sum())
    gain = np.interp(depth, np.append(0.0, (ends + 1) / len(y)), at_ends)
    return Gains(depth, gain, np.diff(gain, prepend=0.0) * num_bins, gain / depth)


def descending(scores: Floats) -> tuple[Counts, Counts]:
    """People from the highest score down, and the last place of each group of tied ones.

    >>> [part.tolist() for part in descending(np.array([0.1, 0.5, 0.5, 0.9]))]
    [[3, 1, 2, 0], [0, 2, 3]]
    """
    order = np.argsort(-scores, kind="stable")
    return order, np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)


# Decisions: a person is flagged when the score is at least the threshold.


class Threshold(NamedTuple):
    """Where to flag people, and what that costs per person. Infinity flags nobody."""

    threshold: float
    cost: float


def expected_cost(
    y: Labels, scores: Floats, threshold: float, *, false_positive: float, false_negative: float
) -> float:
    """Mean cost per person of flagging those with at least `threshold`, in the unit of the costs; NaN of nobody.

    Elkan, "The foundations of cost-sensitive learning", IJCAI 2001, with the right decisions free.

    >>> expected_cost(np.array([1, 0, 0, 1]), np.array([0.9, 0.8, 0.1, 0.3]), 0.5, false_positive=1, false_negative=10)
    2.75
    """
    y, scores = _checked(y, scores)
    flagged = scores >= threshold
    cost = false_positive * (flagged & (y == 0)) + false_negative * (~flagged & (y == 1))
    return float(cost.mean()) if len(y) else math.nan


def least_cost_threshold(y: Labels, scores: Floats, *, false_positive: float, false_negative: float) -> Threshold:
    """The threshold of least cost on these people; of equal ones the highest, which flags fewest.

    It is chosen on the people that it is measured on, so its cost is flattered: measure it on others. With calibrated
    probabilities it tends to false_positive / (false_positive + false_negative). Elkan 2001, as above.

    >>> y, scores = np.array([1, 0, 0, 1]), np.array([0.9, 0.8, 0.1, 0.3])
    >>> least_cost_threshold(y, scores, false_positive=1, false_negative=10)
    Threshold(threshold=0.3, cost=0.25)
    """
    y, scores = _checked(y, scores)
    if not len(y):
        return Threshold(math.inf, math.nan)
    order, ends = descending(scores)
    found_B = np.cumsum(y[order])[ends]
    cost_B = false_positive * (ends + 1 - found_B) + false_negative * (y.sum() - found_B)
    costs = np.append(false_negative * y.sum(), cost_B) / len(y)
    best = int(np.argmin(costs))
    return Threshold(float(np.append(math.inf, scores[order][ends])[best]), float(costs[best]))


# Several classes: `y` numbers them, `scores_BK` are their probabilities.


def _classes(y: Counts, scores_BK: Floats) -> None:
    if len(y) != len(scores_BK):
        raise ValueError(f"one row per person: {len(y)} labels against {len(scores_BK)} rows")
    if np.isnan(scores_BK).any():
        raise ValueError(f"{int(np.isnan(scores_BK).sum())} scores are NaN")
    if len(y) and not (y.min() >= 0 and y.max() < scores_BK.shape[1]):
        raise ValueError(f"a label from {y.min()} to {y.max()} with {scores_BK.shape[1]} classes")


def top1_accuracy(y: Counts, scores_BK: Floats) -> float:
    """Share of people whose class has the highest score, a tie for the first place counting as wrong; NaN of nobody.

    Ties count as in `nightjar.learn.metrics.ranks` (float32), where a scorer that knows nothing is never right.

    >>> top1_accuracy(np.array([0, 1, 2]), np.array([[0.6, 0.3, 0.1], [0.4, 0.4, 0.2], [0.2, 0.3, 0.5]]))
    0.6666666666666666
    """
    _classes(y, scores_BK)
    return float(hr(ranks(scores_BK.astype(np.float32), y), 1).mean()) if len(y) else math.nan


def macro_auroc(y: Counts, scores_BK: Floats) -> float:
    """Mean over classes of the AUROC of one against the rest, over those that some have and some lack; NaN of none.

    Provost and Domingos 2000, without its weights: a rare class counts as much as a common one. Fawcett 2006, as above,
    section 9.

    >>> scores_BK = np.array([[0.6, 0.4, 0.0], [0.5, 0.5, 0.0], [0.7, 0.3, 0.0]])
    >>> macro_auroc(np.array([0, 1, 1]), scores_BK)  # one of two pairs in each of two classes
    0.5
    """
    _classes(y, scores_BK)
    found = [auroc(y == number, scores_B) for number, scores_B in enumerate(scores_BK.T)]
    known = [value for value in found if not math.isnan(value)]
    return float(np.mean(known)) if known else math.nan


def multiclass_log_loss(y: Counts, scores_BK: Floats) -> float:
    """Mean of -ln of the probability of the class that it was, in nats; 0 is moved to 2.2e-16; NaN of nobody.

    Good 1952, as `log_loss`. Rows must add up to 1 within 1e-6.

    >>> round(multiclass_log_loss(np.array([0, 2]), np.array([[0.5, 0.25, 0.25], [0.25, 0.25, 0.5]])), 6)
    0.693147
    """
    from sklearn.metrics import log_loss as mean_loss

    _classes(y, scores_BK)
    if not np.allclose(scores_BK.sum(axis=1), 1, atol=1e-6, rtol=0):
        raise ValueError("probabilities of a person's classes add up to 1")
    return float(mean_loss(y, scores_BK, labels=np.arange(scores_BK.shape[1]))) if len(y) else math.nan


# Intervals: a resample says how often each person is drawn.

#: A metric of people drawn so often, for one array of scores.
Resampled = Callable[[Counts], float]


def resamples(num_people: int, *, seed: int, num_resamples: int) -> Iterator[Counts]:
    """How often each person is drawn, one draw with replacement after the other; of nobody there is none.

    >>> [int(drawn.sum()) for drawn in resamples(3, seed=1, num_resamples=2)]
    [3, 3]
    """
    rng = np.random.default_rng(seed)
    for _ in range(num_resamples if num_people else 0):
        yield np.bincount(rng.integers(0, num_people, num_people), minlength=num_people)


class _Steps(NamedTuple):
    """Per group of tied people with a positive among them, highest scores first: how many were drawn."""

    positives: Counts
    negatives_before: Counts
    negatives: Counts  # down to and with this group
    num_negatives: int


def _ranked(y: Labels, scores: Floats, measure: Callable[[_Steps], float]) -> Resampled:
    """A metric of the order alone: sorted once, then counted per resample, at the places of positives only."""
    y, scores = _checked(y, scores)
    order, last = descending(scores)
    first = np.append(0, last[:-1] + 1)
    places = np.flatnonzero(y[order])
    if not len(places):
        return lambda drawn: math.nan
    some = np.unique(np.searchsorted(last, places))
    first, last = first[some], last[some]
    opens = np.searchsorted(places, first)

    def of(drawn: Counts) -> float:
        drawn = drawn[order]
        people = np.cumsum(drawn)
        positives = np.add.reduceat(drawn[places], opens)
        through = np.cumsum(positives)
        before = people[first] - drawn[first] - (through - positives)
        return measure(_Steps(positives, before, people[last] - through, int(people[-1] - through[-1])))

    return of


def _auroc_of(steps: _Steps) -> float:
    pairs = int(steps.positives.sum()) * steps.num_negatives
    beaten_twice = 2 * steps.num_negatives - steps.negatives_before - steps.negatives
    return float(steps.positives @ beaten_twice) / (2 * pairs) if pairs else math.nan


def _average_precision_of(steps: _Steps) -> float:
    found = np.cumsum(steps.positives)
    if not found[-1]:
        return math.nan
    return float((steps.positives * (found / np.maximum(found + steps.negatives, 1))).sum() / found[-1])


def _mean(losses: Floats) -> Resampled:
    return lambda drawn: float(drawn @ losses / drawn.sum())


def log_losses(y: Labels, scores: Floats) -> Floats:
    """Of each row, in nats; `log_loss` is their mean."""
    y, scores = probabilities(y, scores)
    edge = np.finfo(np.float64).eps
    losses: Floats = -np.log(np.clip(np.where(y == 1, scores, 1 - scores), edge, 1 - edge))
    return losses


def _squares(y: Labels, scores: Floats) -> Floats:
    y, scores = probabilities(y, scores)
    return (scores - y) ** 2


#: Metrics that need not see a resample's people one by one: a thousand resamples of 100,000 people take seconds.
_PREPARED: dict[Metric, Callable[[Labels, Floats], Resampled]] = {
    auroc: lambda y, scores: _ranked(y, scores, _auroc_of),
    average_precision: lambda y, scores: _ranked(y, scores, _average_precision_of),
    log_loss: lambda y, scores: _mean(log_losses(y, scores)),
    brier: lambda y, scores: _mean(_squares(y, scores)),
}


def _resampled(metric: Metric, y: Labels, scores: Floats) -> Resampled:
    if metric in _PREPARED:
        return _PREPARED[metric](y, scores)
    people = np.arange(len(y))

    def of(drawn: Counts) -> float:
        rows = np.repeat(people, drawn)
        return metric(y[rows], scores[rows])

    return of


def percentiles(point: float, resampled: Sequence[float] | Floats, level: float = 0.95) -> Interval:
    """Percentile interval of resampled values; NaN ones, of resamples that say nothing, are left out.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.

    >>> percentiles(2.0, [1.0, 2.0, 3.0, math.nan], level=0.5)
    Interval(mean=2.0, low=1.5, high=2.5)
    """
    known = np.asarray(resampled, np.float64)
    known = known[~np.isnan(known)]
    if not len(known) or math.isnan(point):
        return Interval(point, math.nan, math.nan)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return Interval(point, float(low), float(high))


def bootstrap(
    metric: Metric, y: Labels, scores: Floats, *, seed: int, num_resamples: int = 1000, level: float = 0.95
) -> Interval:
    """The metric with its percentile interval over resampled people (Efron and Tibshirani 1993, chapter 13).

    >>> bootstrap(brier, np.array([1, 0]), np.array([0.5, 0.5]), seed=1)
    Interval(mean=0.25, low=0.25, high=0.25)
    """
    of = _resampled(metric, y, scores)
    drawn = resamples(len(y), seed=seed, num_resamples=num_resamples)
    return percentiles(metric(y, scores), [of(counts) for counts in drawn], level)


def paired_bootstrap(
    metric: Metric,
    y: Labels,
    ours: Floats,
    theirs: Floats,
    *,
    seed: int,
    num_resamples: int = 1000,
    level: float = 0.95,
) -> Interval:
    """The metric's difference ours - theirs with its percentile interval, both measured on the same resampled people.

    Efron and Tibshirani 1993, chapter 13. Resampling people also holds for metrics that are no mean over people, which
    `nightjar.learn.metrics.bootstrap_difference` cannot do.

    >>> paired_bootstrap(brier, np.array([1, 0]), np.array([0.5, 0.5]), np.array([0.0, 1.0]), seed=1)
    Interval(mean=-0.75, low=-0.75, high=-0.75)
    """
    our, their = _resampled(metric, y, ours), _resampled(metric, y, theirs)
    drawn = resamples(len(y), seed=seed, num_resamples=num_resamples)
    return percentiles(metric(y, ours) - metric(y, theirs), [our(counts) - their(counts) for counts in drawn], level)
