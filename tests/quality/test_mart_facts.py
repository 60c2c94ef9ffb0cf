"""Facts of the analysis tables: each way in which they can contradict themselves, or the sessions."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from tests.prep.small_visits import sessions_of, step, visit
from tests.quality.healthy import DAY, MART_ROWS, Row, table_frame

from nightjar.contracts import (
    CART_ABANDONMENT,
    DAILY_KPIS,
    DECISION_PATHS,
    DECISION_TIMES,
    DECISION_TRANSITIONS,
    FUNNELS,
    MARTS,
    SESSIONS,
    Table,
)
from nightjar.quality.marts import Totals, mart_facts, session_totals
from nightjar.settings import load_conf

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

GATE = load_conf().gate

TOLD = {
    "num_visitors": 2,
    "num_sessions": 2,
    "num_events": 5,
    "num_views": 2,
    "num_searches": 0,
    "num_carts": 2,
    "num_purchases": 1,
    "num_viewed": 2,
    "num_sessions_with_cart": 2,
    "num_sessions_with_purchase": 1,
    "revenue": 9.5,
    "num_bot_sessions": 1,
    "num_bot_events": 3,
}
TOTALS: Totals = {(DAY, "(all)"): TOLD, (DAY, "web"): TOLD}

each_table = pytest.mark.parametrize("table", MARTS, ids=lambda table: table.name)


def facts_of(
    spark: SparkSession, table: Table, rows: Iterable[Row], totals: Totals = TOTALS, trailing: Iterable[Row] = ()
) -> dict[date, dict[str, Any]]:
    found = mart_facts(table, table_frame(spark, table, list(rows), nullable=True), totals, trailing, gate=GATE)
    return {date.fromisoformat(str(row["dt"])): dict(row) for row in found}


def test_totals_by_hand(spark: SparkSession) -> None:
    visits = [
        visit("a", 0, step("view", "i1"), step("cart", "i1"), step("purchase", "i1", price=0.1, quantity=3)),
        visit("b", 60, step("view", "i1"), step("purchase", "i2", price=0.2), platform="app"),
        visit("c", 0, step("view", "i1"), step("view", "i1"), visitor="v2", bot="rate"),
        visit("d", 24 * 60, step("search"), visitor="v3"),
    ]
    totals = session_totals(table_frame(spark, SESSIONS, sessions_of(visits)))
    assert totals[DAY, "(all)"] == {
        "num_visitors": 1,
        "num_sessions": 2,
        "num_events": 5,
        "num_views": 2,
        "num_searches": 0,
        "num_carts": 1,
        "num_purchases": 2,
        "num_viewed": 2,
        "num_sessions_with_cart": 1,
        "num_sessions_with_purchase": 2,
        "revenue": 0.5,
        "num_bot_sessions": 1,
        "num_bot_events": 2,
    }
    tomorrow = DAY + timedelta(days=1)
    assert set(totals) == {(DAY, "(all)"), (DAY, "web"), (DAY, "app"), (tomorrow, "(all)"), (tomorrow, "web")}
    assert (totals[DAY, "app"]["revenue"], totals[tomorrow, "web"]["num_searches"]) == (0.2, 1)


@each_table
def test_a_healthy_day_adds_up(spark: SparkSession, table: Table) -> None:
    facts = facts_of(spark, table, MART_ROWS[table.name])[DAY]
    assert facts["num_rows"] == len(MART_ROWS[table.name])
    names = ("num_duplicate_keys", "impossible_rows", "unreconciled_rows", "broken_totals")
    assert {facts.get(name, 0) for name in names} == {0}
    if table == DAILY_KPIS:
        assert (facts["num_sessions"], facts["num_visitors"], facts["revenue"]) == (2, 2, 9.5)


CONTRADICTIONS: dict[str, list[Row]] = {
    DAILY_KPIS.name: [
        {"num_new_visitors": 2},
        {"num_views": 3},
        {"num_logged_in_persons": 3},
        {"num_persons": 3},
        {"num_bounces": 3},
        {"num_sessions_with_cart": 3},
        {"num_sessions_with_purchase": 3},
        {"num_orders": 2},
        {"revenue": -0.5},
        {"known_days": -1},
    ],
    FUNNELS.name: [
        {"num_viewed_carted_bought": 3},
        {"num_bought": 0},
        {"num_viewed": 1},
        {"num_carted": 1},
        {"num_carted": 3},
        {"num_sessions": 1},
        {"num_lost_after_view": 1},
        {"num_lost_after_cart": 0},
        {"num_lost_after_cart": -1},
    ],
    DECISION_TRANSITIONS.name: [{"num_transitions": 3}, {"num_transitions": 0}],
    DECISION_PATHS.name: [{"num_bought": 2}, {"num_all_sessions": 0}, {"num_paths": 0}],
    DECISION_TIMES.name: [
        {"num_viewed_items": 2},
        {"num_first_sessions": 2},
        {"num_bought_items": 0},
        {"minutes_from_view_median": None},
        {"minutes_from_start_median": None},
        {"sessions_before_median": None},
        {"minutes_from_view_p25": 1.5},
        {"minutes_from_start_p75": 3.0},
        {"sessions_before_p90": -1.0},
    ],
    CART_ABANDONMENT.name: [
        {"num_open": 1},
        {"num_carts": 3},
        {"num_recovered": 2},
        {"num_unpriced": 2},
        {"value_recovered": 6.0},
        {"value_left": -0.01},
    ],
}


@each_table
def test_every_contradiction_is_counted(spark: SparkSession, table: Table) -> None:
    """One day each, whose first row contradicts itself."""
    first, *others = MART_ROWS[table.name]
    days = {DAY + timedelta(days=n): change for n, change in enumerate(CONTRADICTIONS[table.name])}
    rows = [row | {"dt": day} for day, change in days.items() for row in (first | change, *others)]
    facts = facts_of(spark, table, rows, {(day, platform): TOLD for day in days for platform in ("(all)", "web")})
    assert {day: found["impossible_rows"] for day, found in facts.items()} == dict.fromkeys(days, 1)


#: What the sessions table would have to say otherwise, per table.
OTHERWISE: dict[str, tuple[str, ...]] = {
    DAILY_KPIS.name: tuple(name for name in TOLD if name != "num_viewed"),
    FUNNELS.name: ("num_sessions", "num_viewed", "num_sessions_with_cart", "num_sessions_with_purchase"),
    DECISION_TRANSITIONS.name: ("num_sessions",),
    DECISION_PATHS.name: ("num_sessions", "num_sessions_with_purchase"),
    DECISION_TIMES.name: ("num_sessions_with_purchase",),
    CART_ABANDONMENT.name: ("num_sessions_with_cart",),
}


@each_table
def test_what_the_sessions_say_otherwise_is_counted(spark: SparkSession, table: Table) -> None:
    """One day for each number that differs, one that the table lacks, one that the sessions lack, one of bots."""
    names = [*OTHERWISE[table.name], "no_row", "no_session", "bots_only", "agrees"]
    days = {name: DAY + timedelta(days=n) for n, name in enumerate(names)}
    rows = [row | {"dt": day} for name, day in days.items() if name != "no_row" for row in MART_ROWS[table.name]]
    totals: Totals = {}
    for name, day in days.items():
        if name != "no_session":
            told = TOLD | ({name: TOLD[name] + 0.25} if name in TOLD else {})
            totals |= {(day, "(all)"): told, (day, "web"): TOLD}
    machines = dict.fromkeys(TOLD, 0) | {"num_bot_sessions": 1}
    rows = [row for row in rows if row["dt"] != days["bots_only"]]
    totals[days["bots_only"], "(all)"] = totals[days["bots_only"], "web"] = machines
    facts = facts_of(spark, table, rows, totals)
    # Of a day of bots only daily_kpis has rows.
    expected = len(OTHERWISE[table.name]) + 2 + 2 + (2 if table == DAILY_KPIS else 0)
    assert {found["unreconciled_rows"] for found in facts.values()} == {expected}


@pytest.mark.parametrize("table", [table for table in MARTS if table != DECISION_PATHS], ids=lambda table: table.name)
def test_totals_that_do_not_add_up_are_counted(spark: SparkSession, table: Table) -> None:
    *others, last = MART_ROWS[table.name]
    assert last["platform"] == "web"
    name = {DECISION_TRANSITIONS.name: "num_transitions", CART_ABANDONMENT.name: "num_lines"}.get(
        table.name, "num_sessions"
    )
    facts = facts_of(spark, table, [*others, last | {name: last[name] + 1}])[DAY]
    # funnels and carts add up in two directions
    assert facts["broken_totals"] == (2 if table in (FUNNELS, CART_ABANDONMENT) else 1)
    missing = facts_of(spark, table, others)[DAY]
    assert missing["broken_totals"] == facts["broken_totals"]


def test_revenue_is_compared_with_days_alike(spark: SparkSession) -> None:
    trailing = [{"dt": str(DAY - timedelta(days=back)), "revenue": 19.0} for back in range(1, 29)]
    facts = facts_of(spark, DAILY_KPIS, MART_ROWS[DAILY_KPIS.name], trailing=trailing)[DAY]
    assert facts["revenue_ratio"] == 0.5
