"""The job as the night starts it: a process, a lake, a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightjar.contracts import (
    DECISIONS,
    FORETOLD,
    FUNNELS,
    ITEMS,
    RECOMMENDATIONS,
    SEQUENCES,
    USER_FEATURES,
    USERS,
    Partition,
    Table,
)
from nightjar.contracts.render import arrow_schema
from nightjar.settings import repository
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake
from nightjar.stores.warehouse import DuckDbFile, history, sample

DAY = date(2001, 1, 15)
JOB = repository() / "jobs" / "publish.py"
NIGHT = "acme/recommendations/dt=2001-01-15"

SOURCE = """
doc = "A shop for tests."
format = "csv"
layout = "single"
time_zone = "UTC"
[events]
event_id = "id"
event_ts = "ts"
kind = "kind"
platform = "'web'"
user_id = "user"
[kinds]
view = "view"
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "acme.toml"
    path.write_text(SOURCE)
    return path


def run(source: Path, *more: str, **environment: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Start the job; returns the process and its result manifest."""
    argv = [sys.executable, str(JOB), "--source", str(source), "--recommendations", NIGHT, "--set", "score.k=2", *more]
    done = subprocess.run(argv, capture_output=True, text=True, env={**os.environ, **environment}, timeout=60)
    result = Home.from_environment().result("acme", DAY, "publish")
    return done, json.loads(result.read_text())


def fill(home: Home, table: Table, rows: list[dict[str, Any]], facts: dict[str, Any] | None = None) -> None:
    lake = Lake(home.lake)
    staged = lake.stage_arrow(pa.Table.from_pylist(rows, arrow_schema(table)), table, "acme", "test")
    lake.commit([staged], facts={(table.name, DAY): facts or {}})


def recommended(person: str, rank: int, item: str) -> dict[str, Any]:
    return {
        "row_key": f"acme|2001-01-15|home|{person}|{rank}",
        "shop": "acme",
        "dt": DAY,
        "surface": "home",
        "user_id": person,
        "rank": rank,
        "item_id": item,
        "score": 1 / rank,
        "strategy": "model",
        "reason_code": "because_viewed",
        "model_name": "nightjar_acme",
        "model_version": "3",
    }


@pytest.fixture
def lake(home: Home) -> Home:
    """Two people, two items, and the mapping rows that wait."""
    numbers: dict[str, Any] = dict.fromkeys(("num_events", "num_recent"), 1)
    numbers |= dict.fromkeys(("price_bucket", "num_purchases", "first_seen", "last_seen"), 0)
    numbers |= {"recent_by_platform": [1, 0, 0, 0, 0, 0]}
    arrays = {c.name: () for c in SEQUENCES.columns if c.type.startswith("array")}
    people = ("p-ada", "p-bob")
    fill(home, RECOMMENDATIONS, [recommended(p, r, i) for p in people for r, i in ((1, "i1"), (2, "i2"))])
    fill(home, ITEMS, [{"item_id": item, "dt": DAY, "title": "Tea", **numbers} for item in ("i1", "i2")])
    fill(
        home,
        SEQUENCES,
        [{"user_id": person, "dt": DAY, "num_events": 0, "last_platform": "web", **arrays} for person in people],
    )
    waiting = home.secrets / "users" / "acme"
    waiting.mkdir(parents=True)
    mapping = [{"shop": "acme", "pseudonym": p, "shop_id": p[2:], "id_kind": "user"} for p in people]
    pq.write_table(pa.Table.from_pylist(mapping, arrow_schema(USERS)), waiting / "tonight.parquet")
    return home


def test_publishes_once_and_says_so(lake: Home, source: Path) -> None:
    done, result = run(source, "--run", "night-1")
    assert done.returncode == 0, done.stderr
    counts = result["counts"]
    assert counts == json.loads(done.stdout.splitlines()[-1])
    assert {name: counts[name] for name in ("rows_in", "rows_out", "rows_rejected", "published", "num_users")} == {
        "rows_in": 4,
        "rows_out": 4,
        "rows_rejected": 0,
        "published": True,
        "num_users": 2,
    }
    assert counts["audits"]["rows"] == 4
    warehouse = DuckDbFile(lake.warehouse)
    (logged,) = history(warehouse, "acme")
    assert (logged["publish_id"], logged["run_id"]) == (counts["publish_id"], "night-1")
    assert [row.title for row in sample(warehouse, "acme", DAY)] == ["Tea"] * 4

    again = run(source)[1]["counts"]
    assert (again["published"], again["publish_id"], again["rows_out"]) == (False, counts["publish_id"], 4)


def test_analysis_tables_come_along_where_there_are_any(lake: Home, source: Path) -> None:
    assert run(source)[1]["counts"]["mart_days"] == 0
    dimensions = {"dt": DAY, "platform": "(all)", "category": "(all)", "campaign": "(all)"}
    counts = {name: 0 for name in FUNNELS.names if name.startswith("num_")}
    fill(lake, FUNNELS, [dimensions | counts | {"num_sessions": 4, "num_viewed": 3, "num_lost_after_view": 3}])
    done, result = run(source)
    assert (done.returncode, result["counts"]["mart_days"], result["counts"]["published"]) == (0, 1, False)
    with DuckDbFile(lake.warehouse).reader() as db:
        assert db.query("SELECT dt, num_sessions, cart_rate, checkout_rate FROM v_funnels") == [(DAY, 4, 0.0, None)]
    assert run(source)[1]["counts"]["mart_days"] == 0


def test_where_people_stand_comes_along_where_features_are_there(lake: Home, source: Path) -> None:
    nothing: dict[str, Any] = {column.name: None if column.nullable else 0 for column in USER_FEATURES.columns}
    known = nothing | {"dt": DAY, "last_platform": "web"}
    fill(lake, USER_FEATURES, [known | {"user_id": p, "spend": s} for p, s in (("p-ada", 2.0), ("p-bob", 9.0))])
    assert run(source)[0].returncode == 0
    with DuckDbFile(lake.warehouse).reader() as db:
        sql = "SELECT user_id, band FROM v_user_scores_current WHERE score_name = 'monetary' ORDER BY user_id"
        assert db.query(sql) == [("ada", 1), ("bob", 5)]


def test_what_is_foretold_and_decided_comes_along_where_it_is_there(lake: Home, source: Path) -> None:
    nothing: dict[str, Any] = {column.name: None if column.nullable else 0 for column in USER_FEATURES.columns}
    known = nothing | {"dt": DAY, "last_platform": "web"}
    spent = (("p-ada", 20.0), ("p-bob", 90.0))
    fill(lake, USER_FEATURES, [known | {"user_id": p, "spend": s} for p, s in spent])
    row = {
        "dt": DAY,
        "score_name": "churn",
        "decile": 9,
        "contender": "trees",
        "model_version": "2",
        "reasons": ["spend"],
    }
    chances = (("p-ada", 0.5, True), ("p-bob", 0.25, False))
    fill(lake, FORETOLD, [row | {"user_id": p, "probability": c, "flagged": f} for p, c, f in chances])
    argv = [sys.executable, str(JOB.with_name("decide.py")), "--source", str(source)]
    argv += ["--foretold", "acme/foretold/dt=2001-01-15", "--set", "decisions.control_share=0"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout.splitlines()[-1])
    assert (said["rows_out"], set(said["decisions"])) == (1, {"retention"})
    assert said["unmet"]["coupon"] == "nothing foretells coupon_uplift or purchase tonight"
    assert Lake(lake.lake).entry(DECISIONS.at("acme", DAY)).facts["unmet"] == said["unmet"]
    assert run(source)[0].returncode == 0
    with DuckDbFile(lake.warehouse).reader() as db:
        scores = (
            "SELECT user_id, score, decile, reasons FROM v_user_scores_current WHERE score_name = 'churn' ORDER BY 1"
        )
        assert db.query(scores) == [("ada", 0.5, 9, '["spend"]'), ("bob", 0.25, 9, '["spend"]')]
        decided = "SELECT decision, user_id, arm, rank, offer, expected_value, reasons FROM v_decisions_current"
        assert db.query(decided) == [("retention", "ada", "act", 1, "win back", pytest.approx(3.0), '["spend"]')]
    assert "ada" not in done.stdout + done.stderr


def test_the_night_leaves_files_for_the_tools_that_are_set(lake: Home, source: Path) -> None:
    wanted = ("--set", 'publish.exports=["braze", "klaviyo"]')
    assert run(source, *wanted)[1]["counts"]["exported"] == {"braze": 2, "klaviyo": 2}
    assert len(list(lake.exports.glob("acme/*/*/manifest.json"))) == 2
    assert run(source, *wanted)[1]["counts"]["exported"] == {"braze": 0, "klaviyo": 0}


def test_no_shop_id_is_logged(lake: Home, source: Path) -> None:
    done, _ = run(source)
    for name in ("ada", "bob"):
        assert name not in done.stdout + done.stderr


def test_a_failed_audit_is_bad_data(lake: Home, source: Path) -> None:
    rows = [recommended("p-ada", 1, "i1"), recommended("p-ada", 2, "i9")]
    fill(lake, RECOMMENDATIONS, rows)
    done, result = run(source)
    assert (done.returncode, result["failure"]) == (1, "bad_data")
    assert "missing_users: 1 eligible people without a list" in result["error"]
    assert "unknown_items: 1 rows whose item is not in items" in result["error"]
    assert not lake.warehouse.exists()


def test_candidates_come_from_the_partitions_facts(lake: Home, source: Path) -> None:
    rows = [recommended(person, 1, "i1") for person in ("p-ada", "p-bob")]
    fill(lake, RECOMMENDATIONS, rows)
    assert "rows_per_user: 2 lists without 2 rows" in run(source)[1]["error"]
    fill(lake, RECOMMENDATIONS, rows, facts={"num_candidates": 1})
    assert run(source)[1]["counts"]["published"]


def test_a_missing_partition_and_a_missing_uri_are_bad_input(lake: Home, source: Path) -> None:
    done, result = run(source, "--set", "publish.target='postgres'", NIGHTJAR_WAREHOUSE_URI="")
    assert (done.returncode, "NIGHTJAR_WAREHOUSE_URI is not set" in result["error"]) == (1, True)
    (lake.lake / "acme").rename(lake.lake / "elsewhere")
    done, result = run(source)
    assert (done.returncode, f"no partition {Partition.parse(NIGHT)}" in result["error"]) == (1, True)


def test_no_server_may_be_tried_again(lake: Home, source: Path) -> None:
    uri = "postgresql://u:hunter2@127.0.0.1:1/x"
    done, result = run(source, "--set", "publish.target='postgres'", NIGHTJAR_WAREHOUSE_URI=uri)
    assert (done.returncode, result["failure"]) == (2, "environment")
    assert "no connection to the warehouse of NIGHTJAR_WAREHOUSE_URI" in result["error"]
    assert "hunter2" not in done.stdout + done.stderr + json.dumps(result)
