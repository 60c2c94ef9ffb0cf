"""Sessions against their definition in plain Python, whole and night by night."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.prep.small_log import (
    DAY,
    NOON,
    Bucket,
    Row,
    arrow,
    event,
    in_order,
    opened,
    random_events,
    rows_of,
    session_rows,
    visitor_of,
)

from nightjar.contracts import EVENTS, SESSION_EVENTS, SESSION_RENAMES, SESSIONS, Kind
from nightjar.prep.sessions import Sessionize, finished, rebuild, session_events_from, stream_in, stream_of
from nightjar.settings import Sessions, load_conf

GAP = timedelta(minutes=30)
# Shapes are tested with the bot rules; here machines may move like machines.
CLEAN = load_conf(sets=["clean.metronome_min_events=1000000", "clean.crawl_min_items=1000000"]).clean


def caps(max_hours: int = 24, max_events: int = 5000) -> Sessions:
    return Sessions(gap_minutes=30, max_hours=max_hours, max_events=max_events, frozen_after_days=90)


def cut(rows: Sequence[Row], sessions: Sessions, zone: str = "UTC") -> pa.Table:
    return session_events_from(stream_of(arrow(EVENTS, rows)), sessions, zone)


def both(rows: Sequence[Row], sessions: Sessions, zone: str = "UTC") -> tuple[list[Row], list[Row]]:
    in_sessions, whole = finished(cut(rows, sessions, zone), CLEAN)
    assert in_sessions.column_names == list(SESSION_EVENTS.names)
    assert whole.column_names == list(SESSIONS.names)
    return rows_of(in_sessions), rows_of(whole)


def expected(rows: Sequence[Row], sessions: Sessions, zone: str = "UTC") -> list[Row]:
    return session_rows(rows, GAP, zone=zone, max_hours=sessions.max_hours, max_events=sessions.max_events)


def by_event(rows: Sequence[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row["event_id"])


def names(rows: Sequence[Row], sessions: Sessions | None = None) -> dict[str, str]:
    """Event -> session, by the code."""
    found = rows_of(cut(rows, sessions or caps()))
    return {row["event_id"]: row["session_id"] for row in found}


# -- logs drawn at random

#: Minutes since the event before: together, the gap exactly, a microsecond more, long silence.
STEPS = (0, 0, 1, 10, 29, 30, 30 + 1e-6 / 60, 31, 95, 700)
WHO = [("d1", None), ("d1", "ann"), ("d1", "bob"), ("d2", None), ("d2", "ann"), (None, "ann"), (None, "bob")]
#: Midnights in UTC, of a day that loses an hour and of one that gains it, each seen from some zone.
BEGINNINGS = [NOON, datetime(2001, 3, 24, 20, tzinfo=UTC), datetime(2001, 10, 27, 18, tzinfo=UTC)]
ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York"]

_OF_AN_EVENT = st.tuples(
    st.sampled_from(STEPS),
    st.sampled_from(WHO),
    st.integers(0, 9),  # begins the event's id: ids do not follow time
    st.sampled_from(["view", "view", "search", "cart", "purchase", "return"]),
    st.sampled_from([None, "i1", "i2", "i3"]),
    st.sampled_from([None, 0.1, 0.2, 3.3333, 19.99]),
    st.sampled_from([None, 1, 3]),
    st.sampled_from([None, None, None, "agent", "rate"]),
    st.sampled_from([None, None, "spring", "mail"]),
)


def built(drawn: Sequence[tuple[Any, ...]], start: datetime, zone: str) -> list[Row]:
    rows, minutes = [], 0.0
    for number, (step, (device, login), salt, kind, item, price, quantity, bot, campaign) in enumerate(drawn):
        minutes += step
        at = start + timedelta(minutes=minutes)
        row = event(f"{salt}-{number}", device_id=device, user_id=login, kind=kind, item_id=item, price=price)
        row |= {"event_ts": at, "dt": at.astimezone(ZoneInfo(zone)).date(), "quantity": quantity, "bot_rule": bot}
        rows.append(row | {"campaign": campaign, "platform": "web" if salt % 2 else "app"})
    return rows


@st.composite
def logs(draw: st.DrawFn, max_size: int = 40) -> tuple[list[Row], str]:
    """Events of some visitors and a time zone, in no order."""
    zone, start = draw(st.sampled_from(ZONES)), draw(st.sampled_from(BEGINNINGS))
    rows = built(draw(st.lists(_OF_AN_EVENT, max_size=max_size)), start, zone)
    return draw(st.permutations(rows)), zone


LIMITS = st.builds(caps, max_hours=st.sampled_from([1, 2, 24]), max_events=st.sampled_from([1, 2, 5, 5000]))


# -- whole streams


@settings(max_examples=150, deadline=None)
@given(logs(), LIMITS)
def test_sessions_equal_the_definition(log: tuple[list[Row], str], limits: Sessions) -> None:
    rows, zone = log
    in_sessions, whole = both(rows, limits, zone)
    wanted = expected(rows, limits, zone)
    assert by_event(in_sessions) == by_event(wanted)
    assert sorted(whole, key=lambda row: str(row["session_id"])) == sessions_of(wanted)
    order = [(row["visitor_id"], row["event_ts"], row["event_id"]) for row in in_sessions]
    assert order == sorted(order)


def sessions_of(in_sessions: Sequence[Row]) -> list[Row]:
    """The definition of the sessions table."""
    visits: dict[str, list[Row]] = {}
    for row in sorted(in_sessions, key=lambda row: int(row["position"])):
        visits.setdefault(row["session_id"], []).append(row)
    return [_summed(visits[name]) for name in sorted(visits)]


def _summed(visit: list[Row]) -> Row:
    def count(kind: Kind) -> int:
        return sum(row["kind"] == kind.value for row in visit)

    bought = [row for row in visit if row["kind"] == "purchase" and row["price"] is not None]
    spent = (Decimal(str(row["price"])) * (1 if row["quantity"] is None else row["quantity"]) for row in bought)
    bots = [row["bot_rule"] for row in visit if row["bot_rule"] is not None]
    first = {name: visit[0][name] for name in ("session_id", "visitor_id", "user_id", "dt", "platform")}
    return first | {
        "start_ts": visit[0]["event_ts"],
        "end_ts": visit[-1]["event_ts"],
        "num_events": len(visit),
        "num_views": count(Kind.VIEW),
        "num_searches": count(Kind.SEARCH),
        "num_carts": count(Kind.CART),
        "num_purchases": count(Kind.PURCHASE),
        "num_items": len({row["item_id"] for row in visit} - {None}),
        "revenue": float(sum(spent, Decimal())),
        "campaign": next((row["campaign"] for row in visit if row["campaign"] is not None), None),
        "bot_rule": bots[0] if bots else None,
        "is_bot": bool(bots),
    }


def test_large_logs_with_ties_equal_the_definition() -> None:
    rows = random_events(seed=1, num_people=3, num_events=300, minutes=60 * 24 * 4)
    draw = random.Random(2)
    rows = [row | {"device_id": draw.choice((None, "d1", "d2"))} for row in rows]
    assert len({(visitor_of(row), row["event_ts"]) for row in rows}) < 0.95 * len(rows), "no ties, no test"
    for limits in (caps(), caps(max_hours=2, max_events=6)):
        found = names(rows, limits)
        rules = {"max_hours": limits.max_hours, "max_events": limits.max_events}
        assert found == {row["event_id"]: session_id for session_id, row in opened(rows, GAP, **rules)}
        assert 50 < len(set(found.values())) < 850


def test_exactly_the_gap_stays_and_a_later_day_renames_nothing() -> None:
    rows = [event("a", 0), event("b", 30), event("c", 60 + 1e-6 / 60), event("d", 60, user_id="u2")]
    later = [event("e", 61), event("f", 60 * 24)]
    before, after = names(rows), names(rows + later)
    assert before == {"a": "a", "b": "a", "c": "c", "d": "d"}
    assert after == before | {"e": "c", "f": "f"}


def test_the_device_says_whose_stream_and_the_login_names_the_whole_session() -> None:
    rows = [
        event("a", 0, device_id="d1", user_id=None),
        event("b", 1, device_id="d1", user_id="ann"),
        event("c", 2, device_id="d1", user_id=None),  # logged out, or not sent along
        event("d", 3, device_id="d1", user_id="ann"),
        event("e", 1, device_id="d2", user_id="ann"),  # her other device is another stream
        event("f", 2, device_id=None, user_id="ann"),  # a till knows no device
    ]
    found, _ = both(rows, caps())
    columns = ("event_id", "session_id", "visitor_id", "user_id", "logged_in", "device_id")
    assert [tuple(row[name] for name in columns) for row in found] == [
        ("f", "f", "ann", "ann", True, None),
        ("a", "a", "d1", "ann", False, "d1"),
        ("b", "a", "d1", "ann", True, "d1"),
        ("c", "a", "d1", "ann", False, "d1"),
        ("d", "a", "d1", "ann", True, "d1"),
        ("e", "e", "d2", "ann", True, "d2"),
    ]


def test_another_login_cuts_and_a_cap_forgets_the_login() -> None:
    def at(name: str, minutes: int, login: str | None) -> Row:
        return event(name, minutes, device_id="d", user_id=login)

    rows = [
        at("a", 0, None),
        at("b", 1, "ann"),
        at("c", 2, None),
        at("d", 3, "bob"),
        at("e", 4, None),
        at("f", 5, "ann"),
    ]
    assert names(rows) == {"a": "a", "b": "a", "c": "a", "d": "d", "e": "d", "f": "f"}
    # With three events to a session, d opens one by the cap: bob is its first login, not its second.
    rows = [
        at("a", 0, "ann"),
        at("b", 1, None),
        at("c", 2, None),
        at("d", 3, None),
        at("e", 4, "bob"),
        at("f", 5, "ann"),
    ]
    assert names(rows, caps(max_events=3)) == {"a": "a", "b": "a", "c": "a", "d": "d", "e": "d", "f": "f"}
    users = {row["session_id"]: row["user_id"] for row in both(rows, caps(max_events=3))[1]}
    assert users == {"a": "ann", "d": "bob", "f": "ann"}


def test_caps_count_from_the_sessions_own_first_event() -> None:
    rows = [event(f"e{n}", 30 * n) for n in range(7)]  # exactly two hours at the fifth
    assert list(names(rows, caps(max_hours=2)).values()) == ["e0"] * 5 + ["e5"] * 2
    rows = [event("first", -500), *rows]  # an earlier session shifts nothing
    assert list(names(rows, caps(max_hours=2)).values()) == ["first"] + ["e0"] * 5 + ["e5"] * 2
    assert list(names(rows[1:], caps(max_events=3)).values()) == ["e0"] * 3 + ["e3"] * 3 + ["e6"]


def test_a_session_belongs_to_the_shops_day_it_starts() -> None:
    midnight = datetime(2001, 1, 15, 23, tzinfo=UTC)  # in Berlin

    def at(event_id: str, minutes: int) -> Row:
        return event(event_id, (midnight - NOON).total_seconds() / 60 + minutes, user_id=event_id[0])

    found, _ = both([at("a1", -10), at("a2", 10), at("b1", 0), at("c1", -1)], caps(), "Europe/Berlin")
    assert {row["event_id"]: row["dt"].day for row in found} == {"a1": 15, "a2": 15, "b1": 16, "c1": 15}


def test_midnights_of_days_with_23_and_25_hours() -> None:
    """New York in 2001: clocks forward on 1 April, back on 28 October, both at 2."""
    zone = ZoneInfo("America/New_York")
    days = [date(2001, 4, 1), date(2001, 4, 2), date(2001, 10, 28), date(2001, 10, 29)]
    rows = []
    for day in days:
        midnight = datetime(day.year, day.month, day.day, tzinfo=zone).astimezone(UTC)
        for name, seconds in (("before", -1), ("after", 0)):
            minutes = (midnight - NOON).total_seconds() / 60 + seconds / 60
            rows.append(event(f"{name}-{day}", minutes, user_id=f"{name}-{day}"))
    found, _ = both(rows, caps(), "America/New_York")
    assert {row["event_id"]: row["dt"] for row in found} == {
        f"{name}-{day}": day - timedelta(days=name == "before") for day in days for name in ("before", "after")
    }


def test_one_row_per_session_by_hand() -> None:
    rows = [
        event("a", 0, kind="search", item_id=None, platform="app"),
        event("b", 1, item_id="i1"),
        event("c", 2, item_id="i1", campaign="mail"),
        event("d", 3, kind="cart", item_id="i2", price=9.0, quantity=1, campaign="spring"),
        event("e", 4, kind="purchase", item_id="i2", price=0.1, quantity=3),
        event("f", 4, kind="purchase", item_id="i3", price=None, quantity=2),
        event("g", 4, kind="purchase", item_id="i4", price=0.2, quantity=None),
        event("h", 5, kind="return", item_id="i4", price=5.0, quantity=1),
        event("x", 0, user_id="u2", kind="click", item_id=None),
        event("y", 9, user_id="u2", bot_rule="rate"),
        event("z", 10, user_id="u2", bot_rule="agent"),
    ]
    in_sessions, (first, second) = both(rows, caps())
    assert first == {
        "session_id": "a",
        "visitor_id": "u1",
        "user_id": "u1",
        "dt": DAY,
        "start_ts": NOON,
        "end_ts": NOON + timedelta(minutes=5),
        "num_events": 8,
        "num_views": 2,
        "num_searches": 1,
        "num_carts": 1,
        "num_purchases": 3,
        "num_items": 4,
        "revenue": 0.5,
        "platform": "app",
        "campaign": "mail",
        "bot_rule": None,
        "is_bot": False,
    }
    assert (second["num_events"], second["num_items"], second["revenue"], second["campaign"]) == (3, 1, 0.0, None)
    assert (second["bot_rule"], second["is_bot"]) == ("rate", True)
    assert [row["is_bot"] for row in in_sessions] == [False] * 8 + [True] * 3


def test_revenue_does_not_depend_on_the_order_of_adding() -> None:
    """Doubles would give 0.9999999999999999 for ten dimes, and lose a cent beside a million."""
    dimes = [event(f"a{n}", n, kind="purchase", price=0.1) for n in range(10)]
    large = [event("b", 0, user_id="u2", kind="purchase", price=999_999.99, quantity=100_000)]
    small = [event(f"c{n}", n, user_id="u2", kind="purchase", price=0.01) for n in range(3)]
    for rows in ([*dimes, *large, *small], [*small[::-1], *large, *dimes[::-1]]):
        assert [row["revenue"] for row in both(rows, caps())[1]] == [1.0, 99_999_999_000.03]


def test_nothing_and_nobody_logged_in() -> None:
    assert both([], caps()) == ([], [])
    rows = [event("a", device_id="d", user_id=None), event("b", 1, device_id="d", user_id=None)]
    (whole,) = both(rows, caps())[1]
    assert (whole["visitor_id"], whole["user_id"], whole["num_events"]) == ("d", None, 2)


@settings(max_examples=50, deadline=None)
@given(logs(max_size=15))
def test_stored_sessions_give_their_stream_back(log: tuple[list[Row], str]) -> None:
    rows, zone = log
    stream = stream_of(arrow(EVENTS, in_order(rows)))
    back = stream_in(cut(rows, caps(max_events=3), zone))
    key = [("event_id", "ascending")]
    assert back.sort_by(key).to_pylist() == stream.sort_by(key).to_pylist()


# -- night by night


class Shop:
    """One bucket: events as clean leaves them, and what sessionize makes of them night by night."""

    def __init__(self, sessions: Sessions, zone: str = "UTC") -> None:
        self.sessions = sessions
        self.zone = zone
        self.events: dict[str, Row] = {}
        self.bucket = Bucket()

    def night(self, number: int, arrive: Sequence[Row], leave: Sequence[str] = ()) -> Row:
        """Replace events, then rebuild what the change touches; an event that arrives again has its new content."""
        before = [self.events[name] for name in (*leave, *(r["event_id"] for r in arrive)) if name in self.events]
        self.events = {name: row for name, row in self.events.items() if name not in leave}
        self.events |= {row["event_id"]: row for row in arrive}
        days = sorted({row["dt"] for row in (*arrive, *before)})
        for day in days:
            rows = [row for row in self.events.values() if row["dt"] == day]
            self.bucket.put(EVENTS, {(EVENTS.name, day): arrow(EVENTS, rows)})
        self.bucket.asked.clear()
        night = DAY + timedelta(days=number)
        work = Sessionize({0: tuple(days)}, night, self.sessions, CLEAN, self.zone)
        tables, report = work(0, pa.table({}), self.bucket)
        for table in (SESSION_EVENTS, SESSIONS, SESSION_RENAMES):
            self.bucket.put(table, tables)
        return report

    def in_sessions(self) -> list[Row]:
        return self.bucket.rows(SESSION_EVENTS)

    def names(self) -> dict[str, str]:
        return {row["event_id"]: row["session_id"] for row in self.in_sessions()}

    def renames(self, number: int) -> set[tuple[str, str, str]]:
        rows = [row for row in self.bucket.rows(SESSION_RENAMES) if row["dt"] == DAY + timedelta(days=number)]
        return {(row["old_session_id"], row["session_id"], row["visitor_id"]) for row in rows}

    def check(self) -> None:
        """Both tables are what one run over everything gives."""
        wanted = expected(list(self.events.values()), self.sessions, self.zone)
        assert by_event(self.in_sessions()) == by_event(wanted)
        whole = self.bucket.rows(SESSIONS)
        assert sorted(whole, key=lambda row: str(row["session_id"])) == sessions_of(wanted)
        for (name, day), rows in self.bucket.tables.items():
            if name == SESSION_EVENTS.name:
                order = [(row["visitor_id"], row["event_ts"], row["event_id"]) for row in rows_of(rows)]
                assert order == sorted(order)
            assert set(rows["dt"].to_pylist()) == {day}, name


def renamed(before: Sequence[Row], after: dict[str, str]) -> set[tuple[str, str, str]]:
    """The definition of a rename: the first event that a session still has is in one of another name now."""
    first: dict[str, Row] = {}
    for row in sorted(before, key=lambda row: int(row["position"])):
        if row["event_id"] in after:
            first.setdefault(row["session_id"], row)
    return {
        (old, after[row["event_id"]], row["visitor_id"]) for old, row in first.items() if after[row["event_id"]] != old
    }


_CHANGE = st.sampled_from(
    [
        {},
        {"price": 77.0},
        {"bot_rule": "rate"},
        {"user_id": "bob"},
        {"device_id": "d2"},
        {"landed": date(2001, 2, 1)},
        {"minutes": 45},
        {"minutes": -700},
    ]
)
#: An event's night of arrival, and the night on which it changes (or leaves, for null), if it does.
_FATE = st.tuples(st.integers(0, 3), st.one_of(st.none(), st.tuples(st.integers(1, 3), st.one_of(st.none(), _CHANGE))))


def fated(rows: Sequence[Row], fates: Sequence[Any], zone: str) -> list[tuple[list[Row], list[str]]]:
    """Nights of (events that arrive, ids that leave)."""
    arrive: list[list[Row]] = [[], [], [], []]
    leave: list[list[str]] = [[], [], [], []]
    for row, (night, fate) in zip(rows, fates, strict=True):
        arrive[night].append(row)
        if fate is None or fate[0] <= night:
            continue
        later, change = fate
        if change is None:
            leave[later].append(row["event_id"])
        else:
            at = row["event_ts"] + timedelta(minutes=change.get("minutes", 0))
            moved = row | {k: v for k, v in change.items() if k != "minutes"}
            arrive[later].append(moved | {"event_ts": at, "dt": at.astimezone(ZoneInfo(zone)).date()})
    return list(zip(arrive, leave, strict=True))


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[tuple[list[Row], list[str]]], str]:
    """Four nights of late, corrected, moved and withdrawn events, and a time zone."""
    zone, start = draw(st.sampled_from(ZONES)), draw(st.sampled_from(BEGINNINGS))
    drawn = draw(st.lists(st.tuples(_OF_AN_EVENT, _FATE), max_size=30))
    return fated(built([one for one, _ in drawn], start, zone), [fate for _, fate in drawn], zone), zone


@settings(max_examples=60, deadline=None)
@given(histories(), LIMITS)
def test_nights_equal_one_run_over_everything(
    history: tuple[list[tuple[list[Row], list[str]]], str], limits: Sessions
) -> None:
    nights, zone = history
    shop = Shop(limits, zone)
    for number, (arrive, leave) in enumerate(nights):
        before, num_before = shop.in_sessions(), len(shop.in_sessions())
        report = shop.night(number, arrive, leave)
        shop.check()
        assert shop.renames(number) == renamed(before, shop.names())
        assert report["renamed"] == len(shop.renames(number))
        assert len(shop.in_sessions()) == num_before + report["added"] - report["removed"]
        assert report["rows"] - report["replaced"] == report["added"] - report["removed"]


@pytest.mark.parametrize("limits", [caps(), caps(max_hours=2, max_events=6)], ids=["wide", "narrow"])
def test_long_nights_equal_one_run_over_everything(limits: Sessions) -> None:
    draw = random.Random(20010115)
    rows = random_events(20010115, num_people=3, num_events=150, minutes=60 * 24 * 3)
    rows = [row | {"device_id": draw.choice((None, "d1", "d1"))} for row in rows]
    fates: list[Any] = []
    for row in rows:
        night = min((row["dt"] - DAY).days + draw.choice((0, 0, 0, 0, 1, 3)), 3)
        change = draw.choice(({"price": 77.0}, {"user_id": "u0"}, {"minutes": 45}, {"minutes": -700}, None))
        fates.append((night, (draw.randrange(4), change) if draw.random() < 0.1 else None))
    shop = Shop(limits)
    for number, (arrive, leave) in enumerate(fated(rows, fates, "UTC")):
        before = shop.in_sessions()
        shop.night(number, arrive, leave)
        shop.check()
        assert shop.renames(number) == renamed(before, shop.names())
    assert len(shop.in_sessions()) > 400


def test_a_late_event_joins_sessions_and_its_departure_parts_them() -> None:
    shop = Shop(caps())
    other = event("z", 0, user_id="u2")
    shop.night(0, [event("a", 0), event("c", 50), other])
    assert shop.names() == {"a": "a", "c": "c", "z": "z"}
    shop.night(1, [event("b", 25)])
    assert {row["event_id"]: (row["session_id"], row["position"]) for row in shop.in_sessions()} == {
        "a": ("a", 1),
        "b": ("a", 2),
        "c": ("a", 3),
        "z": ("z", 1),
    }
    assert shop.renames(1) == {("c", "a", "u1")}
    shop.night(2, [], ["b"])
    assert shop.names() == {"a": "a", "c": "c", "z": "z"}
    assert shop.renames(2) == set(), "a keeps its name; that c has one again is no rename"
    shop.night(3, [], ["a", "c", "z"])
    assert shop.in_sessions() == shop.bucket.rows(SESSIONS) == []


def test_a_first_event_that_comes_late_or_goes_renames_the_session() -> None:
    shop = Shop(caps())
    shop.night(0, [event("b", 10), event("c", 20)])
    shop.night(1, [event("a", 0)])
    assert (shop.names(), shop.renames(1)) == ({"a": "a", "b": "a", "c": "a"}, {("b", "a", "u1")})
    shop.night(2, [], ["a"])
    assert (shop.names(), shop.renames(2)) == ({"b": "b", "c": "b"}, {("a", "b", "u1")})
    shop.night(3, [], ["b", "c"])
    assert shop.renames(3) == set(), "a session without any event left has no new name"


def test_a_night_that_runs_again_keeps_what_it_had_renamed() -> None:
    """Its first run saw one late event, its second another: both renames belong to the night, each name once."""
    shop = Shop(caps())
    shop.night(0, [event("b", 10), event("y", 10, user_id="u2")])
    shop.night(1, [event("a", 0)])
    shop.night(1, [event("x", 0, user_id="u2")])
    assert shop.renames(1) == {("b", "a", "u1"), ("y", "x", "u2")}
    shop.night(1, [], ["a"])
    assert shop.renames(1) == {("a", "b", "u1"), ("y", "x", "u2")}, "b is in use again: no rename may lead in a circle"
    shop.night(1, [event("0", 5)])
    assert shop.renames(1) == {("b", "0", "u1"), ("a", "b", "u1"), ("y", "x", "u2")}


def test_without_changes_nothing_is_pulled_or_written() -> None:
    rows = random_events(seed=5, num_people=2, num_events=40, minutes=60 * 24)
    rows.append(event("nulls", 3, price=None, quantity=None, user_id="u7"))
    shop = Shop(caps())
    shop.night(0, rows)
    days = shop.bucket.days(EVENTS)
    arguments: dict[str, Any] = {"night": DAY, "sessions": caps(), "clean": CLEAN, "time_zone": "UTC"}
    done = rebuild(shop.bucket, days, **arguments)
    assert (done.session_events, done.sessions, len(done.renames), done.num_added, done.num_removed) == (
        {},
        {},
        0,
        0,
        0,
    )
    shop.bucket.asked.clear()
    assert rebuild(shop.bucket, [], **arguments).session_events == {}
    assert shop.bucket.asked == []


def test_a_change_rewrites_its_own_days_and_reads_those_around() -> None:
    """Twenty days of three people; on the tenth day, one event of one of them is late."""
    shop = Shop(caps())
    people = ("u1", "u2", "u3")
    hours = range(0, 24 * 20, 5)
    shop.night(0, [event(f"{who}-{n}", 60 * n, user_id=who) for who in people for n in hours])
    before = dict(shop.bucket.tables)
    late = DAY + timedelta(days=10)
    shop.night(1, [event("late", 60 * 24 * 10 + 7)])
    shop.check()
    changed = {key for key, rows in shop.bucket.tables.items() if not rows.equals(before.get(key, rows.slice(0, 0)))}
    assert changed == {(table.name, late) for table in (EVENTS, SESSION_EVENTS, SESSIONS)}
    read = {day for name, day in shop.bucket.asked if name == SESSION_EVENTS.name}
    assert late in read
    assert {abs((day - late).days) for day in read} <= {0, 1, 2}


@pytest.mark.parametrize("limits", [caps(), caps(max_hours=2), caps(max_events=50)], ids=["day", "hours", "events"])
def test_a_machine_that_never_pauses_spills_over_every_day(limits: Sessions) -> None:
    """A cap's cut moves all later ones: a late first event shifts every session of the five days."""
    beats = [event(f"m{n:03d}", 20 * n, user_id="machine") for n in range(3 * 24 * 5)]
    person = [event(f"p{n}", 60 * 7 * n, user_id="person") for n in range(17)]
    shop = Shop(limits)
    shop.night(0, beats + person)
    before = shop.in_sessions()
    shop.night(1, [event("early", -10, user_id="machine")])
    shop.check()
    last = max(row["dt"] for row in before if row["visitor_id"] == "machine")
    assert {old for old, _, _ in shop.renames(1)} == {
        row["session_id"] for row in before if row["visitor_id"] == "machine" and row["position"] == 1
    }
    assert (SESSION_EVENTS.name, last) in shop.bucket.asked
    # Without its heart for an hour, nothing after that shifts back.
    shop.night(2, [], [f"m{n:03d}" for n in range(100, 103)])
    shop.check()
    shop.night(3, [row for row in beats if row["event_id"] in ("m100", "m101", "m102")], ["early"])
    shop.check()
    assert by_event(shop.in_sessions()) == by_event(before)


def test_silence_may_last_longer_than_a_day() -> None:
    """With a gap of three days, what a late event joins lies days away on either side."""
    sessions = Sessions(gap_minutes=60 * 24 * 3, max_hours=24 * 9, max_events=5000, frozen_after_days=90)
    shop = Shop(sessions)
    far = 60 * 24
    rows = [event("a", -6 * far), event("b", -3 * far), event("d", 3 * far), event("e", 3 * far + 1)]
    shop.night(0, rows)
    assert shop.names() == {"a": "a", "b": "a", "d": "d", "e": "d"}
    shop.night(1, [event("c", 0)])
    assert shop.names() == dict.fromkeys("abcde", "a") | {"e": "e"}
    whole = session_rows(list(shop.events.values()), timedelta(days=3), max_hours=24 * 9)
    assert by_event(shop.in_sessions()) == by_event(whole)
