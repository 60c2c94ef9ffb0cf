"""How people decide: what follows what within a session, and how long it takes to buy."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from functools import reduce

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightjar.contracts import DECISION_PATHS, DECISION_TIMES, DECISION_TRANSITIONS, Kind
from nightjar.contracts.marts import END, NONE, OTHER, START
from nightjar.prep.marts.dimensions import is_kind, known_days, with_all, with_member, with_members

_SHARES = {"p25": 0.25, "median": 0.5, "p75": 0.75, "p90": 0.9}


def steps_from(events: DataFrame, kinds: Sequence[Kind]) -> DataFrame:
    """One row per session of `events`: dt, platform, session_id, `steps` (kind, item_id) in order, `bought`.

    A session without an event of these kinds has no steps.
    """
    step = F.when(F.col("kind").isin(*[kind.value for kind in kinds]), F.struct("position", "kind", "item_id"))
    return events.groupBy("dt", "platform", "session_id").agg(
        F.sort_array(F.collect_list(step)).alias("steps"), F.max(is_kind(Kind.PURCHASE)).alias("bought")
    )


def decision_transitions_from(steps: DataFrame) -> DataFrame:
    """Every pair of kinds that follow each other, from START to END."""
    kinds = F.col("steps.kind")
    pairs = F.arrays_zip(
        F.concat(F.array(F.lit(START)), kinds).alias("from_kind"), F.concat(kinds, F.array(F.lit(END))).alias("to_kind")
    )
    cell = ("dt", "platform", "from_kind", "to_kind")
    counted = steps.select("dt", "platform", F.inline(pairs).alias("from_kind", "to_kind")).groupBy(*cell).count()
    leaving = Window.partitionBy("dt", "platform", "from_kind")
    return (
        with_all(counted, "platform")
        .groupBy(*cell)
        .agg(F.sum("count").alias("num_transitions"))
        .withColumn("num_from", F.sum("num_transitions").over(leaving))
        .select(*DECISION_TRANSITIONS.names)
    )


def decision_paths_from(steps: DataFrame, *, top: int, max_run: int, max_steps: int) -> DataFrame:
    """The `top` paths of each day and platform, ties by the path's text, and the others in one row."""
    cell = ("dt", "platform", "path")
    counted = (
        steps.withColumn("path", path_of(max_run, max_steps))
        .groupBy(*cell)
        .agg(F.count("*").alias("num_sessions"), F.count_if("bought").alias("num_bought"))
    )
    sums = [F.sum(name).alias(name) for name in ("num_sessions", "num_bought")]
    every = with_all(counted, "platform").groupBy(*cell).agg(*sums)
    platform = Window.partitionBy("dt", "platform")
    rank = F.row_number().over(platform.orderBy(F.col("num_sessions").desc(), "path"))
    named = every.withColumn("num_all_sessions", F.sum("num_sessions").over(platform)).withColumn(
        "path", F.when(rank <= top, F.col("path")).otherwise(OTHER)
    )
    return (
        named.groupBy(*cell, "num_all_sessions")
        .agg(F.count("*").alias("num_paths"), *sums)
        .select(*DECISION_PATHS.names)
    )


def path_of(max_run: int, max_steps: int) -> Column:
    """The text of `steps`: repeats on one item and the rest of long runs left out, cut after `max_steps`."""

    def goes_on(step: Column, position: Column) -> Column:
        before = F.get("steps", position - 1)
        repeats = (before["kind"] == step["kind"]) & (before["item_id"] == step["item_id"])
        return ~F.coalesce(repeats, F.lit(False))  # null before the first step, and where there is no item

    kinds = F.transform(F.filter("steps", goes_on), lambda step: step["kind"])

    def within_run(kind: Column, position: Column) -> Column:
        same = (F.get(kinds, position - back).eqNullSafe(kind) for back in range(1, max_run + 1))
        return ~reduce(Column.__and__, same)

    shown = F.filter(kinds, within_run)
    cut = F.concat(F.slice(shown, 1, max_steps), F.array(F.lit("…")))
    text = F.array_join(F.when(F.size(shown) > max_steps, cut).otherwise(shown), ">")
    return F.when(F.size("steps") == 0, NONE).otherwise(text)


