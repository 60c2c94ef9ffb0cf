"""The DAG as a reader of the UI sees it: structure, policy, schedule, rendered command lines."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, CronTriggerTimetable
from airflow.sdk.exceptions import AirflowFailException, ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables import trigger
from airflow.timetables.base import TimeRestriction

import _tasks

CHECKOUT, SCRATCH = _tasks.CHECKOUT, _tasks.HOME.parent
JOINS = {"champion", "settled", "turn", "verdict"}  # and the wait: tasks that start no job
SPARK = {"clean", "sessionize", "identity", "sequences", "score", "features", "marts"}


def context(dag: Any, run_id: str = "scheduled__2001-01-16T02:00:00+00:00", **params: Any) -> dict[str, Any]:
    """What a task sees at run time, as far as our templates and operators look."""
    run = SimpleNamespace(
        logical_date=datetime(2001, 1, 16, 2, tzinfo=UTC), run_after=datetime(2001, 1, 16, 2, tzinfo=UTC), run_id=run_id
    )
    return {"params": {**dag.params.dump(), **params}, "dag_run": run}


def rendered(dag: Any, task_id: str, **params: Any) -> Any:
    task = dag.get_task(task_id).prepare_for_execution()
    task.render_template_fields(context(dag, **params))
    return task


def test_every_dag_file_imports() -> None:
    bag = DagBag(CHECKOUT / "dags")
    assert bag.import_errors == {}
    assert set(bag.dags) == {"maintenance", "nightly", "training"}


def test_import_costs_less_than_a_second_beyond_airflow() -> None:
    script = (
        "import time, airflow.sdk, airflow.providers.standard.hooks.subprocess\n"
        "import airflow.providers.apache.spark.operators.spark_submit\n"
        "import airflow.providers.standard.operators.empty\n"
        "begin = time.process_time(); import nightly; print('SECONDS', time.process_time() - begin)\n"
        "import sys; print('HEAVY', sorted({'torch', 'pyspark', 'mlflow', 'great_expectations'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=CHECKOUT / "dags", capture_output=True, text=True, check=True
    )
    seconds = float(re.search(r"SECONDS ([\d.]+)", done.stdout).group(1))
    assert seconds < 1
    assert "HEAVY []" in done.stdout


def test_structure(dag: Any) -> None:
    assert {task.task_id: sorted(task.downstream_task_ids) for task in dag.tasks} == {
        "turn": ["land"],
        "land": ["clean"],
        "clean": ["sessionize"],
        "sessionize": ["identity"],
        "identity": ["realise", "sequences"],
        "sequences": ["features", "marts", "score", "train"],
        "features": ["realise_scores", "train_scores"],
        "train_scores": ["score_people"],
        "score_people": ["decide"],
        "decide": ["settled", "verdict"],
        "marts": ["settled", "verdict"],
        "realise": ["settled", "verdict"],
        "realise_scores": ["settled", "verdict"],
        "settled": ["watch"],
        "train": ["evaluate"],
        "evaluate": ["champion", "verdict"],
        "champion": ["score", "train_scores"],
        "score": ["watch"],
        "watch": ["publish"],
        "publish": ["report", "verdict"],
        "report": ["verdict"],
        "verdict": [],
    }
    assert {task.task_id: task.trigger_rule for task in dag.tasks if task.trigger_rule != "all_success"} == {
        "champion": "all_done",
        "report": "all_done",
        "settled": "all_done",
        "verdict": "none_failed",
    }


def test_policy(every_dag: Any) -> None:
    dag = every_dag
    assert {"nightjar", dag.dag_id} <= dag.tags
    assert "docs/runbook.md" in dag.doc_md
    assert dag.catchup is False
    assert dag.max_active_runs == 1
    for task in dag.tasks:
        assert task.owner == "nightjar"
        assert f"docs/runbook.md#{task.task_id}" in task.doc_md
        assert task.execution_timeout is not None
        assert task.retries == 2
        assert task.retry_exponential_backoff > 1
        if task.task_id not in JOINS:
            assert isinstance(task, _tasks.SparkJob if task.task_id in SPARK else _tasks.PythonJob)


def test_every_dag_says_what_when_who_and_what_if(every_dag: Any) -> None:
    found = re.findall(r"^### (.*)\n\n(.+)", every_dag.doc_md, re.MULTILINE)
    assert [heading for heading, _ in found] == ["What", "When", "Who", "What if"]


def test_runbook_has_one_heading_per_task(dag: Any) -> None:
    from maintenance import dag as maintenance

    headings = re.findall(r"^## (.+)$", (CHECKOUT / "docs" / "runbook.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(headings) == sorted({*dag.task_ids, *maintenance.task_ids})


def test_command_lines(dag: Any, golden: Callable[[str, str], None]) -> None:
    lines = {}
    for task in dag.tasks:
        if task.task_id in JOINS:
            continue
        ready = rendered(dag, task.task_id, raw="/raw logs", set=["train.epochs=3", "spark.driver_memory_gib=5"])
        if task.task_id in SPARK:
            hook = ready._get_hook()
            argv = [*hook._build_spark_submit_command(ready.application)]
            lines[task.task_id] = {"argv": argv, "environment": ready.env_vars}
        else:
            lines[task.task_id] = {"argv": ready.argv}
    text = json.dumps(lines, indent=1, ensure_ascii=False)
    golden("command_lines.json", text.replace(str(CHECKOUT), "<checkout>").replace(str(SCRATCH), "<scratch>") + "\n")


NEXT = """
import nightly
from airflow.serialization.serialized_objects import DagSerialization
from airflow.timetables.base import DagRunInfo
from airflow._shared.timezones.timezone import datetime

