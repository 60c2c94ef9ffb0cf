"""Events in their visits, written by hand or drawn, around the instant at which 15 January 2001 ends."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from nightjar.contracts import SESSION_EVENTS, Kind, Platform
from nightjar.settings import Features, Labels

Row = dict[str, Any]

DAY = date(2001, 1, 15)  # a Monday
END = datetime(2001, 1, 16, tzinfo=UTC)
FEATURES = Features(history_days=30, open_cart_days=7)
LABELS_CONF = Labels(horizon_days=7, churn_days=14, instants=2, step_days=7, min_history_days=14)

ITEM_COLUMNS = "item_id STRING, category STRING, brand STRING, price_bucket INT"
#: i4 is known by name only, i5 not at all.
ITEMS = [("i0", "shoes", "acme", 1), ("i1", "shoes", "bolt", 5), ("i2", "hats", "acme", 10), ("i4", None, None, 0)]


def seen(event_id: str, at: datetime, **columns: Any) -> Row:
    """One event of u1's visit s1, landed on its day."""
    row: Row = dict.fromkeys(SESSION_EVENTS.names)
    row |= {"event_id": event_id, "event_ts": at, "landed": at.date(), "dt": at.date(), "session_id": "s1"}
    row |= {
        "visitor_id": "v1",
        "user_id": "u1",
        "position": 1,
        "logged_in": False,
        "is_bot": False,
        "platform": "web",
        "kind": "view",
    }
    assert not set(columns) - set(row), columns
    return row | columns


def before(**ago: float) -> datetime:
    return END - timedelta(**ago)


def after(**later: float) -> datetime:
    return END + timedelta(**later)


def drawn(draw: random.Random, name: str, at: datetime, **columns: Any) -> Row:
    """Any event whatever: every column that a feature or a label reads is drawn."""
    kind = draw.choice(list(Kind))
    item = None if kind in (Kind.SEARCH, Kind.COUPON) else f"i{draw.randrange(6)}"
    return seen(
        name,
        at,
        session_id=f"s{draw.randrange(8)}",
        device_id=draw.choice((None, "d1", "d2")),
        platform=draw.choice([platform.value for platform in Platform]),
        kind=kind.value,
        item_id=item,
        query=draw.choice((None, "red shoes", "hat")),
        price=draw.choice((None, 0.1, 0.2, 19.99, 1234567.89)),
        quantity=draw.choice((None, 1, 3)),
        order_id=draw.choice((None, "o1", "o2")),
        campaign=draw.choice((None, "c1", "c2")),
        **columns,
    )


def drawn_log(seed: int, person: str, *, num_past: int, num_later: int) -> list[Row]:
    """A person's events on a grid of ten minutes, so that many share an instant: 35 days back, 20 days ahead.

    The events' ids do not name the person: people with equal events must get equal rows.
    """
    draw = random.Random(seed)

    def some(num: int, low: int, high: int, word: str) -> list[Row]:
        return [
            drawn(
                draw,
                f"{word}{draw.randrange(16**6):06x}-{number}",
                after(minutes=10 * draw.randrange(low, high)),
                user_id=person,
                visitor_id=person,
            )
            for number in range(num)
        ]

    return some(num_past, -35 * 144, 0, "p") + some(num_later, 0, 20 * 144, "l")


def shop_day(row: Row, zone: str) -> date:
    return row["event_ts"].astimezone(ZoneInfo(zone)).date()


def called(rows: list[Row], person: str) -> list[Row]:
    """The same events, done by somebody else."""
    return [row | {"user_id": person, "visitor_id": person} for row in rows]
