"""What a night spends outside its jobs: scheduling, starting processes and Java, judging results.

Runs whole nights of the synthetic shop through Airflow, as `make nightly` does, each in a home of its own. A job's
own time is what its manifest says, from its first line of code to the manifest; jobs that run side by side count
once. Everything else between the run's first task and its last is overhead: Airflow finding out that a task may
start, the task's process, Python's imports, `spark-submit` and its JVM until the job's code runs, and the judging.
The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from statistics import median
from typing import Any

from jobs.bench.prep import Line, bench_folder, environment
from jobs.ops.nightly import SYNTHETIC_DAY, TIMES
from jobs.ops.summary import STEPS

from nightjar.contracts import BadInput
from nightjar.settings import repository
from nightjar.stores.files import write_json
from nightjar.stores.home import Home

SHOP = "synthetic"
Interval = tuple[float, float]  # seconds since 1970


def covered(intervals: Iterable[Interval]) -> float:
    """Seconds in at least one of the intervals.

    >>> covered([(0, 2), (1, 3), (5, 6)])
    4
    """
    total, reached = 0.0, float("-inf")
    for start, end in sorted(intervals):
        total += max(0, end - max(start, reached))
        reached = max(reached, end)
    return total


def share(run: Interval, jobs: Iterable[Interval]) -> float:
    """Of the run's seconds those in which no job's code ran."""
    inside = [(max(start, run[0]), min(end, run[1])) for start, end in jobs]
    return 1 - covered((start, end) for start, end in inside if start < end) / (run[1] - run[0])


def night(home: Home, day: str, sets: str, port: int) -> Line:
    """Run a night in that home, and measure it."""
    command = [sys.executable, "-m", "jobs.ops.nightly", "--source", SHOP, "--day", day, "--set", sets]
    log = bench_folder() / "said" / "overhead.txt"
    log.parent.mkdir(parents=True, exist_ok=True)
    environ = {**os.environ, "NIGHTJAR_HOME": str(home.root)}
    with log.open("w") as out:
        argv = [*command, "--airflow-port", str(port)]
        done = subprocess.run(argv, cwd=repository(), env=environ, stdout=out, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise BadInput(f"the night ended with {done.returncode}", f"less {log}")
    times = home.result(SHOP, date.fromisoformat(day), TIMES)
    return measured(json.loads(times.read_text()), _own_times(times.parent))


def _own_times(folder: Path) -> dict[str, Interval]:
    """Task -> when its job's own code ran: it writes the manifest last."""
    found = {}
    for task, job in STEPS.items():
        path = folder / f"{job}.json"
        if path.is_file():
            end = path.stat().st_mtime
            found[task] = (end - json.loads(path.read_text())["seconds"], end)
    return found


def measured(times: Mapping[str, Any], jobs: Mapping[str, Interval]) -> Line:
    """The overhead's share, and for each task how long it had been Airflow's before and after its job's code."""
    run = (_seconds(times["start_date"]), _seconds(times["end_date"]))
    starts = {
        task: round(jobs[task][0] - _seconds(at["start_date"]), 2)
        for task, at in times["tasks"].items()
        if task in jobs
    }
    return {
        "overhead_share": round(share(run, jobs.values()), 4),
        "seconds": round(run[1] - run[0], 1),
        "job_seconds": round(covered(jobs.values()), 1),
        "seconds_before_code": starts,
    }


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def run(day: str, sets: str, runs: int, port: int) -> Iterator[Line]:
    lines = []
    home = Home(bench_folder() / "overhead")
    try:
        for number in range(1, runs + 1):
            shutil.rmtree(home.root, ignore_errors=True)
            lines.append({"step": "night", "run": number, **night(home, day, sets, port)})
            yield lines[-1]
    finally:
        shutil.rmtree(home.root, ignore_errors=True)
    names = ("overhead_share", "seconds", "job_seconds")
    yield {name: median(line[name] for line in lines) for name in names} | {"runs": runs}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--day", default=SYNTHETIC_DAY, help=f"YYYY-MM-DD (default: {SYNTHETIC_DAY})")
    parser.add_argument("--set", default="", help="settings, separated by spaces")
    parser.add_argument("--runs", type=int, default=1, help="nights, each from nothing (default: 1)")
    parser.add_argument("--airflow-port", type=int, default=8093)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: the home goes too
    facts, lines = environment(len(os.sched_getaffinity(0)), ()), []
    try:
        for line in run(args.day, args.set, args.runs, args.airflow_port):
            print(json.dumps(line), flush=True)
            lines.append(line)
    except BadInput as error:
        sys.exit(f"bench-overhead: {error}")
    write_json(bench_folder() / "results" / "overhead.json", {"lines": lines[:-1], "comparison": lines[-1], **facts})


if __name__ == "__main__":
    main()
