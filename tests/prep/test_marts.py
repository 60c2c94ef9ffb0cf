"""Analysis tables by hand, and against their definitions in plain Python on random logs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F
from tests.prep import plain_marts as plain
from tests.prep.small_visits import (
    DAY,
    NOON,
    Row,
    Visit,
    days_of,
    events_of,
    item,
    random_visits,
    sessions_of,
    step,
    visit,
)

from nightjar.contracts import (
    CART_ABANDONMENT,
    DAILY_KPIS,
    DECISION_PATHS,
    DECISION_TIMES,
    DECISION_TRANSITIONS,
    FUNNELS,
    IDENTITY,
    ITEMS,
    MARTS,
    SESSION_EVENTS,
    SESSIONS,
    Table,
)
from nightjar.contracts.render import spark_ddl
from nightjar.prep import marts as prep
from nightjar.prep.identity import as_of as one_day
from nightjar.prep.marts.decisions import path_of
from nightjar.settings import Marts, load_conf

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark

#: Day -> member -> person, of those who are somebody else.
Persons = Mapping[date, Mapping[str, str]]

DAYS = 24 * 60
MIDNIGHT = datetime(2001, 1, 16, tzinfo=UTC)
CONF = load_conf().marts

ITEM_ROWS = [
    item("i1", "tea", 5, price=4.0),
    item("i2", "tea", 5),
    item("i3", "pots", 6, price=10.0),
    item("i4", None, 90),
]


def changed(**settings: Any) -> Marts:
    return CONF.model_copy(update=settings)


def built(
    spark: SparkSession,
    table: Table,
    visits: Sequence[Visit],
    *,
    days: Sequence[date] = (DAY,),
    items: Sequence[Row] = ITEM_ROWS,
    conf: Marts = CONF,
    until: datetime = MIDNIGHT,
    persons: Persons = {},  # noqa: B006 - nobody writes to it
) -> list[Row]:
    """The table's rows of `days`, as the job builds them, in the contract's order."""
    sessions, log = frame(spark, SESSIONS, sessions_of(visits)), frame(spark, SESSION_EVENTS, events_of(visits))
    moved = [(day, *pair) for day, of_day in persons.items() for pair in of_day.items()]
    known = spark.createDataFrame(moved, "dt DATE, member_id STRING, person_id STRING")
    some = prep.people_events(log.where(F.col("dt").isin(list(days))), sessions)
    as_of = dict.fromkeys(days, items[0]["dt"]) if items else {}
    events = prep.with_item(some, frame(spark, ITEMS, items), as_of, top=conf.top_categories)
    before = {"first_day": days_of(visits)[0], "lookback_days": conf.lookback_days}
    steps = prep.steps_from(events, conf.path_kinds)
    runs = {"max_run": conf.path_max_run, "max_steps": conf.path_max_steps}
    make = {
        DAILY_KPIS.name: lambda: prep.daily_kpis_from(sessions, events, known, days=days, **before),
        FUNNELS.name: lambda: prep.funnels_from(events, top_campaigns=conf.top_campaigns),
        DECISION_TRANSITIONS.name: lambda: prep.decision_transitions_from(steps),
        DECISION_PATHS.name: lambda: prep.decision_paths_from(steps, top=conf.top_paths, **runs),
        DECISION_TIMES.name: lambda: prep.decision_times_from(sessions, events, log, known, **before),
        CART_ABANDONMENT.name: lambda: prep.cart_abandonment_from(sessions, events, log, known, until=until, conf=conf),
    }
    rows = make[table.name]()
    assert rows.columns == list(table.names)
    types = {field.name: field.dataType.simpleString() for field in rows.schema}
    assert types == {c.name: {"long": "bigint"}.get(c.type, c.type) for c in table.columns}
    return in_order(table, [row.asDict() for row in rows.collect()])


def frame(spark: SparkSession, table: Table, rows: Iterable[Row]) -> DataFrame:
    return spark.createDataFrame([tuple(row[name] for name in table.names) for row in rows], spark_ddl(table))


def in_order(table: Table, rows: Iterable[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row["dt"], *(row[name] for name in table.order)))


def line(row: Row, *names: str) -> tuple[Any, ...]:
    return tuple(row[name] for name in names)


def numbers(rows: Iterable[Row], *key: str) -> dict[Any, tuple[Any, ...]]:
    """Key -> the row's other values, in the contract's order, without the day."""
    return {line(row, *key): tuple(v for name, v in row.items() if name not in ("dt", *key)) for row in rows}


#: A day with three people on four devices, a machine, and the days before.
SHOP = [
    # ann, first without a login; the same order in two sessions, and a piece given back
    visit("a", 0, step("view", "i1"), step("cart", "i1", price=4.0), visitor="d1"),
    visit(
        "b",
        60,
        step("search", query="tea"),
        step("view", "i1"),
        step("view", "i1"),
        step("view", "i3", 2),
        step("cart", "i1", 3, quantity=2, price=0.1),
        step("purchase", "i1", 4, price=0.1, quantity=3, order_id="o1"),
        step("purchase", "i4", 0, price=None, quantity=2, order_id="o1"),
        visitor="d1",
        login="ann",
        campaign="spring",
    ),
    visit("c", 200, step("purchase", "i3", price=0.2, order_id="o1"), visitor="d2", login="ann", platform="app"),
    # bob, who came yesterday, 31 days ago and never bought
    visit("d", -DAYS, step("view", "i3"), visitor="d3", login="bob"),
    visit(
        "e",
        10,
        step("impression", "i2"),
        step("view", "i2"),
        step("impression", "i3"),
        visitor="d3",
        login="bob",
        platform="app",
        campaign="mail",
    ),
    # a guest seen only 31 days ago
    visit("f", -31 * DAYS, step("view", "i3"), visitor="d4"),
    visit(
        "g",
        20,
        step("purchase", "i2", price=5.0),
        step("purchase", "i1", price=1.0, quantity=4),
        step("return", "i2", price=5.0, quantity=2),
        step("return", "i2"),
        step("cancel", "i1", price=1.0, quantity=4),
        visitor="d4",
    ),
    visit("m", 0, step("view", "i1"), step("view", "i2"), step("purchase", "i1", price=99.0), visitor="d9", bot="rate"),
]


def test_kpis_by_hand(spark: SparkSession) -> None:
    whole, app, web = built(spark, DAILY_KPIS, SHOP)
    assert whole == {
        "dt": DAY,
        "platform": "(all)",
        "known_days": 30,
        "num_visitors": 4,
        "num_new_visitors": 3,  # d1, d2, and d4 whom nobody saw for 31 days
        "num_returning_visitors": 1,
        "num_persons": 4,  # d1 without a login, ann, bob, d4
        "num_logged_in_persons": 2,
        "num_sessions": 5,
        "num_bounces": 2,  # c, and e besides its impressions
        "num_sessions_with_cart": 2,
        "num_sessions_with_purchase": 3,
        "num_events": 18,
        "num_views": 5,
        "num_searches": 1,
        "num_carts": 2,
        "num_purchases": 5,
        "num_returns": 2,
        "num_reviews": 0,
        "num_coupons": 0,
        "num_clicks": 0,
        "num_impressions": 2,
        "num_uncarts": 0,
        "num_favourites": 0,
        "num_cancels": 1,
        "num_orders": 2,  # o1, and g's
        "num_pieces": 11,
        "revenue": 9.5,  # 0.3 + 0.2 + 5 + 4
        "num_unpriced_purchases": 1,
        "num_returned_pieces": 3,
        "returned_value": 10.0,
        "num_cancelled_pieces": 4,
        "cancelled_value": 4.0,
        "num_bot_sessions": 1,
        "num_bot_events": 3,
    }
    assert line(app, "platform", "num_visitors", "num_new_visitors", "num_persons", "num_logged_in_persons") == (
        "app",
        2,
        1,
        2,
        2,
    )
    assert line(web, "platform", "num_visitors", "num_new_visitors", "num_persons", "num_logged_in_persons") == (
        "web",
        2,
        2,
        3,
        1,
    )
    assert [line(row, "num_orders", "num_sessions", "num_bot_sessions", "revenue") for row in (app, web)] == [
        (1, 2, 0, 0.2),
        (2, 3, 1, 9.3),
    ]


def test_a_log_that_begins_later_says_so(spark: SparkSession) -> None:
    begun = [one for one in SHOP if one.session["dt"] >= DAY - timedelta(days=1)]
    rows = built(spark, DAILY_KPIS, begun, days=[DAY - timedelta(days=1), DAY])
    assert [line(row, "platform", "known_days", "num_visitors", "num_new_visitors") for row in rows] == [
        ("(all)", 0, 1, 1),
        ("web", 0, 1, 1),
        ("(all)", 1, 4, 3),
        ("app", 1, 2, 1),
        ("web", 1, 2, 2),
    ]
    assert built(spark, DECISION_TIMES, begun)[0]["known_days"] == 1


def test_a_day_of_machines_has_kpis_only(spark: SparkSession) -> None:
    bots = [one for one in SHOP if one.is_bot]
    rows = built(spark, DAILY_KPIS, bots)
    assert [line(row, "platform", "num_sessions", "revenue", "num_bot_sessions", "num_bot_events") for row in rows] == [
        ("(all)", 0, 0.0, 1, 3),
        ("web", 0, 0.0, 1, 3),
    ]
    assert [built(spark, table, bots) for table in (FUNNELS, DECISION_TIMES, CART_ABANDONMENT)] == [[]] * 3


def test_funnels_by_hand(spark: SparkSession) -> None:
    found = numbers(built(spark, FUNNELS, SHOP), "platform", "category", "campaign")
    # sessions, viewed, carted, bought; viewed+carted, +bought; lost after view, after cart
    assert found["(all)", "(all)", "(all)"] == (5, 3, 2, 3, 2, 1, 1, 1)
    assert found["(all)", "tea", "(all)"] == (4, 3, 2, 2, 2, 1, 1, 1)  # not c
    assert found["(all)", "pots", "(all)"] == (3, 1, 0, 1, 0, 0, 1, 0)  # b views, c buys, e is shown one
    assert found["(all)", "(none)", "(all)"] == (1, 0, 0, 1, 0, 0, 0, 0)
    assert found["web", "(all)", "(all)"] == (3, 2, 2, 2, 2, 1, 0, 1)
    assert found["web", "tea", "spring"] == (1, 1, 1, 1, 1, 1, 0, 0)
    assert found["app", "(all)", "mail"] == (1, 1, 0, 0, 0, 0, 1, 0)
    assert found["(all)", "(all)", "(none)"] == (3, 1, 1, 2, 1, 0, 0, 1)
    assert {key[0] for key in found} == {"(all)", "app", "web"}


def test_steps_count_in_order_only(spark: SparkSession) -> None:
    """One session each, told apart by its campaign."""
    expected = {
        "view cart purchase": (1, 1, 1, 1, 1),
        "cart view purchase": (1, 1, 1, 0, 0),
        "purchase view cart": (1, 1, 1, 1, 0),
        "cart view cart purchase": (1, 1, 1, 1, 1),
        "view purchase cart": (1, 1, 1, 1, 0),
        "view purchase": (1, 0, 1, 0, 0),
        "cart purchase": (0, 1, 1, 0, 0),
        "cart purchase view cart purchase view": (1, 1, 1, 1, 1),
        "search": (0, 0, 0, 0, 0),
    }
    visits = [
        visit(f"s{n}", n, *(step(kind, None if kind == "search" else "i1") for kind in kinds.split()), campaign=kinds)
        for n, kinds in enumerate(expected)
    ]
    rows = built(spark, FUNNELS, visits, conf=changed(top_campaigns=len(expected)))
    names = ("num_sessions", "num_viewed", "num_carted", "num_bought", "num_viewed_carted", "num_viewed_carted_bought")
    found = {row["campaign"]: line(row, *names) for row in rows if line(row, *FUNNELS.key[:2]) == ("(all)", "(all)")}
    assert found.pop("(all)") == (9, 7, 7, 8, 5, 3)
    assert found == {kinds: (1, *counts) for kinds, counts in expected.items()}


def test_categories_and_campaigns_beyond_the_top_are_others(spark: SparkSession) -> None:
    """What reads like a mark is never at the top; b and c tie, and so do tea and cups."""
    named = ("a", "b", "b", "(all)", "(all)", "(all)", "c", "c")
    visits = [
        visit(f"s{n}", n, step("view", f"i{n % 4 + 1}"), visitor=f"d{n}", campaign=name) for n, name in enumerate(named)
    ]
    items = [item("i1", "tea", 5), item("i2", "cups", 5), item("i3", "(none)", 9), item("i4", "pots", 2)]
    conf = changed(top_categories=1, top_campaigns=1)
    found = numbers(built(spark, FUNNELS, visits, items=items, conf=conf), *FUNNELS.key)
    campaigns = {key[2]: row[0] for key, row in found.items() if key[:2] == ("(all)", "(all)")}
    assert campaigns == {"(all)": 8, "(other)": 6, "b": 2}
    categories = {key[1]: row[0] for key, row in found.items() if (key[0], key[2]) == ("(all)", "(all)")}
    assert categories == {"(all)": 8, "cups": 2, "(other)": 6}


def test_a_session_in_two_other_categories_counts_once(spark: SparkSession) -> None:
    items = [item("i1", "tea", 9), item("i2", "cups", 2), item("i3", "pots", 1)]
    one = visit("a", 0, step("view", "i2"), step("cart", "i3"))
    found = numbers(built(spark, FUNNELS, [one], items=items, conf=changed(top_categories=1)), *FUNNELS.key)
    assert found["web", "(other)", "(none)"] == (1, 1, 1, 0, 1, 0, 0, 1)
    assert ("web", "tea", "(none)") not in found


def test_without_items_every_category_is_none(spark: SparkSession) -> None:
    found = built(spark, CART_ABANDONMENT, SHOP, items=[])
    assert {row["category"] for row in found} == {"(all)", "(none)"}


def test_transitions_by_hand(spark: SparkSession) -> None:
    found = numbers(built(spark, DECISION_TRANSITIONS, SHOP), "platform", "from_kind", "to_kind")
    assert {key[1:]: row for key, row in found.items() if key[0] == "web"} == {
        ("(start)", "view"): (1, 3),
        ("(start)", "search"): (1, 3),
        ("(start)", "purchase"): (1, 3),
        ("search", "view"): (1, 1),
        ("view", "view"): (2, 4),
        ("view", "cart"): (2, 4),
        ("cart", "purchase"): (1, 2),
        ("cart", "(end)"): (1, 2),
        ("purchase", "purchase"): (2, 4),
        ("purchase", "return"): (1, 4),
        ("purchase", "(end)"): (1, 4),
        ("return", "return"): (1, 2),
        ("return", "cancel"): (1, 2),
        ("cancel", "(end)"): (1, 1),
    }
    assert found["(all)", "(start)", "view"] == (2, 5)
    assert found["app", "view", "(end)"] == (1, 1)  # impressions are no steps


def test_a_session_without_steps_starts_and_ends(spark: SparkSession) -> None:
    only = [visit("a", 0, step("impression", "i1"))]
    assert numbers(built(spark, DECISION_TRANSITIONS, only), "platform", "from_kind", "to_kind") == {
        (platform, "(start)", "(end)"): (1, 1) for platform in ("web", "(all)")
    }
    assert [line(row, "path", "num_sessions") for row in built(spark, DECISION_PATHS, only)] == [("(none)", 1)] * 2


def test_paths_by_hand(spark: SparkSession) -> None:
    found = numbers(built(spark, DECISION_PATHS, SHOP, conf=changed(path_max_steps=4)), "platform", "path")
    # paths, sessions, with a purchase, all sessions
    assert found == {
        ("web", "view>cart"): (1, 1, 0, 3),
        ("web", "search>view>view>cart>…"): (1, 1, 1, 3),
        ("web", "purchase>purchase>return>cancel"): (1, 1, 1, 3),
        ("app", "purchase"): (1, 1, 1, 2),
        ("app", "view"): (1, 1, 0, 2),
        ("(all)", "view>cart"): (1, 1, 0, 5),
        ("(all)", "search>view>view>cart>…"): (1, 1, 1, 5),
        ("(all)", "purchase>purchase>return>cancel"): (1, 1, 1, 5),
        ("(all)", "purchase"): (1, 1, 1, 5),
        ("(all)", "view"): (1, 1, 0, 5),
    }


def test_what_a_path_leaves_out(spark: SparkSession) -> None:
    """Kinds with the number of their item -> longest run and most steps -> path."""
    expected = {
        "view1 view1 view1": {(2, 8): "view"},
        "view1 view2 view1": {(2, 8): "view>view", (1, 8): "view"},
        "view1 view2 view1 cart1 view1": {(1, 8): "view>cart>view"},
        "view1 cart1 view1 cart1": {(1, 8): "view>cart>view>cart"},
        "view1 view2 view3 view4 cart4": {(3, 8): "view>view>view>cart", (2, 8): "view>view>cart"},
        "search search search view1": {(2, 8): "search>search>view"},
        "view1 cart1 purchase1": {(2, 3): "view>cart>purchase", (2, 2): "view>cart>…"},
        "view1 view2 impression9 view2": {(2, 8): "view>view"},
        "click1": {(2, 8): "(none)"},
    }
    visits = [
        visit(
            f"s{n}", n, *(step(kind.rstrip("1234569"), kind.lstrip(ascii_lowercase) or None) for kind in kinds.split())
        )
        for n, kinds in enumerate(expected)
    ]
    sessions = frame(spark, SESSIONS, sessions_of(visits))
    events = prep.people_events(frame(spark, SESSION_EVENTS, events_of(visits)), sessions)
    limits = sorted({limit for paths in expected.values() for limit in paths})
    steps = prep.steps_from(events, CONF.path_kinds)
    rows = steps.select("session_id", *[path_of(*limit).alias(str(limit)) for limit in limits]).collect()
    found = {row["session_id"]: row for row in rows}
    for one, (kinds, paths) in zip(visits, expected.items(), strict=True):
        row = found[one.session["session_id"]]
        assert {limit: row[str(limit)] for limit in paths} == paths, kinds


def test_equally_common_paths_rank_by_name(spark: SparkSession) -> None:
    kinds = ("view", "view", "cart", "purchase", "search")
    visits = [visit(f"s{n}", n, step(kind, "i1"), visitor=f"d{n}") for n, kind in enumerate(kinds)]
    found = numbers(built(spark, DECISION_PATHS, visits, conf=changed(top_paths=3)), "platform", "path")
    assert {key[1]: row for key, row in found.items() if key[0] == "web"} == {
        "view": (1, 2, 0, 5),
        "cart": (1, 1, 0, 5),
        "purchase": (1, 1, 1, 5),
        "(other)": (1, 1, 0, 5),
    }


def test_times_by_hand(spark: SparkSession) -> None:
    visits = [
        visit("a", -30 * DAYS + 12, step("view", "i1"), step("view", "i9"), visitor="d1", login="ann"),
        visit("b", -2 * DAYS, step("view", "i1"), visitor="d2", login="ann", platform="app"),
        # i1 is bought after 10 minutes and first seen 29 days and 23:58 before, i2 after 12, i3 is never seen before
        visit(
            "c",
            0,
            step("view", "i2"),
            step("purchase", "i1", 10),
            step("purchase", "i2", 2),
            step("purchase", "i2", 5),
            step("purchase", "i3", 0),
            step("view", "i3"),
            visitor="d1",
            login="ann",
        ),
        # half an hour later neither the view of i9 nor that session is within 30 days
        visit("d", 30, step("purchase", "i9", 0), visitor="d1", login="ann", platform="app"),
        visit("e", 30, step("view", "i1"), step("purchase", "i1", 3), visitor="d7"),
    ]
    whole, app, web = built(spark, DECISION_TIMES, visits)

    def percentiles(name: str) -> tuple[Any, ...]:
        return line(whole, *(f"{name}_{which}" for which in ("p25", "median", "p75", "p90")))

    assert line(whole, "num_bought_items", "num_viewed_items", "num_sessions", "num_first_sessions") == (5, 3, 3, 1)
    assert percentiles("minutes_from_view") == (7.5, 12.0, 21605.0, pytest.approx(34560.8))  # 3, 12, 43198
    assert percentiles("minutes_from_start") == (1.5, 3.0, 6.5, pytest.approx(8.6))  # 0, 3, 10
    assert percentiles("sessions_before") == (1.0, 2.0, 2.0, 2.0)  # e: none; c: a and b; d: b and c
    names = ("num_bought_items", "num_viewed_items", "minutes_from_view_median", "minutes_from_start_median")
    assert line(app, "platform", *names, "sessions_before_median") == ("app", 1, 0, None, 0.0, 2.0)
    assert line(web, "platform", *names[:3], "num_sessions") == ("web", 4, 3, 12.0, 2)


def test_a_day_without_a_purchase_has_a_row_of_nothing(spark: SparkSession) -> None:
    rows = built(spark, DECISION_TIMES, [visit("a", 0, step("view", "i1"))])
    assert [row["platform"] for row in rows] == ["(all)", "web"]
    for row in rows:
        counts = {"num_bought_items": 0, "num_viewed_items": 0, "num_sessions": 0, "num_first_sessions": 0}
        rest = {name: value for name, value in row.items() if name not in {"dt", "platform", "known_days", *counts}}
        assert {name: row[name] for name in counts} == counts
        assert set(rest.values()) == {None}


CARTS = [
    # bought an hour later on another device
    visit("a", 0, step("cart", "i1"), visitor="d1", login="ann"),
    visit("b", 60, step("purchase", "i1"), visitor="d2", login="ann", platform="app"),
    # left; bought by somebody else, and by herself only the minute after a week
    visit("c", 0, step("cart", "i1", quantity=2, price=3.0), step("cart", "i1", price=5.0), visitor="d3"),
    visit("d", 5, step("purchase", "i1"), visitor="d4"),
    visit("e", 7 * DAYS + 1, step("purchase", "i1"), visitor="d3"),
    # taken out, put back, and bought five days later; another taken out for good
    visit(
        "f",
        10,
        step("cart", "i3", quantity=9),
        step("uncart", "i3"),
        step("cart", "i3", quantity=2),
        step("cart", "i2"),
        step("uncart", "i2"),
        step("uncart", "i4"),
        visitor="d5",
    ),
    visit("g", 5 * DAYS, step("purchase", "i3"), visitor="d5"),
    # no price at all
    visit("h", 20, step("cart", "i4"), visitor="d6", platform="app"),
    # the purchase came before the cart; one at the same instant
    visit(
        "i", 30, step("purchase", "i1"), step("cart", "i1"), step("purchase", "i3"), step("cart", "i3", 0), visitor="d7"
    ),
    visit("m", 0, step("cart", "i1"), visitor="d8", bot="rate"),
]


def test_carts_by_hand(spark: SparkSession) -> None:
    late = NOON + timedelta(days=30)
    found = numbers(built(spark, CART_ABANDONMENT, CARTS, until=late), "platform", "category")
    # carts; lines = bought + removed + abandoned + open; recovered, unpriced; abandoned, recovered and left value
    assert found == {
        ("(all)", "(all)"): (5, 7, 2, 1, 4, 0, 1, 1, 35.0, 20.0, 15.0),
        ("(all)", "tea"): (4, 4, 1, 1, 2, 0, 0, 0, 15.0, 0.0, 15.0),
        ("(all)", "pots"): (2, 2, 1, 0, 1, 0, 1, 0, 20.0, 20.0, 0.0),
        ("(all)", "(none)"): (1, 1, 0, 0, 1, 0, 0, 1, 0.0, 0.0, 0.0),
        ("web", "(all)"): (4, 6, 2, 1, 3, 0, 1, 0, 35.0, 20.0, 15.0),
        ("web", "tea"): (4, 4, 1, 1, 2, 0, 0, 0, 15.0, 0.0, 15.0),
        ("web", "pots"): (2, 2, 1, 0, 1, 0, 1, 0, 20.0, 20.0, 0.0),
        ("app", "(all)"): (1, 1, 0, 0, 1, 0, 0, 1, 0.0, 0.0, 0.0),
        ("app", "(none)"): (1, 1, 0, 0, 1, 0, 0, 1, 0.0, 0.0, 0.0),
    }


def test_a_cart_is_open_until_its_time_is_over(spark: SparkSession) -> None:
    """Each item is a category of its own."""
    microsecond = 1e-6 / 60
    visits = [
        visit("a", 0, step("cart", "over", price=2.0)),
        visit("b", microsecond, step("cart", "open", price=2.0)),
        visit("c", 0, step("cart", "bought"), step("cart", "late", price=3.0)),
        visit("d", DAYS, step("purchase", "bought")),
        visit("e", DAYS + 1 + microsecond, step("purchase", "late")),
        visit("f", 0, step("cart", "last", 0, price=4.0), step("cart", "lost", 0, price=5.0)),
        visit("g", 7 * DAYS, step("purchase", "last", 0), step("purchase", "lost", microsecond)),
    ]
    names = ("over", "open", "bought", "late", "last", "lost")
    rows = built(
        spark,
        CART_ABANDONMENT,
        visits,
        until=NOON + timedelta(hours=24),
        items=[item(name, name) for name in names],
    )
    fates = ("num_bought", "num_abandoned", "num_open", "num_recovered", "value_left")
    assert {row["category"]: line(row, *fates) for row in rows if row["platform"] == "web"} == {
        "(all)": (1, 3, 2, 1, 7.0),
        "over": (0, 1, 0, 0, 2.0),
        "open": (0, 0, 1, 0, 0.0),
        "bought": (1, 0, 0, 0, 0.0),
        "late": (0, 0, 1, 0, 0.0),
        "last": (0, 1, 0, 1, 0.0),
        "lost": (0, 1, 0, 0, 5.0),
    }


def test_a_cart_may_have_to_be_bought_within_sessions(spark: SparkSession) -> None:
    """In the next session is soon enough, in the one after it is not."""
    visits = [
        visit("a", 0, step("cart", "i1"), step("cart", "i3")),
        visit("b", 60, step("purchase", "i1")),
        visit("c", 120, step("purchase", "i3")),
    ]
    conf = changed(cart_sessions=2)
    found = numbers(
        built(spark, CART_ABANDONMENT, visits, until=NOON + timedelta(days=9), conf=conf), "platform", "category"
    )
    assert (found["web", "tea"][:3], found["web", "pots"][:3]) == ((1, 1, 1), (1, 1, 0))
    assert found["web", "pots"][6] == 1  # recovered


def test_a_day_without_a_cart_has_a_row_of_nothing(spark: SparkSession) -> None:
    found = numbers(built(spark, CART_ABANDONMENT, [visit("a", 0, step("view", "i1"))]), "platform", "category")
    nothing = (0,) * 8 + (0.0,) * 3
    assert found == {("(all)", "(all)"): nothing, ("web", "(all)"): nothing}


# -- who is one person


def test_a_person_is_one_on_all_devices(spark: SparkSession) -> None:
    """Views without a login on the phone, a cart on the tablet, bought with the login on a computer."""
    visits = [
        visit("a", -120, step("view", "i1"), visitor="phone"),
        visit("b", -60, step("cart", "i1"), visitor="tablet", platform="app"),
        visit("c", 0, step("purchase", "i1", 0), visitor="computer", login="ann"),
        visit("d", 0, step("view", "i1"), visitor="stranger"),
    ]
    ann = {DAY: {"phone": "ann", "tablet": "ann"}}
    names = ("num_visitors", "num_persons", "num_logged_in_persons")
    assert line(built(spark, DAILY_KPIS, visits, persons=ann)[0], *names) == (4, 2, 1)
    times = built(spark, DECISION_TIMES, visits, persons=ann)[0]
    assert line(times, "num_viewed_items", "minutes_from_view_median", "sessions_before_median") == (1, 120.0, 2.0)
    carts = built(spark, CART_ABANDONMENT, visits, persons=ann, conf=changed(cart_sessions=2))[0]
    assert line(carts, "num_lines", "num_bought") == (1, 1)


def test_what_is_known_of_persons_on_a_day(spark: SparkSession) -> None:
    monday, tuesday, wednesday, thursday = (DAY + timedelta(days=n) for n in range(4))
    rows = [
        ("ann", "ann", monday),
        ("phone", "ann", monday),
        ("phone", "phone", wednesday),  # shared, it turned out
        ("tablet", "bob", wednesday),
        ("tablet", "ann", thursday),
        ("bob", "ann", thursday),
    ]
    identity = spark.createDataFrame(
        [(member, "device", person, day, person, 2, None) for member, person, day in rows], spark_ddl(IDENTITY)
    )
    as_of = {monday - timedelta(days=1): monday - timedelta(days=1), tuesday: tuesday, wednesday: thursday}
    found = {(row["dt"], row["member_id"], row["person_id"]) for row in prep.persons_on(identity, as_of).collect()}
    assert found == {(tuesday, "phone", "ann"), (wednesday, "tablet", "ann"), (wednesday, "bob", "ann")}
    # The same as asking for one day.
    latest = {row["member_id"]: row["person_id"] for row in one_day(identity, thursday).collect()}
    assert latest == {"ann": "ann", "phone": "phone", "tablet": "ann", "bob": "ann"}


# -- against the definitions


def defined(
    table: Table,
    visits: Sequence[Visit],
    day: date,
    items: list[Row],
    conf: Marts,
    until: datetime,
    persons: Persons = {},  # noqa: B006 - nobody writes to it
) -> list[Row]:
    of_day = persons.get(day, {})
    rows = {
        DAILY_KPIS.name: lambda: plain.daily_kpis(visits, day, conf, of_day),
        FUNNELS.name: lambda: plain.funnels(visits, day, items, conf),
        DECISION_TRANSITIONS.name: lambda: plain.transitions(visits, day, conf),
        DECISION_PATHS.name: lambda: plain.paths(visits, day, conf),
        DECISION_TIMES.name: lambda: plain.times(visits, day, conf, of_day),
        CART_ABANDONMENT.name: lambda: plain.carts(visits, day, items, conf, until, of_day),
    }[table.name]()
    return in_order(table, [{name: row[name] for name in table.names} for row in rows])


def close(row: Row) -> Row:
    """Percentiles are interpolated in doubles."""
    return {k: pytest.approx(v, rel=1e-12) if isinstance(v, float) else v for k, v in row.items()}


NARROW = changed(
    lookback_days=2,
    top_categories=2,
    top_campaigns=2,
    top_paths=4,
    path_max_run=1,
    path_max_steps=3,
    cart_hours=30,
    cart_sessions=2,
    recovery_days=3,
)


@pytest.mark.parametrize("table", MARTS, ids=lambda table: table.name)
@pytest.mark.parametrize("conf", [CONF, NARROW], ids=["default", "narrow"])
def test_random_logs_equal_the_definition(spark: SparkSession, table: Table, conf: Marts) -> None:
    visits = random_visits(20010115, 220, num_days=6)
    days, until = days_of(visits)[1:], NOON + timedelta(days=4, hours=1)
    categories = ("tea", "tea", "pots", "cups", None, "(all)", "cups")
    items = [item(f"i{n}", name, 10 - n, price=(None, 1.5, 0.3)[n % 3]) for n, name in enumerate(categories)]
    # d0 to d5 turn out to be somebody's, one a day
    persons = {day: {f"d{device}": f"u{device % 3}" for device in range(n)} for n, day in enumerate(days)}
    found = built(spark, table, visits, days=days, items=items, conf=conf, until=until, persons=persons)
    expected = [row for day in days for row in defined(table, visits, day, items, conf, until, persons)]
    assert len(expected) > 2 * len(days)
    assert [line(row, "dt", *table.key) for row in found] == [line(row, "dt", *table.key) for row in expected]
    for row, wanted in zip(found, expected, strict=True):
        assert row == close(wanted)


@pytest.mark.parametrize("table", MARTS, ids=lambda table: table.name)
def test_a_day_alone_equals_the_day_among_others(spark: SparkSession, table: Table) -> None:
    """Nor does the order of the rows matter."""
    visits, day = random_visits(7, 120, num_days=4), DAY + timedelta(days=2)
    until = NOON + timedelta(days=9)
    alone = built(spark, table, list(reversed(visits)), days=[day], conf=NARROW, until=until)
    assert alone == [close(row) for row in defined(table, visits, day, ITEM_ROWS, NARROW, until)]
