"""Who wins, and when nobody may."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import expit, logit

from nightjar.predict.contest import COMBINED, ENCODER, RULE, TREES, TREES_ALONE, Combination, judge
from nightjar.predict.metrics import log_loss


def world(num_people: int = 2000, seed: int = 1) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes that follow from two hidden numbers, of which each model sees one."""
    random = np.random.default_rng(seed)
    one_B, two_B = random.normal(size=(2, num_people))
    outcomes_B = (random.random(num_people) < expit(1.5 * one_B + one_B.mean() + 1.5 * two_B)).astype(np.int64)
    return outcomes_B, expit(1.5 * one_B), expit(1.5 * two_B)


def test_two_halves_of_the_truth_are_joined() -> None:
    outcomes_B, trees_B, encoder_B = world()
    joined = Combination.fit(trees_B, encoder_B, outcomes_B)
    assert (joined.trees, joined.encoder) == pytest.approx((1, 1), abs=0.2)
    later_B, trees_B, encoder_B = world(seed=2)
    both = log_loss(later_B, joined.apply(trees_B, encoder_B))
    assert both < min(log_loss(later_B, trees_B), log_loss(later_B, encoder_B)) - 0.05


def test_a_model_that_says_the_opposite_gets_no_weight_and_one_that_says_nothing_does_no_harm() -> None:
    outcomes_B, trees_B, encoder_B = world()
    assert Combination.fit(trees_B, 1 - encoder_B, outcomes_B).encoder == 0
    half_B = np.full(len(outcomes_B), 0.5)
    alone = Combination.fit(trees_B, half_B, outcomes_B).apply(trees_B, half_B)
    assert np.argsort(alone).tolist() == np.argsort(trees_B).tolist()


def test_what_is_not_shown_to_help_is_left_out() -> None:
    """Whatever chance makes of a model that knows nothing, trees stay as they are; who knows a little more is heard."""
    noises = [np.random.default_rng(seed).normal(size=2000) for seed in range(20)]
    outcomes_B, trees_B, encoder_B = world()
    kept = [Combination.fit(trees_B, expit(noise_B), outcomes_B) == TREES_ALONE for noise_B in noises]
    assert sum(kept) >= 15
    stacks = [Combination.stack(trees_B, expit(noise_B), outcomes_B) for noise_B in noises]
    assert any(stack.encoder > 0 for stack, is_kept in zip(stacks, kept, strict=True) if is_kept)
    assert Combination.fit(trees_B, encoder_B, outcomes_B) == Combination.stack(trees_B, encoder_B, outcomes_B)
    alone = Combination.stack(trees_B, None, outcomes_B)
    assert alone.encoder == 0
    assert alone.trees > 0


def test_certainty_does_not_blow_up() -> None:
    outcomes_B = np.array([0, 0, 1, 1] * 50)
    joined = Combination.fit(outcomes_B.astype(float), np.full(200, 0.5), outcomes_B)
    assert np.isfinite([joined.bias, joined.trees, joined.encoder]).all()
    assert logit(joined.apply(np.array([0.0, 1.0]), np.array([0.5, 0.5]))).round().tolist() != [0, 0]


def test_the_best_on_the_later_window_wins_if_it_beats_the_rule() -> None:
    outcomes_B, trees_B, encoder_B = world()
    rule_B = np.random.default_rng(3).random(len(outcomes_B))
    both_B = expit(logit(trees_B) + logit(encoder_B))
    scores = {RULE: rule_B, TREES: trees_B, ENCODER: encoder_B, COMBINED: both_B}
    verdict = judge("auroc", outcomes_B, scores, min_positives=30, seed=1)
    assert (verdict.winner, verdict.promoted) == (COMBINED, True)
    assert verdict.contenders[COMBINED].ahead_of_rule.low > 0
    assert "combined: auroc" in verdict.reason


def test_of_equals_the_cheaper_one_serves() -> None:
    outcomes_B, trees_B, _ = world()
    rule_B = np.full(len(outcomes_B), 0.5)
    scores = {RULE: rule_B, COMBINED: trees_B, ENCODER: trees_B, TREES: trees_B}
    assert judge("average_precision", outcomes_B, scores, min_positives=30, seed=1).winner == TREES


def test_chance_promotes_nobody() -> None:
    outcomes_B, trees_B, _ = world()
    nearly_B = np.clip(trees_B + np.random.default_rng(1).normal(0, 0.001, len(trees_B)), 0, 1)
    verdict = judge("auroc", outcomes_B, {RULE: trees_B, TREES: nearly_B}, min_positives=30, seed=1)
    assert (verdict.winner, verdict.promoted) == (RULE, False)


def test_too_few_of_either_outcome_decide_nothing() -> None:
    outcomes_B = np.zeros(1000, np.int64)
    outcomes_B[:29] = 1
    scores = {RULE: np.full(1000, 0.5), TREES: outcomes_B * 0.9}
    for happened_B in (outcomes_B, 1 - outcomes_B):
        verdict = judge("auroc", happened_B, scores, min_positives=30, seed=1)
        assert (verdict.winner, verdict.promoted) == (RULE, False)
        assert "29 of the rarer outcome" in verdict.reason
