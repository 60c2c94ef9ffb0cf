"""What models read: items, a vocabulary, histories as of an instant, and what came after."""

from __future__ import annotations

from nightjar.contracts.table import Column, Table

_AS_OF = Column("dt", "date", "As of the end of this shop's day: nothing later can move the row.", nullable=False)
_USER_ID = Column("user_id", "string", "Pseudonym of the person.", nullable=False)

ITEMS = Table(
    "items",
    "One item as of a day, from what the log says of it up to then.",
    (
        Column("item_id", "string", "The shop's item id.", nullable=False),
        _AS_OF,
        Column("title", "string", "Latest title the log gave."),
        Column("category", "string", "Latest category the log gave."),
        Column("brand", "string", "Latest brand the log gave."),
        Column("price", "double", "Latest price of one piece.", "shop's currency"),
        Column(
            "price_bucket", "int", "Decile of the price among priced items, 1 to 10; 0 without a price.", nullable=False
        ),
        Column("first_seen", "timestamp", "First event with the item in the window.", "UTC", nullable=False),
        Column("last_seen", "timestamp", "Last event with the item in the window.", "UTC", nullable=False),
        Column(
            "num_events", "long", "Events of people (not bots) with the item in the window.", "events", nullable=False
        ),
        Column(
            "num_recent",
            "long",
            "Events in the latest days of `score.popular_days`: what baselines and fallback call popular.",
            "events",
            nullable=False,
        ),
        Column("num_purchases", "long", "Purchase rows in the window.", "events", nullable=False),
        Column(
            "recent_by_platform",
            "array<long>",
            "`num_recent` on each platform, in the order of their codes.",
            "events",
            nullable=False,
        ),
    ),
    key=("item_id",),
    order=("item_id",),
)

VOCABULARY = Table(
    "vocabulary",
    "Item to index, from the training window only.",
    (
        Column("item_id", "string", "The shop's item id.", nullable=False),
        _AS_OF,
        Column("item_index", "int", "1 for the most frequent item; 0 is padding.", nullable=False),
        Column("num_events", "long", "Occurrences in sequences of the window.", "events", nullable=False),
    ),
    key=("item_id",),
    order=("item_index",),
)

#: Categories are told apart by this many codes: the same on every day, without a list that would have to be kept.
#: Of 100 categories about one pair shares a code (100 * 99 / 2 / 4095 = 1.2).
CATEGORY_CODES = 4095

_HISTORY = (
    Column("item_ids", "array<string>", "Items in time order, oldest first.", nullable=False),
    Column("kinds", "array<int>", "Kind code of each.", nullable=False),
    Column("event_ts", "array<long>", "When.", "seconds since 1970-01-01 UTC", nullable=False),
)

SEQUENCES = Table(
    "sequences",
    "One person's latest history as parallel arrays, as of an instant.",
    (
        _USER_ID,
        _AS_OF,
        *_HISTORY,
        Column("platforms", "array<int>", "Platform code of each.", nullable=False),
        Column(
            "session_ordinals",
            "array<int>",
            "1 for the session in the row that started first, counting up.",
            nullable=False,
        ),
        Column(
            "price_buckets", "array<int>", "The item's price bucket as of the same instant; 0 unknown.", nullable=False
        ),
        Column(
            "category_codes",
            "array<int>",
            f"CRC-32 of the item's category as of the same instant, modulo {CATEGORY_CODES}, plus 1; 0 unknown.",
            nullable=False,
        ),
        Column("num_events", "int", "Length before the cut to the latest events.", "events", nullable=False),
        Column("last_platform", "string", "Platform of the latest event, whatever its kind.", nullable=False),
    ),
    key=("user_id",),
    order=("user_id",),
    caveats=(
        "Arrays may be empty: people who only searched are eligible for the fallback.",
        "Consecutive events on one item are one entry with the strongest kind.",
        "A person's sessions on two devices may interleave: ordinals then go back and forth.",
    ),
)

HOLDOUT = Table(
    "holdout",
    "What each person touched after the instant, for evaluation only.",
    (_USER_ID, _AS_OF, *_HISTORY),
    key=("user_id",),
    order=("user_id",),
    caveats=("Never read by training: the import rule and a test see to it.",),
)
