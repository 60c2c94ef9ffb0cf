"""A night after a long history beside a night after a short one: new data should set its price, not old data.

For each length of history the real jobs first land those days, and the next night's jobs are then timed alone, as the
scheduler starts them: a process each, the start of Python and Java included. The night's drop is the same for
every length. Nights take turns, run after run, each on its own copy of the lake. Standard output is JSON
lines; everything is also kept under `bench/results` of NIGHTJAR_HOME, where `make bench-page` finds it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from statistics import median

from jobs.bench import ours
from jobs.bench.log import Shape, write_log
from jobs.bench.prep import Line, bench_folder, emptied, environment
from jobs.bench.watch import watched

from nightjar.contracts import BadInput
from nightjar.settings import load_conf
from nightjar.stores.files import write_json
from nightjar.stores.home import Home


@dataclass(frozen=True)
class Nights:
    """The lengths of history to compare, on one log."""

    folder: Path
    lengths: tuple[int, ...]  # days
    events_per_day: int
    sets: tuple[str, ...]

    @property
    def scratch(self) -> Path:
        """Lakes, gone at the end."""
        return self.folder / "nights"

    @property
    def shape(self) -> Shape:
        """The longest history and the night; as many users as events a day, however long the shop has been open."""
        days = max(self.lengths) + 1
        return Shape(self.events_per_day * days, days, num_users=self.events_per_day)

    def log(self) -> Path:
        return write_log(self.folder / "logs", self.shape)

    def home(self, length: int) -> Home:
        return Home(self.scratch / f"{length}-days")


def run(nights: Nights, runs: int) -> Iterator[Line]:
    """Every line of the run, the comparison last."""
    for length in nights.lengths:
        yield {"step": "history", "history_days": length, **landed(nights, length)}
    lines = []
    for number in range(1, runs + 1):
        for length in nights.lengths:
            lines.append({"step": "night", "history_days": length, "run": number, **night(nights, length)})
            yield lines[-1]
    seconds = {
        length: median(line["seconds"] for line in lines if line["history_days"] == length) for length in nights.lengths
    }
    shortest, longest = min(nights.lengths), max(nights.lengths)
    yield {
        "seconds_by_history_days": {str(length): round(value, 2) for length, value in seconds.items()},
        "longest_vs_shortest": round(seconds[longest] / seconds[shortest], 3),
        "events_per_night": nights.events_per_day,
        "peak_gib": max(line["peak_gib"] for line in lines),
        "runs": runs,
    }


def landed(nights: Nights, length: int) -> Line:
    """Build the lake of one length: every day of history in one go, as on a shop's first night."""
    before = nights.shape.last_day - timedelta(days=1)
    return _jobs(nights, nights.home(length), before, length - 1)


def night(nights: Nights, length: int) -> Line:
    """The night itself, on a copy: a second run of the same night would find nothing left to do."""
    copy = Home(nights.scratch / "copy")
    with emptied(copy.root):
        shutil.copytree(nights.home(length).root, copy.root)
        return _jobs(nights, copy, nights.shape.last_day, length)


def _jobs(nights: Nights, home: Home, day: date, history_days: int) -> Line:
    mapping = ours.write_mapping(nights.scratch / f"{history_days}.toml", daily=True, history_days=history_days)
    environ = {"NIGHTJAR_HOME": str(home.root)}
    parts, peaks = {}, []
    for job in ours.JOBS:
        command = [sys.executable, *ours.arguments(job, day, mapping, nights.log(), list(nights.sets))]
        done = watched(command, nights.folder / "said" / f"night-{job}", environ)
        parts[job] = round(done.seconds, 2)
        peaks.append(done.peak_gib)
    said = ours.manifest(home, day, "clean")["counts"]
    return {
        "seconds": round(sum(parts.values()), 2),
        "peak_gib": round(max(peaks), 3),
        "rows_in": said["rows_in"],
        "parts": parts,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", default="30 180 365", help="lengths of history (default: 30 180 365)")
    parser.add_argument("--events", type=int, default=20_000, help="events a day (default: 20,000)")
    parser.add_argument("--runs", type=int, default=1, help="how often each night runs (default: 1)")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="cores that each job may use")
    parser.add_argument("--set", default="", metavar="KEY=VALUE …", help="settings of all jobs")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: children and tables go too
    sets = (f"spark.master='local[{args.cores}]'", *args.set.split())
    nights = Nights(bench_folder(), tuple(int(length) for length in args.days.split()), args.events, sets)
    facts = environment(args.cores, sets)
    lines = []
    try:
        load_conf(sets=list(sets))  # a misspelt setting should not cost an hour
        with emptied(nights.scratch):
            for line in run(nights, args.runs):
                print(json.dumps(line), flush=True)
                lines.append(line)
    except BadInput as error:
        sys.exit(f"bench-night: {error}")
    write_json(nights.folder / "results" / "night.json", {"lines": lines[:-1], "comparison": lines[-1], **facts})


if __name__ == "__main__":
    main()
