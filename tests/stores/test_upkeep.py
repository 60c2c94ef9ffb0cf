"""The lake's upkeep: days go, files are merged and deleted, and nobody's rows or readers suffer; a shop's turn."""

from __future__ import annotations

import logging
import os
import threading
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightjar.contracts import VOCABULARY, BadInput
from nightjar.contracts.render import arrow_schema
from nightjar.stores.lake import Lake, Staged, write_part
from nightjar.stores.sole import Busy, in_shop

DAY, NEXT = date(2001, 1, 15), date(2001, 1, 16)
LOG = logging.getLogger("test")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def words(*rows: tuple[str, int], day: date = DAY) -> pa.Table:
    values = [{"item_id": item, "dt": day, "item_index": index, "num_events": 7} for item, index in rows]
    return pa.Table.from_pylist(values, arrow_schema(VOCABULARY))


def put(lake: Lake, *rows: tuple[str, int], day: date = DAY) -> None:
    lake.commit([lake.stage_arrow(words(*rows, day=day), VOCABULARY, "acme", "run", days=[day])])


def in_parts(lake: Lake, num: int) -> None:
    """A day of so many files, of a row each."""
    staged = lake.stage_arrow(words(("w0", 1)), VOCABULARY, "acme", "run")
    parts = [write_part(staged.folder, VOCABULARY, DAY, None, words((f"w{n}", n + 1))) for n in range(1, num)]
    entry = staged.entries[DAY]
    staged.entries[DAY] = type(entry)(entry.partition, (*entry.parts, *parts), "run", VOCABULARY.version)
    lake.commit([staged], facts={("vocabulary", DAY): {"share": 0.5}})


def items(lake: Lake, day: date = DAY) -> list[str]:
    files = lake.files(VOCABULARY.at("acme", day))
    return [item for file in files for item in pq.ParquetFile(file).read()["item_id"].to_pylist()]


def merged(lake: Lake) -> Staged:
    staged = lake.restaged(VOCABULARY, "acme", "compact")
    lake.merge(staged, DAY, lake.files(VOCABULARY.at("acme", DAY))[1:])
    return staged


def test_merged_files_hold_what_they_held(lake: Lake) -> None:
    in_parts(lake, 5)
    at = VOCABULARY.at("acme", DAY)
    before = lake.entry(at)
    lake.commit([merged(lake)], facts={("vocabulary", DAY): before.facts})
    after = lake.entry(at)
    assert (len(before.files), len(after.files)) == (5, 2)
    assert (after.content_hash, after.num_rows, after.facts) == (before.content_hash, 5, {"share": 0.5})
    assert sorted(items(lake)) == ["w0", "w1", "w2", "w3", "w4"]
    anew = lake.stage_arrow(words(*((f"w{n}", n + 1) for n in range(5))), VOCABULARY, "acme", "oracle")
    assert anew.entries[DAY].content_hash == after.content_hash


def test_a_merge_never_hides_what_a_night_wrote_meanwhile(lake: Lake) -> None:
    in_parts(lake, 3)
    put(lake, ("x", 1), day=NEXT)
    since = lake.state("acme")
    late = merged(lake)
    put(lake, ("night", 1))
    lake.commit([late], since=since)
    assert items(lake) == ["night"]
    assert items(lake, NEXT) == ["x"]


def test_discarded_days_are_gone_at_once_and_their_files_later(lake: Lake) -> None:
    put(lake, ("a", 1))
    put(lake, ("b", 1), day=NEXT)
    (file,) = lake.files(VOCABULARY.at("acme", DAY))
    lake.discard("acme", {"vocabulary": [DAY]})
    assert lake.days("acme", "vocabulary") == [NEXT]
    with pytest.raises(BadInput, match="no partition"):
        lake.entry(VOCABULARY.at("acme", DAY))
    assert Path(file).exists(), "somebody may be reading it"
    lake.vacuum("acme", keep_snapshots=0, before=datetime.now(UTC) + timedelta(days=1))
    assert not Path(file).exists()
    assert items(lake, NEXT) == ["b"]


def aged(lake: Lake, *, hours: float) -> None:
    then = time.time() - 3600 * hours
    for path in lake.root.rglob("*"):
        os.utime(path, (then, then))


def snapshots(lake: Lake) -> list[str]:
    return sorted(path.stem for path in (lake.root / "acme" / "_snapshots").glob("[0-9]*"))


def test_vacuum_spares_what_is_young_named_or_recent(lake: Lake) -> None:
    for number in range(4):
        put(lake, (f"old{number}", 1))
    orphan = lake.stage_arrow(words(("killed", 1)), VOCABULARY, "acme", "killed")
    aged(lake, hours=100)
    put(lake, ("now", 1))
    running = lake.stage_arrow(words(("running", 1)), VOCABULARY, "acme", "running")
    before = datetime.now(UTC) - timedelta(hours=48)
    done = lake.vacuum("acme", keep_snapshots=1, before=before)
    # The fourth ceased to be current just now: a reader may have it open. One more is kept by number.
    assert snapshots(lake) == ["00000004", "00000005"]
    assert done["snapshots"] == 3
    assert not orphan.folder.exists()
    assert all(Path(file).exists() for entry in running.entries.values() for file in entry.files)
    assert items(lake) == ["now"]
    lake.commit([running])
    assert items(lake) == ["running"]
    assert lake.vacuum("acme", keep_snapshots=1, before=before)["files"] == 0


def test_a_shared_file_of_an_old_snapshot_stays(lake: Lake) -> None:
    in_parts(lake, 3)
    lake.commit([merged(lake)])
    done = lake.vacuum("acme", keep_snapshots=0, before=datetime.now(UTC) + timedelta(days=1))
    assert done["files"] == 3, "two merged parts and the old entry"
    assert sorted(items(lake)) == ["w0", "w1", "w2"]
    left = {path.name for path in lake.root.rglob("*") if path.is_file()}
    assert len(left) == 2 + 1 + 1


def test_jobs_work_beside_each_other_and_an_erasure_alone(tmp_path: Path) -> None:
    path, order = tmp_path / "runs" / "acme.lock", list[str]()

    def work(name: str, *, alone: bool, begun: threading.Event, end: threading.Event) -> None:
        with in_shop(path, LOG, alone=alone):
            order.append(f"{name} begins")
            begun.set()
            end.wait(10)
            order.append(f"{name} ends")

    events: dict[str, Any] = {name: (threading.Event(), threading.Event()) for name in ("one", "two", "erase")}
    threads = {
        name: threading.Thread(target=work, args=(name,), kwargs={"alone": name == "erase", "begun": b, "end": e})
        for name, (b, e) in events.items()
    }
    threads["one"].start()
    threads["two"].start()
    assert events["one"][0].wait(10)
    assert events["two"][0].wait(10)
    threads["erase"].start()
    assert not events["erase"][0].wait(0.5)
    for _, end in events.values():
        end.set()
    for thread in threads.values():
        thread.join(20)
    assert order[-2:] == ["erase begins", "erase ends"]


def test_who_waits_too_long_says_for_whom(tmp_path: Path) -> None:
    path = tmp_path / "acme.lock"
    for holder, text in ((False, "jobs are at work on this shop"), (True, "people are being erased")):
        late = in_shop(path, LOG, alone=not holder, patience_seconds=0.1)
        with in_shop(path, LOG, alone=holder), pytest.raises(Busy, match=text), late:
            pass
