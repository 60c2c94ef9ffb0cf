"""PostgreSQL through ADBC: bulk loads stream as binary COPY, one transaction per night."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nightjar.contracts import BadInput
from nightjar.stores.warehouse.connection import Connection, Passing, Row, duckdb_connection
from nightjar.stores.warehouse.schema import ensure_schema

if TYPE_CHECKING:
    import duckdb
    from adbc_driver_manager import dbapi

VARIABLE = "NIGHTJAR_WAREHOUSE_URI"
_EXAMPLE = f"export {VARIABLE}=postgresql://user:password@host:5432/database"

#: Rows per Arrow batch on the way to COPY: bounds memory, not speed.
_BATCH_ROWS = 50_000


class _Postgres:
    dialect = "postgres"

    def __init__(self, connection: dbapi.Connection, lake: duckdb.DuckDBPyConnection | None = None) -> None:
        self._connection = connection
        self._lake = lake  # writers only
        self.changed = False

    def query(self, sql: str, *values: object) -> list[Row]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return list(cursor.fetchall())

    def execute(self, sql: str, *values: object) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values or None)

    def stage(self, name: str, select: str, files: Sequence[str]) -> None:
        # DuckDB reads and casts the Parquet for both warehouses, so that they cannot differ.
        assert self._lake is not None, "a reader stages nothing"
        rows = self._lake.sql(select, params={"files": list(files)} if files else None).to_arrow_reader(_BATCH_ROWS)
        with self._connection.cursor() as cursor:
            cursor.adbc_ingest(name, rows, mode="create", temporary=True)
        self.execute(f"ANALYZE {name}")  # nobody else gathers a temporary table's statistics


@dataclass(frozen=True)
class Postgres:
    """The warehouse in the connection's database and schema (`search_path`)."""

    uri: str = field(repr=False)  # it holds a password

    @classmethod
    def from_environment(cls) -> Postgres:
        uri = os.environ.get(VARIABLE, "")
        if not uri:
            raise BadInput(f'publish.target is "postgres" and {VARIABLE} is not set', _EXAMPLE)
        if not uri.startswith(("postgresql://", "postgres://")):
            raise BadInput(f"{VARIABLE} is no postgresql:// URI", _EXAMPLE)
        return cls(uri)

    @contextmanager
    def writer(self, shop: str, passing: Passing) -> Iterator[Connection]:
        """See `Warehouse.writer`; each shop has its own turn.

        Raises:
            ConnectionError: no connection; the message never holds the URI.
        """
        with duckdb_connection() as lake, self._connected() as connection:
            db = _Postgres(connection, lake)
            db.execute("SET work_mem = '64MB'")  # the audits group and sort a whole night
            _lock(db, "nightjar schema")
            ensure_schema(db)
            connection.commit()
            _lock(db, f"nightjar shop {shop}")
            yield db
            connection.commit()
            passing("committed")

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        with self._connected() as connection:
            yield _Postgres(connection)

    @contextmanager
    def _connected(self) -> Iterator[dbapi.Connection]:
        from adbc_driver_postgresql import dbapi

        try:
            connection = dbapi.connect(self.uri)
        except dbapi.Error as error:
            raise ConnectionError(_reason(str(error))) from None  # the cause may quote the URI
        with connection:  # closing rolls back what was not committed
            with connection.cursor() as cursor:
                cursor.execute("SET TIME ZONE 'UTC'")
            yield connection


def _lock(db: _Postgres, name: str) -> None:
    """Held until the transaction ends, however it ends."""
    db.query("SELECT CAST(pg_advisory_xact_lock(hashtextextended($1, 0)) AS TEXT)", name)


def _reason(message: str) -> str:
    """libpq's first line where it speaks of the server; where it speaks of the URI it quotes from it."""
    _, found, rest = message.partition("connection to server")
    said = f"{found}{rest}".splitlines()[0] if found else "the URI cannot be read"
    return f"no connection to the warehouse of {VARIABLE}: {said}"
