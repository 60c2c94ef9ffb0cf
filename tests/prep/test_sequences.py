"""Histories against their definition in plain Python, and the instant that nothing later may cross."""

from __future__ import annotations

import random
import zlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from pyspark.sql import functions as F
from tests.prep.small_log import DAY, NOON, Row, by_person, event, frame, plain, random_events, session_rows

from nightjar.contracts import HOLDOUT, SEQUENCES, SESSION_EVENTS, VOCABULARY, Kind, Platform
from nightjar.prep.identity import of_persons
from nightjar.prep.sequences import STRENGTH, entries, holdout_from, people, sequences_from, vocabulary_from

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark

GAP = timedelta(minutes=30)
KINDS = (Kind.VIEW, Kind.CART, Kind.PURCHASE)
BUCKETS = {"i0": 1, "i1": 10, "i2": 5}  # i3 and i4 have none
CATEGORIES = {"i0": "Tee", "i2": "Kännchen"}


def in_sessions(rows: Sequence[Row]) -> list[Row]:
    """Rows of session_events of visitors without a device."""
    found = session_rows(rows, GAP)
    bots = {row["session_id"] for row in found if row["bot_rule"]}
    return [row | {"visitor_id": row["user_id"], "is_bot": row["session_id"] in bots} for row in found]


def visits(spark: SparkSession, rows: Sequence[Row], zone: str = "UTC") -> DataFrame:
    day = F.to_date(F.from_utc_timestamp("event_ts", zone))
    return frame(spark, SESSION_EVENTS, in_sessions(rows)).withColumn("event_dt", day)


def folded(rows: Sequence[Row], kinds: Sequence[Kind]) -> dict[str, list[Row]]:
    """The definition of entries: one person's item events in order, runs on one item as one entry."""
    found: dict[str, list[Row]] = {}
    for person, events in by_person(rows).items():
        runs: list[Row] = []
        for row in events:
            if row["item_id"] is None or row["kind"] not in [kind.value for kind in kinds]:
                continue
            if not runs or runs[-1]["item_id"] != row["item_id"]:
                runs.append(dict(row))
            elif STRENGTH.index(Kind(row["kind"])) > STRENGTH.index(Kind(runs[-1]["kind"])):
                runs[-1]["kind"] = row["kind"]
        found[person] = runs
    return found


def sequences(spark: SparkSession, events: DataFrame, *, as_of: date = DAY, max_events: int = 200) -> dict[str, Row]:
    known = [(item, bucket, CATEGORIES.get(item)) for item, bucket in BUCKETS.items()]
    items = spark.createDataFrame(known, "item_id STRING, price_bucket INT, category STRING")
    found = sequences_from(events, items, as_of=as_of, kinds=KINDS, max_events=max_events)
    assert found.columns == list(SEQUENCES.names)
    rows = plain(found.collect())
    assert len({row["user_id"] for row in rows}) == len(rows)
    return {row["user_id"]: row for row in rows}


def category_code(item_id: str) -> int:
    category = CATEGORIES.get(item_id)
    return 0 if category is None else zlib.crc32(category.encode()) % 4095 + 1


def expected_sequences(rows: Sequence[Row], as_of: date, max_events: int) -> dict[str, Row]:
    sessions = {row["event_id"]: row["session_id"] for row in session_rows(rows, GAP)}
    past, result = [row for row in rows if row["event_ts"].date() <= as_of], {}
    last = {person: events[-1]["platform"] for person, events in by_person(past).items()}
    for person, runs in folded(past, KINDS).items():
        latest = runs[-max_events:]
        names = list(dict.fromkeys(sessions[run["event_id"]] for run in latest))
        result[person] = {
            "user_id": person,
            "dt": as_of,
            "item_ids": [run["item_id"] for run in latest],
            "kinds": [Kind(run["kind"]).code for run in latest],
            "event_ts": [int(run["event_ts"].timestamp()) for run in latest],
            "platforms": [Platform(run["platform"]).code for run in latest],
            "last_platform": last[person],
            "session_ordinals": [names.index(sessions[run["event_id"]]) + 1 for run in latest],
            "price_buckets": [BUCKETS.get(run["item_id"], 0) for run in latest],
            "category_codes": [category_code(run["item_id"]) for run in latest],
            "num_events": len(runs),
        }
    return result


