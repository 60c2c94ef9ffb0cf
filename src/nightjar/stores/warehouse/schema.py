"""The warehouse's tables and views, from the contracts."""

# ruff: noqa: S608 - only names from contracts are put into SQL; every value is bound

from __future__ import annotations

import hashlib
from dataclasses import replace

from nightjar.contracts import (
    DATA_QUALITY,
    ITEMS,
    MARTS,
    PROMOTIONS,
    PUBLISH_LOG,
    RECOMMENDATIONS,
    USERS,
    BadInput,
    Column,
    Table,
)
from nightjar.contracts.render import Physical, ratios_view, warehouse_ddl
from nightjar.stores.warehouse.connection import Connection

_SHOP = RECOMMENDATIONS.column("shop")

WAREHOUSE_ITEMS = Table(
    "items",
    "One item as of a published night.",
    (_SHOP, *ITEMS.columns),
    key=("shop", "item_id"),
    order=("shop", "item_id"),
)

PUBLISH_CURRENT = Table(
    "publish_current",
    "Which night readers see: one row per shop, moved by publishing and by a rollback.",
    (
        _SHOP,
        Column("dt", "date", "The night that v_recommendations_current shows.", nullable=False),
        Column("publish_id", "string", "Its row in publish_log.", nullable=False),
        Column("moved_at", "timestamp", "Since when readers see it.", "UTC", nullable=False),
    ),
    key=("shop",),
    order=("shop",),
)

PUBLISHED_NIGHTS = Table(
    "published_nights",
    "Nights whose rows the warehouse holds: what a rollback can show.",
    (
        _SHOP,
        Column("dt", "date", "The night's day.", nullable=False),
        Column("publish_id", "string", "The publication that its rows are of.", nullable=False),
    ),
    key=("shop", "dt"),
    order=("shop", "dt"),
)

WAREHOUSE_MARTS = tuple(replace(table, columns=(_SHOP, *table.columns)) for table in MARTS)

PUBLISHED_MARTS = Table(
    "published_marts",
    "Which content of each day of the analysis tables readers see; they keep every day.",
    (
        _SHOP,
        Column("table_name", "string", "Analysis table.", nullable=False),
        Column("dt", "date", "Its day.", nullable=False),
        Column("content_hash", "string", "Hash of the day's rows in the lake.", nullable=False),
        Column("num_rows", "long", "Rows of the day; 0 where nobody came.", "rows", nullable=False),
    ),
    key=("shop", "table_name", "dt"),
    order=("shop", "table_name", "dt"),
)

_SCHEMA = Table(
    "warehouse_schema",
    "One row: what the definitions of this warehouse were made from.",
    (Column("fingerprint", "string", "SHA-256 of the statements that made it.", nullable=False),),
    key=("fingerprint",),
    order=("fingerprint",),
)

TABLES = (
    RECOMMENDATIONS,
    WAREHOUSE_ITEMS,
    *WAREHOUSE_MARTS,
    USERS,
    PUBLISH_LOG,
    PUBLISH_CURRENT,
    PUBLISHED_NIGHTS,
    PUBLISHED_MARTS,
    PROMOTIONS,
    DATA_QUALITY,
    _SCHEMA,
)

#: Tables that hold nights, each replaced, shown and forgotten whole. The audits have proved their keys.
NIGHTLY = (RECOMMENDATIONS.name,)

#: Unique keys of the others.
_KEYS = {
    "items": ("shop", "dt", "item_id"),
    "users": ("shop", "pseudonym"),
    "publish_log": ("publish_id",),
    "publish_current": ("shop",),
    "published_nights": PUBLISHED_NIGHTS.key,
    "published_marts": PUBLISHED_MARTS.key,
    "promotions": ("decision_id",),
    "data_quality": ("shop", "dt", "table_name", "expectation"),
    **{table.name: ("shop", "dt", *table.key) for table in MARTS},
}

#: DuckDB's indexes live in memory and slow every load, its scans skip by zone map: the big tables go
#: without, and the audits have proved their keys.
_UNINDEXED = {
    "duckdb": {"items", "users", "data_quality", *(table.name for table in MARTS)},
    "postgres": set[str](),
}

#: One person tonight, which is what services ask; and forgetting a person starts from the shop's own id.
#: Of a night's table the person alone is indexed: the whole key took three times as long to build, 2.8 µs a row
#: where copying the row took 2.6 (PostgreSQL 15), and compared by bytes, because ids are in no language.
_LOOKUPS = {
    "duckdb": [],
    "postgres": [
        *(f"CREATE INDEX IF NOT EXISTS {table}_by_user ON {table} (user_id text_pattern_ops)" for table in NIGHTLY),
        "CREATE INDEX IF NOT EXISTS users_by_shop_id ON users (shop, shop_id)",
    ],
}

