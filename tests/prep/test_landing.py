"""A bucket's days after each drop, against the definition in plain Python."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.prep.small_log import DAY, NOON, Bucket, Row, arrow, by_id, chosen, content, event, rows_of, visitor_of

from nightjar.contracts import EVENTS, QUARANTINE, USERS
from nightjar.contracts.render import arrow_schema
from nightjar.prep.landing import COUNTED, NO_DAY, Land, added_up, land, reconcile, visitor, with_duplicates
from nightjar.prep.pseudonyms import pseudonym, unsealed
from nightjar.settings import load_conf

KEY = bytes(range(32))
CLEAN = load_conf(sets=["clean.bot_events_per_hour=3"]).clean
DAYS = [DAY + timedelta(days=n) for n in range(4)]
NOTHING = dict.fromkeys(COUNTED, 0)


def good(row: Row, *, agent: bool | None = False) -> Row:
    """A row as `judged` lets it pass: ids are the shop's own."""
    return row | {"agent": agent, "reasons": None, "raw": None}


def bad(record: str, *reasons: str, landed: date | None = DAY) -> Row:
    """A row that broke rules, with its record."""
    row = dict.fromkeys((*EVENTS.names, "agent")) | {"landed": landed, "reasons": list(reasons)}
    return row | {"raw": record}


def judged(rows: Iterable[Row], *, without: Sequence[str] = ()) -> pa.Table:
    """Rows as they reach the bucket, less columns that no mapping fills."""
    extra = {"agent": pa.bool_(), "reasons": pa.list_(pa.string()), "raw": pa.string()}
    schema = pa.schema([*arrow(EVENTS, []).schema, *(pa.field(name, kind) for name, kind in extra.items())])
    pairs = [
        row | {"attributes": None if row["attributes"] is None else list(row["attributes"].items())} for row in rows
    ]
    return pa.Table.from_pylist(pairs, schema).drop_columns(["bot_rule", *without])


def named(row: Row) -> Row:
    """The row with pseudonyms, as the lake holds it."""
    user, device = row["user_id"], row["device_id"]
    ids = {
        "user_id": None if user is None else pseudonym(KEY, "user", user),
        "device_id": None if device is None else pseudonym(KEY, "device", device),
    }
    return {name: row[name] for name in EVENTS.names} | ids


def told_to_all(*reports: dict[str, Any]) -> dict[date, dict[str, int]]:
    return {day: with_duplicates(drop) for day, drop in added_up(reports).items()}


class Shop:
    """One bucket, drop by drop."""

    def __init__(self) -> None:
        self.bucket = Bucket()
        self.users: list[Row] = []
        self.touched: list[date] = []

    def land(self, days: Sequence[date], rows: Sequence[Row], *, replay: bool = False, dayless: bool = False) -> Row:
        work = Land(tuple(days), "acme", "mapping", CLEAN, KEY, replay=replay, dayless=dayless)
        tables, report = work(0, judged(rows) if rows else pa.table({}), self.bucket)
        self.touched = sorted(day for name, day in tables if name == EVENTS.name)
        for table in (EVENTS, QUARANTINE):
            self.bucket.put(table, tables)
        if (USERS.name, NO_DAY) in tables:
            self.users = tables[USERS.name, NO_DAY].cast(arrow_schema(USERS)).to_pylist()
        return report

    def counts(self, days: Sequence[date], rows: Sequence[Row], **how: bool) -> dict[str, dict[str, int]]:
        """What the drops at work are told, less the zeros."""
        told = self.land(days, rows, **how)["counts"]
        return {day: {name: n for name, n in counts.items() if n} for day, counts in told.items()}

    def events(self) -> list[Row]:
        return self.bucket.rows(EVENTS)

    def days_of(self) -> dict[str, int]:
        return {row["event_id"]: row["dt"].day for row in self.events()}


# -- drops against the definition


