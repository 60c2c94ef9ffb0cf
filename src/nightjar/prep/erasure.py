"""Whom a request to be forgotten means, and which rows are theirs; on Arrow rows, a batch at a time."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightjar.contracts import EVENT_COLUMNS, IDENTITY, PERSON_COLUMNS, Table
from nightjar.prep.arrays import Bools, Int64s, flags, micros, one
from nightjar.prep.pseudonyms import pseudonym, pseudonyms

#: What a tombstone is the keyed hash of: a pseudonym, or the name of an event.
_ERASED, _ERASED_EVENT = "erased", "erased event"

#: What ends an id in a record that nobody could read.
_BETWEEN = re.compile(r"""[\s,;|"'{}\[\]()<>&=]+""")

#: Reads `identity` from its first day to its last, with member_id, id_kind, person_id and component_id.
Scan = Callable[[], Iterable[pa.RecordBatch]]


@dataclass(frozen=True)
class Person:
    """Who is to be forgotten.

    Args:
        requests: names of the requests that mean this person.
        members: pseudonyms of all their devices and logins.
        events: events of theirs that carry none of these, on a device that others use too.
    """

    requests: tuple[str, ...]
    members: tuple[str, ...]
    events: tuple[str, ...] = ()


def request_id(key: bytes, ids: Mapping[str, str], requested_at: datetime) -> str:
    """What a request is called where its ids must not stand: their keyed hash.

    Args:
        ids: id kind -> the shop's id.
    """
    return pseudonym(key, "request", json.dumps([sorted(ids.items()), requested_at.isoformat()]))


def persons(scan: Scan, asked: Mapping[str, Iterable[str]]) -> list[Person]:
    """The persons of the pseudonyms that requests name (request -> pseudonyms), as identity has them now.

    A shared device belongs to none of its logins, and is forgotten only where a request names it.
    """
    named = {name for names in asked.values() for name in names}
    heads = _latest(scan, named)
    people = {heads.get(name, name) for name in named}
    ever = {
        member
        for batch in scan()
        for member in batch.filter(pc.is_in(batch["person_id"], value_set=_texts(people)))["member_id"].to_pylist()
    }
    now = _latest(scan, ever | people | named)
    members: dict[str, set[str]] = {head: set() for head in people}
    for member in {*ever, *people, *named}:
        head = now.get(member, member)
        if head in members:
            members[head].add(member)
    requests: dict[str, list[str]] = {}
    for request, names in asked.items():
        for head in sorted({heads.get(name, name) for name in names}):
            requests.setdefault(head, []).append(request)
    return [Person(tuple(requests[head]), tuple(sorted(members[head]))) for head in sorted(people)]


def _latest(scan: Scan, wanted: Iterable[str]) -> dict[str, str]:
    """The person of each wanted member that has a row; the last row counts."""
    found: dict[str, str] = {}
    value_set = _texts(wanted)
    for batch in scan():
        near = batch.filter(pc.is_in(batch["member_id"], value_set=value_set))
        found.update(zip(near["member_id"].to_pylist(), near["person_id"].to_pylist(), strict=True))
    return found


def _texts(values: Iterable[str]) -> pa.Array:
    return pa.array(sorted(values), pa.string())


@dataclass(frozen=True)
class Names:
    """Everything by which rows are recognised as one of some persons'."""

    people: Sequence[Person]

    @cached_property
    def _members(self) -> tuple[pa.Array, Int64s]:
        return _owned([person.members for person in self.people])

    @cached_property
    def _events(self) -> tuple[pa.Array, Int64s]:
        return _owned([person.events for person in self.people])

    def owners(self, rows: pa.Table | pa.RecordBatch, table: Table) -> Int64s:
        """Whose each row is: the position of the person, -1 for everybody else's."""
        found = np.full(rows.num_rows, -1, np.int64)
        wanted = ((PERSON_COLUMNS, self._members), (EVENT_COLUMNS, self._events))
        for columns, (names, owner) in wanted:
            for column in columns.get(table, ()) if len(names) else ():
                place = pc.fill_null(pc.index_in(one(rows[column]), value_set=names), -1)
                places = np.asarray(place.to_numpy(zero_copy_only=False), np.int64)
                found = np.where((found < 0) & (places >= 0), owner[places], found)
        return found

    def counted(self, owners: Int64s) -> Counter[int]:
        """Rows by person."""
        return Counter(int(owner) for owner in owners if owner >= 0)


def _owned(names: Sequence[Sequence[str]]) -> tuple[pa.Array, Int64s]:
    owner: dict[str, int] = {}
    for number, some in enumerate(names):
        for name in some:
            owner.setdefault(name, number)
    return pa.array(list(owner), pa.string()), np.array(list(owner.values()), np.int64)


def columns_read(table: Table) -> list[str]:
    """The columns by which `Names.owners` recognises rows."""
    return [*PERSON_COLUMNS[table], *EVENT_COLUMNS.get(table, ())]


def unnamed_events(batches: Iterable[pa.RecordBatch], names: Names) -> list[tuple[int, str]]:
    """(person, event) of the visits that are a person's by its login, where the event itself names only a device.

    Args:
        batches: visitor_id, user_id, device_id and event_id of `session_events`.
    """
    members, owner = names._members
    found = []
    for batch in batches:
        login = pc.fill_null(pc.index_in(one(batch["user_id"]), value_set=members), -1)
        device = pc.fill_null(pc.is_in(one(batch["device_id"]), value_set=members), False)
        wanted = pc.and_(pc.greater_equal(login, 0), pc.invert(device))
        places = login.filter(wanted).to_pylist()
        events = one(batch["event_id"]).filter(wanted).to_pylist()
        found += [(int(owner[place]), event) for place, event in zip(places, events, strict=True)]
    return found


