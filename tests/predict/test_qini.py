"""Measures of uplift by hand, against plain loops, and against people both of whose outcomes are known."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest

from nightjar.predict import qini
from nightjar.predict.qini import Trial, trial


def world(size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What people are, what they do without treatment, and what they do with it."""
    rng = np.random.default_rng(seed)
    x, draw = rng.random(size), rng.random(size)
    return x, (draw < 0.1 + 0.3 * x).astype(float), (draw < 0.1 + 0.3 * x + 0.2 * (x > 0.7)).astype(float)


def logged(size: int, propensity: np.ndarray | float, seed: int = 0) -> tuple[np.ndarray, Trial]:
    x, without, with_ = world(size, seed)
    treated = np.random.default_rng(seed + 1000).random(size) < propensity
    return x, trial(treated, np.where(treated, with_, without), propensity)


def test_the_examples_in_the_docstrings_hold() -> None:
    found = doctest.testmod(qini)
    assert found.attempted > 5
    assert found.failed == 0


def test_by_hand_with_unequal_chances() -> None:
    """Weights 2, 4, 2 and 4/3; the treated carry 2 + 2, the others 4 + 4/3."""
    people = trial(
        np.array([True, False, True, False]), np.array([1.0, 1.0, 1.0, 0.0]), np.array([0.5, 0.75, 0.5, 0.25])
    )
    curve = qini.qini_curve(np.array([4.0, 3.0, 2.0, 1.0]), people)
    # Without: unknown (0), 1, 1, 4 / (4 + 4/3) = 3/4; treated so far 2, 2, 4, 4 of 4.
    np.testing.assert_allclose(curve.gain, [0, 2 / 4, 0, 0, 4 / 4 - 3 / 4])
    assert qini.auuc(curve) == pytest.approx(0.25 * (0.5 + 0.25 / 2))
    assert qini.qini(curve) == pytest.approx(0.25 * (0.5 + 0.25 / 2) - 0.25 / 2)


def test_tied_people_are_one_step_whatever_their_order() -> None:
    rng = np.random.default_rng(3)
    x, people = logged(300, 0.5)
    scores, order = np.floor(4 * x), rng.permutation(300)
    curve = qini.qini_curve(scores, people)
    assert len(curve.depth) == 1 + 4
    np.testing.assert_allclose(qini.qini_curve(scores[order], people.of(order)).gain, curve.gain)
    assert qini.qini(qini.qini_curve(np.zeros(300), people)) == pytest.approx(0), "one score for all ranks nobody"


def test_the_end_of_the_curve_is_the_average_effect() -> None:
    x, people = logged(5000, 0.3)
    wanted = people.outcome[people.treated].mean() - people.outcome[~people.treated].mean()
    assert qini.qini_curve(x, people).gain[-1] == pytest.approx(wanted)


def test_weights_make_up_for_a_rule_that_treated_buyers_more() -> None:
    size = 400_000
    x, without, with_ = world(size)
    truth = np.cumsum((with_ - without)[np.argsort(-x)]) / size
    wanted = truth.mean() - truth[-1] / 2
    propensity = 0.15 + 0.7 * x
    _, people = logged(size, propensity)
    weighted = qini.qini(qini.qini_curve(x, people))
    plain = qini.qini(qini.qini_curve(x, people._replace(propensity=np.full(size, 0.5))))
    assert weighted == pytest.approx(wanted, abs=0.002)
    assert abs(plain - wanted) > 0.004


def test_counted_resamples_are_people_drawn() -> None:
    x, people = logged(200, 0.4)
    scores, other = np.floor(20 * x), np.floor(20 * x[::-1])
    interval = qini.paired_bootstrap(qini.qini, scores, other, people, seed=2, num_resamples=40)
    plain = []
    for drawn in qini.resamples(200, seed=2, num_resamples=40):
        rows = np.repeat(np.arange(200), drawn)
        curves = [qini.qini_curve(some[rows], people.of(rows)) for some in (scores, other)]
        plain.append(qini.qini(curves[0]) - qini.qini(curves[1]))
    assert interval[1:] == pytest.approx(np.quantile(plain, [0.025, 0.975]))


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    x, without, with_ = world(400_000, seed=9)
    truth = np.cumsum((with_ - without)[np.argsort(-x)]) / len(x)
    wanted = truth.mean() - truth[-1] / 2
    covered = 0
    for seed in range(300):
        low, high = qini.bootstrap(qini.qini, *logged(800, 0.5, seed), seed=seed, num_resamples=150)[1:]
        covered += low <= wanted <= high
    assert 0.90 <= covered / 300 <= 0.985


def test_deciles_find_who_is_moved() -> None:
    x, people = logged(40_000, 0.5)
    steps = qini.uplift_by_decile(x, people, seed=1, num_resamples=200)
    assert [step.num_people for step in steps] == [4000] * 10
    for number, step in enumerate(steps):
        wanted = 0.2 if number < 3 else 0.0
        assert step.uplift.mean == pytest.approx(wanted, abs=0.05)
        assert step.uplift.low < step.uplift.mean < step.uplift.high
        chosen = (x >= np.sort(x)[::-1][4000 * number + 3999]) & (x <= np.sort(x)[::-1][4000 * number])
        assert step.treated_rate == pytest.approx(people.outcome[chosen & people.treated].mean())
        assert step.control_rate == pytest.approx(people.outcome[chosen & ~people.treated].mean())


def test_a_group_without_an_arm_has_no_uplift() -> None:
    people = trial(np.array([True, True, False, True]), np.array([1.0, 0.0, 1.0, 1.0]), 0.75)
    first, last = qini.uplift_by_decile(np.array([4.0, 3.0, 2.0, 1.0]), people, seed=1, num_bins=2, num_resamples=20)
    assert math.isnan(first.control_rate)
    assert all(math.isnan(number) for number in first.uplift)
    assert last.uplift.mean == 0


@pytest.mark.parametrize(
    ("treated", "outcome", "propensity", "said"),
    [
        ([True, True], [0.0, 1.0], 0.5, "2 of 2 people were treated"),
        ([True, False], [0.0], 0.5, "2 people against 1"),
        ([True, False], [0.0, math.nan], 0.5, "no number"),
        ([True, False], [0.0, 1.0], [0.5, 0.0], "not between 0 and 1"),
        ([True, False], [0.0, 1.0], 1.0, "not between 0 and 1"),
    ],
)
def test_people_who_cannot_be_compared_are_refused(treated: list, outcome: list, propensity: object, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        trial(np.array(treated), np.array(outcome), np.array(propensity))


def test_what_is_no_score_is_refused() -> None:
    _, people = logged(10, 0.5)
    for judge in (qini.qini_curve, lambda scores, people: qini.uplift_by_decile(scores, people, seed=1)):
        with pytest.raises(ValueError, match="10 people against 9"):
            judge(np.zeros(9), people)
        with pytest.raises(ValueError, match="10 scores are NaN"):
            judge(np.full(10, math.nan), people)
