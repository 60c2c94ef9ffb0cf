"""Learners of uplift on a simulated trial, and on Hillstrom's: the bar is a response model's Qini.

The trial is not ours to ship: set NIGHTJAR_REAL_DATA to a folder that holds it; without it those tests skip.
"""

from __future__ import annotations

import doctest
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs.ops.scores import hillstrom as campaigns

from nightjar.predict import qini, uplift
from nightjar.predict.boosted import read_boosted
from nightjar.predict.qini import Trial, trial
from nightjar.predict.uplift import Learner, logistic
from nightjar.settings import repository

DATA = Path(os.environ.get("NIGHTJAR_REAL_DATA") or repository().parent / "shared" / "data")


def campaign(size: int, seed: int = 0, propensity: Callable[[np.ndarray], np.ndarray | float] = lambda _: 0.5):  # type: ignore[no-untyped-def]
    """Chances with and without treatment rise with different features: those who buy most are moved least."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(size, 3))
    without = 1 / (1 + np.exp(-(-1.5 + features[:, 0])))
    effect = 0.15 * (features[:, 1] > 0)
    chance = propensity(features)
    treated = rng.random(size) < chance
    outcome = (rng.random(size) < without + treated * effect * (1 - without)).astype(np.float64)
    return features, trial(treated, outcome, chance), effect * (1 - without)


@dataclass(frozen=True)
class Line:
    """Least squares: the smallest part that fits effects."""

    weights: tuple[float, ...]

    def predict(self, features_BD: np.ndarray) -> np.ndarray:
        return np.column_stack([features_BD, np.ones(len(features_BD))]) @ np.array(self.weights)

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "line", "weights": list(self.weights)}


def line(features_BD: np.ndarray, outcome_B: np.ndarray, weights_B: np.ndarray) -> Line:
    root = np.sqrt(weights_B)[:, None]
    design = np.column_stack([features_BD, np.ones(len(features_BD))])
    return Line(tuple(np.linalg.lstsq(design * root, outcome_B * root[:, 0])[0].tolist()))


READERS = {"line": lambda saved: Line(tuple(saved["weights"]))}

LEARNERS: dict[str, Learner] = {
    "response": uplift.response(logistic()),
    "t": uplift.t_learner(logistic()),
    "x": uplift.x_learner(logistic(), line),
}


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(uplift).failed == 0


@pytest.mark.parametrize("name", ["t", "x"])
def test_learners_find_the_effect(name: str) -> None:
    features, people, _ = campaign(30_000)
    others, _, effect = campaign(5000, seed=1)
    scores = LEARNERS[name](features, people).score(others)
    assert np.corrcoef(scores, effect)[0, 1] > 0.7
    assert scores.mean() == pytest.approx(effect.mean(), abs=0.015), "uplift is in outcomes per person"


def test_the_x_learner_of_lines_by_hand() -> None:
    """Without features each arm's mean is its model, and all effects are the difference of means."""
    people = trial(np.array([True, True, False, False, False]), np.array([4.0, 2.0, 1.0, 1.0, 4.0]), 0.4)
    model = uplift.x_learner(line, line)(np.empty((5, 0)), people)
    np.testing.assert_allclose(model.score(np.empty((2, 0))), [1.0, 1.0])


def test_effects_are_mixed_by_the_share_treated() -> None:
    model = uplift.Model("x", (Line((3.0,)), Line((1.0,))), treated_share=0.25)
    assert model.score(np.empty((1, 0))).tolist() == [0.75 * 3 + 0.25 * 1]


def test_logged_treatment_is_weighted_to_everybody() -> None:
    """Without features an arm is its mean: everybody's only by the chances, since likely buyers were treated."""
    _, people, effect = campaign(60_000, propensity=lambda x: 1 / (1 + np.exp(-1.5 * x[:, 0])))
    nothing = np.empty((60_000, 0))
    found = uplift.t_learner(line)(nothing, people).score(nothing[:1])
    assert found[0] == pytest.approx(effect.mean(), abs=0.02)
    plain = uplift.t_learner(line)(nothing, people._replace(propensity=np.full(60_000, 0.5))).score(nothing[:1])
    assert plain[0] > effect.mean() + 0.1


