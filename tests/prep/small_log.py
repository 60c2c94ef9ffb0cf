"""Small logs written by hand or by a seeded hand, and how Arrow and Spark see them."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow as pa

from nightjar.contracts import EVENTS, SESSION_EVENTS, Table
from nightjar.contracts.render import arrow_schema, spark_ddl

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

Row = dict[str, Any]

DAY = date(2001, 1, 15)
NOON = datetime(2001, 1, 15, 12, tzinfo=UTC)


def event(event_id: str, minutes: float = 0, **columns: Any) -> Row:
    """A valid view of one item by one login, `minutes` after noon."""
    at = NOON + timedelta(minutes=minutes)
    row: Row = dict.fromkeys(EVENTS.names)
    row |= {"event_id": event_id, "event_ts": at, "dt": at.date(), "landed": at.date(), "user_id": "u1"}
    row |= {"platform": "web", "kind": "view", "item_id": "i1", "attributes": {}}
    assert not set(columns) - set(row), columns
    return row | columns


def random_events(seed: int, num_people: int, num_events: int, *, minutes: int, step: int = 5) -> list[Row]:
    """Events of people on a grid of `step` minutes: many share an instant."""
    draw = random.Random(seed)
    rows = []
    for person in range(num_people):
        for number in range(num_events):
            at = draw.randrange(0, minutes, step)
            kind = draw.choices(("view", "search", "cart", "purchase", "uncart"), (6, 2, 2, 2, 1))[0]
            row = event(
                f"e{draw.randrange(16**6):06x}-{person}-{number}",
                at,
                user_id=f"u{person}",
                kind=kind,
                item_id=None if kind == "search" else f"i{draw.randrange(5)}",
                query="shoes" if kind == "search" else None,
                price=draw.choice((None, 1.5, 2.25, 10.0)),
                quantity=draw.choice((None, 1, 3)) if kind == "purchase" else None,
                platform=draw.choice(("web", "app")),
            )
            rows.append(row)
    draw.shuffle(rows)
    return rows


# -- rows as Arrow and Spark hold them


def arrow(table: Table, rows: Iterable[Row]) -> pa.Table:
    """Rows in the contract's types, nullable as the lake reads them."""
    schema = pa.schema([known.with_nullable(True) for known in arrow_schema(table)])
    return pa.Table.from_pylist([{name: _pairs(row[name]) for name in table.names} for row in rows], schema)


def _pairs(value: Any) -> Any:
    return list(value.items()) if isinstance(value, dict) else value


def rows_of(table: pa.Table) -> list[Row]:
    """The inverse of `arrow`."""
    return table.to_pylist(maps_as_pydicts="strict")  # type: ignore[no-any-return]


@dataclass
class Bucket:
    """One bucket of a lake in memory, as a bucket's work reads it; `asked` keeps what it read."""

    tables: dict[tuple[str, date], pa.Table] = field(default_factory=dict)
    asked: list[tuple[str, date]] = field(default_factory=list)

    def days(self, table: Table) -> list[date]:
        return sorted(day for name, day in self.tables if name == table.name)

    def read(self, table: Table, days: Iterable[date], columns: Iterable[str] | None = None) -> pa.Table:
        chosen = [day for day in days if (table.name, day) in self.tables]
        self.asked += [(table.name, day) for day in chosen]
        found = pa.concat_tables([arrow(table, []), *(self.tables[table.name, day] for day in chosen)])
        return found.select(list(table.names if columns is None else columns))

    def put(self, table: Table, found: Mapping[tuple[str, date], pa.Table]) -> None:
        """Replace the table's days that a work gave, as the lake does: a day without rows has no file."""
        for (name, day), rows in found.items():
            if name != table.name:
                continue
            assert rows.column_names == list(table.names)
            if len(rows):
                rows.cast(arrow_schema(table))  # no null where the contract wants none
                self.tables[name, day] = rows.cast(arrow(table, []).schema)
            else:
                self.tables.pop((name, day), None)

    def rows(self, table: Table) -> list[Row]:
        return [row for day in self.days(table) for row in rows_of(self.tables[table.name, day])]


