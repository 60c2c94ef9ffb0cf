"""Features by hand, against their definition in plain Python, and at the instant that nothing later may cross."""

from __future__ import annotations

import math
import random
import statistics
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import pairwise
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from tests.prep.small_log import frame, plain
from tests.prep.visit_log import (
    DAY,
    END,
    FEATURES,
    ITEM_COLUMNS,
    ITEMS,
    Row,
    before,
    called,
    drawn,
    drawn_log,
    seen,
    shop_day,
)

from nightjar.contracts import SESSION_EVENTS, USER_FEATURES, Kind, Platform
from nightjar.contracts.features import FUNNEL, PLURALS, WINDOWS_DAYS
from nightjar.prep.features import user_features_from

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark


def features(
    spark: SparkSession, rows: Iterable[Row] | DataFrame, *, as_of: date = DAY, zone: str = "UTC"
) -> dict[str, Row]:
    events = rows if not isinstance(rows, list) else frame(spark, SESSION_EVENTS, rows)
    items = spark.createDataFrame(ITEMS, ITEM_COLUMNS)
    found = user_features_from(events, items, as_of=as_of, time_zone=zone, features=FEATURES)
    kinds = {"bigint": "long", "int": "int"}
    assert [(name, kinds.get(kind, kind)) for name, kind in found.dtypes] == [
        (column.name, column.type) for column in USER_FEATURES.columns
    ]
    people = plain(found.collect())
    assert len({row["user_id"] for row in people}) == len(people)
    return {row["user_id"]: row for row in people}


def some(row: Row, *names: str) -> Row:
    return {name: row[name] for name in names}


# -- by hand


