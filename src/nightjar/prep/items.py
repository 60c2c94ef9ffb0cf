"""Items as of a day, from what the log says of them up to then."""

from __future__ import annotations

from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightjar.contracts import ITEMS, Kind, Platform


def items_from(events: DataFrame, as_of: date, *, recent_days: int) -> DataFrame:
    """One row per item that people (not bots) touched on or before `as_of`.

    `num_recent` counts the last `recent_days`: the popularity of the baseline and of the fallback.
    `recent_by_platform` is the same, platform by platform.

    Facts such as title and price are the latest non-null ones in the order (event_ts, event_id).
    """
    known = events.where(F.col("item_id").isNotNull() & F.col("bot_rule").isNull() & (F.col("dt") <= F.lit(as_of)))
    recent = F.col("dt") > F.lit(as_of - timedelta(days=recent_days))
    grouped = known.groupBy("item_id").agg(
        *[_latest(F.try_element_at("attributes", F.lit(name))).alias(name) for name in ("title", "category", "brand")],
        _latest(F.col("price")).alias("price"),
        F.min("event_ts").alias("first_seen"),
        F.max("event_ts").alias("last_seen"),
        F.count("*").alias("num_events"),
        F.count(F.when(recent, 1)).alias("num_recent"),
        F.count(F.when(F.col("kind") == Kind.PURCHASE.value, 1)).alias("num_purchases"),
        F.array(*[F.count_if(recent & (F.col("platform") == one.value)) for one in Platform]).alias(
            "recent_by_platform"
        ),
    )
    return with_price_bucket(grouped).withColumn("dt", F.lit(as_of)).select(*ITEMS.names)


def with_price_bucket(items: DataFrame) -> DataFrame:
    """Decile of the price among priced items: 1 to 10, 0 without a price.

    By cut points (exact percentiles, a few numbers) instead of a rank over all items, which would
    pull the catalogue into one task.
    """
    cuts = items.agg(F.percentile("price", [share / 10 for share in range(1, 10)]).alias("cuts"))
    above = F.size(F.filter("cuts", lambda cut: F.col("price") > cut))
    bucket = F.when(F.col("price").isNull(), 0).otherwise(above + 1).cast("int")
    return items.crossJoin(F.broadcast(cuts)).withColumn("price_bucket", bucket).drop("cuts")


def _latest(value: Column) -> Column:
    order = F.struct("event_ts", "event_id")
    return F.max_by(value, F.when(value.isNotNull(), order))
