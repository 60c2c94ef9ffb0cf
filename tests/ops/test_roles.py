"""Who may do what, asked of the real servers: Airflow's API server, scheduler and DAG processor, and MLflow."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from jobs.ops import services
from jobs.ops.airflow_api import AirflowApi, wait_until

from nightjar.contracts import BadInput
from nightjar.stores.home import Home

pytestmark = pytest.mark.slow

RUN, PWNED = "by:hand", "<script>alert(1)</script>"
RUNS = f"/dags/{services.DAG}/dagRuns"
CONNECTION = {"connection_id": "elsewhere", "conn_type": "spark", "host": "spark://elsewhere:7077"}
REPORT = "/nightjar/report/nightly/"


@dataclass
class Servers:
    home: Home
    running: services.Running
    mlflow_port: int

    def as_user(self, user: str) -> AirflowApi:
        password = json.loads(services.password_file(self.home).read_text())[user]
        return AirflowApi(self.running.airflow_url, user, password)

    def status(self, user: str, method: str, path: str, body: dict[str, Any] | None = None) -> int:
        """200 where it is allowed, otherwise Airflow's refusal."""
        try:
            self.as_user(user).call(method, path, body)
        except BadInput as error:
            return int(error.problem.split(": ")[1].split(" ")[0])
        return 200

    def page(self, path: str, user: str | None = None) -> tuple[int, dict[str, str], str]:
        """The path as it stands: no client mends the dots in it."""
        headers = {}
        if user:
            headers["Authorization"] = f"Bearer {self.as_user(user)._login()}"
        return ask(self.running.airflow_port, path, headers)


