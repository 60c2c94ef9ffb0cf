"""The job on a temporary lake: nights one by one, again, late, together, and a night that does not add up."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.prep import plain_marts as plain
from tests.prep.small_visits import Row, Visit, events_of, item, random_visits, sessions_of, step, visit

from nightjar.contracts import (
    CART_ABANDONMENT,
    DAILY_KPIS,
    DATA_QUALITY,
    DECISION_PATHS,
    DECISION_TIMES,
    DECISION_TRANSITIONS,
    FUNNELS,
    IDENTITY,
    ITEMS,
    MARTS,
    SESSION_EVENTS,
    SESSIONS,
    Table,
)
from nightjar.contracts.render import arrow_schema
from nightjar.settings import Marts, load_conf, repository
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.slow]

JOB = repository() / "jobs" / "marts.py"
FIRST, SECOND, THIRD = (date(2001, 1, day) for day in (15, 16, 17))

SOURCE = """
doc = "A shop for tests."
format = "csv"
layout = "single"
time_zone = "UTC"
history_days = 10
[events]
event_id = "id"
event_ts = "ts"
kind = "kind"
platform = "'web'"
user_id = "user"
[kinds]
view = "view"
[settings]
"marts.lookback_days" = 2
"marts.recovery_days" = 1
"marts.top_paths" = 3
"spark.shuffle_partitions" = 2
"""
CONF: Marts = load_conf().marts.model_copy(update={"lookback_days": 2, "recovery_days": 1, "top_paths": 3})

#: Who turns out to be whom on which day.
PERSONS = {FIRST: {"d0": "u0", "d1": "u1"}, SECOND: {"d0": "u0", "d1": "u1", "d2": "u2", "d3": "u0"}}

ITEM_ROWS = [item(f"i{n}", ("tea", "tea", None, "pots", "cups")[n % 5], 10 - n, price=1.5) for n in range(7)]


class Shop:
    """A lake whose sessions are staged by hand, and the job's own entry point in the tests' Spark session."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        self.spark = spark
        self.root = root
        self.home = Home(root / "home")
        self.source = root / "acme.toml"
        self.source.write_text(SOURCE)

    def copy(self, root: Path) -> Shop:
        return Shop(self.spark, Path(shutil.copytree(self.root, root / "copy")))

    @property
    def lake(self) -> Lake:
        return Lake(self.home.lake)

    def put(self, visits: Sequence[Visit], *days: date) -> None:
        """Replace the sessions of these days."""
        chosen = [one for one in visits if one.session["dt"] in days]
        rows = {SESSIONS: sessions_of(chosen), SESSION_EVENTS: events_of(chosen)}
        self.lake.commit([self._staged(table, of_table, days) for table, of_table in rows.items()])

    def put_known(self, *days: date) -> None:
        """Items and identity as of these days."""
        for day in days:
            before = PERSONS.get(day - timedelta(days=1), {})
            moved = {member: person for member, person in PERSONS.get(day, {}).items() if member not in before}
            kind = {"id_kind": "device", "num_members": 2}
            members = [
                {"member_id": member, "person_id": person, "component_id": person, "dt": day, **kind}
                for member, person in moved.items()
            ]
            items = [row | {"dt": day} for row in ITEM_ROWS]
            self.lake.commit([self._staged(ITEMS, items, [day]), self._staged(IDENTITY, members, [day])])

    def _staged(self, table: Table, rows: list[Row], days: Sequence[date]) -> Any:
        arrow = pa.Table.from_pylist(rows, arrow_schema(table))
        return self.lake.stage_arrow(arrow, table, "acme", "test", days=days)

    def night(self, day: date, *more: str) -> tuple[int, dict[str, Any]]:
        argv = ["marts.py", "--source", str(self.source), "--sessions", f"acme/sessions/dt={day}", *more]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NIGHTJAR_HOME", str(self.home.root))
            patch.syspath_prepend(str(JOB.parent))
            patch.setattr(sys, "argv", argv)
            with pytest.raises(SystemExit) as done:
                runpy.run_path(str(JOB), run_name="__main__")
        # A job's process would end here.
        self.spark.catalog.clearCache()
        self.spark.conf.set("spark.sql.shuffle.partitions", "4")
        manifest = json.loads(self.home.result("acme", day, "marts").read_text())
        assert (manifest["status"] == "done") == (done.value.code == 0)
        return int(done.value.code or 0), manifest

    def built(self, day: date, *more: str) -> dict[str, Any]:
        code, manifest = self.night(day, *more)
        assert code == 0, manifest
        counts: dict[str, Any] = manifest["counts"]
        return counts

    def hashes(self) -> dict[str, str]:
        return {
            f"{table.name}/{day}": entry.content_hash
            for table in MARTS
            for day, entry in self.lake.entries("acme", table.name).items()
        }

    def rows(self, table: Table, day: date) -> list[Row]:
        files = [pq.ParquetFile(file).read() for file in self.lake.files(table.at("acme", day))]
        if not files:
            return []
        return pa.concat_tables(files).sort_by([(name, "ascending") for name in table.order]).to_pylist()


