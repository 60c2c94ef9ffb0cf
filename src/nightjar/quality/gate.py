"""The gate: Great Expectations judges a table's columns and its facts before anything becomes visible.

It never sees a row: columns and types are read from the schema, everything else from one row of
numbers. So a check takes the same time whatever the table's size, and no value can reach a page.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightjar.contracts import GateFailed, Partition, Table
from nightjar.quality.history import Facts
from nightjar.quality.suites import Rule, Suite

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult
    from pyspark.sql import DataFrame

_SEVERITIES = {"stop": "critical", "warn": "warning"}


@dataclass(frozen=True)
class Verdict:
    """One rule on one partition. `skipped`: it compares with earlier days and there are too few."""

    rule: Rule
    success: bool
    observed: str
    expected: str
    skipped: bool = False

    def __str__(self) -> str:
        return f"{self.rule.name}: observed {self.observed}, expected {self.expected}"


@dataclass(frozen=True)
class Report:
    """What the gate saw."""

    partition: Partition
    verdicts: tuple[Verdict, ...]
    #: The day's facts as plain values, for the lake: tomorrow's history.
    facts: dict[str, Any]
    #: Wall time of checks and pages.
    seconds: float
    docs: Path | None = field(default=None)

    @property
    def failures(self) -> list[str]:
        return self._failed("stop")

    @property
    def warnings(self) -> list[str]:
        return self._failed("warn")

    @property
    def skipped(self) -> list[str]:
        return [verdict.rule.name for verdict in self.verdicts if verdict.skipped]

    @property
    def rows(self) -> list[dict[str, object]]:
        """Rows of the `data_quality` table."""
        return [
            {
                "shop": self.partition.shop,
                "dt": self.partition.day,
                "table_name": self.partition.table,
                "expectation": verdict.rule.name,
                "severity": verdict.rule.severity,
                "success": verdict.success,
                "observed": verdict.observed,
            }
            for verdict in self.verdicts
        ]

    def raise_if_failed(self) -> None:
        """Raise `GateFailed`, which names every failed `stop` rule, what it saw and what it expected."""
        if self.failures:
            look = f"open {self.docs / 'index.html'}" if self.docs else "look at the day's raw drop"
            next_command = f"{look}, mend the drop, the mapping or the bound in [gate], then run the same command again"
            raise GateFailed(str(self.partition), self.failures, next_command)

    def to_json(self) -> str:
        rows = [row | {"dt": self.partition.day.isoformat()} for row in self.rows]
        return json.dumps(
            {
                "partition": str(self.partition),
                "failed": self.failures,
                "warnings": self.warnings,
                "skipped": self.skipped,
                "seconds": round(self.seconds, 3),
                "facts": self.facts,
                "expectations": rows,
            },
            indent=1,
        )

    def _failed(self, severity: str) -> list[str]:
        return [str(v) for v in self.verdicts if v.rule.severity == severity and not v.success]


def check(
    table: Table,
    frame: DataFrame,
    facts: Sequence[Facts],
    suite: Suite,
    *,
    partition: Partition,
    docs: Path | None,
) -> Report:
    """Judge the columns of `frame` and the partition's row of `facts` by `suite`.

    A wrong schema ends the check at once, as does a day without rows (which few suites allow): nothing
    else could be computed.

    Args:
        frame: the table; no row of it is read.
        docs: the shop's folder of pages; None leaves them as they are.

    Raises:
        RuntimeError: an expectation could not be computed, which says nothing about the data.
    """
    if not suite.table == table.name == partition.table:
        raise ValueError(f"suite {suite.table}, table {table.name} and {partition} do not belong together")
    started = time.perf_counter()
    row = _facts_of(facts, partition)
    results, skipped = _judge(frame, row, suite)
    if docs is not None:
        from nightjar.quality.docs import add_page

        add_page(docs, partition, expectation_suite(suite, suite.rules), _page(results, suite))
    verdicts = tuple(_verdicts(results, suite)) + tuple(_skipped(rule) for rule in skipped)
    return Report(partition, verdicts, row, time.perf_counter() - started, docs)


def _judge(frame: DataFrame, row: Facts, suite: Suite) -> tuple[list[Any], list[Rule]]:
    """Results of the rules that can be judged, and the rules that have no history to compare with."""
    batches = _Batches(suite)
    results = batches.validate_columns(frame, [rule for rule in suite.rules if rule.on == "schema"])
    if not all(result.success for result in results):
        return results, []
    rules = [rule for rule in suite.rules if rule.on == "facts"]
    if not row["num_rows"]:
        return results + batches.validate_facts(row, [rule for rule in rules if rule.name == "num_rows"]), []
    skipped = [rule for rule in rules if rule.compares and row.get(rule.name) is None]
    return results + batches.validate_facts(row, [rule for rule in rules if rule not in skipped]), skipped


class _Batches:
    """An ephemeral Great Expectations context that validates one batch of columns and one of facts."""

    def __init__(self, suite: Suite) -> None:
        from nightjar.quality.context import ephemeral_context

        self._suite = suite
        self._context = ephemeral_context()

    def validate_columns(self, frame: DataFrame, rules: list[Rule]) -> list[Any]:
        # Great Expectations counts rows whatever it is asked: of none it has the answer at once.
        empty = frame.sparkSession.createDataFrame([], frame.schema)
        return self._validate(self._context.data_sources.add_spark("columns", persist=False), empty, rules)

    def validate_facts(self, row: Facts, rules: list[Rule]) -> list[Any]:
        """By pandas: Spark would start a dozen jobs for one row of numbers."""
        import pandas as pd

        numbers = {rule.name: [row[rule.name]] for rule in rules if rule.name in row}
        frame = pd.DataFrame(numbers, dtype="float64")
        return self._validate(self._context.data_sources.add_pandas("facts"), frame, rules)

    def _validate(self, source: Any, frame: Any, rules: list[Rule]) -> list[Any]:
        """Results in the order of `rules`."""
        batches = source.add_dataframe_asset(self._suite.table).add_batch_definition_whole_dataframe("day")
        batch = batches.get_batch({"dataframe": frame})
        validated = batch.validate(expectation_suite(self._suite, rules), result_format="BASIC")
        by_name = {result.expectation_config.meta["name"]: result for result in validated.results}
        return [_computed(by_name[rule.name]) for rule in rules]


def expectation_suite(suite: Suite, rules: Iterable[Rule]) -> Any:
    """Some rules of a suite as Great Expectations sees them; our names travel in `meta`."""
    import great_expectations as gx

    return gx.ExpectationSuite(name=suite.table, expectations=[_expectation(rule) for rule in rules])


def _expectation(rule: Rule) -> Any:
    import great_expectations.expectations as gxe

    kind = getattr(gxe, "".join(part.capitalize() for part in rule.expectation.split("_")))
    return kind(
        **rule.kwargs,
        severity=_SEVERITIES[rule.severity],
        meta={"name": rule.name, "severity": rule.severity},
        # What pages print in place of their own wording.
        description=f"{rule.name} ({rule.severity}): {_expected(rule)}. {rule.why}",
    )


def _computed(result: Any) -> Any:
    if _raised(result.exception_info):
        name = result.expectation_config.meta["name"]
        raise RuntimeError(f"expectation {name} could not be computed: {_exception_kinds(result.exception_info)}")
    return result


def _raised(info: Any) -> bool:
    nested = info.values() if info else ()
    return bool((info or {}).get("raised_exception")) or any(isinstance(one, dict) and _raised(one) for one in nested)


def _exception_kinds(info: Any) -> str:
    """The first word of each trace's last line: the exception's class."""
    entries = [one for one in (info, *info.values()) if isinstance(one, dict) and one.get("exception_traceback")]
    return ", ".join(sorted({str(e["exception_traceback"]).strip().splitlines()[-1].split(":")[0] for e in entries}))


def _verdicts(results: Iterable[Any], suite: Suite) -> Iterable[Verdict]:
    rules = {rule.name: rule for rule in suite.rules}
    for result in results:
        rule = rules[result.expectation_config.meta["name"]]
        yield Verdict(rule, bool(result.success), _observed(rule, result), _expected(rule))


def _skipped(rule: Rule) -> Verdict:
    return Verdict(rule, True, "nothing: too few earlier days", _expected(rule), skipped=True)


def _observed(rule: Rule, result: Any) -> str:
    value = result.result.get("observed_value")
    if rule.name == "columns":
        return ", ".join(value or ())
    if rule.on == "facts":
        return "nothing" if value is None or math.isnan(value) else f"{value:.6g}"
    return str(value)


def _expected(rule: Rule) -> str:
    low, high = rule.kwargs.get("min_value"), rule.kwargs.get("max_value")
    if rule.on == "schema":
        return str(rule.kwargs.get("type_") or ", ".join(rule.kwargs["column_list"]))
    if low is None or high is None:
        return f"at most {high:g}" if low is None else f"at least {low:g}"
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _facts_of(facts: Sequence[Facts], partition: Partition) -> Facts:
    day = partition.day.isoformat()
    rows = [row for row in facts if row["dt"] == day]
    if len(rows) > 1:
        raise ValueError(f"{len(rows)} rows of facts for {partition}")
    return rows[0] if rows else {"dt": day, "num_rows": 0}


def _page(results: list[Any], suite: Suite) -> ExpectationSuiteValidationResult:
    """One result for one page, though columns and facts were two batches."""
    from great_expectations.core import ExpectationSuiteValidationResult

    failed = [result for result in results if not result.success]
    statistics = {
        "evaluated_expectations": len(results),
        "successful_expectations": len(results) - len(failed),
        "unsuccessful_expectations": len(failed),
        "success_percent": 100 * (1 - len(failed) / max(len(results), 1)),
    }
    stopped = any(result.expectation_config.meta["severity"] == "stop" for result in failed)
    return ExpectationSuiteValidationResult(
        success=not stopped, results=results, suite_name=suite.table, statistics=statistics, meta={}
    )
