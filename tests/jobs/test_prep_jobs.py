"""clean, sessionize, identity and sequences on a small shop: nights one by one, again, late, poisoned and empty."""

from __future__ import annotations

import json
import os
import random
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightjar.contracts import (
    EVENTS,
    HOLDOUT,
    ITEMS,
    QUARANTINE,
    SEQUENCES,
    SESSION_EVENTS,
    SESSIONS,
    VOCABULARY,
    Table,
)
from nightjar.settings import repository
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.slow]

JOBS = repository() / "jobs"
FIRST, SECOND, THIRD = (date(2001, 1, day) for day in (15, 16, 17))
KEY = "ab" * 32

SOURCE = """
doc = "A shop for tests."
format = "jsonl"
layout = "daily"
pattern = "{day}.jsonl"
time_zone = "Europe/Berlin"
history_days = 2

[fields]
id = "STRING"
at = "STRING"
got = "STRING"
who = "STRING"
device = "STRING"
what = "STRING"
item = "STRING"
cost = "STRING"

[events]
event_id = "id"
event_ts = "try_to_timestamp(at)"
received_at = "try_to_timestamp(got)"
user_id = "who"
device_id = "device"
platform = "'web'"
kind = "what"
item_id = "item"
price = "try_cast(cost AS DOUBLE)"
quantity = "CASE WHEN what = 'bought' THEN 1 END"
attributes = "map('title', concat('Title of ', item))"

[kinds]
looked = "view"
searched = "search"
bought = "purchase"

[gate]
max_quarantined_share = 0.5

[settings]
"sequences.holdout_days" = 1
"sequences.history_days" = 2
"sequences.min_item_events" = 1
"clean.bot_events_per_hour" = 12
"sessions.max_events" = 20
"spark.shuffle_partitions" = 2
"""

Record = dict[str, Any]


def record(name: str, at: datetime, **changes: Any) -> Record:
    base = {
        "id": name,
        "at": at.isoformat(),
        "got": at.isoformat(),
        "who": "ann",
        "what": "looked",
        "item": "i1",
        "cost": "2.5",
    }
    return base | changes


def noon(day: date, minutes: float = 0) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC) + timedelta(minutes=minutes)


def shop() -> dict[date, list[Record]]:
    """Three drops of five people: ties, sessions over midnight, late and repeated events, dirt, a machine."""
    draw = random.Random(20010115)
    drops: dict[date, list[Record]] = {FIRST: [], SECOND: [], THIRD: []}
    for day, drop in drops.items():
        for number in range(60):
            at = noon(day, draw.randrange(-11 * 60, 11 * 60, 10))
            what = draw.choice(("looked", "looked", "searched", "bought"))
            item = None if what == "searched" else f"i{draw.randrange(6)}"
            row = record(
                f"{day.day}-{number}",
                at,
                what=what,
                item=item,
                who=f"p{draw.randrange(5)}",
                cost=draw.choice(("1.5", "9", None)),
            )
            drop.append(row)
        drop += [record(f"{day.day}-bot{n}", noon(day, n), who="machine") for n in range(10)]
        drop += [{"id": f"{day.day}-bad"}, record(f"{day.day}-fee", noon(day), cost="-1")]
        drop += draw.sample(drop[:60], 3)  # sent twice
    # Late: through midnight to the day before, between two sessions, and the straw that makes a machine.
    drops[SECOND] += [
        record("late1", noon(FIRST, 3), who="p1"),
        *(record(f"15-late-bot{n}", noon(FIRST, 20 + n), who="machine") for n in range(4)),
    ]
    drops[THIRD] += [record("late2", noon(SECOND, 7), who="p2"), record("late3", noon(FIRST, 11), who="p2")]
    drops[THIRD] += [record("late4", noon(SECOND, 7), who="guest"), record("late5", noon(FIRST, 11), who="guest")]
    # The same names again, in conflict: another price, and another day across midnight, which is 23:00 UTC.
    drops[THIRD].append(drops[SECOND][5] | {"cost": "77", "got": noon(THIRD).isoformat()})
    drops[SECOND].append(record("twice", noon(SECOND, 11 * 60 - 1), who="p3"))
    drops[THIRD].append(record("twice", noon(SECOND, 11 * 60 + 1), who="p3", got=noon(SECOND, 11 * 60 - 3).isoformat()))
    # One name for what four people did: they lie in different buckets, and one of them keeps it.
    drops[SECOND] += [record("shared", noon(SECOND, 30 - n), who=f"p{n}") for n in range(3)]
    drops[THIRD].append(record("shared", noon(SECOND, 20), who="p4", got=noon(SECOND, 17).isoformat()))
    return drops


