"""Which night readers see, which nights the warehouse holds, and the log of every move between them."""

# ruff: noqa: S608 - only names from contracts are put into SQL; every value is bound

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from nightjar.stores.warehouse.connection import Connection

PUBLISHED = "published"
ROLLED_BACK = "rolled_back"


@dataclass(frozen=True)
class Held:
    """A night whose rows are in the warehouse."""

    day: date
    publish_id: str


def held_nights(db: Connection, shop: str) -> list[Held]:
    """The nights that the warehouse holds, newest first."""
    rows = db.query("SELECT dt, publish_id FROM published_nights WHERE shop = $1 ORDER BY dt DESC", shop)
    return [Held(day, publish_id) for day, publish_id in rows]


def hold(db: Connection, shop: str, night: Held) -> None:
    """Note that the rows of this publication are the night's from now on."""
    forget(db, shop, night.day)
    db.execute(
        "INSERT INTO published_nights (shop, dt, publish_id) VALUES ($1, $2, $3)", shop, night.day, night.publish_id
    )


def forget(db: Connection, shop: str, day: date) -> None:
    db.execute("DELETE FROM published_nights WHERE shop = $1 AND dt = $2", shop, day)


def shown(db: Connection, shop: str) -> Held | None:
    """What readers see now; None before the first publication."""
    rows = db.query("SELECT dt, publish_id FROM publish_current WHERE shop = $1", shop)
    return Held(*rows[0]) if rows else None


def show(db: Connection, shop: str, night: Held, moved_at: datetime) -> None:
    """Point readers at a night; whoever opens a transaction after the commit sees it."""
    db.changed = True
    db.execute(
        "INSERT INTO publish_current (shop, dt, publish_id, moved_at) VALUES ($1, $2, $3, $4)"
        " ON CONFLICT (shop) DO UPDATE SET dt = excluded.dt, publish_id = excluded.publish_id,"
        " moved_at = excluded.moved_at",
        shop,
        night.day,
        night.publish_id,
        moved_at,
    )


def log(db: Connection, row: Mapping[str, object]) -> None:
    """Append a row of publish_log: column -> value."""
    db.changed = True
    places = ", ".join(f"${position}" for position in range(1, len(row) + 1))
    db.execute(f"INSERT INTO publish_log ({', '.join(row)}) VALUES ({places})", *row.values())


def next_instant(db: Connection, shop: str, now: datetime) -> datetime:
    """UTC without a zone, as the columns want it; a clock that steps back does not reorder the log."""
    ((latest,),) = db.query("SELECT max(published_at) FROM publish_log WHERE shop = $1", shop)
    moment = now.astimezone(UTC).replace(tzinfo=None)
    return moment if latest is None else max(moment, latest + timedelta(microseconds=1))
