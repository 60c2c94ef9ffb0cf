"""The nouns: tables, columns, keys, order, partitions, event kinds. Standard library only."""

from nightjar.contracts.errors import BAD_DATA, DONE, ENVIRONMENT, BadInput, GateFailed
from nightjar.contracts.events import EVENTS, ITEM_KINDS, QUARANTINE, Kind, Platform
from nightjar.contracts.identity import IDENTITY, IDENTITY_LINKS, ApartRule, IdKind
from nightjar.contracts.published import DATA_QUALITY, PROMOTIONS, PUBLISH_LOG, RECOMMENDATIONS, USERS
from nightjar.contracts.sequences import HOLDOUT, ITEMS, SEQUENCES, VOCABULARY
from nightjar.contracts.sessions import SESSION_EVENTS, SESSION_RENAMES, SESSIONS
from nightjar.contracts.table import Column, Partition, Table

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        EVENTS,
        QUARANTINE,
        SESSIONS,
        SESSION_EVENTS,
        SESSION_RENAMES,
        IDENTITY_LINKS,
        IDENTITY,
        ITEMS,
        VOCABULARY,
        SEQUENCES,
        HOLDOUT,
        RECOMMENDATIONS,
        USERS,
        PUBLISH_LOG,
        PROMOTIONS,
        DATA_QUALITY,
    )
}

__all__ = [
    "BAD_DATA",
    "DATA_QUALITY",
    "DONE",
    "ENVIRONMENT",
    "EVENTS",
    "HOLDOUT",
    "IDENTITY",
    "IDENTITY_LINKS",
    "ITEMS",
    "ITEM_KINDS",
    "PROMOTIONS",
    "PUBLISH_LOG",
    "QUARANTINE",
    "RECOMMENDATIONS",
    "SEQUENCES",
    "SESSIONS",
    "SESSION_EVENTS",
    "SESSION_RENAMES",
    "TABLES",
    "USERS",
    "VOCABULARY",
    "ApartRule",
    "BadInput",
    "Column",
    "GateFailed",
    "IdKind",
    "Kind",
    "Partition",
    "Platform",
    "Table",
]
