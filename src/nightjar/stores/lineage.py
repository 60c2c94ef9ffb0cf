"""A job's runs as OpenLineage events: what it read and wrote, what was checked, and which task of Airflow asked for it.

Events go to `lineage/<shop>/<day>/<job>.jsonl`, a line each, or to whatever OpenLineage's own variables name
(`OPENLINEAGE_URL`, `OPENLINEAGE_CONFIG`, `OPENLINEAGE__TRANSPORT__…`). A job that is killed leaves its START alone.
Nothing in an event is a person's: tables, columns, counts and names of checks only.
"""

from __future__ import annotations

import logging
import os
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightjar.contracts import TABLES, Column, Partition
from nightjar.stores.home import Home
from nightjar.stores.touched import Outside, Touched

if TYPE_CHECKING:
    from openlineage.client.event_v2 import Dataset, RunEvent
    from openlineage.client.facet_v2 import DatasetFacet, RunFacet, parent_run

PRODUCER = "urn:nightjar:jobs"

LISTENER = "io.openlineage.spark.agent.OpenLineageSparkListener"

#: `namespace/job/run` of the task that started the job, and of the night above it; dags/_tasks.py sets them.
PARENT, ROOT = "OPENLINEAGE_PARENT_ID", "OPENLINEAGE_ROOT_PARENT_ID"

#: A job waits no longer for whoever takes an event; twice in its life.
PATIENCE_SECONDS = 10.0


def namespace() -> str:
    """Of jobs and tasks."""
    return os.environ.get("OPENLINEAGE_NAMESPACE") or "nightjar"


