"""Every bundled mapping on a few invented records in the format as it is published: each value, each rejection.

What is expected is written by hand from the fixture, never taken from the mapping.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightjar.contracts import EVENTS
from nightjar.prep.clean import with_reasons
from nightjar.prep.sources import mapped
from nightjar.settings import Source, load_conf, load_source, repository
from nightjar.stores.raw import find_files, read_raw

if TYPE_CHECKING:
    from pyspark.sql import Row, SparkSession

pytestmark = pytest.mark.spark

FIXTURES = repository() / "tests" / "fixtures" / "sources"
DAY = date(2001, 1, 15)

Event = dict[str, Any]


@dataclass(frozen=True)
class Judged:
    """Kept events by id, without their nulls; rejected ones as (a piece of the raw record, reasons)."""

    source: Source
    rows: Sequence[Row]

    @property
    def kept(self) -> dict[str, Event]:
        kept = [row for row in self.rows if not row["reasons"]]
        events = {row["event_id"]: {name: row[name] for name in EVENTS.names if row[name] is not None} for row in kept}
        assert len(events) == len({row["event_id"] for row in kept})
        return events

    def rejected(self, *pieces: str) -> list[tuple[str, list[str]]]:
        """In the order of `pieces`; every rejected record holds exactly one of them."""
        found = []
        for row in self.rows:
            if row["reasons"]:
                (piece,) = (piece for piece in pieces if piece in row["raw"])
                found.append((piece, row["reasons"]))
        return sorted(found, key=lambda pair: (pieces.index(pair[0]), pair[1]))


def judged(spark: SparkSession, name: str, folder: Path | None = None) -> Judged:
    source = load_source(name)
    rows = mapped(read_raw(spark, source, find_files(source, folder or FIXTURES / name, [DAY])), source)
    return Judged(source, with_reasons(rows, load_conf(source=source).clean, source).collect())


def event(event_id: str, at: str, kind: str, item_id: str | None, /, **more: Any) -> tuple[str, Event]:
    """An event as it must come out: its day is that of `at` (UTC) unless stated, it landed on its day."""
    instant = datetime.fromisoformat(at)
    day = more.pop("dt", instant.date())
    told = {"event_id": event_id, "event_ts": instant, "dt": day, "landed": day, "kind": kind, "item_id": item_id}
    given = told | {"platform": "web"} | more
    return event_id, {name: value for name, value in given.items() if value is not None}


def hashed(*cells: str) -> str:
    return sha256("|".join(cells).encode()).hexdigest()


def assert_kept(found: Judged, *expected: tuple[str, Event]) -> None:
    assert len(dict(expected)) == len(expected)
    wanted = dict(expected)
    assert found.kept.keys() == wanted.keys()
    for event_id, told in wanted.items():
        assert found.kept[event_id] == told


def test_retailrocket(spark: SparkSession) -> None:
    found = judged(spark, "retailrocket")
    at = "2001-01-15T10:00:00"
    assert_kept(
        found,
        event(hashed("111", "view", "5001", "979552800000"), at, "view", "5001", user_id="111"),
        event(hashed("111", "addtocart", "5001", "979552860000"), "2001-01-15T10:01:00", "cart", "5001", user_id="111"),
        event(
            hashed("111", "transaction", "5001", "979552920000"),
            "2001-01-15T10:02:00",
            "purchase",
            "5001",
            user_id="111",
            order_id="7",
        ),
        event(hashed("112", "view", "5002", "979553000"), "2001-01-15T10:03:20", "view", "5002", user_id="112"),
    )
    assert found.rejected(",,view", "wishlist", "113,view") == [
        (",,view", ["actor_missing"]),
        ("wishlist", ["kind_unknown"]),
        ("113,view", ["malformed"]),
    ]


def test_retailrocket_prepared_for_research_names_no_orders(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "events.csv").write_text("timestamp,visitorid,event,itemid\n979552800,111,transaction,5001\n")
    found = judged(spark, "retailrocket", tmp_path)
    told = event(
        hashed("111", "transaction", "5001", "979552800"), "2001-01-15T10:00:00", "purchase", "5001", user_id="111"
    )
    assert_kept(found, told)


def test_online_retail(spark: SparkSession) -> None:
    found = judged(spark, "online_retail")
    england, france = {"country": "United Kingdom"}, {"country": "France"}
    assert_kept(
        found,
        event(
            hashed("536001", "10001a", "6", "2.55", "2001-01-15 08:26:00", "17001.0", "MUG, BLUE"),
            "2001-01-15T08:26:00",
            "purchase",
            "10001A",
            user_id="17001",
            price=2.55,
            quantity=6,
            order_id="536001",
            attributes={"title": "MUG, BLUE", **england},
        ),
        event(
            hashed("536001", "10002", "2", "3.39", "1/15/2001 8:26", "17001", "PLATE"),
            "2001-01-15T08:26:00",
            "purchase",
            "10002",
            user_id="17001",
            price=3.39,
            quantity=2,
            order_id="536001",
            attributes={"title": "PLATE", **england},
        ),
        event(
            hashed("C536002", "10001a", "-1", "2.55", "2001-01-15 09:10:00", "17001.0", "MUG, BLUE"),
            "2001-01-15T09:10:00",
            "cancel",
            "10001A",
            user_id="17001",
            price=2.55,
            quantity=1,
            order_id="C536002",
            attributes={"title": "MUG, BLUE", **england},
        ),
        event(
            hashed("536003", "10003", "-2", "1.25", "2001-01-15 09:30:00", "17002"),
            "2001-01-15T09:30:00",
            "return",
            "10003",
            user_id="17002",
            price=1.25,
            quantity=2,
            order_id="536003",
            attributes=france,
        ),
    )
    assert found.rejected("536004", "536005", "A536006") == [
        ("536004", ["item_is_no_product"]),
        ("536005", ["actor_missing", "price_missing"]),
        ("A536006", ["actor_missing", "item_is_no_product", "price_negative", "price_missing"]),
    ]


def test_rees46(spark: SparkSession) -> None:
    found = judged(spark, "rees46")
    one, two = (f"72d76fde-0000-4000-8000-00000000000{number}" for number in (1, 2))
    phone = {"category": "electronics.smartphone", "session": two}
    assert_kept(
        found,
        event(
            hashed("2001-01-15 00:00:00 UTC", "view", "44600001", "541000001", one),
            "2001-01-15T00:00:00",
            "view",
            "44600001",
            user_id="541000001",
            price=35.79,
            attributes={"category": "2100000000000000001", "brand": "acme", "session": one},
        ),
        event(
            hashed("2001-01-15 00:00:04 UTC", "cart", "1004001", "541000002", two),
            "2001-01-15T00:00:04",
            "cart",
            "1004001",
            user_id="541000002",
            price=1081.98,
            attributes=phone,
        ),
        event(
            hashed("2001-01-15 00:01:04 UTC", "remove_from_cart", "1004001", "541000002", two),
            "2001-01-15T00:01:04",
            "uncart",
            "1004001",
            user_id="541000002",
            price=1081.98,
            attributes=phone,
        ),
        event(
            hashed("2001-01-15 23:59:59 UTC", "purchase", "44600001", "541000001"),
            "2001-01-15T23:59:59",
            "purchase",
            "44600001",
            user_id="541000001",
            price=0.0,
            attributes={"category": "2100000000000000001", "brand": "acme"},
        ),
    )
    assert found.rejected("-47.62", "n/a", "15.01.2001") == [
        ("-47.62", ["price_negative"]),
        ("n/a", ["item_missing", "price_unreadable"]),
        ("15.01.2001", ["event_ts_unreadable"]),
    ]


def test_taobao(spark: SparkSession) -> None:
    """The published period, to the second, in Beijing's days (UTC+8)."""
    found = judged(spark, "taobao")
    first, last = date(2017, 11, 25), date(2017, 12, 3)
    own: Event = {"user_id": "1", "attributes": {"category": "201"}, "platform": "app"}
    assert_kept(
        found,
        event(hashed("1", "1001", "pv", "1511539200"), "2017-11-24T16:00:00", "view", "1001", dt=first, **own),
        event(hashed("1", "1001", "fav", "1511539260"), "2017-11-24T16:01:00", "favourite", "1001", dt=first, **own),
        event(hashed("1", "1001", "cart", "1511600000"), "2017-11-25T08:53:20", "cart", "1001", dt=first, **own),
        event(hashed("1", "1001", "buy", "1512316799"), "2017-12-03T15:59:59", "purchase", "1001", dt=last, **own),
    )
    assert found.rejected("1512316800", "-2134949234", "play", "2,1002,pv") == [
        ("1512316800", ["day_not_published"]),
        ("-2134949234", ["day_impossible", "day_not_published"]),
        ("play", ["kind_unknown"]),
        ("2,1002,pv", ["malformed"]),
    ]