def write(raw: Path, drops: dict[date, list[Record]]) -> None:
    raw.mkdir(exist_ok=True, parents=True)
    for day, rows in drops.items():
        lines = [json.dumps({name: value for name, value in row.items() if value is not None}) for row in rows]
        (raw / f"{day}.jsonl").write_text("\n".join(lines) + "\n{broken\n")


class Jobs:
    """The jobs' own entry points, exit code and manifest included, in the tests' Spark session."""

    def __init__(self, spark: SparkSession, root: Path) -> None:
        self.spark = spark
        self.root = root
        self.home = Home(root / "home")
        self.raw = root / "raw"
        self.source = root / "acme.toml"
        self.raw.mkdir(parents=True, exist_ok=True)
        self.source.write_text(SOURCE)

    def copy(self, root: Path) -> Jobs:
        return Jobs(self.spark, Path(shutil.copytree(self.root, root / "copy")))

    @property
    def lake(self) -> Lake:
        return Lake(self.home.lake)

    def run(self, name: str, day: date, *more: str) -> tuple[int, dict[str, Any]]:
        table = name if name in ("identity", "sequences") else "events"
        argv = [f"{name}.py", "--source", str(self.source), f"--{table}", f"acme/{table}/dt={day}", *more]
        if name == "clean" and not {"--raw", "--replay"} & {*more}:
            argv += ["--raw", str(self.raw)]
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("NIGHTJAR_HOME", str(self.home.root))
            patch.setenv("NIGHTJAR_PSEUDONYM_KEY", KEY)
            patch.syspath_prepend(str(JOBS))
            patch.setattr(sys, "argv", argv)
            with pytest.raises(SystemExit) as done:
                runpy.run_path(str(JOBS / f"{name}.py"), run_name="__main__")
        # A job's process would end here.
        self.spark.catalog.clearCache()
        self.spark.conf.set("spark.sql.shuffle.partitions", "4")
        manifest = json.loads(self.home.result("acme", day, name).read_text())
        assert (manifest["status"] == "done") == (done.value.code == 0)
        return int(done.value.code or 0), manifest

    def night(self, day: date, *names: str) -> dict[str, dict[str, Any]]:
        said = {}
        for name in names or ("clean", "sessionize", "identity", "sequences"):
            code, manifest = self.run(name, day)
            assert code == 0, manifest
            said[name] = manifest["counts"]
        return said

    def hashes(self, *tables: Table) -> dict[str, str]:
        found = {table.name: self.lake.days("acme", table.name) for table in tables}
        return {
            f"{name}/{day}": self.lake.entry(EVENTS.at("acme", day).of(t)).content_hash
            for t in tables
            for name in (t.name,)
            for day in found[name]
        }

    def rows(self, table: Table, day: date) -> list[dict[str, Any]]:
        files = [pq.ParquetFile(file).read() for file in self.lake.files(table.at("acme", day))]
        return (
            pa.concat_tables(files).sort_by([(name, "ascending") for name in table.order]).to_pylist() if files else []
        )


