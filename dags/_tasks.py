"""How a night starts its jobs: by path and arguments, judged by the result that each job writes.

A job's exit code alone is not trusted: a task is green only when its own attempt left a `done`
result in `runs/<shop>/<day>/<job>.json`.
"""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
from airflow.providers.apache.spark.operators.spark_submit import SparkSubmitOperator
from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import Asset, AssetAlias, BaseOperator, BaseSensorOperator, Context
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from _links import BASE_URL, DataDocs, Mlflow, Report
from nightjar.contracts import BAD_DATA, BadInput, Partition
from nightjar.settings import Conf, check_run_sets, day_before, load_conf, load_shop, load_source, repository

CHECKOUT = repository()
HOME = Path(os.environ.get("NIGHTJAR_HOME") or CHECKOUT / ".nightjar").absolute()
ENVIRONMENT = Path(os.environ.get("NIGHTJAR_JOBS_ENV") or CHECKOUT / ".envs" / "jobs").absolute()

#: Where executors find a job's driver; on a cluster of several hosts an address that all of them reach.
DRIVER_ADDRESS = os.environ.get("SPARK_LOCAL_IP") or "127.0.0.1"

PREFIX = "nightjar_"

#: The run type of nights that somebody has asked to be made up for.
BACKFILL = "backfill"

#: A night that drifted; the DAG training waits for it.
DRIFT = Asset(f"{PREFIX}drift")

#: What the night's watch may say: an alias is an event only where it is given one.
RETRAIN = AssetAlias(f"{PREFIX}retrain")

#: What BI and CRM tools read.
WAREHOUSE = Asset(f"{PREFIX}warehouse")


def tables(names: str, *more: str) -> list[Asset]:
    """The lake's tables of these names (separated by spaces, or each by itself), as Airflow's assets."""
    return [Asset(f"{PREFIX}{name}") for name in (*names.split(), *more)]


SYNTHETIC = "synthetic"  # the bundled shop, the only one whose raw logs we write ourselves


@dataclass(frozen=True)
class Night:
    """What the params and the run's date amount to; templates read its attributes."""

    source: str
    raw: str
    day: date
    run: str
    model: str
    set: tuple[str, ...]
    link: str = ""  #: the run's page in Airflow

    @classmethod
    def of(cls, params: Mapping[str, Any], dag_run: Any) -> Night:
        """Resolve a run: scheduled, by hand (with a logical date or without), backfilled, or started by a night."""
        nights = [event.extra or {} for event in getattr(dag_run, "consumed_asset_events", None) or ()]
        told = max(nights, key=lambda night: str(night.get("day")), default={})
        # Params were held against their schemas, unless they came with an asset's event or to a callback.
        shop = load_shop(told.get("source") or params["source"])
        moment = dag_run.logical_date or dag_run.run_after
        named = params["day"] or told.get("day")
        day = _day(named) if named else day_before(moment, shop.time_zone)
        raw = params.get("raw") or (str(HOME / "raw" / SYNTHETIC) if shop.name == SYNTHETIC else "")
        if raw and not (isinstance(raw, str) and raw.startswith("/") and raw.isprintable()):
            raise BadInput(
                f"param raw is no absolute path: {str(raw)[:100]!r}", "name the folder of the raw logs, from / on"
            )
        if not re.fullmatch(r"[a-z0-9-]+", str(params["model"])):
            raise BadInput(f"{str(params['model'])[:100]!r} is no name of a model", "ls conf/models")
        check_run_sets(params["set"])
        link = f"{BASE_URL}/dags/{getattr(dag_run, 'dag_id', 'nightly')}/runs/{quote(dag_run.run_id, safe='')}"
        return cls(shop.name, raw, day, file_name(dag_run.run_id), params["model"], tuple(params["set"]), link)

    def partition(self, table: str) -> Partition:
        return Partition(self.source, table, self.day)

    def result(self, name: str) -> Path:
        """The result manifest of that name."""
        return HOME / "runs" / self.source / self.day.isoformat() / f"{name}.json"

    def settings(self) -> Conf:
        return load_conf(files=[self.model_file], source=load_source(self.source), sets=list(self.set))

    @property
    def model_file(self) -> Path:
        return CHECKOUT / "conf" / "models" / f"{self.model}.toml"

    @property
    def overrides(self) -> Iterator[str]:
        for assignment in self.set:
            yield from ("--set", assignment)


