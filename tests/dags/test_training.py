"""Training beside the night: when it runs, on which day, and that neither writes over the other."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import AssetOrTimeSchedule
from airflow.serialization.serialized_objects import DagSerialization

import _tasks

SUNDAY = datetime(2001, 1, 14, 6, tzinfo=UTC)


@pytest.fixture(scope="module")
def training() -> Any:
    import training

    return training.dag


def run_of(run_type: str, events: list[dict[str, Any]] | None = None) -> SimpleNamespace:
    told = [SimpleNamespace(extra=extra) for extra in events or []]
    logical_date = None if events else SUNDAY
    return SimpleNamespace(
        logical_date=logical_date, run_after=SUNDAY, run_id="r", run_type=run_type, consumed_asset_events=told
    )


def argv(dag: Any, task_id: str, run: SimpleNamespace, **params: Any) -> list[str]:
    task = dag.get_task(task_id).prepare_for_execution()
    task.render_template_fields({"params": {**dag.params.dump(), **params}, "dag_run": run})
    return list(task.argv)


def flags(command: list[str]) -> dict[str, str]:
    return dict(zip(command[2::2], command[3::2], strict=True))


def test_structure(training: Any) -> None:
    assert {task.task_id: sorted(task.downstream_task_ids) for task in training.tasks} == {
        "train": ["evaluate"],
        "evaluate": [],
    }


def test_it_waits_for_sunday_or_for_drift(training: Any) -> None:
    assert isinstance(training.schedule, AssetOrTimeSchedule)
    assert training.schedule.timetable.expression == "0 6 * * 0"
    assert [asset.name for asset in training.schedule.asset_condition.objects] == [_tasks.DRIFT.name]
    DagSerialization.from_dict(DagSerialization.to_dict(training))


@pytest.mark.parametrize(
    ("run", "when", "day"),
    [
        (run_of("scheduled"), "now", "2001-01-13"),
        (run_of("manual"), "now", "2001-01-13"),
        (run_of("asset_triggered", [{"source": "synthetic", "day": "2001-01-11"}]), "drift", "2001-01-11"),
    ],
)
def test_reason_and_day(training: Any, run: SimpleNamespace, when: str, day: str) -> None:
    given = flags(argv(training, "train", run))
    assert (given["--when"], given["--sequences"]) == (when, f"synthetic/sequences/dt={day}")
    assert flags(argv(training, "evaluate", run))["--sequences"] == f"synthetic/sequences/dt={day}"


def test_of_several_nights_that_drifted_the_latest_is_trained_on() -> None:
    events = [{"source": "retailrocket", "day": day} for day in ("2015-08-02", "2015-08-09", "2015-08-03")]
    night = _tasks.Night.of({"source": "synthetic", "day": None, "model": "gru", "set": []}, run_of("x", events))
    assert (night.source, night.day) == ("retailrocket", date(2015, 8, 9))


def test_settings_and_a_day_by_hand(training: Any) -> None:
    given = argv(training, "train", run_of("manual"), day="2001-01-02", model="gru", set=["train.epochs=3"])
    assert given[-2:] == ["--set", "train.epochs=3"]
    assert flags(given)["--sequences"] == "synthetic/sequences/dt=2001-01-02"
    assert flags(given)["--conf"].endswith("conf/models/gru.toml")


def test_its_results_stand_beside_the_nights(training: Any, dag: Any) -> None:
    assert {flags(argv(training, task, run_of("manual")))["--prefix"] for task in training.task_ids} == {"training-"}
    assert "--prefix" not in argv(dag, "train", run_of("manual"))
    night = _tasks.Night.of(dag.params.dump(), run_of("manual"))
    paths = {
        (one.dag_id, task): one.get_task(task)._result(night)
        for one in (training, dag)
        for task in ("train", "evaluate")
    }
    assert len(set(paths.values())) == 4
    assert paths["training", "train"].name == "training-train.json"


def test_the_night_trains_only_where_nobody_reigns(dag: Any) -> None:
    assert flags(argv(dag, "train", run_of("scheduled")))["--when"] == "missing"


@pytest.mark.parametrize(
    ("run_type", "drifted", "tells"),
    [("scheduled", [], False), ("scheduled", ["drift of kinds"], True), ("backfill", ["drift of kinds"], False)],
)
def test_a_night_that_drifted_says_so(dag: Any, tmp_path: Path, run_type: str, drifted: list[str], tells: bool) -> None:
    """The task's own run with a job that says what `watch` would say."""
    task = dag.get_task("watch").prepare_for_execution()
    job = tmp_path / "watch.py"
    job.write_text(
        "import json, sys\nfrom pathlib import Path\n"
        f"path = Path({str(_tasks.HOME)!r}, 'runs', 'synthetic', '2001-01-13', 'watch.json')\n"
        "path.parent.mkdir(parents=True, exist_ok=True)\n"
        f"said = {{'run_id': 'r', 'status': 'done', 'failure': None, 'counts': {{'drifted': {json.dumps(drifted)}}}}}\n"
        "path.write_text(json.dumps(said))\n"
    )
    task.argv = [sys.executable, str(job)]
    told: list[tuple[str, dict[str, Any]]] = []
    events: defaultdict[Any, SimpleNamespace] = defaultdict(SimpleNamespace)
    events[_tasks.RETRAIN] = SimpleNamespace(add=lambda asset, extra: told.append((asset.name, extra)))
    task.execute({"params": dag.params.dump(), "dag_run": run_of(run_type), "outlet_events": events})
    said = {"source": "synthetic", "day": "2001-01-13", "drifted": drifted}
    assert told == ([("nightjar_drift", said)] if tells else [])
