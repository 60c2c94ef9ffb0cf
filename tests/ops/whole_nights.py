"""Whole nights through a real Airflow, in homes of their own, and what they left behind."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
from jobs.ops.warm import WarmJobs

from nightjar.contracts import TABLES, Partition
from nightjar.settings import repository
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake

SHOP = "synthetic"

#: The command line of each task of a night, in the order in which they may run; tests/dags holds the DAG to it.
COMMAND_LINES = repository() / "tests" / "golden" / "test_nightly" / "command_lines.json"

KEY = "ab" * 32

#: A shop so small that a night is mostly Airflow and Java, and people enough that a candidate is judged.
SMALL = (
    "simulate.num_people=600 simulate.num_items=150 train.epochs=2 train.processes=1 train.checkpoint_every_steps=2 "
    "score.k=10 spark.driver_memory_gib=2 promotion.must_beat=[] predict.min_positives=8 "
    # Of a few hundred people one day is unlike the next.
    "gate.max_null_share_rise=1 gate.max_kind_share_distance=1 gate.max_label_rate_distance=1 "
    "gate.max_bot_share_rise=1 gate.max_duplicate_share_rise=1 gate.max_duplicate_share=1 "
    "gate.max_conflict_share=0.1 gate.max_silent_hours=24 gate.max_complete_later_hours=24 "
    "gate.min_filled_ratio=0 gate.min_overlap_yesterday=0 gate.volume_ratio_max=100"
)

#: What says when something was done, by whom, or how long it took.
CLOCKS = {
    *("decided_at", "published_at", "changed_at", "moved_at", "deleted_at", "run_id", "seconds"),
    *("publish_id", "previous_publish_id", "restored_publish_id", "num_bytes", "hours_old"),
}


#: What names a publication rather than what was published.
NAMES = {"publish_id"}

#: PostgreSQL keeps a table of nights as one table per shop and night, which it lists beside the whole.
PART = re.compile(r"_[0-9a-f]{8}(_\d{8})?$")


def environment(home: Home) -> dict[str, str]:
    """Of the same pseudonyms in every home, and quick to try again."""
    return {
        **os.environ,
        "NIGHTJAR_HOME": str(home.root),
        "NIGHTJAR_PSEUDONYM_KEY": KEY,
        "NIGHTJAR_RETRY_SECONDS": "2",
        "PYTHONPATH": os.pathsep.join([str(repository() / "src"), str(repository())]),
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def command(verb: str, home: Home, *more: str) -> None:
    """Run `jobs.ops.<verb>` on the small shop to its end."""
    argv = [sys.executable, "-m", f"jobs.ops.{verb}", "--airflow-port", str(free_port()), "--set", SMALL, *more]
    home.root.mkdir(parents=True, exist_ok=True)
    with (home.root / f"{verb}.log").open("a") as log:
        done = subprocess.run(argv, cwd=repository(), env=environment(home), stdout=log, stderr=log, check=False)
    assert done.returncode == 0, (home.root / f"{verb}.log").read_text()[-4000:]


def by_command_lines(home: Home, days: Iterable[date]) -> None:
    """Nights of the small shop one by one without Airflow: what its tasks type, in one process."""
    typed = json.loads(COMMAND_LINES.read_text(encoding="utf-8"))
    with WarmJobs(environment(home)) as jobs:
        for day in days:
            for task, line in typed.items():
                log = home.root / "logs" / f"{day}-{task}.log"
                log.parent.mkdir(parents=True, exist_ok=True)
                argv = of_night(line["argv"], home, day)
                assert jobs.run(argv, log) == 0, f"{task} of {day}: {log.read_text()[-4000:]}"


def of_night(argv: list[str], home: Home, day: date) -> list[str]:
    """From the script on, with its values of another night; a Spark job starts its own session."""
    script = next(place for place, word in enumerate(argv) if word.endswith(".py"))
    path = argv[script].replace("<checkout>", str(repository()))
    found = []
    for flag, value in zip(argv[script + 1 :: 2], argv[script + 2 :: 2], strict=True):
        said = {"--raw": str(home.raw / SHOP), "--run": f"night_{day}", "--link": ""}.get(flag, value)
        said = re.sub(r"dt=.*", f"dt={day}", said).replace("<checkout>", str(repository()))
        found += [] if flag == "--set" else [flag, said]
    return [path, *found, *(word for one in SMALL.split() for word in ("--set", one))]


def lake_contents(home: Home) -> dict[tuple[str, date], Any]:
    """(table, day) -> what it holds: a hash of the rows, or the rows themselves without their clocks."""
    lake, found = Lake(home.lake), {}
    for name, table in TABLES.items():
        for day, entry in lake.entries(SHOP, name).items():
            if CLOCKS.isdisjoint(table.names):
                found[name, day] = (entry.num_rows, entry.content_hash)
            else:
                rows = [row for file in entry.files for row in pq.ParquetFile(file).read().to_pylist()]
                found[name, day] = sorted(json.dumps(timeless(row), sort_keys=True, default=str) for row in rows)
    return found


def warehouse_contents(home: Home) -> dict[str, list[str]]:
    """Table or view -> its rows without their clocks."""
    found = {}
    with duckdb.connect(str(home.warehouse), read_only=True) as db:
        names = db.execute("SELECT table_name FROM information_schema.tables ORDER BY 1").fetchall()
        for (name,) in names:
            rows = db.table(name).to_arrow_table().to_pylist()
            found[name] = sorted(json.dumps(timeless(row), sort_keys=True, default=str) for row in rows)
    return found


def same_words(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """Tables without their parts, rows without names, JSON read: two databases write the same in other words."""

    def plain(text: str) -> str:
        row = {name: value for name, value in json.loads(text).items() if name not in NAMES}
        if isinstance(row.get("payload"), str):
            row["payload"] = json.loads(row["payload"], parse_int=float)  # 42 is 42.0
        return json.dumps(row, sort_keys=True)

    return {name: sorted(map(plain, rows)) for name, rows in found.items() if not PART.search(name)}


def server_contents(uri: str) -> dict[str, list[str]]:
    """The same of a warehouse in PostgreSQL."""
    from adbc_driver_postgresql import dbapi

    found = {}
    with dbapi.connect(uri) as connection, connection.cursor() as cursor:
        cursor.execute("SET TIME ZONE 'UTC'")
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1")
        for (name,) in cursor.fetchall():
            cursor.execute(f"SELECT * FROM {name}")
            rows = cursor.fetch_arrow_table().to_pylist()
            found[name] = sorted(json.dumps(timeless(row), sort_keys=True, default=str) for row in rows)
    return found


def timeless(row: dict[str, Any]) -> dict[str, Any]:
    """The row without what says when it was written, hashes of such rows included."""
    kept = {name: value for name, value in row.items() if name not in CLOCKS and not name.endswith("_hours")}
    if isinstance(row.get("inputs"), str):
        hashes = {Partition.parse(name): value for name, value in json.loads(row["inputs"]).items()}
        told = {str(at): value for at, value in hashes.items() if CLOCKS.isdisjoint(TABLES[at.table].names)}
        kept["inputs"] = json.dumps(told, sort_keys=True)
    return kept


def manifests(home: Home, day: date) -> dict[str, dict[str, Any]]:
    """Job -> what it said last of that night."""
    folder = home.runs / SHOP / day.isoformat()
    return {path.stem: json.loads(path.read_text()) for path in sorted(Path(folder).glob("*.json"))}
