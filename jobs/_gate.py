"""The gate as jobs use it: judge, keep what was seen, stop the night if a `stop` rule failed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from nightjar.contracts import DATA_QUALITY, Partition, Table
from nightjar.quality.gate import Report, check
from nightjar.stores.job import Job
from nightjar.stores.lake import Lake
from nightjar.stores.ledgers import record

if TYPE_CHECKING:
    from pyspark.sql import DataFrame

    from nightjar.quality.history import Facts
    from nightjar.quality.suites import Suite


def trailing_facts(job: Job, lake: Lake, partition: Partition) -> list[dict[str, Any]]:
    """Facts of the days before the partition's, as far as they had rows: a closed day is no measure."""
    first = partition.day - timedelta(days=job.conf.gate.trailing_days)
    days = [day for day in lake.days(partition.shop, partition.table) if first <= day < partition.day]
    return [facts for day in days if (facts := lake.entry(partition.on(day)).facts).get("num_rows")]


def facts_by_day(table: Table, facts: Sequence[Facts]) -> dict[tuple[str, date], dict[str, Any]]:
    """Every row of the facts, for the lake to keep with the partitions."""
    return {(table.name, date.fromisoformat(str(row["dt"]))): dict(row) for row in facts}


def gate(
    job: Job, lake: Lake, table: Table, frame: DataFrame, facts: Sequence[Facts], suite: Suite, at: Partition
) -> Report:
    """Check a staged partition.

    Raises:
        GateFailed: a `stop` rule failed; nothing has become visible but the verdicts.
    """
    report = check(table, frame, facts, suite, partition=at, docs=job.home.docs / job.shop)
    record(lake, DATA_QUALITY, at.of(DATA_QUALITY), report.rows, job.run_id)
    for warning in report.warnings:
        job.log.warning("gate warns on %s: %s", at, warning)
    report.raise_if_failed()
    job.log.info("gate passed %s: %d expectations in %.1f s", at, len(report.verdicts), report.seconds)
    return report
