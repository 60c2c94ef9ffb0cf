"""Whom a request means, which rows are theirs, and what tombstones recognise."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa

from nightjar.contracts import EVENTS, SESSION_EVENTS
from nightjar.prep.erasure import (
    Names,
    Person,
    Scan,
    Spelled,
    Tombstones,
    facts_of_rest,
    persons,
    renamed_components,
    request_id,
    tombstones,
    unnamed_events,
    with_components,
)
from nightjar.prep.pseudonyms import pseudonym

KEY = b"k" * 32
NOON = datetime(2001, 1, 15, 12, tzinfo=UTC)

#: member, kind, person, component; a batch per day. On the last day the kiosk turns out to be shared.
DAYS = [
    [("ada", "user", "ada", "ada"), ("phone", "device", "ada", "ada"), ("kiosk", "device", "ada", "ada")],
    [("bob", "user", "bob", "bob"), ("laptop", "device", "bob", "bob")],
    [("kiosk", "device", "kiosk", "kiosk")],
]


def scan_of(days: list[list[tuple[str, str, str, str]]]) -> Scan:
    names = ["member_id", "id_kind", "person_id", "component_id"]
    return lambda: [pa.RecordBatch.from_pylist([dict(zip(names, row, strict=True)) for row in day]) for day in days]


def test_a_person_is_all_members_as_they_are_now() -> None:
    scan = scan_of(DAYS)
    assert persons(scan, {"r1": ["phone"]}) == [Person(("r1",), ("ada", "phone"))]
    assert persons(scan, {"r1": ["ada"], "r2": ["phone"]}) == [Person(("r1", "r2"), ("ada", "phone"))]
    assert persons(scan, {"r1": ["kiosk"]}) == [Person(("r1",), ("kiosk",))]
    assert persons(scan, {"r1": ["stranger"]}) == [Person(("r1",), ("stranger",))]
    both = persons(scan, {"r1": ["ada", "laptop"]})
    assert [person.members for person in both] == [("ada", "phone"), ("bob", "laptop")]


def test_rows_are_counted_by_person() -> None:
    names = Names([Person(("r1",), ("ada", "phone"), ("e7",)), Person(("r2",), ("bob",))])
    rows = pa.table(
        {
            "user_id": [None, "ada", "bob", None, "cid"],
            "device_id": ["phone", "kiosk", "kiosk", "kiosk", "phone"],
            "event_id": ["e1", "e2", "e3", "e7", "e8"],
        }
    )
    owners = names.owners(rows, EVENTS)
    assert owners.tolist() == [0, 0, 1, 0, 0]
    assert names.counted(owners) == {0: 4, 1: 1}
    assert Names([]).owners(rows, EVENTS).tolist() == [-1] * 5


def test_events_that_only_their_visit_gives_a_person() -> None:
    names = Names([Person(("r1",), ("ada", "phone"))])
    visits = pa.RecordBatch.from_pydict(
        {
            "user_id": ["ada", "ada", "bob"],
            "visitor_id": ["kiosk", "phone", "kiosk"],
            "device_id": ["kiosk", "phone", "kiosk"],
            "event_id": ["e1", "e2", "e3"],
        }
    )
    assert SESSION_EVENTS.column("visitor_id")
    assert unnamed_events([visits], names) == [(0, "e1")]


def test_a_component_of_others_gets_another_name() -> None:
    """A crowd too large to be one person is called by its smallest login, who leaves."""
    crowd = [("ada", "user", "ada", "ada"), ("tab", "device", "cid", "ada"), ("cid", "user", "cid", "ada")]
    crowd += [("bob", "user", "bob", "ada")]
    renamed = renamed_components(scan_of([crowd]), Names([Person(("r1",), ("ada",))]))
    assert renamed == {"ada": "bob"}
    rows = pa.table(
        {"member_id": ["bob"], "id_kind": ["user"], "person_id": ["bob"], "dt": [None], "component_id": ["ada"]}
    )
    assert with_components(rows, renamed)["component_id"].to_pylist() == ["bob"]
    assert renamed_components(scan_of(DAYS), Names([Person(("r1",), ("ada", "phone"))])) == {}


def test_facts_name_the_content_that_is_left() -> None:
    facts = {"events_hashes": {"0": "aa11", "1": "bb22"}, "sessions_hash": "cc33 1 50", "num_rows": 7}
    left = facts_of_rest(facts, {"bb22": "dd44", "cc33": "ee55"})
    assert left == {"events_hashes": {"0": "aa11", "1": "dd44"}, "sessions_hash": "ee55 1 50", "num_rows": 7}


def test_ids_are_found_as_words_or_as_they_are_spelled() -> None:
    spelled = Spelled([["ann@shop.example", "17"], ["zoë", "a b"]])
    found = {
        '{"who": "ann@shop.example", "cost": 170}': 0,
        "1,17,x": 0,
        "1,170,x": -1,
        "joann@shop.example": -1,
        '{"who": "zo\\u00eb"}': 1,
        "GET /?who=zo%C3%AB": 1,
        "a b;c": 1,
        "": -1,
    }
    assert {text: spelled.owner(text) for text in found} == found


def rows_of(*rows: tuple[str | None, str | None, str, datetime | None, str | None]) -> pa.Table:
    columns = zip(*rows, strict=True)
    types = (pa.string(), pa.string(), pa.string(), pa.timestamp("us", tz="UTC"), pa.string())
    names = ("user_id", "device_id", "event_id", "event_ts", "raw")
    return pa.table({n: pa.array(c, t) for n, c, t in zip(names, columns, types, strict=True)})


def test_a_tombstone_knows_names_that_come_again_and_only_earlier_ones() -> None:
    ann = Person(("r1",), (pseudonym(KEY, "user", "ann"), pseudonym(KEY, "device", "phone")), ("e7",))
    marks = tombstones(KEY, ann)
    assert len({*marks}) == 3
    assert not {*ann.members} & {*marks}
    stones = Tombstones(dict.fromkeys(marks, int(NOON.timestamp() * 1_000_000)))
    later = NOON.replace(minute=1)
    rows = rows_of(
        ("ann", None, "e1", NOON, None),
        ("ann", None, "e2", later, None),
        (None, "phone", "e3", NOON, None),
        ("phone", "ann", "e4", NOON, None),  # a device of that name, and a login: others
        (None, "kiosk", "e7", NOON, None),
        ("ann", None, "e8", None, None),
        (None, None, "e9", None, "{broken, who: ann}"),
        (None, None, "e9", None, "{broken, who: bob}"),
    )
    assert stones.gone(rows, KEY).tolist() == [True, False, True, False, True, True, True, False]
    assert stones.gone(rows, b"o" * 32).tolist() == [False] * 8
    assert "ann" not in repr(stones)


def test_a_request_has_one_name() -> None:
    first = request_id(KEY, {"user": "ann", "device": "phone"}, NOON)
    assert first == request_id(KEY, {"device": "phone", "user": "ann"}, NOON)
    assert first != request_id(KEY, {"user": "ann"}, NOON)
