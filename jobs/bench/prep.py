"""Cleaning and sessionizing one log: our jobs beside Spark's floor, plain window functions, DuckDB and polars.

Every step runs twice on the same files, each time in processes of its own: from nothing, where the time is that
of the whole processes with the start of Python and Java (`cold_seconds`; not of logs so long that the start is no
part of it), and after the same step on a tenth of the log in the same process (`seconds`). Steps take turns, run
after run; ratios are of medians. Standard output is JSON lines; everything is also kept under `bench/results` of
NIGHTJAR_HOME, where `make bench-page` finds it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from jobs.bench import ours
from jobs.bench.log import Shape, write_log
from jobs.bench.watch import Watched, watched
from jobs.ops import setup

from nightjar.contracts import BadInput
from nightjar.settings import Conf, load_conf
from nightjar.stores.environment import describe
from nightjar.stores.files import write_json
from nightjar.stores.home import Home

_PACKAGES = ("pyspark", "duckdb", "pyarrow", "numpy")
_EVENTS_PER_PARTITION = 1_250_000
_EVENTS_PER_BUCKET = 2_000_000
_MAX_WARM_UP = 2_000_000
#: Of a longer log the start of processes is under 3 % of our time and not worth a second run.
_MAX_COLD = 50_000_000

Line = dict[str, Any]


@dataclass(frozen=True)
class Bench:
    """What all steps have in common."""

    folder: Path
    shape: Shape
    cores: int
    sets: tuple[str, ...]

    @property
    def conf(self) -> Conf:
        return load_conf(sets=list(self.sets))

    @property
    def with_cold(self) -> bool:
        return self.shape.size <= _MAX_COLD

    @property
    def scratch(self) -> Path:
        """Tables and homes of the step at work, gone after it."""
        return self.folder / "scratch"

    @property
    def said(self) -> Path:
        """What each child said, for whoever asks why one failed."""
        return self.folder / "said"

    def log(self) -> Path:
        return write_log(self.folder / "logs", self.shape)

    def warm_up(self) -> Path:
        size = min(max(self.shape.size // 10, 1), _MAX_WARM_UP)
        return write_log(self.folder / "logs", Shape(size, self.shape.days, skew=self.shape.skew))


def settings_for(size: int, cores: int) -> list[str]:
    """`--set` values that Spark steps and jobs share: a machine for nights of millions of events."""
    partitions = max(2 * cores, -(-size // _EVENTS_PER_PARTITION))
    rounds = max(1, -(-size // (_EVENTS_PER_BUCKET * cores)))
    return [
        f"spark.master='local[{cores}]'",
        "spark.driver_memory_gib=4",
        "spark.java_options='-XX:+UseParallelGC'",
        f"spark.shuffle_partitions={partitions}",
        f"lake.buckets={rounds * cores}",  # no core waits for another's last bucket
    ]


# -- steps: each returns what its line says besides its name


def in_spark(bench: Bench, step: str) -> Line:
    command = [sys.executable, "-m", "jobs.bench.spark_steps", step, *_sets(bench)]
    return _cold_and_warm(bench, step, command)


def in_peer(bench: Bench, engine: str, python: Path) -> Line:
    gap_us = bench.conf.sessions.gap_minutes * 60_000_000
    command = [str(python), "-m", "jobs.bench.peers", engine, f"--cores={bench.cores}", f"--gap-us={gap_us}"]
    return _cold_and_warm(bench, engine, command)


def with_polars(bench: Bench) -> Line:
    if not setup.is_complete(setup.BENCH):
        return {
            "skipped": "no environment .envs/bench that matches its lock; "
            "python -m jobs.ops.setup --bench bench builds it"
        }
    return in_peer(bench, "polars", setup.BENCH.python)


def with_ours(bench: Bench) -> Line:
    """The jobs as the night starts them, a process each; then both in one process that has warmed up."""
    log, day = bench.log(), bench.shape.last_day
    mapping = ours.write_mapping(bench.scratch / "bench.toml", daily=False, history_days=bench.shape.days - 1)
    cold = _cold_ours(bench, mapping) if bench.with_cold else []
    warm = watched(
        [
            *(sys.executable, "-m", "jobs.bench.ours", f"--log={log}", f"--home={bench.scratch / 'warm'}"),
            *(f"--mapping={mapping}", f"--day={day}", f"--warm-up={bench.warm_up()}", *_sets(bench)),
        ],
        bench.said / "ours",
    )
    timed = Home(bench.scratch / "warm" / "timed")
    ours.check(timed, ours.manifest(timed, day, "clean"), bench.shape.size)
    return _line(bench, cold, warm)


def _cold_ours(bench: Bench, mapping: Path) -> list[Watched]:
    home, day = Home(bench.scratch / "cold"), bench.shape.last_day
    cold = []
    for job in ours.JOBS:
        command = [sys.executable, *ours.arguments(job, day, mapping, bench.log(), list(bench.sets))]
        cold.append(watched(command, bench.said / job, {"NIGHTJAR_HOME": str(home.root)}))
    ours.check(home, ours.manifest(home, day, "clean"), bench.shape.size)
    shutil.rmtree(home.root)
    return cold


STEPS: dict[str, Callable[[Bench], Line]] = {
    "floor": lambda bench: in_spark(bench, "floor"),
    "plain": lambda bench: in_spark(bench, "plain"),
    "ours": with_ours,
    "duckdb": lambda bench: in_peer(bench, "duckdb", Path(sys.executable)),
    "polars": with_polars,
}
#: Steps that give the same table, row by row.
_SAME = ("plain", "duckdb", "polars")


def _cold_and_warm(bench: Bench, step: str, command: list[str]) -> Line:
    out = bench.scratch / "out"
    command = [*command, f"--log={bench.log()}", f"--out={out}"]
    cold = []
    if bench.with_cold:
        cold.append(watched(command, bench.said / f"{step}-cold"))
        shutil.rmtree(out)
    warm = watched([*command, f"--warm-up={bench.warm_up()}"], bench.said / step)
    return _line(bench, cold, warm) | contents(out, bench.shape.size)


def _line(bench: Bench, cold: list[Watched], warm: Watched) -> Line:
    """`cold`: the processes of the run from nothing, one after the other; none where it was left out."""
    seconds = warm.said["seconds"]
    numbers = {
        "seconds": round(seconds, 3),
        "peak_gib": round(max(one.peak_gib for one in (*cold, warm)), 3),
        "events_per_second": round(bench.shape.size / seconds),
    }
    if cold:
        numbers["cold_seconds"] = round(sum(one.seconds for one in cold), 3)
    return numbers | {name: value for name, value in warm.said.items() if name != "seconds" and value is not None}


def _sets(bench: Bench) -> list[str]:
    return [f"--set={assignment}" for assignment in bench.sets]


def contents(out: Path, size: int) -> Line:
    """Sessions that a step found and a fingerprint of its rows, whatever their order and files."""
    import duckdb

    rows = duckdb.read_parquet(f"{out}/*.parquet")
    assert rows.count("*").fetchall() == [(size,)], f"{out} does not hold {size} rows"
    if "session" not in rows.columns:
        return {}
    row = "user_id::BIGINT, epoch_us(event_ts), item_id::INTEGER, kind::VARCHAR, session::INTEGER"
    of_users = rows.aggregate("user_id, max(session) AS sessions", "user_id")
    (sessions,) = of_users.aggregate("sum(sessions)").fetchall()[0]
    (fingerprint,) = rows.aggregate(f"bit_xor(hash({row}))").fetchall()[0]
    return {"sessions": int(sessions), "fingerprint": f"{fingerprint:016x}"}


# -- the run


def run(bench: Bench, runs: int, *, steps: Sequence[str], with_explain: bool) -> Iterator[Line]:
    """Every line of the run, the comparison last."""
    even = Bench(bench.folder, Shape(bench.shape.size, bench.shape.days), bench.cores, bench.sets)
    turns = [(bench, name, name) for name in steps]
    if bench.shape.skew != "none":  # what a hot key costs shows beside the same log without one
        turns += [(even, name, f"{name} without skew") for name in ("floor", "ours") if name in steps]
    lines = []
    for number in range(1, runs + 1):
        for of, step, name in turns:
            said = timed(of, step, name, number)
            lines.append(said)
            yield said
    if with_explain:
        yield from explained(bench)
    yield comparison(bench, lines, runs)


def timed(bench: Bench, step: str, name: str, number: int) -> Line:
    with emptied(bench.scratch):
        return {"step": name, "run": number, **STEPS[step](bench)}


@contextmanager
def emptied(folder: Path) -> Iterator[None]:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def explained(bench: Bench) -> Iterator[Line]:
    """One line per part of the floor."""
    command = [sys.executable, "-m", "jobs.bench.spark_steps", "explain", *_sets(bench)]
    command += [f"--log={bench.log()}", f"--out={bench.scratch / 'out'}", f"--warm-up={bench.warm_up()}"]
    with emptied(bench.scratch):
        said = watched(command, bench.said / "explain").said
    for part, numbers in said["parts"].items():
        yield {"step": "explain", "part": part, **{name: round(value, 3) for name, value in numbers.items()}}


def comparison(bench: Bench, lines: list[Line], runs: int) -> Line:
    """Ratios of medians; null where a step was skipped."""
    prints = {line["fingerprint"] for line in lines if line["step"] in _SAME and "fingerprint" in line}
    assert len(prints) <= 1, f"{' and '.join(_SAME)} do not give the same rows"

    def middle(step: str, number: str) -> float | None:
        known = [line[number] for line in lines if line["step"] == step and line.get(number) is not None]
        return median(known) if known else None

    def ratio(one: str, other: str, number: str = "seconds") -> float | None:
        above, below = middle(one, number), middle(other, number)
        return round(above / below, 3) if above is not None and below else None

    gate, seconds = middle("ours", "gate_seconds"), middle("ours", "seconds")
    last: Line = {
        "ours_vs_floor": ratio("ours", "floor"),
        "plain_vs_floor": ratio("plain", "floor"),
        "ours_vs_duckdb": ratio("ours", "duckdb"),
        "ours_vs_polars": ratio("ours", "polars"),
        "ours_vs_floor_cold": ratio("ours", "floor", "cold_seconds"),
        "plain_vs_floor_cold": ratio("plain", "floor", "cold_seconds"),
        "peak_gib": max((line["peak_gib"] for line in lines if line["step"] == "ours"), default=None),
        "gate_share": None if gate is None or seconds is None else round(gate / seconds, 3),
        "size": bench.shape.size,
        "skew": bench.shape.skew,
        "runs": runs,
    }
    if bench.shape.skew != "none":
        last |= {"hot_share": round(bench.shape.hot_share, 3)}
        last |= {f"{step}_vs_no_skew": ratio(step, f"{step} without skew") for step in ("floor", "ours")}
    return last


def environment(cores: int, sets: tuple[str, ...]) -> dict[str, Any]:
    """What makes numbers readable later; taken before the first step, so that the load is other people's."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "cores": cores,
        "settings": list(sets),
        "load_before": round(os.getloadavg()[0], 2),
        "environment": describe(_PACKAGES),
    }


