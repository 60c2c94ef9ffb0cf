"""Make up for nights: run `nightly` for every day of a range, through Airflow, in the order of the days.

Uses Airflow as `make ui` left it, or one of its own for as long as it takes. A range that was interrupted goes on where
it was: nights that ended are kept unless AGAIN says otherwise.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from datetime import time as time_of_day
from typing import Any
from urllib.error import URLError
from zoneinfo import ZoneInfo

from jobs.ops.airflow_api import AirflowApi, Busy
from jobs.ops.nightly import Request, alone, services
from jobs.ops.services import DAG, Running, api, check_alive
from jobs.ops.summary import table

from nightjar.contracts import BadInput
from nightjar.settings import day_before, load_source
from nightjar.stores.home import Home

#: What is done with a night that has ended before.
AGAIN = {"": "none", "failed": "failed", "all": "completed"}

#: Airflow takes a backfill back whose runs it could not write because another process was writing.
_ATTEMPTS, _PAUSE_SECONDS = 10, 3.0


@dataclass(frozen=True)
class Backfill:
    """Which nights, and with which params."""

    request: Request
    last: date
    again: str

    @classmethod
    def of(cls, args: argparse.Namespace) -> Backfill:
        """Check what was typed.

        Raises:
            BadInput: names the make variable that is wrong or missing.
        """
        if not args.first or not args.last:
            raise BadInput("a backfill needs its first and its last day", "make backfill FROM=2026-02-10 TO=2026-02-23")
        first = Request.of(argparse.Namespace(**{**vars(args), "day": args.first}))
        last = Request.of(argparse.Namespace(**{**vars(args), "day": args.last})).day
        if first.day > last:
            raise BadInput(f"FROM={first.day} is after TO={last}", f"make backfill FROM={last} TO={first.day}")
        if args.again not in AGAIN:
            raise BadInput(f"AGAIN={args.again} is none of failed, all", "leave it out: nights that ended are kept")
        return cls(first, last, AGAIN[args.again])

    @property
    def mornings(self) -> tuple[datetime, datetime]:
        """The first and last moment of the mornings on which these nights would have run."""
        zone = ZoneInfo(load_source(self.request.source).time_zone)
        first, last = self.request.day + timedelta(days=1), self.last + timedelta(days=1)
        return datetime.combine(first, time_of_day.min, zone), datetime.combine(last, time_of_day.max, zone)

    def body(self, at_once: int) -> dict[str, Any]:
        """What Airflow is asked for."""
        first, last = (moment.isoformat() for moment in self.mornings)
        params = {name: value for name, value in self.request.conf().items() if name != "day"}
        return {
            "dag_id": DAG,
            "from_date": first,
            "to_date": last,
            "dag_run_conf": params,
            "reprocess_behavior": self.again,
            "max_active_runs": at_once,
        }


def run(home: Home, backfill: Backfill, *, at_once: int, airflow_port: int) -> int:
    """Run every night to its end; 0 when all of them succeeded."""
    with services(home, backfill.request, airflow_port, until=backfill.mornings[1]) as running:
        connection = api(home, running)
        if running.until:  # our own: nobody waits for its nights, and a scheduler must not take up what is taken back
            connection.pause(DAG)
        _ask(connection, backfill, at_once)
        connection.unpause(DAG)
        days = (backfill.last - backfill.request.day).days + 1
        print(f"backfill {backfill.request.source}, {days} nights; watch it at {running.airflow_url}", flush=True)
        nights = _watch(home, running, connection, backfill)
    print(table(["night", "state", "seconds"], [[str(day), *nights[day]] for day in sorted(nights)], words=2))
    return 0 if len(nights) == days and all(state == "success" for state, _ in nights.values()) else 1


def _ask(connection: AirflowApi, backfill: Backfill, at_once: int) -> None:
    active = connection.call("GET", f"/backfills?dag_id={DAG}&limit=100")["backfills"]
    if unfinished := [one for one in active if one["completed_at"] is None]:
        first, last = backfill.mornings
        same = unfinished[0]
        if (datetime.fromisoformat(same["from_date"]), datetime.fromisoformat(same["to_date"])) != (first, last):
            raise BadInput(
                f"another backfill is not done: mornings {same['from_date']} to {same['to_date']}",
                "make ui  # and wait for it, or cancel it there",
            )
        print("backfill going on with the one that was interrupted", flush=True)
        return
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            connection.call("POST", "/backfills", backfill.body(at_once))
            return
        except Busy as error:
            if attempt == _ATTEMPTS:
                raise
            print(f"backfill {error.problem}; trying again", flush=True)
            time.sleep(_PAUSE_SECONDS)


def _watch(home: Home, running: Running, connection: AirflowApi, backfill: Backfill) -> dict[date, tuple[str, str]]:
    """Print a line when a night begins or ends; returns state and seconds of each, the latest run of a day."""
    zone = load_source(backfill.request.source).time_zone
    seen: dict[date, str] = {}
    while True:
        check_alive(home, running)
        with suppress(URLError, TimeoutError):  # a busy machine; a dead one is noticed above
            runs = {
                day_before(datetime.fromisoformat(one["logical_date"]), zone): one
                for one in _runs(connection, backfill)
            }
            for day, one in sorted(runs.items()):
                if seen.get(day) != one["state"]:
                    seen[day] = one["state"]
                    if one["state"] != "queued":
                        print(f"{day} {one['state']}", flush=True)
            if runs and all(one["state"] in ("success", "failed") for one in runs.values()):
                return {day: (one["state"], _seconds(one)) for day, one in runs.items()}
        time.sleep(2)


def _runs(connection: AirflowApi, backfill: Backfill) -> list[dict[str, Any]]:
    first, last = (moment.astimezone(ZoneInfo("UTC")) for moment in backfill.mornings)
    bounds = f"logical_date_gte={first:%Y-%m-%dT%H:%M:%SZ}&logical_date_lte={last:%Y-%m-%dT%H:%M:%SZ}"
    found: list[dict[str, Any]] = connection.call("GET", f"/dags/{DAG}/dagRuns?{bounds}&limit=1000")["dag_runs"]
    return found


def _seconds(one: dict[str, Any]) -> str:
    begin, end = (datetime.fromisoformat(one[name]) for name in ("start_date", "end_date"))
    return f"{(end - begin).total_seconds():.0f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="synthetic", help="a mapping under conf/sources/")
    parser.add_argument("--raw", default="", help="the raw logs; the synthetic shop writes its own")
    parser.add_argument("--from", dest="first", default="", help="the first night, YYYY-MM-DD")
    parser.add_argument("--to", dest="last", default="", help="the last night, YYYY-MM-DD")
    parser.add_argument("--model", default="sasrec", help="a file under conf/models/")
    parser.add_argument("--set", default="", help='settings, "section.key=value section.key=value"')
    parser.add_argument("--again", default="", help="nights that ended before: failed or all of them run again")
    parser.add_argument("--at-once", type=int, default=2, help="runs that Airflow has open at once (default: 2)")
    parser.add_argument("--airflow-port", type=int, default=8080)
    args = parser.parse_args()
    home = Home.from_environment()
    try:
        backfill = Backfill.of(args)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # runs the clean-up, as Ctrl-C does
        with alone(home):
            sys.exit(run(home, backfill, at_once=args.at_once, airflow_port=args.airflow_port))
    except BadInput as error:
        sys.exit(f"backfill: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