def test_tmall(spark: SparkSession) -> None:
    found = judged(spark, "tmall")
    shoe = {"category": "833", "seller": "2882", "brand": "2661"}
    august, november = date(2015, 8, 29), date(2015, 11, 11)
    at = "2015-08-28T16:00:00"
    assert_kept(
        found,
        event(
            hashed("328001", "323001", "20150829", "0"),
            at,
            "view",
            "323001",
            dt=august,
            user_id="328001",
            attributes=shoe,
        ),
        event(
            hashed("328001", "323001", "20150829", "3"),
            at,
            "favourite",
            "323001",
            dt=august,
            user_id="328001",
            attributes=shoe,
        ),
        event(
            hashed("328001", "323002", "20151111", "1"),
            "2015-11-10T16:00:00",
            "cart",
            "323002",
            dt=november,
            user_id="328001",
            attributes={"category": "1271", "seller": "2882"},
        ),
        event(
            hashed("328002", "323002", "20151111", "2"),
            "2015-11-10T16:00:00",
            "purchase",
            "323002",
            dt=november,
            user_id="328002",
            attributes={"category": "1271", "seller": "2882", "brand": "2661.0"},
        ),
    )
    assert len([row for row in found.rows if row["event_id"] == hashed("328001", "323001", "20150829", "0")]) == 2
    assert found.rejected("1311", "11111", ",9") == [
        ("1311", ["event_ts_unreadable"]),
        ("11111", ["event_ts_unreadable"]),
        (",9", ["kind_unknown"]),
    ]


