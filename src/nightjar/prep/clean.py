"""Row rules, duplicates and bots.

One pass evaluates every rule as a boolean; a row that breaks none is kept, any other goes to the
quarantine with all its reasons. Rows read = kept + duplicates + quarantined, always.
"""

from __future__ import annotations

from datetime import date
from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightjar.contracts import EVENTS, QUARANTINE, ROW_RULES
from nightjar.contracts.rules import MALFORMED
from nightjar.prep.fingerprint import fingerprint
from nightjar.prep.pseudonyms import encrypted, pseudonym_column, with_key, without_key
from nightjar.settings import Clean, Source

#: Where rejected rows are filed whose day is unreadable in a file without drop days: they belong to
#: no night and must not get lost.
NO_DAY = date(1970, 1, 1)

#: Numbers by name.
Counts = dict[str, int]


def row_rules(clean: Clean, source: Source) -> dict[str, Column]:
    """Reason -> true where a mapped row breaks the rule: the contract's rules, then the source's own.

    The order is the order of `reasons`.
    """
    rules = {rule.name: rule.sql(clean=clean, source=source) for rule in ROW_RULES} | source.rejects
    return {reason: F.expr(sql) for reason, sql in rules.items()}


def with_reasons(events: DataFrame, clean: Clean, source: Source) -> DataFrame:
    """Add `reasons`: every rule the row breaks, in order; null for a good row.

    A good row is judged by one chain of ORs and builds no array; only a bad one is asked for all its
    reasons.
    """
    rules = {reason: F.coalesce(rule, F.lit(False)) for reason, rule in row_rules(clean, source).items()}
    is_bad = reduce(or_, rules.values())
    broken = F.array(*[F.when(rule, F.lit(reason)) for reason, rule in rules.items()])
    every = F.filter(broken, lambda reason: reason.isNotNull())
    malformed = F.when(F.expr(MALFORMED.sql()), F.array(F.lit(MALFORMED.name)))
    return events.withColumn("reasons", malformed.when(is_bad, every))


def is_kept() -> Column:
    return F.col("reasons").isNull()


def quarantined(events: DataFrame, source: Source, key: bytes) -> DataFrame:
    """Rejected rows in the quarantine's contract; the raw record encrypted, filed under its drop's day."""
    bad = events.where(~is_kept()).withColumn("record_id", F.sha2("raw", 256))
    same = Window.partitionBy("record_id", "dt").orderBy("raw")
    return (
        with_key(bad, key)
        .withColumn("dt", F.coalesce("landed", F.lit(NO_DAY)))
        .withColumn("copy", F.row_number().over(same))
        .withColumn("source", F.lit(source.name))
        .withColumn("raw", encrypted("raw"))
        .transform(without_key)
        .select(*QUARANTINE.names)
    )


def with_pseudonyms(events: DataFrame, key: bytes) -> DataFrame:
    """Replace user_id and device_id; the shop's own stay in `_shop_user_id` and `_shop_device_id`."""
    keyed = with_key(events, key)
    for name, kind in (("user_id", "user"), ("device_id", "device")):
        keyed = keyed.withColumn(f"_shop_{name}", F.col(name)).withColumn(name, pseudonym_column(kind, name))
    return without_key(keyed)


def users_from(events: DataFrame, shop: str) -> DataFrame:
    """The mapping rows (contract `users`) behind the pseudonyms of `with_pseudonyms`."""
    kinds = (("user_id", "user"), ("device_id", "device"))
    parts = [
        events.where(F.col(column).isNotNull()).select(
            F.lit(shop).alias("shop"),
            F.col(column).alias("pseudonym"),
            F.col(f"_shop_{column}").alias("shop_id"),
            F.lit(kind).alias("id_kind"),
        )
        for column, kind in kinds
    ]
    return parts[0].unionByName(parts[1]).distinct()


def without_duplicates(events: DataFrame) -> DataFrame:
    """One row per event_id: the earliest received, then the earliest, then the smallest content.

    The choice is a minimum over a total order, so neither the order of arrival nor the split into
    drops can change it.

    Args:
        events: the contract's columns and `_is_new` (came with the drops at work).

    Returns:
        The winners, with `_conflict` (the event_id came with different contents),
        `_num_collapsed` (new rows that gave way: to this winner, new or old) and `_brought` (the
        latest drop at work that held the event_id; null if none did).
    """
    content = [name for name in EVENTS.names if name not in ("received_at", "landed", "bot_rule", "attributes")]
    content_hash = fingerprint(*content, F.sort_array(F.map_entries("attributes")))
    same = Window.partitionBy("event_id")
    best = same.orderBy(F.col("received_at").asc_nulls_last(), "event_ts", "_fingerprint", "landed")
    num_new = F.count(F.when(F.col("_is_new"), 1)).over(same)
    return (
        events.withColumn("_fingerprint", content_hash)
        .withColumn("_conflict", F.min("_fingerprint").over(same) != F.max("_fingerprint").over(same))
        .withColumn("_num_collapsed", num_new - F.col("_is_new").cast("int"))
        .withColumn("_brought", F.max(F.when(F.col("_is_new"), F.col("landed"))).over(same))
        .withColumn("_nth", F.row_number().over(best))
        .where(F.col("_nth") == 1)
        .drop("_nth", "_fingerprint")
    )