def test_one_person_by_hand(spark: SparkSession) -> None:
    """Three visits: a week and a half ago, yesterday in the night, and today on another device at the same time."""
    rows = [
        seen("a1", before(days=10, hours=4), session_id="a", platform="app", item_id="i0", price=10.0),
        seen("a2", before(days=10, hours=3.5), session_id="a", kind="search", query="hat", platform="app"),
        seen("a3", before(days=10, hours=3), session_id="a", item_id="i2", price=30.0, platform="app"),
        seen("b1", before(hours=20), session_id="b", item_id="i1", price=20.0, device_id="d1"),
        seen("b2", before(hours=18), session_id="b", kind="impression", campaign="c1", device_id="d1"),
        seen("b3", before(hours=17), session_id="b", kind="cart", item_id="i1", price=20.0, quantity=2, device_id="d1"),
        # Among b's events, but on the other device: i1 is bought there, i0 stays in the cart.
        seen("c1", before(hours=19), session_id="c", kind="cart", item_id="i0", price=9.5, device_id="d2"),
        seen("c2", before(hours=16), session_id="c", kind="purchase", item_id="i1", price=19.9, quantity=3),
        seen("c3", before(hours=16), session_id="c", kind="purchase", item_id="i4", price=0.1),
        seen("c4", before(hours=15), session_id="c", kind="return", item_id="i4", price=0.1, quantity=1),
    ]
    row = features(spark, rows)["u1"]
    assert some(row, "dt", "num_events_1d", "num_events_7d", "num_events_28d", "num_events") == {
        "dt": DAY,
        "num_events_1d": 7,
        "num_events_7d": 7,
        "num_events_28d": 10,
        "num_events": 10,
    }
    assert some(row, "num_views_7d", "num_views", "num_searches_7d", "num_searches", "num_carts", "num_purchases") == {
        "num_views_7d": 1,
        "num_views": 3,
        "num_searches_7d": 0,
        "num_searches": 1,
        "num_carts": 2,
        "num_purchases": 2,
    }
    assert some(row, "num_sessions_1d", "num_sessions", "num_active_days_7d", "num_active_days", "tenure_days") == {
        "num_sessions_1d": 2,
        "num_sessions": 3,
        "num_active_days_7d": 1,
        "num_active_days": 2,
        "tenure_days": 10,
    }
    assert {name: row[name] for name in row if name.startswith("hours_since")} == {
        "hours_since_last_event": 15.0,
        "hours_since_last_session": 19.0,
        "hours_since_last_view": 20.0,
        "hours_since_last_cart": 17.0,
        "hours_since_last_purchase": 16.0,
    }
    # Pauses: 1800, 1800 | 7200, 3600 | 10800, 0, 3600
    assert {name: row[name] for name in row if "_gap_" in name} == {
        "event_gap_seconds_mean": pytest.approx(28800 / 7),
        "event_gap_seconds_median": 3600.0,
        "event_gap_seconds_std": pytest.approx(statistics.pstdev([1800, 1800, 7200, 3600, 10800, 0, 3600])),
        "event_gap_seconds_last": 3600.0,
        "session_gap_hours_mean": 112.5,
        "session_gap_hours_median": 112.5,
        "session_gap_hours_std": 111.5,
        "session_gap_hours_last": 1.0,
    }
    assert some(row, "session_seconds_mean", "session_events_mean", "weekend_share", "night_share") == {
        "session_seconds_mean": 9600.0,
        "session_events_mean": pytest.approx(10 / 3),
        "weekend_share": 0.0,  # the 5th was a Friday
        "night_share": 0.2,  # at 04:00 and 05:00
    }
    assert {name: row[name] for name in row if "_to_" in name and row[name]} == {
        "num_view_to_search": 1,
        "num_search_to_view": 1,
        "num_view_to_cart": 1,
        "num_cart_to_purchase": 1,
        "num_purchase_to_purchase": 1,
    }
    assert {name: row[name] for name in row if name.startswith("share_") and row[name]} == {
        "share_sessions_with_cart": pytest.approx(2 / 3),
        "share_sessions_with_purchase": pytest.approx(1 / 3),
        "share_entries_app": pytest.approx(1 / 3),
        "share_entries_web": pytest.approx(2 / 3),
    }
    assert some(
        row, "last_platform", "num_platforms", "num_devices", "num_queries", "num_campaigns", "click_share"
    ) == {
        "last_platform": "web",
        "num_platforms": 2,
        "num_devices": 2,
        "num_queries": 1,
        "num_campaigns": 1,
        "click_share": 0.0,
    }
    assert {name: row[name] for name in row if "price" in name} == {
        "viewed_price_mean": 20.0,
        "viewed_price_min": 10.0,
        "viewed_price_max": 30.0,
        "viewed_price_bucket_mean": pytest.approx(16 / 3),
        "bought_price_mean": 10.0,
        "bought_price_min": 0.1,
        "bought_price_max": 19.9,
        "bought_price_bucket_mean": 5.0,  # nobody knows what i4 costs
    }
    assert some(row, "spend_1d", "spend", "num_orders", "order_value_mean", "returned_value") == {
        "spend_1d": 59.8,  # 3 x 19.9 + 0.1
        "spend": 59.8,
        "num_orders": 1,
        "order_value_mean": 59.8,
        "returned_value": 0.1,
    }
    assert some(row, "num_open_cart_items", "open_cart_value", "num_items", "num_items_bought") == {
        "num_open_cart_items": 1,
        "open_cart_value": 9.5,
        "num_items": 4,
        "num_items_bought": 2,
    }
    # shoes: i0, i1, i1, i0, i1; hats: i2; acme: i0, i2, i0; bolt: i1 three times
    assert some(row, "num_categories", "top_category", "top_category_share", "category_entropy") == {
        "num_categories": 2,
        "top_category": "shoes",
        "top_category_share": pytest.approx(5 / 6),
        "category_entropy": pytest.approx(-(5 / 6) * math.log(5 / 6) - math.log(1 / 6) / 6),
    }
    assert some(row, "num_brands", "top_brand", "top_brand_share", "brand_entropy") == {
        "num_brands": 2,
        "top_brand": "acme",
        "top_brand_share": 0.5,
        "brand_entropy": pytest.approx(math.log(2)),
    }


def test_a_person_with_one_event(spark: SparkSession) -> None:
    row = features(spark, [seen("only", before(minutes=30), kind="search", query="hat")])["u1"]
    assert some(row, "num_events", "num_sessions", "num_active_days", "hours_since_last_event", "tenure_days") == {
        "num_events": 1,
        "num_sessions": 1,
        "num_active_days": 1,
        "hours_since_last_event": 0.5,
        "tenure_days": 0,
    }
    assert some(row, "session_seconds_mean", "session_events_mean", "spend", "num_items", "open_cart_value") == {
        "session_seconds_mean": 0.0,
        "session_events_mean": 1.0,
        "spend": 0.0,
        "num_items": 0,
        "open_cart_value": 0.0,
    }
    nothing = {name for name in USER_FEATURES.names if row[name] is None}
    assert nothing == {column.name for column in USER_FEATURES.columns if column.nullable}