def test_yoochoose_clicks_and_buys_are_one_shop(spark: SparkSession) -> None:
    found = judged(spark, "yoochoose")
    at = "2001-01-15T10:51:09.277"
    assert_kept(
        found,
        event(hashed("clicks", "1", f"{at}Z", "214536001"), at, "view", "214536001", device_id="1", attributes={}),
        event(
            hashed("clicks", "1", "2001-01-15T10:54:09.868Z", "214536002"),
            "2001-01-15T10:54:09.868",
            "view",
            "214536002",
            device_id="1",
            attributes={"category": "S"},
        ),
        event(
            hashed("clicks", "2", "2001-01-15T13:56:37.614Z", "214662001"),
            "2001-01-15T13:56:37.614",
            "view",
            "214662001",
            device_id="2",
            attributes={"category": "7"},
        ),
        event(
            hashed("clicks", "2", "2001-01-15T13:57:19.373Z", "214662002"),
            "2001-01-15T13:57:19.373",
            "view",
            "214662002",
            device_id="2",
            attributes={"brand": "2089046001"},
        ),
        event(
            hashed("buys", "1", "2001-01-15T11:00:11.417Z", "214536002"),
            "2001-01-15T11:00:11.417",
            "purchase",
            "214536002",
            device_id="1",
            price=1046.0,
            quantity=2,
            attributes={},
        ),
        event(
            hashed("buys", "2", "2001-01-15T14:00:00.000Z", "214662001"),
            "2001-01-15T14:00:00",
            "purchase",
            "214662001",
            device_id="2",
            attributes={},
        ),
    )
    assert found.rejected("214825001", ",523,") == [("214825001", ["actor_missing"]), (",523,", ["item_missing"])]


