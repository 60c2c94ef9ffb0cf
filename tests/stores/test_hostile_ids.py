"""Ids as an attacker would write them into a log: exports and warehouses hold them as they came, and run nothing."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stores.postgres_server import running

from nightjar.stores.exports import SHAPES, Person
from nightjar.stores.warehouse.duckdb_file import DuckDbFile
from nightjar.stores.warehouse.postgres import Postgres

WHEN = datetime(2001, 1, 15, 19)
PLACES = [("home", 2)]
TOKENS = (
    *(
        "'",
        '"',
        ";",
        "--",
        "/*",
        "\\",
        "$1",
        "$$",
        "%s",
        "{x}",
        "\n",
        "\r\n",
        "\t",
        ",",
        "\u202e",
        "\u2028",
        "日本",
        "\U0001f600",
    ),
    *("'; DROP TABLE users; --", "=cmd|' /C calc'!A0", "+1", "@SUM(A1)", "-1", "x" * 5000, "</script>", "\x01", "NULL"),
)
hostile = st.lists(st.sampled_from(TOKENS), min_size=1, max_size=5).map("".join)


@settings(max_examples=100, deadline=None)
@given(user=hostile, item=hostile, title=hostile)
def test_an_export_reads_back_as_it_was_written(user: str, item: str, title: str) -> None:
    row = {"surface": "home", "rank": 1, "item_id": item, "title": title, "price": 1.5}
    people = [Person(user, WHEN, [row]), Person("next", WHEN, [row])]
    for name in ("braze", "hubspot", "klaviyo"):
        ((_, content, number),) = SHAPES[name](people, PLACES)
        lines = content.decode().split("\n") if name != "klaviyo" else [content.decode()]
        said = json.dumps([json.loads(line) for line in lines if line], ensure_ascii=False)
        assert number == 2
        assert json.dumps(user, ensure_ascii=False) in said
        assert json.dumps(item, ensure_ascii=False) in said
    ((_, content, number),) = SHAPES["sfmc"](people, PLACES)
    _, first, second = csv.reader(io.StringIO(content.decode(), newline=""))
    assert (first[0], first[2], first[3], number) == (user, item, title, 2)
    assert second[0] == "next"


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def warehouse(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[DuckDbFile | Postgres]:
    if request.param == "duckdb":
        yield DuckDbFile(Path(tmp_path_factory.mktemp("hostile") / "warehouse.duckdb"))
        return
    with running("fsync=off") as server:
        yield Postgres(server.uri)


@settings(max_examples=5, deadline=None)
@given(ids=st.lists(hostile, min_size=1, max_size=20, unique=True))
def test_a_warehouse_keeps_an_id_and_runs_none(warehouse: DuckDbFile | Postgres, ids: list[str]) -> None:
    """Through the two ways in: bound values, and rows of files that stream in bulk."""
    with warehouse.writer("acme", lambda _: None) as db:
        db.execute("DELETE FROM crm_gone WHERE shop = $1", "acme")
        for one in ids[::2]:
            db.execute(
                "INSERT INTO crm_gone (shop, user_id, deleted_at) VALUES ($1, $2, TIMESTAMP '2001-01-15')", "acme", one
            )
        db.bench.connection.execute("CREATE OR REPLACE TEMP TABLE bulk (user_id VARCHAR)")
        for one in ids[1::2]:
            db.bench.connection.execute("INSERT INTO bulk VALUES ($1)", [one])
        db.append("crm_gone", "SELECT 'acme' AS shop, user_id, TIMESTAMP '2001-01-15' AS deleted_at FROM bulk")
        db.changed = True
    with warehouse.reader() as db:
        assert sorted(row[0] for row in db.query("SELECT user_id FROM crm_gone WHERE shop = $1", "acme")) == sorted(ids)
        assert db.query("SELECT count(*) FROM crm_gone WHERE user_id = $1", ids[0])[0][0] == 1
