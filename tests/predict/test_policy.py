"""Off-policy estimators where the truth is known: simulated logs, and Open Bandit's random log beside its Thompson one.

The logs are not ours to ship: set NIGHTJAR_REAL_DATA to a folder that holds them; without it those tests skip.
"""

from __future__ import annotations

import doctest
import math
import os
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pytest
from jobs.ops.scores.open_bandit import NUM_ITEMS, NUM_POSITIONS, Bandit, following, rates, read

from nightjar.predict import policy
from nightjar.predict.policy import Estimate, Log
from nightjar.settings import repository

DATA = Path(os.environ.get("NIGHTJAR_REAL_DATA") or repository().parent / "shared" / "data")

#: Chance of a click by kind of person (row) and action; what the log does, and what the policy in question would do.
CLICKS = np.array([[0.1, 0.3, 0.6], [0.5, 0.2, 0.1]])
LOGGED = np.array([[0.6, 0.3, 0.1], [0.2, 0.2, 0.6]])
TARGET = np.array([[0.1, 0.2, 0.7], [0.8, 0.1, 0.1]])
TRUTH = float((TARGET * CLICKS).sum(axis=1).mean())


def draw(
    size: int, seed: int, model: np.ndarray = CLICKS, chances: np.ndarray = LOGGED
) -> tuple[Log, np.ndarray, np.ndarray]:
    """A log, and what a reward model says of the policy in question and of the actions taken."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 2, size)
    action = (rng.random(size)[:, None] > np.cumsum(LOGGED, axis=1)[kind]).sum(axis=1)
    reward = (rng.random(size) < CLICKS[kind, action]).astype(np.float64)
    rows = policy.log(reward, chances[kind, action], TARGET[kind, action])
    return rows, (TARGET * model).sum(axis=1)[kind], model[kind, action]


def every(rows: Log, expected: np.ndarray, predicted: np.ndarray, num_resamples: int = 200) -> dict[str, Estimate]:
    settings = {"seed": 1, "num_resamples": num_resamples}
    return {
        "ips": policy.inverse_propensity(rows, **settings),
        "snips": policy.self_normalised(rows, **settings),
        "clipped": policy.clipped(rows, **settings),
        "direct": policy.direct(rows, expected, **settings),
        "doubly robust": policy.doubly_robust(rows, expected, predicted, **settings),
    }


def test_the_examples_in_the_docstrings_hold() -> None:
    found = doctest.testmod(policy)
    assert found.attempted > 10
    assert found.failed == 0


def test_by_hand() -> None:
    """Weights 2, 1/2, 0 and 4."""
    rows = policy.log(np.array([1.0, 1.0, 1.0, 0.0]), np.array([0.25, 0.8, 0.5, 0.1]), np.array([0.5, 0.4, 0.0, 0.4]))
    expected, predicted = np.full(4, 0.5), np.array([0.5, 1.0, 0.5, 0.25])
    found = every(rows, expected, predicted)
    assert found["ips"].value == pytest.approx((2 + 0.5) / 4)
    assert found["snips"].value == pytest.approx((2 + 0.5) / 6.5)
    assert found["clipped"].value == pytest.approx((2 + 0.5) / 4), "the square root of four rows is 2"
    assert policy.clipped(rows, cap=1.0, seed=1).value == pytest.approx((1 + 0.5) / 4)
    assert found["direct"].value == 0.5
    # Corrections 2 x 0.5, 0, 0 and 4 x -0.25.
    assert found["doubly robust"].value == pytest.approx(0.5)
    assert found["ips"].effective_rows == pytest.approx(6.5**2 / (4 + 0.25 + 16))
    assert found["ips"].standard_error == pytest.approx(np.std([2, 0.5, 0, 0], ddof=1) / 2)
    bends = [2 * (1 - 2.5 / 6.5), 0.5 * (1 - 2.5 / 6.5), 0, -4 * 2.5 / 6.5]
    assert found["snips"].standard_error == pytest.approx(math.hypot(*bends) / 6.5)


def test_estimators_meet_the_truth_and_their_own_errors() -> None:
    """Over 300 logs: means are the truth, spreads are what the standard errors say, intervals cover."""
    found = [every(*draw(1000, seed), num_resamples=150) for seed in range(300)]
    for name in ("ips", "snips", "doubly robust"):
        values = np.array([one[name].value for one in found])
        spread = values.std()
        assert values.mean() == pytest.approx(TRUTH, abs=4 * spread / math.sqrt(300))
        assert np.mean([one[name].standard_error for one in found]) == pytest.approx(spread, rel=0.15)
        covered = np.mean([one[name].interval.low <= TRUTH <= one[name].interval.high for one in found])
        assert 0.90 <= covered <= 0.985
    spreads = {name: np.std([one[name].value for one in found]) for name in found[0]}
    assert spreads["doubly robust"] < 0.9 * spreads["ips"]
    assert spreads["snips"] < spreads["ips"]


def test_clipping_trades_bias_for_spread() -> None:
    found = [draw(1000, seed)[0] for seed in range(100)]
    cut = np.array([policy.clipped(rows, cap=2.0, seed=1, num_resamples=2).value for rows in found])
    whole = np.array([policy.inverse_propensity(rows, seed=1, num_resamples=2).value for rows in found])
    assert cut.std() < whole.std()
    assert cut.mean() < TRUTH - 0.05


def test_doubly_robust_needs_one_of_two() -> None:
    wrong_model, wrong_chances = CLICKS + 0.4, np.full_like(LOGGED, 1 / 3)
    model_off = every(*draw(200_000, 1, model=wrong_model), num_resamples=2)
    chances_off = every(*draw(200_000, 1, chances=wrong_chances), num_resamples=2)
    both_off = every(*draw(200_000, 1, model=wrong_model, chances=wrong_chances), num_resamples=2)
    assert model_off["doubly robust"].value == pytest.approx(TRUTH, abs=0.01)
    assert abs(model_off["direct"].value - TRUTH) > 0.1
    assert chances_off["doubly robust"].value == pytest.approx(TRUTH, abs=0.01)
    assert abs(chances_off["ips"].value - TRUTH) > 0.1
    assert abs(both_off["doubly robust"].value - TRUTH) > 0.1
    assert any("mean weight" in said for said in chances_off["ips"].warnings)
    assert not model_off["ips"].warnings


def test_bad_overlap_is_told() -> None:
    size = 10_000
    clicks, never = np.ones(size), np.zeros(size)
    nowhere = policy.self_normalised(policy.log(clicks, np.full(size, 0.5), never), seed=1, num_resamples=5)
    assert math.isnan(nowhere.value)
    assert nowhere.effective_rows == 0
    assert len(nowhere.warnings) == 3
    one = never.copy()
    one[0] = 1.0
    heavy = policy.inverse_propensity(policy.log(clicks, np.full(size, 1e-4), one), seed=1, num_resamples=5)
    assert [said.split()[0] for said in heavy.warnings] == ["the", "one"], "few rows, and one of them carries all"
    assert not policy.inverse_propensity(policy.log(clicks, np.full(size, 0.5), np.full(size, 0.5)), seed=1).warnings
    assert (
        "2 weights were clipped"
        in policy.clipped(policy.log(clicks[:3], np.array([0.1, 0.1, 1.0]), np.ones(3)), cap=5.0, seed=1).warnings
    )


@pytest.mark.parametrize(
    ("reward", "logged", "target", "said"),
    [
        ([1.0], [0.0], [0.5], "no chance"),
        ([1.0], [1.2], [0.5], "above 1"),
        ([1.0], [0.5], [1.5], "not between 0 and 1"),
        ([math.nan], [0.5], [0.5], "no number"),
        ([1.0, 0.0], [0.5], [0.5], "of the same rows"),
        ([], [], [], "of the same rows"),
    ],
)
def test_what_cannot_be_weighted_is_refused(reward: list, logged: list, target: list, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        policy.log(np.array(reward), np.array(logged), np.array(target))


def test_predictions_are_of_the_rows() -> None:
    rows, expected, predicted = draw(10, 1)
    with pytest.raises(ValueError, match="10 rows against 9"):
        policy.direct(rows, expected[1:], seed=1)
    with pytest.raises(ValueError, match="no number"):
        policy.doubly_robust(rows, expected, predicted * math.nan, seed=1)


def test_a_softmax_policy_is_a_policy() -> None:
    rewards = np.random.default_rng(1).normal(size=(50, 7)) * 1e3
    chances = policy.softmax_policy(rewards, temperature=1e-3, exploration=0.07)
    np.testing.assert_allclose(chances.sum(axis=1), 1)
    assert chances.min() >= 0.01 - 1e-12
    assert (chances.argmax(axis=1) == rewards.argmax(axis=1)).all()


def open_bandit(name: str) -> Bandit:
    path = DATA / "open_bandit" / name / "men.csv.gz"
    if not path.exists():
        pytest.skip(f"no log {path}; set NIGHTJAR_REAL_DATA to the folder that holds it")
    return read(path)


def learnt(logs: Bandit) -> tuple[np.ndarray, np.ndarray]:
    """Click rates by position and item, and the policy that follows them."""
    found = rates(logs)
    return found, following(found)


def judged(logs: Bandit, rates: np.ndarray, chances: np.ndarray) -> dict[str, Estimate]:
    rows = policy.log(logs.click, logs.propensity, chances[logs.position, logs.item])
    expected = (rates * chances).sum(axis=1)[logs.position]
    return every(rows, expected, rates[logs.position, logs.item], num_resamples=500)


def agree(one: Estimate, other: Estimate, num_comparisons: int = 1) -> bool:
    """Whether two estimates from different rows differ by no more than chance, at 95 % over all comparisons."""
    reach = NormalDist().inv_cdf(1 - 0.025 / num_comparisons)  # Bonferroni
    return abs(one.value - other.value) < reach * math.hypot(one.standard_error, other.standard_error)


def test_the_uniform_policys_clicks_are_found_in_the_thompson_log() -> None:
    """The random log is the uniform policy's own: its mean is the truth, with a standard error of its own."""
    own, other = open_bandit("random"), open_bandit("bts")
    uniform = np.full((NUM_POSITIONS, NUM_ITEMS), 1 / NUM_ITEMS)
    rates, _ = learnt(own.part(slice(0, 5000)))
    truth = judged(own, rates, uniform)["ips"]
    assert truth.value == pytest.approx(own.click.mean())
    assert truth.effective_rows == pytest.approx(10_000)
    found = judged(other, rates, uniform)
    for name in ("ips", "snips", "clipped", "doubly robust"):
        print(name, found[name])
        assert agree(found[name], truth), name
    assert not agree(policy.inverse_propensity(policy.log(other.click, *[other.propensity] * 2), seed=1), truth), (
        "what the Thompson policy earned is another number"
    )
    assert found["ips"].effective_rows < 0.1 * len(other.click)


