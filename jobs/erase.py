"""People who asked to be forgotten, out of everything that Nightjar keeps.

Reads the requests that wait below `secrets/erasures/`, and `identity`, which says what devices and logins a person
has. Removes their rows from every day of every table of the lake in one commit, from the warehouse in one
transaction, from mapping rows that wait, from exports and replayed nights on disk; deletes the files that held them;
and leaves tombstones, so that no drop brings them back. Writes a row of `erasures` per request, then deletes the
requests. Raw drops, backups and the tools that exports went to are not reached, which the row says.
No other job of the shop runs meanwhile. Safe to run twice, and to kill: what it does is written down before it begins.
"""

from __future__ import annotations

import argparse
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow as pa

from nightjar.contracts import (
    ERASURES,
    IDENTITY,
    PERSON_COLUMNS,
    QUARANTINE,
    SEQUENCES,
    SESSION_EVENTS,
    BadInput,
    Table,
)
from nightjar.prep.erasure import (
    Names,
    Person,
    Spelled,
    columns_read,
    facts_of_rest,
    persons,
    renamed_components,
    request_id,
    tombstones,
    unnamed_events,
    with_components,
)
from nightjar.prep.pseudonyms import pseudonym, unsealed
from nightjar.stores import erasures
from nightjar.stores.erasures import Plan
from nightjar.stores.exports import forget
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Entry, Lake, Staged, batches
from nightjar.stores.ledgers import record
from nightjar.stores.secrets import pseudonym_key
from nightjar.stores.tracking import Tracking
from nightjar.stores.users import forget_waiting, shop_ids_waiting
from nightjar.stores.warehouse import Warehouse, erase, open_warehouse, shop_ids
from nightjar.stores.warehouse.connection import Passing, passing_by

#: What stays, and whose business it is.
NOT_REACHED = (
    "raw drops: tombstones keep what they say out of the tables",
    "backups of the lake, the warehouse and secrets",
    "what CRM tools were sent: ask them to delete the person",
    "weights of models trained before: the next training goes without the person",
    "sums in analysis tables and ledgers: they name nobody",
)


def main(args: argparse.Namespace, job: Job, passing: Passing = passing_by) -> dict[str, Any]:
    begun = erasures.read_plan(job.home, job.shop)
    done = carry_out(job, begun, passing) if begun else []
    requests, broken = pending(job)
    if requests:
        done += carry_out(job, planned(job, args.erasures.day, requests), passing)
    if broken:
        raise BadInput("\n  ".join(broken), f"ls -l {erasures.folder_of(job.home, job.shop)}")
    return {
        "rows_in": len(done),
        "rows_out": len(done),
        "rows_rejected": 0,
        "requests": [row["request_id"] for row in done],
        "rows_removed": sum(sum(json.loads(row["rows_removed"]).values()) for row in done),
    }


def pending(job: Job) -> tuple[dict[str, erasures.Waiting], list[str]]:
    """The files of requests that wait, and what is wrong with others."""
    found, broken = {}, []
    for path in erasures.waiting(job.home, job.shop):
        try:
            found[path.name] = erasures.read(path)
        except (BadInput, UnicodeDecodeError) as error:
            broken.append(error.problem if isinstance(error, BadInput) else f"{path.name} is no UTF-8")
    return found, broken


# -- who is meant


def planned(job: Job, day: date, files: dict[str, erasures.Waiting]) -> Plan:
    """Find everybody's names while the lake still knows them."""
    lake, key = Lake(job.home.lake), pseudonym_key(job.home)
    requests = {request_id(key, one.ids, one.requested_at): one for file in files.values() for one in file.requests}
    asked = {
        name: {pseudonym(key, kind, shop_id) for kind, shop_id in one.ids.items()} for name, one in requests.items()
    }
    people = persons(scan(lake, job), asked)
    names = Names(people)
    events: list[set[str]] = [set() for _ in people]
    for number, event in unnamed_events(
        batches(files_of(lake, job, SESSION_EVENTS), [*columns_read(SESSION_EVENTS), "event_id"]), names
    ):
        events[number].add(event)
    people = [Person(one.requests, one.members, tuple(sorted(mine))) for one, mine in zip(people, events, strict=True)]
    members = {name for person in people for name in person.members}
    known = shop_ids_waiting(job.home, job.shop, members) | in_warehouse(job, members)
    known |= {pseudonym(key, kind, text): text for one in requests.values() for kind, text in one.ids.items()}
    champion = Tracking(job.home, job.shop).champion()
    plan = Plan(
        day=day.isoformat(),
        files={name: file.digest for name, file in files.items()},
        until=datetime.now(UTC).isoformat(),
        requests={name: one.requested_at.isoformat() for name, one in requests.items()},
        people=[
            {
                "requests": person.requests,
                "members": person.members,
                "events": person.events,
                "shop_ids": sorted(known[name] for name in person.members if name in known),
                "rows": {},
            }
            for person in people
        ],
        champion={
            "version": champion.version if champion else None,
            "knew": knew(lake, job, champion.as_of, names) if champion else [None] * len(people),
        },
    )
    erasures.write_plan(job.home, job.shop, plan)
    return plan