def ask(port: int, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], str]:
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as connection:
        connection.putrequest("GET", path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    home = Home(tmp_path_factory.mktemp("roles") / "home")
    (home.root / "outside").mkdir(parents=True)
    (home.root / "outside" / "2001-01-15.html").write_text("not a report")
    running = services.start_airflow(home, port=free_port(), scheduled=False, source="synthetic", raw="")
    try:
        mlflow_port = free_port()
        services.start_mlflow(home, running, mlflow_port)

        def up() -> bool:
            try:
                return ask(mlflow_port, "/health", {})[0] == 200
            except OSError:
                return False

        assert wait_until(up, seconds=120, check=lambda: services.check_alive(home, running))
        # Airflow keeps a new DAG paused, so that what is triggered here stays in its queue.
        services.api(home, running).trigger(services.DAG, RUN, {"day": "2001-01-15"})
        yield Servers(home, running, mlflow_port)
    finally:
        services.stop(home, running)


@pytest.mark.parametrize("user", services.ROLES)
def test_everybody_reads(servers: Servers, user: str) -> None:
    assert servers.status(user, "GET", RUNS) == 200
    assert servers.page(f"{REPORT}{quote(RUN)}", user)[0] == 200


def test_a_viewer_starts_and_changes_nothing(servers: Servers) -> None:
    clear = {"dry_run": False, "dag_run_id": RUN}
    assert servers.status("viewer", "POST", RUNS, {"dag_run_id": "mine", "logical_date": None}) == 403
    assert servers.status("viewer", "POST", f"/dags/{services.DAG}/clearTaskInstances", clear) == 403
    assert servers.status("viewer", "PATCH", f"{RUNS}/{quote(RUN)}", {"state": "failed"}) == 403
    assert servers.status("viewer", "PATCH", f"/dags/{services.DAG}", {"is_paused": False}) == 403
    assert servers.status("viewer", "GET", "/connections") == 403
    assert servers.status("viewer", "GET", "/variables") == 403


def test_an_operator_runs_nights_and_nothing_else(servers: Servers) -> None:
    assert servers.status("operator", "POST", RUNS, {"dag_run_id": "theirs", "logical_date": None}) == 200
    clear = {"dry_run": False, "dag_run_id": RUN}
    assert servers.status("operator", "POST", f"/dags/{services.DAG}/clearTaskInstances", clear) == 200
    assert servers.status("operator", "PATCH", f"{RUNS}/theirs", {"state": "failed"}) == 200
    for method, path, body in (
        ("GET", "/connections", None),
        ("POST", "/connections", CONNECTION),
        ("GET", "/variables", None),
        ("POST", "/variables", {"key": "a", "value": "b"}),
        ("POST", "/pools", {"name": "a", "slots": 1}),
        ("POST", "/assets/events", {"asset_id": 1, "extra": {"source": "/srv/theirs.toml", "day": "2001-01-15"}}),
    ):
        assert servers.status("operator", method, path, body) == 403, path


def test_an_admin_may(servers: Servers) -> None:
    assert servers.status("admin", "POST", "/variables", {"key": "a", "value": "b"}) == 200
    assert servers.status("admin", "DELETE", "/variables/a") == 200


def test_a_run_that_the_schemas_refuse_is_no_run(servers: Servers) -> None:
    body = {"dag_run_id": "agent", "logical_date": None}
    for conf in (
        {"source": "../x"},
        {"day": "$(id)"},
        {"model": "/srv/x"},
        {"raw": "relative"},
        {"set": "train.epochs=1"},
    ):
        assert servers.status("operator", "POST", RUNS, {**body, "conf": conf}) == 400, conf


@pytest.mark.parametrize(
    "path",
    ["/api/v2/dags", f"/api/v2{RUNS}", "/api/v2/connections", "/api/v2/plugins", f"{REPORT}{quote(RUN)}", f"{REPORT}x"],
)
def test_a_stranger_is_sent_away(servers: Servers, path: str) -> None:
    assert servers.page(path)[0] == 401


@pytest.mark.parametrize(
    "run",
    [
        "../../../../etc/passwd",
        "..%2F..%2F..%2Foutside%2F2001-01-15",
        "%2e%2e/%2e%2e/outside/2001-01-15.html",
        "/etc/passwd",
        f"{quote(PWNED)}",
        "%00",
        "by:hand%00",
        "' OR '1'='1".replace(" ", "%20"),
    ],
)
def test_no_path_and_no_script_comes_through_a_page_address(servers: Servers, run: str) -> None:
    status, _, text = servers.page(f"{REPORT}{run}", "viewer")
    assert status in (400, 404)
    assert PWNED not in text
    assert "root:" not in text
    assert "not a report" not in text


def test_what_a_run_asks_for_is_shown_as_text(servers: Servers) -> None:
    """A run that a record of Airflow holds, whatever it was asked for: as the API would have refused it."""
    import sqlite3

    hostile = {
        "script": {"source": PWNED, "day": "2001-01-15"},
        "day": {"day": PWNED},
        "climb": {"source": "../outside", "day": "2001-01-15"},
        "file": {"source": "/etc/passwd.toml"},
        "list": {"source": ["synthetic"], "day": {"a": PWNED}},
    }
    for run, conf in hostile.items():
        servers.as_user("operator").trigger(services.DAG, run, {})
        with closing(sqlite3.connect(servers.home.root / "airflow" / "airflow.db", timeout=30)) as database:
            changed = database.execute("UPDATE dag_run SET conf = ? WHERE run_id = ?", (json.dumps(conf), run))
            assert changed.rowcount == 1
            database.commit()
        status, headers, text = servers.page(f"{REPORT}{run}", "viewer")
        assert status == 404, run
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "<script" not in text
        assert "not a report" not in text


def test_everything_listens_to_this_machine_only(servers: Servers) -> None:
    found = set()
    for pid in services.processes_with(servers.running.token):
        for one in psutil.Process(pid).net_connections("inet"):
            if one.status == psutil.CONN_LISTEN:
                found.add((one.laddr.ip, one.laddr.port))
    assert {port for _, port in found} >= {servers.running.airflow_port, servers.mlflow_port}
    assert {address for address, _ in found} == {"127.0.0.1"}


def test_mlflow_answers_to_its_own_names_only(servers: Servers) -> None:
    path = "/api/2.0/mlflow/experiments/search?max_results=1"
    assert ask(servers.mlflow_port, path, {"Host": f"localhost:{servers.mlflow_port}"})[0] == 200
    assert ask(servers.mlflow_port, path, {"Host": "rebound.example"})[0] == 403


def test_no_password_is_in_a_log_or_in_an_argument(servers: Servers) -> None:
    passwords = json.loads(services.password_file(servers.home).read_text()).values()
    said = [path.read_text(errors="replace") for path in Path(servers.home.root / "logs").rglob("*.log")]
    said += [" ".join(psutil.Process(pid).cmdline()) for pid in services.processes_with(servers.running.token)]
    assert said
    assert not [password for password in passwords for text in said if password in text]
