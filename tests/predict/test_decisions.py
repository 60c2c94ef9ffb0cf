"""Whom to act on: worked by hand, and what holds whatever is foretold."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from itertools import compress, product
from math import exp
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.predict import people

from nightjar.contracts import DECISIONS, FORETOLD, BadInput
from nightjar.predict.decisions import DECIDED, Outcome, affordable, decide, hundredths, report
from nightjar.settings import Decisions, load_conf

DAY = people.DAY
BASE = load_conf().decisions

#: Nobody is kept aside, everything else as it comes.
NOBODY_ASIDE: dict[str, Any] = {"control_share": 0.0, "margin": 0.5, "coupon_cost": 1.0, "coupon_budget": 100.0}


def conf(**changed: Any) -> Decisions:
    return BASE.model_copy(update=NOBODY_ASIDE | changed)


def names(num_people: int) -> list[str]:
    return [f"{number:016x}" for number in range(num_people)]


def told(score_name: str, probabilities: Sequence[float], flagged: Sequence[bool] | None = None) -> pa.Table:
    num_rows = len(probabilities)
    columns: Mapping[str, Sequence[Any]] = {
        "score_name": [score_name] * num_rows,
        "probability": list(probabilities),
        "decile": [1] * num_rows,
        "flagged": flagged or [True] * num_rows,
        "reasons": [["spend", "num_orders"]] * num_rows,
    }
    return people.rows_of(FORETOLD, num_rows, columns)


def decided(
    told: pa.Table, features: pa.Table, settings: Decisions, *, day: date = DAY
) -> tuple[list[dict[str, Any]], dict[str, Outcome]]:
    rows, outcomes = decide(told, features, settings, shop="acme", day=day)
    return rows.to_pylist(), outcomes


def who(rows: list[dict[str, Any]]) -> list[int]:
    return [int(row["user_id"], 16) for row in rows]


# -- by hand


def test_without_an_uplift_score_the_middle_gets_the_coupon() -> None:
    """Half of an order of 100 is margin. Odds of 1 become e^0.5: 0.5 becomes 0.6225, worth 50 x 0.1225 - 1 = 5.12."""
    features = people.features(3, order_value_mean=[100.0] * 3)
    rows, outcomes = decided(told("purchase", [0.02, 0.5, 0.99]), features, conf(wanted=("coupon",)))
    assert who(rows) == [1]
    assert rows[0]["expected_value"] == pytest.approx(50 * (1 / (1 + exp(-0.5)) - 0.5) - 1)
    del rows[0]["expected_value"]
    assert rows[0] == {
        "row_key": "acme|2001-01-15|coupon|0000000000000001",
        "shop": "acme",
        "dt": DAY,
        "decision": "coupon",
        "user_id": "0000000000000001",
        "arm": "act",
        "rank": 1,
        "offer": "coupon",
        "cost": 1.0,
        "score_name": "purchase",
        "score": 0.5,
        "reasons": '["spend","num_orders"]',
    }
    assert outcomes == {"coupon": Outcome("purchase", 1, 0, 0, 1.0, "")}


def test_an_uplift_score_decides_where_there_is_one() -> None:
    """It is the increment itself: 0.1 of a margin of 50, less 1, is 4."""
    both = pa.concat_tables([told("purchase", [0.5, 0.5]), told("coupon_uplift", [0.01, 0.1])])
    features = people.features(2, order_value_mean=[100.0] * 2)
    rows, _ = decided(both, features, conf(wanted=("coupon",)))
    assert [(row["user_id"][-1], row["score_name"], row["expected_value"]) for row in rows] == [
        ("1", "coupon_uplift", pytest.approx(4.0))
    ]


def test_whoever_never_bought_is_worth_the_mean_order_of_the_others() -> None:
    features = people.features(3, order_value_mean=[40.0, None, 80.0])
    rows, _ = decided(told("coupon_uplift", [0.1] * 3), features, conf(wanted=("coupon",)))
    assert {row["user_id"][-1]: row["expected_value"] for row in rows} == {
        "0": pytest.approx(1.0),
        "1": pytest.approx(2.0),
        "2": pytest.approx(3.0),
    }
    assert who(rows) == [2, 1, 0]


def test_the_budget_pays_the_best_first() -> None:
    features = people.features(4, order_value_mean=[100.0] * 4)
    rows, outcomes = decided(
        told("coupon_uplift", [0.1, 0.4, 0.2, 0.3]), features, conf(wanted=("coupon",), coupon_budget=2.99)
    )
    assert who(rows) == [1, 3]
    assert outcomes["coupon"] == Outcome("coupon_uplift", 2, 0, 2, 2.0, "")


def test_retention_is_what_the_leaving_are_worth() -> None:
    """Flagged, with something spent: 0.5 x 0.5 x 100, 0.9 x 0.5 x 20; the others are not called."""
    features = people.features(4, spend=[20.0, 100.0, 900.0, 0.0])
    rows, outcomes = decided(
        told("churn", [0.9, 0.5, 0.1, 0.9], [True, True, False, True]), features, conf(wanted=("retention",))
    )
    assert [(row["user_id"][-1], row["expected_value"], row["cost"]) for row in rows] == [
        ("1", pytest.approx(25.0), 0.0),
        ("0", pytest.approx(9.0), 0.0),
    ]
    assert outcomes["retention"][:4] == ("churn", 2, 0, 0)


def test_a_cart_is_reminded_of_where_it_would_be_lost() -> None:
    """Open, and not flagged as bought anyway: (1 - 0.2) x 0.5 x 50, (1 - 0.6) x 0.5 x 30."""
    features = people.features(4, num_open_cart_items=[1, 2, 3, 0], open_cart_value=[30.0, 50.0, 500.0, 0.0])
    scores = told("cart_conversion", [0.6, 0.2, 0.9, 0.1], [False, False, True, False])
    rows, _ = decided(scores, features, conf(wanted=("cart_reminder",)))
    assert [(row["user_id"][-1], row["expected_value"]) for row in rows] == [
        ("1", pytest.approx(20.0)),
        ("0", pytest.approx(6.0)),
    ]


def test_a_promotion_goes_to_the_likely_up_to_its_cap() -> None:
    features = people.features(3, order_value_mean=[10.0] * 3)
    scores = told("purchase", [0.6, 0.9, 0.8], [True, True, True])
    rows, outcomes = decided(scores, features, conf(wanted=("promotion",), promotion_most=2))
    assert who(rows) == [1, 2]
    assert outcomes["promotion"].left_out == 1


def test_a_suspicion_is_looked_at_whoever_it_is() -> None:
    features = people.features(2, spend=[10.0, 10.0])
    rows, _ = decided(told("fraud", [0.9, 0.8]), features, conf(wanted=("fraud_review",), control_share=1.0))
    assert [(row["arm"], row["offer"]) for row in rows] == [("act", "review")] * 2


def test_a_decision_that_acts_on_nobody_says_why() -> None:
    features = people.features(2, order_value_mean=[100.0, 100.0])
    purchase = told("purchase", [0.5, 0.5], [False, False])
    wanted = tuple(DECIDED)
    rows, outcomes = decided(purchase, features, conf(wanted=wanted, coupon_budget=0.5))
    assert rows == []
    assert report(outcomes) == {
        "decisions": {},
        "unmet": {
            "coupon": "the budget of 0.5 pays no single offer, the cheapest costs 1",
            "retention": "nothing foretells churn tonight",
            "promotion": "nobody comes into question",
            "cart_reminder": "nothing foretells cart_conversion tonight",
            "fraud_review": "nothing foretells fraud_case or fraud tonight",
        },
    }
    _, outcomes = decided(purchase, features, conf(wanted=("coupon",), control_share=1.0))
    assert outcomes["coupon"].unmet == "everybody who comes into question is in the control group"


def test_no_such_decision_and_no_features_are_bad_input() -> None:
    with pytest.raises(BadInput, match="no such decision: gifts"):
        decided(told("churn", [0.5]), people.features(1), conf(wanted=("gifts",)))
    with pytest.raises(BadInput, match="1 people have a score churn and no features"):
        decided(told("churn", [0.5, 0.5]), people.features(1), conf(wanted=("retention",)))


def test_the_shipped_settings_name_decisions() -> None:
    assert set(BASE.wanted) <= set(DECIDED)
    rows, outcomes = decided(told("churn", []), people.features(1), BASE)
    assert (rows, set(outcomes)) == ([], set(BASE.wanted))


# -- whatever is foretold

MONEY = st.floats(0, 50).map(lambda amount: round(amount, 3))


@given(st.lists(st.tuples(MONEY, st.booleans()), max_size=40), st.integers(0, 40), st.floats(0, 200))
def test_no_budget_is_ever_exceeded(offers: list[tuple[float, bool]], most: int, budget: float) -> None:
    cost, may = (np.array(column) for column in zip(*offers, strict=True)) if offers else (np.zeros(0), np.zeros(0))
    may = may.astype(bool)
    prices = hundredths(cost)
    taken = affordable(prices, may, most, budget)
    assert prices[taken].sum() <= budget * 100
    assert taken.sum() <= most
    assert not (taken & ~may).any()
    # Nobody who could have been taken was passed over.
    left = budget * 100 - prices[taken].sum()
    assert taken.sum() == most or (prices[may & ~taken] > left - 1).all()


@given(st.lists(st.integers(1, 100), max_size=8), st.floats(0, 6))
@settings(deadline=None)
def test_of_equal_costs_the_choice_is_the_best_there_is(values: list[int], budget: float) -> None:
    uplift = [value / 100 for value in values]
    features = people.features(len(values), order_value_mean=[1000.0] * len(values))
    rows, _ = decided(told("coupon_uplift", uplift), features, conf(wanted=("coupon",), coupon_budget=budget))
    worth = [500 * each - 1 for each in uplift]
    subsets = (list(compress(worth, chosen)) for chosen in product((0, 1), repeat=len(worth)))
    best = max(sum(subset) for subset in subsets if len(subset) <= budget)
    assert sum(row["expected_value"] for row in rows) == pytest.approx(best)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=60), st.floats(0, 1), st.floats(0, 40), st.integers(1, 30))
@settings(deadline=None)
def test_the_arms_are_apart_and_alike(chances: list[float], share: float, budget: float, most: int) -> None:
    scores = pa.concat_tables([told("purchase", chances), told("churn", chances)])
    features = people.features(len(chances), order_value_mean=[200.0] * len(chances), spend=[10.0] * len(chances))
    settings = conf(
        wanted=("coupon", "retention", "promotion"), control_share=share, coupon_budget=budget, promotion_most=most
    )
    rows, outcomes = decided(scores, features, settings)
    for name, outcome in outcomes.items():
        mine = [row for row in rows if row["decision"] == name]
        assert [row["rank"] for row in mine] == list(range(1, len(mine) + 1))
        assert len({row["user_id"] for row in mine}) == len(mine), "nobody is in both arms"
        acted = [row for row in mine if row["arm"] == "act"]
        assert (len(acted), len(mine) - len(acted)) == (outcome.acted, outcome.control)
        assert bool(outcome.unmet) == (not acted)
        assert all((row["offer"] is None) == (row["arm"] == "control") == (row["arm"] != "act") for row in mine)
        if outcome.left_out:
            assert mine == [] or mine[-1]["arm"] == "act", "no control person ranks below everybody acted on"
    assert sum(round(row["cost"] * 100) for row in rows) <= budget * 100
    assert len([row for row in rows if row["decision"] == "promotion" and row["arm"] == "act"]) <= most


def test_the_control_group_is_a_share_of_people_and_the_same_every_night() -> None:
    """Of 20,000 people 0.1 +- 4 standard deviations of a binomial draw: 1,830 to 2,170."""
    num_people = 20_000
    features = people.features(num_people, spend=[10.0] * num_people)
    settings = conf(wanted=("retention",), control_share=0.1, retention_most=num_people)
    tonight, _ = decided(told("churn", [0.5] * num_people), features, settings)
    kept_aside = {row["user_id"] for row in tonight if row["arm"] == "control"}
    assert 1830 <= len(kept_aside) <= 2170
    # Tomorrow half of them come into question, with other scores.
    half = [number % 2 == 0 for number in range(num_people)]
    tomorrow, _ = decided(told("churn", [0.9] * num_people, half), features, settings, day=date(2001, 1, 16))
    assert len(tomorrow) == num_people / 2
    assert {row["user_id"] for row in tomorrow if row["arm"] == "control"} == kept_aside & {
        row["user_id"] for row in tomorrow
    }


def test_decisions_draw_independently() -> None:
    """Both draws of a tenth meet in a hundredth of 20,000: 200, +- 4 standard deviations is 143 to 257."""
    num_people = 20_000
    chances = [0.5] * num_people
    features = people.features(num_people, spend=[10.0] * num_people, order_value_mean=[10.0] * num_people)
    settings = conf(
        wanted=("retention", "promotion"), control_share=0.1, retention_most=num_people, promotion_most=num_people
    )
    rows, _ = decided(pa.concat_tables([told("churn", chances), told("purchase", chances)]), features, settings)
    first, second = (
        {row["user_id"] for row in rows if (row["decision"], row["arm"]) == (name, "control")}
        for name in ("retention", "promotion")
    )
    assert 143 <= len(first & second) <= 257


def test_equals_come_in_an_order_of_their_own_whatever_the_order_of_the_files() -> None:
    num_people = 50
    features = people.features(num_people, spend=[10.0] * num_people)
    scores = told("churn", [0.5] * num_people)
    settings = conf(wanted=("retention",), retention_most=20)
    rows, _ = decided(scores, features, settings)
    backwards = pa.array(range(num_people - 1, -1, -1))
    again, _ = decided(scores.take(backwards), features, settings)
    assert rows == again
    assert who(rows) != sorted(who(rows)), "a tie is broken by lot, not by id"


def test_rows_are_the_contracts() -> None:
    rows, _ = decide(
        told("churn", [0.5]), people.features(1, spend=[1.0]), conf(wanted=("retention",)), shop="acme", day=DAY
    )
    assert rows.schema.names == list(DECISIONS.names)
    assert json.loads(rows.column("reasons")[0].as_py()) == ["spend", "num_orders"]
