"""Counting a night's lists."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest

from nightjar.monitor.lists import TOP, count, movers, recommended
from nightjar.monitor.night import Item, Mover

ROWS = [
    # two people with a history, one served by popularity
    {"item_id": "tea", "rank": 1, "strategy": "model", "reason_code": "because_viewed"},
    {"item_id": "cup", "rank": 2, "strategy": "model", "reason_code": "because_bought"},
    {"item_id": "cup", "rank": 1, "strategy": "model", "reason_code": "because_viewed"},
    {"item_id": "pan", "rank": 2, "strategy": "model", "reason_code": "because_viewed"},
    {"item_id": "cup", "rank": 1, "strategy": "popular", "reason_code": "popular_now"},
    {"item_id": "pan", "rank": 2, "strategy": "popular", "reason_code": "popular_now"},
]


def batches(rows: list[dict[str, object]], size: int) -> list[pa.RecordBatch]:
    return pa.Table.from_pylist(rows).to_batches(max_chunksize=size) if rows else []


@pytest.mark.parametrize("size", [1, 4, 6])
def test_counts_do_not_depend_on_batches(size: int) -> None:
    rows = ROWS.copy()
    random.Random(size).shuffle(rows)
    shown = count(batches(rows, size))
    assert (shown.num_rows, shown.num_lists, shown.num_fallback) == (6, 3, 1)
    assert dict(shown.items) == {"cup": 3, "pan": 2, "tea": 1}
    assert dict(shown.reasons) == {"because_viewed": 3, "because_bought": 1, "popular_now": 2}
    assert shown.ranked() == ["cup", "pan", "tea"]


def test_equal_counts_are_ordered_by_item() -> None:
    rows = [{"item_id": item, "rank": 1, "strategy": "model", "reason_code": "because_viewed"} for item in "bca"]
    assert count(batches(rows, 2)).ranked() == ["a", "b", "c"]


def test_places_of_yesterday_and_titles() -> None:
    yesterday = count(batches(ROWS[3:5], 2))  # pan and cup once each
    said = recommended(count(batches(ROWS, 6)), yesterday, {"cup": "A cup"}, num_candidates=12)
    assert said.top == (Item("cup", "A cup", 3, 1), Item("pan", None, 2, 2), Item("tea", None, 1, None))
    assert (said.coverage, said.fallback_share, said.rows_per_list) == (0.25, pytest.approx(1 / 3), 2.0)
    assert said.knows_yesterday


def test_only_the_first_items_are_listed() -> None:
    row = {"rank": 1, "strategy": "model", "reason_code": "because_viewed"}
    rows = [row | {"item_id": f"i{number:02}"} for number in range(30)]
    said = recommended(count(batches(rows, 7)), None, {}, None)
    assert [item.item_id for item in said.top] == [f"i{number:02}" for number in range(TOP)]
    assert (said.top_rows, said.num_items, said.coverage, said.knows_yesterday) == (10, 30, None, False)


def test_no_rows_are_no_lists() -> None:
    said = recommended(count([]), None, {}, 5)
    assert (said.num_lists, said.fallback_share, said.rows_per_list, said.top) == (0, 0.0, 0.0, ())


def test_who_moved_most() -> None:
    tonight, yesterday = count(batches(ROWS, 6)), count(batches(ROWS[3:5] * 3, 6))  # pan and cup three times each
    assert movers(tonight, yesterday, {"tea": "Tea"}) == (Mover("pan", None, 2, 3), Mover("tea", "Tea", 1, 0))
    assert movers(tonight, yesterday, {}, number=1) == (Mover("pan", None, 2, 3),)
    assert movers(tonight, None, {}) == ()