def test_yoochoose_with_its_clicks_only(spark: SparkSession, tmp_path: Path) -> None:
    """A part whose file is absent leaves its columns null."""
    clicks = tmp_path / "yoochoose-clicks.dat"
    clicks.write_text("9,2001-01-15T10:51:09.277Z,1,0\n")
    (row,) = judged(spark, "yoochoose", clicks).kept.values()
    assert (row["kind"], row["item_id"], row.get("price")) == ("view", "1", None)


def test_diginetica(spark: SparkSession) -> None:
    found = judged(spark, "diginetica")
    assert_kept(
        found,
        event(hashed("views", "1", "526309", "81001"), "2001-01-15T00:08:46.309", "view", "81001", device_id="1"),
        event(hashed("views", "1", "1031018", "31002"), "2001-01-15T00:17:11.018", "view", "31002", device_id="1"),
        event(
            hashed("views", "2", "0", "81001"),
            "2001-01-16T00:00:00",
            "view",
            "81001",
            device_id="2",
            user_id="7001",
        ),
        event(
            hashed("purchases", "2", "90000500", "81001", "25001"),
            "2001-01-17T01:00:00.500",
            "purchase",
            "81001",
            device_id="2",
            user_id="7001",
            order_id="25001",
        ),
    )
    assert found.rejected("3;NA", "4;NA") == [("3;NA", ["item_missing"]), ("4;NA", ["event_ts_unreadable"])]


def test_otto_sessions_are_taken_apart(spark: SparkSession) -> None:
    found = judged(spark, "otto")
    assert_kept(
        found,
        event(
            hashed("42", "1501", "979552800025", "clicks"), "2001-01-15T10:00:00.025", "view", "1501", device_id="42"
        ),
        event(hashed("42", "1501", "979552830000", "carts"), "2001-01-15T10:00:30", "cart", "1501", device_id="42"),
        event(
            hashed("42", "1502", "979552860000", "orders"), "2001-01-15T10:01:00", "purchase", "1502", device_id="42"
        ),
        event(hashed("43", "1503", "979552900", "clicks"), "2001-01-15T10:01:40", "view", "1503", device_id="43"),
    )
    assert found.rejected('"session":43', '"session":44', '"session":45') == [
        ('"session":43', ["kind_unknown"]),
        ('"session":44', ["event_ts_unreadable", "kind_missing"]),
        ('"session":45', ["malformed"]),
    ]
    raw = (FIXTURES / "otto" / "otto-recsys-train.jsonl").read_text().splitlines()
    (likes,) = (row for row in found.rows if row["reasons"] == ["kind_unknown"])
    assert likes["raw"] == raw[1], "the quarantine keeps the whole record, so that it can be replayed"
    assert likes["position"] == 1


def ga4_id(person: str, micros: int, name: str, *rest: str) -> str:
    """bundle, page, event index, position"""
    return hashed(person, str(micros), name, *rest)


def ga4_events() -> list[tuple[str, Event]]:
    own: Event = {"device_id": "100.200"}
    app: Event = {"device_id": "300.400", "platform": "app"}
    mug = {"title": "Mug", "device": "mobile"}
    return [
        event(
            ga4_id("100.200", 979552810000001, "view_item_list", "-81", "1", "2", "0"),
            "2001-01-15T10:00:10.000001",
            "impression",
            "sku-1",
            price=9.5,
            surface="Summer",
            attributes={"title": "Mug", "brand": "Acme", "category": "Kitchen", "device": "desktop"},
            **own,
        ),
        event(
            ga4_id("100.200", 979552810000001, "view_item_list", "-81", "1", "2", "1"),
            "2001-01-15T10:00:10.000001",
            "impression",
            "sku-2",
            price=12.0,
            attributes={"device": "desktop"},
            **own,
        ),
        event(
            ga4_id("100.200", 979552820000001, "search", "82", "", "", ""),
            "2001-01-15T10:00:20.000001",
            "search",
            None,
            user_id="u-7",
            query="blue mug",
            campaign="winter sale",
            attributes={"device": "desktop"},
            **own,
        ),
        event(
            ga4_id("300.400", 979552830000001, "add_to_cart", "83", "", "", "0"),
            "2001-01-15T10:00:30.000001",
            "cart",
            "sku-1",
            user_id="u-7",
            price=9.5,
            quantity=1,
            attributes=mug,
            **app,
        ),
        event(
            ga4_id("300.400", 979552840000001, "purchase", "84", "", "", "0"),
            "2001-01-15T10:00:40.000001",
            "purchase",
            "sku-1",
            user_id="u-7",
            price=9.5,
            quantity=2,
            order_id="T-1",
            campaign="TEN",
            attributes=mug,
            **app,
        ),
        event(
            ga4_id("300.400", 979552870000001, "refund", "87", "", "", "0"),
            "2001-01-15T10:01:10.000001",
            "return",
            "sku-1",
            quantity=1,
            order_id="T-1",
            attributes={"device": "tablet"},
            **app,
        ),
    ]


