"""Sessions to persons: which devices and logins are one.

Reads the partitions of `sessions` from the first one on that changed since identity was built, and of
`identity` and `identity_links` those before it. Writes the partitions of both from that day on, visible
in one step after the gate; a day on which nobody changed gets an empty one.
Safe to run twice: without changes there is nothing to do.
"""

from __future__ import annotations

import argparse
from datetime import date
from typing import TYPE_CHECKING, Any

from _gate import facts_by_day, gate
from nightjar.contracts import IDENTITY, IDENTITY_LINKS, SESSIONS, Partition, Table
from nightjar.prep import identity as prep
from nightjar.quality.facts import identity_facts
from nightjar.quality.suites import identity_suite
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

#: Fact that says from which content of `sessions`, and by which rules, a day's identity was built.
BUILT_FROM = "sessions_hash"
REPORTED = ("persons", "attached_devices", "shared_devices", "broken_components", "largest_person")


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, at = Lake(job.home.lake), args.identity
    lake.entry(at.of(SESSIONS))  # the night's own sessions must exist
    days = days_to_rebuild(lake, job, at)
    if not days:
        return {"rows_in": 0, "rows_out": 0, "rows_rejected": 0, "days_rebuilt": 0} | reported(lake, at)
    past = [day for day in lake.days(at.shop, IDENTITY.name) if day < days[0]]
    known, links = read(job, lake, IDENTITY, past), read(job, lake, IDENTITY_LINKS, past)
    edges = prep.edges_from(read(job, lake, SESSIONS, days)).persist()
    fresh = prep.fresh_links(edges, links).persist()
    near, before = prep.surroundings(fresh, links, known)
    before.persist()
    rows = prep.assignments(fresh, near, before, job.conf.identity)

    new_links = lake.stage(fresh, IDENTITY_LINKS, job.shop, job.run_id, days=days)
    changes = lake.stage(rows, IDENTITY, job.shop, job.run_id, days=days)
    frame = changes.frame(job.spark())
    totals = lake.entry(at.on(past[-1])).facts if past else {}
    seen = identity_facts(frame, before, totals, days=days, gate=job.conf.gate)
    gate(job, lake, IDENTITY, frame, seen, identity_suite(job.conf), at)
    facts = facts_by_day(IDENTITY, seen)
    for (_, day), measured in facts.items():
        measured[BUILT_FROM] = built_from(lake, job, day)
    lake.commit([new_links, changes], facts=facts)
    return {
        "rows_in": edges.count(),
        "rows_out": changes.num_rows,
        "rows_rejected": 0,
        "links": new_links.num_rows,
        "days_rebuilt": len(days),
    } | reported(lake, at)


def days_to_rebuild(lake: Lake, job: Job, at: Partition) -> list[date]:
    """Days of sessions from the first changed one on: to the night, or to the last day that was ever built."""
    built = {day: lake.entry(at.on(day)).facts.get(BUILT_FROM) for day in lake.days(at.shop, IDENTITY.name)}
    last = max([at.day, *built])
    days = [day for day in lake.days(at.shop, SESSIONS.name) if day <= last]
    changed = [day for day in days if built.get(day) != built_from(lake, job, day)]
    return [day for day in days if changed and day >= changed[0]]


def built_from(lake: Lake, job: Job, day: date) -> str:
    rules = job.conf.identity
    content = lake.entry(SESSIONS.at(job.shop, day)).content_hash
    return f"{content} {rules.max_logins_per_device} {rules.max_component_members}"


def reported(lake: Lake, at: Partition) -> dict[str, Any]:
    facts = lake.entry(at).facts
    return {name: facts[name] for name in REPORTED}


def read(job: Job, lake: Lake, table: Table, days: list[date]) -> DataFrame:
    return lake.read(job.spark(), table, [table.at(job.shop, day) for day in days])


if __name__ == "__main__":
    run("identity", arguments(__doc__, identity="partition whose night it is: shop/identity/dt=DAY"), main)