class Definition:
    """What a bucket holds, one row at a time."""

    def __init__(self) -> None:
        self.kept: dict[str, tuple[Row, bool]] = {}  # event_id -> the row, and whether its agent is a machine's

    def land(self, days: Sequence[date], drop: Sequence[Row]) -> tuple[dict[str, Row], set[date]]:
        """Returns each drop's counts, and the days that its bucket must write."""
        fine = [row for row in drop if not row["reasons"]]
        withdrawn = {name for name, (row, _) in self.kept.items() if row["landed"] in days}
        copies = by_id([named(row) for row in fine])
        touched = {row["dt"] for row in fine}
        touched |= {row["dt"] for name, (row, _) in self.kept.items() if name in withdrawn or name in copies}
        self.kept = {name: kept for name, kept in self.kept.items() if name not in withdrawn}
        counts = {day.isoformat(): dict(NOTHING) for day in days}
        for row in drop:
            told = counts[(row["landed"] or NO_DAY).isoformat()]
            told["rows_read"] += 1
            told["rows_quarantined"] += bool(row["reasons"])
            told["rows_unknown_kind"] += "kind_unknown" in (row["reasons"] or [])
        for name, new in copies.items():
            stored = [self.kept[name][0]] if name in self.kept else []
            best = chosen([*stored, *new])
            is_new = not stored or best != stored[0]
            told = counts[best["landed"].isoformat() if is_new else max(row["landed"] for row in new).isoformat()]
            told["rows_kept"] += is_new
            told["rows_collapsed"] += len(new) - is_new
            told["rows_conflict"] += len({content(row) for row in [*stored, *new]}) > 1
            if is_new:
                self.kept[name] = best, any(row["agent"] for row in fine if named(row) == best)
        return {day: told for day, told in counts.items() if any(told.values())}, touched

    def events(self) -> list[Row]:
        """All rows with their bot rules, in the files' order."""
        rate = Counter(map(_hour, (row for row, _ in self.kept.values())))
        rows = []
        for row, is_agent in self.kept.values():
            fast = rate[_hour(row)] > CLEAN.bot_events_per_hour
            rows.append(row | {"bot_rule": "agent" if is_agent else "rate" if fast else None})
        return sorted(rows, key=lambda row: (row["dt"], visitor_of(row), row["event_ts"], row["event_id"]))


def _hour(row: Row) -> tuple[str, date, datetime]:
    return visitor_of(row), row["dt"], row["event_ts"].astimezone(UTC).replace(minute=0, second=0, microsecond=0)


_ZONES = st.sampled_from(["UTC", "Asia/Kolkata", "Asia/Kathmandu", "America/St_Johns"])
_GOOD = st.builds(
    lambda name, minutes, who, received, price, is_agent: good(
        event(f"e{name}", minutes, user_id=who[0], device_id=who[1], received_at=received, price=price), agent=is_agent
    ),
    st.integers(0, 9),
    # Around the midnights of zones whose hours are not those of UTC: 18:30, 18:15 and 03:30.
    st.sampled_from([360, 375, 385, 389, 390, 391, 395, 400, 410, 415, 925, 930, 935, 950]),
    st.sampled_from([("u1", None), ("u1", None), (None, "u1"), ("u2", "u1")]),  # u1 is a login and a device
    st.sampled_from([None, None, NOON]),
    st.sampled_from([1.0, 1.0, 1.0, 2.0]),
    st.sampled_from([False, False, False, None, True]),
)
_BAD = st.builds(
    lambda record, reasons: bad(record, *reasons),
    st.sampled_from(["x", "y"]),
    st.sampled_from([("kind_unknown",), ("event_id_missing", "kind_unknown"), ("price_impossible",)]),
)
_DROP = st.lists(st.one_of(_GOOD, _GOOD, _GOOD, _GOOD, _BAD), max_size=14)


@settings(max_examples=80, deadline=None)
@given(_ZONES, st.lists(st.lists(st.tuples(st.integers(0, 2), _DROP), min_size=1, max_size=2), min_size=1, max_size=4))
def test_drops_equal_the_definition(zone: str, nights: list[list[tuple[int, list[Row]]]]) -> None:
    """Each night lands one or two drops, late ones and such that were sent before."""
    shop, definition = Shop(), Definition()
    for night in nights:
        days = sorted({DAYS[number] for number, _ in night})
        drop = []
        for number, rows in night:
            for row in rows:
                at = row["event_ts"]
                day = at and at.astimezone(ZoneInfo(zone)).date()
                # One event may say two things of its agent; the text decides in real life.
                agent = {"agent": row["agent"], "attributes": {"user_agent": "bot"} if row["agent"] else {}}
                drop.append(row | {"landed": DAYS[number], "dt": day} | (agent if at else {}))
        report = shop.land(days, drop)
        counts, touched = definition.land(days, drop)
        assert report["counts"] == counts
        assert report["reasons"] == Counter(reason for row in drop for reason in row["reasons"] or [])
        assert shop.events() == definition.events()
        assert set(shop.touched) == touched
        for day in days:
            wanted = sorted(row["raw"] for row in drop if row["reasons"] and row["landed"] == day)
            filed = [row["raw"] for row in shop.bucket.rows(QUARANTINE) if row["dt"] == day]
            assert sorted(unsealed(KEY, filed)) == wanted


# -- by hand


