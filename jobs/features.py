"""What people did, as numbers of each person: features to score tonight, and labels to train on.

Reads `session_events` of the history window, `identity`, and `items` of the night. Writes, visible in one step after
the gate: `user_features` as of the end of the night's day; `labels` as of the latest day whose horizons
are over, and on a shop's first night as of the earlier ones that models of people learn from; and for these days,
where their own nights left none, the `items` and `user_features` that those nights would have written. Models are
trained on features and labels of equal dt.
Safe to run twice.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import date, timedelta
from functools import reduce
from typing import Any

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from _gate import facts_by_day, gate, trailing_facts
from _instants import made_up
from nightjar.contracts import EVENTS, IDENTITY, ITEMS, LABELS, SESSION_EVENTS, USER_FEATURES, Partition
from nightjar.prep.features import user_features_from
from nightjar.prep.identity import as_of as assignments_of
from nightjar.prep.identity import of_persons
from nightjar.prep.items import items_from
from nightjar.prep.labels import labels_from
from nightjar.quality.facts import LABEL_RATES, labels_facts, user_features_facts
from nightjar.quality.suites import labels_suite, user_features_suite
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake, Staged

Facts = dict[tuple[str, date], dict[str, Any]]

#: Fact that says how far a day's features look back.
HISTORY_DAYS = "history_days"


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, at = Lake(job.home.lake), args.user_features
    lake.entry(at.of(SESSION_EVENTS))  # absence is an error, an empty day is not
    lake.entry(at.of(ITEMS))
    items = lake.read(job.spark(), ITEMS, [at.of(ITEMS)])
    judged = at.on(job.conf.labels.judged_on(at.day))
    instants = [judged, *(at.on(day) for day in made_up(job, lake, at) if day != judged.day)]

    people, listed = [features(job, lake, items, at)], []
    for instant in instants:
        if not has_features(job, lake, instant):
            new_items, known = features_of_then(job, lake, instant)
            people.append(known)
            listed += new_items
    outcomes = [labels(job, lake, items, one, until=job.conf.labels.known_by(one.day)) for one in instants]
    facts = checked_features(job, lake, people, at) | checked_labels(job, lake, outcomes, at.of(LABELS))
    lake.commit([*people, *listed, *outcomes], facts=facts)
    rates = facts.get((LABELS.name, judged.day), {})
    return {
        "rows_in": sum(lake.entry(part).num_rows for part in partitions(job, lake, at.day, until=at.day)),
        "rows_out": people[0].num_rows,
        "rows_rejected": 0,
        "labelled_day": judged.day,
        "labelled_people": outcomes[0].num_rows,
        "labelled_earlier": [one.day for one in instants[1:]],
        "label_rates": {name: rates.get(name) for name in LABEL_RATES},
    }


def visits(job: Job, lake: Lake, as_of: date, *, until: date) -> DataFrame:
    """Events of visits up to `until`, with `user_id` the person as known at the end of `as_of`.

    The one place where events find their person.
    """
    rows = lake.read(job.spark(), SESSION_EVENTS, partitions(job, lake, as_of, until=until))
    known = [IDENTITY.at(job.shop, day) for day in lake.days(job.shop, IDENTITY.name) if day <= as_of]
    return of_persons(rows, assignments_of(lake.read(job.spark(), IDENTITY, known), as_of))


def partitions(job: Job, lake: Lake, as_of: date, *, until: date) -> list[Partition]:
    """Days whose visits may hold an event of the window: a visit is filed under the day it starts."""
    reach = job.conf.features.history_days + -(-job.conf.sessions.max_hours // 24)
    days = [day for day in lake.days(job.shop, SESSION_EVENTS.name) if as_of - timedelta(days=reach) < day <= until]
    return [SESSION_EVENTS.at(job.shop, day) for day in days]


# -- features


def features(job: Job, lake: Lake, items: DataFrame, at: Partition) -> Staged:
    rows = user_features_from(
        visits(job, lake, at.day, until=at.day),
        items,
        as_of=at.day,
        time_zone=job.source.time_zone,
        features=job.conf.features,
    )
    return lake.stage(rows, USER_FEATURES, job.shop, job.run_id, days=[at.day])


def checked_features(job: Job, lake: Lake, staged: Sequence[Staged], at: Partition) -> Facts:
    frame = together(job, staged)
    seen = user_features_facts(frame, trailing_facts(job, lake, at), gate=job.conf.gate)
    for part in (at, *others(staged, at)):
        gate(job, lake, USER_FEATURES, frame, seen, user_features_suite(job.conf), part)
    kept = facts_by_day(USER_FEATURES, seen)
    return {key: known | {HISTORY_DAYS: job.conf.features.history_days} for key, known in kept.items()}


def together(job: Job, staged: Sequence[Staged]) -> DataFrame:
    """All days of one table: facts of them all are one look at each row."""
    return reduce(DataFrame.unionByName, (one.frame(job.spark()) for one in staged))


def others(staged: Sequence[Staged], at: Partition) -> list[Partition]:
    """Days that are not the night's own; a shop's first days have no earlier ones yet."""
    return [at.on(day) for one in staged for day in one.entries if day != at.day and one.num_rows]


def has_features(job: Job, lake: Lake, at: Partition) -> bool:
    """Whether the day's own night left features, with today's columns and of today's window."""
    if not lake.has(at):
        return False
    entry = lake.entry(at)
    is_current = entry.contract_version == USER_FEATURES.version
    return is_current and entry.facts.get(HISTORY_DAYS) == job.conf.features.history_days


def features_of_then(job: Job, lake: Lake, at: Partition) -> tuple[list[Staged], Staged]:
    """What the night of an earlier day would have written: its items, unless they are there, and its features."""
    if lake.has(at.of(ITEMS)):
        return [], features(job, lake, lake.read(job.spark(), ITEMS, [at.of(ITEMS)]), at)
    days = [at.day - timedelta(days=back) for back in range(job.conf.sequences.history_days)]
    log = lake.read(job.spark(), EVENTS, [EVENTS.at(job.shop, day) for day in days])
    landed = log.where(F.col("landed") <= F.lit(at.day))
    rows = items_from(landed, at.day, recent_days=job.conf.score.popular_days)
    items = lake.stage(rows, ITEMS, job.shop, job.run_id, days=[at.day])
    return [items], features(job, lake, items.frame(job.spark()), at)


# -- labels


def labels(job: Job, lake: Lake, items: DataFrame, at: Partition, *, until: date) -> Staged:
    rows = labels_from(
        visits(job, lake, at.day, until=until),
        items,
        as_of=at.day,
        observed_until=until,
        time_zone=job.source.time_zone,
        features=job.conf.features,
        labels=job.conf.labels,
    )
    return lake.stage(rows, LABELS, job.shop, job.run_id, days=[at.day])


def checked_labels(job: Job, lake: Lake, staged: Sequence[Staged], at: Partition) -> Facts:
    if not (labelled := others(staged, at)):
        return {}
    frame = together(job, staged)
    latest = max(labelled, key=lambda part: part.day)
    seen = labels_facts(frame, trailing_facts(job, lake, latest), gate=job.conf.gate)
    for part in labelled:
        gate(job, lake, LABELS, frame, seen, labels_suite(job.conf), part)
    return facts_by_day(LABELS, seen)


if __name__ == "__main__":
    run("features", arguments(__doc__, user_features="partition to write: shop/user_features/dt=DAY"), main)
