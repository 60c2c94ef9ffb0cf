"""What is derived from a contract: Spark and Arrow schemas, warehouse DDL, the dictionary page."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nightjar.contracts.table import Column, Table

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


def warehouse_ddl(table: Table, dialect: str) -> str:
    """`CREATE TABLE IF NOT EXISTS` with comments, for `duckdb` or `postgres`.

    Only flat columns: BI tools filter neither arrays nor maps.
    """
    types = WAREHOUSE_TYPES[dialect]
    lines = [f"  {c.name} {types[c.type]}" + ("" if c.nullable else " NOT NULL") for c in table.columns]
    statements = [f"CREATE TABLE IF NOT EXISTS {table.name} (\n" + ",\n".join(lines) + "\n);"]
    statements.append(f"COMMENT ON TABLE {table.name} IS {_quoted(table.doc)};")
    statements += [f"COMMENT ON COLUMN {table.name}.{c.name} IS {_quoted(_described(c))};" for c in table.columns]
    return "\n".join(statements) + "\n"


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
        pages.append("")
    return "\n".join(pages)


def _described(column: Column) -> str:
    return column.doc + (f" ({column.unit})" if column.unit else "")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
