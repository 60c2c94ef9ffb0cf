"""Histories to recommendations, with the champion.

Reads `sequences` and `items` of the night, and the model behind the alias `champion`; without one
everybody gets what is popular. Writes one partition of `recommendations`, visible in one step after
the gate: every person once per surface, k items each, fewer only where fewer are left. Obeys the shop's rules
(`[score] rules`); what became of each is a row of `data_quality`, and what could not be met a warning.
Safe to run twice: the same champion gives the same rows.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import reduce
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from _gate import facts_by_day, gate, trailing_facts
from nightjar.contracts import DATA_QUALITY, ITEMS, RECOMMENDATIONS, SEQUENCES, Kind, Partition
from nightjar.contracts.published import FALLBACKS
from nightjar.contracts.render import spark_ddl
from nightjar.quality.facts import recommendations_facts
from nightjar.quality.suites import recommendations_suite
from nightjar.score.catalogue import Catalogue
from nightjar.score.recommend import Champion, Night, ScoringTask
from nightjar.score.rulebook import Finding, Rules, load_facts, load_rulebook, rules_file
from nightjar.settings import repository
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake, Staged
from nightjar.stores.ledgers import record
from nightjar.stores.tracking import Tracking

if TYPE_CHECKING:
    from nightjar.quality.suites import Suite
    from nightjar.settings import Conf, Score


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, at, spark = Lake(job.home.lake), args.recommendations, job.spark()
    end = job.source.end_of(args.recommendations.day)
    task = scoring_task(job, Night(at.shop, at.day, end, job.conf.score), lake.entry(at.of(ITEMS)).files)
    lake.entry(at.of(SEQUENCES))  # absence is an error, an empty day is not
    people = lake.read(spark, SEQUENCES, [at.of(SEQUENCES)]).persist()
    staged = stage(lake, people, task, job.run_id)

    frame = staged.frame(spark).persist()
    items = available(lake.read(spark, ITEMS, [at.of(ITEMS)]), end, job.conf.score).persist()
    catalogue = Catalogue.read(task.item_files)
    surfaces = task.rules(catalogue)
    shown = shown_items(items, surfaces, catalogue).persist()
    users = with_num_candidates(people, shown, surfaces, end, job.conf.score)
    facts = recommendations_facts(
        frame, users, shown.select("item_id").distinct(), trailing_facts(job, lake, at), gate=job.conf.gate
    )
    findings = rule_rows(frame, surfaces, at)
    record(lake, DATA_QUALITY, at.of(DATA_QUALITY), findings, job.run_id)
    for row in findings:
        if not row["success"]:
            job.log.warning("rule %s: %s", row["expectation"], row["observed"])
    gate(job, lake, RECOMMENDATIONS, frame, facts, suite_for(task.champion, job.conf), at)
    kept = facts_by_day(RECOMMENDATIONS, facts)
    counted = {row["surface"]: row["count"] for row in shown.groupBy("surface").count().collect()}
    kept.setdefault((RECOMMENDATIONS.name, at.day), {}).update(
        num_candidates=items.count(),
        # What the shortest list of somebody with nothing excluded may be.
        least_candidates=min(min(surface.k, counted.get(surface.surface, 0)) for surface in surfaces)
        if task.rulebook
        else items.count(),
    )
    lake.commit([staged], facts=kept)
    return {
        "rows_in": people.count(),
        "rows_out": staged.num_rows,
        "rows_rejected": 0,
        **numbers(frame, surfaces),
        "rules_not_met": sum(not row["success"] for row in findings),
        "model_name": task.champion.name if task.champion else None,
        "model_version": task.champion.version if task.champion else None,
    }


def scoring_task(job: Job, night: Night, item_files: tuple[str, ...]) -> ScoringTask:
    """What the workers need: the champion's files and the shop's rules, checked before anything is scored."""
    path = rules_file(repository() / "conf" / "rules", job.shop, job.conf.score.rules)
    if path is None:
        return ScoringTask(night, item_files, champion(job))
    rulebook = load_rulebook(path)
    return ScoringTask(night, item_files, champion(job), rulebook, load_facts(rulebook, path, night.day))


def stage(lake: Lake, people: DataFrame, task: ScoringTask, run_id: str) -> Staged:
    """Score rows of `sequences` and write the rows of `recommendations`, invisible until they are committed."""
    # A worker per core, each with people of its own: the files of a small night are one split.
    shared = people.repartition(people.sparkSession.sparkContext.defaultParallelism, "user_id")
    rows = shared.mapInArrow(task, spark_ddl(RECOMMENDATIONS))
    return lake.stage(rows, RECOMMENDATIONS, task.night.shop, run_id, days=[task.night.day])


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


def shown_items(items: DataFrame, surfaces: Sequence[Rules], catalogue: Catalogue) -> DataFrame:
    """`surface` and `item_id` of what may be shown where: what is available, less what the rules forbid."""
    parts = []
    for surface in surfaces:
        shown = items
        if not surface.allowed_N.all():
            allowed = pa.table({"item_id": catalogue.item_ids.filter(pa.array(surface.allowed_N))})
            shown = items.join(items.sparkSession.createDataFrame(allowed), "item_id", "left_semi")
        parts.append(shown.select(F.lit(surface.surface).alias("surface"), "item_id"))
    return reduce(DataFrame.unionByName, parts)


def with_num_candidates(
    people: DataFrame, shown: DataFrame, surfaces: Sequence[Rules], end: datetime, score: Score
) -> DataFrame:
    """Per person and surface, `k` and how many of the surface's items the rules leave to that person."""
    entries = people.select("user_id", F.explode(F.arrays_zip("item_ids", "kinds", "event_ts")).alias("entry"))
    bought = F.col("entry.kinds") == Kind.PURCHASE.code
    parts = []
    for surface in surfaces:
        hidden = {"none": F.lit(False), "seen": F.lit(True), "purchased": bought}[score.exclude]
        if surface.no_repeat_days and score.exclude != "seen":
            since = end - timedelta(days=surface.no_repeat_days)
            hidden = bought & (F.col("entry.event_ts") >= int(since.timestamp()))
        items = shown.where(F.col("surface") == surface.surface).select("item_id")
        excluded = entries.where(hidden).select("user_id", F.col("entry.item_ids").alias("item_id")).distinct()
        counts = excluded.join(items, "item_id").groupBy("user_id").agg(F.count(F.lit(1)).alias("num_excluded"))
        left = F.lit(items.count()) - F.coalesce("num_excluded", F.lit(0))
        columns = F.lit(surface.surface).alias("surface"), F.lit(surface.k).alias("k"), left.alias("num_candidates")
        parts.append(people.select("user_id").join(counts, "user_id", "left").select("user_id", *columns))
    return reduce(DataFrame.unionByName, parts)