def scan(lake: Lake, job: Job) -> Callable[[], Iterable[pa.RecordBatch]]:
    columns = ("member_id", "id_kind", "person_id", "component_id")
    return lambda: batches(files_of(lake, job, IDENTITY), columns)


def files_of(lake: Lake, job: Job, table: Table) -> Iterator[str]:
    return (file for entry in lake.entries(job.shop, table.name).values() for file in entry.files)


def in_warehouse(job: Job, members: Iterable[str]) -> dict[str, str]:
    """A shop that has published nothing yet has no warehouse."""
    if job.conf.publish.target == "duckdb" and not job.home.warehouse.exists():
        return {}
    return shop_ids(warehouse_of(job), job.shop, set(members))


def warehouse_of(job: Job) -> Warehouse:
    return open_warehouse(job.conf.publish, job.home)


def knew(lake: Lake, job: Job, as_of: Any, names: Names) -> list[bool | None]:
    """Of each person, whether the champion was trained on their history."""
    at = SEQUENCES.at(job.shop, as_of)
    if not lake.has(at):
        return [None] * len(names.people)
    seen = {
        owner
        for rows in batches(lake.files(at), columns_read(SEQUENCES))
        for owner in names.counted(names.owners(rows, SEQUENCES))
    }
    return [number in seen for number in range(len(names.people))]


# -- what is done


def carry_out(job: Job, plan: Plan, passing: Passing) -> list[dict[str, Any]]:
    """Do what the plan says, whatever of it was done before; returns the rows of `erasures`."""
    lake, key = Lake(job.home.lake), pseudonym_key(job.home)
    people = [Person(*(tuple(one[name]) for name in ("requests", "members", "events"))) for one in plan.people]
    members = {name for person in people for name in person.members}
    ids = {shop_id for one in plan.people for shop_id in one["shop_ids"]}

    def note(store: str, counts: Iterable[dict[str, int]]) -> None:
        plan.count(store, counts)
        erasures.write_plan(job.home, job.shop, plan)

    passing("planned")
    # First: from here on no drop brings anybody back, whatever becomes of this process.
    marks = [mark for person in people for mark in tombstones(key, person)]
    erasures.add_tombstones(job.home, job.shop, marks, datetime.fromisoformat(plan.until))
    passing("remembered")
    staged, facts, counts = without_people(lake, job, Names(people), plan, key)
    note("lake", counts)
    passing("staged")
    if staged:
        lake.commit(staged, facts=facts)
    passing("committed")
    if job.conf.publish.target != "duckdb" or job.home.warehouse.exists():
        erase(warehouse_of(job), job.shop, plan.people, found=lambda found: note("warehouse", found), passing=passing)
    passing("unpublished")
    forget_waiting(job.home, job.shop, members)
    num_exports = forget(job.home.exports, job.shop, ids)
    shutil.rmtree(job.home.backtest(job.shop), ignore_errors=True)
    passing("unexported")
    # Nobody else is at work on the shop: whatever no table needs now can go.
    lake.vacuum(job.shop, keep_snapshots=0, before=datetime.now(UTC) + timedelta(days=1))
    passing("vacuumed")
    rows = ledger(job, plan)
    record(lake, ERASURES, ERASURES.at(job.shop, date.fromisoformat(plan.day)), rows, job.run_id)
    passing("recorded")
    erasures.finish(job.home, job.shop, plan)
    job.log.info("%d requests: %d people, %d exports deleted", len(rows), len(people), num_exports)
    return rows


