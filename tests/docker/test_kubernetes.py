"""values.yaml against the names that Airflow's chart knows; an unknown one would be ignored or refuse to install."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from jobs.ops.setup import LOCKS
from tests.docker.deployment import FOLDER, SCRIPTS, compose

VALUES: dict[str, Any] = yaml.safe_load((FOLDER / "kubernetes" / "values.yaml").read_text(encoding="utf-8"))

#: Names of the chart's values.yaml, read in its repository at 1.19 and compared with the published 1.20.0, as far as we
#: have any use for them. None: anything may stand below.
CHART: dict[str, Any] = {
    **dict.fromkeys(("airflowHome", "defaultAirflowRepository", "defaultAirflowTag", "airflowVersion", "uid", "gid")),
    **dict.fromkeys(("fernetKeySecretName", "apiSecretKeySecretName", "jwtSecretName", "executor", "config")),
    **dict.fromkeys(("env", "volumes", "volumeMounts")),
    "images": {"airflow": None, "pod_template": {"repository": None, "tag": None, "pullPolicy": None}},
    "securityContexts": {"pod": None, "containers": None},
    "data": {"metadataSecretName": None},
    "logs": {"persistence": {"enabled": None, "size": None, "storageClassName": None, "existingClaim": None}},
    "workers": {"resources": None, "terminationGracePeriodSeconds": None, "env": None},
    "scheduler": {
        "livenessProbe": {"command": None, "failureThreshold": None},
        "startupProbe": {"command": None, "failureThreshold": None},
        "env": None,
        "resources": None,
        "logGroomerSidecar": {"enabled": None},
    },
    "dagProcessor": {
        "livenessProbe": {"command": None},
        "resources": None,
        "logGroomerSidecar": {"enabled": None},
    },
    "triggerer": {
        "livenessProbe": {"command": None},
        "persistence": {"enabled": None},
        "resources": None,
        "logGroomerSidecar": {"enabled": None},
    },
    "apiServer": {"startupProbe": {"failureThreshold": None}, "resources": None},
    "createUserJob": {"enabled": None},
    "postgresql": {"enabled": None},
    "redis": {"enabled": None},
    "statsd": {"enabled": None},
}

ENVIRONMENT: dict[str, str] = {one["name"]: one["value"] for one in VALUES["env"]}


def unknown(values: dict[str, Any], chart: dict[str, Any], path: str = "") -> Iterator[str]:
    for name, value in values.items():
        if name not in chart:
            yield f"{path}{name}"
        elif chart[name] is not None:
            yield from unknown(value, chart[name], f"{path}{name}.")


def test_the_chart_knows_every_name() -> None:
    assert list(unknown(VALUES, CHART)) == []
    assert list(unknown({"webserver": {}}, CHART)) == ["webserver"], "Airflow 2's"


def test_it_is_the_airflow_of_the_lock_file() -> None:
    pins = dict(line.split("==") for line in (LOCKS / "airflow.txt").read_text(encoding="utf-8").split())
    assert VALUES["airflowVersion"] == pins["apache-airflow-core"]
    assert {"apache-airflow-providers-cncf-kubernetes", "psycopg2-binary", "asyncpg"} <= pins.keys()


def test_tasks_run_in_the_image_with_both_environments() -> None:
    """The executor's own setting, which the chart fills with the other image, wins over the template's."""
    template, executor = VALUES["images"]["pod_template"], VALUES["config"]["kubernetes_executor"]
    assert template["repository"].endswith("nightjar/jobs")
    assert executor["worker_container_repository"] == template["repository"]
    assert executor["worker_container_tag"] == template["tag"] == VALUES["defaultAirflowTag"]
    assert VALUES["defaultAirflowRepository"].endswith("nightjar/airflow")


def test_nobody_is_root() -> None:
    pod = VALUES["securityContexts"]["pod"]
    assert (pod["runAsNonRoot"], pod["runAsUser"], VALUES["uid"], VALUES["gid"]) == (True, 50000, 50000, 0)
    assert VALUES["securityContexts"]["containers"]["capabilities"] == {"drop": ["ALL"]}


def test_no_secret_stands_in_it() -> None:
    """Only names of secrets, and files that are mounted from one."""
    for name, value in ENVIRONMENT.items():
        if any(word in name for word in ("KEY", "SECRET", "PASSWORD", "WAREHOUSE")):
            assert value.startswith("/run/secrets/nightjar/"), name
        assert "@" not in value
    assert not VALUES.keys() & {"fernetKey", "apiSecretKey", "jwtSecret", "extraSecrets", "secret"}


@pytest.mark.parametrize("component", ["scheduler", "dagProcessor", "triggerer"])
def test_no_probe_and_no_sidecar_is_the_official_images(component: str) -> None:
    probes = [VALUES[component]["livenessProbe"], VALUES[component].get("startupProbe", {"command": ["/opt"]})]
    assert all(probe["command"][0].startswith("/opt") for probe in probes)
    assert VALUES[component]["logGroomerSidecar"]["enabled"] is False
    for probe in probes:
        scripts = [word for word in probe["command"] if "/docker/scripts/" in word]
        assert all((SCRIPTS / script.rsplit("/", 1)[1]).exists() for script in scripts)


def test_it_says_what_compose_says() -> None:
    """Where both name a variable of ours, but for addresses and places."""
    other = compose()["services"]["scheduler"]["environment"]
    differing = {name for name, value in ENVIRONMENT.items() if name in other and other[name] != value}
    assert differing == {
        *("AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "AIRFLOW__API__BASE_URL", "AIRFLOW_CONN_SPARK_NIGHTJAR"),
        *("AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE",),
        *("NIGHTJAR_PSEUDONYM_KEY_FILE", "NIGHTJAR_WAREHOUSE_URI_FILE"),
    }
    assert {name for name in ENVIRONMENT if name.startswith("NIGHTJAR_")} <= other.keys()
