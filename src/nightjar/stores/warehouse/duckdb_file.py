"""A DuckDB file that is swapped whole: docs/decisions/0002-duckdb-file-is-swapped.md."""

# ruff: noqa: S608 - only names from contracts are put into SQL; every value is bound

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from nightjar.contracts import BadInput
from nightjar.stores.warehouse.connection import Connection, Passing, Row, duckdb_connection, turn
from nightjar.stores.warehouse.schema import ensure_schema, loaded_names
from nightjar.stores.warehouse.workbench import Workbench

if TYPE_CHECKING:
    import duckdb


class _DuckDb:
    """The workbench is the connection itself: what is read from files is written without leaving the engine."""

    dialect = "duckdb"

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection
        self.bench = Workbench(connection)
        self.changed = False
        self.purged = False

    def query(self, sql: str, *values: object) -> list[Row]:
        return self.bench.query(sql, *values)

    def rows(self, sql: str, *values: object) -> Iterator[Row]:
        cursor = self._connection.cursor().execute(sql, list(values))
        while batch := cursor.fetchmany(2_048):
            yield from batch

    def execute(self, sql: str, *values: object) -> None:
        self._connection.execute(sql, list(values))

    def stage(self, name: str, select: str) -> None:
        self.bench.table(name, select)

    def fetch(self, name: str, sql: str, *values: object) -> None:
        self._connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {sql}", list(values))

    def append(self, table: str, select: str) -> None:
        names = ", ".join(loaded_names(table, self.dialect))
        self._connection.execute(f"INSERT INTO {table} ({names}) SELECT {names} FROM ({select})")

    def replace_night(self, table: str, shop: str, day: date, select: str) -> int:
        self.drop_night(table, shop, day)
        self.append(table, select)
        ((held,),) = self.query(f"SELECT count(*) FROM {table} WHERE shop = $1 AND dt = $2", shop, day)
        return int(held)

    def drop_night(self, table: str, shop: str, day: date) -> None:
        self.execute(f"DELETE FROM {table} WHERE shop = $1 AND dt = $2", shop, day)


@dataclass(frozen=True)
class DuckDbFile:
    """The warehouse at `path`; beside it `path.lock` and, while a night is written, `path.next`."""

    path: Path

    @contextmanager
    def writer(self, shop: str, passing: Passing) -> Iterator[Connection]:
        """See `Warehouse.writer`; all shops of one file take turns.

        Raises:
            OSError: the disk is full or read-only, or another program holds the file for writing.
        """
        with _environment_errors(self.path), turn(self._beside(".lock")):
            self._drop_leftovers()  # of a publisher that was killed
            try:
                self._copy()
                passing("opened")
                with self._transaction() as db:
                    yield db
                passing("committed")
                if db.purged:
                    self._write_anew()
                if db.changed:
                    self._swap(passing)
            finally:
                self._drop_leftovers()  # above all where the disk is full

    @contextmanager
    def _transaction(self) -> Iterator[_DuckDb]:
        connection = duckdb_connection(str(self._next))
        try:
            os.chmod(self._next, 0o600)  # it holds the shop's ids, and is not finished
            db = _DuckDb(connection)
            connection.execute("BEGIN")
            ensure_schema(db)
            yield db
            connection.execute("COMMIT")
            # Everything into the one file that is renamed: a WAL left beside it would be lost.
            connection.execute("CHECKPOINT")
        finally:
            connection.close()

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        if not self.path.exists():
            raise BadInput(f"no warehouse {self.path}", "make nightly")
        connection = duckdb_connection(str(self.path), read_only=True)
        try:
            yield _DuckDb(connection)
        finally:
            connection.close()

    @property
    def _next(self) -> Path:
        return self._beside(".next")

    def _beside(self, suffix: str) -> Path:
        return self.path.with_name(self.path.name + suffix)

    def _drop_leftovers(self) -> None:
        """Nobody else has them open while the turn is ours."""
        for suffix in (".next", ".next.wal", ".next.whole", ".next.whole.wal"):
            self._beside(suffix).unlink(missing_ok=True)
        shutil.rmtree(self._beside(".next.tmp"), ignore_errors=True)

    def _copy(self) -> None:
        if not self.path.exists():
            return
        with self.path.open("rb") as file:
            _refuse_other_writer(file.fileno(), self.path)
            _clone(self.path, self._next)
            # A person's own session that was killed left a WAL with committed rows: they come along.
            if self._beside(".wal").exists():
                shutil.copyfile(self._beside(".wal"), self._beside(".next.wal"))

    def _write_anew(self) -> None:
        """Copy the rows of the copy into a file without the free room in which deleted ones still stand."""
        whole = self._beside(".next.whole")
        connection = duckdb_connection()
        try:
            for path, name, how in ((self._next, "old", " (READ_ONLY)"), (whole, "new", "")):
                quoted = str(path).replace("'", "''")  # ATTACH takes no parameter
                connection.execute(f"ATTACH '{quoted}' AS {name}{how}")
            os.chmod(whole, 0o600)
            connection.execute("COPY FROM DATABASE old TO new")
            connection.execute("CHECKPOINT new")
        finally:
            connection.close()
        os.replace(whole, self._next)

    def _swap(self, passing: Passing) -> None:
        mode = self.path.stat().st_mode & 0o777 if self.path.exists() else 0o440
        _flush(self._next)
        os.chmod(self._next, mode)
        passing("flushed")
        # Its rows are in the new file, and beside that one it would be another file's WAL, on which
        # DuckDB 2.0 refuses to open: so it goes first.
        self._beside(".wal").unlink(missing_ok=True)
        os.replace(self._next, self.path)
        passing("swapped")
        _flush(self.path.parent)


def _refuse_other_writer(descriptor: int, path: Path) -> None:
    """DuckDB holds a POSIX lock on the file: shared for readers, exclusive for a writer.

    Copying below a writer could tear the copy, and swapping would lose what it writes.
    """
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        raise OSError(
            errno.EBUSY, f"another program has {path} open for writing; close it, and open it with -readonly"
        ) from error


@contextmanager
def _environment_errors(path: Path) -> Iterator[None]:
    """DuckDB's errors of disk, memory and commit as OSError: a retry may help, and the message says where to look."""
    import duckdb

    try:
        yield
    except duckdb.OperationalError as error:
        raise OSError(errno.EIO, f"{str(error).splitlines()[0]} (warehouse {path})") from error


def _clone(source: Path, target: Path) -> None:
    """Copy inside the kernel; filesystems that can (XFS, Btrfs) share the blocks, and a clone costs nothing."""
    try:
        with source.open("rb") as read, target.open("wb") as written:
            while os.copy_file_range(read.fileno(), written.fileno(), 2**30):
                pass
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
            raise
        shutil.copyfile(source, target)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
