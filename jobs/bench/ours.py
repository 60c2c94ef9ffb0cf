"""The night's own jobs over the benchmarks' log: real entry points, real settings, a lake of their own.

As a command: the jobs one after the other in this process and its one JVM, so that they can be warmed up as every
other step of the comparison is; the last line on standard output is the result as JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import runpy
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

from nightjar.contracts import EVENTS, QUARANTINE, SESSIONS, Table
from nightjar.settings import repository
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake

SHOP = "bench"
#: job -> the partition flag that it takes, in the night's order
JOBS = {"clean": "events", "sessionize": "events"}

_MAPPING = """
name = "{shop}"
doc = "Invented visits, for benchmarks."
format = "parquet"
layout = "{layout}"
pattern = "{pattern}"
time_zone = "UTC"
history_days = {history_days}

[events]
# The log names no events; one user does one thing to one item in one instant.
event_id = "concat_ws('.', user_id, unix_micros(event_ts), item_id, kind)"
event_ts = "event_ts"
user_id = "user_id"
platform = "'web'"
kind = "kind"
item_id = "item_id"

[kinds]
view = "view"
cart = "cart"
purchase = "purchase"
"""


def write_mapping(path: Path, *, daily: bool, history_days: int) -> Path:
    """The source mapping of the log, either one drop a day or one drop of everything."""
    layout, pattern = ("daily", "{day}.parquet") if daily else ("single", "*.parquet")
    path.parent.mkdir(parents=True, exist_ok=True)
    text = _MAPPING.format(shop=SHOP, layout=layout, pattern=pattern, history_days=max(history_days, 1))
    path.write_text(text, encoding="utf-8")
    return path


def arguments(job: str, day: date, mapping: Path, log: Path, sets: list[str]) -> list[str]:
    """The job's command line, its file first."""
    table = JOBS[job]
    argv = [str(repository() / "jobs" / f"{job}.py"), f"--{table}", f"{SHOP}/{table}/dt={day}"]
    argv += ["--source", str(mapping), *(f"--set={assignment}" for assignment in sets)]
    return [*argv, "--raw", str(log)] if job == "clean" else argv


def manifest(home: Home, day: date, job: str) -> dict[str, Any]:
    return dict(json.loads(home.result(SHOP, day, job).read_text(encoding="utf-8")))


def gate_seconds(manifests: list[dict[str, Any]]) -> float | None:
    """What the jobs say the gate took; None when one of them does not say it."""
    told = [said["counts"].get("gate_seconds") for said in manifests]
    return None if None in told else sum(told)


def num_rows(home: Home, table: Table) -> int:
    """Rows of all of the table's days."""
    lake = Lake(home.lake)
    return sum(lake.entry(table.at(SHOP, day)).num_rows for day in lake.days(SHOP, table.name))


def check(home: Home, cleaned: dict[str, Any], size: int) -> None:
    """Hold the lake against the log: no row may be missing from the time that is reported."""
    counts = cleaned["counts"]
    kept, rejected, gave_way = num_rows(home, EVENTS), num_rows(home, QUARANTINE), counts["rows_duplicate"]
    assert counts["rows_in"] == size == kept + rejected + gave_way, (
        f"of {size} rows clean read {counts['rows_in']}, kept {kept}, rejected {rejected}, {gave_way} gave way"
    )


def run_here(home: Home, day: date, mapping: Path, log: Path, sets: list[str]) -> dict[str, float]:
    """Run the jobs in this process; returns the seconds of each."""
    from pyspark.sql import SparkSession

    os.environ["NIGHTJAR_HOME"] = str(home.root)
    seconds = {}
    for job in JOBS:
        sys.argv = arguments(job, day, mapping, log, sets)
        started = time.perf_counter()
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit as end:
            if end.code:
                raise
        seconds[job] = time.perf_counter() - started
        if spark := SparkSession.getActiveSession():
            spark.catalog.clearCache()  # a job's process would end here
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--mapping", type=Path, required=True)
    parser.add_argument("--day", type=date.fromisoformat, required=True, help="the log's last day")
    parser.add_argument("--warm-up", type=Path, help="a smaller log of the same days")
    parser.add_argument("--set", action="append", default=[])
    args = parser.parse_args()
    sys.path.insert(0, str(repository() / "jobs"))  # jobs find each other beside them
    if args.warm_up:
        run_here(Home(args.home / "warm-up"), args.day, args.mapping, args.warm_up, args.set)
    home = Home(args.home / "timed")
    seconds = run_here(home, args.day, args.mapping, args.log, args.set)
    manifests = [manifest(home, args.day, job) for job in JOBS]
    said = {"seconds": sum(seconds.values()), "parts": seconds, "gate_seconds": gate_seconds(manifests)}
    print(json.dumps(said | {"sessions": num_rows(home, SESSIONS)}))


if __name__ == "__main__":
    main()