def test_machines_have_no_features(spark: SparkSession) -> None:
    rows = [seen(f"e{n}", before(hours=n), is_bot=True, user_id=f"u{n}", item_id="i0") for n in range(1, 4)]
    assert features(spark, rows) == {}


def test_odd_people(spark: SparkSession) -> None:
    """Carts, orders, clicks and items that are not as simple as most."""

    def row(person: str, name: str, days: float, kind: str, item: str | None = None, **columns: Any) -> Row:
        base = {"user_id": person, "session_id": name, "kind": kind, "item_id": item, "price": 2.0}
        return seen(name, before(days=days), **(base | columns))

    rows = [
        # The latest event of an item decides whether it is in the cart; of an instant the last event_id.
        row("carts", "a1", 3, "cart", "stays", quantity=2),
        row("carts", "a2", 2, "cart", "stays", quantity=5),
        row("carts", "b1", 3, "cart", "removed"),
        row("carts", "b2", 2, "uncart", "removed"),
        row("carts", "c1", 3, "cart", "bought"),
        row("carts", "c2", 2, "purchase", "bought"),
        row("carts", "c3", 1, "view", "bought"),
        row("carts", "d1", 3, "purchase", "again"),
        row("carts", "d2", 2, "cart", "again"),
        row("carts", "e1", 2, "cart", "same instant: bought"),
        row("carts", "e2", 2, "purchase", "same instant: bought"),
        row("carts", "f1", 2, "purchase", "same instant: carted"),
        row("carts", "f2", 2, "cart", "same instant: carted", price=None),
        row("carts", "g1", 7.5, "cart", "abandoned"),
        row("carts", "h1", 6.9, "cart", "not yet"),
        # Purchases without an order number are one order a visit.
        row("orders", "o1", 6, "purchase", "i0", session_id="s1"),
        row("orders", "o2", 5, "purchase", "i0", session_id="s1"),
        row("orders", "o3", 4, "purchase", "i0", session_id="s2"),
        row("orders", "o4", 3, "purchase", "i0", session_id="s3", order_id="n1"),
        row("orders", "o5", 2, "purchase", "i0", session_id="s3", order_id="n2"),
        row("orders", "o6", 1, "purchase", "i0", session_id="s4", order_id="n2"),
        # The log lost an impression.
        row("clicks", "p1", 3, "impression"),
        row("clicks", "p2", 2, "click"),
        row("clicks", "p3", 1, "click"),
        # i4 is an item without facts, i5 no item that is known at the instant.
        row("items", "q1", 3, "view", "i5"),
        row("items", "q2", 2, "view", "i4"),
        row("items", "q3", 1, "view", "i2"),
        # A machine used this account too, in a visit of its own.
        row("half machine", "r1", 2, "view", "i0", is_bot=True),
        row("half machine", "r2", 1, "view", "i0"),
    ]
    found = features(spark, rows)
    assert (found["carts"]["num_open_cart_items"], found["carts"]["open_cart_value"]) == (4, 14.0)
    assert (found["orders"]["num_orders"], found["orders"]["order_value_mean"]) == (4, 3.0)
    assert found["clicks"]["click_share"] == 1.0
    assert some(found["items"], "num_items", "num_categories", "top_category", "top_category_share") == {
        "num_items": 3,
        "num_categories": 1,
        "top_category": "hats",
        "top_category_share": 1.0,
    }
    assert found["half machine"]["num_events"] == 1


# -- days


