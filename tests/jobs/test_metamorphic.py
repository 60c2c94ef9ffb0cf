"""The same events, however they arrive: the same events, sessions and session_events.

What is compared, and how exactly:

- `sessions` knows nothing of arrival: all its columns, and the lake's content hash of every day.
- `events` and `session_events` say in `landed` which drop brought the row. Under another plan of arrival every
  other column must be equal, and `landed` must be the first drop that held the copy which won; with the same drops,
  whatever the nights, their order and their repetition, the content hashes of these tables are equal too.
- `quarantine` is filed by drop: equal, hash by hash, where the drops are.
- `session_renames` tells what happened night by night and is not compared: it is checked for telling all of it.

"Later" has limits, which the logs keep: a drop holds days that are at most `clean.days_late_allowed` old, and the
copies of one event lie within that many days of each other.
"""

from __future__ import annotations

import gzip
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from tests.jobs.prep_nights import KEY, Nights, drop, job_environment
from tests.jobs.worlds import (
    ADELAIDE,
    BERLIN,
    CAPPED,
    DEVICES,
    LOGINS,
    MAX_EVENTS,
    SAO_PAULO,
    Fate,
    Shop,
    World,
    fates,
    worlds,
)

from nightjar.contracts import EVENTS, SESSION_EVENTS, SESSION_RENAMES, SESSIONS, Table
from nightjar.prep.pseudonyms import pseudonym
from nightjar.settings import repository

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.slow]

PREPARED = (EVENTS, SESSIONS, SESSION_EVENTS)
NUM_LOGS, NUM_PLANS = 6, 10

Row = dict[str, Any]
Say = Callable[[str], None]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Say:
    """A line that pytest does not swallow."""

    def line(text: str) -> None:
        with capsys.disabled():
            print(f"\n  {text}", flush=True)

    return line


# -- worlds side by side, night by night


def send(raw: Path, shop: Shop, all_worlds: Iterable[World], *, seed: int = 0, num_files: int = 1) -> None:
    chosen = list(all_worlds)
    for day in shop.days:
        drop(raw, day, (r for world in chosen for r in world.records(day)), seed=seed, num_files=num_files)


