"""One night through the deployment's own processes is the night that one machine has.

PostgreSQL for Airflow, MLflow and the warehouse, with passwords; Airflow's four processes; MLflow behind its allowed
hosts; Spark standalone with a shared secret: as compose.yaml says, without an engine. See `make test-live`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener

import pytest
from jobs.ops.airflow_api import AirflowApi
from jobs.ops.nightly import watch
from tests.docker.servers import Servers, deployed
from tests.ops.whole_nights import (
    KEY,
    SHOP,
    SMALL,
    command,
    lake_contents,
    same_words,
    server_contents,
    warehouse_contents,
)

from nightjar.stores.home import Home

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.spark]

DAY = date(2026, 2, 14)
RUN = "night"

#: Of the schema in the database's own words.
DIALECT = {"warehouse_schema"}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    small = {"SPARK_WORKER_MEMORY": "1536m", "NIGHTJAR_EXECUTOR_MEMORY": "1g", "NIGHTJAR_SCHEDULE": "off"}
    sets = f"{SMALL} publish.target=postgres"
    with deployed(tmp_path_factory.mktemp("deployed"), pseudonym_key=KEY, NIGHTJAR_SET=sets, **small) as started:
        yield started
    print("\n" + started.log.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def night(servers: Servers) -> Servers:
    """The servers, with a night behind them."""
    api = airflow(servers)
    for dag in ("nightly", "training"):
        assert waited(lambda dag=dag: api.has_dag(dag)), api.import_errors()
    api.unpause("nightly")
    began = time.monotonic()
    # Nothing but the day: whose logs, which settings and which warehouse is what the installation says.
    api.trigger("nightly", RUN, {"day": DAY.isoformat()})
    state = watch(servers.home, servers.running, api, RUN)
    for task in sorted(api.tasks("nightly", RUN), key=lambda task: str(task["start_date"])):
        servers.say(f"night {DAY} {task['task_id']:10} {task['state']} after {task['duration'] or 0:.0f} s")
    servers.say(f"night {DAY} {state} after {time.monotonic() - began:.0f} s")
    assert state == "success", servers.log.read_text(encoding="utf-8")
    return servers


def airflow(servers: Servers) -> AirflowApi:
    password = json.loads((servers.secrets / "airflow_passwords").read_text(encoding="utf-8"))["admin"]
    return AirflowApi(servers.airflow_url, "admin", password)


def waited(holds: Any, seconds: float = 900) -> bool:
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(1)
    return bool(holds())


def asked(url: str, host: str) -> int:
    """The status of an answer to a request with this Host header."""
    try:
        with build_opener(ProxyHandler({})).open(Request(url, headers={"Host": host}), timeout=30) as answer:  # noqa: S310
            return int(answer.status)
    except HTTPError as error:
        return error.code


def test_a_night_is_the_night_of_one_machine(night: Servers, tmp_path: Path) -> None:
    """Table for table, in the lake and in the warehouse."""
    ordinary = Home(tmp_path / "ordinary")
    command("nightly", ordinary, "--day", DAY.isoformat())
    expected, found = lake_contents(ordinary), lake_contents(night.home)
    assert {name for name, _ in expected} >= {"events", "sessions", "sequences", "recommendations", "promotions"}
    assert found.keys() == expected.keys()
    assert [key for key in expected if found[key] != expected[key]] == []
    night.say(f"lake: {len(found)} partitions of {len({name for name, _ in found})} tables as on one machine")

    uri = (night.secrets / "warehouse_uri").read_text(encoding="utf-8")
    in_file, in_server = same_words(warehouse_contents(ordinary)), same_words(server_contents(uri))
    assert in_server.keys() == in_file.keys()
    assert [name for name in in_file if in_server[name] != in_file[name] and name not in DIALECT] == []
    assert len(in_server["publish_log"]) == 1
    rows = sum(map(len, in_server.values()))
    night.say(f"warehouse: {len(in_server)} tables and views, {rows} rows, as on one machine")


def test_every_service_is_healthy_after_the_night(night: Servers) -> None:
    with_checks = [name for name in night.ready if name not in ("postgres", "migrate")]
    assert len(with_checks) == 7
    assert {name: problem for name in with_checks if (problem := night.problem(name))} == {}


def test_spark_ran_on_the_cluster(night: Servers) -> None:
    master = night.service_log("spark-master").read_text(errors="replace")
    jobs = ("clean", "sessionize", "identity", "sequences", "features", "marts", "score")
    assert master.count("Registered app nightjar") >= len(jobs)
    assert "Launching executor" in master
    night.say(f"spark-master: {master.count('Registered app nightjar')} applications")


def test_runs_and_the_champion_are_on_the_server(night: Servers) -> None:
    from mlflow import MlflowClient

    address = f"http://{night.address['mlflow']}:5000"
    champion = MlflowClient(address, address).get_model_version_by_alias(f"nightjar_{SHOP}", "champion")
    assert champion.version == "1"
    assert not (night.home.mlflow / "mlflow.db").exists(), "nothing beside the server"
    assert list((night.root / "mlflow").rglob("weights.safetensors"))


def test_mlflow_answers_to_its_names_only(servers: Servers) -> None:
    url = f"http://{servers.address['mlflow']}:5000/api/2.0/mlflow/experiments/search?max_results=1"
    assert asked(url, f"{servers.address['mlflow']}:5000") == 200
    assert asked(url, "localhost:5000") == 200
    assert asked(url, "rebound.example") == 403


def test_no_log_and_no_command_line_holds_a_secret(night: Servers) -> None:
    import psutil
    from jobs.ops.services import processes_with

    hidden = {
        path.name: path.read_text(encoding="utf-8").strip()
        for path in night.secrets.iterdir()
        if not path.name.endswith("_uri")  # which hold the passwords
    }
    for user, password in json.loads(hidden.pop("airflow_passwords")).items():
        hidden[f"airflow_password of {user}"] = password
    said = {path: path.read_text(errors="replace") for path in night.root.glob("*/logs/services/*.log")}
    said |= {path: path.read_text(errors="replace") for path in (night.root / "logs").rglob("*.log")}
    lines = {pid: " ".join(psutil.Process(pid).cmdline()) for pid in processes_with(night.running.token)}
    found = [
        (place, name) for place, text in (said | lines).items() for name, secret in hidden.items() if secret in text
    ]
    assert said
    assert lines
    assert found == []
