"""Events to sessions.

Reads the partitions of `events` that changed since their sessions were built, and the sessions around
them. Writes the partitions of `sessions` and `session_events` whose sessions the changes touch, whole
sessions only, visible in one step, after the gate.
Safe to run twice: without changes there is nothing to do.
"""

from __future__ import annotations

import argparse
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from _gate import facts_by_day, gate, trailing_facts
from nightjar.contracts import EVENTS, SESSION_EVENTS, SESSIONS, Partition
from nightjar.prep import sessions as prep
from nightjar.quality.facts import session_events_facts, sessions_facts
from nightjar.quality.suites import session_events_suite, sessions_suite
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake, Staged

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

#: Fact that says from which content of `events` a day's sessions were built.
BUILT_FROM = "events_hash"


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, at = Lake(job.home.lake), args.events
    changed_days = days_to_rebuild(lake, job, at)
    if not changed_days:
        return {"rows_in": 0, "rows_out": 0, "rows_rejected": 0, "days_rebuilt": 0}
    # The gate judges the night's day, also when only other days changed.
    stored = stored_around(job, lake, at, sorted({*changed_days, at.day})).persist()
    events = lake.read(job.spark(), EVENTS, [at.on(day) for day in changed_days])
    added, removed = prep.changed(
        events.withColumn("user_id", prep.person()), stored, job.source.time_zone, days=changed_days
    )
    fresh, replaced = prep.rebuilt(added.persist(), removed.persist(), stored, job.conf.sessions, job.source.time_zone)
    fresh.persist()
    days = sorted({at.day, *changed_days, *_days(fresh), *_days(replaced)})
    untouched = stored.where(F.col("dt").isin(days)).join(replaced, ["session_id", "event_id"], "left_anti")
    rows = untouched.unionByName(fresh)

    in_sessions = lake.stage(rows, SESSION_EVENTS, job.shop, job.run_id, days=days)
    frame = in_sessions.frame(job.spark())
    whole = lake.stage(prep.sessions_from(frame), SESSIONS, job.shop, job.run_id, days=days)
    num_added, num_removed = added.count(), removed.count()
    expected = stored.where(F.col("dt").isin(days)).count() + num_added - num_removed
    facts = checked(job, lake, at, in_sessions, whole, expected)
    for (_, day), known in facts.items():
        # Days that only neighbours touched may have changes of their own to come: they keep their mark.
        known[BUILT_FROM] = _hash(lake, at.on(day)) if day in changed_days else _built_from(lake, at.on(day))
    lake.commit([in_sessions, whole], facts=facts)
    return {
        "rows_in": num_added,
        "rows_out": whole.num_rows,
        "rows_rejected": 0,
        "events_removed": num_removed,
        "days_rebuilt": len(days),
    }


def days_to_rebuild(lake: Lake, job: Job, at: Partition) -> list[date]:
    """Days up to the night's (and the few events dated after its midnight) whose events changed."""
    last = at.day + timedelta(days=1)
    first = at.day - timedelta(days=job.source.history_days + job.conf.clean.days_late_allowed)
    days = [day for day in lake.days(job.shop, EVENTS.name) if first <= day <= last]
    return [day for day in days if _built_from(lake, at.on(day)) != _hash(lake, at.on(day))]


def stored_around(job: Job, lake: Lake, at: Partition, days: list[date]) -> DataFrame:
    """Stored sessions that a change of these days can reach: one session's length to either side."""
    reach = timedelta(days=-(-job.conf.sessions.max_hours // 24) + 1)
    window = [day for day in lake.days(job.shop, SESSION_EVENTS.name) if days[0] - reach <= day <= days[-1] + reach]
    return lake.read(job.spark(), SESSION_EVENTS, [SESSION_EVENTS.at(job.shop, day) for day in window])


def checked(
    job: Job, lake: Lake, at: Partition, in_sessions: Staged, whole: Staged, events_in: int
) -> dict[tuple[str, date], dict[str, Any]]:
    """Pass both tables through the gate; returns the facts of every day written.

    Args:
        events_in: events that had to find a session, over all days written.
    """
    bounds, frame, sessions = job.conf.gate, in_sessions.frame(job.spark()), whole.frame(job.spark())
    limits = {"max_hours": job.conf.sessions.max_hours, "max_events": job.conf.sessions.max_events}
    counts = {"events_in": events_in, "sessions": whole.num_rows}
    before = trailing_facts(job, lake, at.of(SESSION_EVENTS))
    of_events = session_events_facts(frame, counts, before, gate=bounds)
    gate(job, lake, SESSION_EVENTS, frame, of_events, session_events_suite(job.conf), at.of(SESSION_EVENTS))
    before = trailing_facts(job, lake, at.of(SESSIONS))
    of_sessions = sessions_facts(sessions, counts, before, gate=bounds, **limits)
    gate(job, lake, SESSIONS, sessions, of_sessions, sessions_suite(job.conf), at.of(SESSIONS))
    nothing = {(t.name, day): {"num_rows": 0} for t in (SESSIONS, SESSION_EVENTS) for day in whole.entries}
    return nothing | facts_by_day(SESSIONS, of_sessions) | facts_by_day(SESSION_EVENTS, of_events)


def _built_from(lake: Lake, events: Partition) -> str | None:
    sessions = events.of(SESSION_EVENTS)
    return lake.entry(sessions).facts.get(BUILT_FROM) if lake.has(sessions) else None


def _hash(lake: Lake, events: Partition) -> str:
    events = events.of(EVENTS)
    return lake.entry(events).content_hash if lake.has(events) else "0"


def _days(frame: DataFrame) -> list[date]:
    return [row["dt"] for row in frame.select("dt").distinct().collect()]


if __name__ == "__main__":
    run("sessionize", arguments(__doc__, events="partition whose night it is: shop/events/dt=DAY"), main)
