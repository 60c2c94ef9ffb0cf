"""Raw drops to events and quarantine.

Reads the drop of the night's day, and the drops of earlier days that nobody has landed yet.
Writes the partitions of `events` that those drops touch (late events touch past days) and one
partition of `quarantine` per drop, all visible in one step, after the gate.
Safe to run twice: a drop replaces what it brought before.
"""

from __future__ import annotations

import argparse
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from _gate import facts_by_day, gate, trailing_facts
from nightjar.contracts import EVENTS, QUARANTINE, USERS, BadInput
from nightjar.prep import clean
from nightjar.prep.landing import Counts, Land, reconcile
from nightjar.prep.sources import mapped
from nightjar.quality.facts import events_facts
from nightjar.quality.suites import events_suite
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake
from nightjar.stores.raw import find_files, read_raw, reading
from nightjar.stores.secrets import pseudonym_key
from nightjar.stores.users import keep_users, users_folder

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, at, key = Lake(job.home.lake), args.events, pseudonym_key(job.home)
    days = days_to_land(lake, job, at.day)
    files = find_files(job.source, args.raw, days)
    num_buckets = lake.num_buckets(job.shop, EVENTS, job.conf.lake.buckets)
    with users_folder(job.home, job.shop) as users, reading(job.source):
        rows = in_scope(mapped(read_raw(job.spark(), job.source, files), job.source), days)
        staged, reports = lake.stage_buckets(
            clean.judged(rows, job.conf.clean, job.source, key, num_buckets),
            Land(tuple(days), job.shop, job.source.name, job.conf.clean, key, dayless=job.source.layout == "single"),
            [EVENTS, QUARANTINE, USERS],
            job.shop,
            job.run_id,
            num_buckets=num_buckets,
            stored={EVENTS: reachable(job, days)},
            days={EVENTS: days, QUARANTINE: days},
            elsewhere={USERS: users},
        )
        events, quarantine = staged[EVENTS.name], staged[QUARANTINE.name]
        frame = events.frame(job.spark())
        num_written = frame.where(F.col("landed").isin(days)).count()
        counts = reconcile((report["counts"] for report in reports), num_written, quarantine.num_rows)
        if at.day not in counts:
            raise BadInput(
                f"{args.raw} holds no record of {at.day}", f"make nightly SOURCE={job.shop} DAY=<a day with records>"
            )
        trailing = trailing_facts(job, lake, at)
        facts = events_facts(frame, counts, trailing, gate=job.conf.gate, time_zone=job.source.time_zone)
        report = gate(job, lake, EVENTS, frame, facts, events_suite(job.conf), at)
        keep_users(users, (file for entry in staged[USERS.name].entries.values() for file in entry.files))
    lake.commit([events, quarantine], facts=facts_by_day(EVENTS, facts))
    return summary(counts, reports) | {
        "days_landed": len(days),
        "days_touched": len(events.entries),
        "gate_seconds": round(report.seconds, 1),
        "warnings": report.warnings,
    }


def days_to_land(lake: Lake, job: Job, day: date) -> list[date]:
    """The night's day, and the days of the source's history whose drop no night has landed."""
    # Quarantine has a partition per drop; a day of events may exist through late events alone.
    landed = set(lake.days(job.shop, QUARANTINE.name))
    history = [day - timedelta(days=back) for back in range(job.source.history_days, 0, -1)]
    return [*(past for past in history if past not in landed), day]


def in_scope(rows: DataFrame, days: list[date]) -> DataFrame:
    """Mapped rows of the drops: a single file holds all of a shop's days.

    Of rows whose day is unreadable every night takes note.
    """
    return rows.where(F.col("landed").isin(days) | F.col("landed").isNull())


def reachable(job: Job, days: list[date]) -> list[date]:
    """Days of events that the drops may change: a late event's, and where another copy of an event lies."""
    # An event may be ahead of its drop's midnight by the skew, on a day whose clock is set forward.
    ahead = -(-(job.conf.clean.clock_skew_minutes + 120) // (24 * 60))
    around = range(-job.conf.clean.days_late_allowed, ahead + 1)
    return sorted({day + timedelta(days=shift) for day in days for shift in around})


def summary(counts: dict[date, Counts], reports: list[dict[str, Any]]) -> dict[str, Any]:
    total = {name: sum(drop[name] for drop in counts.values()) for name in next(iter(counts.values()))}
    reasons: Counter[str] = Counter()
    for report in reports:
        reasons.update(report["reasons"])
    return {
        "rows_in": total["rows_read"],
        "rows_out": total["rows_kept"],
        "rows_rejected": total["rows_quarantined"],
        "rows_duplicate": total["rows_duplicate"],
        "rows_conflict": total["rows_conflict"],
        "reasons": dict(sorted(reasons.items())),
    }


if __name__ == "__main__":
    parser = arguments(__doc__, events="partition to write: shop/events/dt=DAY")
    parser.add_argument(
        "--raw", type=Path, required=True, metavar="PATH", help="the file, or the folder of daily drops"
    )
    run("clean", parser, main)
