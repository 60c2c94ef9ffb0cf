"""The job `features` on partitions staged by hand: first nights, later nights, again, and what stops it."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightjar.contracts import EVENTS, ITEMS, LABELS, SESSION_EVENTS, USER_FEATURES, Table
from nightjar.contracts.render import arrow_schema
from nightjar.settings import repository
from nightjar.stores.home import Home
from nightjar.stores.lake import Entry, Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.slow]

JOB = repository() / "jobs" / "features.py"
ZONE = ZoneInfo("Europe/Berlin")
NIGHT = date(2001, 1, 15)
THEN = NIGHT - timedelta(days=3)  # the latest day whose horizons are over
EARLIER = [THEN - timedelta(days=3), THEN - timedelta(days=10)]  # whose horizons are over by then, a week apart

SOURCE = """
doc = "A shop for tests."
format = "jsonl"
layout = "daily"
pattern = "{day}.jsonl"
time_zone = "Europe/Berlin"

[fields]
id = "STRING"

[events]
event_id = "id"
event_ts = "at"
user_id = "who"
platform = "'web'"
kind = "what"

[kinds]
looked = "view"

[settings]
"features.history_days" = 28
"labels.horizon_days" = 2
"labels.churn_days" = 3
"spark.shuffle_partitions" = 2
"""

Row = dict[str, Any]


def at(day: date, hour: float) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=ZONE) + timedelta(hours=hour)


def seen(name: str, when: datetime, **columns: Any) -> Row:
    """A visit of one event by ann, who is logged in; it feeds both events and session_events."""
    row: Row = dict.fromkeys({*SESSION_EVENTS.names, *EVENTS.names})
    row |= {"event_id": name, "session_id": name, "event_ts": when, "dt": when.date(), "landed": when.date()}
    row |= {
        "visitor_id": "device",
        "device_id": "device",
        "user_id": "ann",
        "position": 1,
        "logged_in": False,
        "is_bot": False,
    }
    row |= {"platform": "web", "kind": "view", "item_id": "i1", "price": 2.5, "attributes": [("category", "shoes")]}
    assert not set(columns) - set(row), columns
    return row | columns


def log() -> list[Row]:
    """Ann buys now and then, a visitor logs in as bob to buy, eve goes away, a machine looks at everything."""
    anonymous = {"user_id": None, "visitor_id": "bobs", "device_id": "bobs"}
    return [
        seen("ann1", at(NIGHT - timedelta(days=20), 9)),
        seen("ann2", at(THEN, 23.99), kind="cart"),
        seen("ann3", at(THEN + timedelta(days=1), 0), kind="purchase", quantity=2),  # at the very instant
        seen("ann4", at(NIGHT, 12), item_id="i2", attributes=[("category", "hats")]),
        seen("bob1", at(THEN, 20), **anonymous),
        seen("bob2", at(THEN + timedelta(days=2), 20), **(anonymous | {"user_id": "bob", "kind": "purchase"})),
        seen("eve1", at(THEN, 1), user_id="eve", visitor_id="eves"),
        seen("bot1", at(THEN, 5), user_id="bot", visitor_id="bots", is_bot=True),
        # Sent from a phone that had been offline: it had not landed in the night of its day.
        seen("ann5", at(THEN, 2), landed=NIGHT, kind="search", item_id=None),
    ]


class Shop:
    """A lake with some days of sessions, and the job's own entry point, exit code and manifest included."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        self.spark = spark
        self.root = root
        self.home = Home(root / "home")
        self.source = root / "acme.toml"

    @property
    def lake(self) -> Lake:
        return Lake(self.home.lake)

    def put(self, table: Table, rows: list[Row]) -> None:
        """Commit rows, replacing their days, as the jobs before this one leave them."""
        schema = arrow_schema(table)
        names = [name for name in schema.names if name != "attributes"] if table is not EVENTS else schema.names
        plain = [{name: row[name] for name in names} for row in rows]
        staged = self.lake.stage_arrow(pa.Table.from_pylist(plain, schema=schema), table, "acme", "by hand")
        self.lake.commit([staged])

    def open_on(self, day: date) -> None:
        """A day on which perhaps nobody came."""
        if not self.lake.has(SESSION_EVENTS.at("acme", day)):
            empty = arrow_schema(SESSION_EVENTS).empty_table()
            self.lake.commit([self.lake.stage_arrow(empty, SESSION_EVENTS, "acme", "by hand", days=[day])])

    def fill(self, rows: list[Row]) -> None:
        self.source.write_text(SOURCE)
        self.put(SESSION_EVENTS, rows)
        self.put(EVENTS, rows)

    def items(self, day: date, **categories: str) -> None:
        rows = [
            dict.fromkeys(ITEMS.names)
            | {"item_id": item, "dt": day, "category": category, "price_bucket": 1, "first_seen": at(day, 0)}
            | {"last_seen": at(day, 0), "num_events": 1, "num_recent": 1, "num_purchases": 0}
            | {"recent_by_platform": [1, 0, 0, 0, 0, 0]}
            for item, category in categories.items()
        ]
        self.put(ITEMS, rows)

    def run(self, day: date, *more: str) -> tuple[int, dict[str, Any]]:
        argv = ["features.py", "--source", str(self.source), "--user_features", f"acme/user_features/dt={day}", *more]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NIGHTJAR_HOME", str(self.home.root))
            patch.syspath_prepend(str(JOB.parent))
            patch.setattr(sys, "argv", argv)
            with pytest.raises(SystemExit) as done:
                runpy.run_path(str(JOB), run_name="__main__")
        self.spark.conf.set("spark.sql.shuffle.partitions", "4")
        return int(done.value.code or 0), json.loads(self.home.result("acme", day, "features").read_text())

    def night(self, day: date, *more: str) -> dict[str, Any]:
        code, manifest = self.run(day, *more)
        assert code == 0, manifest
        return manifest["counts"]

    def entry(self, table: Table, day: date) -> Entry:
        return self.lake.entry(table.at("acme", day))

    def rows(self, table: Table, day: date) -> dict[str, Row]:
        files = [pq.ParquetFile(file).read() for file in self.lake.files(table.at("acme", day))]
        return {row[table.key[0]]: row for row in pa.concat_tables(files).to_pylist()} if files else {}

    def copy(self, root: Path) -> Shop:
        return Shop(self.spark, Path(shutil.copytree(self.root, root / "copy")))


