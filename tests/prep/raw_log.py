"""Raw records of an invented source, one good and one bad by each row rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.prep.small_log import DAY, Row

from nightjar.contracts import Kind
from nightjar.prep import clean
from nightjar.prep.sources import mapped
from nightjar.settings import Source, load_conf

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

CLEAN = load_conf(
    sets=[
        "clean.max_price=100.0",
        "clean.min_purchase_price=0.25",
        "clean.max_quantity=10",
        "clean.max_id_bytes=40",
        "clean.max_text_bytes=60",
        "clean.item_pattern='^[^#]'",
        "clean.test_agent_pattern='(?i)^k6/'",
        "clean.bot_events_per_hour=3",
    ]
).clean
SOURCE = Source.model_validate(
    {
        "name": "acme",
        "doc": "A shop.",
        "format": "jsonl",
        "layout": "daily",
        "pattern": "{day}",
        "time_zone": "Europe/Berlin",  # an hour ahead of UTC in January
        "fields": {"id": "STRING"},
        "events": {
            "event_id": "id",
            "event_ts": "try_to_timestamp(at)",
            "received_at": "try_to_timestamp(received)",
            "kind": "what",
            "platform": "via",
            "user_id": "who",
            "device_id": "device",
            "item_id": "item",
            "query": "words",
            "price": "cost",
            "quantity": "number",
            "order_id": "invoice",
            "campaign": "promo",
            "attributes": "map('title', name, 'user_agent', agent)",
        },
        "kinds": {kind.value: kind for kind in Kind},
        "rejects": {"item_is_a_fee": "item = 'POSTAGE'", "cheap": "price < 0.5 AND kind = 'cart'"},
    }
)
TEXTS = ("raw", "_corrupt_record", "id", "at", "received", "what", "via", "who", "device", "item")
MORE_TEXTS = ("words", "invoice", "promo", "name", "agent")
NAMES = ("landed", *TEXTS, *MORE_TEXTS, "cost", "number")
RAW = f"landed DATE, {', '.join(f'{name} STRING' for name in (*TEXTS, *MORE_TEXTS))}, cost DOUBLE, number INT"
GOOD = {
    "landed": DAY,
    "id": "e",
    "at": "2001-01-15T12:00:00Z",
    "what": "view",
    "via": "web",
    "who": "ann",
    "item": "i",
    "cost": 1.0,
}


def raw_row(record: int, /, **columns: Any) -> tuple[Any, ...]:
    row = dict.fromkeys(NAMES) | GOOD | {"raw": f"record {record}"} | columns
    return tuple(row[name] for name in NAMES)


def judged(spark: SparkSession, rows: list[tuple[Any, ...]]) -> DataFrame:
    return clean.with_reasons(mapped(spark.createDataFrame(rows, RAW), SOURCE), CLEAN, SOURCE)


#: Reason -> a record that breaks this rule only, and the same record within the bound.
VIOLATIONS: dict[str, tuple[Row, Row]] = {
    "event_id_missing": ({"id": " "}, {"id": " e "}),
    "event_ts_unreadable": ({"at": "yesterday"}, {"at": "2001-01-15 13:00:00+01:00"}),
    # By Berlin's midnight; of a file that does not say when its rows arrived.
    "day_impossible": (
        {"at": "1999-12-31T22:59:59Z", "landed": None},
        {"at": "1999-12-31T23:00:00Z", "landed": None},
    ),
    "too_late": ({"at": "2001-01-11T22:59:59Z"}, {"at": "2001-01-11T23:00:00Z"}),  # three days, by Berlin's midnight
    "from_the_future": ({"at": "2001-01-15T23:15:00.000001Z"}, {"at": "2001-01-15T23:15:00Z"}),  # 15 minutes of skew
    "clock_ahead": ({"received": "2001-01-15T11:44:59Z"}, {"received": "2001-01-15T11:45:00Z"}),
    "kind_missing": ({"what": None}, {"what": "view"}),
    "kind_unknown": ({"what": "dance"}, {"what": "coupon", "item": None}),
    "platform_unknown": ({"via": "fax"}, {"via": "store"}),
    "actor_missing": ({"who": None}, {"who": None, "device": "d"}),
    "actor_placeholder": ({"who": "NULL"}, {"who": "nullable"}),
    "item_missing": ({"what": "uncart", "item": ""}, {"what": "search", "item": ""}),
    "item_placeholder": ({"item": "undefined"}, {"item": "undefined-1"}),
    "item_is_no_product": ({"item": "#1"}, {"item": "1#"}),
    "cancels_nothing": ({"what": "cancel", "item": None}, {"what": "cancel", "item": None, "invoice": "o"}),
    "id_unreadable": ({"item": "cafÃ©"}, {"item": "café"}),
    "id_too_long": ({"promo": "p" * 41}, {"promo": "p" * 40}),
    "text_too_long": ({"words": "é" * 31}, {"words": "é" * 30}),
    "price_negative": ({"cost": -0.01}, {"cost": 0.0}),
    "price_impossible": ({"cost": 100.01}, {"cost": 100.0}),
    "purchase_price_too_low": ({"what": "purchase", "cost": 0.24}, {"what": "purchase", "cost": 0.25}),
    "quantity_negative": ({"number": -1}, {"number": 1}),
    "quantity_impossible": ({"number": 11}, {"number": 10}),
    "test_traffic": ({"who": "test-7"}, {"who": "testa"}),
    "item_is_a_fee": ({"item": "POSTAGE"}, {"item": "POST"}),
    "cheap": ({"what": "cart", "cost": 0.49}, {"what": "cart", "cost": 0.5}),
}
