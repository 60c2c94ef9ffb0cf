"""Labels by hand, against their definition in plain Python, and what each side of the instant may not move."""

from __future__ import annotations

import random
from collections.abc import Iterable
from datetime import date, datetime, timedelta
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
    LABELS_CONF,
    Row,
    after,
    before,
    called,
    drawn,
    drawn_log,
    seen,
    shop_day,
)

from nightjar.contracts import LABELS, SESSION_EVENTS, Kind
from nightjar.prep.features import user_features_from
from nightjar.prep.labels import labels_from

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark

#: What the days after the instant decide alone; the others also depend on carts and claims before it.
OF_THE_FUTURE = {
    "observed_until",
    "purchased_next",
    "num_purchases_next",
    "num_orders_next",
    "revenue_next",
    "next_category",
    "carted_next",
    "shown_next",
    "clicked_next",
    "coupon_claimed_next",
}


def labels(
    spark: SparkSession,
    rows: Iterable[Row] | DataFrame,
    *,
    as_of: date = DAY,
    observed_days: int = 30,
    zone: str = "UTC",
) -> dict[str, Row]:
    events = rows if not isinstance(rows, list) else frame(spark, SESSION_EVENTS, rows)
    found = labels_from(
        events,
        spark.createDataFrame(ITEMS, ITEM_COLUMNS),
        as_of=as_of,
        observed_until=as_of + timedelta(days=observed_days),
        time_zone=zone,
        features=FEATURES,
        labels=LABELS_CONF,
    )
    assert found.dtypes == [(column.name, column.type) for column in LABELS.columns]
    people = plain(found.collect())
    assert len({row["user_id"] for row in people}) == len(people)
    return {row["user_id"]: row for row in people}


def of(person: str, *happened: tuple[datetime, str], **columns: Any) -> list[Row]:
    """A person's events (when, kind), each a visit of its own."""
    return [
        seen(f"{person} {n}", at, kind=kind, user_id=person, visitor_id=person, session_id=f"{person} {n}", **columns)
        for n, (at, kind) in enumerate(happened)
    ]


# -- by hand


def test_a_week_by_hand(spark: SparkSession) -> None:
    rows = [
        *of("buyer", (before(hours=1), "cart"), item_id="i0"),
        *of("quiet", (before(hours=1), "view"), item_id="i0"),
        seen("b1", after(days=1), kind="view", item_id="i2", user_id="buyer"),
        seen("b2", after(days=2), kind="purchase", item_id="i2", price=0.1, quantity=3, order_id="o1", user_id="buyer"),
        seen("b3", after(days=2), kind="purchase", item_id="i1", price=0.2, order_id="o1", user_id="buyer"),
        seen("b4", after(days=6), kind="purchase", item_id="i0", price=5.0, order_id="o2", user_id="buyer"),
        seen("b5", after(days=6), kind="return", item_id="i0", price=5.0, user_id="buyer"),
        seen("b6", after(days=7), kind="purchase", item_id="i1", price=100.0, user_id="buyer"),  # a moment too late
    ]
    found = labels(spark, rows)
    assert found["buyer"] == {
        "user_id": "buyer",
        "dt": DAY,
        "observed_until": DAY + timedelta(days=14),
        "churn_eligible": True,
        "churned": False,
        "purchased_next": True,
        "num_purchases_next": 3,
        "num_orders_next": 2,
        "revenue_next": 5.5,
        "next_category": "hats",  # b2 and b3 are of one instant
        "carted_next": False,
        "cart_eligible": True,
        "cart_converted": True,
        "shown_next": False,
        "clicked_next": False,
        "coupon_claimed_next": False,
        "coupon_used_next": False,
    }
    nothing = {"purchased_next": False, "num_purchases_next": 0, "num_orders_next": 0, "revenue_next": 0.0}
    nothing |= {"next_category": None, "cart_eligible": False, "cart_converted": None, "churned": True}
    assert found["quiet"] == found["buyer"] | {"user_id": "quiet"} | nothing