@pytest.mark.parametrize(
    ("as_of", "opens", "closes"),
    [
        # Berlin leaves summer time on 28 October 2001 and enters it on 25 March: days of 25 and of 23 hours.
        (date(2001, 10, 28), datetime(2001, 10, 27, 22, tzinfo=UTC), datetime(2001, 10, 28, 23, tzinfo=UTC)),
        (date(2001, 3, 25), datetime(2001, 3, 24, 23, tzinfo=UTC), datetime(2001, 3, 25, 22, tzinfo=UTC)),
    ],
)
def test_a_day_begins_and_ends_at_the_shops_midnight(
    spark: SparkSession, as_of: date, opens: datetime, closes: datetime
) -> None:
    moment = timedelta(microseconds=1)
    rows = [
        seen("a", opens - moment, user_id="the day before"),
        seen("b", opens, user_id="first"),
        seen("c", closes - moment, user_id="last"),
        seen("d", closes, user_id="too late"),
    ]
    found = features(spark, [row | {"landed": as_of} for row in rows], as_of=as_of, zone="Europe/Berlin")
    assert {name: row["num_events_1d"] for name, row in found.items()} == {"the day before": 0, "first": 1, "last": 1}
    hours = (closes - opens) / timedelta(hours=1)
    assert hours != 24
    assert found["first"]["hours_since_last_event"] == hours
    assert found["last"]["hours_since_last_event"] == pytest.approx(1e-6 / 3600)
    assert found["the day before"]["tenure_days"] == 1


def test_windows_end_with_their_first_day(spark: SparkSession) -> None:
    """Somebody each, one event at the first and at the last instant that a window holds and lacks."""
    rows = []
    for days in (*WINDOWS_DAYS, FEATURES.history_days):
        rows += [
            seen(f"in{days}", before(days=days), user_id=f"in {days}"),
            seen(f"out{days}", before(days=days) - timedelta(microseconds=1), user_id=f"out {days}"),
        ]
    found = features(spark, rows)
    inside = {
        f"{days}d" if days else "all": {person for person, row in found.items() if row[name]}
        for name, days in (("num_views_1d", 1), ("num_views_7d", 7), ("num_views_28d", 28), ("num_views", None))
    }
    assert inside == {
        "1d": {"in 1"},
        "7d": {"in 1", "out 1", "in 7"},
        "28d": {"in 1", "out 1", "in 7", "out 7", "in 28"},
        "all": {"in 1", "out 1", "in 7", "out 7", "in 28", "out 28", "in 30"},
    }


# -- the definition


