"""The day in numbers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightjar.contracts import DAILY_KPIS, Kind
from nightjar.prep.marts.dimensions import is_kind, known_days, total, with_all, with_member, with_person, worth

_PLURAL = {
    Kind.VIEW: "num_views",
    Kind.SEARCH: "num_searches",
    Kind.CART: "num_carts",
    Kind.PURCHASE: "num_purchases",
    Kind.RETURN: "num_returns",
    Kind.REVIEW: "num_reviews",
    Kind.COUPON: "num_coupons",
    Kind.CLICK: "num_clicks",
    Kind.IMPRESSION: "num_impressions",
    Kind.UNCART: "num_uncarts",
    Kind.FAVOURITE: "num_favourites",
    Kind.CANCEL: "num_cancels",
}


def daily_kpis_from(
    sessions: DataFrame,
    events: DataFrame,
    persons: DataFrame,
    *,
    days: Sequence[date],
    first_day: date,
    lookback_days: int,
) -> DataFrame:
    """One row per day and platform, and one per day for all of them.

    Who is new is decided by the visitors of the `lookback_days` before, not by a table of everybody who
    ever came: it costs one narrow column of those days, and a late event corrects it.

    Args:
        sessions: of `days` and the `lookback_days` before, bots included.
        events: people's events of `days`.
        persons: from `persons_on`.
        first_day: the log's first day.
    """
    visits = with_person(with_member(sessions.where(F.col("dt").isin(list(days)))), persons)
    rows = (
        visits.join(_of_session(events), ["session_id", "dt"], "left")
        .join(newness(sessions, lookback_days), ["visitor_id", "dt"], "left")
        .withColumn("_person", ~F.col("is_bot"))
    )
    counted = with_all(rows, "platform").groupBy("dt", "platform").agg(*_measures())
    return (
        counted.join(_orders(events), ["dt", "platform"], "left")
        .withColumn("num_orders", F.coalesce("num_orders", F.lit(0)))
        .withColumn("num_returning_visitors", F.col("num_visitors") - F.col("num_new_visitors"))
        .withColumn("known_days", known_days(first_day, lookback_days))
        .select(*DAILY_KPIS.names)
    )


def newness(sessions: DataFrame, lookback_days: int) -> DataFrame:
    """visitor_id, dt, is_new: whether the visitor had no session in the `lookback_days` before that day."""
    days = sessions.where(~F.col("is_bot")).select("visitor_id", "dt").distinct()
    before = F.lag("dt").over(Window.partitionBy("visitor_id").orderBy("dt"))
    return days.withColumn("is_new", before.isNull() | (F.datediff("dt", before) > lookback_days))


def _of_session(events: DataFrame) -> DataFrame:
    bought, returned, cancelled = (is_kind(kind) for kind in (Kind.PURCHASE, Kind.RETURN, Kind.CANCEL))
    pieces = F.coalesce("quantity", F.lit(1))
    return (
        events.groupBy("session_id", "dt")
        .agg(
            *[F.count_if(is_kind(kind)).alias(name) for kind, name in _PLURAL.items()],
            (F.count_if(~is_kind(Kind.IMPRESSION)) <= 1).alias("bounced"),
            total(F.when(bought, pieces)).alias("num_pieces"),
            F.count_if(bought & F.col("price").isNull()).alias("num_unpriced_purchases"),
            total(F.when(returned, pieces)).alias("num_returned_pieces"),
            total(F.when(returned, worth())).alias("returned_value"),
            total(F.when(cancelled, pieces)).alias("num_cancelled_pieces"),
            total(F.when(cancelled, worth())).alias("cancelled_value"),
        )
        .withColumnsRenamed({name: f"_{name}" for name in _PLURAL.values()})
    )


def _measures() -> list[Column]:
    """Over sessions of people and bots; what `_of_session` knows is null for bots."""
    person, has_login = F.col("_person"), F.col("user_id").isNotNull()

    def distinct(name: str, among: Column) -> Column:
        return F.count_distinct(F.when(person & among, F.col(name)))

    def summed(name: str) -> Column:
        return total(F.when(person, F.col(name)))

    anybody = F.lit(True)
    return [
        distinct("visitor_id", anybody).alias("num_visitors"),
        distinct("visitor_id", F.col("is_new")).alias("num_new_visitors"),
        distinct("person_id", anybody).alias("num_persons"),
        distinct("person_id", has_login).alias("num_logged_in_persons"),
        F.count_if(person).alias("num_sessions"),
        F.count_if(person & F.col("bounced")).alias("num_bounces"),
        F.count_if(person & (F.col("_num_carts") > 0)).alias("num_sessions_with_cart"),
        F.count_if(person & (F.col("_num_purchases") > 0)).alias("num_sessions_with_purchase"),
        summed("num_events").alias("num_events"),
        *[summed(f"_{name}").alias(name) for name in _PLURAL.values()],
        summed("num_pieces").alias("num_pieces"),
        total(F.when(person, F.col("revenue").cast("decimal(28,6)"))).cast("double").alias("revenue"),
        summed("num_unpriced_purchases").alias("num_unpriced_purchases"),
        summed("num_returned_pieces").alias("num_returned_pieces"),
        summed("returned_value").cast("double").alias("returned_value"),
        summed("num_cancelled_pieces").alias("num_cancelled_pieces"),
        summed("cancelled_value").cast("double").alias("cancelled_value"),
        F.count_if(~person).alias("num_bot_sessions"),
        total(F.when(~person, F.col("num_events"))).alias("num_bot_events"),
    ]


def _orders(events: DataFrame) -> DataFrame:
    # A struct: an order id must not meet the session id that stands for an absent one.
    order = F.struct("order_id", F.when(F.col("order_id").isNull(), F.col("session_id")).alias("session_id"))
    bought = events.where(is_kind(Kind.PURCHASE)).select("dt", "platform", order.alias("order")).distinct()
    return with_all(bought, "platform").groupBy("dt", "platform").agg(F.count_distinct("order").alias("num_orders"))