def with_bot_rule(events: DataFrame, clean: Clean) -> DataFrame:
    """Flag bots by the first rule that fires: `agent` (says so itself) or `rate` (events in one hour)."""
    actor = F.coalesce("user_id", "device_id")
    # The day is there for zones whose midnight cuts an hour: its other half is another night's business.
    hour = Window.partitionBy(actor, "dt", F.date_trunc("hour", "event_ts"))
    too_fast = F.count(F.lit(1)).over(hour) > clean.bot_events_per_hour
    says_so = F.coalesce(
        F.try_element_at("attributes", F.lit("user_agent")).rlike(clean.bot_agent_pattern), F.lit(False)
    )
    return events.withColumn("bot_rule", F.when(says_so, "agent").when(too_fast, "rate"))


def counts_by_drop(events: DataFrame) -> DataFrame:
    """One row per `landed`: rows read, quarantined and of unknown kind; what the gate and the job's report need."""
    bad = F.when(~is_kept(), 1)
    return events.groupBy("landed").agg(
        F.count(F.lit(1)).alias("num_read"),
        F.count(bad).alias("num_quarantined"),
        F.count(F.when(F.array_contains("reasons", "kind_unknown"), 1)).alias("unknown_kind_rows"),
    )


def merged(kept: DataFrame, stored: DataFrame) -> DataFrame:
    """New rows and what the touched days already held, as one set without duplicates.

    Returns:
        What `without_duplicates` returns; `with_bot_rule` comes next.
    """
    names = [name for name in EVENTS.names if name != "bot_rule"]
    empty_rule = F.lit(None).cast("string").alias("bot_rule")
    new = kept.select(*names, empty_rule, F.lit(True).alias("_is_new"))
    old = stored.select(*names, empty_rule, F.lit(False).alias("_is_new"))
    return without_duplicates(new.unionByName(old))


def counts_of_winners(winners: DataFrame) -> DataFrame:
    """One row per drop at work: new rows kept, rows that gave way, event ids with conflicting contents.

    A drop also answers for its conflicts with what earlier drops brought, whoever won.
    """
    drop = F.when(F.col("_is_new"), F.col("landed")).otherwise(F.col("_brought"))
    return (
        winners.where(F.col("_brought").isNotNull())
        .groupBy(drop.alias("landed"))
        .agg(
            F.count(F.when(F.col("_is_new"), 1)).alias("num_kept"),
            F.sum("_num_collapsed").alias("num_collapsed"),
            F.count(F.when(F.col("_conflict"), 1)).alias("num_conflicts"),
        )
    )


def reconcile(
    read: dict[date | None, Counts], won: dict[date, Counts], num_written: int, num_quarantined: int
) -> dict[date, Counts]:
    """Counts of each drop, after holding independent counts against each other.

    Rows read were counted on the raw frame, rows collapsed where duplicates gave way, kept and
    quarantined ones in the files that were written.

    Raises:
        AssertionError: they do not add up, which no input may cause.
    """
    num_read = sum(drop["num_read"] for drop in read.values())
    num_collapsed = sum(drop["num_collapsed"] for drop in won.values())
    assert num_read == num_written + num_collapsed + num_quarantined, (
        f"read {num_read} rows, "
        f"but kept {num_written} + duplicate {num_collapsed} + quarantined {num_quarantined} differ"
    )
    nothing = {"num_kept": 0, "num_conflicts": 0}
    return {
        landed or NO_DAY: _drop_counts(drop, won.get(landed or NO_DAY, nothing))  # type: ignore[arg-type]
        for landed, drop in read.items()
    }


def _drop_counts(read: Counts, won: Counts) -> Counts:
    return {
        "rows_read": read["num_read"],
        "rows_kept": won["num_kept"],
        "rows_duplicate": read["num_read"] - read["num_quarantined"] - won["num_kept"],
        "rows_quarantined": read["num_quarantined"],
        "rows_unknown_kind": read["unknown_kind_rows"],
        "rows_conflict": won["num_conflicts"],
    }


def reasons(events: DataFrame) -> dict[str, int]:
    """How often each row rule fired."""
    fired = events.where(~is_kept()).select(F.explode("reasons").alias("reason")).groupBy("reason").count()
    return {row["reason"]: row["count"] for row in fired.orderBy("reason").collect()}
