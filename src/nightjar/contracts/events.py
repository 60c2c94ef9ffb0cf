"""One thing a person (or a bot) did, and the raw records that could not become one."""

from __future__ import annotations

from enum import StrEnum

from nightjar.contracts.table import Column, Table


class Kind(StrEnum):
    """What happened. The order is part of the contract: `code` is what sequences store."""

    VIEW = "view"
    SEARCH = "search"
    CART = "cart"
    PURCHASE = "purchase"
    RETURN = "return"
    REVIEW = "review"
    COUPON = "coupon"
    CLICK = "click"
    IMPRESSION = "impression"
    UNCART = "uncart"
    FAVOURITE = "favourite"
    #: An order or a part of it, withdrawn before it was delivered; what comes back afterwards is a return.
    CANCEL = "cancel"

    @property
    def code(self) -> int:
        """1-based position; 0 is padding."""
        return list(Kind).index(self) + 1


#: Kinds whose rows make no sense without an item.
ITEM_KINDS = (Kind.VIEW, Kind.CART, Kind.PURCHASE, Kind.RETURN, Kind.REVIEW, Kind.UNCART, Kind.FAVOURITE)


class Platform(StrEnum):
    """Where it happened; the code is what sequences store, 0 is padding."""

    WEB = "web"
    APP = "app"
    MINI_PROGRAM = "mini_program"
    EMAIL = "email"
    STORE = "store"
    OTHER = "other"

    @property
    def code(self) -> int:
        return list(Platform).index(self) + 1


DT = Column("dt", "date", "The shop's day, in the shop's time zone.", nullable=False)

EVENTS = Table(
    "events",
    "One event that passed every row rule, once.",
    (
        Column(
            "event_id", "string", "Unique name of the event, from the log or derived from its content.", nullable=False
        ),
        Column("event_ts", "timestamp", "When it happened.", "UTC, microseconds", nullable=False),
        Column("received_at", "timestamp", "When the shop's collector received it.", "UTC, microseconds"),
        DT,
        Column("landed", "date", "The raw drop that brought the event; later than dt for late events.", nullable=False),
        Column("user_id", "string", "Pseudonym of the login; null while nobody is logged in."),
        Column("device_id", "string", "Pseudonym of the device or browser."),
        Column("platform", "string", "One of the Platform values.", nullable=False),
        Column("kind", "string", "One of the Kind values.", nullable=False),
        Column("item_id", "string", "The shop's item id."),
        Column("query", "string", "Search words as typed."),
        Column("price", "double", "Price of one piece.", "shop's currency"),
        Column("quantity", "int", "Pieces; positive, also for returns.", "pieces"),
        Column("order_id", "string", "The shop's order id."),
        Column("campaign", "string", "Campaign or coupon that the event is attributed to."),
        Column("surface", "string", "Where in the shop: home, search, item, cart, e-mail."),
        Column("bot_rule", "string", "Name of the rule that calls the actor a bot; null for people."),
        Column(
            "attributes", "map<string,string>", "Whatever else the source maps; title, category and brand feed items."
        ),
    ),
    key=("event_id",),
    order=("event_ts", "event_id"),
    caveats=(
        "user_id and device_id are never both null.",
        "A late event changes a past partition until the source's days_late_allowed have passed.",
    ),
)

QUARANTINE = Table(
    "quarantine",
    "One raw record that broke at least one row rule, kept so that it can be replayed.",
    (
        Column("record_id", "string", "SHA-256 of the raw record, in hex.", nullable=False),
        Column("copy", "int", "Numbers identical raw records of one drop from 1.", "records", nullable=False),
        Column("dt", "date", "The drop's day: the event's own day may be unreadable.", nullable=False),
        Column("source", "string", "Name of the source mapping that rejected it.", nullable=False),
        Column("reasons", "array<string>", "Every row rule that it broke, in the rules' order.", nullable=False),
        Column("raw", "binary", "The raw record, AES-GCM encrypted: it holds the shop's own ids.", nullable=False),
        Column("part", "string", "Which kind of the source's files it came from; null where there is one kind."),
        Column("form", "string", "How to read it again: a CSV file's header line, a Parquet file's columns."),
    ),
    key=("record_id", "copy"),
    order=("record_id", "copy"),
)