def frame(spark: SparkSession, table: Table, rows: Iterable[Row]) -> DataFrame:
    return spark.createDataFrame([tuple(row[name] for name in table.names) for row in rows], spark_ddl(table))


def plain(rows: Iterable[Any]) -> list[Row]:
    """Collected rows as dictionaries, instants aware again: Spark's Python side returns them naive, in local time."""
    return [
        {name: value.astimezone(UTC) if isinstance(value, datetime) else value for name, value in row.asDict().items()}
        for row in rows
    ]


# -- definitions


def in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["event_ts"], row["event_id"]))


def by_id(rows: Iterable[Row]) -> dict[str, list[Row]]:
    return _grouped((row["event_id"], row) for row in rows)


def content(row: Row) -> tuple[Any, ...]:
    """What copies of an event must agree on, ready to compare: nulls last, texts by their bytes, maps as texts."""
    names = [name for name in EVENTS.names if name not in ("event_id", "received_at", "dt", "landed", "bot_rule")]
    return tuple(_comparable(row[name]) for name in names)


def _comparable(value: Any) -> tuple[bool, Any]:
    if isinstance(value, dict):
        value = json.dumps(value, sort_keys=True)
    return value is None, value.encode() if isinstance(value, str) else value


def chosen(copies: Iterable[Row]) -> Row:
    """The copy that stays: received earliest, then of the smallest content, then of the earliest drop."""
    return min(copies, key=lambda row: (_comparable(row["received_at"]), content(row), row["landed"]))


def by_person(rows: Iterable[Row]) -> dict[str, list[Row]]:
    return _grouped((row["user_id"], row) for row in in_order(rows))


def visitor_of(row: Row) -> str:
    """Whose stream an event belongs to: the device's, or without one the login's."""
    return str(row["user_id"] if row["device_id"] is None else row["device_id"])


def by_visitor(rows: Iterable[Row]) -> dict[str, list[Row]]:
    return _grouped((visitor_of(row), row) for row in in_order(rows))


def _grouped(named: Iterable[tuple[str, Row]]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for name, row in named:
        groups.setdefault(name, []).append(row)
    return groups


def opened(
    rows: Sequence[Row], gap: timedelta, *, max_hours: float = 1e6, max_events: int = 10**9
) -> list[tuple[str, Row]]:
    """The definition of a session, one visitor's events at a time: (session_id, event) in order."""
    named: list[tuple[str, Row]] = []
    for stream in by_visitor(rows).values():
        opener, last, size, login = stream[0], stream[0]["event_ts"], 0, None
        for row in stream:
            silent = row["event_ts"] - last > gap
            too_long = row["event_ts"] - opener["event_ts"] > timedelta(hours=max_hours)
            another = None not in (login, row["user_id"]) and login != row["user_id"]
            if silent or too_long or size == max_events or another:
                opener, size, login = row, 0, None
            last, size, login = row["event_ts"], size + 1, login or row["user_id"]
            named.append((opener["event_id"], row))
    return named


def session_rows(rows: Sequence[Row], gap: timedelta, *, zone: str = "UTC", **caps: Any) -> list[Row]:
    """Rows of `session_events`, by the definition: a session's login and its bot are all its events'."""
    found: list[Row] = []
    for visit in _grouped(opened(rows, gap, **caps)).values():
        login = next((row["user_id"] for row in visit if row["user_id"] is not None), None)
        whole = {
            "session_id": visit[0]["event_id"],
            "visitor_id": visitor_of(visit[0]),
            "user_id": login,
            "dt": visit[0]["event_ts"].astimezone(ZoneInfo(zone)).date(),
            "is_bot": any(row["bot_rule"] is not None for row in visit),
        }
        for position, row in enumerate(visit, 1):
            own = {"position": position, "logged_in": row["user_id"] is not None}
            found.append({name: row.get(name) for name in SESSION_EVENTS.names} | whole | own)
    return found
