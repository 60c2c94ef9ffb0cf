"""Facts of the analysis tables: do they add up, and do they tell of the same sessions as the sessions table?"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import reduce
from typing import TYPE_CHECKING, Any

from nightjar.contracts import (
    CART_ABANDONMENT,
    DAILY_KPIS,
    DECISION_PATHS,
    DECISION_TIMES,
    DECISION_TRANSITIONS,
    FUNNELS,
    Kind,
    Table,
)
from nightjar.contracts.marts import ALL, START
from nightjar.quality.facts import Trailing, _compared, _measured
from nightjar.quality.history import Facts, ratio_to_median, same_kind
from nightjar.settings import Gate

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

#: (day, platform or ALL) -> what the sessions table says of it.
Totals = dict[tuple[date, str], dict[str, Any]]

_KINDS = ("num_views", "num_searches", "num_carts", "num_purchases")
_FUNNEL = tuple(name for name in FUNNELS.names if name.startswith("num_"))
_FATES = ("num_bought", "num_removed", "num_abandoned", "num_open")
_KEPT_OF_KPIS = ("num_visitors", "num_persons", "num_sessions", "num_orders", "num_bot_sessions")

#: Whose rows under ALL are sums: the dimension, the columns beside it, what is summed.
_SUMS: dict[str, list[tuple[str, tuple[str, ...], Sequence[str]]]] = {
    DAILY_KPIS.name: [
        (
            "platform",
            (),
            (
                "num_sessions",
                "num_bounces",
                "num_sessions_with_cart",
                "num_sessions_with_purchase",
                "num_events",
                "num_pieces",
                "num_returned_pieces",
                "num_cancelled_pieces",
                "num_unpriced_purchases",
                "num_bot_sessions",
                "num_bot_events",
            ),
        )
    ],
    FUNNELS.name: [("platform", ("category", "campaign"), _FUNNEL), ("campaign", ("platform", "category"), _FUNNEL)],
    DECISION_TRANSITIONS.name: [("platform", ("from_kind", "to_kind"), ("num_transitions",))],
    DECISION_PATHS.name: [],
    DECISION_TIMES.name: [
        ("platform", (), ("num_bought_items", "num_viewed_items", "num_sessions", "num_first_sessions"))
    ],
    CART_ABANDONMENT.name: [
        ("platform", ("category",), ("num_carts", "num_lines", *_FATES, "num_recovered", "num_unpriced")),
        ("category", ("platform",), ("num_lines", *_FATES, "num_recovered", "num_unpriced")),
    ],
}


def session_totals(sessions: DataFrame) -> Totals:
    """What the sessions table says of each day and platform, as the analysis tables have to say it."""
    from pyspark.sql import functions as F

    person = ~F.col("is_bot")
    revenue = F.sum(F.when(person, F.col("revenue").cast("decimal(28,6)"))).cast("double")
    measures = [
        F.count_distinct(F.when(person, F.col("visitor_id"))).alias("num_visitors"),
        F.count_if(person).alias("num_sessions"),
        *[_sum_if(person, name).alias(name) for name in ("num_events", *_KINDS)],
        F.count_if(person & (F.col("num_views") > 0)).alias("num_viewed"),
        F.count_if(person & (F.col("num_carts") > 0)).alias("num_sessions_with_cart"),
        F.count_if(person & (F.col("num_purchases") > 0)).alias("num_sessions_with_purchase"),
        F.coalesce(revenue, F.lit(0.0)).alias("revenue"),
        F.count_if(~person).alias("num_bot_sessions"),
        _sum_if(~person, "num_events").alias("num_bot_events"),
    ]
    by_platform = sessions.groupBy("dt", "platform").agg(*measures)
    of_days = sessions.groupBy("dt").agg(*measures).withColumn("platform", F.lit(ALL))
    rows = (row.asDict() for row in by_platform.unionByName(of_days).collect())
    return {(row.pop("dt"), row.pop("platform")): row for row in rows}


def mart_facts(table: Table, frame: DataFrame, totals: Totals, trailing: Trailing, *, gate: Gate) -> list[Facts]:
    """Facts of each day of one analysis table.

    Args:
        totals: from `session_totals`, of exactly the days that were written.
        trailing: facts of earlier days; only daily_kpis compares with them.
    """
    from pyspark.sql import functions as F

    measures = {"impossible_rows": F.count_if(F.coalesce(_impossible(table), F.lit(True)))}
    if table == DAILY_KPIS:
        of_day = F.col("platform") == ALL
        measures |= {name: F.sum(F.when(of_day, F.col(name))) for name in (*_KEPT_OF_KPIS, "revenue")}
    # Over all days that were written: the gate judges one of them.
    whole: Facts = {"unreconciled_rows": _unreconciled(table, frame, totals)}
    if _SUMS[table.name]:
        whole["broken_totals"] = sum(_broken_totals(frame, *sums) for sums in _SUMS[table.name])

    def compare(facts: Facts, earlier: list[Facts]) -> Facts:
        if table != DAILY_KPIS:
            return facts | whole
        return facts | whole | {"revenue_ratio": ratio_to_median(facts, "revenue", same_kind(facts, earlier))}

    return _compared(_measured(frame, table, measures, gate), trailing, gate, compare)


def _impossible(table: Table) -> Column:
    """True for a row that contradicts itself."""
    from pyspark.sql import functions as F

    negative = [F.col(column.name) < 0 for column in table.columns if column.type in ("int", "long", "double")]
    return reduce(lambda one, other: one | other, [*(F.coalesce(n, F.lit(False)) for n in negative), *_odd(table)])


def _odd(table: Table) -> list[Column]:
    from pyspark.sql import functions as F

    def more(part: str, whole: str) -> Column:
        return F.col(part) > F.col(whole)

    def differs(whole: str, *parts: str) -> Column:
        return F.col(whole) != reduce(lambda one, other: one + other, map(F.col, parts))

    if table == DAILY_KPIS:
        others = ("returns", "reviews", "coupons", "clicks", "impressions", "uncarts", "favourites", "cancels")
        kinds = [f"num_{name}" for name in others]
        assert len(_KINDS) + len(kinds) == len(Kind)
        return [
            differs("num_visitors", "num_new_visitors", "num_returning_visitors"),
            differs("num_events", *_KINDS, *kinds),
            more("num_logged_in_persons", "num_persons"),
            more("num_persons", "num_sessions"),
            more("num_bounces", "num_sessions"),
            more("num_sessions_with_cart", "num_sessions"),
            more("num_sessions_with_purchase", "num_sessions"),
            more("num_orders", "num_purchases"),
        ]
    if table == FUNNELS:
        return [
            more("num_viewed_carted_bought", "num_viewed_carted"),
            more("num_viewed_carted_bought", "num_bought"),
            more("num_viewed_carted", "num_viewed"),
            more("num_viewed_carted", "num_carted"),
            *(more(name, "num_sessions") for name in ("num_viewed", "num_carted", "num_bought")),
            differs("num_viewed", "num_viewed_carted", "num_lost_after_view"),
            differs("num_viewed_carted", "num_viewed_carted_bought", "num_lost_after_cart"),
        ]
    if table == DECISION_TRANSITIONS:
        return [more("num_transitions", "num_from"), F.col("num_transitions") < 1]
    if table == DECISION_PATHS:
        return [more("num_bought", "num_sessions"), more("num_sessions", "num_all_sessions"), F.col("num_paths") < 1]
    if table == DECISION_TIMES:
        falling = [
            F.coalesce(F.col(f"{name}_{low}") > F.col(f"{name}_{high}"), F.lit(False))
            for name in ("minutes_from_view", "minutes_from_start", "sessions_before")
            for low, high in (("p25", "median"), ("median", "p75"), ("p75", "p90"))
        ]
        return [
            more("num_viewed_items", "num_bought_items"),
            more("num_first_sessions", "num_sessions"),
            more("num_sessions", "num_bought_items"),
            F.col("minutes_from_view_median").isNull() != (F.col("num_viewed_items") == 0),
            F.col("minutes_from_start_median").isNull() != (F.col("num_sessions") == 0),
            F.col("sessions_before_median").isNull() != (F.col("num_sessions") == 0),
            *falling,
        ]
    assert table == CART_ABANDONMENT, table.name
    return [
        differs("num_lines", *_FATES),
        more("num_carts", "num_lines"),
        more("num_recovered", "num_abandoned"),
        more("num_unpriced", "num_abandoned"),
        more("value_recovered", "value_abandoned"),
    ]


def _unreconciled(table: Table, frame: DataFrame, totals: Totals) -> int:
    """Days and platforms of which the table says something else than the sessions table, or nothing."""
    found = {(row.pop("dt"), row.pop("platform")): row for row in _as_sessions_say(table, frame)}
    # Of a day without a person there is only the count of bots.
    due = {key: told for key, told in totals.items() if table == DAILY_KPIS or told["num_sessions"]}
    differs = [key for key in due if any(due[key][name] != value for name, value in found.get(key, {}).items())]
    return len(differs) + len(set(due) ^ set(found))


def _as_sessions_say(table: Table, frame: DataFrame) -> Iterable[dict[str, Any]]:
    """One row per day and platform with what `session_totals` knows, too, under its names."""
    from pyspark.sql import functions as F

    if table == DAILY_KPIS:
        names = ("num_visitors", "num_sessions", "num_events", *_KINDS, "revenue", "num_bot_sessions")
        more = ("num_sessions_with_cart", "num_sessions_with_purchase", "num_bot_events")
        rows = frame.select("dt", "platform", *names, *more)
    elif table == FUNNELS:
        told: Mapping[str, str] = {
            "num_sessions": "num_sessions",
            "num_viewed": "num_viewed",
            "num_carted": "num_sessions_with_cart",
            "num_bought": "num_sessions_with_purchase",
        }
        whole = frame.where((F.col("category") == ALL) & (F.col("campaign") == ALL))
        rows = whole.select("dt", "platform", *[F.col(ours).alias(theirs) for ours, theirs in told.items()])
    elif table == DECISION_TRANSITIONS:
        begun = frame.where(F.col("from_kind") == START)
        rows = begun.groupBy("dt", "platform").agg(F.sum("num_transitions").alias("num_sessions"))
    elif table == DECISION_PATHS:
        bought = F.sum("num_bought").alias("num_sessions_with_purchase")
        rows = frame.groupBy("dt", "platform").agg(F.sum("num_sessions").alias("num_sessions"), bought)
    elif table == DECISION_TIMES:
        rows = frame.select("dt", "platform", F.col("num_sessions").alias("num_sessions_with_purchase"))
    else:
        whole = frame.where(F.col("category") == ALL)
        rows = whole.select("dt", "platform", F.col("num_carts").alias("num_sessions_with_cart"))
    return [row.asDict() for row in rows.collect()]


def _broken_totals(frame: DataFrame, dimension: str, beside: Sequence[str], names: Sequence[str]) -> int:
    """Cells whose row under ALL is not the sum of the others."""
    from pyspark.sql import functions as F

    is_all = F.col(dimension) == ALL
    wrong = [
        _sum_if(is_all, name) != _sum_if(~is_all, name)  # an absent row is a sum of 0
        for name in names
    ]
    cells = frame.groupBy("dt", *beside).agg(reduce(lambda one, other: one | other, wrong).alias("wrong"))
    return int(cells.where("wrong").count())


def _sum_if(condition: Column, name: str) -> Column:
    from pyspark.sql import functions as F

    return F.coalesce(F.sum(F.when(condition, F.col(name))), F.lit(0))
