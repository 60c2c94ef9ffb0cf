"""What is derived from a contract: Spark and Arrow schemas, warehouse DDL, the dictionary page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
_SNOWFLAKE = _DUCKDB | {"timestamp": "TIMESTAMP_NTZ(6)", "binary": "BINARY"}
_BIGQUERY = {
    "string": "STRING",
    "int": "INT64",
    "long": "INT64",
    "float": "FLOAT64",
    "double": "FLOAT64",
    "boolean": "BOOL",
    "timestamp": "DATETIME",
    "date": "DATE",
    "binary": "BYTES",
}
WAREHOUSE_TYPES = {"duckdb": _DUCKDB, "postgres": _POSTGRES, "snowflake": _SNOWFLAKE, "bigquery": _BIGQUERY}

#: Dialects that explain a column where it is defined.
_INLINE = ("snowflake", "bigquery")


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
    #: A primary key that is declared, where the warehouse enforces none.
    declared_key: tuple[str, ...] = ()


def warehouse_ddl(table: Table, dialect: str, physical: Physical | None = None) -> str:
    """`CREATE TABLE IF NOT EXISTS` with comments, for one of `WAREHOUSE_TYPES`.

    Only flat columns: BI tools filter neither arrays nor maps.
    """
    types, kept = WAREHOUSE_TYPES[dialect], physical or Physical()
    inline = dialect in _INLINE

    def line(column: Column) -> str:
        if column.name in kept.computed:
            return f"  {column.name} {types[column.type]} GENERATED ALWAYS AS ({kept.computed[column.name]}) VIRTUAL"
        null = "" if column.nullable else " NOT NULL"
        return f"  {column.name} {types[column.type]}{null}" + (
            _described_inline(_described(column), dialect) if inline else ""
        )

    lines = [line(column) for column in table.columns]
    if kept.declared_key:
        enforced = " NOT ENFORCED" if dialect == "bigquery" else ""
        lines.append(f"  PRIMARY KEY ({', '.join(kept.declared_key)}){enforced}")
    columns = ",\n".join(lines)
    tail = f" {kept.tail}" if kept.tail else ""
    if inline:
        said = _described_inline(table.doc, dialect, "COMMENT =")
        return f"CREATE TABLE IF NOT EXISTS {table.name} (\n{columns}\n){tail}{said};\n"
    statements = [f"CREATE TABLE IF NOT EXISTS {table.name} (\n{columns}\n){tail};"]
    statements.append(f"COMMENT ON TABLE {table.name} IS {_quoted(table.doc)};")
    statements += [f"{_comment_on(table.name, c)};" for c in table.columns]
    return "\n".join(statements) + "\n"


def column_ddl(table: Table, column: Column, dialect: str) -> str:
    """The statement that adds a column, which may be null, to a table of an earlier version."""
    said = _described_inline(_described(column), dialect) if dialect in _INLINE else ""
    return f"ALTER TABLE {table.name} ADD COLUMN {column.name} {WAREHOUSE_TYPES[dialect][column.type]}{said}"


def ratios_view(table: Table, name: str, dialect: str) -> list[str]:
    """Statements of a view: the table's columns and its ratios, null over 0, with comments."""
    double = "FLOAT64" if dialect == "bigquery" else "DOUBLE PRECISION"
    columns = [f"t.{column}" for column in table.names]
    columns += [
        f"CAST(t.{ratio.part} AS {double})"
        f" / nullif({' + '.join(f't.{part}' for part in ratio.whole)}, 0) AS {ratio.name}"
        for ratio in table.ratios
    ]
    select = "SELECT\n  " + ",\n  ".join(columns) + f"\nFROM {table.name} t"
    return view_ddl(name, table.doc, [*table.columns, *table.ratios], select, dialect)


def view_ddl(name: str, doc: str, columns: Sequence[Column | Ratio], select: str, dialect: str) -> list[str]:
    """Statements that make a view of a SELECT and explain it and each of its columns."""
    if dialect in _INLINE:
        explained = ",\n  ".join(f"{c.name}{_described_inline(_described(c), dialect)}" for c in columns)
        return [f"CREATE VIEW {name} (\n  {explained}\n){_described_inline(doc, dialect, 'COMMENT =')} AS\n{select}"]
    comments = [f"COMMENT ON VIEW {name} IS {_quoted(doc)}", *(_comment_on(name, column) for column in columns)]
    return [f"CREATE VIEW {name} AS\n{select}", *comments]


def _described_inline(text: str, dialect: str, snowflake: str = "COMMENT") -> str:
    if dialect == "bigquery":
        escaped = text.replace("\\", "\\\\").replace("'", "\\'")
        return f" OPTIONS (description = '{escaped}')"
    return f" {snowflake} {_quoted(text)}"


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
