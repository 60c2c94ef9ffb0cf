"""The gate: Great Expectations judges a table and its facts before anything becomes visible."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightjar.contracts import GateFailed, Partition, Table
from nightjar.quality.suites import Rule, Suite

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult
    from pyspark.sql import DataFrame

#: Columns whose values never enter a result, a log line or a page.
MASKED = frozenset(
    {"user_id", "device_id", "visitor_id", "member_id", "person_id", "component_id"}
    | {"event_id", "session_id", "query", "raw", "attributes", "row_key", "order_id"}
)

# SUMMARY with no samples: counts come from one shared aggregation, and no value can leak. (More
# samples would also cost one more Spark job per failed expectation.)
_RESULT_FORMAT = {"result_format": "SUMMARY", "partial_unexpected_count": 0}

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
    table: Table, frame: DataFrame, facts: DataFrame, suite: Suite, *, partition: Partition, docs: Path | None
) -> Report:
    """Judge the partition's rows of `frame` and its row of `facts` by `suite`.

    One aggregation reads `frame`, whatever the number of expectations; persist it if its lineage is
    long. A wrong schema ends the check at once, as does a day without rows (which few suites allow):
    nothing else could be computed.

    Args:
        docs: the shop's folder of pages; None leaves them as they are.

    Raises:
        RuntimeError: an expectation could not be computed, which says nothing about the data.
    """
    if not suite.table == table.name == partition.table:
        raise ValueError(f"suite {suite.table}, table {table.name} and {partition} do not belong together")
    started = time.perf_counter()
    row = _facts_of(facts, partition)
    results, skipped = _judge(frame, facts, row, suite, partition)
    if docs is not None:
        from nightjar.quality.docs import add_page

        add_page(docs, partition, expectation_suite(suite, suite.rules), _page(results, suite))
    verdicts = tuple(_verdicts(results, suite)) + tuple(_skipped(rule) for rule in skipped)
    return Report(partition, verdicts, row, time.perf_counter() - started, docs)


def _judge(
    frame: DataFrame, facts: DataFrame, row: dict[str, Any], suite: Suite, partition: Partition
) -> tuple[list[Any], list[Rule]]:
    """Results of the rules that can be judged, and the rules that have no history to compare with."""
    from pyspark.sql import functions as F

    batches = _Batches(suite)
    results = batches.validate(frame, [rule for rule in suite.rules if rule.on == "schema"])
    if not all(result.success for result in results):
        return results, []
    if not row.get("num_rows"):
        empty = facts.sparkSession.createDataFrame([(0,)], "num_rows BIGINT")
        return results + batches.validate(empty, [rule for rule in suite.rules if rule.name == "num_rows"]), []
    of_day = F.col("dt") == F.lit(partition.day)
    results += batches.validate(frame.where(of_day), [rule for rule in suite.rules if rule.on == "frame"])
    rules = [rule for rule in suite.rules if rule.on == "facts"]
    skipped = [rule for rule in rules if rule.compares and row.get(rule.name) is None]
    results += batches.validate(facts.where(of_day), [rule for rule in rules if rule not in skipped])
    return results, skipped


class _Batches:
    """An ephemeral Great Expectations context that validates frames, one batch each."""

    def __init__(self, suite: Suite) -> None:
        from nightjar.quality.context import ephemeral_context

        self._suite = suite
        self._num_batches = 0
        self._context = ephemeral_context()

    def validate(self, frame: DataFrame, rules: list[Rule]) -> list[Any]:
        """Results in the order of `rules`, without samples of values."""
        if not rules:
            return []
        self._num_batches += 1
        # Persisting is the caller's business: the frame may be persisted already, and a second copy
        # of a night in memory would be one too many.
        source = self._context.data_sources.add_spark(f"batch_{self._num_batches}", persist=False)
        asset = source.add_dataframe_asset(self._suite.table)
        batch = asset.add_batch_definition_whole_dataframe("day").get_batch({"dataframe": frame})
        suite = expectation_suite(self._suite, rules)
        validated = batch.validate(suite, result_format=_RESULT_FORMAT)
        by_name = {result.expectation_config.meta["name"]: _masked(result) for result in validated.results}
        return [by_name[rule.name] for rule in rules]


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


def _masked(result: Any) -> Any:
    """The result without any value of the data; computed aggregates and type names stay.

    Asking for no samples already keeps values out. This holds should a release start to add them.
    """
    if _raised(result.exception_info):
        name = result.expectation_config.meta["name"]
        # The message may quote a value, so only its kind is told.
        raise RuntimeError(f"expectation {name} could not be computed: {_exception_kinds(result.exception_info)}")
    column = result.expectation_config.kwargs.get("column")
    kept = {name: value for name, value in result.result.items() if "unexpected_" not in name or _is_number(value)}
    if column in MASKED and "type_" not in result.expectation_config.kwargs:
        kept.pop("observed_value", None)
    result.result = kept
    return result


def _is_number(value: object) -> bool:
    return isinstance(value, int | float)


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
    seen = result.result
    if rule.name == "columns":
        return ", ".join(seen.get("observed_value", ()))
    if "unexpected_count" in seen:
        return f"{seen['unexpected_count']} of {seen['element_count']} rows"
    value = seen.get("observed_value")
    return f"{value:.6g}" if _is_number(value) else str(value)


def _expected(rule: Rule) -> str:
    low, high = rule.kwargs.get("min_value"), rule.kwargs.get("max_value")
    if rule.on == "facts":
        if low is None or high is None:
            return f"at most {high:g}" if low is None else f"at least {low:g}"
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"
    if "value_set" in rule.kwargs:
        return "only " + ", ".join(rule.kwargs["value_set"])
    return str(rule.kwargs.get("type_") or ", ".join(rule.kwargs.get("column_list", ())) or "no null")


def _facts_of(facts: DataFrame, partition: Partition) -> dict[str, Any]:
    rows = [row.asDict() for row in facts.collect() if row["dt"] == partition.day]
    if len(rows) > 1:
        raise ValueError(f"{len(rows)} rows of facts for {partition}")
    return {**(rows[0] if rows else {"num_rows": 0}), "dt": partition.day.isoformat()}


def _page(results: list[Any], suite: Suite) -> ExpectationSuiteValidationResult:
    """One result for one page, though table and facts were two batches."""
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
