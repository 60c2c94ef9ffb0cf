"""Days of the lake's tables that are older than the shop wants to keep.

Reads the settings [retention], in days before the night's. Removes partitions from the lake, all of them in one
step; `compact` deletes their files. A number of days below what the jobs look back on is an error, and removes nothing.
Safe to run twice.
"""

from __future__ import annotations

import argparse
from datetime import timedelta
from typing import Any

from nightjar.contracts import MARTS, BadInput, Partition
from nightjar.settings import Conf, Source
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, night = Lake(job.home.lake), args.events.day
    check(job.conf, job.source)
    old = {}
    for table, days in kept_days(job.conf).items():
        first = night - timedelta(days=days)
        if days and (gone := [day for day in lake.days(job.shop, table) if day < first]):
            old[table] = gone
    rows = {table: sum(lake.entry(Partition(job.shop, table, day)).num_rows for day in old[table]) for table in old}
    if old:
        lake.discard(job.shop, old)
    for table, days_gone in old.items():
        job.log.info("%s: %d days to %s dropped", table, len(days_gone), days_gone[-1])
    return {
        "rows_in": sum(rows.values()),
        "rows_out": 0,
        "rows_rejected": 0,
        "days_dropped": {table: len(days) for table, days in old.items()},
    }


def kept_days(conf: Conf) -> dict[str, int]:
    """Table -> days; 0 keeps all."""
    given: dict[str, int] = conf.retention.model_dump()
    marts = given.pop("marts")
    return given | {table.name: marts for table in MARTS}


def check(conf: Conf, source: Source) -> None:
    """Hold the settings against what jobs look back on.

    Raises:
        BadInput: some job would miss days that it reads.
    """
    needed = needed_days(conf, source)
    short = {name: days for name, days in conf.retention.model_dump().items() if 0 < days < needed[name]}
    if short:
        said = ", ".join(f"retention.{name} = {days}, at least {needed[name]}" for name, days in short.items())
        raise BadInput(f"jobs look back further: {said}; 0 keeps all", "edit [retention] in conf/base.toml")


def needed_days(conf: Conf, source: Source) -> dict[str, int]:
    """Setting of [retention] -> the days before a night that its jobs, or those of a late night, may read."""
    compared = conf.gate.trailing_days  # facts of a day lie with its rows
    landed = source.history_days + conf.clean.days_late_allowed
    trained = conf.sequences.history_days + conf.sequences.holdout_days
    labelled = conf.features.history_days + conf.labels.longest_days
    over_midnight = -(-conf.sessions.max_hours // 24)
    # Analysis tables of a day are made anew when sessions around it change.
    marts = landed + conf.marts.recovery_days + 2 * over_midnight
    log = max(landed, trained, labelled, marts + conf.marts.lookback_days, compared) + over_midnight + 1
    as_of = max(compared, conf.sequences.holdout_days, conf.realised.window_days, conf.labels.longest_days) + 1
    return {
        "events": log,
        "quarantine": landed + 1,  # a day without its drop's partition is landed again
        "sessions": log,
        "session_events": log,
        "session_renames": 1,
        "items": max(marts, as_of),
        "sequences": as_of,
        "vocabulary": as_of,
        "holdout": as_of,
        "user_features": as_of,
        "labels": as_of,
        "marts": max(marts, compared, conf.watch.trailing_nights) + 1,
        "foretold": max(conf.watch.trailing_nights, conf.labels.longest_days) + 1,
        "decisions": conf.labels.longest_days + 1,
        "recommendations": max(compared, conf.watch.trailing_nights, conf.realised.window_days) + 1,
    }


if __name__ == "__main__":
    run("retain", arguments(__doc__, events="partition of the night from which days are counted"), main)
