"""The lake: nothing is visible before its commit, everything at once after it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightjar.contracts import EVENTS, SEQUENCES, SESSIONS, VOCABULARY, BadInput, Partition, Table
from nightjar.contracts.render import arrow_schema
from nightjar.settings import repository
from nightjar.stores import lake as lake_module
from nightjar.stores.lake import KEPT_SNAPSHOTS, Entry, Lake, Part, Staged, Stored, _part, combined, write_part

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
    assert (lake.has(at), lake.days("acme", "vocabulary"), lake.entries("acme", "vocabulary")) == (False, [], {})
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
    assert lake.entries("acme", "vocabulary") == {DAY: lake.entry(at), NEXT: entry}
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


def test_the_hash_knows_every_column_and_where_its_nulls_are(tmp_path: Path) -> None:
    same = [{}, {"attributes": [("b", None), ("a", "1")]}]  # a map has no order
    different = [
        {"attributes": [("a", "2"), ("b", None)]},
        {"attributes": None},
        {"attributes": []},
        {"query": "u", "user_id": None},
        {"user_id": None, "device_id": "u"},  # the same value in the next column
        {"price": None},
        {"price": 0.0},
        {"quantity": 1},
        {"event_ts": datetime(2001, 1, 15, 19, 0, 0, 123457, UTC)},
        {"dt": NEXT},
        {"surface": ""},
    ]
    rows = [pa.Table.from_pylist([event("e", **change)], arrow_schema(EVENTS)) for change in (*same, *different)]
    found = [write_part(tmp_path, EVENTS, DAY, 0, row).content_hash for row in rows]
    assert found[0] == found[1]
    assert len(set(found)) == 1 + len(different)


def test_a_column_without_values_hashes_alike_whether_its_file_says_so_or_not(tmp_path: Path) -> None:
    rows = pa.Table.from_pylist([event(f"e{n}", device_id=None, price=None) for n in range(9)], arrow_schema(EVENTS))
    told = write_part(tmp_path, EVENTS, DAY, 0, rows)
    silent = tmp_path / "silent.parquet"
    pq.write_table(rows, silent, write_statistics=False)
    assert pq.read_metadata(told.file).row_group(0).column(6).statistics.null_count == len(rows)
    assert pq.read_metadata(silent).row_group(0).column(6).statistics is None
    assert _part(EVENTS, str(silent)).content_hash == told.content_hash


@pytest.mark.spark
def test_the_hash_knows_rows_not_their_order_or_files(lake: Lake, frames: Callable[..., DataFrame]) -> None:
    rows = [event(f"e{n}", query=f"q{n % 3}") for n in range(20)]
    one = lake.stage(frames(*rows), EVENTS, "acme", "run").entries[DAY]
    split = lake.stage(frames(*reversed(rows), parts=3), EVENTS, "acme", "run").entries[DAY]
    assert (len(one.files), len(split.files)) == (1, 3)
    assert one.content_hash == split.content_hash


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
    assert [e.content_hash for e in by_spark.entries.values()] == [e.content_hash for e in by_arrow.entries.values()]
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


# -- parts

_ROWS = [event(f"e{n}", query=f"q{n % 3}", price=None if n % 4 else 0.1 * n) for n in range(12)]


@settings(max_examples=25, deadline=None)
@given(buckets=st.lists(st.integers(0, 5), min_size=12, max_size=12), order=st.permutations(range(12)))
def test_the_hash_is_the_same_for_any_split_into_buckets(
    buckets: list[int], order: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("split")
    rows = pa.Table.from_pylist([_ROWS[n] for n in order], arrow_schema(EVENTS))
    parts = []
    for bucket in set(buckets):
        part = rows.filter(pa.array([buckets[n] == bucket for n in order]))
        parts.append(write_part(folder, EVENTS, DAY, bucket, part))
    assert [part.num_rows for part in parts] == [buckets.count(part.bucket or 0) for part in parts]
    whole = write_part(folder, EVENTS, DAY, 0, pa.Table.from_pylist(_ROWS, arrow_schema(EVENTS)))
    assert combined(part.content_hash for part in parts) == combined([whole.content_hash]) == whole.content_hash
    assert combined(part.content_hash for part in parts[1:]) != whole.content_hash


def test_equal_changes_do_not_cancel_out() -> None:
    """A xor alone forgets what occurs twice, and a sum alone what one part gains and another loses."""
    one, two = "00000000000000ff000000000000000f", "00000000000000ff0000000000000001"
    assert combined([]) == combined(["0" * 32])
    assert len({combined(hashes) for hashes in ([], [one], [two], [one, one], [one, two], [one, one, two])}) == 6
    assert combined(["f" * 32, "0" * 15 + "1" + "0" * 15 + "2"]) == "fffffffffffffffe0000000000000001"


_PARTS = st.builds(
    Part,
    file=st.from_regex(r"[a-z]{1,8}/[a-z]{1,8}\.parquet", fullmatch=True),
    num_rows=st.integers(0, 2**40),
    num_bytes=st.integers(0, 2**40),
    content_hash=st.from_regex(r"[0-9a-f]{32}", fullmatch=True),
    bucket=st.one_of(st.none(), st.integers(0, 999)),
)


@settings(max_examples=25, deadline=None)
@given(
    parts=st.lists(_PARTS, max_size=4),
    num_buckets=st.integers(0, 16),
    facts=st.dictionaries(st.text(), st.one_of(st.none(), st.floats(0, 1))),
)
def test_an_entry_is_read_as_it_was_committed(
    parts: list[Part], num_buckets: int, facts: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    lake = Lake(tmp_path_factory.mktemp("lake"))
    parts = [Part(**(asdict(part) | {"file": str(lake.root / part.file)})) for part in parts]
    at = VOCABULARY.at("acme", DAY)
    entry = Entry(str(at), tuple(parts), "run 7", VOCABULARY.version, num_buckets)
    folder = lake.root / "acme" / "vocabulary" / "run-1"
    folder.mkdir(parents=True)
    lake.commit([Staged(VOCABULARY, "acme", folder, {DAY: entry})], facts={("vocabulary", DAY): facts})
    found = lake.entry(at)
    assert asdict(found) == asdict(entry) | {"facts": facts}
    assert found.bucket_hashes() == {part.bucket: part.content_hash for part in parts if part.bucket is not None}
    assert (found.num_rows, found.num_bytes) == (sum(p.num_rows for p in parts), sum(p.num_bytes for p in parts))


def test_a_file_is_written_in_the_contracts_types_or_not_at_all(tmp_path: Path) -> None:
    rows = pa.Table.from_pylist(_ROWS, arrow_schema(EVENTS))
    part = write_part(tmp_path, EVENTS, DAY, 3, rows.select(list(EVENTS.names)[::-1]))
    assert Path(part.file).parent == tmp_path / "_dt=2001-01-15"
    assert (part.bucket, part.num_rows, part.num_bytes) == (3, 12, Path(part.file).stat().st_size)
    stored = Stored({("events", DAY): part.file})
    assert stored.read(EVENTS, [DAY]).to_pylist() == rows.to_pylist()
    again = write_part(tmp_path, EVENTS, DAY, 3, rows)
    assert (again.file != part.file, again.content_hash) == (True, part.content_hash)
    with pytest.raises((KeyError, pa.ArrowInvalid)):
        write_part(tmp_path, EVENTS, DAY, 3, rows.drop_columns("query"))
    absent = pa.nulls(len(rows), pa.string())
    with pytest.raises(ValueError, match="null"):
        write_part(tmp_path, EVENTS, DAY, 3, rows.set_column(0, "event_id", absent))
    assert len(list(tmp_path.rglob("*.parquet"))) == 2


def test_stored_rows_come_as_asked(tmp_path: Path) -> None:
    files = {}
    for day in (NEXT, DAY):
        rows = pa.Table.from_pylist([event(f"e-{day}", dt=day)], arrow_schema(EVENTS))
        files["events", day] = write_part(tmp_path, EVENTS, day, 0, rows).file
    stored = Stored(files | {("sessions", DAY): "another table's"})
    assert stored.days(EVENTS) == [DAY, NEXT]
    assert stored.days(SEQUENCES) == []
    some = stored.read(EVENTS, [NEXT, DAY, date(1999, 1, 1)], ["landed", "event_id"])
    assert some.column_names == ["landed", "event_id"]
    assert some["event_id"].to_pylist() == [f"e-{NEXT}", f"e-{DAY}"]
    nothing = stored.read(EVENTS, [])
    assert (len(nothing), nothing.schema.types) == (0, arrow_schema(EVENTS).types)


# -- buckets

Days = Mapping[date, Iterable[str]]


def named(day: date, names: Iterable[str | None]) -> pa.Table:
    """Vocabulary rows that differ in nothing but their names."""
    schema = pa.schema([known.with_nullable(True) for known in arrow_schema(VOCABULARY)])
    rows = [{"item_id": name, "dt": day, "item_index": 1, "num_events": 7} for name in names]
    return pa.Table.from_pylist(rows, schema)


def work_of(given: Mapping[int, Days], broken: Mapping[int, date]) -> Callable[..., Any]:
    """A work that gives each bucket these names, and reports what it got and what it read.

    Args:
        broken: a bucket's day whose names are null in its task's first attempt, which fails on writing it.
    """
    # Workers do not import tests: all that the work needs comes along as values.
    tables = {n: {("vocabulary", day): named(day, names) for day, names in days.items()} for n, days in given.items()}
    wrong = {n: {("vocabulary", day): named(day, [None])} for n, day in broken.items()}
    vocabulary = VOCABULARY

    def work(bucket: int, rows: pa.Table, stored: Stored) -> tuple[dict[tuple[str, date], pa.Table], dict[str, Any]]:
        from pyspark import TaskContext

        context = TaskContext.get()
        assert context is not None
        days = stored.days(vocabulary)
        read = {str(day): sorted(stored.read(vocabulary, [day])["item_id"].to_pylist()) for day in days}
        report = {"bucket": bucket, "attempt": context.attemptNumber(), "ids": rows["id"].to_pylist(), "read": read}
        found = tables.get(bucket, {})
        return found | wrong.get(bucket, {}) if context.attemptNumber() == 0 else found, report

    return work


class Shop:
    """A lake with one table in buckets."""

    def __init__(self, spark: SparkSession, lake: Lake, num_buckets: int = 3) -> None:
        self.spark = spark
        self.lake = lake
        self.num_buckets = num_buckets

    def stage(
        self,
        given: Mapping[int, Days],
        *,
        days: Iterable[date] = (),
        broken: Mapping[int, date] | None = None,
        elsewhere: Path | None = None,
    ) -> tuple[Staged, list[dict[str, Any]]]:
        staged, reports = self.lake.stage_buckets(
            self.spark.range(0, self.num_buckets, 1, self.num_buckets),
            work_of(given, broken or {}),
            [VOCABULARY],
            "acme",
            "run",
            num_buckets=self.num_buckets,
            stored={VOCABULARY: self.lake.days("acme", "vocabulary")},
            days={VOCABULARY: days},
            elsewhere={VOCABULARY: elsewhere} if elsewhere else None,
        )
        return staged["vocabulary"], reports

    def night(self, given: Mapping[int, Days], *, days: Iterable[date] = ()) -> list[dict[str, Any]]:
        staged, reports = self.stage(given, days=days)
        self.lake.commit([staged])
        return reports

    def entry(self, day: date) -> Entry:
        return self.lake.entry(VOCABULARY.at("acme", day))

    def files(self, day: date) -> dict[int | None, str]:
        return {part.bucket: part.file for part in self.entry(day).parts}

    def rows(self, day: date) -> dict[int | None, list[str]]:
        return {bucket: pq.read_table(file)["item_id"].to_pylist() for bucket, file in self.files(day).items()}


@pytest.fixture
def shop(spark: SparkSession, lake: Lake) -> Shop:
    return Shop(spark, lake)


@pytest.mark.spark
def test_a_night_writes_the_buckets_it_touches_and_goes_on_naming_the_rest(shop: Shop) -> None:
    reports = shop.night({2: {DAY: ["c"]}, 0: {DAY: ["a1", "a2"], NEXT: ["n"]}, 1: {DAY: ["b"]}})
    assert [report["bucket"] for report in reports] == [0, 1, 2]
    assert [report["ids"] for report in reports] == [[0], [1], [2]], "partition n holds bucket n"
    assert [report["read"] for report in reports] == [{}] * 3
    assert shop.rows(DAY) == {0: ["a1", "a2"], 1: ["b"], 2: ["c"]}
    assert [part.bucket for part in shop.entry(DAY).parts] == [0, 1, 2]
    before, next_before, hashes = shop.files(DAY), shop.entry(NEXT), shop.entry(DAY).bucket_hashes()

    reports = shop.night({1: {DAY: ["b", "late"]}})
    assert [report["read"] for report in reports] == [
        {"2001-01-15": ["a1", "a2"], "2001-01-16": ["n"]},
        {"2001-01-15": ["b"]},
        {"2001-01-15": ["c"]},
    ], "a bucket's work reads that bucket and no other"
    after = shop.files(DAY)
    assert shop.rows(DAY) == {0: ["a1", "a2"], 1: ["b", "late"], 2: ["c"]}
    assert [bucket for bucket in after if after[bucket] == before[bucket]] == [0, 2]
    assert shop.entry(NEXT) == next_before, "no bucket touched the day: the snapshot goes on naming its entry"
    now = shop.entry(DAY).bucket_hashes()
    assert [bucket for bucket in now if now[bucket] == hashes[bucket]] == [0, 2]


@pytest.mark.spark
def test_a_bucket_may_lose_its_rows_and_a_day_all_of_them(shop: Shop) -> None:
    shop.night({0: {DAY: ["a"], NEXT: ["n"]}, 1: {DAY: ["b"]}})
    kept = shop.files(DAY)[1]
    shop.night({0: {DAY: [], NEXT: []}})
    assert shop.files(DAY) == {1: kept}
    assert shop.entry(DAY).bucket_hashes().keys() == {1}
    assert (shop.entry(NEXT).parts, shop.entry(NEXT).num_rows) == ((), 0)
    assert shop.lake.days("acme", "vocabulary") == [DAY, NEXT]
    # An emptied bucket may fill again.
    shop.night({0: {NEXT: ["again"]}})
    assert shop.rows(NEXT) == {0: ["again"]}


@pytest.mark.spark
def test_days_that_must_be_written_are(shop: Shop) -> None:
    other = date(2001, 1, 20)
    shop.night({0: {DAY: ["a"]}, 1: {DAY: ["b"]}}, days=[DAY, NEXT])
    assert (shop.entry(NEXT).parts, shop.entry(NEXT).num_buckets) == ((), 3)
    before = shop.entry(DAY)
    staged, _ = shop.stage({}, days=[DAY, other])
    assert list(staged.entries) == [DAY, other]
    assert staged.entries[DAY].parts == before.parts
    assert staged.num_rows == 2
    assert sorted(row["item_id"] for row in staged.frame(shop.spark).collect()) == ["a", "b"]


@pytest.mark.spark
def test_what_a_failed_attempt_wrote_is_named_by_nobody(shop: Shop) -> None:
    """The first attempt breaks off at its second day; the first day's file is there already."""
    given = {0: {DAY: ["a"]}, 1: {DAY: ["b"], NEXT: ["n"]}}
    staged, reports = shop.stage(given, broken={1: NEXT})
    assert [report["attempt"] for report in reports] == [0, 1, 0]
    left = sorted(path.name[:5] for path in staged.folder.rglob("*.parquet"))
    assert left == ["00000", "00001", "00001", "00001"], "two of bucket 1 on the first day, one of them of nobody"
    shop.lake.commit([staged])
    assert (shop.rows(DAY), shop.rows(NEXT)) == ({0: ["a"], 1: ["b"]}, {1: ["n"]})
    with pytest.raises(Exception, match="null"):  # fails for good: nothing is staged, nothing becomes visible
        shop.stage({2: {DAY: ["c"]}, 1: {DAY: [None]}})  # type: ignore[list-item]
    assert shop.rows(DAY) == {0: ["a"], 1: ["b"]}


