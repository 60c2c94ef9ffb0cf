"""The mapping language on small frames: arrays taken apart, derived columns, ignored words, hidden raw columns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nightjar.prep.clean import with_reasons
from nightjar.prep.sources import mapped
from nightjar.settings import Source, load_conf

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark

AT = "2001-01-15T12:00:00Z"
RAW = "landed DATE, raw STRING, _corrupt_record STRING, id STRING, lines ARRAY<STRUCT<sku: STRING, price: STRING>>"


def source(**changes: Any) -> Source:
    events = {
        "event_id": "concat(id, coalesce(concat('-', position), ''))",
        "event_ts": f"try_to_timestamp('{AT}')",
        "kind": "CASE WHEN element.sku = 'gift' THEN 'gift' ELSE 'sold' END",
        "platform": "'web'",
        "user_id": "'ann'",
        "item_id": "element.sku",
        "price": "try_cast(element.price AS DOUBLE)",
    }
    fields = {
        "explode": "lines",
        "events": events,
        "kinds": {"sold": "purchase"},
        "format": "parquet",
        "layout": "single",
    }
    return Source.model_validate({"name": "acme", "doc": "A shop.", "time_zone": "UTC", **fields, **changes})


def judged(frame: DataFrame, of: Source) -> list[tuple[Any, ...]]:
    rows = with_reasons(mapped(frame, of), load_conf().clean, of).orderBy("raw", "position").collect()
    return [(row["event_id"], row["item_id"], row["price"], row["reasons"], row["raw"]) for row in rows]


def orders(spark: SparkSession) -> DataFrame:
    rows = [
        (None, "a", None, "1", [("mug", "9.5"), ("gift", "0"), ("jug", "free")]),
        (None, "b", None, "2", []),
        (None, "c", None, "3", None),
        (None, "d", "d", None, None),
    ]
    return spark.createDataFrame(rows, RAW)


def test_each_element_is_a_row_that_keeps_the_whole_record(spark: SparkSession) -> None:
    of = source(rejects={"price_unreadable": "element.price IS NOT NULL AND price IS NULL"})
    assert judged(orders(spark), of) == [
        ("1-0", "mug", 9.5, None, "a"),
        ("1-1", "gift", 0.0, ["kind_unknown"], "a"),
        ("1-2", "jug", None, ["price_unreadable"], "a"),
        ("2", None, None, ["item_missing"], "b"),  # an empty array loses no record
        ("3", None, None, ["item_missing"], "c"),
        (None, None, None, ["malformed"], "d"),
    ]


def test_ignored_words_are_left_out_but_no_record_that_could_not_be_parsed(spark: SparkSession) -> None:
    of = source(ignored=["gift", "sold"], kinds={"given": "purchase"})
    assert judged(orders(spark), of) == [(None, None, None, ["malformed"], "d")]


def test_derived_columns_build_on_raw_ones_elements_and_each_other(spark: SparkSession) -> None:
    derived = {"sku": "upper(element.sku)", "label": "concat(sku, '#', position)"}
    of = source(derived=derived, events={**source().events, "item_id": "label"})
    items = [row[1] for row in judged(orders(spark), of)]
    assert items == ["MUG#0", "GIFT#1", "JUG#2", None, None, None]


def test_a_raw_column_that_an_event_column_hides_has_an_underscore(spark: SparkSession) -> None:
    schema = "landed DATE, raw STRING, _corrupt_record STRING, id STRING, Price STRING, kind STRING"
    rows = [(None, "a", None, "1", "9.5", "sold"), (None, "b", None, "2", "free", "sold")]
    events = {
        **source().events,
        "event_id": "id",
        "item_id": "'mug'",
        "price": "try_cast(Price AS DOUBLE)",
        "kind": "kind",
    }
    of = source(explode="", events=events, rejects={"price_unreadable": "Price_ IS NOT NULL AND price IS NULL"})
    frame = mapped(spark.createDataFrame(rows, schema), of)
    assert frame.where("kind_ = 'sold' AND kind = 'purchase'").count() == 2
    reasons = [row["reasons"] for row in with_reasons(frame, load_conf().clean, of).orderBy("raw").collect()]
    assert reasons == [None, ["price_unreadable"]]


def test_attributes_lose_what_is_empty(spark: SparkSession) -> None:
    told = "map('title', ' Mug ', 'brand', '', 'category', CAST(NULL AS STRING))"
    of = source(events={**source().events, "attributes": told})
    assert mapped(orders(spark), of).first()["attributes"] == {"title": "Mug"}  # type: ignore[index]
