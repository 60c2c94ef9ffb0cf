"""What is derived from contracts, as golden files: a change of a contract shows as one diff."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pytest

from nightjar.contracts import EVENTS, TABLES, Column, Table
from nightjar.contracts.render import WAREHOUSE_TYPES, arrow_schema, dictionary, spark_ddl, warehouse_ddl
from nightjar.contracts.table import TYPES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

Golden = Callable[[str, str], None]

FLAT = {name: table for name, table in TABLES.items() if not any("<" in column.type for column in table.columns)}
ODD = Table(
    "odd",
    "A shop's \"odd\" table; it's quoted.",
    (Column("a", "int", "It's a; --count.", "'pieces'", nullable=False),),
    key=("a",),
    order=("a",),
)


def test_spark(golden: Golden) -> None:
    golden(
        "spark.sql", "".join(f"{name}: {spark_ddl(table)}\n".replace(", ", ",\n  ") for name, table in TABLES.items())
    )


def test_arrow(golden: Golden) -> None:
    def lines(table: Table) -> list[str]:
        fields = arrow_schema(table)
        return [f"  {field.name}: {field.type}{'' if field.nullable else ' not null'}" for field in fields]

    golden("arrow.txt", "".join("\n".join([name, *lines(table), ""]) for name, table in TABLES.items()))


@pytest.mark.parametrize("dialect", WAREHOUSE_TYPES)
def test_warehouse(golden: Golden, dialect: str) -> None:
    golden(f"{dialect}.sql", "\n".join(warehouse_ddl(table, dialect) for table in FLAT.values()))


def test_dictionary(golden: Golden) -> None:
    golden("dictionary.md", dictionary(TABLES))


def test_flat_tables_are_those_without_arrays_and_maps() -> None:
    assert set(TABLES) - set(FLAT) == {"events", "quarantine", "items", "sequences", "holdout", "foretold"}
    for name in set(TABLES) - set(FLAT):
        with pytest.raises(KeyError):
            warehouse_ddl(TABLES[name], "duckdb")


@pytest.mark.parametrize("table", [*FLAT.values(), ODD], ids=lambda table: table.name)
def test_duckdb_executes_its_ddl_twice_and_keeps_comments(table: Table) -> None:
    with duckdb.connect() as connection:
        for _ in range(2):
            connection.execute(warehouse_ddl(table, "duckdb"))
        (comment,) = connection.execute(
            "select comment from duckdb_tables() where table_name = ?", [table.name]
        ).fetchone()
        columns = connection.execute(
            "select column_name, is_nullable, comment from duckdb_columns() where table_name = ? order by column_index",
            [table.name],
        ).fetchall()
    assert comment == table.doc
    assert [(name, nullable) for name, nullable, _ in columns] == [(c.name, c.nullable) for c in table.columns]
    assert [text for *_, text in columns] == [c.doc + (f" ({c.unit})" if c.unit else "") for c in table.columns]


def test_every_type_has_a_name_everywhere() -> None:
    table = Table(
        "t", "T.", tuple(Column(f"c{n}", name, "C.") for n, name in enumerate(TYPES)), key=("c0",), order=("c0",)
    )
    assert len(arrow_schema(table)) == len(TYPES) == spark_ddl(table).count(", ") + 1
    flat = {name for name in TYPES if "<" not in name}
    assert all(set(types) == flat for types in WAREHOUSE_TYPES.values())


def test_arrow_timestamps_are_utc_microseconds() -> None:
    schema = arrow_schema(EVENTS)
    assert schema.field("event_ts").type == pa.timestamp("us", "UTC")
    assert not schema.field("event_ts").nullable
    assert schema.field("attributes").type == pa.map_(pa.string(), pa.string())


@pytest.mark.spark
def test_spark_and_arrow_agree(spark: SparkSession) -> None:
    """The same columns, types and nulls, by Spark's own translation."""
    for table in TABLES.values():
        translated = spark.createDataFrame([], spark_ddl(table)).toArrow().schema
        ours = arrow_schema(table)
        assert [field.remove_metadata() for field in translated] == list(ours), table.name
