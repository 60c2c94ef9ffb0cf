"""The nouns: tables, columns, keys, order, partitions, event kinds. Standard library only."""

from nightjar.contracts.erasure import ERASURES, EVENT_COLUMNS, PERSON_COLUMNS
from nightjar.contracts.errors import BAD_DATA, DONE, ENVIRONMENT, BadInput, GateFailed
from nightjar.contracts.events import EVENTS, ITEM_KINDS, QUARANTINE, Kind, Platform
from nightjar.contracts.features import LABELS, USER_FEATURES
from nightjar.contracts.identity import IDENTITY, IDENTITY_LINKS, ApartRule, IdKind
from nightjar.contracts.marts import (
    CART_ABANDONMENT,
    DAILY_KPIS,
    DECISION_PATHS,
    DECISION_TIMES,
    DECISION_TRANSITIONS,
    FUNNELS,
    MARTS,
)
from nightjar.contracts.published import (
    DATA_QUALITY,
    DECISIONS,
    FORETOLD,
    PROMOTIONS,
    PUBLISH_LOG,
    REALISED,
    RECOMMENDATIONS,
    USER_SCORES,
    USERS,
)
from nightjar.contracts.realised import JUDGED, REALISED_CALIBRATION, REALISED_DECISIONS, REALISED_SCORES
from nightjar.contracts.rules import BOT_RULES, ROW_RULES
from nightjar.contracts.sequences import CATEGORY_CODES, HOLDOUT, ITEMS, SEQUENCES, VOCABULARY
from nightjar.contracts.sessions import SESSION_EVENTS, SESSION_RENAMES, SESSIONS
from nightjar.contracts.table import Column, Partition, Ratio, Table

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
        USER_FEATURES,
        LABELS,
        *MARTS,
        RECOMMENDATIONS,
        FORETOLD,
        DECISIONS,
        USER_SCORES,
        USERS,
        PUBLISH_LOG,
        PROMOTIONS,
        DATA_QUALITY,
        *JUDGED,
        ERASURES,
    )
}

#: Tables by day whose every day the warehouse keeps.
KEPT_DAYS = (*MARTS, *JUDGED)

__all__ = [
    "BAD_DATA",
    "BOT_RULES",
    "CART_ABANDONMENT",
    "CATEGORY_CODES",
    "DAILY_KPIS",
    "DATA_QUALITY",
    "DECISIONS",
    "DECISION_PATHS",
    "DECISION_TIMES",
    "DECISION_TRANSITIONS",
    "DONE",
    "ENVIRONMENT",
    "ERASURES",
    "EVENTS",
    "EVENT_COLUMNS",
    "FORETOLD",
    "FUNNELS",
    "HOLDOUT",
    "IDENTITY",
    "IDENTITY_LINKS",
    "ITEMS",
    "ITEM_KINDS",
    "JUDGED",
    "KEPT_DAYS",
    "LABELS",
    "MARTS",
    "PERSON_COLUMNS",
    "PROMOTIONS",
    "PUBLISH_LOG",
    "QUARANTINE",
    "REALISED",
    "REALISED_CALIBRATION",
    "REALISED_DECISIONS",
    "REALISED_SCORES",
    "RECOMMENDATIONS",
    "ROW_RULES",
    "SEQUENCES",
    "SESSIONS",
    "SESSION_EVENTS",
    "SESSION_RENAMES",
    "TABLES",
    "USERS",
    "USER_FEATURES",
    "USER_SCORES",
    "VOCABULARY",
    "ApartRule",
    "BadInput",
    "Column",
    "GateFailed",
    "IdKind",
    "Kind",
    "Partition",
    "Platform",
    "Ratio",
    "Table",
]