@pytest.mark.parametrize("teacher", ["random", "bts"])
def test_a_learnt_policy_is_worth_the_same_by_either_log(teacher: str) -> None:
    """Learnt on every other row of one log; judged on the rows between and on all of the other log.

    Every other row and not a first half: the Thompson log earned .0084 in its first half and .0054 in its second.
    """
    logs = {name: open_bandit(name) for name in ("random", "bts")}
    rates, chances = learnt(logs[teacher].part(slice(0, None, 2)))
    other = "bts" if teacher == "random" else "random"
    own, strange = judged(logs[teacher].part(slice(1, None, 2)), rates, chances), judged(logs[other], rates, chances)
    for name in ("ips", "snips", "doubly robust"):
        print(name, own[name], strange[name])
        assert agree(own[name], strange[name], num_comparisons=6), name


def test_a_policy_that_the_log_hardly_knows_is_warned_of() -> None:
    logs = open_bandit("bts")
    rare = np.bincount(logs.item, weights=1 / logs.propensity, minlength=NUM_ITEMS).argmin()
    chances = np.tile(np.eye(NUM_ITEMS)[rare], (NUM_POSITIONS, 1))
    found = policy.inverse_propensity(
        policy.log(logs.click, logs.propensity, chances[logs.position, logs.item]), seed=1
    )
    assert found.warnings