dag = DagSerialization.from_dict(DagSerialization.to_dict(nightly.dag))
last = DagRunInfo.exact(datetime(2026, 2, 28, 1))
print("NEXT", dag.next_dagrun_info(last_automated_run_info=last))
"""


@pytest.mark.parametrize(("until", "has_next"), [("", True), ("2026-02-28T23:59:59.999999+01:00", False)])
def test_an_airflow_for_a_backfill_has_no_night_after_its_last_one(until: str, *, has_next: bool) -> None:
    """After the last automatic run, a backfill's included, Airflow starts the latest night that the schedule has."""
    variables = {**os.environ, "NIGHTJAR_SCHEDULE": "on", "NIGHTJAR_SCHEDULE_UNTIL": until}
    done = subprocess.run(
        [sys.executable, "-c", NEXT], cwd=CHECKOUT / "dags", env=variables, capture_output=True, text=True, check=True
    )
    said = next(line for line in done.stdout.splitlines() if line.startswith("NEXT "))
    assert (said != "NEXT None") == has_next


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("source", "../etc"),
        ("source", "Shop"),
        ("raw", "relative/path"),
        ("raw", "--conf=/etc/passwd"),
        ("day", "yesterday"),
        ("model", "bert"),
        ("set", ["train.epochs"]),
        ("set", ["--conf=x"]),
        ("set", "train.epochs=3"),
    ],
)
def test_params_refuse(dag: Any, param: str, value: Any) -> None:
    with pytest.raises(ParamValidationError):
        copy.copy(dag.params.get_param(param)).resolve(value)


def test_params_accept(dag: Any) -> None:
    for param, value in {
        "source": "retailrocket",
        "raw": "/data/raw logs/events.csv.gz",
        "day": "2015-08-15",
        "model": "gru",
        "set": ["train.epochs=3", 'sequences.kinds=["view", "cart"]'],
    }.items():
        assert copy.copy(dag.params.get_param(param)).resolve(value) == value


#: Three nights of which the second has no 02:00.
SPRING = ["2026-03-28T02:00+01:00", "2026-03-29T03:00+02:00", "2026-03-30T02:00+02:00"]


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("zone", "moment", "day"),
    [
        ("Europe/Berlin", "2026-03-28T02:00+01:00", "2026-03-27"),
        # 02:00 does not exist on 29 March: the run is at 03:00, and still handles the 28th.
        ("Europe/Berlin", "2026-03-29T03:00+02:00", "2026-03-28"),
        ("Europe/Berlin", "2026-03-30T02:00+02:00", "2026-03-29"),
        # 02:00 happens twice on 25 October; both belong to the night after the 24th.
        ("Europe/Berlin", "2026-10-25T02:00+02:00", "2026-10-24"),
        ("Europe/Berlin", "2026-10-25T02:00+01:00", "2026-10-24"),
        ("Asia/Shanghai", "2026-02-28T18:00+00:00", "2026-02-28"),
        ("America/Los_Angeles", "2024-03-01T10:00+00:00", "2024-02-29"),
        ("UTC", "2026-01-01T02:00+00:00", "2025-12-31"),
    ],
)
def test_day_is_yesterday_in_the_shops_zone(zone: str, moment: str, day: str) -> None:
    assert _tasks.day_before(instant(moment), zone).isoformat() == day


