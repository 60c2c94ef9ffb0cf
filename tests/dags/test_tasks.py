"""When a task is green, red at once, or tried again: real processes, real spark-submit, a real run."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest
from airflow.providers.openlineage.plugins.adapter import OpenLineageAdapter
from airflow.sdk.exceptions import AirflowException, AirflowFailException

import _tasks

DAY = date(2001, 1, 15)

#: a job of a few lines that ends as the environment variable FAKE_<JOB> says
FAKE = """
import json, os, sys
from pathlib import Path
job = Path(sys.argv[0]).stem
flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))
partition = next(value for value in flags.values() if "/dt=" in value)
shop, _, day = partition.split("/")
wanted = os.environ.get("FAKE_" + job.upper(), "done")
path = Path(os.environ["NIGHTJAR_HOME"], "runs", shop, day.removeprefix("dt="), job + ".json")
said = {"job": job, "run_id": flags["--run"], "status": "done", "failure": None, "counts": {"rows_rejected": 2}}
said["tables"] = {"read": [], "written": {"events": 7, "surprise": 1}}
if wanted in ("bad_data", "environment"):
    said |= {"status": "failed", "failure": wanted, "error": f"{job}: failed expectation row_count\\n  next: look"}
if wanted == "other_run":
    said["run_id"] = "another"
if wanted not in ("silent", "crash", "killed"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(said))
if wanted == "killed":
    os.kill(os.getpid(), 9)
sys.exit({"bad_data": 1, "environment": 2, "crash": 1}.get(wanted, 0))
"""


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], Path]:
    def write(job: str) -> Path:
        path = tmp_path / f"{job}.py"
        path.write_text(FAKE)
        return path

    return write


def context(dag: Any, **params: Any) -> dict[str, Any]:
    run = SimpleNamespace(logical_date=None, run_after=datetime(2001, 1, 16, 2, tzinfo=UTC), run_id="by:hand")
    events: defaultdict[Any, SimpleNamespace] = defaultdict(SimpleNamespace)
    return {"params": {**dag.params.dump(), "day": DAY.isoformat(), **params}, "dag_run": run, "outlet_events": events}


def prepared(dag: Any, task_id: str, script: Callable[[str], Path], **params: Any) -> tuple[Any, dict[str, Any]]:
    """The DAG's own task, rendered, with a fake job in place of ours."""
    task = dag.get_task(task_id).prepare_for_execution()
    given = context(dag, **params)
    task.render_template_fields(given)
    fake = str(script(task.job))
    if isinstance(task, _tasks.SparkJob):
        task.application = fake
    else:
        task.argv = [sys.executable, fake, *task.argv[2:]]
    return task, given


def result(job: str) -> Path:
    return _tasks.HOME / "runs" / "synthetic" / DAY.isoformat() / f"{job}.json"


VERDICTS = [
    ("done", None, ""),
    ("bad_data", AirflowFailException, "failed expectation row_count"),
    ("crash", AirflowFailException, "exit code 1 and no result"),
    ("environment", AirflowException, "failed expectation row_count"),
    ("silent", AirflowException, "exit code 0 and no result"),
    ("other_run", AirflowException, "is of run another, not of by_hand"),
]


def verdict(task: Any, given: dict[str, Any]) -> tuple[type[BaseException] | None, str]:
    try:
        task.execute(given)
    except AirflowException as error:
        return type(error), str(error)
    return None, ""


@pytest.mark.parametrize(("wanted", "kind", "text"), [*VERDICTS, ("killed", AirflowException, "exit code -9")])
def test_python_job(
    dag: Any,
    script: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    wanted: str,
    kind: type[BaseException] | None,
    text: str,
) -> None:
    monkeypatch.setenv("FAKE_TRAIN", wanted)
    found, said = verdict(*prepared(dag, "train", script))
    assert found is kind
    assert text in said


@pytest.mark.parametrize(("wanted", "kind", "text"), [VERDICTS[0], VERDICTS[1], VERDICTS[3], VERDICTS[4]])
def test_spark_job(
    dag: Any,
    script: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    wanted: str,
    kind: type[BaseException] | None,
    text: str,
) -> None:
    """Through the jobs' own spark-submit: exit codes come back through the JVM."""
    monkeypatch.setenv("FAKE_CLEAN", wanted)
    found, said = verdict(*prepared(dag, "clean", script))
    assert found is kind
    assert text in said