def test_histories_equal_the_definition(spark: SparkSession) -> None:
    """On ties and repeats, cut to the latest, and cut at the instant."""
    rows = random_events(seed=7, num_people=3, num_events=120, minutes=60 * 24 * 3)
    rows += [
        event("s1", 0, user_id="searcher", kind="search", item_id=None),
        event("s2", 9, user_id="searcher", kind="uncart"),
    ]
    events = visits(spark, rows).persist()
    for as_of, max_events in ((DAY + timedelta(days=3), 200), (DAY + timedelta(days=1), 10)):
        expected = expected_sequences(rows, as_of, max_events)
        assert sequences(spark, events, as_of=as_of, max_events=max_events) == expected
        assert expected["searcher"]["item_ids"] == []
        assert expected["u0"]["num_events"] > 20
    events.unpersist()


def test_nothing_later_than_the_instant_moves_a_row(spark: SparkSession) -> None:
    rows = random_events(seed=8, num_people=3, num_events=80, minutes=60 * 24 * 4)
    as_of = DAY + timedelta(days=1)
    past = [row for row in rows if row["dt"] <= as_of]
    draw = random.Random(9)
    later = []
    for row in (row for row in rows if row["dt"] > as_of):
        at = datetime(2001, 1, 17, tzinfo=UTC) + timedelta(seconds=draw.randrange(10**6))
        later.append(
            row
            | {
                "event_ts": at,
                "dt": at.date(),
                "item_id": "i9",
                "kind": "purchase",
                "user_id": draw.choice(("u0", "new")),
            }
        )
    assert len(later) > 50
    before, after = (sequences(spark, visits(spark, log), as_of=as_of) for log in (past, past + later))
    assert set(before) == {"u0", "u1", "u2"}
    assert after == before


def test_entries_by_hand(spark: SparkSession) -> None:
    rows = [
        event("a", 0, item_id="x", kind="view", platform="app"),
        event("b", 1, item_id="x", kind="purchase"),
        event("c", 2, item_id="x", kind="cart"),
        event("d", 3, kind="search", item_id=None),  # neither breaks nor joins a run
        event("e", 300, item_id="x"),  # another session, the same run
        event("f", 301, item_id="y", kind="uncart"),  # a kind that was not asked for
        event("g", 302, item_id="x", kind="cart"),
        event("h", 303, item_id="y"),
        event("i", 304, item_id="x"),
    ]
    found = entries(visits(spark, rows), KINDS).orderBy("event_ts").collect()
    columns = ("item_id", "kind", "event_id", "platform", "session_id")
    assert [tuple(row[name] for name in columns) for row in found] == [
        ("x", "purchase", "a", "app", "a"),
        ("y", "view", "h", "web", "e"),
        ("x", "view", "i", "web", "e"),
    ]
    everything = entries(visits(spark, rows), list(Kind)).orderBy("event_ts").collect()
    assert [(row["item_id"], row["kind"], row["event_id"]) for row in everything] == [
        ("x", "purchase", "a"),
        ("y", "uncart", "f"),
        ("x", "cart", "g"),
        ("y", "view", "h"),
        ("x", "view", "i"),
    ]


def test_one_person_on_three_platforms_is_one_sequence(spark: SparkSession) -> None:
    """Sessions on two devices interleave; the phone's begins with a search and is the first all the same."""
    rows = [
        event("a", 0, user_id="phone", platform="app", kind="search", item_id=None),
        event("b", 1, user_id="laptop", item_id="x"),
        event("c", 2, user_id="phone", platform="app", item_id="y"),
        event("d", 3, user_id="laptop", item_id="z"),
        event("e", 4, user_id="phone", platform="app", item_id="x"),
        event("f", 5, user_id="laptop", item_id="x", kind="cart"),  # the same item on another device: one entry
        event("g", 100, user_id="mini", platform="mini_program", item_id="w"),
        event("h", 2, user_id="stranger", item_id="x"),
    ]
    of_visitors = [
        row | {"user_id": {"laptop": "ann", "mini": "ann"}.get(row["visitor_id"])} for row in in_sessions(rows)
    ]
    events = frame(spark, SESSION_EVENTS, of_visitors).withColumn("event_dt", F.to_date("event_ts"))
    assignment = spark.createDataFrame([("phone", "ann"), ("ann", "ann")], "member_id STRING, person_id STRING")
    events = of_persons(events, assignment).persist()
    assert all(row["user_id"] for row in events.collect())
    found = sequences(spark, events)
    assert set(found) == {"ann", "stranger"}
    ann = found["ann"]
    assert ann["item_ids"] == ["x", "y", "z", "x", "w"]
    assert ann["kinds"] == [1, 1, 1, 3, 1]
    assert ann["platforms"] == [1, 2, 1, 2, 3]
    assert ann["session_ordinals"] == [2, 1, 2, 1, 3]
    assert sequences(spark, events, max_events=2)["ann"]["session_ordinals"] == [1, 2]
    events.unpersist()