def test_a_drop_sent_again_replaces_what_it_brought() -> None:
    shop = Shop()
    early, late = DAY, DAY + timedelta(days=1)
    one = event("one", price=1.0)
    assert shop.counts([early], [good(one), good(event("two"))]) == {"2001-01-15": {"rows_read": 2, "rows_kept": 2}}
    drop = [good(event("three", landed=late)), good(event("four", 60 * 24, landed=late))]
    shop.land([late], drop)
    assert shop.days_of() == {"one": 15, "two": 15, "three": 15, "four": 16}
    # Sent again: `one` costs less, `two` is withdrawn, `five` is new. What the other drop brought stays.
    again = [good(one | {"price": 0.5}), good(event("five", 1))]
    assert shop.counts([early], again) == {"2001-01-15": {"rows_read": 2, "rows_kept": 2}}
    assert shop.days_of() == {"one": 15, "five": 15, "three": 15, "four": 16}
    assert [row["price"] for row in shop.events() if row["event_id"] == "one"] == [0.5]
    assert shop.touched == [DAY]
    # Sent again without anything, the bucket's days lose it; a day without rows has no file.
    shop.land([late], [])
    assert shop.days_of() == {"one": 15, "five": 15}
    assert shop.touched == [DAY, late]
    assert shop.bucket.days(EVENTS) == [DAY]


def test_a_copy_of_an_event_on_another_day_is_found() -> None:
    """The copies disagree about the event's day; the one received first may be either."""
    yesterday = DAY - timedelta(days=1)
    for received, day in ((NOON - timedelta(hours=1), 14), (NOON + timedelta(hours=1), 15)):
        shop = Shop()
        shop.land([DAY], [good(event("e", received_at=NOON)), good(event("other"))])
        copy = event("e", -60 * 24, received_at=received, landed=DAYS[1])
        assert copy["dt"] == yesterday
        told = shop.counts([DAYS[1]], [good(copy)])
        assert shop.days_of() == {"e": day, "other": 15}
        assert shop.touched == [yesterday, DAY]
        kept = {"rows_kept": 1} if day == 14 else {"rows_collapsed": 1}
        assert told == {"2001-01-16": {"rows_read": 1, "rows_conflict": 1} | kept}


def test_conflicts_count_for_the_drop_that_brings_them() -> None:
    shop = Shop()
    stored = [event("a", price=1.0, received_at=NOON), event("b", price=1.0, received_at=NOON), event("old")]
    shop.land([DAY], [good(row) for row in stored])
    tomorrow = {"landed": DAYS[1]}
    again = [event("a", price=2.0, **tomorrow), event("b", price=1.0, **tomorrow), event("new", **tomorrow)]
    told = shop.counts([DAYS[1]], [good(row) for row in again])
    assert told == {"2001-01-16": {"rows_read": 3, "rows_kept": 1, "rows_collapsed": 2, "rows_conflict": 1}}
    counts = told_to_all(told)[DAYS[1]]
    reconcile({DAYS[1]: counts}, 1, 0)
    assert (counts["rows_kept"], counts["rows_duplicate"], counts["rows_conflict"]) == (1, 2, 1)
    landed = {row["event_id"]: row["landed"] for row in shop.events()}
    assert landed == {"a": DAY, "b": DAY, "old": DAY, "new": DAYS[1]}
    # Of two drops at work, the one whose copy stays answers; the other's duplicate is its own.
    two = [event("x", landed=DAYS[2], price=1.0), event("x", landed=DAYS[3], price=2.0)]
    told = shop.counts(DAYS[2:], [good(row) for row in two])
    assert told["2001-01-17"] == {"rows_read": 1, "rows_kept": 1, "rows_collapsed": 1, "rows_conflict": 1}
    assert told["2001-01-18"] == {"rows_read": 1}
    totals = told_to_all(told)
    reconcile(totals, 1, 0)
    assert [totals[day]["rows_duplicate"] for day in DAYS[2:]] == [0, 1]


def test_replayed_records_come_in_addition() -> None:
    """Records of the drop's quarantine that a mended mapping reads; one of them the drop had brought after all."""
    shop = Shop()
    shop.land([DAY], [good(event("a")), good(event("b")), bad("broken", "event_ts_unreadable")])
    replayed = [good(event("a")), good(event("c", 1)), bad("still", "event_ts_unreadable")]
    told = shop.counts([DAY], replayed, replay=True)
    assert told["2001-01-15"] == {"rows_read": 3, "rows_kept": 1, "rows_collapsed": 1, "rows_quarantined": 1}
    assert shop.days_of() == {"a": 15, "b": 15, "c": 15}
    assert unsealed(KEY, [row["raw"] for row in shop.bucket.rows(QUARANTINE)]) == ["still"]


