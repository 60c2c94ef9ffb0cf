"""Events to sessions.

Reads the buckets of `events` that changed since their sessions were built, and the sessions around
them. Writes the buckets of `sessions` and `session_events` whose sessions the changes touch, whole
sessions only, and to `session_renames` what got another name; visible in one step, after the gate.
Safe to run twice: without changes there is nothing to do.
"""

from __future__ import annotations

import argparse
import time
from datetime import date, timedelta
from typing import Any

from _gate import facts_by_day, gate, trailing_facts
from nightjar.contracts import EVENTS, SESSION_EVENTS, SESSION_RENAMES, SESSIONS, Partition
from nightjar.prep.sessions import Sessionize, reach
from nightjar.quality.facts import session_events_facts, sessions_facts
from nightjar.quality.suites import session_events_suite, sessions_suite
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake, Staged

#: Fact that says from which content of `events` each bucket of a day's sessions was built.
BUILT_FROM = "events_hashes"

Hashes = dict[int, str]


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, at = Lake(job.home.lake), args.events
    changed, frozen = changes(lake, job, at)
    if not changed:
        return {"rows_in": 0, "rows_out": 0, "rows_rejected": 0, "days_rebuilt": 0, "days_frozen": len(frozen)}
    num_buckets = lake.num_buckets(job.shop, EVENTS, job.conf.lake.buckets)
    buckets = {
        bucket: tuple(day for day, found in changed.items() if bucket in found)
        for bucket in sorted(set().union(*changed.values()))
    }
    earliest = min(changed) - reach(job.conf.sessions)
    staged, reports = lake.stage_buckets(
        job.spark().range(0, num_buckets, 1, num_buckets),
        Sessionize(buckets, at.day, job.conf.sessions, job.conf.clean, job.source.time_zone),
        [SESSION_EVENTS, SESSIONS, SESSION_RENAMES],
        job.shop,
        job.run_id,
        num_buckets=num_buckets,
        stored={
            EVENTS: changed,
            SESSION_EVENTS: [day for day in lake.days(job.shop, SESSION_EVENTS.name) if day >= earliest],
            SESSION_RENAMES: [at.day],
        },
        # A day may lose its last event; the gate judges the night's day, also when only others changed.
        days={table: {*changed, at.day} for table in (SESSION_EVENTS, SESSIONS)},
    )
    total = {name: sum(report[name] for report in reports) for name in reports[0]}
    in_sessions, whole = staged[SESSION_EVENTS.name], staged[SESSIONS.name]
    # The rows that were there, plus what came, less what went: counted apart from the rows written.
    expected = in_sessions.num_rows - total["rows"] + total["replaced"] + total["added"] - total["removed"]
    asked = time.monotonic()
    facts = checked(job, lake, at, in_sessions, whole, expected)
    judged = time.monotonic()
    for (_, day), known in facts.items():
        # Days that only neighbours touched may have changes of their own to come: they keep their mark.
        known[BUILT_FROM] = marks(
            lake.entry(at.on(day)).bucket_hashes() if day in changed else built_from(lake, at.on(day))
        )
    lake.commit(staged.values(), facts=facts)
    return {
        "rows_in": total["added"],
        "rows_out": whole.num_rows,
        "rows_rejected": 0,
        "events_removed": total["removed"],
        "sessions_renamed": total["renamed"],
        "days_rebuilt": len(in_sessions.entries),
        "days_frozen": len(frozen),
        "gate_seconds": round(judged - asked, 1),
    }


def changes(lake: Lake, job: Job, at: Partition) -> tuple[dict[date, set[int]], list[date]]:
    """Days and buckets whose events changed since their sessions were built, and such days that are frozen.

    Up to the night's day, and the few events dated after its midnight.
    """
    last = at.day + timedelta(days=1)
    first = at.day - timedelta(days=job.source.history_days + job.conf.clean.days_late_allowed)
    freezes = job.conf.sessions.frozen_after_days
    changed, frozen = {}, []
    for day in (day for day in lake.days(job.shop, EVENTS.name) if first <= day <= last):
        now, then = lake.entry(at.on(day)).bucket_hashes(), built_from(lake, at.on(day))
        differing = {bucket for bucket in {*now, *then} if now.get(bucket) != then.get(bucket)}
        if then and freezes and day < at.day - timedelta(days=freezes) and differing:
            frozen.append(day)
        elif differing:
            changed[day] = differing
    if frozen:
        job.log.warning("events changed on %d days whose sessions are frozen, the latest %s", len(frozen), frozen[-1])
    return changed, frozen


def built_from(lake: Lake, events: Partition) -> Hashes:
    sessions = events.of(SESSION_EVENTS)
    known = lake.entry(sessions).facts.get(BUILT_FROM, {}) if lake.has(sessions) else {}
    return {int(bucket): content for bucket, content in known.items()}


def marks(hashes: Hashes) -> dict[str, str]:
    return {str(bucket): content for bucket, content in sorted(hashes.items())}


def checked(
    job: Job, lake: Lake, at: Partition, in_sessions: Staged, whole: Staged, events_in: int
) -> dict[tuple[str, date], dict[str, Any]]:
    """Pass both tables through the gate; returns the facts of every day written.

    Args:
        events_in: events that had to find a session, over all days written.
    """
    bounds, frame, sessions = job.conf.gate, in_sessions.frame(job.spark()), whole.frame(job.spark())
    limits = {"max_hours": job.conf.sessions.max_hours, "max_events": job.conf.sessions.max_events}
    counts = {"events_in": events_in}
    before = trailing_facts(job, lake, at.of(SESSIONS))
    of_sessions = sessions_facts(sessions, counts, before, gate=bounds, **limits)
    before = trailing_facts(job, lake, at.of(SESSION_EVENTS))
    of_events = session_events_facts(frame, of_sessions, counts, before, gate=bounds)
    gate(job, lake, SESSION_EVENTS, frame, of_events, session_events_suite(job.conf), at.of(SESSION_EVENTS))
    gate(job, lake, SESSIONS, sessions, of_sessions, sessions_suite(job.conf), at.of(SESSIONS))
    nothing = {(t.name, day): {"num_rows": 0} for t in (SESSIONS, SESSION_EVENTS) for day in whole.entries}
    return nothing | facts_by_day(SESSIONS, of_sessions) | facts_by_day(SESSION_EVENTS, of_events)


if __name__ == "__main__":
    run("sessionize", arguments(__doc__, events="partition whose night it is: shop/events/dt=DAY"), main)
