"""Lists against what people did: a case worked out by hand, and the plain definition on random shops."""

from __future__ import annotations

import random
from datetime import date
from math import log2
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.monitor.test_acts import acts, event

from nightjar.contracts import REALISED, RECOMMENDATIONS, SEQUENCES
from nightjar.contracts.render import arrow_schema
from nightjar.monitor import realised
from nightjar.monitor.realised import LIST_COLUMNS, PEOPLE_COLUMNS, Interval, Judge

DAY = date(2001, 1, 15)
Lists = dict[tuple[str, str], list[str]]  # (user, surface) -> items
Row = dict[str, Any]


def ranked(lists: Lists, strategy: dict[str, str] | None = None) -> pa.RecordBatch:
    rows = [
        {
            "user_id": user,
            "surface": surface,
            "rank": rank,
            "item_id": item,
            "strategy": (strategy or {}).get(user, "model"),
            "model_name": "m",
            "model_version": "7",
        }
        for (user, surface), items in lists.items()
        for rank, item in enumerate(items, start=1)
    ]
    schema = arrow_schema(RECOMMENDATIONS)
    return pa.RecordBatch.from_pylist(rows, pa.schema([schema.field(name) for name in LIST_COLUMNS]))


def people(histories: dict[str, list[int]]) -> pa.RecordBatch:
    """User -> platform codes of the entries."""
    rows = [{"user_id": user, "num_events": len(codes), "platforms": codes} for user, codes in histories.items()]
    schema = arrow_schema(SEQUENCES)
    return pa.RecordBatch.from_pylist(rows, pa.schema([schema.field(name) for name in PEOPLE_COLUMNS]))


def judged(shown: Lists, popular: Lists, did: list[Row], histories: dict[str, list[int]], **more: Any) -> list[Row]:
    batch = ranked(shown, more.get("strategy"))
    lists = realised.with_segments(realised.lists_from([batch]), [people(histories)])
    judge = Judge(lists, acts(did), more.get("cutoffs", (1, 3)))
    rows = judge.rows(
        judge.outcomes([batch.slice(0, 2), batch.slice(2)]),
        judge.outcomes([ranked(popular)]),
        day=DAY,
        origin="published",
        window_days=1,
    )
    assert rows.schema == arrow_schema(REALISED)
    found: list[Row] = rows.to_pylist()
    return found


def one(rows: list[Row], **keys: Any) -> Row:
    (row,) = (row for row in rows if all(row[name] == value for name, value in keys.items()))
    return row


SHOWN = {("a", "home"): ["i1", "i2", "i3"], ("b", "home"): ["i1", "i2", "i4"], ("c", "home"): ["i5", "i1", "i3"]}
POPULAR = {("a", "home"): ["i3", "i9", "i8"], ("b", "home"): ["i9", "i8", "i7"]}
DID = [
    event("a", "view", "i1"),
    event("a", "purchase", "i3", price=10.0),
    event("a", "purchase", "i3", price=5.0, quantity=2),
    event("b", "view", "i9"),
    event("d", "purchase", "i1", price=99.0),  # was not known on the night
]
HISTORIES = {"a": [1, 2], "b": [1] * 20, "c": []}


def test_a_case_by_hand() -> None:
    """A touched two items: the ideal gain at 3 is 1 + 1/log2(3) = 1.63093; places 1 and 3 give 1.5."""
    rows = judged(SHOWN, POPULAR, DID, HISTORIES)
    all_at_3 = one(rows, segment="(all)", list="shown", k=3)
    assert {name: all_at_3[name] for name in ("num_lists", "num_active", "num_hits", "num_buyers")} == {
        "num_lists": 3,
        "num_active": 2,
        "num_hits": 1,
        "num_buyers": 1,
    }
    assert all_at_3["ndcg_sum"] == pytest.approx(0.919721, abs=1e-6)
    assert all_at_3["ndcg_squares"] == pytest.approx(0.845886, abs=1e-6)
    # The control has a's purchase first (1 / 1.63093 = 0.613147), and what b looked at.
    assert one(rows, segment="(all)", list="popular", k=3)["ndcg_sum"] == pytest.approx(1.613147, abs=1e-6)
    assert all_at_3["ndcg_gain_squares"] == pytest.approx(0.306574**2 + 1, abs=1e-6)
    assert (all_at_3["num_purchases"], all_at_3["num_listed_purchases"], all_at_3["purchases_squares"]) == (2, 2, 4.0)
    assert (all_at_3["revenue"], all_at_3["listed_revenue"], all_at_3["revenue_squares"]) == (20.0, 20.0, 400.0)
    at_1 = one(rows, segment="(all)", list="shown", k=1)
    assert (at_1["ndcg_sum"], at_1["num_hits"], at_1["num_listed_purchases"], at_1["listed_revenue"]) == (
        1.0,
        1,
        0,
        0.0,
    )
    assert one(rows, segment="(all)", list="popular", k=1)["listed_revenue"] == 20.0


def test_segments_divide_people() -> None:
    rows = judged(SHOWN, POPULAR, DID, HISTORIES)
    at_3 = {
        row["segment"]: (row["num_lists"], row["num_hits"]) for row in rows if row["list"] == "shown" and row["k"] == 3
    }
    assert at_3 == {
        "(all)": (3, 1),
        "history: 1 to 2": (1, 1),
        "history: 20 or more": (1, 0),
        "history: none": (1, 0),
        "platform: app": (1, 1),
        "platform: web": (1, 0),
    }