def test_ids_become_pseudonyms_and_are_listed_once() -> None:
    shop = Shop()
    rows = [event("a", user_id="17"), event("b", user_id="17", device_id="17"), event("c", user_id=None, device_id="x")]
    shop.land([DAY], [good(row) for row in rows] + [bad("lost", "price_impossible")])
    assert sorted((row["id_kind"], row["shop_id"], row["pseudonym"], row["shop"]) for row in shop.users) == [
        ("device", "17", pseudonym(KEY, "device", "17"), "acme"),
        ("device", "x", pseudonym(KEY, "device", "x"), "acme"),
        ("user", "17", pseudonym(KEY, "user", "17"), "acme"),
    ]
    found = {row["event_id"]: (row["user_id"], row["device_id"]) for row in shop.events()}
    assert found == {row["event_id"]: (named(row)["user_id"], named(row)["device_id"]) for row in rows}
    streams = visitor(arrow(EVENTS, shop.events())).to_pylist()
    assert streams == sorted(visitor_of(named(row)) for row in rows)
    assert not {"17", "x"} & {text for row in shop.events() for text in row.values() if isinstance(text, str)}
    shop.users = []
    shop.land([DAYS[1]], [bad("lost", "price_impossible", landed=DAYS[1])])
    assert shop.users == [], "nobody new: no file of nobody waits to be published"
    assert str(KEY) not in repr(Land((DAY,), "acme", "mapping", CLEAN, KEY))


def test_columns_that_no_mapping_fills_are_null() -> None:
    rows = judged([good(event("a"))], without=["agent", "device_id", "received_at", "price", "attributes", "query"])
    done = land(rows, Bucket(), days=[DAY], shop="acme", source="mapping", clean=CLEAN, key=KEY)
    (found,) = rows_of(done.events[DAY])
    assert found == named(event("a")) | {"attributes": None}
    assert done.events[DAY].cast(arrow_schema(EVENTS)).column_names == list(EVENTS.names)


def test_bots_by_agent_and_by_rate() -> None:
    def many(name: str, number: int, start: int = 0, **columns: Any) -> list[Row]:
        return [good(event(f"{name}{n}", start + n, **columns)) for n in range(number)]

    rows = [
        *many("three", 3, user_id="calm"),
        *many("four", 4, user_id="fast"),
        *many("split", 4, 58, user_id="split"),  # two in each clock hour
        *many("device", 1, user_id=None, device_id="fast"),  # the same text is another visitor
        *many("phone", 2, user_id="both", device_id="p"),  # one device, with and without its login
        *many("phone-", 2, 2, user_id=None, device_id="p"),
        good(event("says", 0, user_id="honest"), agent=True),
        good(event("silent", 1, user_id="honest"), agent=None),
        *(good(event(f"loud{n}", n, user_id="loud"), agent=True) for n in range(4)),
    ]
    shop = Shop()
    shop.land([DAY], rows)
    rules: dict[str, set[str | None]] = {}
    for row in shop.events():
        rules.setdefault(row["event_id"].rstrip("-0123456789"), set()).add(row["bot_rule"])
    assert rules == {
        "three": {None},
        "four": {"rate"},
        "split": {None},
        "device": {None},
        "phone": {"rate"},
        "says": {"agent"},
        "silent": {None},
        "loud": {"agent"},
    }


def test_late_events_make_bots_of_what_is_stored_and_duplicates_do_not() -> None:
    shop = Shop()
    shop.land([DAY], [good(event(f"e{n}", n)) for n in range(3)] + [good(event("robot", 9, user_id="u2"), agent=True)])
    shop.land([DAYS[1]], [good(event("e0", 0, landed=DAYS[1]))])
    assert {row["bot_rule"] for row in shop.events() if row["event_id"] != "robot"} == {None}
    shop.land([DAYS[2]], [good(event("late", 5, landed=DAYS[2]))])
    assert {row["bot_rule"] for row in shop.events() if row["event_id"] != "robot"} == {"rate"}
    shop.land([DAYS[2]], [])
    rules = {row["event_id"]: row["bot_rule"] for row in shop.events()}
    assert rules == {"e0": None, "e1": None, "e2": None, "robot": "agent"}, "what a client once said is remembered"


def test_a_days_bots_depend_on_that_day_only() -> None:
    """Kolkata's midnight cuts a UTC hour: the other half belongs to a day that tonight may not read."""
    rows = [event(f"e{n}", n, dt=DAY if n < 2 else DAYS[1]) for n in range(4)]
    shop = Shop()
    shop.land([DAY], [good(row) for row in rows])
    assert [(row["dt"], row["bot_rule"]) for row in shop.events()] == [(DAY, None)] * 2 + [(DAYS[1], None)] * 2


