"""The lake: nothing is visible before its commit, everything at once after it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightjar.contracts import EVENTS, SEQUENCES, SESSIONS, VOCABULARY, BadInput, Partition, Table
from nightjar.contracts.render import arrow_schema
from nightjar.settings import repository
from nightjar.stores import lake as lake_module
from nightjar.stores.lake import KEPT_SNAPSHOTS, Lake, Staged

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAY = date(2001, 1, 15)
NEXT = date(2001, 1, 16)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def words(*rows: tuple[str, date, int]) -> pa.Table:
    """Vocabulary rows: item, day, index."""
    values = [{"item_id": item, "dt": day, "item_index": index, "num_events": 7} for item, day, index in rows]
    return pa.Table.from_pylist(values, arrow_schema(VOCABULARY))


def stage(lake: Lake, *rows: tuple[str, date, int], table: Table = VOCABULARY, days: tuple[date, ...] = ()) -> Staged:
    return lake.stage_arrow(words(*rows), table, "acme", "run", days=days)


def items(lake: Lake, day: date) -> list[str]:
    return [
        item for file in lake.files(VOCABULARY.at("acme", day)) for item in pq.read_table(file)["item_id"].to_pylist()
    ]


# -- visibility


def test_staged_rows_are_invisible_until_commit(lake: Lake) -> None:
    at = VOCABULARY.at("acme", DAY)
    staged = stage(lake, ("a", DAY, 1), ("b", NEXT, 1), ("c", NEXT, 2))
    assert staged.num_rows == 3
    assert (lake.has(at), lake.days("acme", "vocabulary")) == (False, [])
    with pytest.raises(BadInput, match=r"no partition acme/vocabulary/dt=2001-01-15: the table is empty") as caught:
        lake.entry(at)
    assert caught.value.next_command == "make nightly SOURCE=acme DAY=2001-01-15"

    assert lake.commit([staged], facts={("vocabulary", NEXT): {"share": 0.5}}) == 1
    assert lake.days("acme", "vocabulary") == [DAY, NEXT]
    entry = lake.entry(VOCABULARY.at("acme", NEXT))
    assert (entry.partition, entry.num_rows, entry.run_id, entry.facts) == (
        "acme/vocabulary/dt=2001-01-16",
        2,
        "run",
        {"share": 0.5},
    )
    assert entry.num_bytes == sum(Path(file).stat().st_size for file in entry.files)
    assert (items(lake, DAY), items(lake, NEXT)) == (["a"], ["b", "c"])
    with pytest.raises(BadInput, match="it has 2001-01-15 to 2001-01-16"):
        lake.files(VOCABULARY.at("acme", date(2001, 1, 17)))


def test_a_commit_replaces_whole_partitions_and_no_others(lake: Lake) -> None:
    lake.commit([stage(lake, ("a", DAY, 1), ("b", NEXT, 1))])
    lake.commit([stage(lake, ("x", NEXT, 1))])
    assert (items(lake, DAY), items(lake, NEXT)) == (["a"], ["x"])


def test_a_lake_may_move(lake: Lake) -> None:
    lake.commit([stage(lake, ("a", DAY, 1))])
    assert items(Lake(lake.root.rename(lake.root.with_name("moved"))), DAY) == ["a"]


def test_shops_do_not_see_each_other(lake: Lake) -> None:
    lake.commit([stage(lake, ("a", DAY, 1))])
    lake.commit([lake.stage_arrow(words(("z", NEXT, 1)), VOCABULARY, "other", "run")])
    assert (lake.days("acme", "vocabulary"), lake.days("other", "vocabulary")) == ([DAY], [NEXT])
    with pytest.raises(AssertionError, match="one shop"):
        lake.commit([stage(lake, ("a", DAY, 1)), lake.stage_arrow(words(("z", NEXT, 1)), VOCABULARY, "other", "run")])


def test_an_empty_day_exists_and_replaces(lake: Lake) -> None:
    lake.commit([stage(lake, ("a", DAY, 1))])
    lake.commit([stage(lake, days=(DAY,))])
    entry = lake.entry(VOCABULARY.at("acme", DAY))
    assert (entry.num_rows, entry.num_bytes, entry.files) == (0, 0, ())
    assert lake.days("acme", "vocabulary") == [DAY]
    lake.commit([stage(lake)])  # neither rows nor days: nothing changes
    assert lake.entry(VOCABULARY.at("acme", DAY)) == entry


def test_several_tables_become_visible_in_one_step(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """One snapshot appears, and until it does readers see neither table; a crash just before it changes nothing."""

    def both(index: int) -> list[Staged]:
        users = pa.Table.from_pylist([{"shop": "acme", "dt": DAY, "n": index}])
        table = Table("counts", "Counts.", tuple(VOCABULARY.columns[1:2]), key=("dt",), order=("dt",))
        return [stage(lake, ("a", DAY, index)), lake.stage_arrow(users.select(["dt"]), table, "acme", f"run{index}")]

    lake.commit(both(1))
    seen = []
    create = lake_module.create_exclusively

    def observed(path: Path, content: bytes) -> bool:
        seen.append(
            (
                pq.read_table(lake.files(VOCABULARY.at("acme", DAY))[0])["item_index"].to_pylist(),
                lake.entry(Partition("acme", "counts", DAY)).run_id,
            )
        )
        if len(seen) == 2:
            raise KeyboardInterrupt
        return create(path, content)

    monkeypatch.setattr(lake_module, "create_exclusively", observed)
    lake.commit(both(2))
    with pytest.raises(KeyboardInterrupt):
        lake.commit(both(3))
    assert seen == [([1], "run1"), ([2], "run2")]
    assert lake.entry(Partition("acme", "counts", DAY)).run_id == "run2"
    assert items(lake, DAY) == ["a"]


def test_killed_between_stage_and_commit(lake: Lake) -> None:
    lake.commit([stage(lake, ("old", DAY, 1))])
    before = {path: path.read_bytes() for path in lake.root.rglob("*") if path.is_file()}
    script = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[2:]\n"
        "from tests.stores.test_lake import DAY, Lake, stage\n"
        "stage(Lake(Path(sys.argv[1])), ('new', DAY, 1)); print('staged', flush=True); input()\n"
    )
    folders = [str(repository()), str(repository() / "src")]
    with subprocess.Popen(
        [sys.executable, "-c", script, str(lake.root), *folders], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == b"staged\n"
        job.send_signal(signal.SIGKILL)
    assert items(lake, DAY) == ["old"]
    assert before.items() <= {path: path.read_bytes() for path in lake.root.rglob("*") if path.is_file()}.items()
    lake.commit([stage(lake, ("newer", DAY, 1))])
    assert items(lake, DAY) == ["newer"]


# -- writers at once


def test_two_committers_both_land(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have read snapshot 0 before either writes number 1."""
    barrier = threading.Barrier(2)
    current, waited = lake._current, threading.local()

    def together(shop: str) -> tuple[int, dict[str, dict[str, str]]]:
        found = current(shop)
        if not getattr(waited, "done", False):
            waited.done = True
            barrier.wait(timeout=30)
        return found

    monkeypatch.setattr(lake, "_current", together)
    parts = [stage(lake, ("a", DAY, 1)), stage(lake, ("b", NEXT, 1))]
    numbers: list[int] = []
    threads = [threading.Thread(target=lambda part=part: numbers.append(lake.commit([part]))) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    monkeypatch.undo()
    assert sorted(numbers) == [1, 2]
    assert (items(lake, DAY), items(lake, NEXT)) == (["a"], ["b"])


def test_many_processes_all_land(lake: Lake) -> None:
    script = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[3:]\n"
        "from tests.stores.test_lake import DAY, Lake, stage, timedelta\n"
        "lake = Lake(Path(sys.argv[1]))\n"
        "parts = [stage(lake, ('a', DAY + timedelta(days=10 * int(sys.argv[2]) + n), 1)) for n in range(8)]\n"
        "input()\n"
        "[lake.commit([part]) for part in parts]\n"
    )
    folders = [str(repository()), str(repository() / "src")]
    jobs = [
        subprocess.Popen([sys.executable, "-c", script, str(lake.root), str(n), *folders], stdin=subprocess.PIPE)
        for n in range(3)
    ]
    for job in jobs:
        assert job.stdin is not None
        job.stdin.write(b"\n")
        job.stdin.flush()
    assert [job.wait(timeout=120) for job in jobs] == [0, 0, 0]
    assert lake.days("acme", "vocabulary") == [DAY + timedelta(days=10 * n + k) for n in range(3) for k in range(8)]
    assert len(list((lake.root / "acme" / "_snapshots").iterdir())) == 24