@pytest.mark.spark
def test_all_writers_and_any_number_of_buckets_give_one_hash(spark: SparkSession, lake: Lake, tmp_path: Path) -> None:
    names = [f"i{n}" for n in range(7)]
    by_arrow = lake.stage_arrow(named(DAY, names), VOCABULARY, "acme", "run").entries[DAY].content_hash
    by_spark = lake.stage(spark.createDataFrame(named(DAY, names)), VOCABULARY, "acme", "run").entries[DAY].content_hash
    found = {by_arrow, by_spark}
    for num_buckets in (1, 4):
        given = {bucket: {DAY: names[bucket::num_buckets]} for bucket in range(num_buckets)}
        staged, _ = Shop(spark, Lake(tmp_path / str(num_buckets)), num_buckets).stage(given)
        assert len(staged.entries[DAY].parts) == num_buckets
        found.add(staged.entries[DAY].content_hash)
    assert len(found) == 1


@pytest.mark.spark
def test_a_table_keeps_the_buckets_of_its_first_night(shop: Shop) -> None:
    lake = shop.lake
    assert lake.num_buckets("acme", VOCABULARY, 7) == 7
    shop.night({}, days=[DAY])
    assert lake.num_buckets("acme", VOCABULARY, 7) == 3, "an empty day counts: later ones must agree with it"
    shop.night({0: {NEXT: ["n"]}})
    assert lake.num_buckets("acme", VOCABULARY, 7) == 3
    assert (lake.num_buckets("other", VOCABULARY, 7), lake.num_buckets("acme", EVENTS, 7)) == (7, 7)


