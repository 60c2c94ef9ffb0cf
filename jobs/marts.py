"""Sessions to analysis tables for BI.

Reads `sessions`, `session_events`, `identity` and `items`. Writes daily_kpis, funnels, decision_transitions,
decision_paths, decision_times and cart_abandonment of every day whose inputs changed since it was built:
its own sessions, those around it that its rows depend on, who is one person, its items, the settings.
Visible in one step, after the gate. Safe to run twice: without changes there is nothing to do.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from _gate import facts_by_day, gate, trailing_facts
from nightjar.contracts import (
    CART_ABANDONMENT,
    DAILY_KPIS,
    DECISION_PATHS,
    DECISION_TIMES,
    DECISION_TRANSITIONS,
    FUNNELS,
    IDENTITY,
    ITEMS,
    MARTS,
    SESSION_EVENTS,
    SESSIONS,
    Partition,
    Table,
)
from nightjar.prep import marts as prep
from nightjar.quality.marts import Totals, mart_facts, session_totals
from nightjar.quality.suites import SUITES
from nightjar.settings import Conf
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake, Staged

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

Facts = dict[tuple[str, date], dict[str, Any]]

#: Facts that say from which inputs a day was built, and up to the end of which day the log was known then.
BUILT_FROM, KNOWN_UNTIL = "inputs_hash", "known_until"


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, at = Lake(job.home.lake), args.sessions
    for table in (SESSIONS, IDENTITY):
        lake.entry(at.of(table))  # the night's own must exist
    inputs = Inputs.of(lake, job, at)
    due = {table: days for table in MARTS if (days := inputs.days_due(lake, table, at))}
    if not due:
        return {"rows_in": 0, "rows_out": 0, "rows_rejected": 0, "days_rebuilt": 0}
    written = sorted({day for days in due.values() for day in days})
    of_days = read(job, lake, SESSIONS, written).persist()
    of_items = {day: inputs.items[day] for day in written if day in inputs.items}
    events = prep.with_item(
        prep.people_events(read(job, lake, SESSION_EVENTS, written), of_days),
        read(job, lake, ITEMS, sorted(set(of_items.values()))),
        of_items,
        top=job.conf.marts.top_categories,
    ).persist()
    totals = session_totals(of_days)
    staged: list[Staged] = []
    facts: Facts = {}
    for table, days in due.items():
        rows = rows_of(table, job, lake, inputs, events.where(F.col("dt").isin(days)), days)
        staged.append(lake.stage(rows, table, job.shop, job.run_id, days=days))
        of_table = {key: told for key, told in totals.items() if key[0] in days}
        facts |= inputs.marked(table, days, checked(job, lake, at.of(table), table, staged[-1], of_table))
    lake.commit(staged, facts=facts)
    return {
        "rows_in": of_days.count(),
        "rows_out": sum(part.num_rows for part in staged),
        "rows_rejected": 0,
        "days_rebuilt": len(written),
    }


@dataclass(frozen=True)
class Reach:
    """Days before and after a day whose sessions its rows depend on; and on what else they depend."""

    before: int = 0
    after: int = 0
    persons: bool = False
    items: bool = False

    def around(self, days: Sequence[date]) -> list[date]:
        first, last = days[0] - timedelta(days=self.before), days[-1] + timedelta(days=self.after)
        return [first + timedelta(days=shift) for shift in range((last - first).days + 1)]


def reaches(conf: Conf) -> dict[str, Reach]:
    """By table. A session is filed under the day it starts: its events reach that much further."""
    over_midnight = _days(conf.sessions.max_hours)
    purchases = max(_days(conf.marts.cart_hours), conf.marts.recovery_days)
    return {
        DAILY_KPIS.name: Reach(before=conf.marts.lookback_days, persons=True),
        FUNNELS.name: Reach(items=True),
        DECISION_TRANSITIONS.name: Reach(),
        DECISION_PATHS.name: Reach(),
        DECISION_TIMES.name: Reach(before=conf.marts.lookback_days + over_midnight, persons=True),
        CART_ABANDONMENT.name: Reach(before=over_midnight, after=purchases + over_midnight, persons=True, items=True),
    }


def _days(hours: int) -> int:
    return -(-hours // 24)


@dataclass(frozen=True)
class Inputs:
    """What the lake holds for the tables, and what they were made from last time.

    Args:
        days: that may have to be rebuilt.
        until: the latest night so far: an earlier one that is run again must not forget what is known since.
        sessions: hash of each day's sessions and their events.
        persons: hash of all of identity up to each of its days.
        items: for each of `days` the day of the items that it is cut by.
        of_items: hash of each day's items.
    """

    conf: Conf
    reach: Mapping[str, Reach]
    first_day: date
    days: Sequence[date]
    until: date
    sessions: Mapping[date, str]
    persons: Mapping[date, str]
    items: Mapping[date, date]
    of_items: Mapping[date, str]

    @classmethod
    def of(cls, lake: Lake, job: Job, at: Partition) -> Inputs:
        hashes = {
            table.name: {day: entry.content_hash for day, entry in lake.entries(job.shop, table.name).items()}
            for table in (SESSIONS, SESSION_EVENTS, IDENTITY, ITEMS)
        }
        have, reach = list(hashes[SESSIONS.name]), reaches(job.conf)
        first = at.day - timedelta(days=job.source.history_days + job.conf.clean.days_late_allowed)
        first -= timedelta(days=max(one.after for one in reach.values()))
        built = lake.entries(job.shop, DAILY_KPIS.name).values()
        until = max([at.day, *(date.fromisoformat(entry.facts[KNOWN_UNTIL]) for entry in built)])
        days = [day for day in have if first <= day <= until]
        persons: dict[date, str] = {}
        for day, content in hashes[IDENTITY.name].items():
            persons[day] = _digest([*list(persons.values())[-1:], content])
        return cls(
            conf=job.conf,
            reach=reach,
            first_day=have[0],
            days=days,
            until=until,
            sessions={
                day: _digest([content, hashes[SESSION_EVENTS.name].get(day)])
                for day, content in hashes[SESSIONS.name].items()
            },
            persons=persons,
            items=_items_of(days, list(hashes[ITEMS.name])),
            of_items=hashes[ITEMS.name],
        )

    def days_due(self, lake: Lake, table: Table, at: Partition) -> list[date]:
        """Days whose rows were made from something else; with them the night's day, which the gate judges."""
        made = lake.entries(at.shop, table.name)
        built_from = {day: entry.facts.get(BUILT_FROM) for day, entry in made.items()}
        changed = [day for day in self.days if built_from.get(day) != self.of_day(table, day)]
        return sorted({at.day, *changed}) if changed else []

    def of_day(self, table: Table, day: date) -> str:
        """Hash of everything that the table's rows of the day depend on."""
        reach, as_of = self.reach[table.name], self.as_of(table, day)
        parts = [
            table.version,
            self.conf.marts.model_dump(mode="json"),
            [self.sessions.get(near) for near in reach.around([day])],
            self.of_items.get(self.items[day]) if reach.items and day in self.items else None,
            [content for known, content in self.persons.items() if known <= as_of][-1:] if reach.persons else None,
            as_of.isoformat(),
        ]
        return _digest(parts)

    def as_of(self, table: Table, day: date) -> date:
        """The last day on which the table's rows of the day depend, as far as it is over: no night moves it later."""
        return min(self.until, day + timedelta(days=self.reach[table.name].after))

    def marked(self, table: Table, days: Iterable[date], facts: Facts) -> Facts:
        """Facts of every day, also of one without rows, with the marks of what it was made from."""
        nothing: dict[str, Any] = {"num_rows": 0}
        marks = {day: {BUILT_FROM: self.of_day(table, day), KNOWN_UNTIL: self.until.isoformat()} for day in days}
        return {(table.name, day): facts.get((table.name, day), nothing) | marks[day] for day in marks}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()[:32]


