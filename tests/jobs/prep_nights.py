"""Nights of clean and sessionize in a lake of one's own: the jobs' real entry points, in the tests' Spark session."""

from __future__ import annotations

import json
import os
import random
import runpy
import shutil
import sys
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightjar.contracts import EVENTS, QUARANTINE, SESSION_EVENTS, SESSIONS, Table
from nightjar.contracts.render import arrow_schema
from nightjar.settings import repository
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

JOBS = repository() / "jobs"
KEY = "ab" * 32

#: What the same drops must always come to.
SAME = (EVENTS, SESSIONS, SESSION_EVENTS, QUARANTINE)


class Nights:
    """A lake, the shop whose events it keeps, and the folder into which the shop sends its drops."""

    def __init__(self, root: Path, shop: str, source: str, raw: Path | None = None) -> None:
        self.root, self.shop = root, shop
        self.home = Home(root / "home")
        self.raw = raw or root / "raw"
        self.source = root / f"{shop}.toml"
        root.mkdir(parents=True, exist_ok=True)
        self.source.write_text(source)
        self.num_jobs = 0

    def copy(self, root: Path) -> Nights:
        """The lake as it is now, elsewhere; drops still come from the same folder."""
        shutil.copytree(self.home.root, root / "home")
        return Nights(root, self.shop, self.source.read_text(), self.raw)

    @property
    def lake(self) -> Lake:
        return Lake(self.home.lake)

    @property
    def environment(self) -> dict[str, str]:
        return {"NIGHTJAR_HOME": str(self.home.root), "NIGHTJAR_PSEUDONYM_KEY": KEY}

    def argv(self, name: str, day: date, *sets: str) -> list[str]:
        """The job's arguments."""
        found = ["--source", str(self.source), "--events", f"{self.shop}/events/dt={day}"]
        found += ["--raw", str(self.raw)] if name == "clean" else []
        return [*found, *(part for setting in sets for part in ("--set", setting))]

    def run(self, spark: SparkSession, name: str, day: date, *sets: str) -> tuple[int, dict[str, Any]]:
        """Exit code and manifest of one job."""
        with pytest.MonkeyPatch.context() as patch:
            for key, value in self.environment.items():
                patch.setenv(key, value)
            patch.syspath_prepend(str(JOBS))
            patch.setattr(sys, "argv", [f"{name}.py", *self.argv(name, day, *sets)])
            with pytest.raises(SystemExit) as done:
                runpy.run_path(str(JOBS / f"{name}.py"), run_name="__main__")
        spark.catalog.clearCache()  # the job's process would end here
        spark.conf.set("spark.sql.shuffle.partitions", "4")
        self.num_jobs += 1
        return int(done.value.code or 0), self.manifest(name, day)

    def manifest(self, name: str, day: date) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.home.result(self.shop, day, name).read_text())
        return found

    def night(self, spark: SparkSession, day: date, *names: str, sets: Iterable[str] = ()) -> None:
        """Run clean and sessionize, or the jobs named; they must succeed."""
        for name in names or ("clean", "sessionize"):
            code, manifest = self.run(spark, name, day, *sets)
            assert code == 0, manifest

    def hashes(self, *tables: Table) -> dict[str, str]:
        """Content of every day that has rows: tables with equal hashes hold the same rows, to the last bit."""
        entries = {
            f"{table.name}/{day}": self.lake.entry(table.at(self.shop, day))
            for table in tables or SAME
            for day in self.lake.days(self.shop, table.name)
        }
        return {name: entry.content_hash for name, entry in entries.items() if entry.num_rows}

    def table(self, table: Table, days: Iterable[date] | None = None) -> pa.Table:
        """Rows of all days, or of some, in the contract's order within each day."""
        days = self.lake.days(self.shop, table.name) if days is None else days
        schema = pa.schema([field.with_nullable(True) for field in arrow_schema(table)])
        files = [file for day in days for file in self.lake.files(table.at(self.shop, day))]
        read = pa.concat_tables([schema.empty_table(), *(pq.ParquetFile(file).read().cast(schema) for file in files)])
        return read.sort_by([(name, "ascending") for name in ("dt", *table.order)])

    def visible(self) -> dict[str, str]:
        """What the lake's readers see, entry by entry."""
        tables = (table.name for table in SAME)
        return {f"{name}/{day}": self._run_of(name, day) for name in tables for day in self.lake.days(self.shop, name)}

    def _run_of(self, table: str, day: date) -> str:
        return str(self.lake.entry(EVENTS.at(self.shop, day).of(_table(table))).files)


def _table(name: str) -> Table:
    return next(table for table in SAME if table.name == name)


def drop(raw: Path, day: date, records: Iterable[dict[str, Any]], *, seed: int = 0, num_files: int = 1) -> None:
    """Write a day's records as JSON lines, shuffled and dealt out to some files, with a line that is broken."""
    lines = [json.dumps(_plain(record)) for record in records] + ["{broken", '{"id": "nothing else"}']
    random.Random(seed).shuffle(lines)
    raw.mkdir(parents=True, exist_ok=True)
    for number in range(num_files):
        (raw / f"{day}-{number}.jsonl").write_text("\n".join(lines[number::num_files]) + "\n")


def _plain(record: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in record.items()
        if value is not None
    }


def job_environment(nights: Nights) -> dict[str, str]:
    """What a job's own process needs to find this checkout."""
    return os.environ | nights.environment | {"PYTHONPATH": str(repository() / "src"), "PYSPARK_PYTHON": sys.executable}
