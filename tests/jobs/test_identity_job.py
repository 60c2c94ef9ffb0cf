"""The identity job on hand-staged sessions: nights, late sessions, other rules; and what sequences makes of it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.jobs.night import SHOP, job, module

from nightjar.contracts import (
    DATA_QUALITY,
    EVENTS,
    HOLDOUT,
    IDENTITY,
    IDENTITY_LINKS,
    SEQUENCES,
    SESSION_EVENTS,
    SESSIONS,
    BadInput,
    Table,
)
from nightjar.contracts.render import arrow_schema
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.slow]

FIRST, SECOND, THIRD, FOURTH = (date(2001, 1, day) for day in range(15, 19))
Row = dict[str, Any]


def session(visitor: str, user: str | None, day: date, hour: int = 12, **columns: Any) -> Row:
    start = datetime(day.year, day.month, day.day, hour, tzinfo=UTC)
    row: Row = dict.fromkeys(SESSIONS.names, 0) | {"campaign": None, "bot_rule": None, "is_bot": False}
    row |= {"session_id": f"{visitor}-{day}-{hour}", "visitor_id": visitor, "user_id": user, "dt": day}
    row |= {"start_ts": start, "end_ts": start, "num_events": 1, "revenue": 0.0, "platform": "web"}
    return row | columns


ON_TIME = [
    session("phone", None, FIRST),
    session("laptop", "ann", FIRST),
    session("till", "bea", FIRST),
    session("robot", "bea", FIRST, bot_rule="rate", is_bot=True),
    session("phone", "ann", SECOND),
    session("till", "cid", THIRD),
    session("phone", "ann", FOURTH),
]
LATE = [session("tablet", "ann", FIRST, 20), session("till", "cid", SECOND, 20)]  # known from the third night on


class Shop:
    """A lake of its own, and the jobs on it."""

    def __init__(self, spark: SparkSession, home: Home) -> None:
        self.spark = spark
        self.home = home
        self.lake = Lake(home.lake)

    def put(self, table: Table, rows: Iterable[Row], *days: date) -> None:
        """Commit the rows of these days, in place of what the days held."""
        found = pa.Table.from_pylist([row for row in rows if row["dt"] in days], schema=arrow_schema(table))
        self.lake.commit([self.lake.stage_arrow(found, table, SHOP, "test", days=days)])

    def run(self, name: str, day: date, *sets: str) -> dict[str, Any]:
        at = (IDENTITY if name == "identity" else SEQUENCES).at(SHOP, day)
        done = module(name).main(argparse.Namespace(**{name: at}), job(self.home, name, *sets))
        self.spark.catalog.clearCache()  # a job's process would end here
        return done  # type: ignore[no-any-return]

    def rows(self, table: Table, day: date) -> list[Row]:
        files = [pq.ParquetFile(file).read() for file in self.lake.files(table.at(SHOP, day))]
        return pa.concat_tables(files).sort_by(table.order[0]).to_pylist() if files else []

    def state(self) -> dict[str, Any]:
        """Content and facts of every partition that the job writes."""
        entries = {
            f"{table.name} {day}": self.lake.entry(table.at(SHOP, day))
            for table in (IDENTITY, IDENTITY_LINKS)
            for day in self.lake.days(SHOP, table.name)
        }
        return {name: (entry.content_hash, entry.num_rows, entry.facts) for name, entry in entries.items()}


@pytest.fixture
def shop(spark: SparkSession, home: Home) -> Shop:
    return Shop(spark, home)


@pytest.fixture
def other(spark: SparkSession, tmp_path: Path) -> Shop:
    return Shop(spark, Home(tmp_path / "other"))


def persons(shop: Shop, day: date) -> dict[str, tuple[str, str | None]]:
    return {row["member_id"]: (row["person_id"], row["apart_rule"]) for row in shop.rows(IDENTITY, day)}


def test_nights_give_what_one_run_gives(shop: Shop, other: Shop) -> None:
    for day in (FIRST, SECOND):
        shop.put(SESSIONS, ON_TIME, day)
        said = shop.run("identity", day)
        assert (said["days_rebuilt"], said["rows_rejected"]) == (1, 0)
    assert said | {"seconds": None} == {
        "rows_in": 1,
        "rows_out": 1,
        "rows_rejected": 0,
        "links": 1,
        "days_rebuilt": 1,
        "persons": 2,
        "attached_devices": 3,
        "shared_devices": 0,
        "broken_components": 0,
        "largest_person": 3,
        "seconds": None,
    }
    assert persons(shop, SECOND) == {"phone": ("ann", None)}
    shop.put(SESSIONS, [*ON_TIME, *LATE], FIRST, SECOND, THIRD)
    assert shop.run("identity", THIRD)["days_rebuilt"] == 3
    shop.put(SESSIONS, ON_TIME, FOURTH)
    said = shop.run("identity", FOURTH)
    assert (said["rows_in"], said["rows_out"], said["persons"], said["shared_devices"]) == (1, 0, 3, 1)

    anns, beas = ("ann", "laptop", "tablet"), ("bea", "till")
    assert persons(shop, FIRST) == dict.fromkeys(anns, ("ann", None)) | dict.fromkeys(beas, ("bea", None))
    assert persons(shop, SECOND) == {"phone": ("ann", None), "till": ("till", "shared"), "cid": ("cid", None)}
    assert persons(shop, THIRD) == persons(shop, FOURTH) == {}
    assert [(row["device_id"], row["user_id"]) for row in shop.rows(IDENTITY_LINKS, SECOND)] == [
        ("phone", "ann"),
        ("till", "cid"),
    ]

    other.put(SESSIONS, [*ON_TIME, *LATE], FIRST, SECOND, THIRD, FOURTH)
    assert other.run("identity", FOURTH)["days_rebuilt"] == 4
    assert other.state() == shop.state()

    # Again: nothing to do. Other rules: everything.
    before = shop.state()
    said = shop.run("identity", FOURTH)
    assert (said["days_rebuilt"], said["persons"], shop.state()) == (0, 3, before)
    two = "identity.max_logins_per_device=2"
    assert shop.run("identity", FOURTH, two)["days_rebuilt"] == 4
    assert persons(shop, SECOND) == {"phone": ("ann", None), "cid": ("bea", None)}
    # An earlier night again: later days follow from it, so they are built again too.
    shop.put(SESSIONS, ON_TIME, SECOND)
    assert shop.run("identity", SECOND, two)["days_rebuilt"] == 3
    assert persons(shop, SECOND) == {"phone": ("ann", None)}
    assert persons(shop, THIRD) == {"cid": ("bea", None)}


def test_what_the_gate_warns_of_is_kept(shop: Shop) -> None:
    shop.put(SESSIONS, ON_TIME, FIRST, SECOND, THIRD)
    shop.run("identity", THIRD, "gate.max_shared_device_share=0.1", "gate.max_members_per_person=2")
    verdicts = {row["expectation"]: row for row in shop.rows(DATA_QUALITY, THIRD)}
    assert (verdicts["shared_device_share"]["success"], verdicts["shared_device_share"]["severity"]) == (False, "warn")
    assert verdicts["null_rows_person_id"]["success"]
    assert verdicts["largest_person"]["success"], "of the night's own changes, not of all time"


def test_a_night_without_sessions_says_so(shop: Shop) -> None:
    with pytest.raises(BadInput, match="no partition synthetic/sessions"):
        shop.run("identity", FIRST)


# -- sequences


def visit(visitor: str, user: str | None, day: date, hour: int, *items: str, platform: str = "web") -> list[Row]:
    """A session's events, a minute apart."""
    rows = []
    for place, item in enumerate(items):
        at = datetime(day.year, day.month, day.day, hour, place, tzinfo=UTC)
        row: Row = dict.fromkeys(SESSION_EVENTS.names) | {"session_id": f"{visitor}-{day}-{hour}-0", "dt": day}
        row |= {"event_id": f"{visitor}-{day}-{hour}-{place}", "event_ts": at, "landed": day, "position": place + 1}
        row |= {"visitor_id": visitor, "user_id": user, "platform": platform, "kind": "view", "item_id": item}
        rows.append(row | {"is_bot": False, "logged_in": user is not None})
    return rows