# -- pruning


def test_old_snapshots_go_with_the_files_that_only_they_named(lake: Lake) -> None:
    lake.commit([stage(lake, ("kept", DAY, 1), ("replaced", NEXT, 1))])
    shared, replaced = (lake.files(VOCABULARY.at("acme", day))[0] for day in (DAY, NEXT))
    second = stage(lake, ("x", NEXT, 1))
    for _ in range(KEPT_SNAPSHOTS):
        lake.commit([second])
        second = stage(lake, ("x", NEXT, 1))
    snapshots = sorted(path.name for path in (lake.root / "acme" / "_snapshots").iterdir())
    assert len(snapshots) == KEPT_SNAPSHOTS
    assert snapshots[-1] == f"{KEPT_SNAPSHOTS + 1:08d}.json"
    assert Path(shared).exists()
    assert not Path(replaced).exists()
    assert items(lake, DAY) == ["kept"]
    assert Path(second.entries[NEXT].files[0]).exists(), "staged by somebody at work: no snapshot names it yet"
    # Every file that a remaining snapshot names is there.
    for number in range(2, KEPT_SNAPSHOTS + 2):
        for path in lake._entries("acme", number):
            assert all(Path(file).exists() for file in lake._read_entry(path).files)


# -- contents


def hashes(lake: Lake, *rows: tuple[str, date, int]) -> str:
    return stage(lake, *rows).entries[DAY].content_hash


