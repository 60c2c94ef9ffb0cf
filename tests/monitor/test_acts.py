"""What people did in a window, against cases worked out by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from nightjar.contracts import IDENTITY, SESSION_EVENTS, Kind
from nightjar.contracts.render import arrow_schema
from nightjar.monitor.acts import EVENT_COLUMNS, IDENTITY_COLUMNS, MICROS, Acts, acts_from, members_acts

SINCE = datetime(2001, 1, 16, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=1)
KINDS = (Kind.VIEW, Kind.CART, Kind.PURCHASE)


def event(visitor: str, kind: str, item: str | None, **more: Any) -> dict[str, Any]:
    noon = {"event_ts": SINCE + timedelta(hours=12), "is_bot": False}
    return {"visitor_id": visitor, "user_id": None, "kind": kind, "item_id": item, **noon, **more}


def batch(rows: list[dict[str, Any]]) -> pa.RecordBatch:
    schema = arrow_schema(SESSION_EVENTS)
    return pa.RecordBatch.from_pylist(
        rows, pa.schema([schema.field(name).with_nullable(True) for name in EVENT_COLUMNS])
    )


def identity(*pairs: tuple[str, str]) -> pa.RecordBatch:
    rows = [dict(zip(IDENTITY_COLUMNS, pair, strict=True)) for pair in pairs]
    return pa.RecordBatch.from_pylist(
        rows, pa.schema([arrow_schema(IDENTITY).field(name) for name in IDENTITY_COLUMNS])
    )


def acts(rows: list[dict[str, Any]], *days: pa.RecordBatch, size: int = 100) -> Acts:
    batches = [batch(rows[start : start + size]) for start in range(0, len(rows), size)]
    return acts_from(members_acts(batches, since=SINCE, until=UNTIL, kinds=KINDS), days)


def pairs(found: Acts) -> dict[tuple[str, str], tuple[bool, int, float]]:
    people, items = found.people.to_pylist(), found.items.to_pylist()
    return {
        (people[pair // len(items)], items[pair % len(items)]): (bool(touched), int(bought), micros / MICROS)
        for pair, touched, bought, micros in zip(
            found.pairs_A, found.touched_A, found.num_purchases_A, found.micros_A, strict=True
        )
    }


@pytest.mark.parametrize("size", [1, 2, 100])
def test_touches_and_purchases_add_up_per_person_and_item(size: int) -> None:
    found = acts(
        [
            event("d1", "view", "tea"),
            event("d1", "purchase", "tea", price=2.5, quantity=2),
            event("d1", "purchase", "tea", price=1.1),
            event("d1", "purchase", "cup"),
            event("d2", "view", "cup"),
        ],
        size=size,
    )
    assert pairs(found) == {
        ("d1", "cup"): (True, 1, 0.0),
        ("d1", "tea"): (True, 2, 6.1),
        ("d2", "cup"): (True, 0, 0.0),
    }
    assert found.people.to_pylist() == ["d1", "d2"]
    assert found.num_touched_P.tolist() == [2, 1]
    assert found.num_purchases_P.tolist() == [3, 0]
    assert found.num_unpriced_P.tolist() == [1, 0]


def test_what_does_not_count() -> None:
    found = acts(
        [
            event("d1", "view", "early", event_ts=SINCE - timedelta(microseconds=1)),
            event("d1", "view", "first", event_ts=SINCE),
            event("d1", "view", "late", event_ts=UNTIL),
            event("d1", "view", "bot", is_bot=True),
            event("d1", "search", None),
            event("d1", "impression", "shown"),
        ]
    )
    assert list(pairs(found)) == [("d1", "first")]


def test_a_purchase_counts_where_it_is_no_touch() -> None:
    members = members_acts(
        [batch([event("d1", "purchase", "tea", price=2.0)])], since=SINCE, until=UNTIL, kinds=[Kind.VIEW]
    )
    assert pairs(acts_from(members, [])) == {("d1", "tea"): (False, 1, 2.0)}


def test_people_are_called_as_on_the_latest_day_given() -> None:
    rows = [event("d1", "view", "tea"), event("d2", "view", "tea", user_id="ann"), event("d3", "view", "cup")]
    first, second = identity(("d1", "bob"), ("d3", "cid")), identity(("d1", "ann"), ("d9", "ann"))
    assert set(pairs(acts(rows, first, second))) == {("ann", "tea"), ("cid", "cup")}
    assert set(pairs(acts(rows, first))) == {("bob", "tea"), ("ann", "tea"), ("cid", "cup")}


def test_nobody_did_anything() -> None:
    found = acts([])
    assert (len(found.people), len(found.items), len(found.pairs_A)) == (0, 0, 0)