def test_churn(spark: SparkSession) -> None:
    moment = timedelta(microseconds=1)
    rows = [
        *of("came back", (before(hours=1), "view"), (after(days=14) - moment, "view")),
        *of("came too late", (before(hours=1), "view"), (after(days=14), "view")),
        *of("was only shown", (before(hours=1), "view"), (after(days=1), "impression")),
        *of("sent it back", (before(hours=1), "view"), (after(days=1), "return")),
        *of("just eligible", (before(days=14), "view")),
        *of("gone before", (before(days=14) - moment, "view"), (after(days=1), "view")),
        *of("never there", (before(days=1), "impression")),
        *of("machine later", (before(days=1), "view")),
        seen("m1", after(days=1), user_id="machine later", is_bot=True),
        *of("a stranger", (after(days=1), "view")),
    ]
    found = labels(spark, rows)
    assert {person: (row["churn_eligible"], row["churned"]) for person, row in found.items()} == {
        "came back": (True, False),
        "came too late": (True, True),
        "was only shown": (True, True),
        "sent it back": (True, False),
        "just eligible": (True, True),
        "gone before": (False, None),
        "never there": (False, None),
        "machine later": (True, True),
    }


def test_carts_clicks_and_coupons(spark: SparkSession) -> None:
    open_cart = seen("c", before(hours=1), kind="cart", item_id="i0")
    claim = seen("k", before(days=20), kind="coupon", campaign="c1")
    later = {
        "bought it": [open_cart, seen("x", after(days=1), kind="purchase", item_id="i0")],
        "bought another": [open_cart, seen("x", after(days=1), kind="purchase", item_id="i1")],
        "bought too late": [open_cart, seen("x", after(days=7), kind="purchase", item_id="i0")],
        "abandoned before": [open_cart | {"event_ts": before(days=8)}, seen("x", after(days=1), kind="cart")],
        "had bought it": [
            open_cart,
            seen("p", before(minutes=1), kind="purchase", item_id="i0"),
            seen("x", after(days=1), kind="purchase", item_id="i0"),
        ],
        "used what was claimed": [claim, seen("x", after(days=1), kind="purchase", item_id="i0", campaign="c1")],
        "claimed and used": [
            seen("a", before(days=1)),
            seen("k", after(days=1), kind="coupon", campaign="c1"),
            seen("x", after(days=1), kind="purchase", item_id="i0", campaign="c1"),
        ],
        "used, then claimed": [
            seen("a", before(days=1)),
            seen("x", after(days=1), kind="purchase", item_id="i0", campaign="c1"),
            seen("y", after(days=2), kind="coupon", campaign="c1"),
        ],
        "came by another campaign": [claim, seen("x", after(days=1), kind="purchase", item_id="i0", campaign="c2")],
        "claimed without a name": [
            seen("k", before(days=1), kind="coupon"),
            seen("x", after(days=1), kind="purchase", item_id="i0"),
        ],
        "only looked": [claim, seen("x", after(days=1), kind="view", item_id="i0", campaign="c1")],
        "clicked": [
            seen("a", before(days=1), kind="click"),
            seen("x", after(days=1), kind="impression", campaign="c1"),
            seen("y", after(days=2), kind="click", campaign="c1"),
        ],
        "clicked before": [seen("a", before(days=1), kind="click"), seen("b", after(days=7), kind="click")],
    }
    found = labels(spark, [row for person, rows in later.items() for row in called(rows, person)])
    carts = {person: (row["cart_eligible"], row["cart_converted"]) for person, row in found.items()}
    assert {person: cart for person, cart in carts.items() if cart != (False, None)} == {
        "bought it": (True, True),
        "bought another": (True, False),
        "bought too late": (True, False),
    }
    assert {person for person, row in found.items() if row["carted_next"]} == {"abandoned before"}
    assert {person for person, row in found.items() if row["coupon_used_next"]} == {
        "used what was claimed",
        "claimed and used",
    }
    claimed = {person for person, row in found.items() if row["coupon_claimed_next"]}
    assert claimed == {"claimed and used", "used, then claimed"}
    assert {person for person, row in found.items() if row["shown_next"]} == {"clicked"}
    assert {person for person, row in found.items() if row["clicked_next"]} == {"clicked"}


