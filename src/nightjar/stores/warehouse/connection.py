"""What the rest of this package asks of a database; DuckDB and PostgreSQL each answer in one module."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import duckdb

    from nightjar.stores.warehouse.workbench import Workbench

#: Ceiling of one DuckDB instance; larger work spills to a file beside it.
MEMORY_LIMIT = "1GiB"

#: Called with the name of each point that a publication passes; tests kill the process there.
Passing = Callable[[str], None]

Row = tuple[Any, ...]


def passing_by(_: str) -> None:
    """Pass every point."""


class Connection(Protocol):
    """One open transaction (or one reader). Values are bound as $1, $2, … in every dialect."""

    dialect: str
    #: Set by whoever wrote something; a transaction that changed nothing is thrown away.
    changed: bool
    #: Set by whoever deleted rows of which no byte may be left.
    purged: bool

    @property
    def bench(self) -> Workbench:
        """Where files are read; its tables and views are gone with the connection. Writers only."""

    def query(self, sql: str, *values: object) -> list[Row]: ...

    def rows(self, sql: str, *values: object) -> Iterator[Row]:
        """The same a batch at a time, for answers that need not fit in memory."""

    def execute(self, sql: str, *values: object) -> None: ...

    def stage(self, name: str, select: str) -> None:
        """Copy the rows of a workbench query into the temporary table `name` of the warehouse; for few rows."""

    def fetch(self, name: str, sql: str, *values: object) -> None:
        """Copy the rows of a warehouse query into the workbench's table `name`, streaming."""

    def append(self, table: str, select: str) -> None:
        """Add the rows of a workbench query, streaming; its columns have the table's names."""

    def replace_night(self, table: str, shop: str, day: date, select: str) -> int:
        """Make the rows of a workbench query all that a table of nights has of this one; returns how many it has."""

    def drop_night(self, table: str, shop: str, day: date) -> None:
        """Have a night's rows gone, at the latest soon after the commit."""


class Warehouse(Protocol):
    """Where nights are published."""

    def writer(self, shop: str, passing: Passing) -> AbstractContextManager[Connection]:
        """One transaction: made visible whole when the block ends, and not at all if it raises.

        Writers of one shop take turns; readers are neither blocked nor shown anything unfinished.
        """

    def reader(self) -> AbstractContextManager[Connection]:
        """The last complete state."""


@contextmanager
def turn(path: Path) -> Iterator[None]:
    """Wait for the others that lock `path`; the lock dies with its process."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def duckdb_connection(path: str = ":memory:", *, read_only: bool = False) -> duckdb.DuckDBPyConnection:
    """DuckDB with bounded memory, UTC, and no downloads of extensions behind our back."""
    import tempfile

    import duckdb

    config: dict[str, Any] = {"memory_limit": MEMORY_LIMIT, "autoinstall_known_extensions": "false"}
    if path == ":memory:":
        config["temp_directory"] = tempfile.gettempdir()  # the default is the working directory
    connection = duckdb.connect(path, read_only=read_only, config=config)
    connection.execute("SET TimeZone = 'UTC'")
    return connection
