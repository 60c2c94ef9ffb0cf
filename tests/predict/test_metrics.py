"""Metrics of scores against numbers worked out by hand, scikit-learn, and the textbook's plain loop."""

from __future__ import annotations

import doctest
import math
import time
from collections.abc import Callable

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from nightjar.predict import metrics

BINARY = (metrics.auroc, metrics.average_precision, metrics.log_loss, metrics.brier)

# Few distinct scores, so that ties, and resamples of one class, are common.
people = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), min_size=1, max_size=40).map(
    lambda rows: (np.array([row[0] for row in rows]), np.array([row[1] / 8 for row in rows]))
)


def shop(size: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    scores = rng.beta(1, 9, size)
    return (rng.random(size) < scores).astype(np.int64), scores


def test_the_examples_in_the_docstrings_hold() -> None:
    found = doctest.testmod(metrics)
    assert found.attempted > 15
    assert found.failed == 0


def test_by_hand() -> None:
    y, scores = np.array([1, 0, 0, 1, 0]), np.array([0.8, 0.6, 0.4, 0.4, 0.1])
    # Pairs: 0.8 beats three; 0.4 loses, ties, wins.
    assert metrics.auroc(y, scores) == pytest.approx(4.5 / 6)
    # The second positive shares its score with a negative: 2 of 4 stand at or above it.
    assert metrics.average_precision(y, scores) == pytest.approx((1 + 2 / 4) / 2)
    assert metrics.brier(y, scores) == pytest.approx((0.04 + 0.36 + 0.16 + 0.36 + 0.01) / 5)
    assert metrics.log_loss(y, scores) == pytest.approx(-math.log(0.8 * 0.4 * 0.6 * 0.4 * 0.9) / 5)


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_says_nothing_about_order_and_something_about_probabilities(label: int) -> None:
    y, scores = np.full(3, label), np.array([0.2, 0.5, 0.8])
    assert math.isnan(metrics.auroc(y, scores))
    assert math.isnan(metrics.average_precision(y, scores)) == (label == 0)
    assert metrics.brier(y, scores) == pytest.approx((0.04 + 0.25 + 0.64) / 3)
    assert metrics.log_loss(y, scores) == pytest.approx(-math.log(0.2 * 0.5 * 0.8) / 3)
    assert np.isnan(metrics.lift_and_gain(y, scores).gain).all() == (label == 0)


def test_nobody_gives_no_number() -> None:
    nobody = np.empty(0, np.int64), np.empty(0)
    assert all(math.isnan(metric(*nobody)) for metric in (*BINARY, metrics.expected_calibration_error))
    assert math.isnan(metrics.least_cost_threshold(*nobody, false_positive=1, false_negative=1).cost)
    assert math.isnan(metrics.top1_accuracy(nobody[0], np.empty((0, 3))))
    for metric in (*BINARY, metrics.expected_calibration_error):
        assert all(math.isnan(number) for number in metrics.bootstrap(metric, *nobody, seed=1))
    assert all(math.isnan(number) for number in metrics.bootstrap(metrics.auroc, *shop(1), seed=1)), "one class only"


@pytest.mark.parametrize("metric", [*BINARY, metrics.expected_calibration_error, metrics.lift_and_gain])
def test_what_is_no_score_is_refused(metric: Callable[[np.ndarray, np.ndarray], float]) -> None:
    with pytest.raises(ValueError, match="1 scores are NaN"):
        metric(np.array([0, 1]), np.array([0.5, math.nan]))
    with pytest.raises(ValueError, match="2 labels against 3"):
        metric(np.array([0, 1]), np.array([0.5, 0.5, 0.5]))
    with pytest.raises(ValueError, match="0 or 1"):
        metric(np.array([0, 2]), np.array([0.5, 0.5]))


def test_probabilities_are_asked_for_where_they_count() -> None:
    y, scores = np.array([0, 1]), np.array([-1.0, 3.0])
    assert metrics.auroc(y, scores) == metrics.average_precision(y, scores) == 1
    for metric in (metrics.log_loss, metrics.brier, metrics.expected_calibration_error):
        with pytest.raises(ValueError, match="no probabilities"):
            metric(y, scores)


def test_being_sure_and_wrong_is_dear_and_finite() -> None:
    assert metrics.log_loss(np.array([1]), np.array([0.0])) == pytest.approx(36.04, abs=0.01)


@given(people)
@settings(deadline=None)
def test_the_calibration_curve_is_scikit_learns(sample: tuple[np.ndarray, np.ndarray]) -> None:
    y, scores = sample
    observed, predicted = calibration_curve(y, scores, n_bins=5, strategy="quantile")
    curve = metrics.reliability(y, scores, num_bins=5)
    np.testing.assert_allclose(curve.predicted, predicted)
    np.testing.assert_allclose(curve.observed, observed)
    assert curve.num_people.sum() == len(y)


def test_calibrated_scores_have_a_small_calibration_error() -> None:
    y, scores = shop(50_000)
    assert metrics.expected_calibration_error(y, scores) < 0.005
    assert metrics.expected_calibration_error(y, scores**0.5) > 0.1


@given(people, st.randoms(use_true_random=False))
def test_gains_do_not_depend_on_the_order_of_rows(sample: tuple[np.ndarray, np.ndarray], random) -> None:  # type: ignore[no-untyped-def]
    y, scores = sample
    order = np.array(random.sample(range(len(y)), len(y)))
    for one, other in zip(
        metrics.lift_and_gain(y, scores), metrics.lift_and_gain(y[order], scores[order]), strict=True
    ):
        np.testing.assert_allclose(one, other)


def test_gains_of_ties_are_the_mean_over_their_orders() -> None:
    rng = np.random.default_rng(1)
    y, scores = rng.integers(0, 2, 20), np.repeat([0.9, 0.5, 0.2], [3, 10, 7])
    plain = np.zeros(10)
    for _ in range(4000):
        order = np.lexsort((rng.random(20), -scores))
        plain += np.cumsum(y[order])[1::2] / y.sum() / 4000
    np.testing.assert_allclose(metrics.lift_and_gain(y, scores).gain, plain, atol=0.01)


def test_lift_by_hand() -> None:
    """Ten people, two of them positive, first and fourth."""
    y = np.array([1, 0, 0, 1, 0, 0, 0, 0, 0, 0])
    found = metrics.lift_and_gain(y, np.linspace(1, 0, 10))
    np.testing.assert_allclose(found.gain, [0.5, 0.5, 0.5, 1, 1, 1, 1, 1, 1, 1])
    np.testing.assert_allclose(found.lift, [5, 0, 0, 5, 0, 0, 0, 0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(found.cumulative_lift[:4], [5, 2.5, 5 / 3, 2.5])


@given(people, st.integers(0, 5), st.integers(0, 5))
def test_no_threshold_is_cheaper_than_the_cheapest(
    sample: tuple[np.ndarray, np.ndarray], false_positive: int, false_negative: int
) -> None:
    costs = {"false_positive": false_positive, "false_negative": false_negative}
    best = metrics.least_cost_threshold(*sample, **costs)
    every = {value: metrics.expected_cost(*sample, value, **costs) for value in [*np.unique(sample[1]), math.inf]}
    assert best.cost == pytest.approx(min(every.values()))
    assert best.threshold == max(value for value, cost in every.items() if cost == pytest.approx(best.cost))


def test_calibrated_scores_are_cut_where_costs_say() -> None:
    best = metrics.least_cost_threshold(*shop(200_000), false_positive=1, false_negative=4)
    assert best.threshold == pytest.approx(1 / (1 + 4), abs=0.03)


def test_several_classes_by_hand() -> None:
    y = np.array([0, 1, 2, 1])
    scores = np.array([[0.5, 0.3, 0.2], [0.2, 0.5, 0.3], [0.6, 0.3, 0.1], [0.4, 0.4, 0.2]])
    assert metrics.top1_accuracy(y, scores) == 0.5, "the last is a tie"
    assert metrics.multiclass_log_loss(y, scores) == pytest.approx(-math.log(0.5 * 0.5 * 0.1 * 0.4) / 4)
    wanted = sklearn.metrics.roc_auc_score(y, scores, multi_class="ovr", average="macro")
    assert metrics.macro_auroc(y, scores) == pytest.approx(wanted)
    assert metrics.macro_auroc(y[[0, 1]], scores[[0, 1]]) == 1, "nobody is of the third class: it does not count"
    with pytest.raises(ValueError, match="with 3 classes"):
        metrics.top1_accuracy(np.array([3]), scores[:1])
    with pytest.raises(ValueError, match="add up to 1"):
        metrics.multiclass_log_loss(y, scores * 2)


@given(people, st.integers(0, 2**32))
@settings(deadline=None)
def test_counted_resamples_give_scikit_learns_weighted_metrics(
    sample: tuple[np.ndarray, np.ndarray], seed: int
) -> None:
    y, scores = sample
    drawn = next(metrics.resamples(len(y), seed=seed, num_resamples=1))
    there = drawn > 0  # scikit-learn takes a weight of zero for a person
    if 0 < drawn @ y < drawn.sum():
        for metric, theirs in (
            (metrics.auroc, sklearn.metrics.roc_auc_score),
            (metrics.average_precision, sklearn.metrics.average_precision_score),
            (metrics.brier, sklearn.metrics.brier_score_loss),
            (metrics.log_loss, lambda y, p, sample_weight: sklearn.metrics.log_loss(y, p, sample_weight=sample_weight)),
        ):
            ours = metrics._resampled(metric, y, scores)(drawn)
            assert ours == pytest.approx(theirs(y[there], scores[there], sample_weight=drawn[there]))


@pytest.mark.parametrize("metric", BINARY)
def test_counting_is_the_same_as_drawing_people(metric: metrics.Metric) -> None:
    y, scores = shop(300)
    counted = metrics.paired_bootstrap(metric, y, scores, scores[::-1], seed=3, num_resamples=60)
    drawn = metrics.paired_bootstrap(
        lambda y, scores: metric(y, scores), y, scores, scores[::-1], seed=3, num_resamples=60
    )
    assert counted == pytest.approx(drawn)


def test_the_interval_of_auroc_covers_the_truth_as_often_as_it_says() -> None:
    y, scores = shop(400_000, seed=9)
    truth = metrics.auroc(y, scores)
    covered = 0
    for trial in range(100):
        low, high = metrics.bootstrap(metrics.auroc, *shop(500, seed=trial), seed=trial, num_resamples=200)[1:]
        covered += low <= truth <= high
    assert 0.87 <= covered / 100 <= 0.99


def test_pairing_finds_what_two_intervals_hide() -> None:
    y, scores = shop(3000)
    worse = scores + np.random.default_rng(1).normal(0, 0.02, 3000)
    difference = metrics.paired_bootstrap(metrics.auroc, y, scores, worse, seed=1)
    assert difference.low > 0
    alone = [metrics.bootstrap(metrics.auroc, y, one, seed=1) for one in (scores, worse)]
    assert alone[0].low < alone[1].high


def test_a_seed_repeats_an_interval() -> None:
    y, scores = shop(200)
    first = metrics.bootstrap(metrics.auroc, y, scores, seed=4, num_resamples=50)
    assert metrics.bootstrap(metrics.auroc, y, scores, seed=4, num_resamples=50) == first
    assert metrics.bootstrap(metrics.auroc, y, scores, seed=5, num_resamples=50) != first


def test_a_difference_needs_scores_of_the_same_people() -> None:
    with pytest.raises(ValueError, match="2 labels against 3"):
        metrics.paired_bootstrap(metrics.auroc, np.array([0, 1]), np.zeros(2), np.zeros(3), seed=1)


def test_a_thousand_resamples_of_a_hundred_thousand_people_take_seconds() -> None:
    """A tenth of the resamples, a tenth of 20 seconds of a processor: scikit-learn would take ten times that."""
    y, scores = shop(100_000)
    start = time.process_time()
    metrics.paired_bootstrap(metrics.auroc, y, scores, scores**2 + scores, seed=1, num_resamples=100)
    assert time.process_time() - start < 2
