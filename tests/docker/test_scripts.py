"""The images' scripts: what services are started as, secrets, health."""

from __future__ import annotations

import json
import os
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from tests.docker.deployment import compose, script

service, health, secrets = script("service"), script("health"), script("make_secrets")


def test_every_service_of_compose_has_a_role_and_a_check() -> None:
    ours = {name for name in compose()["services"] if name != "postgres"}
    for name in ours:
        assert service.command([name]) != [name], f"{name} is no role"
    assert set(health.CHECKS) == ours - {"migrate"}


def test_a_command_that_is_no_role_runs_as_it_is() -> None:
    """As the chart and the Kubernetes executor give them."""
    for given in (
        ["bash", "-c", "exec airflow scheduler"],
        ["python", "-m", "airflow.sdk.execution_time.execute_workload"],
    ):
        assert service.command(given) == given


def test_secrets_are_read_from_files(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("ab" * 32 + "\n", encoding="utf-8")
    given = {"NIGHTJAR_PSEUDONYM_KEY_FILE": str(tmp_path / "key"), "OTHER_FILE": "/stays", "PATH": "/usr/bin"}
    found = service.variables(given)
    assert found["NIGHTJAR_PSEUDONYM_KEY"] == "ab" * 32
    assert "NIGHTJAR_PSEUDONYM_KEY_FILE" not in found
    assert found["OTHER_FILE"] == "/stays"
    assert found["PATH"].split(os.pathsep)[0].endswith(".envs/airflow/bin"), "`python` is Airflow's"
    assert given["PATH"] == "/usr/bin"


def test_a_secret_whose_file_is_gone_stops_the_service(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        service.variables({"NIGHTJAR_WAREHOUSE_URI_FILE": str(tmp_path / "none")})


def test_sparks_secret_is_its_owners(tmp_path: Path) -> None:
    folder = tmp_path / "conf"
    for secret in ("one", "two"):
        service.write_spark_defaults({"SPARK_CONF_DIR": str(folder), "NIGHTJAR_SPARK_SECRET": secret})
    path = folder / "spark-defaults.conf"
    assert path.read_text(encoding="utf-8").splitlines() == [
        "spark.executor.memory 2g",
        "spark.authenticate true",
        "spark.authenticate.secret two",
        "spark.network.crypto.enabled true",
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    service.write_spark_defaults({})


def test_passwords_are_copied_to_where_airflow_may_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mounted, home = tmp_path / "mounted", tmp_path / "home"
    mounted.write_text('{"admin": "x"}', encoding="utf-8")
    home.mkdir()
    environment = {service._PASSWORDS: str(mounted), "AIRFLOW_HOME": str(home)}
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    service.copy_passwords(environment)
    own = Path(environment[service._PASSWORDS])
    assert own.parent == home
    assert stat.S_IMODE(own.stat().st_mode) == 0o600
    assert own.read_text(encoding="utf-8") == '{"admin": "x"}'


def test_secrets_are_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    assert secrets.make(folder) == list(secrets.SECRETS)
    first = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert first.keys() == secrets.SECRETS.keys()
    assert secrets.make(folder) == []
    (folder / "spark_secret").unlink()
    assert secrets.make(folder) == ["spark_secret"]
    again = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    assert [name for name in first if first[name] != again[name]] == ["spark_secret"]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_secrets_fit_their_purpose(tmp_path: Path) -> None:
    from cryptography.fernet import Fernet

    secrets.make(tmp_path)
    kept = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    Fernet(kept["airflow_fernet_key"])
    assert len(bytes.fromhex(kept["pseudonym_key"])) == 32
    assert set(json.loads(kept["airflow_passwords"])) == set(secrets.AIRFLOW_USERS)
    environment = compose()["x-airflow-environment"]
    users = [user.split(":")[0] for user in environment["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS"].split(",")]
    assert tuple(users) == secrets.AIRFLOW_USERS
    for name in ("airflow", "mlflow", "warehouse"):
        uri = kept["warehouse_uri" if name == "warehouse" else f"{name}_database_uri"]
        assert uri.endswith(f"://{name}:{kept[f'{name}_password']}@postgres:5432/{name}")


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """A server that says what it is told to about components."""
    status = {"metadatabase": "healthy", "triggerer": "healthy", "dag_processor": "unhealthy"}

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({name: {"status": said} for name, said in status.items()}).encode())

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/execution/"
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", url)
    yield status
    server.shutdown()
    server.server_close()


def test_health_is_what_airflow_says_of_a_component(airflow: dict[str, str]) -> None:
    assert health.problem("triggerer") == ""
    assert '"dag_processor": {"status": "unhealthy"}' in health.problem("dag-processor")
    del airflow["triggerer"]
    assert "triggerer" in health.problem("triggerer")


def test_who_does_not_answer_is_not_healthy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "http://127.0.0.1:9/execution/")
    assert "refused" in health.problem("triggerer")