def test_files_are_in_the_order_of_streams() -> None:
    """Visitor, time, name: what sessions are cut from."""
    rows = [event(name, minutes, user_id=who) for who in ("b", "a") for minutes in (5, 0) for name in ("z", "y")]
    rows = [row | {"event_id": f"{row['event_id']}{n}"} for n, row in enumerate(rows)]
    shop = Shop()
    shop.land([DAY], [good(row) for row in rows])
    keys = [(visitor_of(row), row["event_ts"], row["event_id"]) for row in shop.events()]
    assert keys == sorted(keys)
    assert len(keys) == 8


# -- quarantine


def test_equal_records_are_numbered_within_their_drop() -> None:
    shop = Shop()
    other = DAYS[1]
    rows = [
        bad("x", "kind_unknown"),
        bad("y", "a", "b"),
        bad("x", "kind_unknown"),
        bad("x", "kind_unknown", landed=other),
    ]
    shop.land([DAY, other], rows)
    found = shop.bucket.rows(QUARANTINE)
    assert sorted((row["dt"], *unsealed(KEY, [row["raw"]]), row["copy"], tuple(row["reasons"])) for row in found) == [
        (DAY, "x", 1, ("kind_unknown",)),
        (DAY, "x", 2, ("kind_unknown",)),
        (DAY, "y", 1, ("a", "b")),
        (other, "x", 1, ("kind_unknown",)),
    ]
    assert {row["record_id"] for row in found} == {hashlib.sha256(raw).hexdigest() for raw in (b"x", b"y")}
    assert {row["source"] for row in found} == {"mapping"}
    shop.land([DAY], [])
    assert {row["dt"] for row in shop.bucket.rows(QUARANTINE)} == {other}, "a drop that was mended has none"


def test_rejected_rows_of_no_day_are_filed_apart() -> None:
    shop = Shop()
    rows = [bad("never", "event_ts_unreadable", landed=None) for _ in range(2)]
    told = shop.counts([DAY], [*rows, good(event("a")), bad("odd", "kind_unknown")], dayless=True)
    assert told == {
        "1970-01-01": {"rows_read": 2, "rows_quarantined": 2},
        "2001-01-15": {"rows_read": 2, "rows_quarantined": 1, "rows_unknown_kind": 1, "rows_kept": 1},
    }
    assert [(row["dt"], row["copy"]) for row in shop.bucket.rows(QUARANTINE)] == [(NO_DAY, 1), (NO_DAY, 2), (DAY, 1)]
    # Every run files them anew; a drop of its own day leaves those of no day alone.
    shop.land([DAYS[1]], rows[:1], dayless=True)
    assert [(row["dt"], row["copy"]) for row in shop.bucket.rows(QUARANTINE)] == [(NO_DAY, 1), (DAY, 1)]
    shop.land([DAYS[2]], [])
    assert [(row["dt"], row["copy"]) for row in shop.bucket.rows(QUARANTINE)] == [(NO_DAY, 1), (DAY, 1)]
    shop.land([DAYS[2]], [], dayless=True)
    assert [(row["dt"], row["copy"]) for row in shop.bucket.rows(QUARANTINE)] == [(DAY, 1)]


# -- counts


def test_counts_of_buckets_add_up_or_stop() -> None:
    first = {"2001-01-15": NOTHING | {"rows_read": 5, "rows_kept": 2, "rows_collapsed": 1, "rows_quarantined": 2}}
    second = {
        "2001-01-15": NOTHING | {"rows_read": 3, "rows_kept": 3, "rows_conflict": 1},
        "2001-01-16": NOTHING | {"rows_read": 2, "rows_kept": 1, "rows_collapsed": 1},
    }
    counts = told_to_all(first, {}, second)
    reconcile(counts, num_written=6, num_quarantined=2)
    assert counts == {
        DAY: NOTHING
        | {
            "rows_read": 8,
            "rows_kept": 5,
            "rows_collapsed": 1,
            "rows_quarantined": 2,
            "rows_conflict": 1,
            "rows_duplicate": 1,
        },
        DAYS[1]: NOTHING | {"rows_read": 2, "rows_kept": 1, "rows_collapsed": 1, "rows_duplicate": 1},
    }
    for num_written, num_quarantined in ((5, 2), (6, 1), (7, 2)):
        with pytest.raises(AssertionError, match=f"read 10 rows, but kept {num_written}"):
            reconcile(counts, num_written, num_quarantined)