def bench_folder() -> Path:
    return Home.from_environment().root / "bench"


def _steps(words: str) -> tuple[str, ...]:
    unknown = set(words.split()) - set(STEPS)
    if unknown or not words.split():
        raise argparse.ArgumentTypeError(f"no step {' '.join(sorted(unknown)) or 'named'}; there are {' '.join(STEPS)}")
    return tuple(words.split())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=20_000_000, help="events (default: 20,000,000)")
    parser.add_argument("--runs", type=int, default=1, help="how often each step runs (default: 1)")
    parser.add_argument(
        "--skew", choices=("none", "user", "item"), default="none", help="one hot user, or one hot item"
    )
    parser.add_argument(
        "--steps", type=_steps, default=tuple(STEPS), metavar="STEP …", help=f"only these of: {' '.join(STEPS)}"
    )
    parser.add_argument("--explain", action="store_true", help="also say where the floor's seconds go")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="cores that each step may use")
    parser.add_argument("--set", default="", metavar="KEY=VALUE …", help="settings of all Spark steps and jobs")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: children and tables go too
    bench = Bench(
        bench_folder(),
        Shape(args.size, skew=args.skew),
        args.cores,
        (*settings_for(args.size, args.cores), *args.set.split()),
    )
    facts = environment(args.cores, bench.sets) | {"shape": asdict(bench.shape)}
    lines = []
    try:
        bench.conf  # noqa: B018 - a misspelt setting should not cost an hour
        for line in run(bench, args.runs, steps=args.steps, with_explain=args.explain):
            print(json.dumps(line), flush=True)
            lines.append(line)
    except BadInput as error:
        sys.exit(f"bench-prep: {error}")
    skewed = "" if args.skew == "none" else f"-hot-{args.skew}"
    result = {"lines": lines[:-1], "comparison": lines[-1], **facts}
    write_json(bench.folder / "results" / f"prep-{args.size}{skewed}.json", result)


if __name__ == "__main__":
    main()
