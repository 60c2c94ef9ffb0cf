"""Metrics against numbers worked out by hand, intervals against the textbook's plain loop."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest

from nightjar.learn import metrics
from nightjar.learn.metrics import MISS


def scored(*rows: list[float]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_a_target_with_the_highest_score_has_rank_one() -> None:
    assert metrics.ranks(scored([0.1, 0.9, 0.3]), np.array([1])).tolist() == [1.0]


def test_ties_count_against_the_scorer() -> None:
    assert metrics.ranks(scored([0.5, 0.5, 0.5, 0.1]), np.array([0])).tolist() == [3.0]


def test_a_constant_scorer_ranks_every_target_last() -> None:
    assert metrics.ranks(np.zeros((2, 7), np.float32), np.array([0, 6])).tolist() == [7.0, 7.0]


@pytest.mark.parametrize("score", [-math.inf, math.nan, math.inf])
def test_a_target_without_a_finite_score_is_a_miss(score: float) -> None:
    assert metrics.ranks(scored([0.1, score, 0.3]), np.array([1])).tolist() == [MISS]


def test_items_without_a_score_stand_behind_every_target() -> None:
    assert metrics.ranks(scored([-math.inf, -5.0, math.nan]), np.array([1])).tolist() == [1.0]


def test_scores_are_compared_in_float32() -> None:
    with pytest.raises(AssertionError):
        metrics.ranks(np.zeros((1, 2), np.float64), np.array([0]))  # type: ignore[arg-type]


def test_metrics_by_hand() -> None:
    ranks = np.array([1.0, 2.0, 7.0, 10.0, 11.0, MISS])
    assert metrics.hr(ranks, 10).tolist() == [1, 1, 1, 1, 0, 0]
    # 1/log2(2), 1/log2(3), 1/log2(8), 1/log2(11)
    np.testing.assert_allclose(metrics.ndcg(ranks, 10), [1, 0.6309297536, 1 / 3, 0.2890648263, 0, 0], rtol=1e-9)
    np.testing.assert_allclose(metrics.reciprocal_rank(ranks), [1, 0.5, 1 / 7, 0.1, 1 / 11, 0], rtol=1e-12)


def test_recall_is_the_share_of_each_users_targets() -> None:
    ranks, owners = np.array([1.0, 2.0, 21.0, 20.0, MISS]), np.array([0, 0, 0, 2, 2])
    found = metrics.recall(ranks, owners, num_users=3, k=20)
    np.testing.assert_allclose(found, [2 / 3, math.nan, 0.5])


def test_metrics_that_the_promotion_rule_may_name_exist() -> None:
    from typing import get_args

    from nightjar.settings import Promotion

    assert set(metrics.per_user(np.array([1.0]))) == set(get_args(Promotion.model_fields["metric"].annotation))


def test_the_interval_is_that_of_resampling_users_one_by_one() -> None:
    values = np.random.default_rng(7).choice([0.0, 0.3, 0.63, 1.0], size=400, p=[0.7, 0.1, 0.1, 0.1])
    rng = np.random.default_rng(8)
    means = [rng.choice(values, size=len(values)).mean() for _ in range(4000)]
    low, high = np.quantile(means, [0.025, 0.975])
    interval = metrics.bootstrap(values, seed=1, num_resamples=4000)
    assert interval.mean == pytest.approx(values.mean())
    # Quantiles of 4,000 resamples wander by about 0.0007 here (standard error of the mean 0.017).
    assert interval.low == pytest.approx(low, abs=0.003)
    assert interval.high == pytest.approx(high, abs=0.003)


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(3)
    covered = 0
    for trial in range(300):
        low, high = metrics.bootstrap((rng.random(200) < 0.3).astype(float), seed=trial, num_resamples=300)[1:]
        covered += low <= 0.3 <= high
    assert 0.90 <= covered / 300 <= 0.985


def test_a_seed_repeats_the_interval_whatever_the_slab(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(5).random(50)
    whole = metrics.bootstrap(values, seed=9)
    monkeypatch.setattr(metrics, "_CELLS", 333)
    assert metrics.bootstrap(values, seed=9) == whole
    assert metrics.bootstrap(values, seed=10) != whole


def test_a_paired_difference_is_tighter_than_unpaired_intervals() -> None:
    noise = np.random.default_rng(2).random(500)
    difference = metrics.bootstrap_difference(noise + 0.01, noise, seed=1)
    assert difference.low == pytest.approx(0.01)
    assert difference.high == pytest.approx(0.01)
    assert metrics.bootstrap(noise, seed=1).low + 0.01 < metrics.bootstrap(noise, seed=1).high


def test_paired_means_the_same_users() -> None:
    with pytest.raises(ValueError, match="2 values against 3"):
        metrics.bootstrap_difference(np.zeros(2), np.zeros(3), seed=1)


def test_nobody_evaluated_gives_no_number() -> None:
    assert all(math.isnan(number) for number in metrics.bootstrap(np.empty(0), seed=1))


def test_the_examples_in_the_docstrings_hold() -> None:
    found = doctest.testmod(metrics)
    assert found.attempted > 10
    assert found.failed == 0


def test_cutoffs_by_hand() -> None:
    found = metrics.at_cutoffs(np.array([1.0, 3.0, 21.0, MISS]))
    assert set(found) == {f"{name}@{k}" for name in ("hr", "ndcg", "mrr") for k in (1, 5, 10, 20, 50)}
    assert found["hr@20"].tolist() == [1, 1, 0, 0]
    assert found["ndcg@5"].tolist() == [1, 0.5, 0, 0]
    np.testing.assert_allclose(found["mrr@50"], [1, 1 / 3, 1 / 21, 0])
    assert found["mrr@1"].tolist() == [1, 0, 0, 0]


def test_beside_accuracy_agrees_with_lists_one_by_one() -> None:
    """Ten lists of three of nine items, against plain definitions over the lists themselves."""
    rng = np.random.default_rng(1)
    lists = np.array([rng.permutation(9)[:3] for _ in range(10)])
    events = rng.integers(0, 20, 9)
    shown = np.bincount(lists.ravel(), minlength=9)
    shares = sorted(shown / shown.sum())
    plain_gini = sum(abs(one - other) for one in shares for other in shares) / (2 * 9)
    assert metrics.gini(shown) == pytest.approx(plain_gini)
    apart = [1 - len(set(a) & set(b)) / 3 for place, a in enumerate(lists) for b in lists[:place]]
    assert metrics.personalisation(shown, 10) == pytest.approx(np.mean(apart))
    touched = [item for item, count in enumerate(events) for _ in range(count)]
    lift = np.mean([events[item] for item in lists.ravel()]) / np.mean([events[item] for item in touched])
    assert metrics.popularity_lift(shown, events) == pytest.approx(lift)
    bits = [-math.log2((events[item] + 1) / (events.sum() + 9)) for item in lists.ravel()]
    assert metrics.novelty(shown, events) == pytest.approx(np.mean(bits))


def test_lists_of_nothing_have_numbers() -> None:
    nothing = np.zeros(3, np.int64)
    assert metrics.gini(nothing) == metrics.novelty(nothing, nothing) == metrics.popularity_lift(nothing, nothing) == 0
    assert metrics.personalisation(nothing, 0) == metrics.coverage(np.zeros(0, np.int64)) == 0