@pytest.fixture(scope="module")
def three_nights(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    """The shop after three nights; tests that change it take a copy."""
    jobs = Jobs(spark, tmp_path_factory.mktemp("nights"))
    drops = shop()
    for day, rows in drops.items():
        write(jobs.raw, {day: rows})
        jobs.said = jobs.night(day)  # type: ignore[attr-defined]
    return jobs


@pytest.fixture
def jobs(spark: SparkSession, tmp_path: Path) -> Jobs:
    return Jobs(spark, tmp_path)


@pytest.fixture
def change(three_nights: Jobs, tmp_path: Path) -> Jobs:
    return three_nights.copy(tmp_path)


PREPARED = (EVENTS, SESSIONS, SESSION_EVENTS)


def test_three_nights_equal_one_run_over_three_days(three_nights: Jobs, jobs: Jobs) -> None:
    write(jobs.raw, shop())
    said = jobs.night(THIRD)
    assert said["clean"]["days_landed"] == 3
    for table in PREPARED:
        for day in (FIRST, SECOND, THIRD):
            assert three_nights.rows(table, day) == jobs.rows(table, day), f"{table.name} of {day}"
            at = table.at("acme", day)
            assert three_nights.lake.entry(at).content_hash == jobs.lake.entry(at).content_hash
    for table, day in (
        (ITEMS, THIRD),
        (SEQUENCES, THIRD),
        (ITEMS, SECOND),
        (SEQUENCES, SECOND),
        (VOCABULARY, SECOND),
        (HOLDOUT, SECOND),
    ):
        assert three_nights.rows(table, day) == jobs.rows(table, day), f"{table.name} of {day}"


def test_one_name_on_both_sides_of_midnight_is_one_event(jobs: Jobs) -> None:
    """The second drop sends an event again, in conflict about its day; nothing else of it is late."""
    midnight = noon(FIRST, 11 * 60)  # in Berlin
    write(jobs.raw, {FIRST: [record("a", noon(FIRST)), record("twice", midnight - timedelta(minutes=1))]})
    jobs.night(FIRST, "clean", "sessionize")
    again = record("twice", midnight + timedelta(minutes=1))
    write(jobs.raw, {SECOND: [record("b", noon(SECOND)), again]})
    said = jobs.night(SECOND, "clean", "sessionize")
    found = {day: [row["event_id"] for row in jobs.rows(EVENTS, day)] for day in (FIRST, SECOND)}
    assert found == {FIRST: ["a", "twice"], SECOND: ["b"]}
    assert (said["clean"]["rows_conflict"], said["clean"]["rows_duplicate"]) == (1, 1)


def test_counts_add_up_and_the_log_is_what_was_sent(three_nights: Jobs) -> None:
    drops = shop()
    counts = three_nights.said["clean"]  # type: ignore[attr-defined]
    assert counts["rows_in"] == len(drops[THIRD]) + 1
    assert counts["rows_in"] == counts["rows_out"] + counts["rows_duplicate"] + counts["rows_rejected"]
    assert counts["reasons"]["malformed"] == 1
    assert counts["reasons"]["price_negative"] == 1
    assert counts["rows_conflict"] == 3
    rows = [row for day in (FIRST, SECOND, THIRD) for row in three_nights.rows(EVENTS, day)]
    names = {row["id"] for drop in drops.values() for row in drop if not row["id"].endswith(("-bad", "-fee"))}
    assert sorted(row["event_id"] for row in rows) == sorted(names)
    in_sessions = [
        row["event_id"]
        for day in three_nights.lake.days("acme", "session_events")
        for row in three_nights.rows(SESSION_EVENTS, day)
    ]
    assert sorted(in_sessions) == sorted(names)
    assert {row["user_id"] for row in rows if row["bot_rule"]} == {
        row["user_id"] for row in rows if row["event_id"] == "15-bot1"
    }
    assert not {"ann", "p1", "machine"} & {row["user_id"] for row in rows}


def test_a_night_run_again_changes_no_content(change: Jobs) -> None:
    tables = (*PREPARED, ITEMS, SEQUENCES, VOCABULARY, HOLDOUT)
    before = change.hashes(*tables)
    said = change.night(THIRD)
    assert change.hashes(*tables) == before
    assert said["sessionize"]["days_rebuilt"] == 0
    assert (
        said["clean"]["rows_out"]
        == json.loads(change.home.result("acme", THIRD, "clean").read_text())["counts"]["rows_out"]
        > 60
    )


def test_a_drop_sent_again_changes_what_it_corrects_and_no_more(change: Jobs) -> None:
    """One event fewer, one more and one price, all of past days and of somebody who was not there tonight."""
    drops = shop()
    before = change.hashes(*PREPARED)
    corrected = [row for row in drops[THIRD] if row["id"] != "late4"]
    corrected = [row | {"cost": "8"} if row["id"] == "late5" else row for row in corrected]
    write(change.raw, {THIRD: [*corrected, record("later", noon(SECOND, 8), who="guest")]})
    code, manifest = change.run("clean", THIRD)
    assert code == 0, manifest
    code, manifest = change.run("sessionize", THIRD)
    assert code == 0, manifest
    after = change.hashes(*PREPARED)
    assert {name for name in after if after[name] != before[name]} == {
        f"{t.name}/{day}" for t in PREPARED for day in (FIRST, SECOND)
    } - (
        {f"sessions/{FIRST}"}  # the corrected price is a view's: it belongs to no sum
    )
    kept = {row["event_id"]: row for row in change.rows(SESSION_EVENTS, FIRST) + change.rows(SESSION_EVENTS, SECOND)}
    assert "late4" not in kept
    assert kept["late5"]["price"] == 8.0
    assert kept["later"]["landed"] == THIRD
    assert (manifest["counts"]["rows_in"], manifest["counts"]["events_removed"]) == (2, 2)


def test_a_replayed_day_equals_one_that_was_clean_from_the_start(jobs: Jobs, tmp_path: Path) -> None:
    """A day whose mapping did not know half of its words, with dirt that stays dirt, and an event of the day before."""
    rows = [
        record(f"16-{n}", noon(SECOND, n), what="peeked" if n % 2 else "looked", who=f"p{n % 5}") for n in range(40)
    ]
    rows += [
        record("late", noon(FIRST, 5), what="peeked"),
        {"id": "bad", "what": "peeked"},
        {"id": "bad", "what": "peeked"},
    ]
    rows += [rows[1], record("16-0", noon(SECOND, 1), what="peeked", cost="9", got=noon(SECOND, -60).isoformat())]
    write(jobs.raw, {FIRST: [record(f"15-{n}", noon(FIRST, n), who=f"p{n}") for n in range(10)], SECOND: rows})
    mended = SOURCE.replace('looked = "view"', 'looked = "view"\npeeked = "view"')
    lenient = ("--set", "gate.max_quarantined_share=1", "--set", "gate.max_unknown_kind_rows=100")
    straight = jobs.copy(tmp_path / "straight")
    straight.source.write_text(mended)
    for shop, day in ((jobs, FIRST), (straight, FIRST), (jobs, SECOND), (straight, SECOND)):
        for name in ("clean", "sessionize"):
            code, said = shop.run(name, day, *lenient)
            assert code == 0, said
    tables = (EVENTS, QUARANTINE, SESSIONS, SESSION_EVENTS)
    assert jobs.hashes(*tables) != straight.hashes(*tables)

    jobs.source.write_text(mended)
    jobs.raw.rename(jobs.root / "gone")
    for name, more in (("clean", ["--replay"]), ("sessionize", [])):
        code, said = jobs.run(name, SECOND, *lenient, *more)
        assert code == 0, said
    assert jobs.hashes(*tables) == straight.hashes(*tables)
    drops = [shop.lake.entry(QUARANTINE.at("acme", SECOND)).facts["drop"] for shop in (jobs, straight)]
    assert drops[0] == drops[1]
    code, said = jobs.run("clean", SECOND, *lenient, "--replay")
    assert code == 0, said
    assert jobs.hashes(*tables) == straight.hashes(*tables), "what is still bad stays, once"


def test_a_poisoned_night_changes_nothing_and_names_the_expectation(change: Jobs) -> None:
    fourth = THIRD + timedelta(days=1)
    rows = [record(f"18-{n}", noon(fourth, n), who=f"p{n % 5}") for n in range(40)]
    before, days = change.hashes(*PREPARED), change.lake.days("acme", "events")
    for poison, expectation in (({"who": None}, "quarantined_share"), ({"what": "danced"}, "unknown_kind_rows")):
        write(change.raw, {fourth: [*(row | poison for row in rows[:10]), *rows[10:]]})
        code, manifest = change.run("clean", fourth, "--set", "gate.max_quarantined_share=0.2")
        assert (code, manifest["failure"]) == (1, "bad_data")
        assert f"gate stopped acme/events/dt={fourth}" in manifest["error"]
        assert expectation in manifest["error"]
        assert "\n  next: " in manifest["error"]
        assert (change.hashes(*PREPARED), change.lake.days("acme", "events")) == (before, days)
    # Mended, the same night passes.
    write(change.raw, {fourth: rows[10:]})
    assert change.run("clean", fourth)[0] == 0
    assert change.run("sessionize", fourth)[0] == 0


def test_a_day_with_one_user_and_one_event(jobs: Jobs) -> None:
    jobs.raw.joinpath(f"{FIRST}.jsonl").write_text(json.dumps(record("only", noon(FIRST))) + "\n")
    said = jobs.night(FIRST)
    assert (said["clean"]["rows_out"], said["sessionize"]["rows_out"], said["sequences"]["rows_out"]) == (1, 1, 1)
    (row,) = jobs.rows(SEQUENCES, FIRST)
    assert (row["item_ids"], row["kinds"], row["session_ordinals"], row["num_events"]) == (["i1"], [1], [1], 1)
    assert jobs.rows(VOCABULARY, FIRST - timedelta(days=1)) == []


def test_days_that_hold_nothing_are_bad_data(jobs: Jobs) -> None:
    """An empty file, a day without a file, a file of dirt alone, and no sessions to build on."""
    write(jobs.raw, {FIRST: [record("a", noon(FIRST))]})
    (jobs.raw / f"{SECOND}.jsonl").write_text("")
    (jobs.raw / f"{THIRD}.jsonl").write_text("{broken\n")
    for day, words in (
        (SECOND, f"holds no record of {SECOND}"),
        (THIRD + timedelta(days=4), "holds no drop"),
        (THIRD, "quarantined_share|num_rows"),
    ):
        code, manifest = jobs.run("clean", day)
        assert (code, manifest["failure"]) == (1, "bad_data"), manifest
        assert any(word in manifest["error"] for word in words.split("|")), manifest["error"]
        assert "\n  next: " in manifest["error"]
    code, manifest = jobs.run("sequences", FIRST)
    assert (code, "no partition acme/session_events" in manifest["error"]) == (1, True)
    assert jobs.lake.days("acme", "events") == []


# -- as processes


def process(name: str, *argv: str, home: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"NIGHTJAR_HOME": str(home), "PYTHONPATH": str(repository() / "src"), "COLUMNS": "100"}
    return subprocess.run(
        [sys.executable, str(JOBS / f"{name}.py"), *argv], env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", ["clean", "sessionize", "identity", "sequences"])
def test_help(name: str, tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    done = process(name, "--help", home=tmp_path)
    assert done.returncode == 0, done.stderr
    golden(f"{name}.txt", done.stdout)


def test_what_a_command_line_gets_wrong(tmp_path: Path) -> None:
    source = tmp_path / "acme.toml"
    source.write_text(SOURCE)
    partition = ["--events", f"acme/events/dt={FIRST}"]
    cases = {
        "no source mapping": ["--source", "nowhere", *partition, "--raw", str(tmp_path)],
        "no such file or folder": ["--source", str(source), *partition, "--raw", str(tmp_path / "absent")],
        "unknown key train.epoch": [
            "--source",
            str(source),
            *partition,
            "--raw",
            str(tmp_path),
            "--set",
            "train.epoch=3",
        ],
        "is not of source synthetic": ["--source", "synthetic", *partition, "--raw", str(tmp_path)],
    }
    for words, argv in cases.items():
        done = process("clean", *argv, home=tmp_path / "home")
        assert done.returncode == 1, done.stderr
        manifest = json.loads((tmp_path / "home" / "runs" / "acme" / str(FIRST) / "clean.json").read_text())
        assert (manifest["status"], manifest["failure"]) == ("failed", "bad_data")
        assert words in manifest["error"]
        assert words in done.stderr
        assert "next: " in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
