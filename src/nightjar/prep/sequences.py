"""Histories as of an instant, the vocabulary, and what came after."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightjar.contracts import CATEGORY_CODES, HOLDOUT, SEQUENCES, VOCABULARY, Kind, Platform

#: Consecutive events on one item are one entry; it keeps the kind that means most.
STRENGTH = (
    Kind.IMPRESSION,
    Kind.CLICK,
    Kind.VIEW,
    Kind.REVIEW,
    Kind.UNCART,
    Kind.FAVOURITE,
    Kind.CART,
    Kind.CANCEL,
    Kind.RETURN,
    Kind.PURCHASE,
)


def people(session_events: DataFrame) -> DataFrame:
    """Events of sessions that are no bot's."""
    return session_events.where(~F.col("is_bot"))


def entries(events: DataFrame, kinds: Sequence[Kind]) -> DataFrame:
    """Each person's item events in order, on all devices and platforms, runs on one item folded into one entry.

    An entry is a visit to an item: view, cart and purchase in a row are one entry of kind purchase,
    dated by its first event. Returns user_id, item_id, kind, event_ts, event_id, platform, session_id and
    session_start, the first of the session's events here.

    Args:
        events: session events whose user_id is the person.
    """
    by_user = Window.partitionBy("user_id").orderBy("event_ts", "event_id")
    so_far = by_user.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    is_chosen = F.col("item_id").isNotNull() & F.col("kind").isin(*[kind.value for kind in kinds])
    # One exchange for all windows: a session's events are its person's.
    by_person = events.where(is_chosen | (F.col("position") == 1)).repartition("user_id")
    session_start = F.min("event_ts").over(Window.partitionBy("user_id", "session_id"))
    chosen = by_person.withColumn("session_start", session_start).where(is_chosen)
    begins = F.coalesce(F.lag("item_id").over(by_user) != F.col("item_id"), F.lit(True))
    numbered = chosen.withColumn("_run", F.count(F.when(begins, 1)).over(so_far))
    first = F.struct("event_ts", "event_id")
    folded = numbered.groupBy("user_id", "_run", "item_id").agg(
        F.max_by("kind", _rank_of("kind", [kind.value for kind in STRENGTH])).alias("kind"),
        F.min("event_ts").alias("event_ts"),
        *[F.min_by(name, first).alias(name) for name in ("event_id", "platform", "session_id", "session_start")],
    )
    return folded.drop("_run")


def sequences_from(
    events: DataFrame, items: DataFrame, *, as_of: date, kinds: Sequence[Kind], max_events: int
) -> DataFrame:
    """One row per person with any event up to the end of `as_of`: the latest `max_events` entries.

    Args:
        events: session events of persons (see `identity.of_persons`), in the window; later days are
            ignored here, so that the instant is kept in one place.
        items: the items table as of the same day, for price buckets and categories.
    """
    past = events.where(F.col("event_dt") <= F.lit(as_of))
    visits = entries(past, kinds).join(items.select("item_id", "price_bucket", "category"), "item_id", "left")
    entry = F.struct(
        F.col("event_ts").alias("at"),
        "event_id",
        "item_id",
        _rank_of("kind", [kind.value for kind in Kind]).alias("kind"),
        _rank_of("platform", [platform.value for platform in Platform]).alias("platform"),
        F.struct("session_start", "session_id").alias("session"),
        F.coalesce("price_bucket", F.lit(0)).alias("price_bucket"),
        F.coalesce(F.crc32("category") % CATEGORY_CODES + 1, F.lit(0)).cast("int").alias("category_code"),
    )
    grouped = visits.groupBy("user_id").agg(F.sort_array(F.collect_list(entry)).alias("all"))
    latest = grouped.select(
        "user_id",
        F.size("all").alias("num_events"),
        F.slice("all", F.greatest(F.lit(1), F.size("all") - max_events + 1), max_events).alias("latest"),
    ).withColumn("sessions", F.array_sort(F.array_distinct("latest.session")))
    last_platform = F.max_by("platform", F.struct("event_ts", "event_id")).alias("last_platform")
    rows = past.groupBy("user_id").agg(last_platform).join(latest, "user_id", "left")
    arrays = rows.select(
        "user_id",
        "last_platform",
        F.coalesce("num_events", F.lit(0)).alias("num_events"),
        F.coalesce("latest", F.array().cast(latest.schema["latest"].dataType)).alias("latest"),
        "sessions",
    )
    whole = arrays.select("user_id", "num_events", "last_platform", F.lit(as_of).alias("dt"), *_arrays())
    return whole.select(*SEQUENCES.names)


def _arrays() -> list[Column]:
    # Sessions on two devices may interleave: they are numbered by their starts, not as entries meet them.
    ordinals = F.transform("latest.session", lambda session: F.array_position("sessions", session).cast("int"))
    return [
        F.col("latest.item_id").alias("item_ids"),
        F.col("latest.kind").alias("kinds"),
        F.transform("latest", lambda entry: F.unix_timestamp(entry["at"])).alias("event_ts"),
        F.col("latest.platform").alias("platforms"),
        ordinals.alias("session_ordinals"),
        F.col("latest.price_bucket").alias("price_buckets"),
        F.col("latest.category_code").alias("category_codes"),
    ]


def holdout_from(events: DataFrame, *, as_of: date, days: int, kinds: Sequence[Kind]) -> DataFrame:
    """What each person touched in the `days` after the end of `as_of`, in order."""
    later = events.where((F.col("event_dt") > F.lit(as_of)) & (F.col("event_dt") <= F.date_add(F.lit(as_of), days)))
    entry = F.struct(
        F.col("event_ts").alias("at"), "event_id", "item_id", _rank_of("kind", [k.value for k in Kind]).alias("kind")
    )
    grouped = entries(later, kinds).groupBy("user_id").agg(F.sort_array(F.collect_list(entry)).alias("latest"))
    return grouped.select(
        "user_id",
        F.lit(as_of).alias("dt"),
        F.col("latest.item_id").alias("item_ids"),
        F.col("latest.kind").alias("kinds"),
        F.transform("latest", lambda entry: F.unix_timestamp(entry["at"])).alias("event_ts"),
    ).select(*HOLDOUT.names)


def vocabulary_from(sequences: DataFrame, *, as_of: date, min_events: int) -> DataFrame:
    """Items of the training window with an index: the most frequent first, ties by item_id.

    One task numbers them: the catalogue, not the events, bounds its work.
    """
    counts = (
        sequences.select(F.explode("item_ids").alias("item_id"))
        .groupBy("item_id")
        .agg(F.count("*").alias("num_events"))
        .where(F.col("num_events") >= min_events)
    )
    frequency = Window.orderBy(F.col("num_events").desc(), "item_id")
    return (
        counts.withColumn("item_index", F.row_number().over(frequency))
        .withColumn("dt", F.lit(as_of))
        .select(*VOCABULARY.names)
    )


def _rank_of(column: str, values: Sequence[str]) -> Column:
    return F.array_position(F.array(*[F.lit(value) for value in values]), F.col(column)).cast("int")
