"""Sessions: visits without a long pause, rebuilt whole when events arrive.

A session ends after more than `gap` of silence, and it is cut where it would outlast `max_hours` or
`max_events`; what follows a cut is a new session. It is named by its first event. Both rules look
only from a session's first event onwards, so a rebuild that starts at any session's first event
finds the same boundaries as one that starts at the beginning of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta

import pandas as pd
from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightjar.contracts import SESSION_EVENTS, SESSIONS, Kind
from nightjar.prep.fingerprint import fingerprint
from nightjar.settings import Sessions

#: The total order of one person's events.
ORDER = ("event_ts", "event_id")

#: What sessions keep of an event.
_KEPT = [name for name in SESSION_EVENTS.names if name not in ("session_id", "dt", "position")]


def person() -> Column:
    """Who did it: the login, else the device."""
    return F.coalesce("user_id", "device_id")


def with_session(events: DataFrame, gap: timedelta) -> DataFrame:
    """Name each event's session by the session's first event, as far as silence decides.

    Exactly `gap` of silence stays in the session. One Exchange and one Sort in the plan.
    """
    by_user = Window.partitionBy("user_id").orderBy(*ORDER)
    so_far = by_user.rowsBetween(Window.unboundedPreceding, Window.currentRow)

    silence = F.col("event_ts") - F.lag("event_ts").over(by_user)
    opens = silence.isNull() | (silence > F.lit(gap))
    opener = F.when(opens, F.col("event_id"))
    return events.withColumn("session_id", F.last(opener, ignorenulls=True).over(so_far))


def with_cuts(events: DataFrame, max_hours: int, max_events: int) -> DataFrame:
    """Cut sessions that outlast a cap; `events` carry `session_id` from `with_session`.

    Where a cut falls depends on where the cut before it fell, which no window expresses; the few
    sessions that need one go through a scan in Python, every other row stays in Spark.
    """
    in_session = Window.partitionBy("user_id", "session_id").orderBy(*ORDER)
    elapsed = F.col("event_ts") - F.first("event_ts").over(in_session)
    over = (elapsed > F.lit(timedelta(hours=max_hours))) | (F.row_number().over(in_session) > max_events)
    long = F.broadcast(events.withColumn("_over", over).where("_over").select("session_id").distinct())

    def cut(rows: pd.DataFrame) -> pd.DataFrame:
        ordered = rows.sort_values(list(ORDER), kind="stable")
        return ordered.assign(session_id=_openers(ordered, max_hours, max_events))

    short = events.join(long, on="session_id", how="left_anti").select(*events.columns)
    recut = events.join(long, on="session_id", how="left_semi").select(*events.columns)
    return short.unionByName(recut.groupBy("session_id").applyInPandas(cut, recut.schema))


def _openers(rows: pd.DataFrame, max_hours: int, max_events: int) -> list[str]:
    """The cut rule itself, over one session's events in order."""
    cap = pd.Timedelta(hours=max_hours)
    names: list[str] = []
    opened_at, opener, position = None, "", 0
    for event_id, event_ts in zip(rows["event_id"], rows["event_ts"], strict=True):
        if opened_at is None or event_ts - opened_at > cap or position >= max_events:
            opened_at, opener, position = event_ts, event_id, 0
        position += 1
        names.append(opener)
    return names


def session_events_from(events: DataFrame, sessions: Sessions, time_zone: str) -> DataFrame:
    """Events (with `user_id` = the person) to the session_events contract."""
    named = with_session(events, timedelta(minutes=sessions.gap_minutes))
    cut = with_cuts(named, sessions.max_hours, sessions.max_events)
    in_order = Window.partitionBy("user_id", "session_id").orderBy(*ORDER)
    start = F.min("event_ts").over(in_order.rowsBetween(Window.unboundedPreceding, Window.unboundedFollowing))
    return (
        cut.withColumn("dt", F.to_date(F.from_utc_timestamp(start, time_zone)))
        .withColumn("position", F.row_number().over(in_order))
        .select(*SESSION_EVENTS.names)
    )


def sessions_from(session_events: DataFrame) -> DataFrame:
    """One row per session."""

    def num(kind: Kind) -> Column:
        return F.count(F.when(F.col("kind") == kind.value, 1)).cast("int").alias(f"num_{_PLURAL[kind]}")

    bought = F.when(
        F.col("kind") == Kind.PURCHASE.value, F.coalesce("price", F.lit(0.0)) * F.coalesce("quantity", F.lit(1))
    )
    grouped = session_events.groupBy("session_id", "user_id", "dt").agg(
        F.min("event_ts").alias("start_ts"),
        F.max("event_ts").alias("end_ts"),
        F.count("*").cast("int").alias("num_events"),
        *[num(kind) for kind in _PLURAL],
        F.count_distinct("item_id").cast("int").alias("num_items"),
        # Sums of doubles depend on the order of adding; hundredths in decimals do not.
        F.coalesce(F.sum(bought.cast("decimal(28,6)")), F.lit(0)).cast("double").alias("revenue"),
        F.min_by("platform", "position").alias("platform"),
        F.max(F.col("bot_rule").isNotNull()).alias("is_bot"),
    )
    return grouped.select(*SESSIONS.names)


_PLURAL = {Kind.VIEW: "views", Kind.SEARCH: "searches", Kind.CART: "carts", Kind.PURCHASE: "purchases"}


def changed(
    events: DataFrame, stored: DataFrame, time_zone: str, *, days: Sequence[date]
) -> tuple[DataFrame, DataFrame]:
    """What the stored sessions do not know yet: (events to add, stored rows that are gone or differ).

    An event differs when anything that sessions keep of it does: a drop that was sent again may
    correct a price, and late events may turn their actor into a bot.

    Args:
        events: all events of the touched days, `user_id` = the person.
        stored: session_events around those days.
        days: the touched days, also those without an event left.
    """
    same = ["event_id", "_content"]
    content = fingerprint(*_KEPT)
    now = events.withColumn("_content", content)
    stored_day = F.to_date(F.from_utc_timestamp("event_ts", time_zone))
    known = stored.where(stored_day.isin(list(days))).withColumn("_content", content)
    added = now.join(known.select(*same), same, "left_anti")
    removed = known.join(now.select(*same), same, "left_anti")
    return added.select(*events.columns), removed.select(*stored.columns)


def rebuilt(
    added: DataFrame, removed: DataFrame, stored: DataFrame, sessions: Sessions, time_zone: str
) -> tuple[DataFrame, DataFrame]:
    """Rebuild the sessions that changes touch: (their new rows, the stored rows they replace).

    A change at time t touches its person's sessions that end at t - gap or later: those before are
    cut off by silence on both sides, those after may start elsewhere once a cap shifts.
    """
    gap = timedelta(minutes=sessions.gap_minutes)
    changes = added.select("user_id", "event_ts").unionByName(removed.select("user_id", "event_ts"))
    since = changes.groupBy("user_id").agg((F.min("event_ts") - F.lit(gap)).alias("since"))
    ends = stored.groupBy("user_id", "session_id").agg(F.max("event_ts").alias("end_ts"))
    touched = ends.join(since, "user_id").where(F.col("end_ts") >= F.col("since")).select("user_id", "session_id")
    pulled = stored.join(touched, ["user_id", "session_id"], "left_semi").select(*stored.columns)
    gone = removed.select("event_id", "landed")
    kept = pulled.join(gone, ["event_id", "landed"], "left_anti").select(*_KEPT)
    fresh = session_events_from(kept.unionByName(added.select(*_KEPT)), sessions, time_zone)
    return fresh, pulled
