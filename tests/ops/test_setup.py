from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from jobs.ops import setup

from nightjar.contracts import BadInput

PIN = re.compile(r"^[A-Za-z0-9._-]+==[A-Za-z0-9.!]+$")


@pytest.mark.parametrize(
    "environment",
    [*setup.ENVIRONMENTS, *setup.PEERS, setup.SUPERSET, setup.AUDIT],
    ids=lambda environment: environment.name,
)
def test_locks_pin_everything_that_is_declared(environment: setup.Environment) -> None:
    lines = environment.lock.read_text().splitlines()
    assert [line for line in lines if not PIN.match(line)] == []  # no build suffix, no URL, no index
    pinned = {name(line) for line in lines}
    assert {name(need) for need in setup.requirements(environment)} <= pinned
    assert lines == sorted(lines, key=str.lower)


def name(requirement: str) -> str:
    return re.match(r"[A-Za-z0-9._-]+", requirement)[0].lower().replace("_", "-")


def test_no_environment_has_the_others_heart() -> None:
    jobs, airflow = (path.lock.read_text() for path in (setup.JOBS, setup.AIRFLOW))
    assert "apache-airflow" not in jobs
    assert "pyspark-client" not in jobs
    assert not {"torch", "mlflow", "pyspark"} & {name(line) for line in airflow.splitlines()}


def test_a_changed_lock_makes_an_environment_incomplete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "FOLDER", tmp_path / "envs")
    monkeypatch.setattr(setup, "LOCKS", tmp_path)
    lock = tmp_path / "jobs.txt"
    lock.write_text("torch==1\n")
    assert not setup.is_complete(setup.JOBS)
    setup.JOBS.python.parent.mkdir(parents=True)
    setup.JOBS.python.symlink_to(sys.executable)
    assert not setup.is_complete(setup.JOBS)  # interrupted: files are there, the stamp is not
    setup.JOBS.stamp.write_text(setup.fingerprint(setup.JOBS))
    assert setup.is_complete(setup.JOBS)
    lock.write_text("torch==2\n")
    assert not setup.is_complete(setup.JOBS)


def test_a_failed_step_shows_the_end_of_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "FOLDER", tmp_path)
    with pytest.raises(BadInput, match="No matching distribution found for nothing"):
        setup._step(setup.JOBS, ["sh", "-c", "echo No matching distribution found for nothing; exit 1"], 0.0)


def test_torch_index_is_for_torch_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(setup.TORCH_INDEX, raising=False)
    assert setup._torch_index() == []
    monkeypatch.setenv(setup.TORCH_INDEX, "https://example.org/cpu")
    assert setup._torch_index() == ["--index-url", "https://example.org/cpu"]


def test_set_up_needs_nothing_but_python() -> None:
    """The system's Python runs it before any package is installed."""
    command = [sys.executable, "-S", "-c", "import jobs.ops.setup, sys; print('pydantic' in sys.modules)"]
    done = subprocess.run(
        command, cwd=setup.CHECKOUT, env={"PYTHONPATH": "src"}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"
