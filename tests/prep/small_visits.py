"""Sessions written by hand or by a seeded hand, and their rows in `sessions`, `session_events` and `items`."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from nightjar.contracts import ITEMS, SESSION_EVENTS, SESSIONS, Kind

Row = dict[str, Any]

DAY = date(2001, 1, 15)
NOON = datetime(2001, 1, 15, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Visit:
    """One session: its row, and its events in order."""

    session: Row
    events: tuple[Row, ...]

    @property
    def is_bot(self) -> bool:
        return bool(self.session["is_bot"])

    def person(self, persons: Mapping[str, str]) -> str:
        """Who it was: the login, else the visitor, unless that member is known to be another person."""
        member = str(self.session["user_id"] or self.session["visitor_id"])
        return persons.get(member, member)


def step(kind: str, item: str | None = None, after: float = 1, **columns: Any) -> Row:
    """An event `after` minutes after the one before; the first of a visit is its start."""
    return {"kind": kind, "item_id": item, "after": after, **columns}


def visit(
    name: str,
    start: float,
    *steps: Row,
    visitor: str = "v1",
    login: str | None = None,
    platform: str = "web",
    campaign: str | None = None,
    bot: str | None = None,
) -> Visit:
    """A session that starts `start` minutes after noon of the day; UTC is the shop's zone."""
    at = NOON + timedelta(minutes=start)
    common = {
        "session_id": f"{name}1",
        "visitor_id": visitor,
        "user_id": login,
        "dt": at.date(),
        "is_bot": bot is not None,
    }
    events = []
    for position, given in enumerate(steps, 1):
        columns = dict(given)
        after = columns.pop("after")
        at += timedelta(minutes=0 if position == 1 else after)
        row = dict.fromkeys(SESSION_EVENTS.names) | common | {"event_id": f"{name}{position}", "position": position}
        row |= {"event_ts": at, "landed": at.date(), "device_id": visitor, "platform": platform, "bot_rule": bot}
        row["logged_in"] = login is not None
        assert not set(columns) - set(row), columns
        events.append(row | columns)
    num = Counter(row["kind"] for row in events)
    session = common | {
        "start_ts": events[0]["event_ts"],
        "end_ts": at,
        "num_events": len(events),
        "num_views": num["view"],
        "num_searches": num["search"],
        "num_carts": num["cart"],
        "num_purchases": num["purchase"],
        "num_items": len({row["item_id"] for row in events} - {None}),
        "revenue": float(sum(worth(row) for row in events if row["kind"] == "purchase")),
        "platform": platform,
        "campaign": campaign,
        "bot_rule": bot,
    }
    assert set(session) == set(SESSIONS.names)
    return Visit(session, tuple(events))


def worth(row: Row, price: float | None = None) -> Decimal:
    """Price x quantity; an unknown quantity is one, an unknown price nothing."""
    known = row["price"] if row["price"] is not None else price
    return Decimal(str(known or 0)) * (row["quantity"] if row["quantity"] is not None else 1)


def item(name: str, category: str | None, num_events: int = 1, price: float | None = None, day: date = DAY) -> Row:
    row: Row = dict.fromkeys(ITEMS.names, 0)
    row["recent_by_platform"] = [0] * 6
    row |= {"item_id": name, "dt": day, "category": category, "price": price, "num_events": num_events}
    return row | {"title": None, "brand": None, "first_seen": NOON, "last_seen": NOON}


def random_visits(seed: int, num_visits: int, *, num_days: int) -> list[Visit]:
    """Sessions of ten people on fifteen devices, some of them machines; many events share an instant."""
    draw = random.Random(seed)
    visits = []
    for number in range(num_visits):
        device = draw.randrange(15)
        steps = []
        for _ in range(draw.choice((1, 2, 3, 5, 8, 13))):
            kind = draw.choices([kind.value for kind in Kind], (9, 3, 5, 4, 1, 1, 1, 1, 3, 2, 1, 1))[0]
            has_item = kind not in ("search", "coupon")
            columns = {"price": draw.choice((None, 0.1, 0.2, 2.25)), "quantity": draw.choice((None, 1, 3))}
            if kind == "purchase":
                columns["order_id"] = draw.choice((None, f"o{draw.randrange(12)}"))
            name = f"i{draw.randrange(7)}" if has_item else None
            steps.append(step(kind, name, draw.choice((0, 0, 1, 7, 20.5)), **columns))
        made = visit(
            f"s{number:03}-",
            draw.randrange(-12 * 60, (24 * num_days - 12) * 60, 10),
            *steps,
            visitor=f"d{device}",
            login=draw.choice((None, None, f"u{device % 10}")),
            platform=draw.choice(("web", "web", "app")),
            campaign=draw.choice((None, None, "a", "b", "c", "(all)")),
            bot="rate" if device == 14 else None,
        )
        visits.append(made)
    draw.shuffle(visits)
    return visits


def sessions_of(visits: Iterable[Visit]) -> list[Row]:
    return [visit.session for visit in visits]


def events_of(visits: Iterable[Visit]) -> list[Row]:
    return [row for visit in visits for row in visit.events]


def days_of(visits: Sequence[Visit]) -> list[date]:
    return sorted({visit.session["dt"] for visit in visits})