def test_windows_over_persons_and_sessions_share_one_exchange(spark: SparkSession) -> None:
    found = entries(visits(spark, [event("a")]), KINDS)
    assert found._jdf.queryExecution().executedPlan().toString().count("Exchange ") == 1


def test_every_kind_that_names_items_has_a_strength() -> None:
    assert set(STRENGTH) == set(Kind) - {Kind.SEARCH, Kind.COUPON}


def test_a_session_with_a_bot_in_it_leaves_whole(spark: SparkSession) -> None:
    rows = [event("a", 0), event("b", 1, bot_rule="rate"), event("c", 2), event("d", 60), event("e", 0, user_id="u2")]
    found = people(frame(spark, SESSION_EVENTS, in_sessions(rows)))
    assert found.columns == list(SESSION_EVENTS.names)
    assert sorted(row["event_id"] for row in found.collect()) == ["d", "e"]


# -- what came after


def test_the_holdout_begins_and_ends_at_the_shops_midnight(spark: SparkSession) -> None:
    """Berlin leaves summer time on 28 October 2001: that day has 25 hours, and its midnights differ in UTC."""
    zone = ZoneInfo("Europe/Berlin")

    def at(name: str, day: int, hour: int, minute: int, item: str) -> Row:
        instant = datetime(2001, 10, day, hour, minute, tzinfo=zone).astimezone(UTC)
        return event(name, (instant - NOON).total_seconds() / 60, item_id=item, user_id="u1")

    rows = [
        at("a", 27, 23, 59, "before"),
        at("b", 28, 0, 0, "first"),
        at("c", 28, 23, 59, "second"),
        at("d", 29, 23, 59, "last"),
        at("e", 30, 0, 0, "after"),
        at("f", 28, 12, 0, "first") | {"user_id": "u2", "kind": "search", "item_id": None},
    ]
    events = visits(spark, rows, "Europe/Berlin").persist()
    found = holdout_from(events, as_of=date(2001, 10, 27), days=2, kinds=KINDS)
    assert found.columns == list(HOLDOUT.names)
    (row,) = plain(found.collect())
    assert (row["user_id"], row["dt"]) == ("u1", date(2001, 10, 27))
    assert row["item_ids"] == ["first", "second", "last"]
    assert row["kinds"] == [1, 1, 1]
    assert row["event_ts"] == [int(datetime(2001, 10, 27, 22, tzinfo=UTC).timestamp()), 1004309940, 1004396340]
    past = sequences(spark, events, as_of=date(2001, 10, 27))
    assert past["u1"]["item_ids"] == ["before"]
    events.unpersist()


def test_history_and_holdout_share_no_event(spark: SparkSession) -> None:
    rows = random_events(seed=10, num_people=3, num_events=80, minutes=60 * 24 * 4)
    found = plain(holdout_from(visits(spark, rows), as_of=DAY, days=2, kinds=KINDS).collect())
    window = [row for row in rows if DAY < row["dt"] <= DAY + timedelta(days=2)]
    expected = {person: [run["item_id"] for run in runs] for person, runs in folded(window, KINDS).items()}
    assert {row["user_id"]: row["item_ids"] for row in found} == expected


# -- the vocabulary


def test_the_vocabulary_orders_by_frequency_then_name(spark: SparkSession) -> None:
    draw = random.Random(11)
    histories = [[f"i{draw.randrange(30):02d}" for _ in range(draw.randrange(5))] for _ in range(40)]
    rows = spark.createDataFrame([(history,) for history in histories], "item_ids ARRAY<STRING>").repartition(3)
    found = vocabulary_from(rows, as_of=DAY, min_events=2)
    assert found.columns == list(VOCABULARY.names)
    counts = Counter(item for history in histories for item in history)
    expected = sorted((item for item in counts if counts[item] >= 2), key=lambda item: (-counts[item], item))
    assert len(set(counts.values())) < len(expected) < len(counts), "ties and rare items, or no test"
    in_order = sorted(map(tuple, found.collect()), key=lambda row: row[2])
    assert in_order == [(item, DAY, index, counts[item]) for index, item in enumerate(expected, 1)]


def test_a_vocabulary_of_nothing_is_empty(spark: SparkSession) -> None:
    rows = spark.createDataFrame([([],), (["a"],)], "item_ids ARRAY<STRING>")
    assert vocabulary_from(rows, as_of=DAY, min_events=2).collect() == []