@pytest.mark.spark
def test_a_table_may_lie_outside_the_lake(shop: Shop, tmp_path: Path) -> None:
    staged, _ = shop.stage({1: {DAY: ["b"]}}, elsewhere=tmp_path / "secret")
    assert [Path(file).parents[1] for entry in staged.entries.values() for file in entry.files] == [tmp_path / "secret"]
    assert not list(shop.lake.root.rglob("*.parquet"))


@pytest.mark.spark
def test_a_partition_that_no_task_ran_is_noticed(shop: Shop, spark: SparkSession) -> None:
    """Spark may merge small partitions where nobody fixed their number."""
    with pytest.raises(AssertionError, match="each bucket is one partition"):
        shop.lake.stage_buckets(
            spark.range(0, 2, 1, 2),
            work_of({}, {}),
            [VOCABULARY],
            "acme",
            "run",
            num_buckets=3,
            stored={},
            days={},
        )


@pytest.mark.spark
def test_old_entries_go_with_the_files_that_no_kept_one_names(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket's file outlives its night for as long as later nights name it."""
    monkeypatch.setattr(lake_module, "KEPT_SNAPSHOTS", 2)
    shop.night({0: {DAY: ["a"]}, 1: {DAY: ["b"]}})
    first, first_entry = shop.files(DAY), Path(str(shop.lake._current("acme")[1]["vocabulary"]["2001-01-15"]))
    shop.night({1: {DAY: ["b", "late"]}})
    second = shop.files(DAY)
    assert Path(first[1]).exists(), "the snapshot before the current one names it: somebody may be reading"
    shop.night({1: {DAY: ["b", "later"]}})
    assert not Path(first[1]).exists()
    assert not (shop.lake.root / first_entry).exists()
    assert Path(first[0]).exists(), "the third night goes on naming the first night's file"
    assert Path(second[1]).exists()
    assert shop.rows(DAY) == {0: ["a"], 1: ["b", "later"]}
    shop.night({0: {DAY: []}, 2: {NEXT: ["n"]}})
    shop.night({2: {NEXT: ["n"]}})
    shop.night({2: {NEXT: ["n"]}})
    assert not Path(first[0]).exists()
    assert not Path(first[0]).parent.exists(), "nor is its folder left behind"
    for number in (5, 6):
        for path in shop.lake._entries("acme", number):
            assert all(Path(file).exists() for file in shop.lake._read_entry(path).files)
    assert (shop.rows(DAY), shop.rows(NEXT)) == ({1: ["b", "later"]}, {2: ["n"]})
