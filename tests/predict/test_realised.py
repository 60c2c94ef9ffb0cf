"""Past scores against what people did: worked by hand, and against the textbook on random people."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import sklearn.metrics
from tests.predict import people

from nightjar.contracts import FORETOLD
from nightjar.predict import metrics
from nightjar.predict.realised import judge
from nightjar.settings import load_conf

LABELS = load_conf().labels


def told(score_name: str, probabilities: Any, **columns: Any) -> pa.Table:
    num_rows = len(probabilities)
    fixed = {"score_name": [score_name] * num_rows, "contender": ["trees"] * num_rows, "decile": [1] * num_rows}
    return people.rows_of(
        FORETOLD, num_rows, {**fixed, "model_version": ["4"] * num_rows, "probability": probabilities, **columns}
    )


def by_segment(found: pa.Table) -> dict[str, dict[str, Any]]:
    return {row["segment"]: row for row in found.to_pylist()}


def test_by_hand() -> None:
    """Of four people one is not known any more; among the others 0.9 bought, 0.5 did not, 0.1 did not."""
    labels = people.labels(3, purchased_next=[True, False, False])
    features = people.features(
        4, last_platform=["web", "app", "app", "web"], num_sessions_28d=np.array([0, 1, 4, 5], np.int32)
    )
    scores, calibration = judge(told("purchase", [0.9, 0.5, 0.1, 0.3]), labels, features, LABELS, day=people.DAY)
    rows = by_segment(scores)
    assert set(rows) == {
        *("(all)", "platform: web", "platform: app"),
        *("activity: none", "activity: 1 visit", "activity: 2 to 4 visits", "activity: 5 or more visits"),
    }
    everybody = rows["(all)"]
    assert (everybody["score_name"], everybody["contender"], everybody["model_version"]) == ("purchase", "trees", "4")
    assert (everybody["window_days"], everybody["dt"]) == (LABELS.horizon_days, people.DAY)
    assert (everybody["num_foretold"], everybody["num_people"], everybody["num_positives"]) == (4, 3, 1)
    assert everybody["foretold_sum"] == pytest.approx(1.5)
    assert (everybody["auroc"], everybody["average_precision"]) == (1.0, 1.0)
    assert everybody["log_loss"] == pytest.approx(-np.log(0.9 * 0.5 * 0.9) / 3)
    assert everybody["ece"] == pytest.approx((0.1 + 0.5 + 0.1) / 3)  # each person is a group
    assert everybody["lift_first_decile"] == pytest.approx(3.0)
    app = rows["platform: app"]
    assert (app["num_foretold"], app["num_people"], app["num_positives"]) == (2, 2, 0)
    assert (app["auroc"], app["average_precision"], app["lift_first_decile"]) == (None, None, None)
    nobody_known = rows["activity: 5 or more visits"]
    assert (nobody_known["num_foretold"], nobody_known["num_people"], nobody_known["ece"]) == (1, 0, None)
    assert [tuple(row.values())[4:] for row in calibration.to_pylist()] == [
        (1, 1, 0, pytest.approx(0.1)),
        (2, 1, 0, pytest.approx(0.5)),
        (3, 1, 1, pytest.approx(0.9)),
    ]


def test_whose_question_did_not_arise_is_not_judged() -> None:
    labels = people.labels(3, churn_eligible=[True, False, True], churned=[True, None, False])
    scores, _ = judge(told("churn", [0.8, 0.7, 0.2]), labels, people.features(3), LABELS, day=people.DAY)
    row = by_segment(scores)["(all)"]
    assert (row["num_foretold"], row["num_people"], row["num_positives"]) == (3, 2, 1)
    assert row["window_days"] == LABELS.churn_days


def test_the_order_of_rows_decides_nothing_and_groups_add_up_to_everybody() -> None:
    rng = np.random.default_rng(7)
    probabilities, num_people = rng.beta(1, 5, 900).round(3), 900
    outcomes = rng.random(num_people) < probabilities
    names = [f"{number:016x}" for number in rng.permutation(num_people)]
    labels = people.labels(num_people, purchased_next=outcomes)
    features = people.features(
        num_people,
        last_platform=rng.choice(["web", "app", "email"], num_people).tolist(),
        num_sessions_28d=rng.integers(0, 9, num_people).astype(np.int32),
    )
    scores, calibration = judge(told("purchase", probabilities), labels, features, LABELS, day=people.DAY)
    row = by_segment(scores)["(all)"]
    assert row["auroc"] == pytest.approx(sklearn.metrics.roc_auc_score(outcomes, probabilities))
    assert row["log_loss"] == pytest.approx(sklearn.metrics.log_loss(outcomes, probabilities))
    for kind in ("platform: ", "activity: "):
        parts = [one for one in scores.to_pylist() if one["segment"].startswith(kind)]
        for name in ("num_foretold", "num_people", "num_positives", "foretold_sum"):
            assert sum(one[name] for one in parts) == pytest.approx(row[name])
    groups = calibration.to_pylist()
    assert sum(one["num_people"] for one in groups) == num_people
    assert sum(one["num_positives"] for one in groups) == outcomes.sum()
    gaps = sum(abs(one["foretold_sum"] - one["num_positives"]) for one in groups)
    assert row["ece"] == pytest.approx(gaps / num_people)

    order = np.array([int(name, 16) for name in names])
    mixed = told("purchase", probabilities[order], user_id=names)
    again, _ = judge(mixed, labels, features, LABELS, day=people.DAY)
    for one, other in zip(again.to_pylist(), scores.to_pylist(), strict=True):
        assert one == pytest.approx(other)


def test_two_versions_of_a_model_are_judged_apart_and_what_is_no_task_is_left_out() -> None:
    labels = people.labels(2, purchased_next=[True, False])
    both = pa.concat_tables([told("purchase", [0.9, 0.2], model_version=["4", "5"]), told("coupon_uplift", [0.1, 0.1])])
    scores, _ = judge(both, labels, people.features(2), LABELS, day=people.DAY)
    everybody = [row for row in scores.to_pylist() if row["segment"] == "(all)"]
    assert [(row["score_name"], row["model_version"], row["num_positives"]) for row in everybody] == [
        ("purchase", "4", 1),
        ("purchase", "5", 0),
    ]


def test_nobody_is_no_row() -> None:
    nothing = told("purchase", [0.5]).slice(0, 0)
    scores, calibration = judge(nothing, people.labels(1), people.features(1), LABELS, day=people.DAY)
    assert (scores.num_rows, calibration.num_rows) == (0, 0)


def test_chance_alone_has_the_calibration_error_that_is_said() -> None:
    """The mean over many draws of people whose probabilities are right; a constant score is one group."""
    rng = np.random.default_rng(3)
    for scores in (rng.beta(1, 9, 400), np.full(200, 0.3)):
        drawn = [
            metrics.expected_calibration_error((rng.random(len(scores)) < scores).astype(np.int64), scores)
            for _ in range(600)
        ]
        by_chance = metrics.calibration_error_by_chance(scores)
        assert np.mean(drawn) == pytest.approx(by_chance.mean, rel=0.06)
        assert np.mean(np.array(drawn) > by_chance.high) < 0.07
    assert np.isnan(metrics.calibration_error_by_chance(np.empty(0))).all()
