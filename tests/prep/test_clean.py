"""Row rules one by one, and judged rows on their way through a bucket's work into the lake."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F
from tests.prep.small_log import DAY, Row, rows_of

from nightjar.contracts import EVENTS, QUARANTINE, USERS, Kind
from nightjar.prep import clean
from nightjar.prep.landing import Land, reconcile
from nightjar.prep.pseudonyms import decrypted, pseudonym, with_key
from nightjar.prep.sources import mapped
from nightjar.settings import Source, load_conf
from nightjar.stores.lake import Lake, Staged

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark

KEY = bytes(range(32))
CLEAN = load_conf(sets=["clean.max_price=100.0", "clean.max_quantity=10", "clean.bot_events_per_hour=3"]).clean
SOURCE = Source.model_validate(
    {
        "name": "acme",
        "doc": "A shop.",
        "format": "jsonl",
        "layout": "daily",
        "pattern": "{day}",
        "time_zone": "Europe/Berlin",  # an hour ahead of UTC in January
        "fields": {"id": "STRING"},
        "events": {
            "event_id": "id",
            "event_ts": "try_to_timestamp(at)",
            "kind": "what",
            "platform": "via",
            "user_id": "who",
            "device_id": "device",
            "item_id": "item",
            "price": "cost",
            "quantity": "number",
            "attributes": "map('user_agent', agent)",
        },
        "kinds": {kind.value: kind for kind in Kind},
        "rejects": {"item_is_a_fee": "item = 'POSTAGE'", "cheap": "price < 0.5 AND kind = 'purchase'"},
    }
)
TEXTS = ("raw", "_corrupt_record", "id", "at", "what", "via", "who", "device", "item", "agent")
NAMES = ("landed", *TEXTS, "cost", "number")
RAW = f"landed DATE, {', '.join(f'{name} STRING' for name in TEXTS)}, cost DOUBLE, number INT"
GOOD = {
    "landed": DAY,
    "id": "e",
    "at": "2001-01-15T12:00:00Z",
    "what": "view",
    "via": "web",
    "who": "ann",
    "item": "i",
    "cost": 1.0,
}


def raw_row(record: int, /, **columns: Any) -> tuple[Any, ...]:
    row = dict.fromkeys(NAMES) | GOOD | {"raw": f"record {record}"} | columns
    return tuple(row[name] for name in NAMES)


def judged(spark: SparkSession, rows: list[tuple[Any, ...]]) -> DataFrame:
    return clean.with_reasons(mapped(spark.createDataFrame(rows, RAW), SOURCE), CLEAN, SOURCE)


#: Reason -> a record that breaks this rule only, and the same record within the bound.
VIOLATIONS: dict[str, tuple[Row, Row]] = {
    "event_id_missing": ({"id": " "}, {"id": " e "}),
    "event_ts_unreadable": ({"at": "yesterday"}, {"at": "2001-01-15 13:00:00+01:00"}),
    "too_late": ({"at": "2001-01-11T22:59:59Z"}, {"at": "2001-01-11T23:00:00Z"}),  # three days, by Berlin's midnight
    "from_the_future": ({"at": "2001-01-15T23:15:00.000001Z"}, {"at": "2001-01-15T23:15:00Z"}),  # 15 minutes of skew
    "kind_missing": ({"what": None}, {"what": "view"}),
    "kind_unknown": ({"what": "dance"}, {"what": "coupon", "item": None}),
    "platform_unknown": ({"via": "fax"}, {"via": "store"}),
    "actor_missing": ({"who": None}, {"who": None, "device": "d"}),
    "item_missing": ({"what": "uncart", "item": ""}, {"what": "search", "item": ""}),
    "price_impossible": ({"cost": 100.01}, {"cost": 100.0}),
    "quantity_impossible": ({"number": 11}, {"number": 10}),
    "item_is_a_fee": ({"item": "POSTAGE"}, {"item": "POST"}),
    "cheap": ({"what": "purchase", "cost": 0.49}, {"what": "purchase", "cost": 0.5}),
}
MORE = {
    "platform_unknown": {"via": None},
    "price_impossible": {"cost": -0.01},
    "quantity_impossible": {"number": 0},
}


def test_every_rule_has_a_row_that_breaks_it_alone(spark: SparkSession) -> None:
    assert list(VIOLATIONS) == list(clean.row_rules(CLEAN, SOURCE))
    expected: list[list[str]] = []
    rows: list[tuple[Any, ...]] = []

    def add(reasons: list[str], **columns: Any) -> None:
        rows.append(raw_row(len(rows), **columns))
        expected.append(reasons)

    for reason, (bad, good) in VIOLATIONS.items():
        add([reason], **bad)
        add([], **good)
    for reason, bad in MORE.items():
        add([reason], **bad)
    add(["price_impossible"], cost=float("nan"))
    add(["price_impossible"], cost=float("inf"))
    add([], cost=None, number=None)
    add(["malformed"], **(dict.fromkeys(set(NAMES) - {"raw", "landed"}) | {"_corrupt_record": "{"}))  # type: ignore[arg-type]
    several = {"id": None, "what": "dance", "via": "fax", "who": None, "cost": -1.0, "number": 99, "item": "POSTAGE"}
    add(
        [
            "event_id_missing",
            "kind_unknown",
            "platform_unknown",
            "actor_missing",
            "price_impossible",
            "quantity_impossible",
            "item_is_a_fee",
        ],
        **several,
    )
    found = {row["raw"]: row["reasons"] for row in judged(spark, rows).select("raw", "reasons").collect()}
    assert [found[f"record {number}"] or [] for number in range(len(rows))] == expected
    assert [] not in found.values(), "null marks a good row"


# -- into buckets

BUCKETS = 3


def dirt(seed: int, num_rows: int) -> list[Row]:
    """Good records, broken ones, repeated ones and identical broken ones, of three drops and seven visitors."""
    draw = random.Random(seed)
    rows = []
    for number in range(num_rows):
        event = draw.randrange(num_rows)
        change: Row = {"id": f"e{event}", "who": f"p{event % 7}", "landed": date(2001, 1, 14 + draw.randrange(3))}
        change["at"] = f"2001-01-{change['landed'].day}T{draw.randrange(10, 20)}:00:00Z"
        change["agent"] = "Googlebot" if event % 7 == 6 else draw.choice((None, "Mozilla"))
        for bad, _ in draw.sample(list(VIOLATIONS.values()), draw.choice((0, 0, 0, 0, 1, 2))):
            change |= bad
        rows.append(dict.fromkeys(NAMES) | GOOD | {"raw": f"record {number}"} | change)
    return rows + draw.sample(rows, num_rows // 8)


def sent(spark: SparkSession, records: list[Row]) -> DataFrame:
    """Judged rows in their buckets."""
    raw = spark.createDataFrame([tuple(row[name] for name in NAMES) for row in records], RAW)
    return clean.judged(mapped(raw, SOURCE), CLEAN, SOURCE, KEY, BUCKETS)


def test_partition_n_holds_bucket_n_and_all_of_a_visitor(spark: SparkSession) -> None:
    records = dirt(seed=1, num_rows=120)
    rows = sent(spark, records).withColumn("bucket", F.spark_partition_id())
    owner = F.coalesce("record_id", "device_id", "user_id")
    found = rows.withColumn("wanted", F.pmod(F.xxhash64(owner), F.lit(BUCKETS))).collect()
    assert len(found) == len(records)
    assert [row["bucket"] for row in found] == [row["wanted"] for row in found]
    assert {row["bucket"] for row in found} == set(range(BUCKETS))
    # Of good rows no raw record travels, of bad ones no readable one; and columns that nothing fills stay behind.
    assert {(row["reasons"] is None, row["raw"] is None) for row in found} == {(True, True), (False, False)}
    assert not [row for row in found if row["raw"] and b"record" in bytes(row["raw"])]
    assert not {"received_at", "bot_rule", "query", "campaign"} & set(rows.columns)
    assert {row["user_id"]: row["agent"] for row in found if row["reasons"] is None}["p6"] is True
    assert rows.rdd.getNumPartitions() == BUCKETS


def landed(spark: SparkSession, lake: Lake, records: list[Row], users: Path) -> tuple[dict[str, Staged], list[Row]]:
    """A night's drops through judging, buckets and the lake, as the job sends them."""
    days = sorted({row["landed"] for row in records})
    return lake.stage_buckets(
        sent(spark, records),
        Land(tuple(days), "acme", SOURCE.name, CLEAN, KEY),
        [EVENTS, QUARANTINE, USERS],
        "acme",
        "run",
        num_buckets=BUCKETS,
        stored={EVENTS: lake.days("acme", EVENTS.name)},
        days={EVENTS: days, QUARANTINE: days},
        elsewhere={USERS: users},
    )