def _items_of(days: Iterable[date], have: Sequence[date]) -> dict[date, date]:
    """Items as of the day; where nobody wrote them, the next later ones, which know it, else the latest."""
    if not have:
        return {}
    return {day: next((known for known in have if known >= day), have[-1]) for day in days}


def rows_of(table: Table, job: Job, lake: Lake, inputs: Inputs, events: DataFrame, days: Sequence[date]) -> DataFrame:
    """The table's rows of `days` from people's events of these days and the sessions around them."""
    conf, around = job.conf.marts, inputs.reach[table.name].around(days)
    sessions, log = read(job, lake, SESSIONS, around), read(job, lake, SESSION_EVENTS, around)
    identity = read(job, lake, IDENTITY, inputs.persons)
    persons = prep.persons_on(identity, {day: inputs.as_of(table, day) for day in days})
    before = {"first_day": inputs.first_day, "lookback_days": conf.lookback_days}
    if table == DAILY_KPIS:
        return prep.daily_kpis_from(sessions, events, persons, days=days, **before)
    if table == FUNNELS:
        return prep.funnels_from(events, top_campaigns=conf.top_campaigns)
    if table == DECISION_TIMES:
        return prep.decision_times_from(sessions, events, log, persons, **before)
    if table == CART_ABANDONMENT:
        until = job.source.end_of(inputs.until)
        return prep.cart_abandonment_from(sessions, events, log, persons, until=until, conf=conf)
    steps = prep.steps_from(events, conf.path_kinds)
    if table == DECISION_TRANSITIONS:
        return prep.decision_transitions_from(steps)
    assert table == DECISION_PATHS, table.name
    return prep.decision_paths_from(steps, top=conf.top_paths, max_run=conf.path_max_run, max_steps=conf.path_max_steps)


def checked(job: Job, lake: Lake, at: Partition, table: Table, part: Staged, totals: Totals) -> Facts:
    """Pass a table through the gate; returns the facts of every day written."""
    frame = part.frame(job.spark())
    before = trailing_facts(job, lake, at) if table == DAILY_KPIS else []
    facts = mart_facts(table, frame, totals, before, gate=job.conf.gate)
    if part.entries[at.day].num_rows or any(told["num_sessions"] for (day, _), told in totals.items() if day == at.day):
        gate(job, lake, table, frame, facts, SUITES[table.name](job.conf), at)
    else:
        job.log.info("no people in %s: no rows, nothing to check", at)
    return facts_by_day(table, facts)


def read(job: Job, lake: Lake, table: Table, days: Iterable[date]) -> DataFrame:
    return lake.read(job.spark(), table, [table.at(job.shop, day) for day in days])


if __name__ == "__main__":
    run("marts", arguments(__doc__, sessions="partition whose night it is: shop/sessions/dt=DAY"), main)
