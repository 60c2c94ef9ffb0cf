"""What would be sent to Snowflake and BigQuery: the same publication, its statements as golden files.

No service is asked: the recorder answers as an empty warehouse would, or as one with two nights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from tests.stores import nights
from tests.stores.nights import SHOP

from nightjar.contracts import PUBLISH_LOG, BadInput
from nightjar.settings import Publish
from nightjar.stores.home import Home
from nightjar.stores.warehouse import open_warehouse, rollback
from nightjar.stores.warehouse.cloud import Cloud, positional
from nightjar.stores.warehouse.schema import statements

DIALECTS = ["snowflake", "bigquery"]
HELD = [(date(2001, 1, 16), "second"), (date(2001, 1, 15), "first")]
#: The start of a question -> the answer of a warehouse with two nights.
TWO_NIGHTS: dict[str, list[tuple[Any, ...]]] = {
    "SELECT dt, publish_id FROM published_nights": list(HELD),
    "SELECT dt, publish_id FROM publish_current": [HELD[0]],
    "SELECT previous_publish_id": [("first",)],
    "SELECT max(published_at)": [(datetime(2001, 1, 16, 19),)],
    "SELECT shop, dt, partition_name": [("x",) * len(PUBLISH_LOG.names)],
    "SELECT rolled_from": [(date(2001, 1, 17),)],
}


class Recorder:
    """Keeps what it is sent; names that differ from run to run and definitions are shortened."""

    def __init__(self, answers: dict[str, list[tuple[Any, ...]]]) -> None:
        self.answers, self.sent, self.ingested = answers, list[str](), dict[str, int]()

    def run(self, sql: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        assert sql.count("?") == len(values)
        if not sql.startswith(("CREATE", "DROP")):
            self.sent.append(re.sub(r"\s+", " ", sql))
        if found := re.fullmatch(r"SELECT count\(\*\) FROM (\w+) WHERE shop = \? AND dt = \?", sql):
            return [(self.ingested[found[1]],)]
        if sql.startswith("SELECT count(*) FROM stage_"):
            return [(1,)]
        if sql.startswith("SELECT max(published_at)") and sql not in self.answers:
            return self.answers.get("SELECT max(published_at)", [(None,)])
        return next((rows for start, rows in self.answers.items() if sql.startswith(start)), [])

    def read(self, sql: str, values: Sequence[object]) -> pa.RecordBatchReader:
        self.sent.append(re.sub(r"\s+", " ", sql))
        types = {"content_hash": pa.int64(), "changed_at": pa.timestamp("us")}
        names = [name.split(".")[-1] for name in sql.partition(" FROM ")[0].removeprefix("SELECT ").split(", ")]
        return pa.schema([(name, types.get(name, pa.string())) for name in names]).empty_table().to_reader()

    def ingest(self, table: str, rows: pa.RecordBatchReader, *, temporary: bool) -> None:
        table_rows = rows.read_all()
        self.ingested[table] = table_rows.num_rows
        kind = "temporary " if temporary else ""
        self.sent.append(f"-- {table_rows.num_rows} rows into {kind}{table} ({', '.join(table_rows.column_names)})")

    def text(self) -> str:
        return ";\n".join(self.sent) + "\n"


def cloud(dialect: str, recorder: Recorder) -> Cloud:
    @contextmanager
    def connect() -> Iterator[Recorder]:
        yield recorder

    return Cloud(dialect, connect)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_night(dialect: str, tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    recorder = Recorder({})
    night = nights.night(tmp_path)
    publication = nights.put(cloud(dialect, recorder), night)
    assert (publication.num_rows, publication.new_users) == (12, 4)
    assert recorder.ingested["recommendations"] == 12
    golden(f"{dialect}-night.sql", recorder.text())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_rollback(dialect: str, golden: Callable[[str, str], None]) -> None:
    recorder = Recorder(TWO_NIGHTS)
    done = rollback(cloud(dialect, recorder), SHOP, now=nights.at(), run_id="test")
    assert (done.moved, done.day) == (True, date(2001, 1, 15))
    golden(f"{dialect}-rollback.sql", recorder.text())


@pytest.mark.parametrize("dialect", DIALECTS)
def test_a_night_that_fails_is_given_up(dialect: str, tmp_path: Path) -> None:
    class Broken(Recorder):
        def ingest(self, table: str, rows: pa.RecordBatchReader, *, temporary: bool) -> None:
            if table == "recommendations":
                raise OSError("the service is away")
            super().ingest(table, rows, temporary=temporary)

    recorder = Broken({})
    with pytest.raises(OSError, match="away"):
        nights.put(cloud(dialect, recorder), nights.night(tmp_path))
    assert recorder.sent[-1].startswith("ROLLBACK")
    assert not any(line.startswith("COMMIT") for line in recorder.sent)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_nothing_of_other_dialects_is_left(dialect: str) -> None:
    text = ";\n".join(statements(dialect))
    forbidden = ["ON CONFLICT", "CREATE INDEX", "CREATE UNIQUE INDEX", "COMMENT ON", "to_json("]
    forbidden += ["VARCHAR", "DOUBLE", "TIMESTAMP_NTZ"] if dialect == "bigquery" else ["STRING", "FLOAT64", "OPTIONS"]
    assert [word for word in forbidden if word in text] == []


def test_values_follow_their_question_marks() -> None:
    assert positional("a = $2 AND b = $1 AND c = $2", ("x", "y")) == ("a = ? AND b = ? AND c = ?", ["y", "x", "y"])


@pytest.mark.parametrize(("dialect", "uri"), [("snowflake", ""), ("bigquery", "bigquery://project")])
def test_a_missing_or_odd_uri_is_named(home: Home, monkeypatch: pytest.MonkeyPatch, dialect: Any, uri: str) -> None:
    monkeypatch.setenv("NIGHTJAR_WAREHOUSE_URI", uri)
    with pytest.raises(BadInput, match=rf"{dialect}.*NIGHTJAR_WAREHOUSE_URI names none"):
        open_warehouse(Publish(target=dialect, keep_nights=3), home)
