"""What people did, as numbers of each person: features to score tonight, and labels to train on.

Reads `session_events` of the history window, `identity`, and `items` of the night. Writes, visible in one step after
the gate: `user_features` as of the end of the night's day; `labels` as of the latest day whose horizons
are over; and for that day, where its own night left none, the `items` and `user_features` that the night
would have written. Models are trained on features and labels of equal dt.
Safe to run twice.
"""

from __future__ import annotations

import argparse
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from _gate import facts_by_day, gate, trailing_facts
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

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Facts = dict[tuple[str, date], dict[str, Any]]

#: Fact that says how far a day's features look back.
HISTORY_DAYS = "history_days"


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, at = Lake(job.home.lake), args.user_features
    lake.entry(at.of(SESSION_EVENTS))  # absence is an error, an empty day is not
    lake.entry(at.of(ITEMS))
    labelled = at.on(at.day - timedelta(days=job.conf.labels.longest_days))
    items = lake.read(job.spark(), ITEMS, [at.of(ITEMS)])

    tonight = features(job, lake, items, at)
    staged, facts = [tonight], checked_features(job, lake, tonight, at)
    if not has_features(job, lake, labelled):
        known_items, known = features_of_then(job, lake, labelled)
        staged += [*known_items, known]
        if known.num_rows:  # a shop's first days have no earlier ones yet
            facts |= checked_features(job, lake, known, labelled)
    outcomes = labels(job, lake, items, labelled, until=at.day)
    staged.append(outcomes)
    if outcomes.num_rows:
        facts |= checked_labels(job, lake, outcomes, labelled.of(LABELS))
    lake.commit(staged, facts=facts)
    rates = facts.get((LABELS.name, labelled.day), {})
    return {
        "rows_in": sum(lake.entry(part).num_rows for part in partitions(job, lake, at.day, until=at.day)),
        "rows_out": tonight.num_rows,
        "rows_rejected": 0,
        "labelled_day": labelled.day,
        "labelled_people": outcomes.num_rows,
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


def checked_features(job: Job, lake: Lake, staged: Staged, at: Partition) -> Facts:
    frame = staged.frame(job.spark())
    seen = user_features_facts(frame, trailing_facts(job, lake, at), gate=job.conf.gate)
    gate(job, lake, USER_FEATURES, frame, seen, user_features_suite(job.conf), at)
    kept = facts_by_day(USER_FEATURES, seen)
    return {key: known | {HISTORY_DAYS: job.conf.features.history_days} for key, known in kept.items()}


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


def checked_labels(job: Job, lake: Lake, staged: Staged, at: Partition) -> Facts:
    frame = staged.frame(job.spark())
    seen = labels_facts(frame, trailing_facts(job, lake, at), gate=job.conf.gate)
    gate(job, lake, LABELS, frame, seen, labels_suite(job.conf), at)
    return facts_by_day(LABELS, seen)


if __name__ == "__main__":
    run("features", arguments(__doc__, user_features="partition to write: shop/user_features/dt=DAY"), main)