@pytest.mark.parametrize("name", LEARNERS)
def test_a_model_survives_json(name: str) -> None:
    features, people, _ = campaign(500)
    model = LEARNERS[name](features, people)
    read = uplift.read_model(json.loads(json.dumps(model.as_dict())), READERS)
    assert read == model
    assert read.score(features).tolist() == model.score(features).tolist()


def test_an_arm_in_which_nobody_bought_has_a_chance_all_the_same() -> None:
    features, people, _ = campaign(200)
    people = people._replace(outcome=people.outcome * people.treated)
    scores = uplift.t_learner(logistic())(features, people).parts[1].predict(features)
    assert 0 < scores[0] < 0.01
    assert (scores == scores[0]).all()


def test_nobody_is_scored_by_a_model_that_saw_this_person() -> None:
    """A learner that knows its people by heart: out of its folds it knows nothing."""
    features, people, _ = campaign(400)
    seen: list[set[bytes]] = []

    def learn(features_BD: np.ndarray, some: Trial) -> Any:
        seen.append({row.tobytes() for row in features_BD})

        class Heart:
            def score(self, features_BD: np.ndarray) -> np.ndarray:
                return np.array([row.tobytes() in seen[-1] for row in features_BD], np.float64)

        return Heart()

    assert not uplift.cross_fitted(learn, features, people, seed=1).any()
    assert len(seen) == 15
    assert {len(fold) for fold in seen} == {320}


def test_the_gate_takes_what_wins_and_keeps_what_is_not_beaten() -> None:
    features, people, _ = campaign(12_000)
    found = uplift.choose(LEARNERS, features, people, baseline="response", seed=1, num_repeats=1, num_resamples=200)
    assert found.name in ("t", "x")
    assert found.difference[found.name].low > 0
    assert set(found.qini) == set(LEARNERS)
    assert set(found.difference) == {"t", "x"}
    noise = people._replace(outcome=np.random.default_rng(1).permutation(people.outcome))
    kept = uplift.choose(LEARNERS, features, noise, baseline="response", seed=1, num_repeats=1, num_resamples=200)
    assert kept.name == "response"


def hillstrom(arm: str) -> tuple[np.ndarray, Trial]:
    path = DATA / campaigns.FILE
    if not path.exists():
        pytest.skip(f"no trial {path}; set NIGHTJAR_REAL_DATA to the folder that holds it")
    return campaigns.read(path, arm)


@pytest.mark.slow
def test_uplift_beats_a_response_model_on_womens_mail() -> None:
    features, people = hillstrom("women")
    assert len(features) == 42_693
    found = uplift.choose(campaigns.learners(), features, people, baseline="response", seed=0, num_resamples=500)
    print(found)
    assert found.name in ("t-logistic", "t-trees"), "these two are as good"
    assert found.difference[found.name].low > 0
    assert found.qini["t-logistic"].mean == pytest.approx(70e-4, abs=5e-4)
    assert found.qini["response"].mean == pytest.approx(43e-4, abs=8e-4)
    assert found.difference["t-logistic"].low > 0


@pytest.mark.slow
def test_on_mens_mail_the_response_model_stays() -> None:
    features, people = hillstrom("men")
    found = uplift.choose(campaigns.learners(), features, people, baseline="response", seed=0, num_resamples=500)
    print(found)
    assert found.name == "response"
    assert max(found.qini, key=lambda name: found.qini[name].mean) == "response"


def test_trees_are_kept_as_text() -> None:
    features, people, _ = campaign(2000)
    model = campaigns.learners()["x-trees"](features, people)
    saved = json.loads(json.dumps(model.as_dict()))
    assert saved["parts"][0]["text"].startswith("tree")
    read = uplift.read_model(saved, {"boosted": read_boosted})
    assert read.score(features).tolist() == model.score(features).tolist()
    assert qini.qini(qini.qini_curve(model.score(features), people)) > 0