VISITS = [
    *visit("phone", None, FIRST, 9, "i1", "i2", platform="app"),
    *visit("laptop", "ann", FIRST, 10, "i3"),
    *visit("mini", "ann", FIRST, 11, "i4", platform="mini_program"),
    *visit("phone", "ann", THIRD, 9, "i5", platform="app"),
    *visit("laptop", None, THIRD, 10, "i6"),
]


def test_histories_know_who_was_known_at_their_instant(shop: Shop) -> None:
    """The phone's login comes after the training instant: the past must not know of it, tonight must."""
    days = (FIRST, SECOND, THIRD)
    visits = {row["session_id"]: row for row in VISITS}.values()
    of_visits = [session(row["visitor_id"], row["user_id"], row["dt"], row["event_ts"].hour) for row in visits]
    shop.put(SESSIONS, of_visits, *days)
    shop.put(SESSION_EVENTS, VISITS, *days)
    shop.put(EVENTS, [dict.fromkeys(EVENTS.names) | row | {"attributes": []} for row in VISITS], *days)
    with pytest.raises(BadInput, match="no partition synthetic/identity"):
        shop.run("sequences", THIRD)
    shop.run("identity", THIRD)
    said = shop.run("sequences", THIRD, "sequences.holdout_days=2", "sequences.min_item_events=1")
    assert (said["rows_in"], said["training_people"], said["holdout_people"]) == (6, 2, 1)

    past = {row["user_id"]: row for row in shop.rows(SEQUENCES, FIRST)}
    assert {name: row["item_ids"] for name, row in past.items()} == {"phone": ["i1", "i2"], "ann": ["i3", "i4"]}
    assert past["ann"]["platforms"] == [1, 3]
    ahead = {row["user_id"]: row["item_ids"] for row in shop.rows(HOLDOUT, FIRST)}
    assert ahead == {"ann": ["i5", "i6"]}, "the login says who it is, and the laptop was ann's by then"
    (now,) = shop.rows(SEQUENCES, THIRD)
    assert (now["user_id"], now["item_ids"]) == ("ann", ["i1", "i2", "i3", "i4", "i5", "i6"])
    assert (now["platforms"], now["session_ordinals"]) == ([2, 2, 1, 3, 2, 1], [1, 1, 2, 3, 4, 5])
