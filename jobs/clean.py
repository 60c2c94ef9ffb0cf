"""Raw drops to events and quarantine.

Reads the drop of the night's day, and the drops of earlier days that nobody has landed yet.
Writes the partitions of `events` that those drops touch (late events touch past days) and one
partition of `quarantine` per drop, all visible in one step, after the gate.
Safe to run twice: a drop replaces what it brought before.
"""

from __future__ import annotations

import argparse
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from _gate import facts_by_day, gate, trailing_facts
from nightjar.contracts import EVENTS, QUARANTINE, BadInput
from nightjar.prep import clean
from nightjar.prep.sources import mapped
from nightjar.quality.facts import events_facts
from nightjar.quality.suites import events_suite
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake
from nightjar.stores.raw import find_files, read_raw, reading
from nightjar.stores.secrets import pseudonym_key
from nightjar.stores.users import stage_users

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, at, key = Lake(job.home.lake), args.events, pseudonym_key(job.home)
    days = days_to_land(lake, job, at.day)
    files = find_files(job.source, args.raw, days)
    with reading(job.source):
        rows = judged_rows(job, read_raw(job.spark(), job.source, files), days, key).persist()
        read = {row["landed"]: row.asDict() for row in clean.counts_by_drop(rows).collect()}
    if at.day not in read:
        raise BadInput(
            f"{args.raw} holds no record of {at.day}", f"make nightly SOURCE={job.shop} DAY=<a day with records>"
        )

    kept = rows.where(clean.is_kept())
    touched = touched_days(job, lake, kept, days)
    stored = lake.read(job.spark(), EVENTS, [at.on(day) for day in touched]).where(~_landed_on(days))
    winners = clean.merged(kept, stored).persist()
    won = {row["landed"]: row.asDict() for row in clean.counts_of_winners(winners).collect()}
    events = lake.stage(clean.with_bot_rule(winners, job.conf.clean), EVENTS, job.shop, job.run_id, days=touched)
    rejected = clean.quarantined(rows, job.source, key)
    quarantine = lake.stage(rejected, QUARANTINE, job.shop, job.run_id, days=days)
    frame = events.frame(job.spark())
    counts = clean.reconcile(read, won, frame.where(_landed_on(days)).count(), quarantine.num_rows)

    trailing = trailing_facts(job, lake, at)
    facts = events_facts(frame, counts, trailing, gate=job.conf.gate, time_zone=job.source.time_zone)
    report = gate(job, lake, EVENTS, frame, facts, events_suite(job.conf), at)
    stage_users(clean.users_from(kept, job.shop), job.home, job.shop)
    lake.commit([events, quarantine], facts=facts_by_day(EVENTS, facts))
    return summary(counts, rows) | {
        "days_landed": len(days),
        "days_touched": len(touched),
        "gate_seconds": round(report.seconds, 1),
        "warnings": report.warnings,
    }


def days_to_land(lake: Lake, job: Job, day: date) -> list[date]:
    """The night's day, and the days of the source's history whose drop no night has landed."""
    # Quarantine has a partition per drop; a day of events may exist through late events alone.
    landed = set(lake.days(job.shop, QUARANTINE.name))
    history = [day - timedelta(days=back) for back in range(job.source.history_days, 0, -1)]
    return [*(past for past in history if past not in landed), day]


def judged_rows(job: Job, raw: DataFrame, days: list[date], key: bytes) -> DataFrame:
    """Mapped rows of the drops with their reasons and pseudonyms."""
    # A single file holds all of a shop's days; of rows whose day is unreadable every night takes note.
    rows = mapped(raw, job.source).where(_landed_on(days) | F.col("landed").isNull())
    return clean.with_pseudonyms(clean.with_reasons(rows, job.conf.clean, job.source), key)


def touched_days(job: Job, lake: Lake, kept: DataFrame, days: list[date]) -> list[date]:
    """Days of events that change: those of the new rows, and those where these drops had rows before.

    An event may come again in conflict about its day; the day that holds its other copy changes too.
    """
    around = range(-job.conf.clean.days_late_allowed, 2)
    near = sorted({day + timedelta(days=shift) for day in days for shift in around})
    stored = lake.read(job.spark(), EVENTS, [EVENTS.at(job.shop, day) for day in near])
    again = stored.join(kept.select("event_id"), "event_id", "left_semi")
    found = kept.select("dt").union(stored.where(_landed_on(days)).select("dt")).union(again.select("dt"))
    return sorted({*days, *(row["dt"] for row in found.distinct().collect())})


def summary(counts: dict[date, clean.Counts], rows: DataFrame) -> dict[str, Any]:
    total = {name: sum(drop[name] for drop in counts.values()) for name in next(iter(counts.values()))}
    return {
        "rows_in": total["rows_read"],
        "rows_out": total["rows_kept"],
        "rows_rejected": total["rows_quarantined"],
        "rows_duplicate": total["rows_duplicate"],
        "rows_conflict": total["rows_conflict"],
        "reasons": clean.reasons(rows),
    }


def _landed_on(days: list[date]) -> Column:
    return F.col("landed").isin(days)


if __name__ == "__main__":
    parser = arguments(__doc__, events="partition to write: shop/events/dt=DAY")
    parser.add_argument(
        "--raw", type=Path, required=True, metavar="PATH", help="the file, or the folder of daily drops"
    )
    run("clean", parser, main)