def is_elsewhere(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether OpenLineage's own variables say where events go."""
    names = ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG")
    return any(environment.get(name) for name in names) or any(
        name.startswith("OPENLINEAGE__TRANSPORT") for name in environment
    )


def is_off() -> bool:
    return os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true"


@dataclass
class Run:
    """One attempt of one job. Whatever goes wrong here is a warning: lineage never costs a night.

    Args:
        name: the job's, with its prefix.
    """

    home: Home
    partition: Partition
    name: str
    log: logging.Logger
    id: str = field(default_factory=lambda: str(uuid.uuid4()))

    def __post_init__(self) -> None:
        self._broken = is_off()
        self._first: threading.Thread | None = None

    @property
    def job(self) -> str:
        return f"jobs.{self.partition.shop}.{self.name}"

    @property
    def file(self) -> Path:
        return self.home.lineage(self.partition.shop, self.partition.day) / f"{self.name}.jsonl"

    def started(self) -> None:
        """Returns at once: importing OpenLineage takes a third of a second, and the job has other things to begin."""
        if not self._broken:
            event_time = datetime.now(UTC)
            self._first = threading.Thread(
                target=self._emit, args=(lambda: self._event("START", event_time),), daemon=True
            )
            self._first.start()

    def done(self, touched: Touched) -> None:
        self._ended(lambda: self._event("COMPLETE", datetime.now(UTC), touched))

    def failed(self, failure: str) -> None:
        """Args: failure: bad_data or environment; the error's text stays in the manifest, it may quote a record."""
        self._ended(lambda: self._event("FAIL", datetime.now(UTC), failure=failure))

    def listener(self, jar: str) -> dict[str, str]:
        """Spark settings for OpenLineage's own listener; none without its jar."""
        if not jar or self._broken:
            return {}
        if not Path(jar).is_file():
            self.log.warning("no lineage of single queries: there is no %s, see [spark] openlineage_jar", jar)
            return {}
        conf = {
            "spark.jars": jar,
            "spark.extraListeners": LISTENER,
            "spark.openlineage.namespace": namespace(),
            "spark.openlineage.parentJobNamespace": namespace(),
            "spark.openlineage.parentJobName": self.job,
            "spark.openlineage.parentRunId": self.id,
        }
        if not is_elsewhere():
            self.file.parent.mkdir(parents=True, exist_ok=True)
            place = self.file.with_suffix(".spark")  # not .jsonl: its jobs are queries, no jobs of ours
            conf |= {"spark.openlineage.transport.type": "file", "spark.openlineage.transport.location": str(place)}
        return conf

    # -- telling

    def _ended(self, event: Callable[[], RunEvent]) -> None:
        """Wait until START is out, or nobody takes it; then tell the end in the same way."""
        if self._first is None:
            return
        self._first.join(PATIENCE_SECONDS)
        last = threading.Thread(target=self._emit, args=(event,), daemon=True)
        if not self._first.is_alive() and not self._broken:
            last.start()
            last.join(PATIENCE_SECONDS)
        if self._first.is_alive() or last.is_alive():  # a server that hangs must not hang the job
            self._warn(f"nobody took an event within {PATIENCE_SECONDS:g} s")

    def _emit(self, event: Callable[[], RunEvent]) -> None:
        try:
            from openlineage.client import OpenLineageClient
            from openlineage.client.event_v2 import set_producer

            set_producer(PRODUCER)
            config = None
            if not is_elsewhere():
                self.file.parent.mkdir(parents=True, exist_ok=True)
                # One write to a file opened for appending: a line is whole, whatever runs beside it.
                config = {"transport": {"type": "file", "log_file_path": str(self.file), "append": True}}
            client = OpenLineageClient(config=config)
            client.emit(event())
            client.close(PATIENCE_SECONDS)
        except Exception as error:
            self._warn(type(error).__name__)  # not its text: an address in it may hold a secret

    def _warn(self, problem: str) -> None:
        self._broken = True
        self.log.warning("this run's lineage is not complete: %s", problem)

    # -- events

    def _event(self, kind: str, moment: datetime, touched: Touched | None = None, failure: str = "") -> RunEvent:
        from openlineage.client import event_v2
        from openlineage.client.facet_v2 import error_message_run, job_type_job, tags_run

        facets: dict[str, RunFacet] = {
            "tags": tags_run.TagsRunFacet(
                [tags_run.TagsRunFacetFields("partition", str(self.partition), source="nightjar")]
            )
        }
        if parent := _parent():
            facets["parent"] = parent
        if failure:
            facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(failure, "python")
        if touched and touched.checks:
            facets["test"] = _tests(touched)
        return event_v2.RunEvent(
            eventType=event_v2.RunState[kind],
            eventTime=moment.isoformat(),
            run=event_v2.Run(self.id, facets),
            job=event_v2.Job(
                namespace(),
                self.job,
                {"jobType": job_type_job.JobTypeJobFacet("BATCH", "NIGHTJAR", "JOB")},
            ),
            inputs=self._inputs(touched) if touched else [],
            outputs=self._outputs(touched) if touched else [],
        )

    def _inputs(self, touched: Touched) -> list[Any]:
        from openlineage.client.event_v2 import InputDataset

        found = [self._table(InputDataset, name) for name in touched.inputs]
        return [*found, *(_outside(InputDataset, one) for one in _ordered(touched.sources))]

    def _outputs(self, touched: Touched) -> list[Any]:
        from openlineage.client.event_v2 import OutputDataset
        from openlineage.client.facet_v2 import data_quality_assertions_dataset as assertions
        from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

        found = {}
        for name in sorted(touched.written):
            found[name] = self._table(OutputDataset, name)
            rows = touched.written[name]
            found[name].outputFacets = {"outputStatistics": statistics.OutputStatisticsOutputDatasetFacet(rows)}
        for name in sorted({check["table_name"] for check in touched.checks} & found.keys()):
            verdicts = [
                assertions.Assertion(check["expectation"], bool(check["success"]), severity=_severity(check))
                for check in touched.checks
                if check["table_name"] == name
            ]
            found[name].facets["dataQualityAssertions"] = assertions.DataQualityAssertionsDatasetFacet(verdicts)
        outside = []
        for one in _ordered(touched.targets):
            outside.append(_outside(OutputDataset, one))
            if (counted := touched.targets[one]) is not None:
                outside[-1].outputFacets = {"outputStatistics": statistics.OutputStatisticsOutputDatasetFacet(counted)}
        return [*found.values(), *outside]

    def _table(self, kind: type[Dataset], name: str) -> Any:
        from openlineage.client.facet_v2 import symlinks_dataset

        shop, table = self.partition.shop, TABLES[name]
        facets = _described(table.doc, table.columns)
        known_as = symlinks_dataset.Identifier(namespace(), f"{shop}.{name}", "TABLE")
        facets["symlinks"] = symlinks_dataset.SymlinksDatasetFacet([known_as])
        return kind("file", str(self.home.lake / shop / name), facets=facets)


def _ordered(found: Any) -> list[Outside]:
    return sorted(found, key=lambda one: (one.namespace, one.name))


def _outside(kind: type[Dataset], one: Outside) -> Any:
    return kind(one.namespace, one.name, facets=_described(one.doc, one.columns))


def _described(doc: str, columns: tuple[Column, ...]) -> dict[str, DatasetFacet]:
    from openlineage.client.facet_v2 import documentation_dataset, schema_dataset

    facets: dict[str, DatasetFacet] = {}
    if doc:
        facets["documentation"] = documentation_dataset.DocumentationDatasetFacet(doc)
    if columns:
        fields = [schema_dataset.SchemaDatasetFacetFields(column.name, column.type, column.doc) for column in columns]
        facets["schema"] = schema_dataset.SchemaDatasetFacet(fields)
    return facets


def _tests(touched: Touched) -> RunFacet:
    from openlineage.client.facet_v2 import test_run

    return test_run.TestRunFacet(
        [
            test_run.TestExecution(
                f"{check['table_name']}.{check['expectation']}",
                "pass" if check["success"] else "fail",
                severity=_severity(check),
            )
            for check in touched.checks
        ]
    )


def _severity(check: Mapping[str, Any]) -> str:
    return "error" if check["severity"] == "stop" else "warn"


def _parent() -> parent_run.ParentRunFacet | None:
    from openlineage.client.facet_v2 import parent_run

    given, above = os.environ.get(PARENT, ""), os.environ.get(ROOT, "")
    if given.count("/") < 2:
        return None
    space, name, run = given.rsplit("/", 2)
    root = None
    if above.count("/") >= 2:
        top, night, root_run = above.rsplit("/", 2)
        root = parent_run.Root(run=parent_run.RootRun(root_run), job=parent_run.RootJob(top, night))
    return parent_run.ParentRunFacet(run=parent_run.Run(run), job=parent_run.Job(space, name), root=root)
