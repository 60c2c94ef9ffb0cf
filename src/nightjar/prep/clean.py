"""Row rules, and what of a judged row travels on.

One pass evaluates every rule as a boolean; a row that breaks none is kept, any other goes to the
quarantine with all its reasons. What follows (`prep.landing`) works on Arrow rows, one bucket of
visitors at a time.
"""

from __future__ import annotations

from functools import reduce
from operator import or_

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightjar.contracts import EVENTS, ROW_RULES
from nightjar.contracts.rules import MALFORMED
from nightjar.prep import bots
from nightjar.prep.texts import with_readable_texts
from nightjar.settings import Clean, Source


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


def judged(events: DataFrame, clean: Clean, source: Source, num_buckets: int) -> DataFrame:
    """Judge mapped rows and send each to its visitor's bucket: partition n holds bucket n.

    Only what the mapping fills travels. A rejected row takes its raw record along.
    """
    worded = bool({"query", "attributes"} & set(source.events))
    rows = with_reasons(with_readable_texts(events) if worded else events, clean, source)
    raw = F.when(~is_kept(), F.col("raw"))
    # Equal records share a bucket, which numbers them; so do all events of a visitor.
    owner = F.coalesce(raw, "device_id", "user_id")
    filled = {*source.events, "dt", "landed", *(["attributes"] if worded else [])}
    mapped = [name for name in EVENTS.names if name in filled]
    flags = [bots.is_agent(clean).alias("agent"), F.col("_is_repaired").alias("repaired")] if worded else []
    bucket = F.pmod(F.xxhash64(owner), num_buckets).cast("int")
    again = [
        F.when(raw.isNotNull(), F.col(f"`{name}`")).alias(name) for name in ("part", "_form") if name in rows.columns
    ]
    travelling = rows.select(*mapped, *flags, "reasons", raw.alias("raw"), *again, bucket.alias("bucket"))
    return travelling.repartitionById(num_buckets, "bucket").drop("bucket")
