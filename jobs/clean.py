"""Raw drops to events and quarantine.

Reads the drop of the night's day, and the drops of earlier days that nobody has landed yet.
Writes the partitions of `events` that those drops touch (late events touch past days) and one
partition of `quarantine` per drop, all visible in one step, after the gate.
What a drop says of people who were forgotten is left out, and counted.
Safe to run twice: a drop replaces what it brought before.
With --replay, the day's quarantined records go through the present mapping and rules again, as part of
the drop that brought them; what is still bad stays in quarantine.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from _gate import facts_by_day, gate, trailing_facts
from nightjar.contracts import EVENTS, QUARANTINE, USERS, BadInput, Partition
from nightjar.prep import clean
from nightjar.prep.erasure import Tombstones
from nightjar.prep.landing import (
    COUNTED,
    Counts,
    Land,
    Unseal,
    added_up,
    reconcile,
    replayed,
    settle,
    with_duplicates,
    without,
)
from nightjar.prep.sources import mapped
from nightjar.quality.facts import events_facts
from nightjar.quality.suites import events_suite
from nightjar.stores.erasures import read_tombstones
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake
from nightjar.stores.raw import find_files, read_again, read_raw, reading
from nightjar.stores.secrets import pseudonym_key
from nightjar.stores.users import keep_users, users_folder

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

NOTHING = dict.fromkeys(COUNTED, 0)


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, at, key = Lake(job.home.lake), args.events, pseudonym_key(job.home)
    if args.raw is None and not args.replay:
        raise BadInput("neither --raw nor --replay", f"make nightly SOURCE={job.source.argument} DAY={at.day} RAW=path")
    days = [at.day] if args.replay else days_to_land(lake, job, at.day)
    num_buckets = lake.num_buckets(job.shop, EVENTS, job.conf.lake.buckets)
    with users_folder(job.home, job.shop) as users, reading(job.source):
        raw = rejected_before(job, lake, at, key) if args.replay else drops(job, args.raw, days)
        rows = in_scope(mapped(raw, job.source), days)
        staged, reports = lake.stage_buckets(
            clean.judged(rows, job.conf.clean, job.source, num_buckets),
            Land(
                tuple(days),
                job.shop,
                job.source.name,
                job.conf.clean,
                key,
                replay=args.replay,
                dayless=job.source.layout == "single" and not args.replay,
                tombstones=Tombstones(read_tombstones(job.home, job.shop)),
            ),
            [EVENTS, QUARANTINE, USERS],
            job.shop,
            job.run_id,
            num_buckets=num_buckets,
            stored={EVENTS: reachable(job, days)},
            days={EVENTS: days, QUARANTINE: days},
            elsewhere={USERS: users},
        )
        events, quarantine = staged[EVENTS.name], staged[QUARANTINE.name]
        settled = settle(lake.repeated(EVENTS, "event_id", events, reachable(job, days)), days)
        for file, event_ids in settled.losers.items():
            lake.rewrite(events, file, lambda rows, ids=event_ids: without(rows, ids, job.conf.clean))
        frame = events.frame(job.spark())
        counts = added_up([settled.counts, *(report["counts"] for report in reports)])
        if args.replay:
            counts = {at.day: replayed(lake.entry(at.of(QUARANTINE)).facts["drop"], counts.get(at.day, NOTHING))}
        else:
            reconcile(counts, frame.where(F.col("landed").isin(days)).count(), quarantine.num_rows)
        if at.day not in counts:
            again = f"make nightly SOURCE={job.source.argument} DAY=<a day with records>"
            raise BadInput(f"{args.raw} holds no record of {at.day}", again)
        counts = {day: with_duplicates(drop) for day, drop in counts.items()}
        asked = time.monotonic()
        trailing = trailing_facts(job, lake, at)
        facts = events_facts(frame, counts, trailing, gate=job.conf.gate, time_zone=job.source.time_zone)
        report = gate(job, lake, EVENTS, frame, facts, events_suite(job.conf), at)
        judged = time.monotonic()
        keep_users(users, (file for entry in staged[USERS.name].entries.values() for file in entry.files))
    of_drops = {(QUARANTINE.name, day): {"drop": drop} for day, drop in counts.items()}
    lake.commit([events, quarantine], facts=facts_by_day(EVENTS, facts) | of_drops)
    return summary(counts, reports) | {
        "days_landed": len(days),
        "days_touched": len(events.entries),
        "gate_seconds": round(judged - asked, 1),
        "warnings": report.warnings,
    }


def drops(job: Job, raw: Path, days: list[date]) -> DataFrame:
    """The raw records of the days' drops."""
    return read_raw(job.spark(), job.source, find_files(job.source, raw, days))


def rejected_before(job: Job, lake: Lake, at: Partition, key: bytes) -> DataFrame:
    """The raw records of a drop that are in quarantine.

    Of a record that holds several events each bad one brought the record along: there one copy is enough.
    """
    records = lake.read(job.spark(), QUARANTINE, [at.of(QUARANTINE)])
    if not lake.entry(at.of(QUARANTINE)).num_rows:
        raise BadInput(
            f"the quarantine of {at.day} is empty", f"make nightly SOURCE={job.source.argument} DAY={at.day}"
        )
    if job.source.explode:
        records = records.where("copy = 1")
    opened = records.mapInArrow(Unseal(key), "landed DATE, part STRING, _form STRING, value STRING")
    return read_again(job.spark(), job.source, opened)


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
    """Days of events that the drops may change: a late event's, and where another copy of an event lies.

    Copies that midnight parts are found at every lateness. What lies ahead exists only when a past
    night runs again, and then a copy there may have been chosen over one of that night's drop.
    """
    late = job.conf.clean.days_late_allowed
    # An event may be ahead of its drop's midnight by the skew, on a day whose clock is set forward.
    ahead = -(-(job.conf.clean.clock_skew_minutes + 120) // (24 * 60))
    around = range(-late - 1, late + ahead + 2)
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
        "rows_repaired": total["rows_repaired"],
        "rows_erased": total["rows_erased"],
        "reasons": dict(sorted(reasons.items())),
    }


if __name__ == "__main__":
    parser = arguments(__doc__, events="partition to write: shop/events/dt=DAY")
    parser.add_argument("--raw", type=Path, metavar="PATH", help="the file, or the folder of daily drops")
    parser.add_argument(
        "--replay", action="store_true", help="judge the day's quarantined records again instead of reading drops"
    )
    run("clean", parser, main)