def test_the_next_category_is_the_first_purchases_or_none(spark: SparkSession) -> None:
    rows = [
        *of("first", (before(days=1), "view")),
        seen("a", after(days=2), kind="purchase", item_id="i2", user_id="first"),
        seen("b", after(days=1), kind="purchase", item_id="i0", user_id="first"),
        *of("unknown", (before(days=1), "view")),
        seen("c", after(days=1), kind="purchase", item_id="i5", user_id="unknown"),
        seen("d", after(days=2), kind="purchase", item_id="i0", user_id="unknown"),
    ]
    found = labels(spark, rows)
    assert {person: row["next_category"] for person, row in found.items()} == {"first": "shoes", "unknown": None}


def test_what_a_visitor_does_under_a_login_counts_for_both(spark: SparkSession) -> None:
    rows = [
        seen("a", before(days=1), user_id="device", visitor_id="device"),  # nobody's, as far as one knew
        seen("b", before(days=1), user_id="ann", visitor_id="other device"),
        seen("c", after(days=1), kind="purchase", item_id="i0", user_id="ann", visitor_id="device"),
    ]
    found = labels(spark, rows)
    assert {person: row["num_purchases_next"] for person, row in found.items()} == {"ann": 1, "device": 1}


# -- what is over and what is not


@pytest.mark.parametrize(
    ("observed_days", "horizon_is_over", "churn_is_over"),
    [(6, False, False), (7, True, False), (13, True, False), (14, True, True), (40, True, True)],
)
def test_a_horizon_that_is_not_over_has_no_labels(
    spark: SparkSession, observed_days: int, horizon_is_over: bool, churn_is_over: bool
) -> None:
    rows = [
        *of("u1", (before(hours=1), "cart"), (after(days=1), "purchase"), item_id="i0", price=1.0),
        *of("u2", (before(hours=1), "view")),
    ]
    found = labels(spark, rows, observed_days=observed_days)
    eligibility = {"user_id", "dt", "observed_until", "churn_eligible", "cart_eligible"}
    for person, converted in (("u1", True), ("u2", None)):
        row = found[person]
        assert row["observed_until"] == DAY + timedelta(days=min(observed_days, 14))
        assert (row["churned"] is not None) == churn_is_over
        horizon = set(LABELS.names) - eligibility - {"churned", "next_category", "cart_converted"}
        assert {row[name] is not None for name in horizon} == {horizon_is_over}
        assert row["cart_converted"] == (converted if horizon_is_over else None)
    assert (found["u1"]["next_category"] is not None) == horizon_is_over


def test_horizons_count_the_shops_days(spark: SparkSession) -> None:
    """Berlin leaves summer time on 28 October 2001: the seven days after the 24th have 169 hours."""
    zone = ZoneInfo("Europe/Berlin")
    as_of = date(2001, 10, 24)
    ends = datetime(2001, 11, 1, tzinfo=zone)
    begins = datetime(2001, 10, 25, tzinfo=zone)
    moment = timedelta(microseconds=1)
    # Aware datetimes of one zone subtract by the clock on the wall, so count in UTC.
    assert (ends.timestamp() - begins.timestamp()) / 3600 == 169
    at = {
        "at the instant": begins,
        "just before": begins - moment,
        "last moment": ends - moment,
        "too late": ends,
    }
    rows = [seen(f"{n}", begins - timedelta(days=1), user_id=n, landed=as_of) for n in at]
    rows += [
        seen(f"{n} x", when, kind="purchase", item_id="i0", user_id=n, landed=min(as_of, when.date()))
        for n, when in at.items()
    ]
    found = labels(spark, rows, as_of=as_of, zone="Europe/Berlin")
    assert {person for person, row in found.items() if row["purchased_next"]} == {"at the instant", "last moment"}