def test_groups_and_surfaces_stand_apart() -> None:
    shown = SHOWN | {("a", "mail"): ["i4"]}
    rows = judged(shown, POPULAR, DID, HISTORIES, strategy={"b": "held_out"})
    found = {
        (row["surface"], row["strategy"]): (row["num_lists"], row["num_active"], row["num_hits"], row["revenue"])
        for row in rows
        if (row["segment"], row["list"], row["k"]) == ("(all)", "shown", 3)
    }
    assert found == {
        ("home", "model"): (2, 1, 1, 20.0),
        ("home", "held_out"): (1, 1, 0, 0.0),
        ("mail", "model"): (1, 1, 0, 20.0),
    }


def test_nobody_came_back() -> None:
    rows = judged(SHOWN, {}, [], HISTORIES)
    assert {row["num_active"] for row in rows} == {0}
    assert one(rows, segment="(all)", list="shown", k=3)["num_lists"] == 3


def plain(lists: Lists, did: list[Row], k: int) -> dict[str, float]:
    """The definition, list by list."""
    total = {"num_active": 0.0, "num_hits": 0.0, "ndcg_sum": 0.0, "num_listed_purchases": 0.0, "listed_revenue": 0.0}
    for (user, _), items in lists.items():
        touched = {row["item_id"] for row in did if row["visitor_id"] == user}
        bought = [row for row in did if row["visitor_id"] == user and row["kind"] == "purchase"]
        if not touched:
            continue
        gain = sum(1 / log2(place + 2) for place, item in enumerate(items[:k]) if item in touched)
        ideal = sum(1 / log2(place + 2) for place in range(min(k, len(touched))))
        listed = [row for row in bought if row["item_id"] in items[:k]]
        total["num_active"] += 1
        total["num_hits"] += gain > 0
        total["ndcg_sum"] += gain / ideal
        total["num_listed_purchases"] += len(listed)
        total["listed_revenue"] += sum(row["price"] * row["quantity"] for row in listed)
    return total


@pytest.mark.parametrize("seed", range(5))
def test_equals_the_plain_definition(seed: int) -> None:
    draw = random.Random(seed)
    names = [f"i{number}" for number in range(12)]
    users = [f"u{number:02}" for number in range(30)]
    shown: Lists = {
        (user, surface): draw.sample(names, draw.randrange(1, 8)) for user in users for surface in ("home", "mail")
    }
    did = [
        event(draw.choice(users[:20]), draw.choice(["view", "cart", "purchase"]), draw.choice(names))
        | {"price": draw.choice([1.5, 2.25, 9.99]), "quantity": draw.randrange(1, 4)}
        for _ in range(80)
    ]
    rows = judged(shown, {}, did, {user: [1] for user in users}, cutoffs=(1, 2, 5, 20))
    for k in (1, 2, 5, 20):
        for surface in ("home", "mail"):
            found = one(rows, surface=surface, segment="(all)", list="shown", k=k)
            expected = plain({key: items for key, items in shown.items() if key[1] == surface}, did, k)
            assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)


def test_a_share_of_few() -> None:
    """One of ten: the interval that textbooks give, 0.0179 to 0.4042."""
    found = realised.share_interval(1, 10)
    assert found == Interval(0.1, pytest.approx(0.0179, abs=1e-4), pytest.approx(0.4042, abs=1e-4))
    assert realised.share_interval(0, 0) is None


def test_a_mean() -> None:
    """1, 2, 3: mean 2, variance 1, half an interval of 1.96 x sqrt(1/3)."""
    assert realised.mean_interval(6.0, 14.0, 3) == Interval(
        2.0, pytest.approx(0.868414, abs=1e-6), pytest.approx(3.131586, abs=1e-6)
    )
    assert realised.mean_interval(1.0, 1.0, 1) is None


def test_the_effect_of_a_hold_out_by_hand() -> None:
    """Two of four bought, and one of four: 0.25, with variances 1/3 and 1/4 over four people each."""
    base = {"segment": "(all)", "list": "shown", "k": 5, "num_lists": 4}
    ours = base | {"strategy": "model", "num_buyers": 2, "num_purchases": 2, "purchases_squares": 2.0}
    theirs = base | {"strategy": "held_out", "num_buyers": 1, "num_purchases": 1, "purchases_squares": 1.0}
    money = {"revenue": 0.0, "revenue_squares": 0.0}
    found = realised.effects([ours | money, theirs | money, ours | money | {"k": 1}])
    half = 1.959964 * (1 / 12 + 1 / 16) ** 0.5
    assert found["buyer_share"] == Interval(0.25, pytest.approx(0.25 - half), pytest.approx(0.25 + half))
    assert found["revenue_per_list"] == Interval(0.0, 0.0, 0.0)
    assert realised.effects([ours | money]) == {}


def test_intervals_of_effects_hold_what_they_promise() -> None:
    """Two arms that do not differ: 95 of 100 intervals hold zero, give or take."""
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(400):
        left, right = rng.poisson(0.3, 500), rng.poisson(0.3, 200)
        found = realised.difference_interval(
            (left.sum(), (left**2).sum(), len(left)), (right.sum(), (right**2).sum(), len(right))
        )
        assert found is not None
        held += found.low <= 0 <= found.high
    assert 0.92 <= held / 400 <= 0.98


def test_the_gain_over_the_control_by_hand() -> None:
    """0.919721 - 0.613147 and 0 - 1: mean -0.346713, standard deviation 0.923880."""
    found = realised.gain(judged(SHOWN, POPULAR, DID, HISTORIES))
    half = 1.959964 * 0.923880 / 2**0.5
    assert found == Interval(
        pytest.approx(-0.346713, abs=1e-6),
        pytest.approx(-0.346713 - half, abs=1e-5),
        pytest.approx(-0.346713 + half, abs=1e-5),
    )