VISITS = [
    *random_visits(20010116, 90, num_days=3),
    visit("kept", 0, step("cart", "i0", price=2.0), visitor="ann"),
    visit("late", 24 * 60 + 300, step("purchase", "i0", price=2.0), visitor="ann"),
    visit("new", 24 * 60, step("view", "i0"), visitor="eve"),
]


@pytest.fixture(scope="module")
def two_nights(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The shop after two nights; tests that change it take a copy."""
    shop = Shop(spark, tmp_path_factory.mktemp("marts"))
    shop.put(VISITS, FIRST)
    shop.put_known(FIRST)
    shop.first = shop.built(FIRST)  # type: ignore[attr-defined]
    shop.first_hashes = shop.hashes()  # type: ignore[attr-defined]
    shop.put(VISITS, SECOND)
    shop.put_known(SECOND)
    shop.second = shop.built(SECOND)  # type: ignore[attr-defined]
    return shop


@pytest.fixture
def change(two_nights: Shop, tmp_path: Path) -> Shop:
    return two_nights.copy(tmp_path)


def defined(table: Table, visits: Sequence[Visit], day: date, until: date) -> list[Row]:
    instant = datetime(until.year, until.month, until.day, tzinfo=UTC) + timedelta(days=1)
    rows: list[Row] = {
        DAILY_KPIS.name: lambda: plain.daily_kpis(visits, day, CONF, PERSONS[day]),
        FUNNELS.name: lambda: plain.funnels(visits, day, ITEM_ROWS, CONF),
        DECISION_TRANSITIONS.name: lambda: plain.transitions(visits, day, CONF),
        DECISION_PATHS.name: lambda: plain.paths(visits, day, CONF),
        DECISION_TIMES.name: lambda: plain.times(visits, day, CONF, PERSONS[day]),
        CART_ABANDONMENT.name: lambda: plain.carts(visits, day, ITEM_ROWS, CONF, instant, PERSONS[until]),
    }[table.name]()
    ordered = sorted(rows, key=lambda row: tuple(row[name] for name in table.order))
    return [{name: row[name] for name in table.names} for row in ordered]


def approximately(rows: list[Row]) -> list[Row]:
    """Percentiles are interpolated in doubles."""
    return [{k: pytest.approx(v, rel=1e-12) if isinstance(v, float) else v for k, v in row.items()} for row in rows]


def test_two_nights_say_what_the_definitions_say(two_nights: Shop) -> None:
    known = [one for one in VISITS if one.session["dt"] <= SECOND]
    for table in MARTS:
        for day in (FIRST, SECOND):
            expected = defined(table, known, day, until=SECOND)
            assert two_nights.rows(table, day) == approximately(expected), f"{table.name} of {day}"


def test_a_night_rebuilds_what_it_changes(two_nights: Shop) -> None:
    """The second night decides about carts of the first; the rest of the first day stays as it was."""
    first, second = two_nights.first, two_nights.second  # type: ignore[attr-defined]
    assert (first["days_rebuilt"], second["days_rebuilt"]) == (1, 2)
    sessions = [one.session["dt"] for one in VISITS]
    assert (first["rows_in"], second["rows_in"]) == (
        sessions.count(FIRST),
        sessions.count(FIRST) + sessions.count(SECOND),
    )
    before, after = two_nights.first_hashes, two_nights.hashes()  # type: ignore[attr-defined]
    assert {name for name in before if after[name] != before[name]} == {f"cart_abandonment/{FIRST}"}
    runs = {table.name: two_nights.lake.entry(table.at("acme", FIRST)).facts["known_until"] for table in MARTS}
    assert {name for name, until in runs.items() if until == str(SECOND)} == {"cart_abandonment"}


def test_facts_are_kept_and_the_gate_has_judged(two_nights: Shop) -> None:
    facts = two_nights.lake.entry(DAILY_KPIS.at("acme", SECOND)).facts
    people = [one for one in VISITS if one.session["dt"] == SECOND and not one.is_bot]
    assert (facts["num_sessions"], facts["unreconciled_rows"], facts["broken_totals"]) == (len(people), 0, 0)
    (file,) = two_nights.lake.files(DATA_QUALITY.at("acme", SECOND))
    judged = pq.ParquetFile(file).read(["table_name", "success"]).to_pylist()
    assert {row["table_name"] for row in judged} == {table.name for table in MARTS}
    assert all(row["success"] for row in judged)


def test_again_nothing_is_to_do_and_an_older_night_forgets_nothing(two_nights: Shop) -> None:
    before = two_nights.hashes()
    for day in (SECOND, FIRST):
        assert two_nights.built(day) == {"rows_in": 0, "rows_out": 0, "rows_rejected": 0, "days_rebuilt": 0}
    assert two_nights.hashes() == before


def test_one_run_over_two_days_equals_two_nights(two_nights: Shop, spark: SparkSession, tmp_path: Path) -> None:
    shop = Shop(spark, tmp_path)
    for day in (FIRST, SECOND):
        shop.put(VISITS, day)
        shop.put_known(day)
    assert shop.built(SECOND)["days_rebuilt"] == 2
    assert shop.hashes() == two_nights.hashes()


def test_a_late_session_changes_its_day_and_those_that_look_back(change: Shop) -> None:
    """Eve, who was new on the second day, turns out to have come on the first one, too."""
    before = change.hashes()
    late = [*VISITS, visit("x", -600, step("search"), visitor="eve")]
    change.put(late, FIRST)
    assert change.built(SECOND)["days_rebuilt"] == 2
    after = change.hashes()
    moved = {name for name in after if after[name] != before[name]}
    assert {f"{table.name}/{FIRST}" for table in MARTS[:4]} | {f"daily_kpis/{SECOND}"} <= moved
    assert not {f"{table.name}/{SECOND}" for table in (FUNNELS, DECISION_TRANSITIONS, DECISION_PATHS)} & moved
    known = [one for one in late if one.session["dt"] <= SECOND]
    for day in (FIRST, SECOND):
        assert change.rows(DAILY_KPIS, day) == defined(DAILY_KPIS, known, day, until=SECOND)


def test_what_does_not_add_up_stops_before_anything_is_visible(change: Shop) -> None:
    third = [one for one in VISITS if one.session["dt"] == THIRD]
    wrong = [Visit(one.session | {"num_views": one.session["num_views"] + 1}, one.events) for one in third]
    change.put(wrong, THIRD)
    change.put_known(THIRD)
    before = change.hashes()
    code, manifest = change.night(THIRD)
    assert (code, manifest["failure"]) == (1, "bad_data")
    assert f"gate stopped acme/daily_kpis/dt={THIRD}" in manifest["error"]
    assert "unreconciled_rows: observed" in manifest["error"]
    assert change.hashes() == before


def test_a_night_without_sessions_or_persons_is_bad_data(change: Shop) -> None:
    code, manifest = change.night(THIRD)
    assert (code, f"no partition acme/sessions/dt={THIRD}" in manifest["error"]) == (1, True)
    change.put(VISITS, THIRD)
    code, manifest = change.night(THIRD)
    assert (code, f"no partition acme/identity/dt={THIRD}" in manifest["error"]) == (1, True)


def test_help(tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    environment = {
        "NIGHTJAR_HOME": str(tmp_path),
        "PYTHONPATH": str(repository() / "src"),
        "COLUMNS": "100",
        "PATH": "",
    }
    done = subprocess.run([sys.executable, str(JOB), "--help"], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    golden("marts.txt", done.stdout)