def expected(events: list[Row], as_of: date, zone: str) -> Row:
    """One person's features, column by column, in plain Python."""
    here = ZoneInfo(zone)
    instant = datetime.combine(as_of + timedelta(days=1), datetime.min.time(), here)
    facts = {item: {"category": category, "brand": brand, "bucket": bucket} for item, category, brand, bucket in ITEMS}
    oldest = as_of - timedelta(days=FEATURES.history_days)
    known = [row for row in events if oldest < shop_day(row, zone) <= as_of and row["landed"] <= as_of]
    known.sort(key=lambda row: (row["event_ts"], row["event_id"]))
    visits: dict[str, list[Row]] = {}
    for row in known:
        visits.setdefault(row["session_id"], []).append(row)
    by_kind = {kind: [row for row in known if row["kind"] == kind] for kind in Kind}
    out: Row = {"dt": as_of}

    def windows(stem: str, rows: list[Row], measure: Any = len) -> None:
        for days in WINDOWS_DAYS:
            out[f"{stem}_{days}d"] = measure(
                [row for row in rows if shop_day(row, zone) > as_of - timedelta(days=days)]
            )
        out[stem] = measure(rows)

    windows("num_events", known)
    for kind in Kind:
        windows(f"num_{PLURALS[kind]}", by_kind[kind])
    windows("num_sessions", [visit[0] for visit in visits.values()])
    windows("num_active_days", known, lambda rows: len({shop_day(row, zone) for row in rows}))
    windows("spend", by_kind[Kind.PURCHASE], spent)

    def age(rows: Iterable[Row]) -> float | None:
        latest = max((row["event_ts"] for row in rows), default=None)
        return None if latest is None else (instant - latest) / timedelta(hours=1)

    out["hours_since_last_event"] = age(known)
    out["hours_since_last_session"] = age(visit[0] for visit in visits.values())
    for kind in (Kind.VIEW, Kind.CART, Kind.PURCHASE):
        out[f"hours_since_last_{kind}"] = age(by_kind[kind])
    out["tenure_days"] = (as_of - shop_day(known[0], zone)).days

    pauses = [
        (two["event_ts"], two["event_id"], (two["event_ts"] - one["event_ts"]).total_seconds())
        for visit in visits.values()
        for one, two in pairwise(visit)
    ]
    begins = sorted(visit[0]["event_ts"] for visit in visits.values())
    gaps = [(two - one) / timedelta(hours=1) for one, two in pairwise(begins)]
    out |= interval_statistics("event_gap_seconds", [pause for *_, pause in sorted(pauses)])
    out |= interval_statistics("session_gap_hours", gaps)
    out["session_seconds_mean"] = sum(pause for *_, pause in pauses) / len(visits)
    out["session_events_mean"] = len(known) / len(visits)
    local = [row["event_ts"].astimezone(here) for row in known]
    out["weekend_share"] = sum(at.weekday() >= 5 for at in local) / len(known)
    out["night_share"] = sum(at.hour < 6 for at in local) / len(known)

    funnels = [[Kind(row["kind"]) for row in visit if row["kind"] in FUNNEL] for visit in visits.values()]
    steps = Counter(step for funnel in funnels for step in pairwise(funnel))
    out |= {f"num_{one}_to_{two}": steps[one, two] for one in FUNNEL for two in FUNNEL}
    for kind in (Kind.CART, Kind.PURCHASE):
        out[f"share_sessions_with_{kind}"] = len({row["session_id"] for row in by_kind[kind]}) / len(visits)
    entries = Counter(visit[0]["platform"] for visit in visits.values())
    out |= {f"share_entries_{platform}": entries[platform.value] / len(visits) for platform in Platform}
    out["last_platform"] = known[-1]["platform"]
    for name, column in (("platforms", "platform"), ("devices", "device_id"), ("queries", "query")):
        out[f"num_{name}"] = len({row[column] for row in known} - {None})
    out["num_campaigns"] = len({row["campaign"] for row in known} - {None})
    shown = len(by_kind[Kind.IMPRESSION])
    out["click_share"] = min(1.0, len(by_kind[Kind.CLICK]) / shown) if shown else None

    for stem, kind in (("viewed", Kind.VIEW), ("bought", Kind.PURCHASE)):
        prices = [row["price"] for row in by_kind[kind] if row["price"] is not None]
        buckets = [b for row in by_kind[kind] if (b := facts.get(row["item_id"], {}).get("bucket"))]
        out[f"{stem}_price_mean"] = float(sum(map(exact, prices))) / len(prices) if prices else None
        out[f"{stem}_price_min"] = min(prices, default=None)
        out[f"{stem}_price_max"] = max(prices, default=None)
        out[f"{stem}_price_bucket_mean"] = sum(buckets) / len(buckets) if buckets else None
    out["num_orders"] = len({row["order_id"] or row["session_id"] for row in by_kind[Kind.PURCHASE]})
    out["order_value_mean"] = out["spend"] / out["num_orders"] if out["num_orders"] else None
    out["returned_value"] = spent(by_kind[Kind.RETURN])
    latest: dict[str, Row] = {}
    for row in known:
        if row["kind"] in (Kind.CART, Kind.UNCART, Kind.PURCHASE):
            latest[row["item_id"]] = row
    fresh = as_of - timedelta(days=FEATURES.open_cart_days)
    cart = [row for row in latest.values() if row["kind"] == Kind.CART and shop_day(row, zone) > fresh]
    out["num_open_cart_items"], out["open_cart_value"] = len(cart), spent(cart)

    out["num_items"] = len({row["item_id"] for row in known} - {None})
    out["num_items_bought"] = len({row["item_id"] for row in by_kind[Kind.PURCHASE]})
    touched = [row["item_id"] for row in known if row["kind"] in (Kind.VIEW, Kind.CART, Kind.PURCHASE)]
    for noun, plural in (("category", "categories"), ("brand", "brands")):
        counts = Counter(name for item in touched if (name := facts.get(item, {}).get(noun)))
        total = sum(counts.values())
        top = min(counts, key=lambda name, counts=counts: (-counts[name], name), default=None)
        out[f"num_{plural}"] = len(counts)
        out[f"top_{noun}"] = top
        out[f"top_{noun}_share"] = counts[top] / total if top else None
        out[f"{noun}_entropy"] = -sum(n / total * math.log(n / total) for n in counts.values()) if top else None
    return out


def exact(value: float) -> Decimal:
    return Decimal(repr(value)).quantize(Decimal("0.000001"), ROUND_HALF_UP)


def spent(rows: Iterable[Row]) -> float:
    return float(sum(exact(row["price"] * (row["quantity"] or 1)) for row in rows if row["price"] is not None))