def ledger(job: Job, plan: Plan) -> list[dict[str, Any]]:
    rows = []
    for name, requested_at in plan.requests.items():
        mine = [number for number, person in enumerate(plan.people) if name in person["requests"]]
        removed: dict[str, int] = {}
        for number in mine:
            for table, num in plan.people[number]["rows"].items():
                removed[table] = removed.get(table, 0) + num
        answers = [plan.champion["knew"][number] for number in mine]
        rows.append(
            {
                "shop": job.shop,
                "dt": date.fromisoformat(plan.day),
                "request_id": name,
                "requested_at": datetime.fromisoformat(requested_at),
                "erased_at": datetime.fromisoformat(plan.until),
                "num_members": sum(len(plan.people[number]["members"]) for number in mine),
                "rows_removed": json.dumps(removed, sort_keys=True),
                "champion_version": plan.champion["version"],
                "champion_knew": None if None in answers else any(answers),
                "not_reached": json.dumps(NOT_REACHED),
            }
        )
    return rows


Facts = dict[tuple[str, date], dict[str, Any]]


def without_people(
    lake: Lake, job: Job, names: Names, plan: Plan, key: bytes
) -> tuple[list[Staged], Facts, list[dict[str, int]]]:
    """Every table without them: what changes, its facts, and of each person the rows that go."""
    found: list[dict[str, int]] = [{} for _ in names.people]
    tables = {table: lake.entries(job.shop, table.name) for table in (*PERSON_COLUMNS, QUARANTINE)}
    staged = {table: lake.restaged(table, job.shop, job.run_id) for table in tables}
    hashes: dict[str, str] = {}
    for table, filtered in filters(lake, job, names, plan, key).items():
        for day, entry in tables[table].items():
            for file in entry.files:
                for number, rows in filtered(staged[table], file).items():
                    found[number][table.name] = found[number].get(table.name, 0) + rows
            if day in staged[table].entries:
                hashes |= replaced_hashes(entry, staged[table].entries[day])
    facts: Facts = {}
    for table, entries in tables.items():
        for day, entry in entries.items():
            told = facts_of_rest(entry.facts, hashes)
            if told != entry.facts:  # a day that keeps its rows may have been built from one that does not
                staged[table].entries.setdefault(day, entry)
            if day in staged[table].entries:
                num_rows = staged[table].entries[day].num_rows
                facts[table.name, day] = told | ({"num_rows": num_rows} if "num_rows" in told else {})
    return [mine for mine in staged.values() if mine.entries], facts, found


def replaced_hashes(before: Entry, after: Entry) -> dict[str, str]:
    """Old hash -> new one, of the day and of each of its buckets."""
    rest = after.bucket_hashes()
    nothing = "0" * len(before.content_hash)
    buckets = {content: rest.get(bucket, nothing) for bucket, content in before.bucket_hashes().items()}
    return {**buckets, before.content_hash: after.content_hash}


#: Puts a file without some rows into what is staged, where it has any; says how many of each person.
Filtered = Callable[[Staged, str], dict[int, int]]


def filters(lake: Lake, job: Job, names: Names, plan: Plan, key: bytes) -> dict[Table, Filtered]:
    renamed = renamed_components(scan(lake, job), names)
    spelled = Spelled([one["shop_ids"] for one in plan.people])

    def of_people(table: Table) -> Filtered:
        def filtered(staged: Staged, file: str) -> dict[int, int]:
            removed: dict[int, int] = {}
            for rows in batches([file], columns_read(table)):
                for number, num in names.counted(names.owners(rows, table)).items():
                    removed[number] = removed.get(number, 0) + num
            if removed:
                lake.rewrite(staged, file, lambda rows: rest(rows, table))
            return removed

        return filtered

    def rest(rows: pa.Table, table: Table) -> pa.Table:
        left = rows.filter(pa.array(names.owners(rows, table) < 0))
        return with_components(left, renamed) if table == IDENTITY else left

    def identity(staged: Staged, file: str) -> dict[int, int]:
        removed = of_people(IDENTITY)(staged, file)
        called = {name for rows in batches([file], ["component_id"]) for name in rows["component_id"].to_pylist()}
        if not removed and called & renamed.keys():
            lake.rewrite(staged, file, lambda rows: rest(rows, IDENTITY))
        return removed

    def quarantine(staged: Staged, file: str) -> dict[int, int]:
        owners = [
            spelled.owner(text) for rows in batches([file], ["raw"]) for text in unsealed(key, rows["raw"].to_pylist())
        ]
        if max(owners, default=-1) < 0:
            return {}
        lake.rewrite(staged, file, lambda rows: rows.filter(pa.array([owner < 0 for owner in owners])))
        return dict(names.counted(owners))  # type: ignore[arg-type]

    return {table: of_people(table) for table in PERSON_COLUMNS} | {IDENTITY: identity, QUARANTINE: quarantine}


if __name__ == "__main__":
    run("erase", arguments(__doc__, erasures="partition to write: shop/erasures/dt=DAY"), main, alone=True)