@pytest.fixture(scope="module")
def berlin(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """All worlds of the Berlin shop after four nights, each of which told of every name that went."""
    return four_nights(spark, tmp_path_factory.mktemp("berlin"), BERLIN)


def four_nights(spark: SparkSession, root: Path, shop: Shop) -> Nights:
    nights, all_worlds = Nights(root, shop.name, shop.source), worlds(shop, num_logs=NUM_LOGS, num_plans=NUM_PLANS)
    send(nights.raw, shop, all_worlds)
    capped = {_pseudonym(name, world.mark) for world in all_worlds for name in CAPPED}
    before: dict[str, Row] = {}
    num_renames = 0
    for day in shop.days:
        nights.night(spark, day)
        now = {row["event_id"]: row for row in nights.table(SESSION_EVENTS).to_pylist()}
        num_renames += check_renames(before, now, renames_of(nights, day), capped)
        before = now
    assert num_renames > 100, "hardly a late event came first: the logs test too little"
    return nights


def renames_of(nights: Nights, day: date) -> dict[str, str]:
    days = [day] if day in nights.lake.days(nights.shop, SESSION_RENAMES.name) else []
    rows = nights.table(SESSION_RENAMES, days).to_pylist()
    found = {row["old_session_id"]: row["session_id"] for row in rows}
    assert len(found) == len(rows)
    return found


def check_renames(before: dict[str, Row], now: dict[str, Row], renames: dict[str, str], capped: set[str]) -> int:
    """Every name that went is kept beside the one that holds its first event now, and no name went without need.

    A person's session needs another name when something before its first event came, went or moved. Of a
    first event that a contradicting copy moved away itself, nothing is promised.
    """
    old = {row["session_id"] for row in before.values()}
    stayed = {name for name in old if _place(before[name]) == _place(now[name])}
    gone = {name: now[name]["session_id"] for name in stayed if now[name]["session_id"] != name}
    assert {name: new for name, new in renames.items() if name in stayed} == gone
    assert set(renames) <= old
    was_in, is_in = _members(before), _members(now)
    for name, new in gone.items():
        earlier = {event_id for event_id in is_in[new] if now[event_id]["position"] <= now[name]["position"]}
        earlier |= {other for event_id in earlier & set(before) for other in was_in[before[event_id]["session_id"]]}
        moved = any(_place(before.get(event_id)) != _place(now[event_id]) for event_id in earlier)
        assert moved or now[name]["visitor_id"] in capped, f"{name} became {new}"
    return len(gone)


def _members(rows: dict[str, Row]) -> dict[str, set[str]]:
    found = defaultdict(set)
    for event_id, row in rows.items():
        found[row["session_id"]].add(event_id)
    return found


def _place(row: Row | None) -> tuple[Any, ...] | None:
    return row and (row["visitor_id"], row["event_ts"], row["logged_in"])


def _pseudonym(name: str, mark: str) -> str:
    return pseudonym(bytes.fromhex(KEY), "device" if name in DEVICES else "user", mark + name)


def by_world(nights: Nights, table: Table, all_worlds: list[World]) -> dict[str, list[Row]]:
    """A table's rows per world, with the names that the logs gave, ids of the installation and marks taken off."""
    names: dict[str | None, str | None] = {None: None}
    names |= {_pseudonym(name, world.mark): name for world in all_worlds for name in (*DEVICES, *LOGINS)}
    found: dict[str, list[Row]] = defaultdict(list)
    for row in nights.table(table).to_pylist():
        mark, _, _ = row["session_id" if table is SESSIONS else "event_id"].partition("-")
        ids = {name: row[name].partition("-")[2] for name in ("event_id", "session_id") if name in row}
        people = {name: names[row[name]] for name in ("user_id", "device_id", "visitor_id") if name in row}
        found[f"{mark}-"].append(row | ids | people)
    for rows in found.values():
        rows.sort(key=lambda row: (row.get("event_id") or row["session_id"], row["dt"]))
    return found


def without_landed(rows: list[Row]) -> list[Row]:
    return [{name: value for name, value in row.items() if name != "landed"} for row in rows]


_KEPT_OF_IT = ("event_ts", "dt", "landed", "user_id", "device_id", "kind", "item_id", "price")


def fates_found(events: list[Row], in_sessions: list[Row]) -> dict[str, Fate]:
    assert len({row["event_id"] for row in events}) == len(events) == len(in_sessions)
    place = {row["event_id"]: row for row in in_sessions}
    found = {}
    for row in events:
        at = place[row["event_id"]]
        kept_of_it = (row[name] for name in _KEPT_OF_IT)
        rest = (row["bot_rule"], at["session_id"], at["position"], at["user_id"], at["dt"])
        assert (at["landed"], at["bot_rule"]) == (row["landed"], row["bot_rule"])
        found[row["event_id"]] = Fate(*kept_of_it, *rest)
    return found


def check_worlds(nights: Nights, shop: Shop) -> int:
    """Each world is what its log says, and equal to the world of the same log where nothing was late."""
    all_worlds = worlds(shop, num_logs=NUM_LOGS, num_plans=NUM_PLANS)
    events, whole, in_sessions = (by_world(nights, table, all_worlds) for table in (EVENTS, SESSIONS, SESSION_EVENTS))
    assert set(events) == set(whole) == set(in_sessions) == {world.mark for world in all_worlds}
    prompt: dict[int, World] = {}
    for world in all_worlds:
        first = prompt.setdefault(world.log, world)
        differs = f"{shop.name}: world {world.mark} of log {world.log}"
        assert fates_found(events[world.mark], in_sessions[world.mark]) == fates(world, shop), differs
        assert whole[world.mark] == whole[first.mark], differs
        for found in (events, in_sessions):
            assert without_landed(found[world.mark]) == without_landed(found[first.mark]), differs
    return len(all_worlds)


def test_logs_hold_what_they_are_to_test() -> None:
    """Else the tests below would be about less than they say."""
    for shop in (BERLIN, ADELAIDE, SAO_PAULO):
        all_worlds = worlds(shop, num_logs=NUM_LOGS, num_plans=NUM_PLANS)
        lengths = {shop.instant(day + timedelta(days=1), 0) - shop.instant(day, 0) for day in shop.days}
        assert len(lengths) == 2, "the clocks change"
        found = [fate for world in all_worlds[::NUM_PLANS] for fate in fates(world, shop).values()]
        assert {fate.bot_rule for fate in found} == {None, "agent", "rate"}
        assert sum(fate.dt > fate.session_dt for fate in found) > 100, "sessions cross midnight"
        assert sum(fate.login is not None and fate.who is None for fate in found) > 100, "logins reach back"
        assert any(fate.position == MAX_EVENTS for fate in found)
        sent = [pair for world in all_worlds for pair in world.sent]
        assert sum(day > copy.day for copy, day in sent) > len(sent) / 5, "late"
        assert sum(day < copy.day for copy, day in sent) > 20, "early, by fast clocks"
        assert all(len({copy.record["id"] for copy, _ in world.sent}) < 0.95 * len(world.sent) for world in all_worlds)


def test_worlds_differ_in_nothing_but_arrival(berlin: Nights, say: Say) -> None:
    say(f"berlin: {check_worlds(berlin, BERLIN)} worlds compared after four nights")


@pytest.mark.parametrize("shop", [ADELAIDE, SAO_PAULO], ids=lambda shop: shop.name)
def test_other_clocks(spark: SparkSession, tmp_path: Path, say: Say, shop: Shop) -> None:
    """A zone half an hour off, and one whose clocks change at midnight; by nights, then all of it in one."""
    nights = four_nights(spark, tmp_path / "nights", shop)
    say(f"{shop.name}: {check_worlds(nights, shop)} worlds compared after four nights")
    at_once = Nights(tmp_path / "at_once", shop.name, shop.source, nights.raw)
    at_once.night(spark, shop.days[-1])
    assert at_once.hashes() == nights.hashes()


# -- the same drops in other nights


def test_nights_run_again_change_nothing(spark: SparkSession, berlin: Nights, tmp_path: Path) -> None:
    again, before = berlin.copy(tmp_path), berlin.hashes()
    for number in (1, 0, 3, 2):
        again.night(spark, BERLIN.days[number])
        assert again.hashes() == before, f"night {number + 1}"
        assert again.manifest("sessionize", BERLIN.days[number])["counts"]["days_rebuilt"] == 0


def test_one_night_over_all_drops_in_other_lines_and_files(
    spark: SparkSession, berlin: Nights, tmp_path: Path, say: Say
) -> None:
    for number, buckets in enumerate((1, 5)):
        nights = Nights(tmp_path / str(number), BERLIN.name, BERLIN.source)
        all_worlds = worlds(BERLIN, num_logs=NUM_LOGS, num_plans=NUM_PLANS)
        send(nights.raw, BERLIN, reversed(all_worlds), seed=number + 1, num_files=number + 1)
        nights.night(spark, BERLIN.days[-1], sets=[f"lake.buckets={buckets}"])
        assert nights.hashes() == berlin.hashes(), f"{buckets} buckets"
    say("berlin: 2 lakes, of 1 and 5 buckets, equal to the one of 3 bit by bit")


def test_jobs_interleaved_and_a_drop_that_comes_after_its_night(
    spark: SparkSession, berlin: Nights, tmp_path: Path
) -> None:
    nights = Nights(tmp_path, BERLIN.name, BERLIN.source)
    first, second, third, fourth = BERLIN.days
    for file in berlin.raw.glob("*.jsonl"):
        if not file.name.startswith(str(second)):
            nights.raw.mkdir(exist_ok=True)
            (nights.raw / file.name).symlink_to(file)
    nights.night(spark, first, "clean", "clean")
    nights.night(spark, third, "clean", "sessionize")  # without the drop between them
    nights.night(spark, first, "sessionize")
    for file in berlin.raw.glob(f"{second}*.jsonl"):
        (nights.raw / file.name).symlink_to(file)
    nights.night(spark, second, "clean")
    nights.night(spark, fourth, "clean")
    nights.night(spark, first, "clean")
    nights.night(spark, second, "sessionize", "clean")
    nights.night(spark, fourth, "sessionize")
    assert nights.hashes() == berlin.hashes()
    assert nights.num_jobs == 11


# -- killed


@pytest.fixture(scope="module")
def undisturbed(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Nights]:
    """A lake before the second night's clean, before its sessionize, and after it."""
    root = tmp_path_factory.mktemp("undisturbed")
    nights = Nights(root / "whole", BERLIN.name, BERLIN.source)
    send(nights.raw, BERLIN, worlds(BERLIN, num_logs=2, num_plans=8)[3::5])
    nights.night(spark, BERLIN.days[0])
    before = {"clean": nights.copy(root / "clean")}
    nights.night(spark, BERLIN.days[1], "clean")
    before["sessionize"] = nights.copy(root / "sessionize")
    nights.night(spark, BERLIN.days[1], "sessionize")
    return before | {"": nights}


@pytest.mark.parametrize(
    ("name", "point"),
    [
        ("clean", "tasks"),
        ("clean", "entries"),
        ("clean", "committed"),
        ("sessionize", "staged"),
        ("sessionize", "tasks"),
    ],
)
def test_a_killed_job_run_again_leaves_no_trace(
    spark: SparkSession, undisturbed: dict[str, Nights], tmp_path: Path, name: str, point: str
) -> None:
    nights, day = undisturbed[name].copy(tmp_path), BERLIN.days[1]
    before = nights.visible()
    kill(nights, name, day, point)
    assert not nights.home.result(nights.shop, day, name).exists(), "an end that no job can speak of"
    assert (nights.visible() == before) == (point != "committed")
    nights.night(spark, day, *(["clean", "sessionize"] if name == "clean" else ["sessionize"]))
    assert nights.hashes() == undisturbed[""].hashes() != undisturbed[name].hashes()


def kill(nights: Nights, name: str, day: date, point: str) -> None:
    """Run a job as a process until it is dead: by its own hand, or while its tasks write."""
    killer = Path(__file__).with_name("killed_job.py")
    folder = nights.home.lake / nights.shop / ("events" if name == "clean" else "session_events")
    known = set(folder.glob("*"))
    argv = [sys.executable, str(killer), point, name, *nights.argv(name, day, "spark.driver_memory_gib=1")]
    with (nights.root / "killed.log").open("w+") as log:
        process = subprocess.Popen(argv, env=job_environment(nights), stderr=log, stdout=log, start_new_session=True)
        try:
            while point == "tasks" and process.poll() is None:
                if any(file for run in set(folder.glob("*")) - known for file in run.glob("*/*.parquet")):
                    os.killpg(process.pid, signal.SIGKILL)  # the JVM and Spark's Python workers with it
                time.sleep(0.005)
            process.wait(timeout=300)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
        log.seek(0)
        assert process.returncode == -signal.SIGKILL, log.read()[-2000:]


# -- real logs

DATA = Path(os.environ.get("NIGHTJAR_REAL_DATA") or repository().parent / "shared" / "data")


def raw_log(name: str) -> Path:
    if not (DATA / name).exists():
        pytest.skip(f"no real log {DATA / name}; set NIGHTJAR_REAL_DATA to the folder that holds it")
    return DATA / name


def mapping(name: str, **replaced: str) -> str:
    """A bundled mapping with other values for some keys."""
    text = (repository() / "conf" / "sources" / f"{name}.toml").read_text()
    lines = text.splitlines()
    for key, value in replaced.items():
        lines = [f"{key} = {value}" if line.startswith(f"{key} = ") else line for line in lines]
    return "\n".join(lines)


Lines = dict[date, list[str]]


def lines_of(path: Path) -> tuple[str, list[str]]:
    """Header and records of a CSV that breaks no line inside quotes."""
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        header, *lines = file.read().rstrip().split("\n")
    return header, lines


def late(lines: Lines, seed: int) -> Lines:
    """The same lines, a third of them up to three days later and some of them twice, in any order."""
    draw, days = random.Random(seed), sorted(lines)
    found: Lines = {day: [] for day in days}
    for day in days:
        reach = [drop for drop in days if day <= drop <= day + timedelta(days=3)]
        for line in lines[day]:
            for _ in range(2 if draw.random() < 0.02 else 1):
                found[draw.choice(reach) if draw.random() < 0.33 else day].append(line)
    for drop_lines in found.values():
        draw.shuffle(drop_lines)
    return found


def write_lines(raw: Path, header: str, lines: Lines) -> Path:
    raw.mkdir()
    for day, rows in lines.items():
        (raw / f"{day}.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8", newline="")
    return raw


def same_but_landed(left: Nights, right: Nights) -> None:
    for table in PREPARED:
        pair = [nights.table(table) for nights in (left, right)]
        pair = [rows.drop_columns([name for name in ("landed",) if name in rows.column_names]) for rows in pair]
        assert pair[0].equals(pair[1]), table.name
    assert left.hashes(SESSIONS) == right.hashes(SESSIONS)
    for table in (EVENTS, SESSION_EVENTS):
        assert left.hashes(table).keys() == right.hashes(table).keys()


def test_retailrocket(spark: SparkSession, tmp_path: Path, say: Say) -> None:
    path, first = raw_log("retailrocket/events.csv.gz"), date(2015, 5, 20)
    days = [first + timedelta(days=number) for number in range(10)]
    header, lines = lines_of(path)
    column = header.split(",").index("timestamp")
    prompt: Lines = {day: [] for day in days}
    for line in lines:
        day = datetime.fromtimestamp(int(line.split(",")[column]), tz=UTC).date()
        if day in prompt:
            prompt[day].append(line)
    sets = ["gate.min_trailing_days=28"]  # days that grow are no measure of each other
    daily = mapping("retailrocket", layout='"daily"', pattern='"{day}.csv"', history_days="9")
    raw = write_lines(tmp_path / "prompt", header, prompt)

    at_once = Nights(tmp_path / "at_once", "retailrocket", daily, raw)
    at_once.night(spark, days[-1], sets=sets)
    by_nights = Nights(tmp_path / "by_nights", "retailrocket", daily, raw)
    for number in (2, 5, 2, 9, 5):
        by_nights.night(spark, days[number], sets=sets)
    assert by_nights.hashes() == at_once.hashes()

    single = Nights(
        tmp_path / "single", "retailrocket", mapping("retailrocket", history_days="9"), tmp_path / "one.csv"
    )
    write_one(single.raw, header, prompt)
    single.night(spark, days[-1], sets=sets)
    assert single.hashes(*PREPARED) == at_once.hashes(*PREPARED)

    drops = write_lines(tmp_path / "late", header, late(prompt, seed=1))
    delayed = Nights(tmp_path / "delayed", "retailrocket", daily, drops)
    for number in (3, 6, 9):
        delayed.night(spark, days[number], sets=sets)
    same_but_landed(delayed, at_once)
    assert delayed.hashes(EVENTS) != at_once.hashes(EVENTS), "nothing was late"
    assert at_once.table(EVENTS).num_rows == sum(map(len, prompt.values())) > 5000
    say(f"retailrocket: 4 lakes of {at_once.table(EVENTS).num_rows} events compared")


def write_one(path: Path, header: str, lines: Lines) -> None:
    rows = [line for day in lines.values() for line in day]
    random.Random(2).shuffle(rows)
    path.write_text("\n".join([header, *rows]) + "\n")


def test_online_retail(spark: SparkSession, tmp_path: Path, say: Say) -> None:
    """Two weeks around the day on which London's clocks change; this shop is closed on Saturdays."""
    folder, first = raw_log("online_retail"), date(2011, 3, 20)
    days = [first + timedelta(days=number) for number in range(15)]
    header, prompt = "", {}
    for day in days:
        if (file := folder / f"{day}.csv.gz").exists():
            header, prompt[day] = lines_of(file)
    sets = ["gate.min_trailing_days=28"]
    source = mapping("online_retail", pattern='"{day}.csv"', history_days="14")

    at_once = Nights(tmp_path / "at_once", "online_retail", source, write_lines(tmp_path / "prompt", header, prompt))
    at_once.night(spark, days[-1], sets=sets)
    drops = write_lines(tmp_path / "late", header, late(prompt, seed=2))
    delayed = Nights(tmp_path / "delayed", "online_retail", source, drops)
    for number in (3, 8, 14):
        delayed.night(spark, days[number], sets=sets)
    same_but_landed(delayed, at_once)
    assert delayed.hashes(EVENTS) != at_once.hashes(EVENTS), "nothing was late"
    assert at_once.table(EVENTS).num_rows > 10_000
    say(f"online_retail: 2 lakes of {at_once.table(EVENTS).num_rows} events compared")