def interval_statistics(stem: str, values: list[float]) -> Row:
    measures = {
        "mean": statistics.fmean,
        "median": statistics.median,
        "std": statistics.pstdev,
        "last": lambda v: v[-1],
    }
    return {f"{stem}_{name}": measure(values) if values else None for name, measure in measures.items()}


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_features_equal_the_definition(spark: SparkSession, zone: str) -> None:
    """On ties, interleaved visits, late arrivals and every kind, of people with many events and with few."""
    people = {f"p{n}": drawn_log(n, f"p{n}", num_past=(300, 60, 12, 3, 1)[n % 5], num_later=40) for n in range(15)}
    draw = random.Random(20010115)
    for row in (row for rows in people.values() for row in rows):
        row["landed"] += timedelta(days=draw.choice((0, 0, 0, 1, 3)))
    found = features(spark, [row for rows in people.values() for row in rows], zone=zone)
    assert len(found) >= 10
    for person, row in found.items():
        wanted = expected(people[person], DAY, zone) | {"user_id": person}
        assert set(wanted) == set(row)
        for name, value in wanted.items():
            assert row[name] == (pytest.approx(value, rel=1e-9, abs=1e-9) if isinstance(value, float) else value), name


# -- nothing later moves anything


def test_nothing_after_the_instant_moves_a_digit(spark: SparkSession) -> None:
    """Three pasts with forty futures each: gone, shifted, altered, added, in the same visits, arrived late."""
    draw = random.Random(16)
    rows, num_past = [], 80
    for seed in range(3):
        log = drawn_log(seed, "whoever", num_past=num_past, num_later=30)
        past, future = log[:num_past], log[num_past:]
        assert max(row["event_ts"] for row in past) < END <= min(row["event_ts"] for row in future)
        futures = [[], future]
        for _ in range(12):
            kept = draw.sample(future, draw.randrange(len(future)))
            futures.append(kept)
            futures.append([row | {"event_ts": END + draw.random() * timedelta(days=20)} for row in kept])
            futures.append([drawn(draw, row["event_id"], row["event_ts"]) for row in future])
        futures.append([drawn(draw, f"now{n}", END) for n in range(20)])
        futures.append([drawn(draw, f"then{n}", before(microseconds=1)) | {"landed": END.date()} for n in range(20)])
        for number, later in enumerate(futures):
            rows += called([*past, *later], f"{seed} {number}")
    found = features(spark, rows)
    assert len(found) == 3 * 40
    for person, row in found.items():
        alone = found[f"{person[0]} 0"]
        assert alone["num_events"] > num_past / 2
        assert row | {"user_id": None} == alone | {"user_id": None}


def test_people_who_come_later_have_no_row(spark: SparkSession) -> None:
    rows = [seen("a", END - timedelta(microseconds=1)), seen("b", END, user_id="new")]
    rows.append(seen("c", before(hours=2), user_id="late", landed=END.date()))
    rows.append(seen("d", before(days=31), user_id="long ago"))
    assert set(features(spark, rows)) == {"u1"}
    assert set(features(spark, rows, as_of=DAY + timedelta(days=1))) == {"u1", "new", "late"}


def test_neither_order_nor_partitions_move_a_digit(spark: SparkSession) -> None:
    rows = [row for n in range(6) for row in drawn_log(n, f"p{n}", num_past=150, num_later=10)]
    draw = random.Random(17)
    results = []
    for partitions in (1, 11):
        draw.shuffle(rows)
        results.append(features(spark, frame(spark, SESSION_EVENTS, rows).repartition(partitions)))
    assert results[0] == results[1]
    assert len(results[0]) == 6


def test_a_persons_events_are_shuffled_once(spark: SparkSession) -> None:
    """A catalogue too large to broadcast costs another exchange; this one is small."""
    items = spark.createDataFrame(ITEMS, ITEM_COLUMNS).hint("broadcast")
    events = frame(spark, SESSION_EVENTS, [seen("a", before(hours=1))])
    found = user_features_from(events, items, as_of=DAY, time_zone="UTC", features=FEATURES)
    plan = found._jdf.queryExecution().executedPlan().toString()
    assert plan.count("Exchange hashpartitioning") == plan.count("Exchange hashpartitioning(user_id") == 1
    assert plan.count(" Sort [") == 1
