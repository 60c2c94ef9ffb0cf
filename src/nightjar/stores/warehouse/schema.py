"""The warehouse's tables and views, from the contracts."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from nightjar.contracts import (
    DATA_QUALITY,
    DECISIONS,
    KEPT_DAYS,
    PROMOTIONS,
    PUBLISH_LOG,
    RECOMMENDATIONS,
    USER_SCORES,
    USERS,
    BadInput,
    Column,
    Table,
)
from nightjar.contracts.render import Physical, column_ddl, ratios_view, warehouse_ddl
from nightjar.stores.warehouse.connection import Connection
from nightjar.stores.warehouse.views import ITEM_FACTS, views

_SHOP = RECOMMENDATIONS.column("shop")

WAREHOUSE_ITEMS = Table(
    "items",
    "One item as of a published night.",
    (_SHOP, *ITEM_FACTS.columns),
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
        Column("rolled_from", "date", "After a rollback, the night that readers saw before it."),
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

CRM_STATES = Table(
    "crm_states",
    "What a person's row in crm_users said in a night, and since when readers saw it; read crm_users instead.",
    (
        _SHOP,
        Column("dt", "date", "The night's day.", nullable=False),
        Column("user_id", "string", "The shop's own id of the person.", nullable=False),
        Column("content_hash", "long", "Hash of items, their attributes, order and reasons.", nullable=False),
        Column("changed_at", "timestamp", "Since when readers saw this content.", "UTC", nullable=False),
    ),
    key=("shop", "user_id"),
    order=("shop", "user_id"),
)

CRM_GONE = Table(
    "crm_gone",
    "People who had a row in crm_users and lost it; read crm_deletions instead.",
    (
        _SHOP,
        Column("user_id", "string", "The shop's own id of the person.", nullable=False),
        Column("deleted_at", "timestamp", "Since when readers see no row.", "UTC", nullable=False),
    ),
    key=("shop", "user_id"),
    order=("shop", "user_id"),
)

WAREHOUSE_DAYS = tuple(replace(table, columns=(_SHOP, *table.columns)) for table in KEPT_DAYS)

PUBLISHED_MARTS = Table(
    "published_marts",
    "Which content of each day readers see, of the analysis tables and of what is realised; they keep every day.",
    (
        _SHOP,
        Column("table_name", "string", "Table by day.", nullable=False),
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
    USER_SCORES,
    DECISIONS,
    WAREHOUSE_ITEMS,
    *WAREHOUSE_DAYS,
    USERS,
    PUBLISH_LOG,
    PUBLISH_CURRENT,
    PUBLISHED_NIGHTS,
    PUBLISHED_MARTS,
    CRM_STATES,
    CRM_GONE,
    PROMOTIONS,
    DATA_QUALITY,
    _SCHEMA,
)

#: Tables that hold nights, each replaced, shown and forgotten whole. The audits have proved their keys.
NIGHTLY = (RECOMMENDATIONS.name, USER_SCORES.name, DECISIONS.name, CRM_STATES.name)

#: Unique keys of the others.
_KEYS = {
    "items": ("shop", "dt", "item_id"),
    "users": ("shop", "pseudonym"),
    "publish_log": ("publish_id",),
    "publish_current": ("shop",),
    "published_nights": PUBLISHED_NIGHTS.key,
    "published_marts": PUBLISHED_MARTS.key,
    "crm_gone": CRM_GONE.key,
    "promotions": ("decision_id",),
    "data_quality": ("shop", "dt", "table_name", "expectation"),
    **{table.name: ("shop", "dt", *table.key) for table in KEPT_DAYS},
}

#: DuckDB's indexes live in memory and slow every load, its scans skip by zone map: the big tables go
#: without, and the audits have proved their keys.
_UNINDEXED = {
    "duckdb": {"items", "users", "data_quality", *(table.name for table in KEPT_DAYS)},
    "postgres": set[str](),
    # Neither has indexes; keys are declared with the tables, and enforced by nobody.
    "snowflake": set(_KEYS),
    "bigquery": set(_KEYS),
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
    "snowflake": [],
    "bigquery": [],
}

#: How the services keep nights together.
_CLUSTERED = {"snowflake": "CLUSTER BY (shop, dt)", "bigquery": "PARTITION BY dt CLUSTER BY shop, user_id"}

_NIGHT_KEY = "shop || '|' || CAST(dt AS VARCHAR)"
_ROW_KEYS = {
    RECOMMENDATIONS: f"{_NIGHT_KEY} || '|' || surface || '|' || user_id || '|' || CAST(rank AS VARCHAR)",
    USER_SCORES: f"{_NIGHT_KEY} || '|' || score_name || '|' || user_id",
    DECISIONS: f"{_NIGHT_KEY} || '|' || decision || '|' || user_id",
}


def physical(table: Table, dialect: str) -> Physical:
    """DuckDB computes row_key when it is read: stored, it took more than half of the file."""
    if dialect == "duckdb" and table in _ROW_KEYS:
        return Physical(computed={"row_key": _ROW_KEYS[table]})
    if dialect == "postgres" and table.name in NIGHTLY:
        return Physical(tail="PARTITION BY LIST (shop)")
    if dialect in _CLUSTERED:
        nightly = table.name in NIGHTLY
        key = ("shop", "dt", *table.key[1:]) if nightly else _KEYS.get(table.name, ())
        return Physical(tail=_CLUSTERED[dialect] if nightly else "", declared_key=key)
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
    return tables + keys + _LOOKUPS[dialect] + _views(dialect)


def _views(dialect: str) -> list[str]:
    """Dropped first, last ones first: PostgreSQL replaces no view whose columns changed, nor drops one in use."""
    made = {view.name: view.statements(dialect) for view in views(dialect)}
    made |= {f"v_{table.name}": ratios_view(table, f"v_{table.name}", dialect) for table in WAREHOUSE_DAYS}
    dropped = [f"DROP VIEW IF EXISTS {name}" for name in reversed(made)]
    return [*dropped, *(line for statements in made.values() for line in statements)]


def ensure_schema(db: Connection) -> None:
    """Create tables and views unless they are there as this version defines them.

    A table of an earlier version gains the columns that came at its end, null in its rows. Compared by a stored
    fingerprint, because in PostgreSQL even a DROP VIEW that changes nothing would wait for every open reader.

    Raises:
        BadInput: a table exists with columns that its contract did not grow from.
    """
    wanted = hashlib.sha256(";\n".join(statements(db.dialect)).encode()).hexdigest()
    if exists(db, _SCHEMA.name) and db.query("SELECT fingerprint FROM warehouse_schema") == [(wanted,)]:
        return
    for table in TABLES:
        _grow(db, table)
    for statement in statements(db.dialect):
        db.execute(statement)
    db.execute("DELETE FROM warehouse_schema WHERE true")
    db.execute("INSERT INTO warehouse_schema VALUES ($1)", wanted)


def exists(db: Connection, table: str) -> bool:
    """Whether the table is there: nothing is before the first publication."""
    return bool(_columns(db, table))


def _columns(db: Connection, table: str) -> list[str]:
    return [str(name) for name, _ in db.query(_COLUMNS[db.dialect], table)]


_STANDARD = (
    "SELECT column_name, is_nullable FROM information_schema.columns"
    " WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position"
)
_COLUMNS = {
    "duckdb": _STANDARD,
    "postgres": _STANDARD,
    # Names that nobody quoted are kept in capitals.
    "snowflake": "SELECT LOWER(column_name), is_nullable FROM information_schema.columns"
    " WHERE table_schema = CURRENT_SCHEMA() AND table_name = UPPER($1) ORDER BY ordinal_position",
    "bigquery": "SELECT column_name, is_nullable FROM INFORMATION_SCHEMA.COLUMNS WHERE table_name = $1"
    " ORDER BY ordinal_position",
}


def _grow(db: Connection, table: Table) -> None:
    """Give a table of an earlier version the columns that its contract has more, where all of them may be null."""
    found = {str(name): str(nullable) for name, nullable in db.query(_COLUMNS[db.dialect], table.name)}
    if not found:
        return
    if list(found) != list(table.names[: len(found)]) or any(not c.nullable for c in table.columns[len(found) :]):
        raise BadInput(
            f"the warehouse's table {table.name} has columns {', '.join(found)}, its contract {', '.join(table.names)}",
            f"rename or drop {table.name}; publishing makes it anew",
        )
    for statement in growth(table, db.dialect, found):
        db.execute(statement)


def growth(table: Table, dialect: str, found: Mapping[str, str]) -> list[str]:
    """Statements that bring a table up to its contract.

    Args:
        found: the columns it has, each with YES where it may be null already and NO where not.
    """
    eased = [c.name for c in table.columns if c.nullable and found.get(c.name) == "NO"]
    return [
        *(column_ddl(table, column, dialect) for column in table.columns if column.name not in found),
        *(f"ALTER TABLE {table.name} ALTER COLUMN {name} DROP NOT NULL" for name in eased),
    ]