def test_an_older_result_of_the_same_run_does_not_count(
    dag: Any, script: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, given = prepared(dag, "train", script)
    task.execute(given)
    assert json.loads(result("train").read_text())["status"] == "done"
    monkeypatch.setenv("FAKE_TRAIN", "silent")
    with pytest.raises(AirflowException, match="no result"):
        task.execute(given)


def test_kill_ends_the_job_and_its_children(dag: Any, tmp_path: Path) -> None:
    script = tmp_path / "train.py"
    script.write_text(
        "import pathlib, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
        f"pathlib.Path({str(tmp_path / 'child')!r}).write_text(str(child.pid))\n"
        "time.sleep(600)\n"
    )
    task, given = prepared(dag, "train", lambda job: script)
    caught: list[BaseException] = []

    def execute() -> None:
        try:
            task.execute(given)
        except AirflowException as error:
            caught.append(error)

    thread = threading.Thread(target=execute)
    thread.start()
    deadline = time.monotonic() + 30
    while not (tmp_path / "child").exists() or not (tmp_path / "child").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    child = int((tmp_path / "child").read_text())
    task.on_kill()
    thread.join(timeout=30)
    assert not thread.is_alive()
    assert caught
    assert not psutil.pid_exists(child) or psutil.Process(child).status() == psutil.STATUS_ZOMBIE


def test_landing_wants_the_raw_logs_of_a_real_shop(dag: Any, script: Callable[[str], Path], tmp_path: Path) -> None:
    def land(**params: Any) -> None:
        task, given = prepared(dag, "land", script, source="retailrocket", **params)
        task.execute(given)

    with pytest.raises(AirflowFailException, match="source retailrocket needs raw logs"):
        land()
    with pytest.raises(AirflowFailException, match=r"no raw logs at .*nowhere"):
        land(raw=str(tmp_path / "nowhere"))
    land(raw=str(tmp_path))
    assert not result("simulate").exists()


@pytest.mark.parametrize(
    ("broken", "skipped"),
    [
        ("train", {"evaluate"}),
        ("marts", set()),
        ("features", {"train_scores", "score_people", "decide", "realise_scores"}),
    ],
    ids=["train", "marts", "features"],
)
def test_what_readers_do_not_need_costs_no_night_and_ends_it_red(
    dag: Any,
    database: None,
    script: Callable[[str], Path],
    monkeypatch: pytest.MonkeyPatch,
    broken: str,
    skipped: set[str],
) -> None:
    monkeypatch.setenv(f"FAKE_{broken.upper()}", "bad_data")
    for task in dag.tasks:
        if isinstance(task, _tasks.SparkJob):
            monkeypatch.setattr(task, "application", str(script(task.job)))
        elif isinstance(task, _tasks.PythonJob):
            monkeypatch.setattr(task, "argv", [sys.executable, str(script(task.job)), *task.argv[2:]])
    run = dag.test(run_conf={"day": DAY.isoformat()})
    states = {instance.task_id: str(instance.state) for instance in run.get_task_instances()}
    assert states == dict.fromkeys(dag.task_ids, "success") | {broken: "failed"} | dict.fromkeys(
        {*skipped, "verdict"}, "upstream_failed"
    )
    assert str(run.state) == "failed"
    assert os.environ["NIGHTJAR_HOME"] == str(_tasks.HOME)


def test_assets_carry_the_night_and_its_rows(dag: Any, script: Callable[[str], Path]) -> None:
    """Of each table that the DAG says the task writes; one that it does not know of is said."""
    task, given = prepared(dag, "clean", script)
    warned: list[str] = []
    task.log.warning = lambda text, *values: warned.append(text % values)
    assert task._tell(given, _night_with_result(task, given)) == "9 rows in, 7 rows out, 2 rejected, 1 warnings, 4 s."
    extras = {asset.name: event.extra for asset, event in given["outlet_events"].items()}
    night = {"shop": "synthetic", "day": "2001-01-15", "rows_rejected": 2, "warnings": ["few rows"]}
    assert extras == {
        "nightjar_events": night | {"rows": 7},
        "nightjar_quarantine": night | {"rows": 0},
        "nightjar_data_quality": night | {"rows": 0},
    }
    assert warned == ["the DAG does not say that this task writes surprise"]


@pytest.mark.parametrize(("warnings", "number"), [(None, 0), ([], 0), (["few rows"], 1), (0, 0), (3, 3)])
def test_a_job_may_list_its_warnings_or_count_them(warnings: Any, number: int) -> None:
    said = {"counts": {"rows_in": 9, "warnings": warnings}, "seconds": 4.2}
    assert _tasks.sentence(said) == f"9 rows in, {number} warnings, 4 s."


def _night_with_result(task: Any, given: dict[str, Any]) -> Any:
    night = task._night(given)
    path = task._result(night)
    path.parent.mkdir(parents=True, exist_ok=True)
    tables = {"read": [], "written": {"events": 7, "surprise": 1}}
    counts = {"rows_in": 9, "rows_out": 7, "rows_rejected": 2, "warnings": ["few rows"]}
    path.write_text(json.dumps({"run_id": night.run, "counts": counts, "tables": tables, "seconds": 4.2}))
    return night


def test_buttons_lead_behind_airflows_login(
    dag: Any, script: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    task, given = prepared(dag, "train", script)
    night = task._night(given)
    said = {"run_id": night.run, "partition": "synthetic/sequences/dt=2001-01-15", "counts": {"model_version": "3"}}
    result("train").parent.mkdir(parents=True, exist_ok=True)
    result("train").write_text(json.dumps(said))
    key = SimpleNamespace(dag_id="nightly", run_id="by:hand", task_id="train")
    links = {link.name: link for link in task.operator_extra_links}
    found = {name: link.get_link(task, ti_key=key) for name, link in links.items()}
    assert found == {
        "Report": "http://localhost:8080/nightjar/report/nightly/by%3Ahand",
        "Data Docs": "http://localhost:8080/nightjar/checks/nightly/by%3Ahand",
        "MLflow": "",
    }
    monkeypatch.setenv("NIGHTJAR_MLFLOW_URL", "http://127.0.0.1:5000/")
    task._tell(given, night)
    model = "http://127.0.0.1:5000/#/models/nightjar_synthetic"
    assert links["MLflow"].get_link(task, ti_key=key) == f"{model}/versions/3"
    said["counts"] |= {"mlflow_page": "experiments/1/runs/0af3"}
    result("train").write_text(json.dumps(said))
    task._tell(given, night)
    assert links["MLflow"].get_link(task, ti_key=key) == "http://127.0.0.1:5000/#/experiments/1/runs/0af3"


def test_a_job_is_told_which_task_it_belongs_to(dag: Any, script: Callable[[str], Path]) -> None:
    """As Airflow's own events name the task: the provider's listener makes its ids the same way."""
    task, given = prepared(dag, "train", script)
    assert task._parents(given) == {}  # nobody told us of a task: a warning, and the job runs
    moment = datetime(2001, 1, 16, 2, tzinfo=UTC)
    run = SimpleNamespace(logical_date=moment, run_after=moment, clear_number=0, conf={})
    given["ti"] = SimpleNamespace(
        dag_id="nightly", task_id="train", try_number=2, map_index=-1, dag_run=run, get_template_context=lambda: given
    )
    given["ti"].task = task
    found = task._parents(given)
    mine, night = (found[name].split("/") for name in ("OPENLINEAGE_PARENT_ID", "OPENLINEAGE_ROOT_PARENT_ID"))
    assert (mine[1], night[1]) == ("nightly.train", "nightly")
    assert mine[2] != night[2]
    ids = OpenLineageAdapter.build_task_instance_run_id("nightly", "train", 2, moment, -1)
    assert mine[2] == ids


def test_the_listeners_jar_is_there_before_the_jvm(dag: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("_tasks.check_run_sets", lambda sets: None)  # an operator's file says it, no run may
    task = dag.get_task("score").prepare_for_execution()
    task.render_template_fields(context(dag, set=["spark.openlineage_jar=/jars/openlineage.jar"]))
    assert task.conf["spark.jars"] == "/jars/openlineage.jar"
    plain = dag.get_task("score").prepare_for_execution()
    plain.render_template_fields(context(dag))
    assert "spark.jars" not in plain.conf


def test_lineage_reaches_from_the_log_to_the_warehouse(dag: Any) -> None:
    """Every table that a task reads is written by one before it, and what leaves the house comes from the log."""
    before = {task.task_id: {one.task_id for one in task.get_flat_relatives(upstream=True)} for task in dag.tasks}
    writers: dict[str, set[str]] = defaultdict(set)
    for task in dag.tasks:
        for asset in task.outlets:
            writers[asset.name].add(task.task_id)
    for task in dag.tasks:
        for asset in task.inlets:
            # Those that look back read what earlier nights wrote.
            earlier = dag.task_ids if task.task_id in ("realise", "realise_scores") else before[task.task_id]
            assert writers[asset.name] & set(earlier), (task.task_id, asset.name)
    assert writers["nightjar_warehouse"] == {"publish"}
    assert writers["nightjar_events"] == {"clean"}