@pytest.mark.parametrize(("first", "month"), [("2026-03-27", 3), ("2026-10-23", 10), ("2026-02-26", 2)])
def test_schedule_runs_every_day_once(first: str, month: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five nights around a change of clocks or of month, without one lost or repeated day."""
    timetable = trigger.CronTriggerTimetable("0 2 * * *", timezone="Europe/Berlin")
    now = trigger.coerce_datetime(instant(f"{first}T12:00+01:00"))
    days, last = [], None
    for _ in range(5):
        monkeypatch.setattr(trigger, "utcnow", lambda now=now: now)
        info = timetable.next_dagrun_info(
            last_automated_data_interval=last, restriction=TimeRestriction(earliest=None, latest=None, catchup=False)
        )
        days.append(_tasks.day_before(info.logical_date, "Europe/Berlin"))
        last, now = info.data_interval, info.run_after.add(minutes=5)
    begin = date.fromisoformat(first).toordinal()
    assert days == [date.fromordinal(begin + offset) for offset in range(5)]
    assert days[0].month == month


def test_dag_is_scheduled_at_two_in_the_shops_zone(dag: Any) -> None:
    import nightly
    from nightjar.settings import load_source

    assert nightly.AT_TWO.expression == "0 2 * * *"
    assert nightly.AT_TWO.timezone == load_source("synthetic").time_zone
    assert dag.schedule == nightly.AT_TWO


def test_backfill_has_one_run_per_day() -> None:
    """Through the serialized DAG, as the backfill command goes."""
    berlin = DAG("berlin", schedule=CronTriggerTimetable("0 2 * * *", timezone="Europe/Berlin"))
    stored = DagSerialization.from_dict(DagSerialization.to_dict(berlin))
    infos = stored.iter_dagrun_infos_between(instant("2026-03-28T00:00+01:00"), instant("2026-03-30T23:59+02:00"))
    days = [_tasks.day_before(info.logical_date, "Europe/Berlin").isoformat() for info in infos]
    assert days == ["2026-03-27", "2026-03-28", "2026-03-29"]


@pytest.mark.parametrize(
    ("run_type", "earlier", "goes"),
    [("backfill", None, True), ("backfill", "the night before", False), ("scheduled", "the night before", True)],
)
def test_nights_of_a_backfill_go_in_order(dag: Any, run_type: str, earlier: str | None, goes: bool) -> None:
    asked = []

    def previous(state: str) -> SimpleNamespace | None:
        asked.append(state)
        return SimpleNamespace(run_id=earlier) if earlier else None

    turn = dag.get_task("turn")
    run = SimpleNamespace(run_type=run_type)
    assert turn.poke({"dag_run": run, "ti": SimpleNamespace(get_previous_dagrun=previous)}) is goes
    assert set(asked) <= {"running"}
    assert turn.reschedule  # no slot is taken while it waits
    assert DagSerialization.from_dict(DagSerialization.to_dict(dag)).get_task("turn").reschedule


def test_airflows_partitions_would_not_do() -> None:
    """What docs/decisions/0008 rests on; a release that changes it is worth another look."""
    timetable = trigger.CronPartitionTimetable(
        "0 2 * * *", timezone="Europe/Berlin", run_offset=-1, key_format="%Y-%m-%d"
    )
    # The tick before 03:00 on 29 March is 02:00 on the 28th; before 02:00 on the 30th it is the 29th at 03:00.
    keys = [timetable._get_partition_info(trigger.coerce_datetime(instant(moment)))[1] for moment in SPRING]
    made_up = timetable.iter_partition_dagrun_infos(earliest=instant(SPRING[0]), latest=instant(SPRING[-1]))
    assert keys != [info.partition_key for info in made_up], "a backfill names nights as the schedule does now"


def test_run_by_hand_without_logical_date_takes_the_day_before_it_started(dag: Any) -> None:
    run = SimpleNamespace(logical_date=None, run_after=datetime(2001, 1, 15, 19, tzinfo=UTC), run_id="manual")
    assert _tasks.Night.of(dag.params.dump(), run).day == date(2001, 1, 14)


def test_param_day_wins(dag: Any) -> None:
    given = context(dag, day="2000-02-29")
    assert _tasks.Night.of(given["params"], given["dag_run"]).day == date(2000, 2, 29)


def test_run_ids_become_file_names() -> None:
    assert _tasks.file_name("manual__2001-01-15T19:00:00+00:00/x") == "manual__2001-01-15T19_00_00_00_00_x"


def test_unknown_source_and_setting_fail_at_once_with_the_next_command(dag: Any) -> None:
    with pytest.raises(AirflowFailException, match=r"no source mapping .*\n  next: choose one of"):
        rendered(dag, "clean", source="nowhere")
    with pytest.raises(AirflowFailException, match=r"unknown key train\.epoch"):
        rendered(dag, "clean", set=["train.epoch=3"])


def test_an_installation_says_where_it_is_and_what_it_sets(tmp_path: Path) -> None:
    script = "import _shop, _tasks; print(_tasks.HOME, _tasks.DRIVER_ADDRESS, *_shop.PARAMS['set'].value, sep='\\n')"
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=CHECKOUT / "dags",
        env={
            "PATH": "/usr/bin:/bin",
            "NIGHTJAR_HOME": str(tmp_path),
            "NIGHTJAR_SET": "publish.target=postgres  score.k=5",
            "SPARK_LOCAL_IP": "10.1.2.3",
            "AIRFLOW_HOME": str(tmp_path),
            "PYTHONPATH": str(CHECKOUT / "src"),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-4:] == [str(tmp_path), "10.1.2.3", "publish.target=postgres", "score.k=5"]


def test_every_model_with_a_configuration_can_be_chosen(dag: DAG) -> None:
    names = {file.stem for file in (CHECKOUT / "conf" / "models").glob("*.toml")}
    assert set(dag.params.get_param("model").schema["enum"]) == names
