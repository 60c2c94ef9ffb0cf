"""Snowflake and BigQuery behind the same interface: the same publication, in their SQL, through ADBC.

Never run against either service. What a publication and a rollback would send is kept as golden files under
tests/golden/test_warehouse_cloud/, so that a change shows; whether a service takes it is for its first user to find.
"""

# ruff: noqa: S608 - only names from contracts are put into SQL; every value is bound

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Any, Protocol

from nightjar.contracts import BadInput
from nightjar.stores.warehouse.connection import Connection, Passing, Row, duckdb_connection
from nightjar.stores.warehouse.postgres import VARIABLE
from nightjar.stores.warehouse.schema import ensure_schema, loaded_names
from nightjar.stores.warehouse.workbench import Workbench

if TYPE_CHECKING:
    import pyarrow as pa

_BATCH_ROWS = 50_000

#: begin, commit, give up
_TRANSACTIONS = {
    "snowflake": ("BEGIN", "COMMIT", "ROLLBACK"),
    "bigquery": ("BEGIN TRANSACTION", "COMMIT TRANSACTION", "ROLLBACK TRANSACTION"),
}

_EXAMPLES = {
    "snowflake": f"export {VARIABLE}='user:password@account/database/schema?warehouse=name'",
    "bigquery": f"export {VARIABLE}=bigquery://project/dataset",
}


class Session(Protocol):
    """One open connection to a service; values stand for the question marks, in their order."""

    def run(self, sql: str, values: Sequence[object]) -> list[Row]: ...

    def read(self, sql: str, values: Sequence[object]) -> pa.RecordBatchReader: ...

    def ingest(self, table: str, rows: pa.RecordBatchReader, *, temporary: bool) -> None:
        """Append to a table, or make a temporary one."""


class _Cloud:
    def __init__(self, dialect: str, session: Session, bench: Workbench | None) -> None:
        self.dialect = dialect
        self.changed = False
        self.purged = False
        self._session = session
        self._bench = bench

    @property
    def bench(self) -> Workbench:
        assert self._bench is not None, "a reader has no workbench"
        return self._bench

    def query(self, sql: str, *values: object) -> list[Row]:
        return self._session.run(*positional(sql, values))

    def rows(self, sql: str, *values: object) -> Iterator[Row]:
        for batch in self._session.read(*positional(sql, values)):
            yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def execute(self, sql: str, *values: object) -> None:
        self._session.run(*positional(sql, values))

    def stage(self, name: str, select: str) -> None:
        self._session.ingest(name, self.bench.rows(select, _BATCH_ROWS), temporary=True)

    def fetch(self, name: str, sql: str, *values: object) -> None:
        self.bench.take(name, self._session.read(*positional(sql, values)))

    def append(self, table: str, select: str) -> None:
        names = ", ".join(loaded_names(table, self.dialect))
        self._session.ingest(table, self.bench.rows(f"SELECT {names} FROM ({select})", _BATCH_ROWS), temporary=False)

    def replace_night(self, table: str, shop: str, day: date, select: str) -> int:
        self.drop_night(table, shop, day)
        self.append(table, select)
        ((held,),) = self.query(f"SELECT count(*) FROM {table} WHERE shop = $1 AND dt = $2", shop, day)
        return int(held)

    def drop_night(self, table: str, shop: str, day: date) -> None:
        self.execute(f"DELETE FROM {table} WHERE shop = $1 AND dt = $2", shop, day)


def positional(sql: str, values: Sequence[object]) -> tuple[str, list[object]]:
    """$1, $2, … as question marks, with the values in the order in which they are asked for."""
    asked = [values[int(number) - 1] for number in re.findall(r"\$(\d+)", sql)]
    return re.sub(r"\$\d+", "?", sql), asked


@dataclass(frozen=True)
class Cloud:
    """The warehouse in the session's database and schema, or project and dataset."""

    dialect: str
    connect: Callable[[], AbstractContextManager[Session]] = field(repr=False)  # it knows a password

    @contextmanager
    def writer(self, shop: str, passing: Passing) -> Iterator[Connection]:
        """See `Warehouse.writer`.

        Writers take turns by writing the one row of warehouse_schema: Snowflake lets the second wait, BigQuery
        ends the transaction of whoever commits later, and that night is published by its retry.
        """
        begin, commit, give_up = _TRANSACTIONS[self.dialect]
        with duckdb_connection() as lake, self.connect() as session:
            db = _Cloud(self.dialect, session, Workbench(lake))
            ensure_schema(db)  # definitions end a transaction, or are not allowed in one
            session.run(begin, ())
            try:
                session.run("UPDATE warehouse_schema SET fingerprint = fingerprint WHERE true", ())
                passing("opened")
                yield db
            except BaseException:
                session.run(give_up, ())
                raise
            session.run(commit, ())
            passing("committed")

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        with self.connect() as session:
            yield _Cloud(self.dialect, session, None)


def from_environment(dialect: str) -> Cloud:
    """The service that NIGHTJAR_WAREHOUSE_URI names; opens nothing yet.

    Raises:
        BadInput: the variable is missing or of another form.
    """
    uri = os.environ.get(VARIABLE, "")
    if not uri or (dialect == "bigquery" and not re.fullmatch(r"bigquery://[^/]+/[^/]+", uri)):
        raise BadInput(f'publish.target is "{dialect}" and {VARIABLE} names none', _EXAMPLES[dialect])
    return Cloud(dialect, lambda: _connected(dialect, uri))


@contextmanager
def _connected(dialect: str, uri: str) -> Iterator[Session]:
    package = f"adbc-driver-{dialect}"
    try:
        if dialect == "snowflake":
            from adbc_driver_snowflake import dbapi  # type: ignore[import-not-found]

            connection = dbapi.connect(uri, autocommit=True)
        else:
            from adbc_driver_bigquery import DatabaseOptions, dbapi  # type: ignore[import-not-found]

            project, dataset = uri.removeprefix("bigquery://").split("/")
            options = {DatabaseOptions.PROJECT_ID.value: project, DatabaseOptions.DATASET_ID.value: dataset}
            connection = dbapi.connect(options, autocommit=True)
    except ImportError as error:
        raise BadInput(f"{package} is not installed", f".envs/jobs/bin/pip install {package}") from error
    with connection:
        yield _AdbcSession(connection)


class _AdbcSession:
    """Transactions are opened and ended by statements, so the connection commits by itself otherwise."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection

    def run(self, sql: str, values: Sequence[object]) -> list[Row]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, list(values) or None)
            return list(cursor.fetchall()) if cursor.description else []

    def read(self, sql: str, values: Sequence[object]) -> pa.RecordBatchReader:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, list(values) or None)
            return cursor.fetch_arrow_table().to_reader()

    def ingest(self, table: str, rows: pa.RecordBatchReader, *, temporary: bool) -> None:
        with self._connection.cursor() as cursor:
            cursor.adbc_ingest(table, rows, mode="create" if temporary else "append", temporary=temporary)