def _day(text: object) -> date:
    try:
        return date.fromisoformat(str(text))
    except ValueError as error:
        raise BadInput(f"param day is no date: {str(text)[:100]!r}", "write it as 2001-01-15") from error


def file_name(run_id: str) -> str:
    """A run id that can stand in a path and behind a flag: Hadoop reads a colon as a scheme."""
    return re.sub(r"^[.-]|[^A-Za-z0-9_.-]", "_", run_id)


def judge(result: Path, run: str, exit_code: int | None) -> None:
    """Return when this attempt's result says `done`; the operator removed older results before it began.

    Raises:
        AirflowFailException: bad data; a retry would fail again.
        AirflowException: anything else; a retry may help.
    """
    try:
        said = json.loads(result.read_text(encoding="utf-8"))
    except FileNotFoundError:
        said = {}
    except ValueError as error:
        raise AirflowException(f"{result} is no JSON: {error}") from error
    if said and said.get("run_id") != run:
        raise AirflowException(f"{result} is of run {said.get('run_id')}, not of {run}")
    if said.get("failure") == "bad_data" or (not said and exit_code == BAD_DATA):
        raise AirflowFailException(
            said.get("error") or f"exit code {exit_code} and no result in {result}; see the log above"
        )
    if exit_code == 0 and said.get("status") == "done":
        return
    raise AirflowException(said.get("error") or f"exit code {exit_code} and no result in {result}; see the log above")


def sentence(said: Mapping[str, Any]) -> str:
    """What a job did, in numbers: rows, what was rejected, warnings, seconds.

    Not a note of the task: only people with a login may write those, by the REST API; a task has no such login.
    """
    counts = said.get("counts") or {}
    named = {"rows_in": "rows in", "rows_out": "rows out", "rows_rejected": "rejected"}
    told = [f"{counts[name]:,} {words}" for name, words in named.items() if isinstance(counts.get(name), int)]
    warnings = counts.get("warnings") or 0  # some jobs list them, some count them
    number = warnings if isinstance(warnings, int) else len(warnings)
    return ", ".join([*told, f"{number} warnings", f"{said.get('seconds', 0):.0f} s"]) + "."


def stop_tree(pid: int, patience_seconds: float = 10) -> None:
    """End a process and everything below it: Spark's Python and torchrun's workers outlive a killed parent."""
    with suppress(psutil.NoSuchProcess):
        top = psutil.Process(pid)
        family = [*top.children(recursive=True), top]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.send_signal(signal.SIGTERM)
        _, alive = psutil.wait_procs(family, timeout=patience_seconds)
        for member in alive:
            with suppress(psutil.NoSuchProcess):
                member.kill()


