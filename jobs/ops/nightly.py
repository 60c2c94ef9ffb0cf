"""Run one night through Airflow and say what it did.

Starts Airflow when it is not running, triggers the DAG `nightly` for one day, shows each task as it
begins and ends, and stops what it started, whatever happens.
"""

from __future__ import annotations

import argparse
import fcntl
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.error import URLError

from jobs.ops.airflow_api import AirflowApi
from jobs.ops.services import DAG, Running, api, check_alive, start_airflow, stop
from jobs.ops.summary import failure_text, summary

from nightjar.contracts import BadInput
from nightjar.settings import Conf, load_conf, load_source, repository
from nightjar.stores.files import write_json
from nightjar.stores.home import Home

SYNTHETIC = "synthetic"
SYNTHETIC_DAY = "2026-03-01"  # [simulate] start is early enough for its 35 days of history

#: Name of the manifest that says when tasks began and ended; jobs say for themselves how long they took.
TIMES = "airflow"

_ENDED = {"success", "failed", "upstream_failed", "skipped", "removed"}


@dataclass(frozen=True)
class Request:
    """The night that somebody asked for, checked before anything starts."""

    source: str
    raw: str
    day: date
    model: str
    sets: tuple[str, ...]
    settings: Conf

    @classmethod
    def of(cls, args: argparse.Namespace) -> Request:
        """Check what was typed.

        Raises:
            BadInput: names the make variable that is wrong or missing.
        """
        shop = load_source(args.source)
        if shop.name != SYNTHETIC and not args.raw:
            raise BadInput(
                f"source {shop.name} needs its raw logs", f"make nightly SOURCE={shop.name} RAW=path DAY=YYYY-MM-DD"
            )
        raw = Path(args.raw).absolute() if args.raw else None
        if raw and shop.name != SYNTHETIC and not raw.exists():
            raise BadInput(f"RAW={args.raw}: there is no {raw}", f"ls -l '{raw.parent}'")
        if shop.name != SYNTHETIC and not args.day:
            raise BadInput(
                f"source {shop.name} needs a day", f"make nightly SOURCE={shop.name} RAW={args.raw} DAY=YYYY-MM-DD"
            )
        sets = tuple(args.set.split())
        model = _model_file(args.model)
        settings = load_conf(files=[model], source=shop, sets=list(sets))
        return cls(shop.name, str(raw or ""), _day(args.day or SYNTHETIC_DAY), args.model, sets, settings)

    def conf(self) -> dict[str, Any]:
        """The DAG's params."""
        day = self.day.isoformat()
        return {"source": self.source, "raw": self.raw or None, "day": day, "model": self.model, "set": list(self.sets)}


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"DAY={text} is no day", "write DAY=YYYY-MM-DD") from error


def _model_file(name: str) -> Path:
    folder = repository() / "conf" / "models"
    path = folder / f"{name}.toml"
    if not path.is_file():
        known = " or ".join(f"MODEL={file.stem}" for file in sorted(folder.glob("*.toml")))
        raise BadInput(f"MODEL={name}: there is no {path}", known or f"write {path}")
    return path


def run_night(home: Home, request: Request, *, airflow_port: int) -> int:
    """Run the night to its end; 0 when every task succeeded."""
    with services(home, request, airflow_port) as running:
        connection = api(home, running)
        connection.unpause(DAG)
        _wait_for_others(home, running, connection)
        run = f"night_{request.day}_{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        connection.trigger(DAG, run, request.conf())
        print(f"night    {request.source} {request.day}, run {run}; watch it at {running.airflow_url}", flush=True)
        state = watch(home, running, connection, run)
        tasks = connection.tasks(DAG, run)
        write_json(home.result(request.source, request.day, TIMES), times(connection.run(DAG, run), tasks))
    print(summary(home, request.source, request.day, run, tasks, request.settings.publish))
    if state == "success":
        return 0
    print(failure_text(home, request.source, request.day, run, tasks), file=sys.stderr)
    return 1


def times(run: dict[str, Any], tasks: list[dict[str, Any]]) -> dict[str, Any]:
    """When Airflow had the run and each of its tasks in hand."""
    names = ("start_date", "end_date", "state")
    every = {task["task_id"]: {name: task[name] for name in (*names, "try_number")} for task in tasks}
    return {"run_id": run["dag_run_id"], **{name: run[name] for name in names}, "tasks": every}


