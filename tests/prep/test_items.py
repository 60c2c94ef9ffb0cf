"""Items as of a day against counts by hand."""

from __future__ import annotations

import statistics
from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest
from tests.prep.small_log import DAY, NOON, Row, event, frame, plain, random_events

from nightjar.contracts import EVENTS, ITEMS
from nightjar.prep.items import items_from, with_price_bucket

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

HOURS = 60
DAYS = 24 * HOURS


def items(spark: SparkSession, rows: list[Row], as_of: date = DAY) -> dict[str, Row]:
    found = items_from(frame(spark, EVENTS, rows), as_of, recent_days=7)
    assert found.columns == list(ITEMS.names)
    return {row["item_id"]: row for row in plain(found.collect())}


def test_an_item_by_hand(spark: SparkSession) -> None:
    rows = [
        event("b", -8 * DAYS, attributes={"title": "Old", "brand": "B"}, price=1.0),
        event("c", -7 * DAYS, kind="purchase", price=2.0),  # seven days ago: no more recent
        event("d", -6 * DAYS, attributes={"title": "New", "category": None}, price=None),
        event("e", 0, price=3.0),
        event("f", 0, price=4.0, attributes=None),  # the same instant: the larger event_id is later
        event("g", 1, kind="purchase", price=None, attributes={"title": None}, platform="app"),
        event("h", 2, bot_rule="rate", price=99.0),
        event("i", 1 * DAYS, price=98.0, attributes={"title": "Tomorrow"}),
        event("j", 0, kind="search", item_id=None),
        event("k", 1 * DAYS, item_id="i2"),
        event("l", 0, item_id="i3", bot_rule="agent"),
    ]
    assert items(spark, rows) == {
        "i1": {
            "item_id": "i1",
            "dt": DAY,
            "title": "New",
            "category": None,
            "brand": "B",
            "price": 4.0,
            "price_bucket": 1,
            "first_seen": NOON - timedelta(days=8),
            "last_seen": NOON + timedelta(minutes=1),
            "num_events": 6,
            "num_recent": 4,
            "num_purchases": 2,
            "recent_by_platform": [3, 1, 0, 0, 0, 0],
        }
    }


def test_nothing_later_than_the_day_moves_an_item(spark: SparkSession) -> None:
    rows = random_events(seed=6, num_people=3, num_events=60, minutes=6 * DAYS)
    as_of = DAY + timedelta(days=2)
    before = items(spark, [row for row in rows if row["dt"] <= as_of], as_of)
    assert len(before) == 5
    assert items(spark, rows, as_of) == before


def test_buckets_are_deciles(spark: SparkSession) -> None:
    def buckets(prices: list[float | None]) -> list[int]:
        rows = spark.createDataFrame(list(enumerate(prices)), "n INT, price DOUBLE")
        found = with_price_bucket(rows).orderBy("n").collect()
        assert found[0].__fields__ == ["n", "price", "price_bucket"]
        return [row["price_bucket"] for row in found]

    prices = [float(n * n) for n in range(40)]
    cuts = statistics.quantiles(prices, n=10, method="inclusive")
    assert buckets([*prices, None]) == [1 + sum(price > cut for cut in cuts) for price in prices] + [0]
    assert set(buckets(list(prices))) == set(range(1, 11))
    assert buckets([5.0] * 7) == [1] * 7
    assert buckets([None, None]) == [0, 0]


def test_no_events_are_no_items(spark: SparkSession) -> None:
    assert items(spark, [event("a", bot_rule="rate"), event("b", item_id=None)]) == {}
