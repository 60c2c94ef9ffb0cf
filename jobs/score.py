"""Histories to recommendations, with the champion.

Reads `sequences` and `items` of the night, and the model behind the alias `champion`; without one
everybody gets what is popular. Writes one partition of `recommendations`, visible in one step after
the gate: every person once, k items each, fewer only where fewer are left.
Safe to run twice: the same champion gives the same rows.
"""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from pyspark.sql import functions as F

from _gate import facts_by_day, gate, trailing_facts
from nightjar.contracts import ITEMS, RECOMMENDATIONS, SEQUENCES, Kind
from nightjar.contracts.render import spark_ddl
from nightjar.quality.facts import recommendations_facts
from nightjar.quality.suites import recommendations_suite
from nightjar.score.fallback import STRATEGY
from nightjar.score.recommend import Champion, Night, ScoringTask
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake
from nightjar.stores.tracking import Tracking

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from nightjar.quality.suites import Suite
    from nightjar.settings import Conf, Score


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, at, spark = Lake(job.home.lake), args.recommendations, job.spark()
    end = job.source.end_of(args.recommendations.day)
    task = ScoringTask(Night(at.shop, at.day, end, job.conf.score), lake.entry(at.of(ITEMS)).files, champion(job))
    lake.entry(at.of(SEQUENCES))  # absence is an error, an empty day is not
    people = lake.read(spark, SEQUENCES, [at.of(SEQUENCES)]).persist()
    # A worker per core, each with people of its own: the files of a small night are one split.
    shared = people.repartition(spark.sparkContext.defaultParallelism, "user_id")
    rows = shared.mapInArrow(task, spark_ddl(RECOMMENDATIONS))
    staged = lake.stage(rows, RECOMMENDATIONS, at.shop, job.run_id, days=[at.day])

    frame = staged.frame(spark).persist()
    items = available(lake.read(spark, ITEMS, [at.of(ITEMS)]), end, job.conf.score).persist()
    users = with_num_candidates(people, items, job.conf.score)
    facts = recommendations_facts(
        frame, users, items, trailing_facts(job, lake, at), gate=job.conf.gate, k=job.conf.score.k
    )
    gate(job, lake, RECOMMENDATIONS, frame, facts, suite_for(task.champion, job.conf), at)
    kept = facts_by_day(RECOMMENDATIONS, facts)
    kept.setdefault((RECOMMENDATIONS.name, at.day), {})["num_candidates"] = items.count()
    lake.commit([staged], facts=kept)
    return {
        "rows_in": people.count(),
        "rows_out": staged.num_rows,
        "rows_rejected": 0,
        **numbers(frame, job.conf.score),
        "model_name": task.champion.name if task.champion else None,
        "model_version": task.champion.version if task.champion else None,
    }


def champion(job: Job) -> Champion | None:
    """The champion with its files on the local disk."""
    tracking = Tracking(job.home, job.shop)
    version = tracking.champion()
    if version is None:
        job.log.warning("no champion yet: everybody gets what is popular")
        return None
    return Champion(version.name, version.version, tracking.download(version))


def suite_for(champion: Champion | None, conf: Conf) -> Suite:
    """The night's suite; without a champion popularity serves everybody on purpose, so no share is too large."""
    if champion is None:
        conf = conf.model_copy(update={"gate": conf.gate.model_copy(update={"max_fallback_share": 1.0})})
    return recommendations_suite(conf)


def available(items: DataFrame, end: datetime, score: Score) -> DataFrame:
    """`item_id` of what may be recommended; counted here once more, so that the gate does not ask the ranker."""
    oldest = end - timedelta(days=score.available_within_days)
    shown = F.lit(True) if score.available_within_days == 0 else F.col("last_seen") >= F.lit(oldest)
    return items.where(shown).select("item_id")


def with_num_candidates(people: DataFrame, items: DataFrame, score: Score) -> DataFrame:
    """`user_id` and how many of `items` the rules leave to that person."""
    entries = people.select("user_id", F.explode(F.arrays_zip("item_ids", "kinds")).alias("entry"))
    hidden = {
        "none": F.lit(False),
        "seen": F.lit(True),
        "purchased": F.col("entry.kinds") == Kind.PURCHASE.code,
    }[score.exclude]
    excluded = entries.where(hidden).select("user_id", F.col("entry.item_ids").alias("item_id")).distinct()
    counts = excluded.join(items, "item_id").groupBy("user_id").agg(F.count(F.lit(1)).alias("num_excluded"))
    left = F.lit(items.count()) - F.coalesce("num_excluded", F.lit(0))
    return people.select("user_id").join(counts, "user_id", "left").select("user_id", left.alias("num_candidates"))


def numbers(frame: DataFrame, score: Score) -> dict[str, Any]:
    """What the night's table of steps shows of the output."""
    lists = frame.groupBy("user_id").agg(
        F.count(F.lit(1)).alias("length"), F.min_by("strategy", "rank").alias("strategy")
    )
    row = lists.agg(
        F.count(F.lit(1)).alias("users"),
        F.count_if(F.col("length") < score.k).alias("users_short"),
        F.avg((F.col("strategy") == STRATEGY).cast("double")).alias("fallback_share"),
    ).collect()[0]
    covered = frame.select(F.count_distinct("item_id")).collect()[0][0]
    return {**row.asDict(), "fallback_share": round(row["fallback_share"] or 0.0, 6), "items_covered": covered}


if __name__ == "__main__":
    run("score", arguments(__doc__, recommendations="partition to write: shop/recommendations/dt=DAY"), main)
