from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from argparse import Namespace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from jobs.ops import nightly, services

from nightjar.contracts import BadInput
from nightjar.stores.home import Home

#: ignores a polite end, and starts a child in a session of its own, as Airflow's tasks do
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
time.sleep(600)
"""


def start(home: Home, script: str) -> services.Running:
    home.root.mkdir(parents=True)
    running = services.Running("a-token-of-tests", 8080)
    process = subprocess.Popen(
        [sys.executable, "-c", script], env={**os.environ, services.TOKEN: running.token}, start_new_session=True
    )
    running.processes["scheduler"] = process.pid
    running.save(home)
    return running


def wait_for(count: int, token: str) -> None:
    deadline = time.monotonic() + 20
    while len(list(services.processes_with(token))) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_stop_leaves_nothing_behind(home: Home) -> None:
    running = start(home, STUBBORN)
    wait_for(2, running.token)
    assert services.Running.load(home) == running
    services.stop(home, running, patience_seconds=2)
    assert list(services.processes_with(running.token)) == []
    assert services.Running.load(home) is None


def test_a_register_of_dead_processes_means_that_nothing_runs(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    running = start(home, "")
    os.waitpid(running.processes["scheduler"], 0)
    assert services.Running.load(home) is None
    services.down(home)
    assert capsys.readouterr().out == "nothing is running\n"


def test_a_dead_component_is_named_with_the_end_of_its_log(home: Home) -> None:
    running = start(home, "import time; time.sleep(600)")
    folder = home.root / "logs" / "services"
    folder.mkdir(parents=True)
    (folder / "scheduler.log").write_text("line one\ndatabase is locked\n")
    services.check_alive(home, running)
    os.kill(running.processes["scheduler"], signal.SIGKILL)
    os.waitpid(running.processes["scheduler"], 0)
    with pytest.raises(BadInput, match=r"scheduler has stopped; the end of its log:\n  line one\n  database is locked"):
        services.check_alive(home, running)


def test_a_backfills_airflow_is_for_its_nights_alone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make ui` waits for it; who holds the lock ends what a killed backfill left, and starts one of its own."""
    old = start(home, "import time; time.sleep(600)")
    old.scheduled, old.until = True, "2026-02-28T23:59:59.999999+01:00"
    old.save(home)
    with pytest.raises(BadInput, match="a night is running"):
        services.up(home, airflow_port=8080, mlflow_port=5000, source="synthetic", raw="")
    asked: dict[str, Any] = {}

    def start_airflow(home: Home, **how: Any) -> services.Running:
        asked.update(how)
        return services.Running("another-token-of-tests", how["port"], scheduled=how["scheduled"], until=how["until"])

    monkeypatch.setattr(nightly, "start_airflow", start_airflow)
    request = nightly.Request.of(Namespace(source="synthetic", raw="", day="", model="sasrec", set=""))
    interrupted = signal.getsignal(signal.SIGINT)
    with nightly.services(home, request, 8081, until=datetime(2026, 3, 1, tzinfo=UTC)) as running:
        assert list(services.processes_with(old.token)) == []
        assert (running.scheduled, running.until) == (True, "2026-03-01T00:00:00+00:00")
    signal.signal(signal.SIGINT, interrupted)
    assert services.environment(home, running, source="synthetic", raw="")["NIGHTJAR_SCHEDULE_UNTIL"] == running.until


def test_secrets_are_made_once_and_are_the_owners_only(home: Home) -> None:
    first = services.secret(home, "airflow_fernet_key")
    assert services.secret(home, "airflow_fernet_key") == first
    assert services.secret(home, "airflow_jwt_secret") != first
    path = services.password_file(home)
    password = json.loads(path.read_text())["admin"]
    assert len(password) >= 20
    assert {stat_mode(file) for file in home.secrets.iterdir()} == {0o600}
    assert stat_mode(home.secrets) == 0o700


def test_an_older_home_gains_the_users_it_lacks_and_keeps_its_password(home: Home) -> None:
    path = home.secrets / "airflow_passwords.json"
    home.secrets.mkdir(parents=True)
    path.write_text('{"admin": "chosen long ago"}\n')
    path.chmod(0o644)
    passwords = json.loads(services.password_file(home).read_text())
    assert passwords["admin"] == "chosen long ago"
    assert passwords.keys() == {"admin", "operator", "viewer"}
    assert len(set(passwords.values())) == 3
    assert stat_mode(path) == 0o600
    before = path.stat().st_mtime_ns
    services.password_file(home)
    assert path.stat().st_mtime_ns == before


def stat_mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_events_are_put_aside_before_they_fill_a_disk(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_EVENTS_BYTES", 10)
    events = home.airflow_events
    events.parent.mkdir(parents=True)
    services.turn_over(events)
    for night in ("first", "second", "third"):
        with events.open("a") as file:
            file.write(f"{night} night\n")
        services.turn_over(events)
    assert sorted(path.name for path in events.parent.iterdir()) == ["airflow.1.jsonl"]
    assert events.with_name("airflow.1.jsonl").read_text() == "third night\n"
    events.write_text("short\n")
    services.turn_over(events)
    assert events.read_text() == "short\n"


def test_airflow_listens_to_this_machine_only(home: Home) -> None:
    variables = services.airflow_variables(home, services.Running("token", 8181))
    assert variables["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert variables["AIRFLOW__API__BASE_URL"] == "http://127.0.0.1:8181"
    assert variables["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8181/execution/"
    assert variables["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] == f"sqlite:///{home.root}/airflow/airflow.db"
    assert variables["AIRFLOW__CORE__LOAD_EXAMPLES"] == "False"
    assert variables["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"] == "admin:admin,operator:user,viewer:viewer"


def test_other_machines_are_let_in_only_by_name(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    assert services.listening(services.LISTEN) == "127.0.0.1"
    monkeypatch.setenv(services.LISTEN, "0.0.0.0")  # noqa: S104 - it is what the test is about
    with pytest.raises(BadInput, match="NIGHTJAR_HOST does not say by which name they come"):
        services.listening(services.LISTEN)
    monkeypatch.setenv(services.HOST, "nightjar.myshop.example")
    running = services.Running("token", 8181, listen=services.listening(services.LISTEN))
    variables = services.airflow_variables(home, running)
    assert variables["AIRFLOW__API__HOST"] == "0.0.0.0"  # noqa: S104
    assert variables["AIRFLOW__API__BASE_URL"] == "http://nightjar.myshop.example:8181"
    assert variables["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8181/execution/"
    assert services.listening(services.MLFLOW_LISTEN) == "127.0.0.1"  # it has no login: it is asked for by itself
    monkeypatch.setenv(services.LISTEN, "any")
    with pytest.raises(BadInput, match="NIGHTJAR_LISTEN=any is no IP address"):
        services.listening(services.LISTEN)


def test_mlflow_is_asked_for_by_names_that_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(services.HOST, "nightjar.myshop.example")
    here = services.allowed_hosts("127.0.0.1", 5000)
    assert set(here) == {"localhost", "localhost:5000", "127.0.0.1", "127.0.0.1:5000", "[::1]", "[::1]:5000"}
    elsewhere = services.allowed_hosts("10.0.0.5", 5000)
    assert set(elsewhere) - set(here) == {"nightjar.myshop.example", "nightjar.myshop.example:5000"}