GA4_REJECTED = [
    ("Gift wrap", ["item_missing"]),
    ("979552850000001", ["actor_missing"]),
    ("spin_the_wheel", ["kind_unknown"]),
]


def test_ga4(spark: SparkSession) -> None:
    found = judged(spark, "ga4")
    assert_kept(found, *ga4_events())
    assert found.rejected(*(piece for piece, _ in GA4_REJECTED)) == GA4_REJECTED
    assert not [row for row in found.rows if "session_start" in row["raw"]], "no event of a shop: left out"


def test_ga4_as_parquet_has_numbers_where_json_has_text(spark: SparkSession, tmp_path: Path) -> None:
    records = [json.loads(line) for line in (FIXTURES / "ga4" / "events_20010115.json").read_text().splitlines()]
    (tmp_path / "raw").mkdir()
    pq.write_table(pa.Table.from_pylist([ga4_typed(record) for record in records], GA4), f"{tmp_path}/raw/{GA4_FILE}")
    found = judged(spark, "ga4_parquet", tmp_path / "raw")
    # The export of this table is older than batch_page_id: the column is absent, not empty.
    assert_kept(found, *[entry for entry in ga4_events() if entry[1]["kind"] != "impression"], *older_impressions())
    assert found.rejected(*(piece for piece, _ in GA4_REJECTED)) == GA4_REJECTED


GA4_FILE = "events_20010115000000000000.parquet"
_text, _whole = pa.string(), pa.int64()
GA4 = pa.schema(
    {
        "event_date": _text,
        "event_timestamp": _whole,
        "event_name": _text,
        "event_bundle_sequence_id": _whole,
        "user_id": _text,
        "user_pseudo_id": _text,
        "platform": _text,
        "device": pa.struct({"category": _text, "language": _text}),
        "collected_traffic_source": pa.struct({"manual_campaign_name": _text}),
        "ecommerce": pa.struct({"transaction_id": _text}),
        "event_params": pa.list_(
            pa.struct(
                {
                    "key": _text,
                    "value": pa.struct(
                        {
                            "string_value": _text,
                            "int_value": _whole,
                            "float_value": pa.float64(),
                            "double_value": pa.float64(),
                        }
                    ),
                }
            )
        ),
        "items": pa.list_(
            pa.struct(
                {
                    **dict.fromkeys(
                        ("item_id", "item_name", "item_brand", "item_category", "item_list_name", "coupon"), _text
                    ),
                    "price": pa.float64(),
                    "quantity": _whole,
                }
            )
        ),
    }
)