# -- the definition


def expected(events: list[Row], as_of: date, zone: str) -> Row | None:
    """One person's labels in plain Python; nobody has any who has no features."""
    days = {id(row): (shop_day(row, zone) - as_of).days for row in events}
    events = sorted(events, key=lambda row: (row["event_ts"], row["event_id"]))
    past = [row for row in events if -FEATURES.history_days < days[id(row)] <= 0 and row["landed"] <= as_of]
    ahead = [row for row in events if 0 < days[id(row)] <= 7]
    if not past:
        return None
    active = [days[id(row)] for row in [*past, *ahead] if row["kind"] != Kind.IMPRESSION]
    active += [days[id(row)] for row in events if 7 < days[id(row)] <= 14 and row["kind"] != Kind.IMPRESSION]
    eligible = any(-14 < day <= 0 for day in active)
    latest = {row["item_id"]: row for row in past if row["kind"] in (Kind.CART, Kind.UNCART, Kind.PURCHASE)}
    cart = {item for item, row in latest.items() if row["kind"] == Kind.CART and days[id(row)] > -7}
    bought = [row for row in ahead if row["kind"] == Kind.PURCHASE]
    claims = [row for row in [*past, *ahead] if row["kind"] == Kind.COUPON and row["campaign"]]
    used = any(b["campaign"] == c["campaign"] and c["event_ts"] <= b["event_ts"] for b in bought for c in claims)
    categories = {item: category for item, category, *_ in ITEMS}
    return {
        "dt": as_of,
        "observed_until": as_of + timedelta(days=14),
        "churn_eligible": eligible,
        "churned": not any(day > 0 for day in active) if eligible else None,
        "purchased_next": bool(bought),
        "num_purchases_next": len(bought),
        "num_orders_next": len({row["order_id"] or row["session_id"] for row in bought}),
        "revenue_next": pytest.approx(sum((row["price"] or 0) * (row["quantity"] or 1) for row in bought), rel=1e-9),
        "next_category": categories.get(bought[0]["item_id"]) if bought else None,
        "carted_next": any(row["kind"] == Kind.CART for row in ahead),
        "cart_eligible": bool(cart),
        "cart_converted": any(row["item_id"] in cart for row in bought) if cart else None,
        "shown_next": any(row["kind"] == Kind.IMPRESSION for row in ahead),
        "clicked_next": any(row["kind"] == Kind.CLICK for row in ahead),
        "coupon_claimed_next": any(row["kind"] == Kind.COUPON for row in ahead),
        "coupon_used_next": used,
    }


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_labels_equal_the_definition(spark: SparkSession, zone: str) -> None:
    people = {
        f"p{n}": drawn_log(n, f"p{n}", num_past=(80, 12, 3)[n % 3], num_later=(40, 10, 2, 0)[n % 4]) for n in range(60)
    }
    draw = random.Random(20010115)
    for row in (row for rows in people.values() for row in rows):
        row["landed"] += timedelta(days=draw.choice((0, 0, 0, 1, 3)))
    found = labels(spark, [row for rows in people.values() for row in rows], zone=zone)
    wanted = {person: row for person, rows in people.items() if (row := expected(rows, DAY, zone))}
    assert found == {person: row | {"user_id": person} for person, row in wanted.items()}
    for name in ("churned", "cart_converted", "coupon_used_next", "purchased_next"):
        assert {True, False} <= {row[name] for row in found.values()}, f"{name}: both, or no test"


# -- both sides of the instant


