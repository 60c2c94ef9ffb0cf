"""Whom a decision acted on beside whom it left alone: by hand, and on a shop where acting is known to work."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.predict import people

from nightjar.contracts import DECISIONS
from nightjar.monitor.arms import compared, realised_decisions

OUTCOMES = {"coupon": "purchased_next", "fraud_review": None}


def decided(arms: list[str], decision: str = "coupon", **columns: Any) -> pa.Table:
    num_rows = len(arms)
    fixed: dict[str, Any] = {
        "decision": [decision] * num_rows,
        "arm": arms,
        "rank": list(range(1, num_rows + 1)),
        "offer": [arm if arm == "act" else None for arm in arms],
        "expected_value": [3.0] * num_rows,
        "cost": [1.0 if arm == "act" else 0.0 for arm in arms],
        "score_name": ["purchase"] * num_rows,
    }
    return people.rows_of(DECISIONS, num_rows, fixed | columns)


def judged(decisions: pa.Table, labels: pa.Table, margin: float = 0.5) -> list[dict[str, Any]]:
    found = realised_decisions(decisions, labels, OUTCOMES, day=people.DAY, window_days=7, margin=margin)
    rows: list[dict[str, Any]] = found.to_pylist()
    return rows


def test_by_hand() -> None:
    """Three are acted on, one of them unknown since: 10 and 20 of revenue; two are left alone: 4 and 6.

    The difference is 10, its variance 50 / 2 + 2 / 2 = 26; half of it is margin, and an offer costs 1.
    """
    labels = people.labels(5, purchased_next=[True, True, True, False, None], revenue_next=[10.0, 20.0, 4.0, 6.0, 0.0])
    both = decided(["act", "act", "control", "control", "act"])
    unknown = both.set_column(
        both.column_names.index("user_id"),
        pa.field("user_id", pa.string(), nullable=False),
        pa.array([*both["user_id"].to_pylist()[:4], "gone"]),
    )
    act, control = judged(unknown, labels)
    assert (act["arm"], act["num_people"], act["num_answered"], act["num_positives"]) == ("act", 2, 2, 2)
    assert (act["revenue"], act["revenue_squares"], act["expected_value"], act["cost"]) == (30.0, 500.0, 6.0, 2.0)
    assert (control["num_people"], control["num_positives"], control["revenue"], control["cost"]) == (2, 1, 10.0, 0.0)
    assert (act["outcome"], act["window_days"], act["margin"], act["score_name"]) == (
        "purchased_next",
        7,
        0.5,
        "purchase",
    )
    half = 1.959964 * 26**0.5
    assert act["revenue_difference"] == pytest.approx(10.0)
    assert (act["revenue_difference_low"], act["revenue_difference_high"]) == pytest.approx((10 - half, 10 + half))
    assert act["realised_value"] == pytest.approx(4.0)
    assert (act["realised_value_low"], act["realised_value_high"]) == pytest.approx((4 - half / 2, 4 + half / 2))
    assert act["outcome_difference"] == pytest.approx(0.5)
    assert control["revenue_difference"] is None
    assert control["realised_value"] is None


def test_without_a_control_group_nothing_is_compared() -> None:
    labels = people.labels(3, revenue_next=[1.0, 2.0, 3.0])
    (act,) = judged(decided(["act"] * 3, "fraud_review"), labels)
    assert (act["outcome"], act["num_answered"], act["revenue"]) == (None, 0, 6.0)
    assert (act["revenue_difference"], act["realised_value"], act["outcome_difference"]) == (None, None, None)


def test_decisions_that_nobody_knows_any_more_are_left_out() -> None:
    assert judged(decided(["act"], "of_old"), people.labels(1, revenue_next=[1.0])) == []
    assert judged(decided([]), people.labels(1, revenue_next=[1.0])) == []
    assert compared([]) is None


def a_night(seed: int, effect: float) -> list[dict[str, Any]]:
    """A tenth is left alone; acting is worth `effect` of revenue to everybody."""
    rng = np.random.default_rng(seed)
    arms = np.where(rng.random(2000) < 0.1, "control", "act")
    revenue = rng.gamma(0.3, 30.0, 2000) + effect * (arms == "act")
    labels = people.labels(2000, purchased_next=revenue > 5, revenue_next=revenue)
    return judged(decided(arms.tolist()), labels)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    held = [low <= 2.0 <= high for low, high in (bounds(a_night(seed, 2.0)) for seed in range(60))]
    assert 52 <= sum(held) <= 60


def bounds(rows: list[dict[str, Any]]) -> tuple[float, float]:
    return rows[0]["revenue_difference_low"], rows[0]["revenue_difference_high"]


def test_nights_add_up() -> None:
    nights = [a_night(seed, 2.0) for seed in range(4)]
    one, all_ = compared(nights[0]), compared([row for night in nights for row in night])
    assert one is not None
    assert all_ is not None
    assert all_.num_people == sum(night[0]["num_people"] for night in nights)
    assert one.revenue is not None
    assert all_.revenue is not None
    assert all_.revenue.high - all_.revenue.low == pytest.approx((one.revenue.high - one.revenue.low) / 2, rel=0.2)
    assert all_.value is not None
    assert all_.value.mean == pytest.approx(0.5 * all_.revenue.mean - 1.0)
    assert all_.expected_value == pytest.approx(3.0)
