"""What only a file can get wrong: locks, leftovers, a full disk."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pytest
from tests.stores import nights
from tests.stores.nights import DAY, LISTS, SHOP, put

from nightjar.contracts import BadInput
from nightjar.stores.warehouse import DuckDbFile, sample

CHANGED = LISTS | {"p-ada": ("i1", "i2", "i5")}


@pytest.fixture
def warehouse(tmp_path: Path) -> DuckDbFile:
    made = DuckDbFile(tmp_path / "place" / "warehouse.duckdb")
    put(made, nights.night(tmp_path / "first"))
    return made


def ada(path: Path) -> list[str]:
    """What a program of its own reads: no lock, no instance is shared with this process."""
    code = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=True);"
        "print(*[r[0] for r in c.execute(\"SELECT item_id FROM v_recommendations_current WHERE user_id = 'ada'"
        ' ORDER BY rank").fetchall()])'
    )
    return subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    ).stdout.split()


@contextmanager
def other_program(path: Path, mode: str) -> Iterator[subprocess.Popen[str]]:
    """Holds the file open in another process until it is told to ask and leave."""
    code = (
        "import duckdb, sys; c = duckdb.connect(sys.argv[1], read_only=sys.argv[2] == 'read');"
        "print('open', flush=True); sys.stdin.readline();"
        "print(c.execute('SELECT count(*) FROM publish_log').fetchone()[0])"
    )
    argv = [sys.executable, "-c", code, str(path), mode]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "open\n"
        yield process
        process.kill()


def test_an_open_reader_neither_blocks_the_night_nor_loses_its_own(warehouse: DuckDbFile, tmp_path: Path) -> None:
    with other_program(warehouse.path, "read") as reader:
        put(warehouse, nights.night(tmp_path, CHANGED))
        assert ada(warehouse.path) == ["i1", "i2", "i5"]
        assert reader.communicate("\n", timeout=30)[0] == "1\n"  # it still reads the file that it opened


def test_a_program_that_writes_is_named_as_the_cause(warehouse: DuckDbFile, tmp_path: Path) -> None:
    refused = pytest.raises(OSError, match=r"another program has .*warehouse\.duckdb open for writing")
    with other_program(warehouse.path, "write"), refused:
        put(warehouse, nights.night(tmp_path, CHANGED))
    assert put(warehouse, nights.night(tmp_path, CHANGED)).published


def test_rows_in_a_killed_persons_wal_survive_and_the_wal_goes(warehouse: DuckDbFile, tmp_path: Path) -> None:
    code = (
        "import duckdb, os, sys; c = duckdb.connect(sys.argv[1]);"
        "c.execute('CREATE TABLE mine AS SELECT 42 AS x'); os._exit(0)"
    )
    os.chmod(warehouse.path, 0o640)
    subprocess.run([sys.executable, "-c", code, str(warehouse.path)], check=True)
    wal = warehouse.path.with_name("warehouse.duckdb.wal")
    assert wal.exists()
    put(warehouse, nights.night(tmp_path, CHANGED))
    assert not wal.exists()
    with warehouse.reader() as db:
        assert db.query("SELECT x FROM mine") == [(42,)]


def test_only_the_file_and_its_lock_remain_and_people_cannot_write_by_accident(warehouse: DuckDbFile) -> None:
    left = sorted(path.name for path in warehouse.path.parent.iterdir())
    assert left == ["warehouse.duckdb", "warehouse.duckdb.lock"]
    assert warehouse.path.stat().st_mode & 0o777 == 0o440


def test_a_mode_that_somebody_set_stays(warehouse: DuckDbFile, tmp_path: Path) -> None:
    os.chmod(warehouse.path, 0o444)
    put(warehouse, nights.night(tmp_path, CHANGED))
    assert warehouse.path.stat().st_mode & 0o777 == 0o444


def test_leftovers_of_a_killed_publisher_are_replaced(warehouse: DuckDbFile, tmp_path: Path) -> None:
    for suffix in (".next", ".next.wal"):
        warehouse.path.with_name(f"warehouse.duckdb{suffix}").write_bytes(b"half a file")
    put(warehouse, nights.night(tmp_path, CHANGED))
    test_only_the_file_and_its_lock_remain_and_people_cannot_write_by_accident(warehouse)
    assert ada(warehouse.path) == ["i1", "i2", "i5"]


@pytest.mark.parametrize("room", [-100_000, 300_000])
def test_a_full_disk_fails_and_leaves_the_last_night(warehouse: DuckDbFile, tmp_path: Path, room: int) -> None:
    """A limit on file size stands for the full disk: writing fails while copying, and while loading."""
    many = {f"p-{number:05}": ("i1", "i2", "i3") for number in range(20_000)} | CHANGED
    file = nights.saved(nights.night(tmp_path, many), tmp_path / "night.json")
    limit = warehouse.path.stat().st_size + room
    code = (
        "import resource, runpy, sys; limit = int(sys.argv.pop(1)); sys.argv.pop(0);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)); runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    _, script, *rest = nights.argv(warehouse, file)
    result = subprocess.run([sys.executable, "-c", code, str(limit), script, *rest], capture_output=True, text=True)
    assert result.returncode == 1
    assert "OSError" in result.stderr.splitlines()[-1]
    assert "File too large" in result.stderr
    assert ada(warehouse.path) == ["i1", "i2", "i3"]
    test_only_the_file_and_its_lock_remain_and_people_cannot_write_by_accident(warehouse)
    assert put(warehouse, nights.night(tmp_path, many)).num_rows == 60_012


def test_a_place_that_cannot_be_written_is_an_environment_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(OSError, match="file"):
        put(DuckDbFile(tmp_path / "file" / "warehouse.duckdb"), nights.night(tmp_path))


def test_a_file_that_is_no_database_is_kept_and_named(tmp_path: Path) -> None:
    path = tmp_path / "warehouse.duckdb"
    path.write_bytes(b"x" * 9000)
    with pytest.raises(OSError, match=r"not a valid DuckDB database file.*warehouse\.duckdb"):
        put(DuckDbFile(path), nights.night(tmp_path))
    assert path.read_bytes() == b"x" * 9000


def test_without_a_warehouse_readers_hear_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="next: make nightly"):
        sample(DuckDbFile(tmp_path / "none.duckdb"), SHOP, DAY)


def test_a_second_reader_of_this_process_sees_the_new_night(warehouse: DuckDbFile, tmp_path: Path) -> None:
    put(warehouse, nights.night(tmp_path, CHANGED))
    with duckdb.connect(str(warehouse.path), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM publish_log").fetchone() == (2,)