def decision_times_from(
    sessions: DataFrame,
    events: DataFrame,
    session_events: DataFrame,
    persons: DataFrame,
    *,
    first_day: date,
    lookback_days: int,
) -> DataFrame:
    """One row per day and platform with a session, and one per day for all platforms.

    Args:
        sessions, session_events: of the days of `events`, of the lookback before and of a session's length before that.
        events: people's events of the days that get rows.
        persons: from `persons_on`.
    """
    lookback = timedelta(days=lookback_days)
    visit = ("dt", "platform", "session_id", "member_id", "start_ts")
    bought = events.where(is_kind(Kind.PURCHASE)).groupBy(*visit, "item_id").agg(F.min("event_ts").alias("bought_ts"))
    viewed = _first_views(with_members(bought, persons), session_events, lookback)
    items = bought.join(viewed, ["session_id", "item_id"], "left")
    buying = bought.groupBy(*visit).agg(F.min("bought_ts").alias("bought_ts"))
    before = _sessions_before(with_members(buying, persons), sessions, lookback)
    visits = buying.join(before, "session_id", "left").na.fill(0, ["sessions_before"])
    of_items = (
        with_all(items, "platform")
        .groupBy("dt", "platform")
        .agg(
            F.count("*").alias("num_bought_items"),
            F.count("viewed_ts").alias("num_viewed_items"),
            _percentiles(_minutes("viewed_ts", "bought_ts")).alias("minutes_from_view"),
        )
    )
    of_visits = (
        with_all(visits, "platform")
        .groupBy("dt", "platform")
        .agg(
            F.count("*").alias("num_sessions"),
            F.count_if(F.col("sessions_before") == 0).alias("num_first_sessions"),
            _percentiles(_minutes("start_ts", "bought_ts")).alias("minutes_from_start"),
            _percentiles(F.col("sessions_before")).alias("sessions_before"),
        )
    )
    days = with_all(events.select("dt", "platform").distinct(), "platform").distinct()
    return (
        days.join(of_items, ["dt", "platform"], "left")
        .join(of_visits, ["dt", "platform"], "left")
        .na.fill(0, ["num_bought_items", "num_viewed_items", "num_sessions", "num_first_sessions"])
        .withColumn("known_days", known_days(first_day, lookback_days))
        .withColumns(
            {
                f"{name}_{which}": F.get(name, F.lit(place))
                for name in ("minutes_from_view", "minutes_from_start", "sessions_before")
                for place, which in enumerate(_SHARES)
            }
        )
        .select(*DECISION_TIMES.names)
    )


def _first_views(bought: DataFrame, session_events: DataFrame, lookback: timedelta) -> DataFrame:
    """session_id, item_id, viewed_ts: the person's first view of what the session bought, within the lookback."""
    views = with_member(session_events.where(~F.col("is_bot") & is_kind(Kind.VIEW))).select(
        "member_id", "item_id", F.col("event_ts").alias("viewed_ts")
    )
    since = F.col("bought_ts") - F.lit(lookback)
    return (
        bought.join(views, ["member_id", "item_id"])
        .where(F.col("viewed_ts").between(since, F.col("bought_ts")))
        .groupBy("session_id", "item_id")
        .agg(F.min("viewed_ts").alias("viewed_ts"))
    )


def _sessions_before(buying: DataFrame, sessions: DataFrame, lookback: timedelta) -> DataFrame:
    """session_id, sessions_before: sessions of the person that started earlier, within the lookback.

    Of sessions that start at once on two devices none came first.
    """
    earlier = with_member(sessions.where(~F.col("is_bot"))).select("member_id", F.col("start_ts").alias("earlier_ts"))
    since = F.col("start_ts") - F.lit(lookback)
    return (
        buying.join(earlier, "member_id")
        .where((F.col("earlier_ts") >= since) & (F.col("earlier_ts") < F.col("start_ts")))
        .groupBy("session_id")
        .agg(F.count("*").alias("sessions_before"))
    )


def _minutes(start: str, end: str) -> Column:
    return (F.unix_micros(end) - F.unix_micros(start)) / F.lit(60e6)


def _percentiles(value: Column) -> Column:
    return F.percentile(value, list(_SHARES.values()))
