"""What is derived from a contract: Spark and Arrow schemas, warehouse DDL, the dictionary page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nightjar.contracts.table import Column, Ratio, Table

if TYPE_CHECKING:
    import pyarrow as pa

_SPARK = {"long": "BIGINT", "map<string,string>": "MAP<STRING,STRING>", "array<long>": "ARRAY<BIGINT>"}

_DUCKDB = {
    "string": "VARCHAR",
    "int": "INTEGER",
    "long": "BIGINT",
    "float": "FLOAT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "timestamp": "TIMESTAMP",
    "date": "DATE",
    "binary": "BLOB",
}
_POSTGRES = _DUCKDB | {"string": "TEXT", "float": "REAL", "double": "DOUBLE PRECISION", "binary": "BYTEA"}
WAREHOUSE_TYPES = {"duckdb": _DUCKDB, "postgres": _POSTGRES}


def spark_ddl(table: Table) -> str:
    """The schema as a DDL string that `StructType.fromDDL` and `spark.read.schema` take."""
    return ", ".join(_spark_column(column) for column in table.columns)


def _spark_column(column: Column) -> str:
    name = _SPARK.get(column.type, column.type.upper())
    return f"{column.name} {name}" + ("" if column.nullable else " NOT NULL")


def arrow_schema(table: Table) -> pa.Schema:
    """The schema for Arrow readers and writers.

    pyarrow is imported here, inside the function, so that contracts stay importable in the
    scheduler, which has no pyarrow; the alternative was the same mapping in three rooms.
    """
    import pyarrow as pa

    scalar = {
        "string": pa.string(),
        "int": pa.int32(),
        "long": pa.int64(),
        "float": pa.float32(),
        "double": pa.float64(),
        "boolean": pa.bool_(),
        "timestamp": pa.timestamp("us", tz="UTC"),
        "date": pa.date32(),
        "binary": pa.binary(),
        "map<string,string>": pa.map_(pa.string(), pa.string()),
    }

    def of(type_name: str) -> pa.DataType:
        if type_name.startswith("array<"):
            return pa.list_(of(type_name[6:-1]))
        return scalar[type_name]

    return pa.schema([pa.field(c.name, of(c.type), nullable=c.nullable) for c in table.columns])


@dataclass(frozen=True)
class Physical:
    """How a warehouse keeps a table: nothing that a reader's query depends on."""

    #: Columns that are computed when they are read -> SQL.
    computed: Mapping[str, str] = field(default_factory=dict)
    #: What stands behind the columns, such as PARTITION BY.
    tail: str = ""


def warehouse_ddl(table: Table, dialect: str, physical: Physical | None = None) -> str:
    """`CREATE TABLE IF NOT EXISTS` with comments, for `duckdb` or `postgres`.

    Only flat columns: BI tools filter neither arrays nor maps.
    """
    types, kept = WAREHOUSE_TYPES[dialect], physical or Physical()

    def line(column: Column) -> str:
        if column.name in kept.computed:
            return f"  {column.name} {types[column.type]} GENERATED ALWAYS AS ({kept.computed[column.name]}) VIRTUAL"
        return f"  {column.name} {types[column.type]}" + ("" if column.nullable else " NOT NULL")

    columns = ",\n".join(line(column) for column in table.columns)
    tail = f" {kept.tail}" if kept.tail else ""
    statements = [f"CREATE TABLE IF NOT EXISTS {table.name} (\n{columns}\n){tail};"]
    statements.append(f"COMMENT ON TABLE {table.name} IS {_quoted(table.doc)};")
    statements += [f"{_comment_on(table.name, c)};" for c in table.columns]
    return "\n".join(statements) + "\n"


def ratios_view(table: Table, name: str) -> list[str]:
    """Statements of a view: the table's columns and its ratios, null over 0, with comments; for either warehouse."""
    columns = [f"t.{column}" for column in table.names]
    columns += [
        f"CAST(t.{ratio.part} AS DOUBLE PRECISION) / nullif({' + '.join(f't.{part}' for part in ratio.whole)}, 0)"
        f" AS {ratio.name}"
        for ratio in table.ratios
    ]
    comments = [_comment_on(name, column) for column in table.columns]
    comments += [_comment_on(name, ratio) for ratio in table.ratios]
    return [
        f"CREATE VIEW {name} AS\nSELECT\n  " + ",\n  ".join(columns) + f"\nFROM {table.name} t",
        f"COMMENT ON VIEW {name} IS {_quoted(table.doc)}",
        *comments,
    ]


def dictionary(tables: dict[str, Table]) -> str:
    """The data dictionary as Markdown."""
    pages = ["# Data dictionary", "", "Generated from `src/nightjar/contracts` by `make docs`; do not edit.", ""]
    for table in tables.values():
        pages += [f"## {table.name}", "", table.doc, ""]
        pages += [f"Key: {', '.join(table.key)}. Order: {', '.join(table.order)}. Version {table.version}.", ""]
        pages += [f"- {caveat}" for caveat in table.caveats]
        pages += [""] if table.caveats else []
        pages += ["| column | type | null | meaning | unit |", "|---|---|---|---|---|"]
        pages += [
            f"| {c.name} | {c.type} | {'yes' if c.nullable else 'no'} | {c.doc} | {c.unit} |".replace(" |  |", " | |")
            for c in table.columns
        ]
        pages += ["", *_ratios(table)] if table.ratios else []
        pages.append("")
    return "\n".join(pages)


def _ratios(table: Table) -> list[str]:
    rows = [f"| {r.name} | {r.part} / {_sum(r.whole)} | {r.doc} | {r.unit} |" for r in table.ratios]
    where = f"Ratios, derived where they are read, as in the warehouse's view `v_{table.name}`; null over 0."
    return [where, "", "| ratio | is | meaning | unit |", "|---|---|---|---|", *rows]


def _sum(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"({' + '.join(names)})"


def _comment_on(relation: str, column: Column | Ratio) -> str:
    return f"COMMENT ON COLUMN {relation}.{column.name} IS {_quoted(_described(column))}"


def _described(column: Column | Ratio) -> str:
    return column.doc + (f" ({column.unit})" if column.unit else "")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
