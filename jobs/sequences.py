"""Sessions to what models read.

Reads `session_events` and `events` of the history window, and `identity`. Writes, visible in one step after
the gate: `items` and `sequences` as of the end of the night's day (for scoring) and as of `holdout_days` before
it (for training), the `vocabulary` of the training window, and the `holdout` that follows it; on a shop's first night
also `items` and `sequences` as of the instants that models of people learn from. Who is one person is asked as of the
same instant: what a later login reveals is no part of the past, nor of its holdout.
Safe to run twice.
"""

from __future__ import annotations

import argparse
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from _gate import facts_by_day, gate, trailing_facts
from _instants import made_up
from nightjar.contracts import EVENTS, HOLDOUT, IDENTITY, ITEMS, SEQUENCES, SESSION_EVENTS, VOCABULARY, Table
from nightjar.prep import sequences as prep
from nightjar.prep.identity import as_of, of_persons
from nightjar.prep.items import items_from
from nightjar.quality.facts import sequences_facts
from nightjar.quality.suites import sequences_suite
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake, Staged

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, at, conf = Lake(job.home.lake), args.sequences, job.conf.sequences
    for table in (SESSION_EVENTS, IDENTITY):
        lake.entry(at.of(table))  # the night's own must exist
    trained = at.day - timedelta(days=conf.holdout_days)
    told = sorted({trained, at.day, *made_up(job, lake, at, besides=[trained])})
    first = told[0] - timedelta(days=conf.history_days - 1)
    days = [first + timedelta(days=number) for number in range((at.day - first).days + 1)]
    visits = prep.people(read(job, lake, SESSION_EVENTS, days)).withColumn("event_dt", shop_day(job)).persist()
    log = read(job, lake, EVENTS, days).persist()
    identity = read(job, lake, IDENTITY, lake.days(job.shop, IDENTITY.name)).persist()

    items, histories = {}, {}
    for day in told:
        # Each instant looks back equally far: the night that trains on a day finds what that day's own night found.
        since = F.lit(day - timedelta(days=conf.history_days))
        known = log.where(F.col("dt") > since)
        items[day] = stage(job, lake, items_from(known, day, recent_days=job.conf.score.popular_days), ITEMS, day)
        rows = prep.sequences_from(
            of_persons(visits.where(F.col("event_dt") > since), as_of(identity, day)),
            items[day].frame(job.spark()),
            as_of=day,
            kinds=conf.kinds,
            max_events=conf.max_events,
        )
        histories[day] = stage(job, lake, rows, SEQUENCES, day)
    past = histories[trained].frame(job.spark())
    words = prep.vocabulary_from(past, as_of=trained, min_events=conf.min_item_events)
    vocabulary = stage(job, lake, words, VOCABULARY, trained)
    then = of_persons(visits, as_of(identity, trained))
    later = prep.holdout_from(then, as_of=trained, days=conf.holdout_days, kinds=conf.kinds)
    holdout = stage(job, lake, later, HOLDOUT, trained)

    facts = {}
    for day, staged in histories.items():
        frame, on = staged.frame(job.spark()), at.on(day)
        seen = sequences_facts(
            frame,
            trailing_facts(job, lake, on),
            gate=job.conf.gate,
            max_events=conf.max_events,
            instant=job.source.end_of(day),
        )
        if staged.num_rows or day == at.day:  # a shop's first days have no training window yet
            gate(job, lake, SEQUENCES, frame, seen, sequences_suite(job.conf), on)
        facts |= facts_by_day(SEQUENCES, seen)
    lake.commit([*items.values(), *histories.values(), vocabulary, holdout], facts=facts)
    return {
        "rows_in": visits.count(),
        "rows_out": histories[at.day].num_rows,
        "rows_rejected": 0,
        "items": items[at.day].num_rows,
        "vocabulary": vocabulary.num_rows,
        "training_people": histories[trained].num_rows,
        "holdout_people": holdout.num_rows,
    }


def read(job: Job, lake: Lake, table: Table, days: list[date]) -> DataFrame:
    return lake.read(job.spark(), table, [table.at(job.shop, day) for day in days])


def shop_day(job: Job) -> Any:
    """The day of an event itself: `dt` of session_events is the day its session starts."""
    return F.to_date(F.from_utc_timestamp("event_ts", job.source.time_zone))


def stage(job: Job, lake: Lake, rows: DataFrame, table: Table, day: date) -> Staged:
    return lake.stage(rows, table, job.shop, job.run_id, days=[day])


if __name__ == "__main__":
    run("sequences", arguments(__doc__, sequences="partition to write: shop/sequences/dt=DAY"), main)