def read(staged: Staged) -> list[Row]:
    files = [file for entry in staged.entries.values() for file in entry.files]
    return rows_of(pa.concat_tables(pq.read_table(file, partitioning=None) for file in files))


def test_kept_duplicate_and_quarantined_add_up(spark: SparkSession, tmp_path: Path) -> None:
    lake, records = Lake(tmp_path / "lake"), dirt(seed=3, num_rows=200)
    staged, reports = landed(spark, lake, records, tmp_path / "users")
    events, quarantine = read(staged["events"]), read(staged["quarantine"])
    counts = reconcile((report["counts"] for report in reports), len(events), len(quarantine))
    assert sum(drop["rows_read"] for drop in counts.values()) == len(records)
    for day, drop in counts.items():
        assert drop["rows_read"] == sum(row["landed"] == day for row in records)
        assert drop["rows_read"] == drop["rows_kept"] + drop["rows_duplicate"] + drop["rows_quarantined"]
        assert drop["rows_kept"] == sum(row["landed"] == day for row in events)
        assert min(drop.values()) >= 0
    # Independent counts of what was written.
    rows = [tuple(row[name] for name in NAMES) for row in records]
    seen = judged(spark, rows).select("landed", "raw", "reasons", "event_id", "user_id").collect()
    good = [row for row in seen if row["reasons"] is None]
    assert sorted(row["event_id"] for row in events) == sorted({row["event_id"] for row in good})
    assert {(row["event_id"], row["user_id"]) for row in events} == {
        (row["event_id"], pseudonym(KEY, "user", row["user_id"])) for row in good
    }
    reasons = Counter[str]()
    for report in reports:
        reasons.update(report["reasons"])
    assert reasons == Counter(reason for row in seen for reason in row["reasons"] or [])
    machine = pseudonym(KEY, "user", "p6")
    assert {row["user_id"] for row in events if row["bot_rule"] == "agent"} == {machine}
    mapping = {row["pseudonym"]: row["shop_id"] for row in read(staged["users"])}
    assert mapping == {pseudonym(KEY, "user", row["user_id"]): row["user_id"] for row in good}
    # The quarantine opens with the key, and equal records are numbered.
    keys = [(row["dt"], row["record_id"], row["copy"]) for row in quarantine]
    assert len(set(keys)) == len(quarantine) == len(records) - len(good)
    assert max(row["copy"] for row in quarantine) > 1
    opened = with_key(staged["quarantine"].frame(spark), KEY).select("dt", decrypted("raw").alias("text")).collect()
    bad = [(row["landed"], row["raw"]) for row in seen if row["reasons"] is not None]
    assert sorted((row["dt"], row["text"]) for row in opened) == sorted(bad)


def test_a_night_again_changes_nothing_and_a_late_event_its_bucket(spark: SparkSession, tmp_path: Path) -> None:
    lake, records = Lake(tmp_path / "lake"), dirt(seed=5, num_rows=60)

    def night(rows: list[Row]) -> dict[str, str]:
        staged, _ = landed(spark, lake, rows, tmp_path / "users")
        lake.commit([staged["events"], staged["quarantine"]])
        days = [table.at("acme", day) for table in (EVENTS, QUARANTINE) for day in lake.days("acme", table.name)]
        return {str(at): lake.entry(at).content_hash for at in days}

    first = night(records)
    assert night(records) == first
    before = lake.entry(EVENTS.at("acme", DAY)).bucket_hashes()
    late = dict.fromkeys(NAMES) | GOOD | {"raw": "late", "id": "late", "who": "p0", "landed": DAY + timedelta(days=2)}
    after = night([late])
    assert {name for name in first if after[name] != first[name]} == {f"acme/events/dt={DAY}"}
    now = lake.entry(EVENTS.at("acme", DAY)).bucket_hashes()
    assert sum(now[bucket] != content for bucket, content in before.items()) == 1