def test_the_arrow_hash_knows_rows_not_their_order(lake: Lake) -> None:
    rows = [("a", DAY, 1), ("b", DAY, 2), ("c", DAY, 3)]
    assert hashes(lake, *rows) == hashes(lake, *reversed(rows))
    others = {
        hashes(lake, *rows[:2]),
        hashes(lake, *rows[:2], ("c", DAY, 4)),
        hashes(lake, *rows[:2], ("d", DAY, 3)),
        hashes(lake, *rows),
    }
    assert len(others) == 4


def test_arrow_rows_must_have_the_contracts_columns(lake: Lake) -> None:
    with pytest.raises((KeyError, pa.ArrowInvalid)):
        lake.stage_arrow(words(("a", DAY, 1)).drop_columns("num_events"), VOCABULARY, "acme", "run")
    assert lake.stage_arrow(words(("a", DAY, 1)).append_column("more", [[1]]), VOCABULARY, "acme", "run").num_rows == 1


def event(event_id: str, **columns: Any) -> dict[str, Any]:
    row = dict.fromkeys(EVENTS.names)
    row |= {"event_id": event_id, "event_ts": datetime(2001, 1, 15, 19, 0, 0, 123456, UTC), "dt": DAY, "landed": DAY}
    row |= {
        "user_id": "u",
        "platform": "web",
        "kind": "view",
        "item_id": "i",
        "price": 0.1,
        "attributes": [("a", "1"), ("b", None)],
    }
    return row | columns


@pytest.fixture
def frames(spark: SparkSession) -> Callable[..., DataFrame]:
    def build(*rows: dict[str, Any], parts: int = 1) -> DataFrame:
        return spark.createDataFrame(pa.Table.from_pylist(list(rows), arrow_schema(EVENTS))).repartition(parts)

    return build


