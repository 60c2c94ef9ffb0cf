"""How well a score ranks people by what a treatment changes, from people of whom some were treated.

Nobody is seen both treated and not, so no person's uplift is known; groups' are, since treatment was drawn with a
known chance. Each person counts as many times as 1 over the chance of what they got (Horvitz and Thompson 1952), and a
group's rates are divided by the sum of those weights (Hajek 1971). With one chance for all, these are the arms' plain
rates.

Legend: B people, E ends of groups of tied people.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nightjar.learn.metrics import Interval
from nightjar.predict.metrics import NUM_BINS, Counts, Floats, descending, percentiles, resamples


class Trial(NamedTuple):
    """Who was treated, what they did (0 or 1, or an amount), and each one's chance of treatment; made by `trial`."""

    treated: NDArray[np.bool_]
    outcome: Floats
    propensity: Floats

    def of(self, people: NDArray[np.int64] | NDArray[np.bool_]) -> Trial:
        """The trial of some of its people."""
        return Trial(self.treated[people], self.outcome[people], self.propensity[people])

    @property
    def weights(self) -> Floats:
        """One over the chance of what each person got."""
        return 1 / np.where(self.treated, self.propensity, 1 - self.propensity)


def trial(treated: NDArray[np.bool_], outcome: Floats, propensity: Floats | float) -> Trial:
    """A trial, refused where its people could not be compared.

    Args:
        propensity: chance of treatment, one for all or one per person, above 0 and below 1: who could only ever get one
            of both says nothing about the other.
    """
    treated, outcome = np.asarray(treated, np.bool_), np.asarray(outcome, np.float64)
    chance = np.broadcast_to(np.asarray(propensity, np.float64), treated.shape)
    if len(outcome) != len(treated):
        raise ValueError(f"one outcome per person: {len(treated)} people against {len(outcome)} outcomes")
    if not np.isfinite(outcome).all():
        raise ValueError("an outcome is no number")
    if not ((chance > 0) & (chance < 1)).all():
        raise ValueError("a chance of treatment is not between 0 and 1: such people cannot be compared")
    if treated.all() or not treated.any():
        raise ValueError(f"{int(treated.sum())} of {len(treated)} people were treated: nobody to compare with")
    return Trial(treated, outcome, chance)


class Curve(NamedTuple):
    """Outcomes gained per person of everybody when those down to a depth are treated, highest scores first."""

    depth: Floats
    gain: Floats


def _check(scores: Floats, people: Trial) -> None:
    if len(scores) != len(people.treated):
        raise ValueError(f"one score per person: {len(people.treated)} people against {len(scores)} scores")
    if np.isnan(scores).any():
        raise ValueError(f"{int(np.isnan(scores).sum())} scores are NaN")


def _curve_of(scores: Floats, people: Trial) -> Callable[[Counts], Curve]:
    """The curve of people drawn so often; sorted once."""
    _check(scores, people)
    order, ends_E = descending(scores)
    treated_B, outcome_B, weights_B = people.treated[order], people.outcome[order], people.weights[order]
    columns_4B = np.array([treated_B, treated_B * outcome_B, ~treated_B, ~treated_B * outcome_B]) * weights_B

    def of(drawn: Counts) -> Curve:
        drawn = drawn[order]
        num_treated_E, treated_E, num_control_E, control_E = np.cumsum(columns_4B * drawn, axis=1)[:, ends_E]
        without_E = np.divide(control_E, num_control_E, out=np.zeros(len(ends_E)), where=num_control_E > 0)
        total = num_treated_E[-1] if num_control_E[-1] else 0.0
        gain_E = (treated_E - without_E * num_treated_E) / (total or math.nan)
        return Curve(np.append(0.0, np.cumsum(drawn)[ends_E] / len(order)), np.append(0.0, gain_E))

    return of


def qini_curve(scores: Floats, people: Trial) -> Curve:
    """The curve of incremental gains of Radcliffe, "Using control groups to target on predicted lift", 2007.

    It has a point where each group of tied people ends, and is straight between. The control's rate down to a depth
    stands for what the treated there would have done without; the last value is the average treatment effect.

    >>> people = trial(np.array([True, False, True, False]), np.array([1.0, 0.0, 0.0, 1.0]), 0.5)
    >>> [part.tolist() for part in qini_curve(np.array([0.9, 0.5, 0.2, 0.1]), people)]
    [[0.0, 0.25, 0.5, 0.75, 1.0], [0.0, 0.5, 0.5, 0.5, 0.0]]
    """
    return _curve_of(scores, people)(np.ones(len(scores), np.int64))