def ga4_typed(record: Mapping[str, Any]) -> dict[str, Any]:
    whole = ("event_timestamp", "event_bundle_sequence_id", "int_value", "quantity")

    def typed(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: typed(name, inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [typed(key, inner) for inner in value]
        return int(value) if key in whole else value

    return {key: typed(key, value) for key, value in record.items() if not key.startswith("batch_")}


def older_impressions() -> list[tuple[str, Event]]:
    entries = []
    for position, (_, told) in enumerate(ga4_events()[:2]):
        event_id = ga4_id("100.200", 979552810000001, "view_item_list", "-81", "", "", str(position))
        entries.append((event_id, told | {"event_id": event_id}))
    return entries


def test_segment(spark: SparkSession) -> None:
    found = judged(spark, "segment")
    browser: Event = {"device_id": "anon-1"}
    agent = {"user_agent": "Mozilla/5.0"}

    def received(second: int, minute: int = 0) -> datetime:
        return datetime(2001, 1, 15, 10, minute, second)

    assert_kept(
        found,
        event(
            "ajs-2",
            "2001-01-15T10:00:05.250",
            "view",
            "p-1",
            received_at=received(6),
            price=9.5,
            campaign="TEN",
            attributes={"title": "Mug", "category": "Kitchen", "brand": "Acme", **agent},
            **browser,
        ),
        event(
            "ajs-3",
            "2001-01-15T10:00:10",
            "search",
            None,
            received_at=received(11),
            query="blue mug",
            campaign="winter",
            attributes=agent,
            **browser,
        ),
        event(
            "ajs-4-0",
            "2001-01-15T10:00:20",
            "impression",
            "p-1",
            received_at=received(21),
            price=9.5,
            surface="hot",
            attributes={"title": "Mug", **agent},
            **browser,
        ),
        event(
            "ajs-4-1",
            "2001-01-15T10:00:20",
            "impression",
            "s-2",
            received_at=received(21),
            price=12.0,
            surface="hot",
            attributes={"title": "Plate", **agent},
            **browser,
        ),
        event(
            "ios-5",
            "2001-01-15T10:01:00",
            "cart",
            "p-1",
            received_at=received(1, 1),
            platform="app",
            device_id="anon-2",
            user_id="u-7",
            price=9.5,
            quantity=1,
            attributes={},
        ),
        event(
            "srv-6-0",
            "2001-01-15T10:02:00",
            "purchase",
            "p-1",
            received_at=received(30, 2),
            platform="other",
            user_id="u-7",
            price=9.5,
            quantity=2,
            order_id="O-1",
            campaign="TEN",
            attributes={},
        ),
    )
    assert found.rejected("srv-6", "ajs-7", "ajs-8", "ajs-9") == [
        ("srv-6", ["price_unreadable"]),
        ("ajs-7", ["kind_unknown"]),
        ("ajs-8", ["event_ts_unreadable", "item_missing"]),
        ("ajs-9", ["malformed"]),
    ]


@pytest.mark.parametrize("name", ["snowplow", "snowplow_json"])
def test_snowplow_as_the_pipeline_and_as_an_sdk_writes_it(spark: SparkSession, name: str) -> None:
    found = judged(spark, name)
    agent = {"user_agent": "Mozilla/5.0"}
    mug = {"title": "Mug", "category": "Kitchen/Mugs", "brand": "Acme", **agent}

    def told(number: int, second: int, kind: str, item: str | None, suffix: str = "", **more: Any) -> tuple[str, Event]:
        received = datetime(2001, 1, 15, 10, 0, second + 1, 500000)
        given = {"device_id": "d-1", "received_at": received, "attributes": mug, **more}
        return event(
            f"c6ef3124-0000-4000-8000-00000000000{number}{suffix}",
            f"2001-01-15T10:00:{second:02d}.250",
            kind,
            item,
            **given,
        )

    assert_kept(
        found,
        told(2, 5, "view", "sku-1", "-0", price=9.5, surface="product page", campaign="winter"),
        told(3, 10, "search", None, query="blue mug", attributes=agent),
        told(4, 15, "cart", "sku-1", "-0", price=9.5, quantity=1, platform="app", device_id="n-1", user_id="u-7"),
        told(5, 20, "purchase", "sku-1", "-0", price=9.5, quantity=1, order_id="T-1", campaign="TEN", user_id="u-7"),
        told(
            5,
            20,
            "purchase",
            "sku-2",
            "-1",
            price=12.0,
            quantity=3,
            order_id="T-1",
            campaign="TEN",
            user_id="u-7",
            attributes={"title": "Plate", "category": "Kitchen", **agent},
        ),
        told(
            6,
            25,
            "purchase",
            "sku-3",
            price=20.0,
            quantity=2,
            order_id="T-0",
            attributes={"title": "Lamp", "category": "Light", **agent},
        ),
        told(7, 30, "return", "sku-1", "-0", price=9.5, quantity=1, order_id="T-1"),
    )
    eighth, ninth = (f"c6ef3124-0000-4000-8000-00000000000{number}" for number in (8, 9))
    assert found.rejected(eighth, ninth, "broken") == [
        (eighth, ["item_missing"]),
        (ninth, ["kind_unknown"]),
        ("broken", ["malformed"]),
    ]


def test_weblog(spark: SparkSession) -> None:
    found = judged(spark, "weblog")
    firefox, odd = "Mozilla/5.0", r"Mozilla/5.0 (X11; \"odd\")"
    plain = {"user_agent": firefox}

    def asked(host: str, agent: str | None, time: str, request: str) -> str:
        return hashed(*(cell for cell in (host, agent, f"15/Jan/2001:{time}", request) if cell is not None))

    view = "GET /product/sku-1?utm_campaign=winter%20sale HTTP/1.1"
    assert_kept(
        found,
        event(
            asked("192.0.2.1", odd, "10:00:00 +0000", view),
            "2001-01-15T10:00:00",
            "view",
            "sku-1",
            device_id=hashed("192.0.2.1", odd),
            campaign="winter sale",
            attributes={"user_agent": odd, "referrer": "www.search.example"},
        ),
        event(
            asked("192.0.2.1", firefox, "11:00:05 +0100", "GET /search?page=2&q=blue+m%C3%BCg HTTP/1.1"),
            "2001-01-15T10:00:05",
            "search",
            None,
            device_id=hashed("192.0.2.1", firefox),
            query="blue müg",
            attributes=plain,
        ),
        event(
            asked("192.0.2.1", firefox, "10:00:10 +0000", "POST /cart/add?qty=1&item=sku-1 HTTP/1.1"),
            "2001-01-15T10:00:10",
            "cart",
            "sku-1",
            user_id="anna",
            device_id=hashed("192.0.2.1", firefox),
            attributes=plain,
        ),
        event(
            asked("2001:db8::1", firefox, "10:00:20 +0000", "GET /order/confirmed?order=O-1&item=sku-1 HTTP/2.0"),
            "2001-01-15T10:00:20",
            "purchase",
            "sku-1",
            order_id="O-1",
            device_id=hashed("2001:db8::1", firefox),
            attributes=plain,
        ),
        event(
            asked("192.0.2.3", None, "10:00:30 +0000", "GET /p/sku%2F2/ HTTP/1.0"),
            "2001-01-15T10:00:30",
            "view",
            "sku/2",
            device_id=hashed("192.0.2.3"),
            attributes={},
        ),
        event(
            asked(
                "192.0.2.4", "ExampleBot/2.1 (+https://bot.example)", "10:00:40 +0000", "GET /product/sku-1 HTTP/1.1"
            ),
            "2001-01-15T10:00:40",
            "view",
            "sku-1",
            device_id=hashed("192.0.2.4", "ExampleBot/2.1 (+https://bot.example)"),
            attributes={"user_agent": "ExampleBot/2.1 (+https://bot.example)"},
        ),
    )
    assert found.rejected("10:00:46]", "kernel") == [
        ("10:00:46]", ["event_ts_unreadable"]),
        ("kernel", ["malformed"]),
    ]
    assert len(found.rows) == 8, "pictures, failed and empty requests are left out"
    assert not [row for row in found.kept.values() if "192.0.2" in str(row) or "2001:db8" in str(row)]


def test_every_bundled_mapping_has_a_fixture() -> None:
    bundled = {path.stem for path in (repository() / "conf" / "sources").glob("*.toml")}
    elsewhere = {"synthetic", "ga4_parquet"}  # simulated in tests/simulate; written from ga4's records above
    assert bundled - elsewhere == {path.name for path in FIXTURES.iterdir()}