def renamed_components(scan: Scan, names: Names) -> dict[str, str]:
    """What components are called from now on that have a forgotten login's name and other people in them."""
    members, _ = names._members
    called: dict[str, tuple[int, str]] = {}
    for batch in scan():
        left = batch.filter(
            pc.and_(
                pc.is_in(batch["component_id"], value_set=members),
                pc.invert(pc.or_(_is_in(batch["member_id"], members), _is_in(batch["person_id"], members))),
            )
        )
        for kind, person, component in zip(
            *(left[name].to_pylist() for name in ("id_kind", "person_id", "component_id")), strict=True
        ):
            candidate = (0 if kind == "user" else 1, person)  # by a login where there is one
            called[component] = min(called.get(component, candidate), candidate)
    return {component: name for component, (_, name) in called.items()}


def _is_in(column: pa.Array, value_set: pa.Array) -> pa.Array:
    return pc.is_in(column, value_set=value_set)


def with_components(rows: pa.Table, renamed: Mapping[str, str]) -> pa.Table:
    """Rows of `identity` with other names of some components."""
    old = pa.array(list(renamed), pa.string())
    place = pc.index_in(one(rows["component_id"]), value_set=old)
    new = pa.array(list(renamed.values()), pa.string()).take(place)
    column = pc.coalesce(new, one(rows["component_id"]))
    return rows.set_column(IDENTITY.names.index("component_id"), "component_id", column)


def facts_of_rest(facts: Any, renamed: Mapping[str, str]) -> Any:
    """Facts that name contents by their hashes (old -> new), so that nobody takes what is gone for a change."""
    text = json.dumps(facts)
    for old, new in renamed.items():
        text = text.replace(old, new)
    return json.loads(text)


# -- records that could not be read


@dataclass(frozen=True)
class Spelled:
    """Finds the shop's ids in raw records: as a word, or as a piece where an id is no word."""

    shop_ids: Sequence[Sequence[str]] = field(repr=False)  # by person

    @cached_property
    def _words(self) -> dict[str, int]:
        return {name: number for number, names in enumerate(self.shop_ids) for name in names}

    @cached_property
    def _pieces(self) -> list[tuple[str, int]]:
        spelled = []
        for name, number in self._words.items():
            variants = {json.dumps(name)[1:-1], quote(name, safe="")} - {name}
            spelled += [(text, number) for text in sorted({*variants, *([name] if _BETWEEN.search(name) else [])})]
        return spelled

    def owner(self, text: str) -> int:
        """The person whose id stands in the record; -1 for none."""
        for word in words(text):
            if word in self._words:
                return self._words[word]
        return next((number for piece, number in self._pieces if piece in text), -1)


def words(text: str) -> list[str]:
    """What may be an id in a record that nobody could read."""
    return [word for word in _BETWEEN.split(text) if word]


# -- tombstones


def tombstones(key: bytes, person: Person) -> list[str]:
    """Keyed hashes of a person's names: recognised when they come again, and they say nothing by themselves."""
    found: list[str] = []
    for kind, names in ((_ERASED, person.members), (_ERASED_EVENT, person.events)):
        found += pseudonyms(key, kind, pa.array(names, pa.string()))[1].to_pylist()
    return found


@dataclass(frozen=True)
class Tombstones:
    """Who was forgotten, and up to which instant (microseconds since 1970, UTC): what happens later is new."""

    until: Mapping[str, int] = field(repr=False)

    def __bool__(self) -> bool:
        return bool(self.until)

    def gone(self, rows: pa.Table, key: bytes) -> Bools:
        """Which mapped rows (ids are the shop's own) are of people who were forgotten since.

        A row without an instant, and a record that could not be read, goes when it names one at all.
        """
        until = np.zeros(rows.num_rows, np.int64)
        for column, kind in (("user_id", "user"), ("device_id", "device")):
            named = pseudonyms(key, kind, one(rows[column]))[1]
            until = np.maximum(until, self._until(pseudonyms(key, _ERASED, named)[1]))
        until = np.maximum(until, self._until(pseudonyms(key, _ERASED_EVENT, one(rows["event_id"]))[1]))
        return np.asarray((until > 0) & (micros(rows["event_ts"]) <= until)) | self._in_records(rows, key)

    def _in_records(self, rows: pa.Table, key: bytes) -> Bools:
        """Of records whose ids nobody could read, every word may be one."""
        found = np.zeros(rows.num_rows, bool)
        nameless = pc.and_(pc.is_null(rows["user_id"]), pc.is_null(rows["device_id"]))
        for place in np.flatnonzero(flags(pc.and_(nameless, pc.is_valid(rows["raw"])))):
            candidates = pa.array(words(rows["raw"][int(place)].as_py()), pa.string())
            for kind in ("user", "device"):
                named = pseudonyms(key, kind, candidates)[1]
                found[place] |= bool(self._until(pseudonyms(key, _ERASED, named)[1]).any())
        return found

    @cached_property
    def _lookup(self) -> tuple[pa.Array, Int64s]:
        return pa.array(list(self.until), pa.string()), np.array(list(self.until.values()), np.int64)

    def _until(self, marks: pa.Array) -> Int64s:
        known, instants = self._lookup
        places = np.asarray(pc.fill_null(pc.index_in(marks, value_set=known), -1).to_numpy(zero_copy_only=False))
        return np.where(places >= 0, instants[places], 0)


#: Nobody was forgotten yet.
NOBODY = Tombstones({})
