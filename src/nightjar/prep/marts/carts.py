"""What became of carts."""

from __future__ import annotations

from datetime import datetime, timedelta

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from nightjar.contracts import CART_ABANDONMENT, Kind
from nightjar.contracts.marts import ALL
from nightjar.prep.marts.dimensions import is_kind, total, with_all, with_member, with_members, worth
from nightjar.settings import Marts


def cart_abandonment_from(
    sessions: DataFrame,
    events: DataFrame,
    session_events: DataFrame,
    persons: DataFrame,
    *,
    until: datetime,
    conf: Marts,
) -> DataFrame:
    """One row per day, platform and category with a cart, and per day and platform with a session.

    A line is an item that a session put into the cart. It is bought, else taken out again, else left:
    still open while its time is not over at `until`, abandoned from then on.

    Args:
        sessions, session_events: of the days of `events`, as far after them as the settings look for
            purchases, and a session's length to either side.
        events: people's events with `category` and `list_price`, of the days that get rows.
        persons: from `persons_on`.
        until: the instant up to which the log is known, aware.
    """
    opened, hours = F.col("opened_ts"), timedelta(hours=conf.cart_hours)
    lines = _lines(events)
    first = _first_purchases(with_members(lines, persons), sessions, session_events)
    ends = lines.join(first, ["session_id", "item_id"], "left")
    soon = F.col("bought_ts") <= opened + F.lit(hours)
    if conf.cart_sessions:
        later = _sessions_later(with_members(ends, persons), sessions)
        ends = ends.join(later, ["session_id", "item_id"], "left").na.fill(0, ["sessions_later"])
        soon = soon & (F.col("sessions_later") < conf.cart_sessions)
    in_time = F.coalesce(soon, F.lit(False))
    left = ~in_time & (F.col("num_kept") > 0)
    is_open = left & (opened + F.lit(hours) > F.lit(until))
    abandoned = left & ~is_open
    late = F.col("bought_ts") <= opened + F.lit(timedelta(days=conf.recovery_days))
    recovered = abandoned & F.coalesce(late, F.lit(False))
    fates = {
        "num_lines": F.lit(True),
        "num_bought": in_time,
        "num_removed": ~in_time & ~left,
        "num_abandoned": abandoned,
        "num_open": is_open,
        "num_recovered": recovered,
        "num_unpriced": abandoned & F.col("is_unpriced"),
    }
    counted = (
        with_all(ends, "platform", "category")
        .groupBy("dt", "platform", "category")
        .agg(
            F.count_distinct("session_id").alias("num_carts"),
            *[F.count_if(fate).alias(name) for name, fate in fates.items()],
            total(F.when(abandoned, F.col("value"))).alias("value_abandoned"),
            total(F.when(recovered, F.col("value"))).alias("value_recovered"),
        )
    )
    days = (
        with_all(events.select("dt", "platform").distinct(), "platform").distinct().withColumn("category", F.lit(ALL))
    )
    values = {name: F.coalesce(name, F.lit(0)) for name in ("value_abandoned", "value_recovered")}
    return (
        days.join(counted, ["dt", "platform", "category"], "full")
        .na.fill(0, ["num_carts", *fates])
        .withColumn("value_left", values["value_abandoned"] - values["value_recovered"])
        .withColumns(values)
        .withColumns({name: F.col(name).cast("double") for name in (*values, "value_left")})
        .select(*CART_ABANDONMENT.names)
    )


def _lines(events: DataFrame) -> DataFrame:
    """One row per session and item put into its cart: when first, and what lay there in the end."""
    line = ("dt", "platform", "category", "member_id", "session_id", "start_ts", "item_id")
    whole = Window.partitionBy("session_id", "item_id").rowsBetween(
        Window.unboundedPreceding, Window.unboundedFollowing
    )
    emptied = F.max(F.when(is_kind(Kind.UNCART), F.col("position"))).over(whole)
    price = F.coalesce("price", "list_price")
    touched = events.where(F.col("kind").isin(Kind.CART.value, Kind.UNCART.value)).withColumn(
        "kept", is_kind(Kind.CART) & (F.col("position") > F.coalesce(emptied, F.lit(0)))
    )
    lines = touched.groupBy(*line).agg(
        F.min(F.when(is_kind(Kind.CART), F.col("event_ts"))).alias("opened_ts"),
        F.count_if("kept").alias("num_kept"),
        F.coalesce(F.max(F.col("kept") & price.isNull()), F.lit(False)).alias("is_unpriced"),
        total(F.when(F.col("kept"), worth(price))).alias("value"),
    )
    return lines.where(F.col("opened_ts").isNotNull())  # a removal alone opens none


def _first_purchases(lines: DataFrame, sessions: DataFrame, session_events: DataFrame) -> DataFrame:
    """session_id, item_id, bought_ts, bought_visit: the person's first purchase of the item at or after the line.

    `bought_visit` is the start and the name of its session: their order is that of the person's sessions.
    """
    visits = sessions.where(~F.col("is_bot")).select("session_id", F.struct("start_ts", "session_id").alias("visit"))
    bought = (
        with_member(session_events.where(~F.col("is_bot") & is_kind(Kind.PURCHASE)))
        .join(visits, "session_id")
        .select("member_id", "item_id", F.struct(F.col("event_ts").alias("at"), "visit").alias("purchase"))
    )
    return (
        lines.join(bought, ["member_id", "item_id"])
        .where(F.col("purchase.at") >= F.col("opened_ts"))
        .groupBy("session_id", "item_id")
        .agg(F.min("purchase").alias("first"))
        .select(
            "session_id", "item_id", F.col("first.at").alias("bought_ts"), F.col("first.visit").alias("bought_visit")
        )
    )


def _sessions_later(lines: DataFrame, sessions: DataFrame) -> DataFrame:
    """session_id, item_id, sessions_later: the person's sessions after the line's own, up to the one that bought."""
    visits = with_member(sessions.where(~F.col("is_bot"))).select(
        "member_id", F.struct("start_ts", "session_id").alias("visit")
    )
    own = F.struct("start_ts", "session_id")
    return (
        lines.join(visits, "member_id")
        .where((F.col("visit") > own) & (F.col("visit") <= F.col("bought_visit")))
        .groupBy("session_id", "item_id")
        .agg(F.count("*").alias("sessions_later"))
    )
