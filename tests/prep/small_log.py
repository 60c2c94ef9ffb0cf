"""Small logs written by hand or by a seeded hand, and Spark's view of them."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from nightjar.contracts import EVENTS, SESSION_EVENTS, Table
from nightjar.contracts.render import spark_ddl

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


def frame(spark: SparkSession, table: Table, rows: Iterable[Row]) -> DataFrame:
    return spark.createDataFrame([tuple(row[name] for name in table.names) for row in rows], spark_ddl(table))


def plain(rows: Iterable[Any]) -> list[Row]:
    """Collected rows as dictionaries, instants aware again: Spark's Python side returns them naive, in local time."""
    return [
        {name: value.astimezone(UTC) if isinstance(value, datetime) else value for name, value in row.asDict().items()}
        for row in rows
    ]


def in_order(rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["event_ts"], row["event_id"]))


def by_person(rows: Iterable[Row]) -> dict[str, list[Row]]:
    people: dict[str, list[Row]] = {}
    for row in in_order(rows):
        people.setdefault(row["user_id"], []).append(row)
    return people


def opened(
    rows: Sequence[Row], gap: timedelta, *, max_hours: float = 1e6, max_events: int = 10**9
) -> list[tuple[str, Row]]:
    """The definition of a session, one person's events at a time: (session_id, event) in order."""
    named: list[tuple[str, Row]] = []
    for person in by_person(rows).values():
        opener, last, size = person[0], person[0]["event_ts"], 0
        for row in person:
            too_long = row["event_ts"] - opener["event_ts"] > timedelta(hours=max_hours)
            if row["event_ts"] - last > gap or too_long or size == max_events:
                opener, size = row, 0
            last, size = row["event_ts"], size + 1
            named.append((opener["event_id"], row))
    return named


def session_rows(rows: Sequence[Row], gap: timedelta, **caps: Any) -> list[Row]:
    """Rows of `session_events`, by the definition; UTC is the shop's zone."""
    found: list[Row] = []
    for session_id, row in opened(rows, gap, **caps):
        begins = session_id == row["event_id"]
        start = row["event_ts"].date() if begins else found[-1]["dt"]
        position = 1 if begins else found[-1]["position"] + 1
        found.append(
            {name: row.get(name) for name in SESSION_EVENTS.names}
            | {"session_id": session_id, "dt": start, "position": position}
        )
    return found
