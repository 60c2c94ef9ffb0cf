"""Visits: what one person did without a long pause."""

from __future__ import annotations

from nightjar.contracts.events import EVENTS
from nightjar.contracts.table import Column, Table

_START_DT = Column(
    "dt", "date", "The shop's day on which the session starts; its later events stay with it.", nullable=False
)
_SESSION_ID = Column("session_id", "string", "The event_id of the session's first event.", nullable=False)
_USER_ID = Column("user_id", "string", "Pseudonym of the person: the login, else the device.", nullable=False)

SESSIONS = Table(
    "sessions",
    "One visit, named by its first event, filed under the day it starts.",
    (
        _SESSION_ID,
        _USER_ID,
        _START_DT,
        Column("start_ts", "timestamp", "First event.", "UTC", nullable=False),
        Column("end_ts", "timestamp", "Last event.", "UTC", nullable=False),
        Column("num_events", "int", "Events in the session.", "events", nullable=False),
        Column("num_views", "int", "Item views.", "events", nullable=False),
        Column("num_searches", "int", "Searches.", "events", nullable=False),
        Column("num_carts", "int", "Additions to the cart.", "events", nullable=False),
        Column("num_purchases", "int", "Purchase rows.", "events", nullable=False),
        Column("num_items", "int", "Distinct items touched.", "items", nullable=False),
        Column("revenue", "double", "Sum of price x quantity over purchases.", "shop's currency", nullable=False),
        Column("platform", "string", "Platform of the first event.", nullable=False),
        Column("is_bot", "boolean", "Any event of it carries a bot rule.", nullable=False),
    ),
    key=("session_id",),
    order=("start_ts", "session_id"),
)

_FROM_EVENTS = (
    "event_id",
    "event_ts",
    "landed",
    "device_id",
    "platform",
    "kind",
    "item_id",
    "query",
    "price",
    "quantity",
    "order_id",
    "campaign",
    "surface",
    "bot_rule",
)

SESSION_EVENTS = Table(
    "session_events",
    "One event in its session; what sequences are built from.",
    (
        _SESSION_ID,
        _USER_ID,
        _START_DT,
        Column("position", "int", "1 for the session's first event.", "events", nullable=False),
        *(EVENTS.column(name) for name in _FROM_EVENTS),
    ),
    key=("event_id",),
    order=("user_id", "event_ts", "event_id"),
)