@contextmanager
def services(home: Home, request: Request, port: int, *, until: datetime | None = None) -> Iterator[Running]:
    """Airflow that runs already (`make ui`), or one of our own for as long as this takes.

    Args:
        until: our own has the nightly schedule up to this moment: Airflow makes up for nights of a schedule only, and
            after the last one of them it would run last night too.
    """
    if running := Running.load(home):
        if not running.scheduled or running.until:  # we hold the lock, so whoever started it was killed
            stop(home, running)
        else:
            yield running
            return
    started = time.monotonic()
    print("airflow: starting", flush=True)
    running = start_airflow(
        home,
        port=port,
        scheduled=until is not None,
        until=until.isoformat() if until else "",
        source=request.source,
        raw=request.raw,
    )
    print(f"airflow: ready after {time.monotonic() - started:.0f} s at {running.airflow_url}", flush=True)
    try:
        yield running
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not leave half of it running
        print("airflow: stopping", flush=True)
        stop(home, running)


def _wait_for_others(home: Home, running: Running, connection: AirflowApi) -> None:
    """One night at a time: say why we wait instead of queueing in silence."""
    said = ""
    while others := connection.unfinished_runs(DAG):
        if others[0] != said:
            said = others[0]
            print(f"night    waiting for run {said} to end; nights run one at a time", flush=True)
        check_alive(home, running)
        time.sleep(2)


def watch(home: Home, running: Running, connection: AirflowApi, run: str) -> str:
    """Print a line when a task begins, ends or waits for another attempt; return the run's last state."""
    seen: dict[str, tuple[str | None, int]] = {}
    while True:
        check_alive(home, running)
        with suppress(URLError, TimeoutError):  # a busy machine; a dead one is noticed above
            state = connection.run_state(DAG, run)
            for task in sorted(connection.tasks(DAG, run), key=lambda task: str(task["start_date"])):
                now = (task["state"], task["try_number"])
                if seen.get(task["task_id"]) != now:
                    seen[task["task_id"]] = now
                    if line := _line(task):
                        print(line, flush=True)
            if state in ("success", "failed"):
                return state
        time.sleep(1)


def _line(task: dict[str, Any]) -> str:
    name, state, seconds = task["task_id"], task["state"], task["duration"] or 0
    if state == "running":
        again = f", attempt {task['try_number']}" if task["try_number"] > 1 else ""
        return f"{name:10} started{again}"
    if state == "up_for_retry":
        return f"{name:10} attempt {task['try_number']} failed after {seconds:.0f} s, another follows"
    # champion and verdict are joins: nothing runs, so there is nothing to time
    return f"{name:10} {state}" + (f" after {seconds:.0f} s" if seconds else "") if state in _ENDED else ""


@contextmanager
def alone(home: Home) -> Iterator[None]:
    """Hold the home's lock: one `make nightly` at a time.

    Raises:
        BadInput: another one is running.
    """
    home.root.mkdir(parents=True, exist_ok=True)
    with (home.root / "nightly.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise BadInput(
                f"another make nightly is running on {home.root}", "wait for it, or use another NIGHTJAR_HOME"
            ) from error
        yield


def main() -> None:
    parser = argparse.ArgumentParser(description="Run one night of one shop and say what it did.")
    parser.add_argument("--source", default=SYNTHETIC, help="a mapping under conf/sources/")
    parser.add_argument("--raw", default="", help="the raw logs; the synthetic shop writes its own")
    parser.add_argument("--day", default="", help=f"YYYY-MM-DD; the synthetic shop's default is {SYNTHETIC_DAY}")
    parser.add_argument("--model", default="sasrec", help="a file under conf/models/")
    parser.add_argument("--set", default="", help='settings, "section.key=value section.key=value"')
    parser.add_argument("--airflow-port", type=int, default=8080)
    args = parser.parse_args()
    home = Home.from_environment()
    try:
        request = Request.of(args)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # runs the clean-up, as Ctrl-C does
        with alone(home):
            sys.exit(run_night(home, request, airflow_port=args.airflow_port))
    except BadInput as error:
        sys.exit(f"nightly: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