def auuc(curve: Curve) -> float:
    """Area under the uplift curve, in outcomes per person: the mean gain over all depths.

    Rzepakowski and Jaroszewicz, "Decision trees for uplift modeling with single and multiple treatments", 2012,
    https://doi.org/10.1007/s10115-011-0434-0.

    >>> auuc(Curve(np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.25, 0.25])))
    0.1875
    """
    return float(np.trapezoid(curve.gain, curve.depth))


def qini(curve: Curve) -> float:
    """Qini coefficient: the area between the curve and that of a random order, in outcomes per person.

    Radcliffe 2007, as above, not divided by the area of a perfect order, which single outcomes do not tell.

    >>> qini(Curve(np.array([0.0, 0.5, 1.0]), np.array([0.0, 0.25, 0.25])))  # 0.1875 - 0.25 / 2
    0.0625
    """
    return auuc(curve) - float(curve.gain[-1]) / 2


#: A number of a curve: `qini` or `auuc`.
Measure = Callable[[Curve], float]


def bootstrap(
    measure: Measure, scores: Floats, people: Trial, *, seed: int, num_resamples: int = 1000, level: float = 0.95
) -> Interval:
    """The measure with its percentile interval over resampled people (Efron and Tibshirani 1993, chapter 13)."""
    of = _curve_of(scores, people)
    drawn = resamples(len(scores), seed=seed, num_resamples=num_resamples)
    return percentiles(measure(qini_curve(scores, people)), [measure(of(counts)) for counts in drawn], level)


def paired_bootstrap(
    measure: Measure,
    ours: Floats,
    theirs: Floats,
    people: Trial,
    *,
    seed: int,
    num_resamples: int = 1000,
    level: float = 0.95,
) -> Interval:
    """The measure's difference ours - theirs, both on the same resampled people, with its percentile interval.

    Scores are given, so the interval holds for these scores, not for models that another sample would have made.
    """
    our, their = _curve_of(ours, people), _curve_of(theirs, people)
    drawn = resamples(len(ours), seed=seed, num_resamples=num_resamples)
    point = measure(qini_curve(ours, people)) - measure(qini_curve(theirs, people))
    return percentiles(point, [measure(our(counts)) - measure(their(counts)) for counts in drawn], level)


class Step(NamedTuple):
    """People of like score: what the treated did, what the others did, and the difference with its interval."""

    num_people: int
    treated_rate: float
    control_rate: float
    uplift: Interval


def uplift_by_decile(
    scores: Floats, people: Trial, *, seed: int, num_bins: int = NUM_BINS, num_resamples: int = 1000
) -> list[Step]:
    """Observed uplift in groups of equally many people, highest scores first; people with one score stay together.

    Ties can leave fewer groups. A rate is NaN where a group has nobody of that arm. Radcliffe 2007, section 4.

    >>> people = trial(np.array([True, False, True, False]), np.array([1.0, 0.0, 0.0, 1.0]), 0.5)
    >>> first, last = uplift_by_decile(np.array([0.9, 0.8, 0.2, 0.1]), people, seed=1, num_bins=2)
    >>> first.uplift.mean, last.uplift.mean
    (1.0, -1.0)
    """
    _check(scores, people)
    order, _ = descending(scores)
    edges = np.quantile(-scores, np.arange(1, num_bins) / num_bins)
    _, starts = np.unique(np.searchsorted(edges, -scores[order]), return_index=True)
    people, weights_B = people.of(order), people.weights[order]
    arms = (people.treated, ~people.treated)

    def rates(drawn: Counts) -> tuple[Floats, Floats]:
        weighed_B = weights_B * drawn
        with np.errstate(invalid="ignore"):
            treated, control = (
                np.add.reduceat(weighed_B * arm * people.outcome, starts) / np.add.reduceat(weighed_B * arm, starts)
                for arm in arms
            )
        return treated, control

    treated, control = rates(np.ones(len(scores), np.int64))
    drawn = resamples(len(scores), seed=seed, num_resamples=num_resamples)
    differences = np.array([np.subtract(*rates(counts[order])) for counts in drawn])
    num_people = np.diff(starts, append=len(scores))
    return [
        Step(int(size), float(with_), float(without), percentiles(float(with_ - without), differences[:, number]))
        for number, (size, with_, without) in enumerate(zip(num_people, treated, control, strict=True))
    ]
