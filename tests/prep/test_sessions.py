"""Sessions against their definition in plain Python, whole and night by night."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F
from tests.prep.small_log import NOON, Row, event, frame, opened, plain, random_events, session_rows

from nightjar.contracts import EVENTS, SESSION_EVENTS, SESSIONS
from nightjar.prep.sessions import changed, person, rebuilt, session_events_from, sessions_from, with_session
from nightjar.settings import Sessions

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

GAP = timedelta(minutes=30)
CAPS = Sessions(gap_minutes=30, max_hours=2, max_events=6)
WIDE = Sessions(gap_minutes=30, max_hours=24, max_events=5000)


def by_event(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row["event_id"])


def test_names_equal_the_definition_on_ties(spark: SparkSession) -> None:
    rows = random_events(seed=1, num_people=3, num_events=300, minutes=60 * 24 * 4)
    assert len({(row["user_id"], row["event_ts"]) for row in rows}) < 0.95 * len(rows), "no ties, no test"
    found = with_session(frame(spark, EVENTS, rows), GAP).select("event_id", "session_id").collect()
    expected = {row["event_id"]: session_id for session_id, row in opened(rows, GAP)}
    assert {row["event_id"]: row["session_id"] for row in found} == expected
    assert 50 < len(set(expected.values())) < 850


def test_exactly_the_gap_stays_and_a_later_day_renames_nothing(spark: SparkSession) -> None:
    rows = [event("a", 0), event("b", 30), event("c", 60 + 1e-6 / 60), event("d", 60, user_id="u2")]
    later = [event("e", 61), event("f", 60 * 24)]
    before = with_session(frame(spark, EVENTS, rows), GAP).select("event_id", "session_id").collect()
    after = with_session(frame(spark, EVENTS, rows + later), GAP).select("event_id", "session_id").collect()
    assert dict(map(tuple, before)) == {"a": "a", "b": "a", "c": "c", "d": "d"}
    assert dict(map(tuple, after)) == dict(map(tuple, before)) | {"e": "c", "f": "f"}


def test_one_exchange_and_one_sort(spark: SparkSession) -> None:
    events = frame(spark, EVENTS, [event("a")])
    physical = with_session(events, GAP)._jdf.queryExecution().sparkPlan().toString()
    executed = with_session(events, GAP)._jdf.queryExecution().executedPlan().toString()
    assert physical.count("Window [") == 2
    assert executed.count("Exchange ") == 1
    assert executed.count("Sort [") == 1


def test_caps_equal_the_definition_and_keep_every_column(spark: SparkSession) -> None:
    rows = random_events(seed=2, num_people=3, num_events=120, minutes=60 * 20)
    rows += [event(f"edge{n}", 20000 + 30 * n, user_id="u9") for n in range(7)]  # exactly two hours at the fifth
    found = plain(session_events_from(frame(spark, EVENTS, rows), CAPS, "UTC").collect())
    expected = session_rows(rows, GAP, max_hours=2, max_events=6)
    assert by_event(found) == by_event(expected)
    assert Counter(row["session_id"] for row in found if row["user_id"] == "u9") == {"edge0": 5, "edge5": 2}
    assert max(row["position"] for row in found) == 6


def test_a_session_belongs_to_the_shops_day_it_starts(spark: SparkSession) -> None:
    midnight = datetime(2001, 1, 15, 23, tzinfo=UTC)  # in Berlin

    def at(event_id: str, minutes: int) -> Row:
        return event(event_id, (midnight - NOON).total_seconds() / 60 + minutes, user_id=event_id[0])

    rows = [at("a1", -10), at("a2", 10), at("b1", 0), at("c1", -1)]
    found = session_events_from(frame(spark, EVENTS, rows), WIDE, "Europe/Berlin").select("event_id", "dt").collect()
    days = {row["event_id"]: row["dt"].day for row in found}
    assert days == {"a1": 15, "a2": 15, "b1": 16, "c1": 15}


def test_one_row_per_session_by_hand(spark: SparkSession) -> None:
    rows = [
        event("a", 0, kind="search", item_id=None, platform="app"),
        event("b", 1, item_id="i1"),
        event("c", 2, item_id="i1"),
        event("d", 3, kind="cart", item_id="i2", price=9.0, quantity=1),
        event("e", 4, kind="purchase", item_id="i2", price=0.1, quantity=3),
        event("f", 4, kind="purchase", item_id="i3", price=None, quantity=2),
        event("g", 4, kind="purchase", item_id="i4", price=0.2, quantity=None),
        event("h", 5, kind="return", item_id="i4", price=5.0, quantity=1),
        event("x", 0, user_id="u2", kind="click", item_id=None),
        event("y", 9, user_id="u2", bot_rule="rate"),
    ]
    whole = sessions_from(session_events_from(frame(spark, EVENTS, rows), WIDE, "UTC"))
    assert whole.columns == list(SESSIONS.names)
    first, second = sorted(plain(whole.collect()), key=lambda row: row["user_id"])
    assert first == {
        "session_id": "a",
        "user_id": "u1",
        "dt": date(2001, 1, 15),
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
        "is_bot": False,
    }
    assert (second["num_events"], second["num_items"], second["revenue"], second["is_bot"]) == (2, 1, 0.0, True)


def test_people_are_logins_or_else_devices(spark: SparkSession) -> None:
    rows = [event("a", device_id="d1"), event("b", user_id=None, device_id="d1")]
    assert [row[0] for row in frame(spark, EVENTS, rows).select(person()).collect()] == ["u1", "d1"]


# -- night by night


class Shop:
    """Events as the lake holds them and session_events as sessionize keeps them."""

    def __init__(self, spark: SparkSession, sessions: Sessions) -> None:
        self.spark = spark
        self.sessions = sessions
        self.events: dict[str, Row] = {}
        self.stored: list[Row] = []

    def night(self, arrive: list[Row], leave: list[str]) -> None:
        """Replace events, then rebuild what the change touches; an event that arrives again takes its new content."""
        before = [self.events[name] for name in (*leave, *(r["event_id"] for r in arrive)) if name in self.events]
        days = sorted({row["dt"] for row in (*arrive, *before)})
        self.events = {k: v for k, v in self.events.items() if k not in leave} | {
            row["event_id"]: row for row in arrive
        }
        touched = [row for row in self.events.values() if row["dt"] in days]
        stored = frame(self.spark, SESSION_EVENTS, self.stored)
        added, removed = changed(frame(self.spark, EVENTS, touched), stored, "UTC", days=days)
        fresh, replaced = rebuilt(added, removed, stored, self.sessions, "UTC")
        sides = fresh.withColumn("is_fresh", F.lit(True)).unionByName(replaced.withColumn("is_fresh", F.lit(False)))
        rows = plain(sides.collect())
        gone = {(row["session_id"], row["event_id"]) for row in rows if not row["is_fresh"]}
        untouched = [row for row in self.stored if (row["session_id"], row["event_id"]) not in gone]
        self.stored = untouched + [
            {name: row[name] for name in SESSION_EVENTS.names} for row in rows if row["is_fresh"]
        ]


def nights(seed: int) -> list[tuple[list[Row], list[str]]]:
    """Three days of three people as four nights: late events, corrected ones, moved ones, and some that disappear."""
    draw = random.Random(seed)
    rows = random_events(seed, num_people=3, num_events=150, minutes=60 * 24 * 3)
    first = min(row["dt"] for row in rows)
    arrive: list[list[Row]] = [[], [], [], []]
    leave: list[list[str]] = [[], [], [], []]
    for row in rows:
        night = min((row["dt"] - first).days + draw.choice((0, 0, 0, 0, 1, 3)), 3)
        arrive[night].append(row)
        if night < 3 and draw.random() < 0.04:
            leave[draw.randrange(night + 1, 4)].append(row["event_id"])
        elif night < 3 and draw.random() < 0.06:
            moved = row["event_ts"] + timedelta(minutes=draw.choice((0, 0, 45, -700)))
            change = draw.choice(
                ({"price": 77.0}, {"bot_rule": "rate"}, {"user_id": "u0"}, {"landed": date(2001, 2, 1)}, {})
            )
            arrive[draw.randrange(night + 1, 4)].append(row | {"event_ts": moved, "dt": moved.date()} | change)
    return list(zip(arrive, leave, strict=True))


@pytest.mark.parametrize("caps", [WIDE, CAPS], ids=["wide", "caps"])
def test_nights_equal_one_run_over_everything(spark: SparkSession, caps: Sessions) -> None:
    shop = Shop(spark, caps)
    for arrive, leave in nights(seed=20010115):
        shop.night(arrive, leave)
        expected = session_rows(list(shop.events.values()), GAP, max_hours=caps.max_hours, max_events=caps.max_events)
        assert by_event(shop.stored) == by_event(expected)


def test_changes_by_hand(spark: SparkSession) -> None:
    """A late event joins two sessions, its departure parts them again, and an emptied day loses its sessions."""
    shop = Shop(spark, WIDE)
    other = event("z", 0, user_id="u2")
    shop.night([event("a", 0), event("c", 50), other], [])
    assert {row["event_id"]: row["session_id"] for row in shop.stored} == {"a": "a", "c": "c", "z": "z"}
    shop.night([event("b", 25)], [])
    assert {row["event_id"]: (row["session_id"], row["position"]) for row in shop.stored} == {
        "a": ("a", 1),
        "b": ("a", 2),
        "c": ("a", 3),
        "z": ("z", 1),
    }
    shop.night([], ["b"])
    assert {row["event_id"]: row["session_id"] for row in shop.stored} == {"a": "a", "c": "c", "z": "z"}
    shop.night([], ["a", "c", "z"])
    assert shop.stored == []


def test_without_changes_nothing_is_pulled(spark: SparkSession) -> None:
    rows = random_events(seed=5, num_people=2, num_events=40, minutes=60 * 24)
    rows.append(event("nulls", 3, price=None, quantity=None, user_id="u7"))
    stored = frame(spark, SESSION_EVENTS, session_rows(rows, GAP))
    days = sorted({row["dt"] for row in rows})
    added, removed = changed(frame(spark, EVENTS, rows), stored, "UTC", days=days)
    assert added.columns == list(EVENTS.names)
    assert removed.columns == list(SESSION_EVENTS.names)
    assert added.select("event_id").union(removed.select("event_id")).collect() == []
