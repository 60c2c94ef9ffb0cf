"""PostgreSQL through ADBC: bulk loads stream as binary COPY, one transaction per night."""

# ruff: noqa: S608 - only names from contracts are put into SQL; every value is bound

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING

from nightjar.contracts import BadInput
from nightjar.stores.warehouse.connection import Connection, Passing, Row, duckdb_connection
from nightjar.stores.warehouse.pointer import held_nights
from nightjar.stores.warehouse.schema import NIGHTLY, ensure_schema, loaded_names
from nightjar.stores.warehouse.workbench import Workbench

if TYPE_CHECKING:
    import duckdb
    from adbc_driver_manager import dbapi

VARIABLE = "NIGHTJAR_WAREHOUSE_URI"
_EXAMPLE = f"export {VARIABLE}=postgresql://user:password@host:5432/database"

#: Rows per Arrow batch on the way to COPY: bounds memory, not speed.
_BATCH_ROWS = 50_000

_DROP_PATIENCE_MS = 200
_LOCK_NOT_AVAILABLE = "55P03"  # PostgreSQL's SQLSTATE of a lock_timeout


class _Postgres:
    dialect = "postgres"

    def __init__(self, connection: dbapi.Connection, lake: duckdb.DuckDBPyConnection | None = None) -> None:
        self._connection = connection
        self._bench = Workbench(lake) if lake else None
        self.changed = False
        self.purged = False

    @property
    def bench(self) -> Workbench:
        assert self._bench is not None, "a reader has no workbench"
        return self._bench

    def query(self, sql: str, *values: object) -> list[Row]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            return list(cursor.fetchall())

    def rows(self, sql: str, *values: object) -> Iterator[Row]:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            for batch in cursor.fetch_record_batch():
                yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)

    def execute(self, sql: str, *values: object) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values or None)

    def stage(self, name: str, select: str) -> None:
        with self._connection.cursor() as cursor:
            cursor.adbc_ingest(name, self.bench.rows(select, _BATCH_ROWS), mode="create", temporary=True)
        self.execute(f"ANALYZE {name}")  # nobody else gathers a temporary table's statistics

    def fetch(self, name: str, sql: str, *values: object) -> None:
        with self._connection.cursor() as cursor:
            cursor.execute(sql, values or None)
            self.bench.take(name, cursor.fetch_record_batch())

    def append(self, table: str, select: str) -> None:
        names = ", ".join(loaded_names(table, self.dialect))
        self._copy(table, f"SELECT {names} FROM ({select})")

    def _copy(self, table: str, select: str) -> None:
        """Binary COPY into a table that exists."""
        with self._connection.cursor() as cursor:
            cursor.adbc_ingest(table, self.bench.rows(select, _BATCH_ROWS), mode="append")

    def replace_night(self, table: str, shop: str, day: date, select: str) -> int:
        """A table per night, filled while nobody sees it, indexed at once, then attached to the others.

        Rows copied into an index one by one cost four times as much, and deleting them again later would leave
        their room to VACUUM; attaching blocks no reader. Only a night that is published anew is deleted row by row.
        """
        names = ", ".join(loaded_names(table, self.dialect))
        part = partition_name(table, shop, day)
        if self.query("SELECT 1 WHERE to_regclass($1) IS NOT NULL", part):
            self.execute(f"DELETE FROM {part}")
            self._copy(part, f"SELECT {names} FROM ({select})")
        else:
            of_shop = self._shop_partition(table, shop)
            same_night = f"shop = '{shop}' AND dt = DATE '{day.isoformat()}'"  # a shop's name is letters, digits and _
            self.execute(f"CREATE TABLE {part} (LIKE {of_shop}, CONSTRAINT same_night CHECK ({same_night}))")
            self._copy(part, f"SELECT {names} FROM ({select})")
            self.execute(f"ALTER TABLE {of_shop} ATTACH PARTITION {part} FOR VALUES IN ('{day.isoformat()}')")
            self.execute(f"ALTER TABLE {part} DROP CONSTRAINT same_night")  # it spared the attaching a scan
        self.execute(f"ANALYZE {part}")
        ((held,),) = self.query(f"SELECT count(*) FROM {part}")
        return int(held)

    def _shop_partition(self, table: str, shop: str) -> str:
        name = partition_name(table, shop)
        if not self.query("SELECT 1 WHERE to_regclass($1) IS NOT NULL", name):
            self.execute(f"CREATE TABLE {name} (LIKE {table}) PARTITION BY LIST (dt)")
            self.execute(f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES IN ('{shop}')")
        return name

    def drop_night(self, table: str, shop: str, day: date) -> None:
        """Nothing yet: dropping a table would block readers until the commit, see `_drop_forgotten`."""

    def _drop_forgotten(self, shop: str) -> None:
        """Drop the nights that `published_nights` does not name, unless somebody reads them just now.

        In a transaction of its own. Dropping waits for open readers, and new ones wait behind it, so it gives up
        after a moment; the next night tries again, also after a publisher that was killed before this.
        """
        self.execute(f"SET LOCAL lock_timeout = '{_DROP_PATIENCE_MS}ms'")
        held = {night.day for night in held_nights(self, shop)}
        for table in NIGHTLY:
            of_shop = partition_name(table, shop)
            rows = self.query(
                "SELECT CAST(c.relname AS TEXT) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid"
                " WHERE i.inhparent = to_regclass($1)",
                of_shop,
            )
            for (part,) in rows:
                if datetime.strptime(part.removeprefix(f"{of_shop}_"), "%Y%m%d").date() not in held:
                    self.execute(f"DROP TABLE {part}")


def partition_name(table: str, shop: str, day: date | None = None) -> str:
    """Of a shop's part of a table of nights, or of one night; below PostgreSQL's 63 bytes whatever the shop's name."""
    of_shop = f"{table}_{hashlib.md5(shop.encode(), usedforsecurity=False).hexdigest()[:8]}"
    return of_shop if day is None else f"{of_shop}_{day:%Y%m%d}"


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
            db.execute("SET maintenance_work_mem = '256MB'")  # an index of a whole night is sorted in it
            _lock(db, "nightjar schema")
            ensure_schema(db)
            connection.commit()
            _lock(db, f"nightjar shop {shop}")
            passing("opened")
            yield db
            connection.commit()
            passing("committed")
            if db.changed:
                _tidy(db, connection, shop)
            passing("tidied")

    @contextmanager
    def reader(self) -> Iterator[Connection]:
        with self._connected() as connection:
            db = _Postgres(connection)
            # Several questions, one answer: a night that is published meanwhile is not half in it.
            db.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            yield db

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


def _tidy(db: _Postgres, connection: dbapi.Connection, shop: str) -> None:
    from adbc_driver_postgresql import dbapi

    # Not while another publisher of the shop is at work: it tidies up after itself.
    if db.query("SELECT 1 WHERE pg_try_advisory_xact_lock(hashtextextended($1, 0))", f"nightjar shop {shop}"):
        try:
            db._drop_forgotten(shop)
            connection.commit()
        except dbapi.Error as error:
            if error.sqlstate != _LOCK_NOT_AVAILABLE:
                raise
    connection.rollback()


def _lock(db: _Postgres, name: str) -> None:
    """Held until the transaction ends, however it ends."""
    db.query("SELECT CAST(pg_advisory_xact_lock(hashtextextended($1, 0)) AS TEXT)", name)


def _reason(message: str) -> str:
    """libpq's first line where it speaks of the server; where it speaks of the URI it quotes from it."""
    _, found, rest = message.partition("connection to server")
    said = f"{found}{rest}".splitlines()[0] if found else "the URI cannot be read"
    return f"no connection to the warehouse of {VARIABLE}: {said}"