def rule_rows(frame: DataFrame, surfaces: Sequence[Rules], at: Partition) -> list[dict[str, Any]]:
    """What became of each rule, as rows of `data_quality`: of the file's words, of pins and of caps."""
    by_rule = frame.groupBy("surface").agg(
        F.count_distinct("user_id").alias("lists"),
        F.count_distinct(F.when(F.col("rule") == "cap_given_way", F.col("user_id"))).alias("gave_way"),
    )
    of_surface = {row["surface"]: row for row in by_rule.collect()}
    of_pins = frame.where("rule = 'pinned'").groupBy("surface", "item_id").count().collect()
    pinned = {(row["surface"], row["item_id"]): row["count"] for row in of_pins}
    rows = []
    for one in surfaces:
        counted = of_surface.get(one.surface) or {"lists": 0, "gave_way": 0}
        findings = list(one.findings)
        for pin in one.pins:
            missing = counted["lists"] - pinned.get((one.surface, pin.item), 0)
            said = (
                "shown to everybody" if not missing else f"{missing:,} of {counted['lists']:,} people must not get it"
            )
            findings.append(Finding(pin.name, missing == 0, said))
        for cap in one.caps:
            gave_way = counted["gave_way"]
            said = f"gave way in {gave_way:,} of {counted['lists']:,} lists" if gave_way else f"at most {cap.at_most}"
            findings.append(Finding(cap.rule, not gave_way, said))
        rows += [_quality_row(at, one.surface, finding) for finding in findings]
    return rows


def _quality_row(at: Partition, surface: str, finding: Finding) -> dict[str, Any]:
    return {
        "shop": at.shop,
        "dt": at.day,
        "table_name": RECOMMENDATIONS.name,
        "expectation": f"rule {surface}/{finding.rule}",
        "severity": "warn",
        "success": finding.met,
        "observed": finding.said,
    }


def numbers(frame: DataFrame, surfaces: Sequence[Rules]) -> dict[str, Any]:
    """What the night's table of steps shows of the output."""
    k = F.create_map(*(F.lit(value) for one in surfaces for value in (one.surface, one.k)))
    lists = frame.groupBy("user_id", "surface").agg(
        F.count(F.lit(1)).alias("length"), F.min_by("strategy", "rank").alias("strategy")
    )
    short = F.when(F.col("length") < k[F.col("surface")], F.col("user_id"))
    row = lists.agg(
        F.count_distinct("user_id").alias("users"),
        F.count_distinct(short).alias("users_short"),
        F.avg((F.col("strategy").isin(*FALLBACKS)).cast("double")).alias("fallback_share"),
    ).collect()[0]
    covered = frame.select(F.count_distinct("item_id")).collect()[0][0]
    return {**row.asDict(), "fallback_share": round(row["fallback_share"] or 0.0, 6), "items_covered": covered}


if __name__ == "__main__":
    run("score", arguments(__doc__, recommendations="partition to write: shop/recommendations/dt=DAY"), main)
