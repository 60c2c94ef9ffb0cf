"""The few calls of Airflow's REST API that a night needs. Standard library only."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import ProxyHandler, Request, build_opener

from nightjar.contracts import BadInput

# A proxy of the environment must not see calls to our own machine.
_open = build_opener(ProxyHandler({})).open


class Busy(BadInput):
    """Airflow cannot do it just now, and left nothing behind: SQLite has one writer, and a scheduler writes often."""


@dataclass
class AirflowApi:
    """Calls as one user; the token is renewed when it has run out."""

    url: str
    user: str
    password: str = field(repr=False)
    _token: str = field(default="", repr=False)

    def health(self) -> dict[str, Any]:
        """Each component's status; empty while nobody answers."""
        try:
            answer: dict[str, Any] = _ask(f"{self.url}/api/v2/monitor/health", "GET", {}, None)
        except (URLError, OSError, ValueError):
            return {}
        return answer

    def is_healthy(self, *components: str) -> bool:
        health = self.health()
        return bool(health) and all(health.get(name, {}).get("status") == "healthy" for name in components)

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """One call under `/api/v2`.

        Raises:
            Busy: it may work in a moment.
            BadInput: Airflow refused it; carries its answer.
        """
        for attempt in (1, 2):
            if not self._token:
                self._token = self._login()
            try:
                return _ask(f"{self.url}/api/v2{path}", method, {"Authorization": f"Bearer {self._token}"}, body)
            except HTTPError as error:
                if error.code == 401 and attempt == 1:
                    self._token = ""
                    continue
                refused = Busy if error.code == HTTPStatus.SERVICE_UNAVAILABLE else BadInput
                raise refused(
                    f"Airflow refuses {method} {path}: {error.code} {_detail(error)}", "make ui  # and look"
                ) from error
        raise AssertionError("unreachable")

    def _login(self) -> str:
        body = {"username": self.user, "password": self.password}
        answer: dict[str, str] = _ask(f"{self.url}/auth/token", "POST", {}, body)
        return answer["access_token"]

    def has_dag(self, dag: str) -> bool:
        try:
            self.call("GET", f"/dags/{quote(dag)}")
        except BadInput as error:
            if error.problem.startswith(f"Airflow refuses GET /dags/{quote(dag)}: 404"):
                return False
            raise
        return True

    def import_errors(self) -> list[str]:
        return [str(error["stack_trace"]) for error in self.call("GET", "/importErrors")["import_errors"]]

    def unpause(self, dag: str) -> None:
        self._set_paused(dag, paused=False)

    def pause(self, dag: str) -> None:
        """Its runs stay as they are until it is unpaused."""
        self._set_paused(dag, paused=True)

    def _set_paused(self, dag: str, *, paused: bool) -> None:
        self.call("PATCH", f"/dags/{quote(dag)}?update_mask=is_paused", {"is_paused": paused})

    def trigger(self, dag: str, run: str, conf: Mapping[str, Any]) -> None:
        self.call("POST", f"/dags/{quote(dag)}/dagRuns", {"dag_run_id": run, "logical_date": None, "conf": dict(conf)})

    def run(self, dag: str, run: str) -> dict[str, Any]:
        """The run itself: state, start_date, end_date and more."""
        found: dict[str, Any] = self.call("GET", f"/dags/{quote(dag)}/dagRuns/{quote(run, safe='')}")
        return found

    def run_state(self, dag: str, run: str) -> str:
        return str(self.run(dag, run)["state"])

    def end_run(self, dag: str, run: str) -> None:
        self.call("PATCH", f"/dags/{quote(dag)}/dagRuns/{quote(run, safe='')}?update_mask=state", {"state": "failed"})

    def unfinished_runs(self, dag: str) -> list[str]:
        if not self.has_dag(dag):  # a new home: nothing was parsed yet
            return []
        answer = self.call("GET", f"/dags/{quote(dag)}/dagRuns?state=running&state=queued&limit=100")
        return [str(run["dag_run_id"]) for run in answer["dag_runs"]]

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        """The run's task instances: task_id, state, try_number, duration and more."""
        path = f"/dags/{quote(dag)}/dagRuns/{quote(run, safe='')}/taskInstances?limit=100"
        tasks: list[dict[str, Any]] = self.call("GET", path)["task_instances"]
        return tasks


def _ask(url: str, method: str, headers: Mapping[str, str], body: Mapping[str, Any] | None) -> Any:
    data = json.dumps(body).encode() if body is not None else None
    request = Request(url, data, {"Content-Type": "application/json", **headers}, method=method)  # noqa: S310 - http to ourselves
    with _open(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def _detail(error: HTTPError) -> str:
    text = error.read().decode(errors="replace")
    try:
        return str(json.loads(text)["detail"])[:500]
    except (ValueError, KeyError, TypeError):
        return text[:500]


def wait_until(
    holds: Callable[[], bool], *, seconds: float, check: Callable[[], None] = lambda: None, pause: float = 0.5
) -> bool:
    """Poll `holds` for at most `seconds`; `check` may raise in between."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        check()
        if holds():
            return True
        time.sleep(pause)
    return holds()