_ROW_KEY = "shop || '|' || CAST(dt AS VARCHAR) || '|' || surface || '|' || user_id || '|' || CAST(rank AS VARCHAR)"


def physical(table: Table, dialect: str) -> Physical:
    """DuckDB computes row_key when it is read: stored, it took more than half of the file."""
    if dialect == "duckdb" and table == RECOMMENDATIONS:
        return Physical(computed={"row_key": _ROW_KEY})
    if dialect == "postgres" and table.name in NIGHTLY:
        return Physical(tail="PARTITION BY LIST (shop)")
    return Physical()


def loaded_names(table: str, dialect: str) -> list[str]:
    """The columns that a load fills."""
    (found,) = (one for one in TABLES if one.name == table)
    computed = physical(found, dialect).computed
    return [name for name in found.names if name not in computed]


def statements(dialect: str) -> list[str]:
    """Everything that makes an empty database a warehouse; safe to run on one that exists."""
    tables = [
        line
        for table in TABLES
        for line in warehouse_ddl(table, dialect, physical(table, dialect)).split(";\n")
        if line.strip()
    ]
    keys = [
        f"CREATE UNIQUE INDEX IF NOT EXISTS {table}_key ON {table} ({', '.join(columns)})"
        for table, columns in _KEYS.items()
        if table not in _UNINDEXED[dialect]
    ]
    return tables + keys + _LOOKUPS[dialect] + _views()


def _views() -> list[str]:
    """Dropped first: PostgreSQL replaces no view whose columns changed."""
    rows = ",\n  ".join(f"r.{name}" for name in RECOMMENDATIONS.names)
    current = f"""\
CREATE VIEW v_recommendations_current AS
SELECT
  {rows},
  i.title,
  i.category,
  i.brand,
  i.price,
  c.publish_id
FROM publish_current c
JOIN recommendations r ON r.shop = c.shop AND r.dt = c.dt
LEFT JOIN items i ON i.shop = r.shop AND i.dt = r.dt AND i.item_id = r.item_id"""
    freshness = """\
CREATE VIEW v_freshness AS
SELECT
  c.shop,
  c.dt,
  c.publish_id,
  l.published_at,
  c.moved_at,
  EXTRACT(epoch FROM (now() AT TIME ZONE 'UTC') - l.published_at) / 3600 AS hours_old,
  l.num_rows,
  l.num_users,
  l.fallback_share,
  l.model_name,
  l.model_version
FROM publish_current c
JOIN publish_log l ON l.publish_id = c.publish_id"""
    comments = {
        "v_recommendations_current": "The recommendations of the night that publish_current names, with their items.",
        "v_freshness": "Per shop how old the recommendations are that readers see.",
    }
    made = {
        "v_recommendations_current": [current],
        "v_freshness": [freshness],
    }
    for name, create in made.items():
        create.append(f"COMMENT ON VIEW {name} IS '{comments[name]}'")
    made |= {f"v_{table.name}": ratios_view(table, f"v_{table.name}") for table in WAREHOUSE_MARTS}
    return [line for name, create in made.items() for line in (f"DROP VIEW IF EXISTS {name}", *create)]


def ensure_schema(db: Connection) -> None:
    """Create tables and views unless they are there as this version defines them.

    Compared by a stored fingerprint, because in PostgreSQL even a DROP VIEW that changes nothing would
    wait for every open reader.

    Raises:
        BadInput: a table exists with other columns than its contract.
    """
    wanted = hashlib.sha256(";\n".join(statements(db.dialect)).encode()).hexdigest()
    if _exists(db, _SCHEMA.name) and db.query("SELECT fingerprint FROM warehouse_schema") == [(wanted,)]:
        return
    for table in TABLES:
        _require_columns(db, table)
    for statement in statements(db.dialect):
        db.execute(statement)
    db.execute("DELETE FROM warehouse_schema")
    db.execute("INSERT INTO warehouse_schema VALUES ($1)", wanted)


def _exists(db: Connection, table: str) -> bool:
    return bool(_columns(db, table))


def _columns(db: Connection, table: str) -> list[str]:
    rows = db.query(
        "SELECT column_name FROM information_schema.columns"
        " WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position",
        table,
    )
    return [str(name) for (name,) in rows]


def _require_columns(db: Connection, table: Table) -> None:
    found = _columns(db, table.name)
    if found and found != list(table.names):
        raise BadInput(
            f"the warehouse's table {table.name} has columns {', '.join(found)}, its contract {', '.join(table.names)}",
            f"rename or drop {table.name}; publishing makes it anew",
        )
