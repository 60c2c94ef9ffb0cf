"""conf/sources/synthetic.toml on a simulated day, in a real Spark session."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nightjar.settings import load_conf, load_source
from nightjar.simulate import Shop
from nightjar.simulate.drops import write_drop

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark

START, DAY = date(2001, 1, 15), date(2001, 1, 29)
CONF = load_conf()
SOURCE = load_source("synthetic")
SHOP = Shop(CONF.simulate.model_copy(update={"num_people": 3000, "start": START.isoformat(), "malformed_share": 0.03}))


@pytest.fixture(scope="module")
def rows(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataFrame]:
    from nightjar.prep.clean import with_reasons
    from nightjar.prep.sources import mapped
    from nightjar.stores.raw import read_raw

    folder: Path = tmp_path_factory.mktemp("raw")
    path = folder / f"{DAY.isoformat()}.jsonl.gz"
    write_drop(path, SHOP.drop(DAY))
    raw = read_raw(spark, SOURCE, {DAY: [path]})
    frame = with_reasons(mapped(raw, SOURCE), CONF.clean, SOURCE).cache()
    yield frame
    frame.unpersist()


def test_exactly_the_malformed_records_break_a_rule(rows: DataFrame) -> None:
    counts = {
        sort: sum(chunk.counts[sort] for chunk in SHOP.chunks(DAY))
        for sort in ("clean", "duplicates", "conflicts", "malformed")
    }
    assert rows.count() == sum(counts.values())
    assert counts["malformed"] > 150
    assert rows.where("reasons IS NOT NULL").count() == counts["malformed"]


def test_every_way_of_breaking_a_record_has_its_reason(rows: DataFrame) -> None:
    found = {row["reason"] for row in rows.selectExpr("explode(reasons) AS reason").distinct().collect()}
    assert found == {
        "malformed",
        "event_id_missing",
        "event_ts_unreadable",
        "day_impossible",
        "from_the_future",
        "clock_ahead",
        "actor_missing",
        "item_missing",
        "price_negative",
        "price_unreadable",
        "quantity_unreadable",
    }


def test_columns_equal_what_python_reads_from_the_same_lines(rows: DataFrame) -> None:
    kept = {row["event_id"]: row for row in rows.where("reasons IS NULL").collect()}
    platforms = {"ios": "app", "android": "app", "web": "web", "mini_program": "mini_program"}
    checked = 0
    for line in SHOP.drop(DAY):
        record = json.loads(line) if line.endswith("}") and line.count("{") == line.count("}") else {"id": None}
        row = kept.get(record["id"])
        if row is None:
            continue
        product, checked = record["product"] or {}, checked + 1
        ts = record["ts"]
        instant = datetime.fromisoformat(ts) if "T" in str(ts) else datetime.fromtimestamp(int(ts) / 1000, UTC)
        assert row["event_ts"].replace(tzinfo=UTC) == instant
        assert row["received_at"].replace(tzinfo=UTC) == datetime.fromisoformat(record["received"])
        assert row["kind"] == SOURCE.kinds[record["type"]]
        assert (row["user_id"], row["device_id"]) == (record["actor"]["user_id"], record["actor"]["device_id"])
        assert (row["platform"], row["item_id"]) == (platforms[record["client"]["platform"]], product.get("sku"))
        assert (row["query"], row["surface"], row["campaign"]) == tuple(
            record["page"][key] for key in ("q", "surface", "campaign")
        )
        assert row["order_id"] == (record["order"] or {}).get("no")
        expected = {name: product[name] for name in ("title", "category", "brand") if product}
        assert row["attributes"] == expected | {"user_agent": record["client"]["user_agent"]}
        assert (row["quantity"] is not None) == (
            record["type"] in ("add_to_cart", "remove_from_cart", "order", "refund")
        )
    assert checked > 5000


def test_self_declared_bots_match_the_agent_pattern(rows: DataFrame) -> None:
    agents = rows.where(rows.attributes["user_agent"].rlike(CONF.clean.bot_agent_pattern))
    assert agents.count() > 50
    assert agents.where("user_id IS NOT NULL").count() == 0
