"""Who is told when a night is late, and with which command."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk import DeadlineAlert, SyncCallback
from airflow.serialization.serialized_objects import DagSerialization

import _alerts
import _tasks

#: As the REST API tells of a run, which is what a callback is given.
RUN: dict[str, Any] = {
    "dag_id": "nightly",
    "dag_run_id": "scheduled__2001-01-16T02:00:00+00:00",
    "run_type": "scheduled",
    "logical_date": "2001-01-16T02:00:00Z",
    "run_after": "2001-01-16T02:00:00Z",
    "conf": {},
}


def test_the_night_has_a_deadline(dag: Any) -> None:
    (alert,) = dag.deadline
    assert isinstance(alert, DeadlineAlert)
    assert alert.interval.total_seconds() == 4 * 3600
    assert isinstance(alert.callback, SyncCallback)
    assert alert.callback.path == "_alerts.late"
    DagSerialization.from_dict(DagSerialization.to_dict(dag))


def test_the_command_tells_of_the_runs_own_night() -> None:
    argv = _alerts.command(RUN)
    assert argv[1] == str(_tasks.CHECKOUT / "jobs" / "report.py")
    given = dict(zip(argv[2:-1:2], argv[3:-1:2], strict=True))
    assert given["--recommendations"] == "synthetic/recommendations/dt=2001-01-15"
    assert given["--prefix"] == "late-"
    assert given["--link"].endswith("/dags/nightly/runs/scheduled__2001-01-16T02%3A00%3A00%2B00%3A00")
    assert argv[-1] == "--late"


def test_what_was_typed_by_hand_counts() -> None:
    conf = {"source": "retailrocket", "day": "2015-08-15", "model": "gru", "set": ['digest.when="always"']}
    argv = _alerts.command({**RUN, "logical_date": None, "conf": conf})
    assert "retailrocket/recommendations/dt=2015-08-15" in argv
    assert argv[-2:] == ["--set", 'digest.when="always"']


@pytest.mark.parametrize("run_type", ["scheduled", "backfill"])
def test_airflow_runs_it(run_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its path and with a context, as the executor does; nights that are made up for are never late."""
    from airflow.sdk.execution_time.callback_supervisor import execute_callback

    seen: list[list[str]] = []
    monkeypatch.setattr(_alerts.subprocess, "run", lambda argv, **_: seen.append(argv))
    import structlog

    done = execute_callback(
        "_alerts.late", {"context": {"dag_run": {**RUN, "run_type": run_type}}}, ".", ".", structlog.get_logger()
    )
    assert done == (True, None)
    assert seen == ([_alerts.command(RUN)] if run_type == "scheduled" else [])