@pytest.fixture(scope="module")
def first_night(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The shop after its first night; tests that change it take a copy."""
    shop = Shop(spark, tmp_path_factory.mktemp("first") / "shop")
    shop.root.mkdir()
    shop.fill(log())
    shop.items(NIGHT, i1="shoes", i2="hats")
    shop.counts = shop.night(NIGHT, "--run", "first")  # type: ignore[attr-defined]
    return shop


@pytest.fixture
def change(first_night: Shop, tmp_path: Path) -> Shop:
    return first_night.copy(tmp_path)


def test_the_first_night_has_something_to_score_and_something_to_learn(first_night: Shop) -> None:
    assert first_night.counts == {  # type: ignore[attr-defined]
        "rows_in": 9,
        "rows_out": 4,
        "rows_rejected": 0,
        "labelled_day": str(THEN),
        "labelled_people": 3,
        "labelled_earlier": [str(day) for day in EARLIER],  # before the next one the log has four days
        "label_rates": {
            "churn_rate": pytest.approx(1 / 3),
            "purchase_rate": pytest.approx(2 / 3),
            "cart_rate": 0.0,
            "cart_conversion_rate": 1.0,
            "shown_rate": 0.0,
            "click_rate": 0.0,
            "coupon_claim_rate": 0.0,
            "coupon_use_rate": 0.0,
        },
    }
    tonight = first_night.rows(USER_FEATURES, NIGHT)
    assert {person: row["num_events"] for person, row in tonight.items()} == {"ann": 5, "bob": 1, "bobs": 1, "eve": 1}
    assert (tonight["ann"]["num_events_1d"], tonight["ann"]["hours_since_last_event"]) == (1, 12.0)
    assert (tonight["ann"]["num_categories"], tonight["ann"]["spend"]) == (2, 5.0)

    then = first_night.rows(USER_FEATURES, THEN)
    assert {person: row["num_events"] for person, row in then.items()} == {"ann": 2, "bobs": 1, "eve": 1}
    assert then["ann"]["hours_since_last_event"] == pytest.approx(0.01)
    assert {item: row["category"] for item, row in first_night.rows(ITEMS, THEN).items()} == {"i1": "shoes"}

    labels = first_night.rows(LABELS, THEN)
    named = ("churned", "purchased_next", "revenue_next", "cart_converted", "next_category", "observed_until")
    assert {person: tuple(row[name] for name in named) for person, row in labels.items()} == {
        "ann": (False, True, 5.0, True, "shoes", NIGHT),
        "bobs": (False, True, 2.5, None, "shoes", NIGHT),  # who turned out to be bob
        "eve": (True, False, 0.0, None, None, NIGHT),
    }


def test_what_is_kept_beside_the_partitions(first_night: Shop) -> None:
    for day in (NIGHT, THEN):
        facts = first_night.entry(USER_FEATURES, day).facts
        assert (facts["num_rows"], facts["history_days"]) == (first_night.entry(USER_FEATURES, day).num_rows, 28)
    assert first_night.entry(LABELS, THEN).facts["purchase_rate"] == pytest.approx(2 / 3)
    assert first_night.lake.days("acme", LABELS.name) == sorted([THEN, *EARLIER])
    assert first_night.lake.days("acme", USER_FEATURES.name) == sorted([NIGHT, THEN, *EARLIER])


def test_the_first_night_leaves_what_earlier_nights_would_have(
    first_night: Shop, spark: SparkSession, tmp_path: Path
) -> None:
    """A shop that has been there all along finds the same on the nights when the windows are over."""
    other = Shop(spark, tmp_path)
    other.fill(log())
    for day in sorted(EARLIER):
        night = day + timedelta(days=3)
        other.items(night, i1="shoes", i2="hats")
        other.open_on(night)
        other.night(night, "--set", "labels.min_history_days=99")
        for table in (USER_FEATURES, LABELS):
            assert first_night.entry(table, day).content_hash == other.entry(table, day).content_hash, (table.name, day)
    assert first_night.entry(USER_FEATURES, EARLIER[0]).num_rows == 1


def test_a_night_run_again_changes_no_content(change: Shop) -> None:
    kept = [(table, day) for table in (USER_FEATURES, LABELS, ITEMS) for day in change.lake.days("acme", table.name)]
    before = [change.entry(*of).content_hash for of in kept]
    counts = change.night(NIGHT, "--run", "again")
    assert (counts["rows_in"], counts["rows_out"], counts["labelled_people"]) == (9, 4, 3)
    assert [change.entry(*of).content_hash for of in kept] == before
    assert change.entry(USER_FEATURES, THEN).run_id == "first"
    assert change.entry(USER_FEATURES, NIGHT).run_id == "again"


def test_a_later_night_labels_what_this_night_left(change: Shop) -> None:
    """Its features stay as the night wrote them, and another shop without that night finds the same ones."""
    later = NIGHT + timedelta(days=3)
    more = [
        seen("ann6", at(later, 8), kind="purchase"),
        seen("ann7", at(NIGHT, 13), landed=later),  # late for the night that has been
        seen("eve2", at(NIGHT, 14), user_id="eve", visitor_id="eves", landed=later),
    ]
    days = {row["dt"] for row in more}
    change.fill([*(row for row in log() if row["dt"] in days), *more])
    change.items(later, i1="shoes")
    counts = change.night(later, "--run", "later")
    assert (counts["labelled_day"], counts["labelled_earlier"]) == (str(NIGHT), [])
    assert change.entry(USER_FEATURES, NIGHT).run_id == "first"
    labels = change.rows(LABELS, NIGHT)
    assert {person: row["churned"] for person, row in labels.items()} == {
        "ann": False,
        "bob": True,
        "bobs": None,
        "eve": None,  # for all that was known in that night she had left before
    }

    other = Shop(change.spark, change.root.parent / "other")
    other.root.mkdir()
    other.fill([*log(), *more])
    other.items(NIGHT, i1="shoes", i2="hats")
    other.items(later, i1="shoes")
    other.night(later)
    for table in (USER_FEATURES, LABELS):
        assert other.entry(table, NIGHT).content_hash == change.entry(table, NIGHT).content_hash, table.name


def test_features_of_another_window_are_made_again(change: Shop) -> None:
    change.night(NIGHT, "--run", "longer", "--set", "features.history_days=30")
    assert {change.entry(USER_FEATURES, day).run_id for day in (THEN, *EARLIER)} == {"longer"}
    assert change.entry(USER_FEATURES, THEN).facts["history_days"] == 30
    assert change.entry(ITEMS, THEN).run_id == "first"


def test_a_later_day_in_the_lake_moves_nothing(change: Shop) -> None:
    before = change.entry(USER_FEATURES, NIGHT).content_hash
    tomorrow = NIGHT + timedelta(days=1)
    change.fill([seen(f"x{n}", at(tomorrow, n / 10), kind="purchase", item_id="i9") for n in range(50)])
    change.night(NIGHT)
    assert change.entry(USER_FEATURES, NIGHT).content_hash == before


def test_a_shop_of_one_day_has_no_labels_yet(spark: SparkSession, tmp_path: Path) -> None:
    shop = Shop(spark, tmp_path)
    shop.fill([seen("only", at(NIGHT, 12))])
    shop.items(NIGHT, i1="shoes")
    counts = shop.night(NIGHT)
    assert (counts["rows_out"], counts["labelled_people"], counts["label_rates"]["churn_rate"]) == (1, 0, None)
    assert shop.rows(LABELS, THEN) == {}


def test_what_stops_the_night(spark: SparkSession, tmp_path: Path) -> None:
    shop = Shop(spark, tmp_path)
    shop.fill([seen("bot", at(NIGHT, 12), is_bot=True)])
    code, manifest = shop.run(NIGHT)
    assert (code, "no partition acme/items" in manifest["error"]) == (1, True)
    shop.items(NIGHT, i1="shoes")
    code, manifest = shop.run(NIGHT)
    assert (code, manifest["failure"]) == (1, "bad_data")
    assert f"gate stopped acme/user_features/dt={NIGHT}: failed expectation num_rows" in manifest["error"]
    assert shop.lake.days("acme", USER_FEATURES.name) == []
    code, manifest = shop.run(NIGHT + timedelta(days=1))
    assert (code, "no partition acme/session_events" in manifest["error"]) == (1, True)


def test_help(tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    environment = os.environ | {"PYTHONPATH": str(repository() / "src"), "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, str(JOB), "--help"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    golden("features.txt", done.stdout)
