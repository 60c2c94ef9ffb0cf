"""From mapped rows to files: judged in Spark, landed bucket by bucket."""

from __future__ import annotations

import random
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import functions as F
from tests.prep.raw_log import CLEAN, GOOD, NAMES, RAW, SOURCE, VIOLATIONS, judged
from tests.prep.small_log import DAY, Row, rows_of

from nightjar.contracts import EVENTS, QUARANTINE, USERS
from nightjar.prep import clean
from nightjar.prep.landing import NO_DAY, Land, Unseal, added_up, reconcile, with_duplicates
from nightjar.prep.pseudonyms import pseudonym
from nightjar.prep.sources import mapped
from nightjar.stores.lake import Lake, Staged

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark

KEY = bytes(range(32))

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
    return clean.judged(mapped(raw, SOURCE), CLEAN, SOURCE, BUCKETS)


def test_partition_n_holds_bucket_n_and_all_of_a_visitor(spark: SparkSession) -> None:
    records = dirt(seed=1, num_rows=120)
    rows = sent(spark, records).withColumn("bucket", F.spark_partition_id())
    owner = F.coalesce("raw", "device_id", "user_id")
    found = rows.withColumn("wanted", F.pmod(F.xxhash64(owner), F.lit(BUCKETS))).collect()
    assert len(found) == len(records)
    assert [row["bucket"] for row in found] == [row["wanted"] for row in found]
    assert {row["bucket"] for row in found} == set(range(BUCKETS))
    # Of good rows no raw record travels, and columns that nothing fills stay behind.
    assert {(row["reasons"] is None, row["raw"] is None) for row in found} == {(True, True), (False, False)}
    assert not {"bot_rule", "surface"} & set(rows.columns)
    assert {row["user_id"]: row["agent"] for row in found if row["reasons"] is None}["p6"] is True
    assert rows.rdd.getNumPartitions() == BUCKETS


def landed(spark: SparkSession, lake: Lake, records: list[Row], users: Path) -> tuple[dict[str, Staged], list[Row]]:
    """A night's drops through judging, buckets and the lake, as the job sends them."""
    days = sorted({row["landed"] for row in records if row["landed"]})
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
    counts = {day: with_duplicates(drop) for day, drop in added_up(report["counts"] for report in reports).items()}
    reconcile(counts, len(events), len(quarantine))
    assert sum(drop["rows_read"] for drop in counts.values()) == len(records)
    rows = [tuple(row[name] for name in NAMES) for row in records]
    seen = judged(spark, rows).select("landed", "raw", "reasons", "event_id", "user_id").collect()
    for day, drop in counts.items():
        assert drop["rows_read"] == sum((row["landed"] or NO_DAY) == day for row in seen)
        assert drop["rows_read"] == drop["rows_kept"] + drop["rows_duplicate"] + drop["rows_quarantined"]
        assert drop["rows_kept"] == sum(row["landed"] == day for row in events)
        assert min(drop.values()) >= 0
    # Independent counts of what was written.
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
    opened = (
        staged["quarantine"]
        .frame(spark)
        .mapInArrow(Unseal(KEY), "landed DATE, part STRING, _form STRING, value STRING")
        .collect()
    )
    bad = [(row["landed"], row["raw"]) for row in seen if row["reasons"] is not None]
    assert sorted((row["landed"], row["value"]) for row in opened) == sorted(bad)


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
