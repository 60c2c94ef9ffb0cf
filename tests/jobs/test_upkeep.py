"""Retention, compaction and the clean-up of models, on lakes and MLflow stores of their own."""

from __future__ import annotations

import argparse
import json
import os
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.jobs.night import DAY, PAST, SHOP, fill, job, module, register, walks

from nightjar.contracts import ERASURES, EVENTS, HOLDOUT, ITEMS, PROMOTIONS, SEQUENCES, BadInput, Kind, Table
from nightjar.contracts.render import arrow_schema
from nightjar.prep.erasure import request_id
from nightjar.prep.pseudonyms import pseudonym
from nightjar.settings import Conf, load_conf, load_source
from nightjar.stores.erasures import Request, file_requests
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake
from nightjar.stores.ledgers import read_rows
from nightjar.stores.secrets import pseudonym_key
from nightjar.stores.tracking import Tracking


def done(home: Home, name: str, table: Table, *sets: str) -> dict[str, Any]:
    args = argparse.Namespace(**{table.name: table.at(SHOP, DAY)})
    found: dict[str, Any] = module(name).main(args, job(home, name, *sets))
    return found


# -- retention


@pytest.fixture
def lake(home: Home) -> Lake:
    """Histories and items of every second day of half a year."""
    past, ahead = walks(3, seed=1)
    lake = Lake(home.lake)
    for back in range(0, 180, 20):
        fill(lake, past, ahead, day=DAY - timedelta(days=back))
    return lake


def test_days_beyond_the_settings_go(home: Home, lake: Lake) -> None:
    said = done(home, "retain", EVENTS, "retention.sequences=60", "retention.holdout=100")
    assert lake.days(SHOP, "sequences") == [DAY - timedelta(days=back) for back in (60, 40, 20, 0)]
    assert lake.days(SHOP, "holdout") == [DAY - timedelta(days=back) for back in (100, 80, 60, 40, 20, 0)]
    assert len(lake.days(SHOP, "items")) == 9, "0 keeps all"
    assert said["days_dropped"] == {"sequences": 5, "holdout": 3}
    assert said["rows_in"] == 3 * 8
    again = done(home, "retain", EVENTS, "retention.sequences=60", "retention.holdout=100")
    assert again["days_dropped"] == {}


def test_what_jobs_look_back_on_is_never_dropped(home: Home, lake: Lake) -> None:
    with pytest.raises(BadInput, match=r"retention\.events = 30, at least \d+, retention\.sequences = 3"):
        done(home, "retain", EVENTS, "retention.events=30", "retention.sequences=3")
    assert len(lake.days(SHOP, "sequences")) == 9


def test_needed_days_follow_from_the_settings() -> None:
    def needed(*sets: str) -> dict[str, int]:
        found: dict[str, int] = module("retain").needed_days(load_conf(sets=[*sets]), load_source(SHOP))
        return found

    usual = needed()
    assert set(usual) == set(Conf.model_fields["retention"].annotation.model_fields)  # type: ignore[union-attr]
    longer = needed("sequences.history_days=400", "gate.trailing_days=50")
    assert longer["events"] == longer["sessions"] == 400 + 3 + 1 + 1
    assert longer["sequences"] == 51 > usual["sequences"]
    assert all(needed("marts.lookback_days=300")[name] > 300 for name in ("events", "session_events"))


# -- compaction


def test_small_files_are_merged_and_leftovers_deleted(home: Home) -> None:
    past, ahead = walks(12, seed=2)
    lake = Lake(home.lake)
    fill(lake, past, ahead, day=DAY)
    at = SEQUENCES.at(SHOP, DAY)
    whole = lake.entry(at)
    scatter(lake, at.day)
    before = lake.entry(at)
    assert (len(before.files), before.content_hash) == (12, whole.content_hash)
    bounds = ("upkeep.max_small_files=4", "upkeep.keep_snapshots=0", "upkeep.grace_hours=24")
    said = done(home, "compact", EVENTS, *bounds)
    assert (said["partitions_merged"], said["files_merged"], said["files_deleted"]) == (1, 12, 0)
    after = lake.entry(at)
    assert (len(after.files), after.content_hash, after.num_rows) == (1, before.content_hash, 12)
    assert {len(lake.files(table.at(SHOP, DAY))) for table in (ITEMS, HOLDOUT)} == {1}
    then = time.time() - 25 * 3600
    for path in lake.root.rglob("*"):
        os.utime(path, (then, then))
    said = done(home, "compact", EVENTS, *bounds)
    assert said["snapshots_deleted"] == 2
    files = {str(path) for path in lake.root.rglob("*.parquet")}
    assert files == {file for table in (SEQUENCES, ITEMS, HOLDOUT) for file in lake.files(table.at(SHOP, DAY))}


