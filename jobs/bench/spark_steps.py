"""One step of the comparison inside Spark; the last line on standard output is its result as JSON.

floor    shuffle by user, sort by user and time, write: what no Spark plan that sessionizes can leave out
plain    the same and two window functions, lag and a running sum: a session's number among its user's
explain  where the floor's seconds go

With --warm-up the step first runs on that smaller log in the same JVM, and only then is it timed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from nightjar.settings import Conf, load_conf
from nightjar.stores.spark import session


def floor(log: DataFrame, partitions: int) -> DataFrame:
    return log.repartition(partitions, "user_id").sortWithinPartitions("user_id", "event_ts")


def plain(log: DataFrame, partitions: int, gap_us: int) -> DataFrame:
    """Adds `session`: 1 for a user's first; exactly the gap of silence stays in the session.

    Of the formulations tried (interval arithmetic; last or max of the opener; range frames; timestamps kept as
    they are) this took the least CPU: whole numbers of microseconds, one shuffle, one sort for both windows,
    nothing carried besides the columns written.
    """
    rows = log.select("user_id", F.unix_micros("event_ts").alias("us"), "item_id", "kind")
    by_user = Window.partitionBy("user_id").orderBy("us")
    so_far = by_user.rowsBetween(Window.unboundedPreceding, Window.currentRow)
    opens = (F.col("us") - F.lag("us", 1, 0).over(by_user) > gap_us).cast("int")
    numbered = rows.repartition(partitions, "user_id").withColumn("session", F.sum(opens).over(so_far).cast("int"))
    return numbered.select("user_id", F.timestamp_micros("us").alias("event_ts"), "item_id", "kind", "session")


def write_floor(spark: SparkSession, conf: Conf, log: Path, out: Path) -> None:
    floor(spark.read.parquet(str(log)), conf.spark.shuffle_partitions).write.parquet(str(out))


def write_plain(spark: SparkSession, conf: Conf, log: Path, out: Path) -> None:
    rows = spark.read.parquet(str(log))
    gap_us = conf.sessions.gap_minutes * 60_000_000
    plain(rows, conf.spark.shuffle_partitions, gap_us).write.parquet(str(out))


def explain(spark: SparkSession, conf: Conf, log: Path, out: Path) -> dict[str, dict[str, float]]:
    """Part of the floor -> its seconds, and its tasks' CPU seconds, which other work on the machine moves less.

    Differences between plans that each end one part later, in a sink that keeps nothing. A shuffle is
    two stages; the first of them also reads, so reading alone is taken off it.
    """
    partitions, rows = conf.spark.shuffle_partitions, spark.read.parquet(str(log))

    def nowhere(frame: DataFrame) -> list[Stage]:
        return _measured(spark, lambda: frame.write.format("noop").mode("overwrite").save())

    read, shuffle = nowhere(rows), nowhere(rows.repartition(partitions, "user_id"))
    in_order = nowhere(floor(rows, partitions))
    whole = _measured(spark, lambda: floor(rows, partitions).write.parquet(str(out)))
    return {
        "read": _total(read),
        "shuffle write": _less(shuffle[0], read[0]),
        "shuffle read": shuffle[1],
        "sort": _less(_total(in_order), _total(shuffle)),
        "write": _less(_total(whole), _total(in_order)),
    }


#: A stage's wall seconds and the CPU seconds of its tasks.
Stage = dict[str, float]


def _measured(spark: SparkSession, action: Callable[[], None]) -> list[Stage]:
    """The stages that an action ran, in order."""
    context = spark.sparkContext
    group = f"measured {time.monotonic_ns()}"
    context.setJobGroup(group, group)
    action()
    tracker, store = context.statusTracker(), context._jsc.sc().statusStore()
    ran = {stage for job in tracker.getJobIdsForGroup(group) for stage in tracker.getJobInfo(job).stageIds}
    stages = [store.lastStageAttempt(stage) for stage in sorted(ran)]
    return [
        {
            "seconds": (stage.completionTime().get().getTime() - stage.submissionTime().get().getTime()) / 1e3,
            "cpu_seconds": stage.executorCpuTime() / 1e9,
        }
        for stage in stages
        if stage.completionTime().isDefined() and stage.submissionTime().isDefined()  # others were skipped
    ]


def _total(stages: list[Stage]) -> Stage:
    return {name: sum(stage[name] for stage in stages) for name in ("seconds", "cpu_seconds")}


def _less(whole: Stage, part: Stage) -> Stage:
    return {name: whole[name] - part[name] for name in whole}


STEPS: dict[str, Callable[[SparkSession, Conf, Path, Path], Any]] = {
    "floor": write_floor,
    "plain": write_plain,
    "explain": explain,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=sorted(STEPS))
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--warm-up", type=Path)
    parser.add_argument("--set", action="append", default=[])
    args = parser.parse_args()
    conf = load_conf(sets=args.set)
    spark = session(f"bench {args.step}", conf.spark)
    if args.warm_up:
        STEPS[args.step](spark, conf, args.warm_up, args.out)
        shutil.rmtree(args.out)
    started = time.perf_counter()
    parts = STEPS[args.step](spark, conf, args.log, args.out)
    print(json.dumps({"seconds": time.perf_counter() - started, "parts": parts}))


if __name__ == "__main__":
    main()