class _Judged(BaseOperator):
    """What both kinds of job share: the night's overrides, a clean slate, the verdict."""

    job: str
    prefix: str = ""  # before the manifest's name
    arguments_field: str
    operator_extra_links = (Report(), DataDocs(), Mlflow())
    said: dict[str, Any] | None = None  # the manifest, once the job is done

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Append `--set` pairs, whose number no template can know."""
        night = self._night(context)
        try:
            super().render_template_fields(context, jinja_env)
        except BadInput as error:
            raise AirflowFailException(str(error)) from error
        arguments = getattr(self, self.arguments_field)
        setattr(self, self.arguments_field, [*arguments, *night.overrides])

    def _night(self, context: Context) -> Night:
        try:
            return Night.of(context["params"], context["dag_run"])
        except BadInput as error:
            raise AirflowFailException(str(error)) from error

    def _forget_old_result(self, night: Night) -> None:
        self._result(night).unlink(missing_ok=True)

    def _result(self, night: Night) -> Path:
        return night.result(f"{self.prefix}{self.job}")

    def _parents(self, context: Context) -> dict[str, str]:
        """Variables that tell a job which task it belongs to; see `nightjar.stores.lineage`."""
        from airflow.providers.openlineage.plugins import macros

        try:
            return {
                "OPENLINEAGE_PARENT_ID": macros.lineage_parent_id(context["ti"]),
                "OPENLINEAGE_ROOT_PARENT_ID": macros.lineage_root_parent_id(context["ti"]),
            }
        except Exception as error:  # lineage never costs a night
            self.log.warning("the job's lineage will not name this task: %s", type(error).__name__)
            return {}

    def _tell(self, context: Context, night: Night) -> str:
        """Tell Airflow what the job said; the sentence becomes the task's return value, which its tab Storage shows."""
        said: dict[str, Any] = json.loads(self._result(night).read_text(encoding="utf-8"))
        self.said = said
        self._tell_assets(context, night, said)
        return sentence(said)

    def _tell_assets(self, context: Context, night: Night, said: Mapping[str, Any]) -> None:
        """Put the night, its rows and what was rejected on the event of each table that the job writes."""
        counts, written = said.get("counts") or {}, (said.get("tables") or {}).get("written", {})
        numbers = {name: counts[name] for name in ("rows_rejected", "warnings") if name in counts}
        declared = {table.name.removeprefix(PREFIX): table for table in self.outlets if isinstance(table, Asset)}
        if unknown := sorted(written.keys() - declared.keys()):
            self.log.warning("the DAG does not say that this task writes %s", ", ".join(unknown))
        for name, table in declared.items():
            rows = counts.get("num_rows") if table == WAREHOUSE else written.get(name, 0)
            extra = {"shop": night.source, "day": night.day.isoformat(), "rows": rows, **numbers}
            context["outlet_events"][table].extra = extra


