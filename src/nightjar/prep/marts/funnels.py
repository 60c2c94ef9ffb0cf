"""How far sessions get."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightjar.contracts import FUNNELS, Kind
from nightjar.contracts.marts import ALL
from nightjar.prep.marts.dimensions import is_kind, with_all, with_top

_STEPS = ("num_viewed", "num_carted", "num_bought", "num_viewed_carted", "num_viewed_carted_bought")


def funnels_from(events: DataFrame, *, top_campaigns: int) -> DataFrame:
    """Sessions by how far they get, per day, platform, category and campaign.

    A session is judged once by its events on items of each category, and once by all of its events:
    those are the rows of category ALL. Platform and campaign are one value per session, so their rows
    of ALL are sums.

    Args:
        events: people's events with `category`.
    """
    cells = F.when(F.col("category").isNull(), F.array(F.lit(ALL))).otherwise(F.array("category", F.lit(ALL)))
    visits = events.select("dt", "campaign", "session_id").distinct()
    totals = visits.groupBy("dt", "campaign").agg(F.count("*").alias("total"))
    by_session = (
        events.withColumn("category", F.explode(cells))
        .groupBy("dt", "session_id", "platform", "campaign", "category")
        .agg(
            F.min(_position(Kind.VIEW)).alias("first_view"),
            F.collect_list(_position(Kind.CART)).alias("carts"),
            F.max(_position(Kind.PURCHASE)).alias("last_purchase"),
        )
        # The earliest addition after a view leaves most room for a purchase after it.
        .withColumn("next_cart", F.array_min(F.filter("carts", lambda cart: cart > F.col("first_view"))))
    )
    counted = (
        with_top(by_session, "campaign", totals, top=top_campaigns)
        .groupBy("dt", "platform", "category", "campaign")
        .agg(
            F.count("*").alias("num_sessions"),
            F.count("first_view").alias("num_viewed"),
            F.count_if(F.size("carts") > 0).alias("num_carted"),
            F.count("last_purchase").alias("num_bought"),
            F.count("next_cart").alias("num_viewed_carted"),
            F.count_if(F.col("last_purchase") > F.col("next_cart")).alias("num_viewed_carted_bought"),
        )
    )
    return (
        with_all(counted, "platform", "campaign")
        .groupBy("dt", "platform", "category", "campaign")
        .agg(*[F.sum(name).alias(name) for name in ("num_sessions", *_STEPS)])
        .withColumn("num_lost_after_view", F.col("num_viewed") - F.col("num_viewed_carted"))
        .withColumn("num_lost_after_cart", F.col("num_viewed_carted") - F.col("num_viewed_carted_bought"))
        .select(*FUNNELS.names)
    )


def _position(kind: Kind) -> Column:
    return F.when(is_kind(kind), F.col("position"))
