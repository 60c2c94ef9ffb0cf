"""Visits: what one person did without a long pause."""

from __future__ import annotations

from nightjar.contracts.events import EVENTS
from nightjar.contracts.table import Column, Table

_START_DT = Column(
    "dt", "date", "The shop's day on which the session starts; its later events stay with it.", nullable=False
)
_SESSION_ID = Column("session_id", "string", "The event_id of the session's first event.", nullable=False)
_VISITOR_ID = Column(
    "visitor_id",
    "string",
    "Pseudonym of the device, else of the login: whose stream the session is cut from.",
    nullable=False,
)
_USER_ID = Column(
    "user_id", "string", "Pseudonym of the session's one login, also for its events before it; null without one."
)

SESSIONS = Table(
    "sessions",
    "One visit, named by its first event, filed under the day it starts.",
    (
        _SESSION_ID,
        _VISITOR_ID,
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
        Column("campaign", "string", "First campaign that an event of it names: the source of the visit."),
        Column("bot_rule", "string", "First bot rule of its events, else the rule its shape breaks; null for people."),
        Column("is_bot", "boolean", "bot_rule is not null: kept for analysis, out of training.", nullable=False),
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
        _VISITOR_ID,
        _USER_ID,
        _START_DT,
        Column("position", "int", "1 for the session's first event.", "events", nullable=False),
        Column("logged_in", "boolean", "The event itself carries the login.", nullable=False),
        Column("is_bot", "boolean", "The session is a bot's.", nullable=False),
        *(EVENTS.column(name) for name in _FROM_EVENTS),
    ),
    key=("event_id",),
    order=("visitor_id", "event_ts", "event_id"),
)

SESSION_RENAMES = Table(
    "session_renames",
    "A session that later data gave an earlier first event, and so another name; both are kept here.",
    (
        Column("old_session_id", "string", "The name that was published before.", nullable=False),
        Column("session_id", "string", "The session that holds its events now.", nullable=False),
        _VISITOR_ID,
        Column("dt", "date", "The night's day that found out.", nullable=False),
    ),
    key=("old_session_id",),
    order=("old_session_id",),
    caveats=("What happened, night by night: unlike sessions it depends on the order in which events arrived.",),
)
