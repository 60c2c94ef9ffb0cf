"""Where people are named: what an erasure looks at, and what it leaves behind."""

from __future__ import annotations

from collections.abc import Mapping

from nightjar.contracts.events import EVENTS
from nightjar.contracts.features import LABELS, USER_FEATURES
from nightjar.contracts.identity import IDENTITY, IDENTITY_LINKS
from nightjar.contracts.published import DECISIONS, FORETOLD, RECOMMENDATIONS
from nightjar.contracts.sequences import HOLDOUT, SEQUENCES
from nightjar.contracts.sessions import SESSION_EVENTS, SESSION_RENAMES, SESSIONS
from nightjar.contracts.table import Column, Table

#: Columns of the lake's tables that hold a person's pseudonym. Quarantine, whose records are sealed, names people too.
PERSON_COLUMNS: Mapping[Table, tuple[str, ...]] = {
    EVENTS: ("user_id", "device_id"),
    SESSIONS: ("visitor_id", "user_id"),
    SESSION_EVENTS: ("visitor_id", "user_id", "device_id"),
    SESSION_RENAMES: ("visitor_id",),
    IDENTITY_LINKS: ("device_id", "user_id"),
    IDENTITY: ("member_id", "person_id"),
    SEQUENCES: ("user_id",),
    HOLDOUT: ("user_id",),
    USER_FEATURES: ("user_id",),
    LABELS: ("user_id",),
    RECOMMENDATIONS: ("user_id",),
    FORETOLD: ("user_id",),
    DECISIONS: ("user_id",),
}

#: Columns that name an event: a session may give a person events that carry no name of theirs.
EVENT_COLUMNS: Mapping[Table, tuple[str, ...]] = {
    EVENTS: ("event_id",),
    SESSION_RENAMES: ("old_session_id", "session_id"),
}

ERASURES = Table(
    "erasures",
    "One request to forget a person, carried out; append-only, and it names nobody.",
    (
        Column("shop", "string", "Name of the shop.", nullable=False),
        Column("dt", "date", "The day of the run that carried it out.", nullable=False),
        Column("request_id", "string", "Keyed hash of the request, as `make erase` printed it.", nullable=False),
        Column("requested_at", "timestamp", "When the person asked.", "UTC", nullable=False),
        Column("erased_at", "timestamp", "What the log says of the person up to then is gone.", "UTC", nullable=False),
        Column("num_members", "int", "Devices and logins of the person.", "members", nullable=False),
        Column("rows_removed", "string", "JSON: rows removed, by `store/table`.", nullable=False),
        Column("champion_version", "string", "The model that scored then; null without one."),
        Column(
            "champion_knew",
            "boolean",
            "The champion's training data held the person; the next training goes without. Null where the lake no"
            " longer holds that data.",
        ),
        Column("not_reached", "string", "JSON: what had to stay, for people to look after.", nullable=False),
    ),
    key=("request_id",),
    order=("request_id",),
)