def scatter(lake: Lake, day: date) -> None:
    """A file per row."""
    from dataclasses import replace

    import pyarrow.parquet as pq

    from nightjar.stores.lake import write_part

    staged = lake.restaged(SEQUENCES, SHOP, "scatter")
    entry = lake.entry(SEQUENCES.at(SHOP, day))
    rows = pa.concat_tables([pq.ParquetFile(file).read() for file in entry.files])
    parts = [write_part(staged.folder, SEQUENCES, day, None, rows.slice(n, 1)) for n in range(len(rows))]
    staged.entries[day] = replace(entry, parts=tuple(parts))
    lake.commit([staged])


# -- models


@pytest.mark.slow
def test_old_candidates_go_with_their_files_and_champions_stay(home: Home, tmp_path: Path) -> None:
    past, _ = walks(20, seed=3)
    tracking = Tracking(home, SHOP)
    first, lost, second, third = (
        register(home, tmp_path / name, past, steps=0) for name in ("first", "lost", "second", "third")
    )
    for version in (first, second, third):
        tracking.promote(version)
    decided(home, ("1", None, "promoted"), ("2", "1", "kept"), ("3", "1", "promoted"), ("4", "3", "promoted"))
    decided(
        home, ("2", None, "promoted"), model_name=f"nightjar_{SHOP}_churn", day=DAY - timedelta(days=1)
    )  # another model's second version
    age(home, days=40)
    fresh = register(home, tmp_path / "fresh", past, steps=0)
    before = size(home.mlflow / "artifacts")
    checkpoint = home.runs / SHOP / "2001-01-02" / "training-train"
    checkpoint.mkdir(parents=True)
    (checkpoint / "plan.json").write_text("{}")
    said = done(home, "tidy_models", PROMOTIONS)
    assert (said["versions_deleted"], said["checkpoints_deleted"]) == ([lost.version], 0)
    assert size(home.mlflow / "artifacts") < before * 0.85
    with pytest.raises(BadInput, match="no version 2"):
        tracking.version(lost.version)
    for version in (first, second, third, fresh):
        assert tracking.download(version.version).exists()
    assert tracking.champion() == tracking.version(third.version)
    then = time.time() - 40 * 86400
    for path in (checkpoint / "plan.json", checkpoint):
        os.utime(path, (then, then))
    said = done(home, "tidy_models", PROMOTIONS)
    assert (said["versions_deleted"], said["checkpoints_deleted"]) == ([], 1)
    assert not checkpoint.exists()


def decided(
    home: Home, *rows: tuple[str, str | None, str], model_name: str = f"nightjar_{SHOP}", day: date = DAY
) -> None:
    known: dict[str, Any] = dict.fromkeys(PROMOTIONS.names, "x") | {"model_name": model_name, "dt": day}
    lake = Lake(home.lake)
    ledger = [
        known
        | {"shop": SHOP, "decision_id": f"{model_name} {n}", "decided_at": 0, "candidate_version": candidate}
        | {"champion_version": champion, "decision": decision}
        for n, (candidate, champion, decision) in enumerate(rows)
    ]
    table = pa.Table.from_pylist(ledger, arrow_schema(PROMOTIONS))
    lake.commit([lake.stage_arrow(table, PROMOTIONS, SHOP, "test")])


def age(home: Home, *, days: int) -> None:
    """As if everything in MLflow had begun so long ago."""
    import sqlite3

    with sqlite3.connect(home.mlflow / "mlflow.db") as db:
        db.execute("UPDATE runs SET start_time = start_time - ?", (days * 86_400_000,))


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_a_shop_without_models_has_nothing_to_tidy(home: Home) -> None:
    said = done(home, "tidy_models", PROMOTIONS)
    assert said["versions_deleted"] == []
    assert not home.mlflow.exists()


@pytest.mark.slow
def test_the_ledger_says_whether_the_champion_knew(home: Home, tmp_path: Path) -> None:
    key = pseudonym_key(home)
    ann, bob = (pseudonym(key, "user", name) for name in ("ann", "bob"))
    past, ahead = {ann: [("i01", Kind.VIEW)] * 3, bob: [("i02", Kind.VIEW)] * 3}, {ann: [], bob: []}
    lake, tracking = Lake(home.lake), Tracking(home, SHOP)
    fill(lake, past, ahead, day=PAST)
    version = register(home, tmp_path / "model", past, steps=0)
    tracking.promote(version)
    asked = [Request({"user": name}, datetime(2001, 1, 15, tzinfo=UTC)) for name in ("ann", "stranger")]
    file_requests(home, SHOP, "asked", asked)
    said = done(home, "erase", ERASURES)
    rows = {row["request_id"]: row for row in read_rows(lake, ERASURES, ERASURES.at(SHOP, DAY))}
    ann_said, stranger_said = (rows[request_id(key, one.ids, one.requested_at)] for one in asked)
    assert (ann_said["champion_version"], ann_said["champion_knew"]) == (version.version, True)
    assert json.loads(ann_said["rows_removed"]) == {"lake/sequences": 1, "lake/holdout": 1}
    assert (stranger_said["champion_knew"], stranger_said["rows_removed"]) == (False, "{}")
    assert said["rows_removed"] == 2
    left = [row["user_id"] for row in read_rows(lake, SEQUENCES, SEQUENCES.at(SHOP, PAST))]
    assert left == [bob]