class SparkJob(_Judged, SparkSubmitOperator):
    """`spark-submit` of the jobs' environment; the connection `spark_nightjar` says where it runs."""

    arguments_field = "application_args"

    def render_template_fields(self, context: Context, jinja_env: Any = None) -> None:
        """Add the jar of OpenLineage's listener, which the JVM must know before it starts."""
        super().render_template_fields(context, jinja_env)
        if jar := self._night(context).settings().spark.openlineage_jar:
            self.conf = {**self.conf, "spark.jars": jar}

    def __init__(self, *, job: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job

    def execute(self, context: Context) -> str:
        night = self._night(context)
        self._forget_old_result(night)
        self.env_vars = {**(self.env_vars or {}), **self._parents(context)}
        try:
            super().execute(context)
        except AirflowException as error:
            self.log.error("%s", error)
        judge(self._result(night), night.run, self._exit_code)
        return self._tell(context, night)

    @property
    def _exit_code(self) -> int | None:
        process = getattr(self._hook, "_submit_sp", None)
        return process.returncode if process else None

    def on_kill(self) -> None:
        process = getattr(self._hook, "_submit_sp", None)
        if process and process.poll() is None:
            stop_tree(process.pid)
        super().on_kill()


class PythonJob(_Judged):
    """A job without Spark: one argv, started with the Python of the jobs' environment."""

    template_fields: Sequence[str] = ("argv",)
    arguments_field = "argv"

    def __init__(self, *, job: str, argv: list[str], prefix: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.job = job
        self.prefix = prefix
        self.argv = [*argv, *(["--prefix", prefix] if prefix else [])]
        self._hook: SubprocessHook | None = None

    def execute(self, context: Context) -> str:
        night = self._night(context)
        self._forget_old_result(night)
        self._hook = SubprocessHook()
        environment = {**os.environ, **self._parents(context)}
        outcome = self._hook.run_command(self.argv, env=environment, cwd=str(CHECKOUT))
        judge(self._result(night), night.run, outcome.exit_code)
        return self._tell(context, night)

    def on_kill(self) -> None:
        process = self._hook and self._hook.sub_process
        if process and process.poll() is None:
            stop_tree(process.pid)


class Watching(PythonJob):
    """Tell the DAG training of a night that drifted; what a backfill finds is history."""

    def execute(self, context: Context) -> str:
        told = super().execute(context)
        night = self._night(context)
        drifted = ((self.said or {}).get("counts") or {}).get("drifted")
        if drifted and context["dag_run"].run_type != BACKFILL:
            said = {"source": night.source, "day": night.day.isoformat(), "drifted": drifted}
            context["outlet_events"][RETRAIN].add(DRIFT, extra=said)
            self.log.info("%s: the DAG training is told", ", ".join(drifted))
        return told


class Turn(BaseSensorOperator):
    """Of a backfill's nights, run them in the order of their days.

    A night reads what the nights before it wrote, and late records of an earlier day arrive with a later night: two of
    them side by side would read what neither would have seen alone. A scheduled night never waits for a backfill.
    """

    def __init__(self, **operator: Any) -> None:
        # Airflow counts a backfill's runs by themselves, whatever max_active_runs the DAG has.
        super().__init__(mode="reschedule", poke_interval=30, **operator)

    def poke(self, context: Context) -> bool:
        if context["dag_run"].run_type != BACKFILL:
            return True
        earlier = context["ti"].get_previous_dagrun(state="running")
        if earlier is not None:
            self.log.info("waiting for %s", earlier.run_id)
        return earlier is None


class Landing(PythonJob):
    """Have the raw logs: the synthetic shop writes its own, any other shop's must be there."""

    def execute(self, context: Context) -> str:
        night = self._night(context)
        if night.source == SYNTHETIC:
            return super().execute(context)
        if not night.raw:
            raise AirflowFailException(
                f"source {night.source} needs raw logs\n  next: trigger with param raw, or make nightly RAW=…"
            )
        if not Path(night.raw).exists():
            raise AirflowFailException(f"no raw logs at {night.raw}\n  next: ls -l {Path(night.raw).parent}")
        return f"The raw logs of {night.source} are at {night.raw}."


def spark_job(verb: str, *, table: str, raw: bool = False, **operator: Any) -> SparkJob:
    """The task that submits `jobs/<verb>.py` for the night's partition of `table`."""
    return SparkJob(
        task_id=verb,
        job=verb,
        name=f"nightjar {verb}",
        application=str(CHECKOUT / "jobs" / f"{verb}.py"),
        application_args=_arguments(table, raw),
        conn_id="spark_nightjar",
        spark_binary=str(ENVIRONMENT / "bin" / "spark-submit"),
        # What the driver's JVM must know before it starts; every other setting is the job's own.
        conf={
            "spark.driver.memory": "{{ night(params, dag_run).settings().spark.driver_memory_gib }}g",
            "spark.driver.extraJavaOptions": "{{ night(params, dag_run).settings().spark.java_options }}",
        },
        env_vars={
            "PYSPARK_PYTHON": str(ENVIRONMENT / "bin" / "python"),
            "PYSPARK_DRIVER_PYTHON": str(ENVIRONMENT / "bin" / "python"),
            "SPARK_LOCAL_IP": DRIVER_ADDRESS,
        },
        **operator,
    )


def python_job(verb: str, *, table: str, more: Sequence[str] = (), **operator: Any) -> PythonJob:
    """The task that runs `jobs/<verb>.py` for the night's partition of `table`, without Spark."""
    return PythonJob(task_id=verb, job=verb, argv=[*_argv(verb, table), *more], **operator)


def watching(task_id: str, **operator: Any) -> Watching:
    """The task that holds the night against those before it."""
    argv = _argv("watch", "recommendations")
    outlets = [RETRAIN, *operator.pop("outlets", [])]
    return Watching(task_id=task_id, job="watch", argv=argv, outlets=outlets, **operator)


def landing(task_id: str, **operator: Any) -> Landing:
    """The task that has the raw logs ready."""
    return Landing(task_id=task_id, job="simulate", argv=_argv("simulate", "events", raw=True), **operator)


def _argv(verb: str, table: str, raw: bool = False) -> list[str]:
    return [str(ENVIRONMENT / "bin" / "python"), str(CHECKOUT / "jobs" / f"{verb}.py"), *_arguments(table, raw)]


def _arguments(table: str, raw: bool) -> list[str]:
    night = "night(params, dag_run)"
    flags = {"source": "source", table: f"partition('{table}')", "run": "run", "conf": "model_file"}
    if raw:
        flags["raw"] = "raw"
    return [part for flag, value in flags.items() for part in (f"--{flag}", f"{{{{ {night}.{value} }}}}")]
