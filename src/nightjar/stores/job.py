"""How every job begins and ends: settings, one result manifest, one JSON line, an exit code."""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from nightjar.contracts import BAD_DATA, DONE, ENVIRONMENT, BadInput, Partition
from nightjar.settings import Conf, Source, load_conf, load_source
from nightjar.stores.files import write_json
from nightjar.stores.home import Home
from nightjar.stores.lineage import Run
from nightjar.stores.sole import Busy, in_shop, sole
from nightjar.stores.touched import TOUCHED

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Main = Callable[[argparse.Namespace, "Job"], dict[str, Any]]


@dataclass(frozen=True)
class Job:
    """What a job is given besides its own arguments."""

    name: str
    conf: Conf
    source: Source
    home: Home
    run_id: str
    log: logging.Logger
    prefix: str = ""
    #: Spark settings for lineage of single queries
    listener: Mapping[str, str] = field(default_factory=dict)

    def result(self, day: date, job: str) -> Path:
        """The manifest of another job of the same DAG for the same day."""
        return self.home.result(self.shop, day, f"{self.prefix}{job}")

    @property
    def shop(self) -> str:
        return self.source.name

    def was_published(self, at: Partition) -> bool:
        """Whether anybody could see the night."""
        result = self.home.result(at.shop, at.day, "publish")
        return result.is_file() and json.loads(result.read_text(encoding="utf-8"))["status"] == "done"

    def spark(self) -> SparkSession:
        from nightjar.stores.spark import session

        return session(f"nightjar {self.name}", self.conf.spark, self.listener)


def arguments(doc: str, **partitions: str) -> argparse.ArgumentParser:
    """A parser with one required partition flag per keyword (flag -> help) and the common flags."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for flag, text in partitions.items():
        parser.add_argument(f"--{flag}", type=_partition, required=True, metavar="SHOP/TABLE/dt=DAY", help=text)
    parser.add_argument(
        "--source", required=True, metavar="NAME", help="a mapping under conf/sources/, or a path to one"
    )
    parser.add_argument("--run", default="manual", metavar="RUN_ID", help="the orchestrator's run (default: manual)")
    parser.add_argument(
        "--conf", action="append", default=[], type=Path, metavar="FILE", help="TOML over conf/base.toml; repeatable"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, section.key=value; repeatable"
    )
    parser.add_argument(
        "--prefix",
        default="",
        metavar="TEXT",
        help="before the names of result manifests, where two DAGs run the same job for the same day",
    )
    return parser


def _partition(spec: str) -> Partition:
    try:
        return Partition.parse(spec)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def run(name: str, parser: argparse.ArgumentParser, main: Main, *, alone: bool = False) -> NoReturn:
    """Run a job's `main` and exit: 0 done, 1 bad data (a retry is useless), 2 environment (a retry may help).

    Whatever happens, `runs/<shop>/<day>/<job>.json` says it; the last line on standard output is the
    counts as JSON. Of two copies for the same day one works at a time, see `stores.sole`. Who follows data
    from table to table is told as it begins and as it ends, see `stores.lineage`.

    Args:
        alone: no other job of the shop runs meanwhile.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    log = logging.getLogger(f"nightjar.{name}")
    log.setLevel(logging.INFO)
    try:
        args = parser.parse_args()
    except SystemExit as end:  # argparse's own code for bad usage is 2, which here would ask for a retry
        sys.exit(BAD_DATA if end.code else DONE)
    home = Home.from_environment()
    partition = next(value for value in vars(args).values() if isinstance(value, Partition))
    result = home.result(partition.shop, partition.day, f"{args.prefix}{name}")
    started = time.monotonic()
    TOUCHED.clear()  # of a job before it in the same process
    outcome: dict[str, Any] = {"job": name, "partition": str(partition), "run_id": args.run, "status": "failed"}
    turn, lineage = ExitStack(), Run(home, partition, f"{args.prefix}{name}", log)
    try:
        turn.enter_context(sole(result.with_suffix(".lock"), args.run, log))
        turn.enter_context(in_shop(home.turn(partition.shop), log, alone=alone))
        lineage.started()
        result.unlink(missing_ok=True)  # an old success must never stand for this run
        source = load_source(args.source)
        if source.name != partition.shop:
            raise BadInput(f"{partition} is not of source {source.name}", f"--source {partition.shop}")
        conf = load_conf(files=args.conf, source=source, sets=args.set)
        listener = lineage.listener(conf.spark.openlineage_jar)
        counts = main(args, Job(name, conf, source, home, args.run, log, args.prefix, listener))
        outcome |= {"status": "done", "failure": None, "counts": counts, "tables": TOUCHED.summary()}
        code = DONE
    except Busy as error:  # whoever is at it says how it ended
        log.error("%s\n  next: wait for it, then run again", error)
        sys.exit(ENVIRONMENT)
    except BadInput as error:
        outcome |= {"failure": "bad_data", "error": str(error)}
        log.error("%s", error)
        code = BAD_DATA
    except BaseException as error:
        problem = _environment_problem(error)
        outcome |= {"failure": "environment", "error": problem}
        traceback.print_exc()
        log.error("%s", problem)
        code = ENVIRONMENT
    outcome |= {"seconds": round(time.monotonic() - started, 1), "peak_gib": round(_peak_gib(), 2), **_cost()}
    code = _record(result, outcome, code, log)
    lineage.done(TOUCHED) if code == DONE else lineage.failed(str(outcome.get("failure") or "environment"))
    turn.close()
    if code == DONE:
        print(json.dumps(outcome["counts"], default=str), flush=True)  # noqa: T201 - the job's output
    sys.exit(code)


def _record(path: Path, outcome: dict[str, Any], code: int, log: logging.Logger) -> int:
    try:
        write_json(path, outcome)
    except OSError as error:
        log.error("cannot write the result manifest %s: %s\n  next: df -h %s", path, error.strerror, path.parent)
        return ENVIRONMENT
    return code


def _environment_problem(error: BaseException) -> str:
    """One line for people; the traceback went to the log."""
    text = str(error).strip().split("\n")[0][:500]
    if "No space left on device" in str(error) or getattr(error, "errno", None) == 28:
        return f"the disk is full: {text}\n  next: df -h  # make room, then run again"
    return f"{type(error).__name__}: {text}\n  next: read the traceback above, then run again"


def _cost() -> dict[str, float | int]:
    """Processor seconds and bytes written to disk, of this job, its finished children and the JVM above it."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    seconds = sum(one.ru_utime + one.ru_stime for one in used)
    written = sum(one.ru_oublock for one in used) * 512
    if "PYSPARK_GATEWAY_PORT" in os.environ:
        with suppress(OSError):  # a system without /proc tells of this process alone
            fields = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()
            seconds += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
            lines = Path(f"/proc/{os.getppid()}/io").read_text().splitlines()
            written += sum(int(line.split()[1]) for line in lines if line.startswith("write_bytes"))
    return {"cpu_seconds": round(seconds, 1), "bytes_written": written}


def _peak_gib() -> float:
    """Largest resident size of one process of this job: itself, a finished child, or the JVM above it."""
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    status = Path(f"/proc/{os.getppid()}/status")
    if "PYSPARK_GATEWAY_PORT" in os.environ and status.exists():
        peak = max(
            [peak, *(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM"))]
        )
    return peak / 2**20
