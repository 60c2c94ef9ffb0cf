"""What the DAGs of a shop have in common: whose logs, the params of a run, retries, where help is."""

from __future__ import annotations

import os
from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import CronTriggerTimetable, Param

from _tasks import SYNTHETIC
from nightjar.settings import load_source

SOURCE = os.environ.get("NIGHTJAR_SOURCE") or SYNTHETIC
RAW = os.environ.get("NIGHTJAR_RAW") or None

#: What an installation sets otherwise than conf/base.toml, separated by spaces: where its warehouse is, for example.
SETTINGS = os.environ.get("NIGHTJAR_SET", "").split()

#: `make nightly` starts an Airflow in which nothing happens by itself.
SCHEDULED = os.environ.get("NIGHTJAR_SCHEDULE") != "off"

#: The last moment that the schedule covers; of an Airflow that is there for a backfill only.
UNTIL = datetime.fromisoformat(said) if (said := os.environ.get("NIGHTJAR_SCHEDULE_UNTIL")) else None

_TIME_ZONE = load_source(SOURCE).time_zone

#: Of a night; `training` takes all but the raw logs.
PARAMS = {
    "source": Param(
        SOURCE,
        type="string",
        pattern="^[a-z][a-z0-9_]*$",
        description="A mapping under conf/sources/; also the shop's name.",
    ),
    "raw": Param(
        RAW,
        type=["null", "string"],
        pattern="^/",
        description="Absolute path of the raw logs; needed by every source but the synthetic shop.",
    ),
    "day": Param(
        None,
        type=["null", "string"],
        format="date",
        description="The shop's day; empty: the day before the logical date.",
    ),
    "model": Param(
        "sasrec",
        type="string",
        enum=["sasrec", "esasrec", "bert4rec", "hstu", "gru", "lstm", "hstu-large"],
        description="A file under conf/models/.",
    ),
    "set": Param(
        SETTINGS,
        type="array",
        items={"type": "string", "pattern": r"^[a-z_]+\.[a-z0-9_]+=[ -~]+$"},
        description='Settings that differ from conf/base.toml, each "section.key=value".',
    ),
}

#: A night that takes longer is told to be late.
DEADLINE = timedelta(hours=float(os.environ.get("NIGHTJAR_DEADLINE_HOURS") or 4))

#: Only environment failures are retried: bad data fails a task at once, see _tasks.judge.
DEFAULT_ARGS: dict[str, Any] = {
    "owner": "nightjar",
    "retries": 2,
    "retry_delay": timedelta(seconds=float(os.environ.get("NIGHTJAR_RETRY_SECONDS") or 60)),
    "retry_exponential_backoff": 3,
    "max_retry_delay": timedelta(minutes=15),
    "execution_timeout": timedelta(hours=2),
}


def at(cron: str) -> CronTriggerTimetable:
    """A schedule in the shop's time zone.

    Not CronPartitionTimetable(run_offset=-1), nor CronDataIntervalTimetable: both step back by cron ticks.
    Where clocks skip 02:00 in spring the tick before 03:00 is the same instant, and a day is lost.
    Our day is the calendar's, see settings.day_before.
    """
    return CronTriggerTimetable(cron, timezone=_TIME_ZONE)


def doc(heading: str, sentence: str) -> str:
    """A task's description, with where to read on."""
    return f"{sentence}\n\nRed? Read `docs/runbook.md#{heading}`."
