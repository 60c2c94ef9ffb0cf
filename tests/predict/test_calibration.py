"""Calibration on simulated people whose probabilities are known, and against scikit-learn's unbounded fit."""

from __future__ import annotations

import doctest
import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from nightjar.monitor.drift import population_stability
from nightjar.predict import calibration
from nightjar.predict.calibration import Calibration, Deciles
from nightjar.predict.metrics import expected_calibration_error, log_loss


def population(size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What people do, and their true probabilities."""
    rng = np.random.default_rng(seed)
    truth = rng.beta(1.2, 6, size)
    return (rng.random(size) < truth).astype(np.int64), truth


#: Scorers that know the order and not the probabilities.
DISTORTIONS = {
    "too sure": lambda truth: truth**3 / (truth**3 + (1 - truth) ** 3),
    "too shy": lambda truth: truth**0.4 / (truth**0.4 + (1 - truth) ** 0.4),
    "too high": lambda truth: truth**0.3,
    "squeezed": lambda truth: 0.3 + 0.4 * truth,
    "positives sampled": lambda truth: 10 * truth / (10 * truth + 1 - truth),
}


def test_the_examples_in_the_docstrings_hold() -> None:
    found = doctest.testmod(calibration)
    assert found.attempted > 3
    assert found.failed == 0


@pytest.mark.parametrize("distort", DISTORTIONS.values(), ids=DISTORTIONS)
def test_other_peoples_log_loss_and_calibration_error_fall(distort) -> None:  # type: ignore[no-untyped-def]
    y, truth = population(20_000, seed=1)
    map_ = calibration.fit(y, distort(truth))
    assert map_.kind == "beta"
    other_y, other_truth = population(40_000, seed=2)
    before, after = distort(other_truth), map_.apply(distort(other_truth))
    assert log_loss(other_y, after) < log_loss(other_y, before) - 0.005
    assert log_loss(other_y, after) < log_loss(other_y, other_truth) + 0.004, "almost as good as the truth"
    assert expected_calibration_error(other_y, before) > 0.03
    assert expected_calibration_error(other_y, after) <= 0.02


def test_a_calibrated_scorer_is_left_almost_alone() -> None:
    map_ = calibration.fit(*population(50_000, seed=3))
    scores = np.linspace(0.01, 0.6, 50)
    np.testing.assert_allclose(map_.apply(scores), scores, atol=0.02)


def test_the_fit_is_scikit_learns_where_no_bound_is_met() -> None:
    y, truth = population(5000, seed=4)
    scores = DISTORTIONS["too sure"](truth)
    features = np.column_stack([np.log(scores), -np.log1p(-scores)])
    ones, zeros = y.sum(), (1 - y).sum()
    target = np.where(y == 1, (ones + 1) / (ones + 2), 1 / (zeros + 2))
    # A label between 0 and 1 is a person counted under both, with these weights.
    plain = LogisticRegression(C=np.inf, tol=1e-10, max_iter=2000).fit(
        np.vstack([features, features]), np.repeat([1, 0], len(y)), sample_weight=np.append(target, 1 - target)
    )
    map_ = calibration.fit(y, scores)
    assert (map_.a, map_.b, map_.c) == pytest.approx((*plain.coef_[0], plain.intercept_[0]), abs=2e-3)


@given(
    st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), min_size=60, max_size=120),
    st.lists(st.floats(0, 1), min_size=2, max_size=20),
)
@settings(deadline=None, max_examples=50)
def test_order_is_kept_and_numbers_are_finite_whatever_people_did(
    sample: list[tuple[int, float]], others: list[float]
) -> None:
    y, scores = (np.array(part) for part in zip(*sample, strict=True))
    said = calibration.fit(y, scores).apply(np.sort(np.array([0.0, 1.0, *others])))
    assert np.isfinite(said).all()
    assert said.min() >= 0
    assert said.max() <= 1
    assert (np.diff(said) >= 0).all()


@pytest.mark.parametrize(
    ("rarer", "kind"), [(0, "identity"), (19, "identity"), (20, "platt"), (29, "platt"), (30, "beta")]
)
@pytest.mark.parametrize("positive", [0, 1])
def test_few_people_of_a_class_get_a_map_of_fewer_numbers(rarer: int, kind: str, positive: int) -> None:
    y = np.where(np.arange(500) < rarer, positive, 1 - positive)
    scores = np.random.default_rng(1).random(500)
    map_ = calibration.fit(y, scores)
    assert map_.kind == kind
    if kind == "identity":
        assert map_.apply(scores).tolist() == scores.tolist()
    if kind == "platt":
        assert map_.a == map_.b


def test_the_wrong_way_round_becomes_the_share_of_positives() -> None:
    y, truth = population(5000, seed=5)
    said = calibration.fit(y, 1 - truth).apply(np.array([0.0, 0.3, 1.0]))
    np.testing.assert_allclose(said, y.mean(), atol=1e-3)


def test_separated_classes_and_scores_of_zero_and_one_have_finite_numbers() -> None:
    y = np.repeat([0, 1], 100)
    map_ = calibration.fit(y, y.astype(np.float64))
    said = map_.apply(np.array([0.0, 1e-300, 0.5, 1.0]))
    assert np.isfinite(said).all()
    assert said[0] < 0.02
    assert said[-1] > 0.98


def test_a_map_survives_json() -> None:
    y, truth = population(2000, seed=6)
    map_ = calibration.fit(y, truth**2)
    assert Calibration(**json.loads(json.dumps(asdict(map_)))) == map_
    deciles = Deciles.of(truth)
    assert Deciles(**json.loads(json.dumps(asdict(deciles)))) == deciles


def test_what_cannot_be_calibrated_is_refused() -> None:
    with pytest.raises(ValueError, match="no probabilities"):
        calibration.fit(np.array([0, 1]), np.array([0.5, 1.5]))
    with pytest.raises(ValueError, match="NaN"):
        Calibration("beta").apply(np.array([np.nan]))
    with pytest.raises(ValueError, match="never falls"):
        Calibration("beta", a=-1.0)
    with pytest.raises(ValueError, match="never falls"):
        Calibration("beta", c=float("nan"))


def test_deciles_move_only_when_people_do() -> None:
    _, then = population(10_000, seed=7)
    deciles = Deciles.of(then)
    assert np.bincount(deciles.number(then))[1:].tolist() == [1000] * 10
    half = then[:5000]
    assert deciles.number(half).tolist() == deciles.number(then)[:5000].tolist(), "whoever else is there"
    _, now = population(10_000, seed=8)
    assert deciles.population_stability(now) < 0.01
    assert deciles.population_stability(now * 1.5) > 0.1
    assert (deciles.number(now * 1.5) >= deciles.number(now)).all()


@pytest.mark.parametrize("factor", [1.0, 1.3, 3.0])
def test_the_stability_index_is_the_monitors(factor: float) -> None:
    _, then = population(3000, seed=9)
    deciles = Deciles.of(then)
    counts = [np.bincount(deciles.number(some), minlength=11)[1:] for some in (then * factor, then)]
    ours, theirs = ({str(number): float(count) for number, count in enumerate(some)} for some in counts)
    assert deciles.population_stability(then * factor) == pytest.approx(population_stability(ours, theirs))


def test_deciles_of_ties_share_what_can_be_shared() -> None:
    deciles = Deciles.of(np.repeat([0.1, 0.2], [95, 5]))
    assert sum(deciles.shares) == pytest.approx(1)
    assert len(set(deciles.number(np.repeat([0.1, 0.2], [95, 5])).tolist())) <= 2
    assert deciles.population_stability(np.repeat([0.1, 0.2], [95, 5])) == 0
    for nothing in (np.empty(0), np.array([np.nan])):
        with pytest.raises(ValueError, match="deciles of"):
            Deciles.of(nothing)