@pytest.mark.spark
def test_the_spark_hash_knows_rows_not_their_order_or_files(lake: Lake, frames: Callable[..., DataFrame]) -> None:
    rows = [event(f"e{n}", query=f"q{n % 3}") for n in range(20)]
    one = lake.stage(frames(*rows), EVENTS, "acme", "run").entries[DAY]
    split = lake.stage(frames(*reversed(rows), parts=3), EVENTS, "acme", "run").entries[DAY]
    assert (len(one.files), len(split.files)) == (1, 3)
    assert one.content_hash == split.content_hash
    # Each variation on a day of its own: one write, one hash each.
    variations = [
        {},
        {"attributes": [("b", None), ("a", "1")]},  # a map has no order
        {"attributes": [("a", "2"), ("b", None)]},
        {"attributes": None},
        {"query": "u", "user_id": None},
        {"user_id": None, "device_id": "u"},  # the same value in the next column
        {"price": None},
        {"quantity": 1},
        {"event_ts": datetime(2001, 1, 15, 19, 0, 0, 123457, UTC)},
        {"surface": ""},
    ]
    days = [DAY + timedelta(days=n) for n in range(len(variations))]
    varied = [event("e", **change) | {"landed": DAY, "dt": day} for change, day in zip(variations, days, strict=True)]
    # dt is content too, so days are compared through rows that differ in nothing else.
    plain = [event("e") | {"dt": day} for day in days]
    entries = lake.stage(frames(*varied), EVENTS, "acme", "run").entries
    originals = lake.stage(frames(*plain), EVENTS, "acme", "run").entries
    same = [entries[day].content_hash == originals[day].content_hash for day in days]
    assert same == [True, True] + [False] * 8
    swapped = [event("e", user_id="x", device_id=None), event("e", user_id=None, device_id="x")]
    (first,), (second,) = (lake.stage(frames(row), EVENTS, "acme", "run").entries.values() for row in swapped)
    assert first.content_hash != second.content_hash


@pytest.mark.spark
def test_both_ways_of_staging_give_the_same_rows(
    spark: SparkSession, lake: Lake, frames: Callable[..., DataFrame]
) -> None:
    rows = [event(f"e{n}", dt=DAY + timedelta(days=n % 2)) for n in range(6)]
    by_spark = lake.stage(frames(*rows, parts=2), EVENTS, "acme", "run", days=[date(2001, 1, 20)])
    by_arrow = lake.stage_arrow(
        pa.Table.from_pylist(rows, arrow_schema(EVENTS)), EVENTS, "acme", "run", days=[date(2001, 1, 20)]
    )
    assert list(by_spark.entries) == list(by_arrow.entries) == [DAY, NEXT, date(2001, 1, 20)]
    assert [entry.num_rows for entry in by_spark.entries.values()] == [3, 3, 0]
    read = []
    for staged in (by_spark, by_arrow):
        lake.commit([staged])
        frame = lake.read(
            spark, EVENTS, [EVENTS.at("acme", day) for day in (DAY, NEXT, date(2001, 1, 20), date(1999, 1, 1))]
        )
        assert frame.columns == list(EVENTS.names)
        read.append(frame.toArrow().sort_by("event_id").to_pylist())
    assert read[0] == read[1]
    assert len(read[0]) == 6
    assert read[0][0]["event_ts"] == datetime(2001, 1, 15, 19, 0, 0, 123456, UTC)


@pytest.mark.spark
def test_a_reader_of_several_days_sees_one_snapshot(
    spark: SparkSession, lake: Lake, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit lands while the reader is between two partitions."""
    lake.commit([stage(lake, ("old", DAY, 1), ("old", NEXT, 1))])
    changed = stage(lake, ("new", DAY, 1), ("new", NEXT, 1))
    read_entry, calls = lake._read_entry, []

    def interrupted(path: str) -> Any:
        entry = read_entry(path)
        if not calls:
            calls.append(lake.commit([changed]))
        return entry

    monkeypatch.setattr(lake, "_read_entry", interrupted)
    both = [VOCABULARY.at("acme", day) for day in (DAY, NEXT)]
    rows = lake.read(spark, VOCABULARY, both).union(lake.read(spark, VOCABULARY, both)).collect()
    assert calls == [2]
    assert sorted(row["item_id"] for row in rows) == ["new", "new", "old", "old"]


@pytest.mark.spark
def test_nothing_is_read_as_an_empty_frame_of_the_contract(spark: SparkSession, lake: Lake) -> None:
    frame = lake.read(spark, SEQUENCES, [SEQUENCES.at("acme", DAY)])
    assert (frame.columns, frame.count()) == (list(SEQUENCES.names), 0)
    assert lake.stage(lake.read(spark, SESSIONS, []), SESSIONS, "acme", "a/../b run", days=[DAY]).num_rows == 0
    assert {path.parent for path in (lake.root / "acme" / "sessions").iterdir()} == {lake.root / "acme" / "sessions"}
