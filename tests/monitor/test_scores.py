"""What the page says of scores and decisions, from the rows that the night leaves."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pyarrow as pa
import pytest
from tests.predict import people

from nightjar.contracts import FORETOLD
from nightjar.monitor.scores import COLUMNS, Contender, decisions, scores

FIRST, SECOND = date(2001, 1, 1), date(2001, 1, 2)


def told() -> pa.Table:
    columns: dict[str, Any] = {
        "score_name": ["churn"] * 4,
        "probability": [0.1, 0.2, 0.6, 0.9],
        "decile": [1] * 4,
        "flagged": [False, False, True, True],
        "contender": ["trees"] * 4,
        "model_version": ["4"] * 4,
    }
    return people.rows_of(FORETOLD, 4, columns).select(COLUMNS)


def judged(day: date, segment: str = "(all)", **changes: Any) -> dict[str, Any]:
    row: dict[str, Any] = {
        "dt": day,
        "score_name": "churn",
        "segment": segment,
        "num_people": 50,
        "num_positives": 10,
        "foretold_sum": 12.5,
        "auroc": 0.75,
        "ece": 0.05,
        "ece_by_chance": 0.04,
        "lift_first_decile": 2.0,
    }
    return row | changes


CONTEST = {
    "rule": json.dumps({"metric": "auroc"}),
    "reason": "trees: auroc 0.8",
    "metrics": json.dumps(
        {
            "rule": {"auroc": 0.7, "ece": 0.1, "ahead_of_rule": [0.0, 0.0, 0.0]},
            "trees": {"auroc": 0.8, "ece": None, "ahead_of_rule": [0.1, 0.05, 0.15]},
            "encoder": {"auroc": None, "ece": 0.2, "ahead_of_rule": [None, None, None]},
        }
    ),
}


def test_a_score_with_its_contest_and_its_past() -> None:
    past = [
        judged(FIRST),
        judged(SECOND, num_positives=20),
        judged(SECOND, "platform: web"),
        judged(SECOND, "platform: app", num_people=0),
        judged(SECOND, score_name="click"),
    ]
    groups = [
        {"dt": day, "score_name": "churn", "num_people": 10, "num_positives": 5, "foretold_sum": 4.0}
        for day in (FIRST, SECOND)
    ]
    (found,) = scores(told(), {"churn": CONTEST}, past, groups)
    assert (found.num_people, found.num_flagged, found.mean, found.contender) == (4, 2, pytest.approx(0.45), "trees")
    assert found.contest == (
        Contender("rule", 0.7, 0.1, None, False),
        Contender("trees", 0.8, None, (0.1, 0.05, 0.15), True),
        Contender("encoder", None, 0.2, None, False),
    )
    assert [(one.day, one.foretold, one.happened) for one in found.nights] == [(FIRST, 0.25, 0.2), (SECOND, 0.25, 0.4)]
    assert [one.segment for one in found.segments] == ["platform: web"]
    ((group),) = found.groups
    assert (group.foretold, group.happened.mean) == (0.4, 0.5)
    assert group.happened.low < 0.5 < group.happened.high


def test_a_contest_in_other_metrics_is_told_as_far_as_it_goes() -> None:
    other = {"rule": json.dumps({"judged": False}), "reason": "nobody has labels"}
    (found,) = scores(told(), {"churn": other | {"metrics": json.dumps({"anomaly": {"lift": 2.0}})}}, [], [])
    assert (found.metric, found.reason) == ("", "nobody has labels")
    assert found.contest == (Contender("anomaly", None, None, None, False),)


def test_a_choice_among_outcomes_is_told_by_how_often_it_was_right() -> None:
    figures = {"rule": {"top1_accuracy": 0.3}, "trees": {"top1_accuracy": 0.4, "ahead_of_rule": [0.1, 0.05, 0.15]}}
    decided = {"rule": json.dumps({"metric": "top1_accuracy"}), "reason": "trees", "metrics": json.dumps(figures)}
    (found,) = scores(told(), {"churn": decided}, [], [])
    assert found.chooses
    assert [one.accuracy for one in found.contest] == [0.3, 0.4]


def test_a_score_of_which_nothing_else_is_known() -> None:
    (found,) = scores(told(), {}, [], [])
    assert (found.contest, found.nights, found.groups, found.segments) == ((), (), (), ())
    assert scores(told().slice(0, 0), {}, [], []) == ()


def arm(day: date, name: str, **changes: Any) -> dict[str, Any]:
    numbers = {"num_people": 10, "num_answered": 10, "num_positives": 5, "revenue": 50.0, "revenue_squares": 600.0}
    fixed = {"dt": day, "decision": "coupon", "arm": name, "outcome": "purchased_next", "margin": 0.5}
    return {**fixed, **numbers, "expected_value": 30.0, "cost": 10.0 if name == "act" else 0.0, **changes}


def test_decisions_with_what_acting_did() -> None:
    said = {
        "decisions": {
            "coupon": {"score_name": "purchase", "acted": 2, "control": 1, "left_out": 3, "cost": 2.0, "unmet": ""}
        },
        "unmet": {"fraud_review": "nothing foretells fraud tonight"},
    }
    tonight = [
        {"decision": "coupon", "arm": which, "expected_value": worth}
        for which, worth in (("act", 3.0), ("act", 4.0), ("control", 9.0))
    ]
    past = [arm(day, name) for day in (FIRST, SECOND) for name in ("act", "control")]
    past[0] |= {"revenue": 90.0, "revenue_squares": 1000.0}
    coupon, fraud = decisions(said, tonight, {"coupon": 5.0}, past)
    assert (coupon.acted, coupon.left_out, coupon.cost, coupon.budget, coupon.expected_value) == (2, 3, 2.0, 5.0, 7.0)
    assert (coupon.num_nights, coupon.outcome) == (2, "purchased_next")
    assert coupon.arms is not None
    assert coupon.arms.value is not None
    assert coupon.arms.value.mean == pytest.approx(0.5 * (140 / 20 - 100 / 20) - 1.0)
    assert (fraud.unmet, fraud.acted, fraud.arms, fraud.num_nights) == ("nothing foretells fraud tonight", 0, None, 0)
