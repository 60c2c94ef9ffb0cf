"""Instants: where the shop's day ends, and what was known then."""

from __future__ import annotations

from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F


def shop_day(time_zone: str) -> Column:
    """The shop's day of an event itself: `dt` of session_events is the day its session starts."""
    return F.to_date(F.from_utc_timestamp("event_ts", time_zone))


def end_of(as_of: date, time_zone: str) -> Column:
    """The instant at which the shop's day is over."""
    return F.to_utc_timestamp(F.lit(as_of + timedelta(days=1)).cast("timestamp"), time_zone)


def is_known(as_of: date, days: int) -> Column:
    """Events of the last `days` up to the end of `as_of` that had landed by then; needs the column `day`.

    What arrived later is left out although it is known today: a model must not be trained on more
    than it will find in the night that it scores.
    """
    in_window = (F.col("day") <= F.lit(as_of)) & (F.col("day") > F.lit(as_of - timedelta(days=days)))
    return in_window & (F.col("landed") <= F.lit(as_of))


def of_people(session_events: DataFrame, time_zone: str) -> DataFrame:
    """Events outside bots' sessions, with `day`, the shop's day of the event."""
    return session_events.where(~F.col("is_bot")).withColumn("day", shop_day(time_zone))