def test_labels_belong_to_the_people_who_have_features(spark: SparkSession) -> None:
    people = {f"p{n}": drawn_log(n, f"p{n}", num_past=1, num_later=20) for n in range(40)}
    for row in (row for n in range(10) for row in people[f"p{n}"]):
        row["landed"] = END.date() + timedelta(days=20)
    events = frame(spark, SESSION_EVENTS, [row for rows in people.values() for row in rows])
    items = spark.createDataFrame(ITEMS, ITEM_COLUMNS)
    rows = user_features_from(events, items, as_of=DAY, time_zone="UTC", features=FEATURES).select("user_id")
    with_features = {row["user_id"] for row in rows.collect()}
    assert set(labels(spark, events)) == with_features
    assert 20 < len(with_features) < 40


def test_the_past_decides_who_is_eligible_and_nothing_else(spark: SparkSession) -> None:
    """Sixty pasts before one future: labels of the future are the same to the digit, the others where they may be."""
    draw = random.Random(18)
    future = [row for row in drawn_log(1, "whoever", num_past=1, num_later=150) if row["event_ts"] >= END]
    rows: list[Row] = []
    pasts: dict[str, list[Row]] = {}
    for number in range(60):
        past = drawn_log(100 + number, "", num_past=25, num_later=0)
        if number % 2:  # nothing that concerns carts and coupons
            past = [row for row in past if row["kind"] not in (Kind.CART, Kind.UNCART, Kind.PURCHASE, Kind.COUPON)]
        past.append(drawn(draw, "anchor", before(microseconds=1)) | {"kind": "view", "item_id": "i0"})
        pasts[f"past {number}"] = past
        rows += called([*past, *future], f"past {number}")
    found = labels(spark, rows)
    assert set(found) == set(pasts)
    first = found["past 1"]
    assert first["num_purchases_next"] > 1
    for number in range(60):
        row = found[f"past {number}"]
        assert {name: row[name] for name in OF_THE_FUTURE} == {name: first[name] for name in OF_THE_FUTURE}
        if number % 2:
            assert row | {"user_id": None} == first | {"user_id": None}
    assert {row["cart_eligible"] for row in found.values()} == {True, False}


def test_nothing_after_the_horizons_moves_a_label(spark: SparkSession) -> None:
    draw = random.Random(19)
    rows = [row for row in drawn_log(2, "", num_past=40, num_later=60) if row["event_ts"] < after(days=14)]
    beyond = [[drawn(draw, f"x{n}", after(days=14 + draw.random() * 5)) for n in range(30)] for _ in range(10)]
    beyond += [[], [drawn(draw, f"x{n}", after(days=14)) for n in range(30)]]
    people = [row for number, more in enumerate(beyond) for row in called([*rows, *more], f"{number}")]
    found = [row | {"user_id": None} for row in labels(spark, people).values()]
    assert len(found) == 12
    assert all(row == found[0] for row in found)
    # Between the horizon and churn's only churn may move.
    between = [row for row in rows if row["event_ts"] < after(days=7)]
    nobody = labels(spark, called(between, "whoever"))["whoever"]
    assert {name for name in LABELS.names if nobody[name] != found[0][name]} <= {"user_id", "churned"}


def test_neither_order_nor_partitions_move_a_digit(spark: SparkSession) -> None:
    rows = [row for n in range(8) for row in drawn_log(n, f"p{n}", num_past=60, num_later=60)]
    draw = random.Random(20)
    results = []
    for partitions in (1, 11):
        draw.shuffle(rows)
        results.append(labels(spark, frame(spark, SESSION_EVENTS, rows).repartition(partitions)))
    assert results[0] == results[1]
    assert len(results[0]) == 8


def test_machines_have_no_labels(spark: SparkSession) -> None:
    rows = [seen(f"e{n}", at, is_bot=True) for n, at in enumerate((before(hours=1), after(hours=1)))]
    assert labels(spark, rows) == {}
