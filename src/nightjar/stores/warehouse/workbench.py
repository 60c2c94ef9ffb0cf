"""Where a night's files are read, audited and mapped, whatever the warehouse: DuckDB with bounded memory.

For the DuckDB warehouse it is the connection that publishes; for a server it is a database in memory, whose
larger work spills to disk.
"""

# ruff: noqa: S608 - only names from contracts and paths of our own are put into SQL; every value is bound

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nightjar.contracts import Table
from nightjar.contracts.render import WAREHOUSE_TYPES
from nightjar.stores.warehouse.connection import Row

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa


class Workbench:
    """SQL over files; values are bound as $1, $2, …"""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection

    def query(self, sql: str, *values: object) -> list[Row]:
        rows: list[Row] = self.connection.execute(sql, list(values)).fetchall()
        return rows

    def number(self, sql: str, *values: object) -> int:
        ((number,),) = self.query(sql, *values)
        return int(number)

    def view(self, name: str, select: str) -> None:
        """Nothing is read yet: each question reads the columns that it needs."""
        self.connection.execute(f"CREATE OR REPLACE TEMP VIEW {name} AS {select}")

    def table(self, name: str, select: str) -> None:
        self.connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {select}")

    def take(self, name: str, rows: pa.RecordBatchReader) -> None:
        """Rows from elsewhere as a table, streaming."""
        self.connection.register("_taken", rows)
        try:
            self.table(name, "SELECT * FROM _taken")
        finally:
            self.connection.unregister("_taken")

    def rows(self, select: str, batch_rows: int) -> pa.RecordBatchReader:
        """The answer as a stream of batches."""
        return self.connection.sql(select).to_arrow_reader(batch_rows)


def rows_of(table: Table, files: Sequence[str], *, prefix: str = "") -> str:
    """SQL of a contract's columns in its types, in the order of the files; no row where there is no file."""
    types = WAREHOUSE_TYPES["duckdb"]
    if not files:
        nothing = ", ".join(f"CAST(NULL AS {types[c.type]}) AS {c.name}" for c in table.columns)
        return f"SELECT {prefix}{nothing} WHERE false"
    columns = ", ".join(f"CAST({c.name} AS {types[c.type]}) AS {c.name}" for c in table.columns)
    return f"SELECT {prefix}{columns} FROM {parquet(files)}"


def parquet(files: Sequence[str]) -> str:
    """The table function that reads the files; views take no bound values."""
    paths = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    return f"read_parquet([{paths}], hive_partitioning = false)"
