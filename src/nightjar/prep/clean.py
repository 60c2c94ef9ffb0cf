"""Row rules, and what of a judged row travels on.

One pass evaluates every rule as a boolean; a row that breaks none is kept, any other goes to the
quarantine with all its reasons. What follows (`prep.landing`) works on Arrow rows, one bucket of
visitors at a time.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightjar.contracts import EVENTS, ITEM_KINDS, Platform
from nightjar.prep import bots
from nightjar.prep.sources import RAW_KIND
from nightjar.settings import Clean, Source

_CORRUPT = "_corrupt_record"


def row_rules(clean: Clean, source: Source) -> dict[str, Column]:
    """Reason -> true where a mapped row breaks the rule. The order is the order of `reasons`."""
    ends = F.to_utc_timestamp(F.date_add("landed", 1).cast("timestamp"), source.time_zone)
    skew = F.expr(f"INTERVAL {clean.clock_skew_minutes} MINUTES")
    rules = {
        "event_id_missing": F.col("event_id").isNull(),
        "event_ts_unreadable": F.col("event_ts").isNull(),
        "too_late": F.col("dt") < F.date_sub("landed", clean.days_late_allowed),
        "from_the_future": F.col("event_ts") > ends + skew,
        "kind_missing": F.col(RAW_KIND).isNull(),
        "kind_unknown": F.col(RAW_KIND).isNotNull() & F.col("kind").isNull(),
        "platform_unknown": F.col("platform").isNull() | ~F.col("platform").isin(*[p.value for p in Platform]),
        "actor_missing": F.col("user_id").isNull() & F.col("device_id").isNull(),
        "item_missing": F.col("kind").isin(*[kind.value for kind in ITEM_KINDS]) & F.col("item_id").isNull(),
        "price_impossible": (F.col("price") < 0) | (F.col("price") > clean.max_price) | F.isnan("price"),
        "quantity_impossible": (F.col("quantity") < 1) | (F.col("quantity") > clean.max_quantity),
    }
    return rules | {reason: F.expr(sql) for reason, sql in source.rejects.items()}


def with_reasons(events: DataFrame, clean: Clean, source: Source) -> DataFrame:
    """Add `reasons`: every rule the row breaks; null for a good row.

    A record that could not be parsed has the one reason `malformed`: its columns are empty, and what
    the other rules would say of them is noise.
    """
    broken = [
        F.when(F.coalesce(rule, F.lit(False)), F.lit(reason)) for reason, rule in row_rules(clean, source).items()
    ]
    reasons = F.filter(F.array(*broken), lambda reason: reason.isNotNull())
    malformed = F.col(_CORRUPT).isNotNull()
    found = F.when(malformed, F.array(F.lit("malformed"))).when(F.size(reasons) > 0, reasons)
    return events.withColumn("reasons", found)


def is_kept() -> Column:
    return F.col("reasons").isNull()


def judged(events: DataFrame, clean: Clean, source: Source, num_buckets: int) -> DataFrame:
    """Judge mapped rows and send each to its visitor's bucket: partition n holds bucket n.

    Only what the mapping fills travels. A rejected row takes its raw record along.
    """
    rows = with_reasons(events, clean, source)
    raw = F.when(~is_kept(), F.col("raw"))
    # Equal records share a bucket, which numbers them; so do all events of a visitor.
    owner = F.coalesce(raw, "device_id", "user_id")
    mapped = [name for name in EVENTS.names if name in source.events or name in ("dt", "landed")]
    agent = [bots.is_agent(clean).alias("agent")] if "attributes" in source.events else []
    bucket = F.pmod(F.xxhash64(owner), num_buckets).cast("int")
    again = [
        F.when(raw.isNotNull(), F.col(f"`{name}`")).alias(name) for name in ("part", "_form") if name in rows.columns
    ]
    travelling = rows.select(*mapped, *agent, "reasons", raw.alias("raw"), *again, bucket.alias("bucket"))
    return travelling.repartitionById(num_buckets, "bucket").drop("bucket")
