"""compose.yaml against rules that hold for every service."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.docker.deployment import FOLDER, compose, defaults, script

FILE = compose()
SERVICES: dict[str, dict[str, Any]] = FILE["services"]
ONE_SHOT = {"migrate"}

each_service = pytest.mark.parametrize("name", sorted(SERVICES))


def test_the_services_of_a_deployment() -> None:
    assert set(SERVICES) == {
        *("postgres", "mlflow", "spark-master", "spark-worker"),
        *("migrate", "api-server", "scheduler", "triggerer", "dag-processor"),
    }


@each_service
def test_nobody_is_root_or_may_become_it(name: str) -> None:
    service = SERVICES[name]
    user, _, _ = str(service["user"]).partition(":")
    assert int(user) > 0
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not service.get("privileged")


@each_service
def test_images_have_exact_tags(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].rpartition(":")
    assert image
    assert re.match(r"\d+\.\d+", tag)


@each_service
def test_health_is_asked_for(name: str) -> None:
    health = SERVICES[name]["healthcheck"]
    if name in ONE_SHOT:
        assert health == {"disable": True}
        return
    kind, program, *more = health["test"]
    assert kind == "CMD", "without a shell"
    assert {"interval", "timeout", "retries", "start_period"} <= health.keys()
    if name == "postgres":
        assert program == "pg_isready"
        assert "--host=127.0.0.1" in more
    else:
        assert more == ["/opt/nightjar/docker/scripts/health.py", name]


@each_service
def test_services_wait_for_what_they_need(name: str) -> None:
    for needed, how in SERVICES[name].get("depends_on", {}).items():
        expected = "service_completed_successfully" if needed in ONE_SHOT else "service_healthy"
        assert how == {"condition": expected}


@each_service
def test_ports_are_this_hosts_alone(name: str) -> None:
    for port in SERVICES[name].get("ports", []):
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


@each_service
def test_memory_and_cores_are_bounded(name: str) -> None:
    assert SERVICES[name]["deploy"]["resources"]["limits"].keys() == {"cpus", "memory"}


@each_service
def test_values_of_the_environment_are_text(name: str) -> None:
    """YAML reads an `on` without quotes as true, and nothing as null, which would reach the service as words."""
    values = SERVICES[name].get("environment", {})
    assert {key: value for key, value in values.items() if not isinstance(value, str)} == {}


@each_service
def test_secrets_are_files(name: str) -> None:
    """What is named like a secret holds a path, or a command that reads one; and only secrets that the service has."""
    service = SERVICES[name]
    for variable, value in service.get("environment", {}).items():
        if re.search(r"PASSWORD|SECRET|_KEY|SQL_ALCHEMY_CONN|WAREHOUSE_URI|BACKEND_STORE_URI", variable):
            used = re.fullmatch(r"(?:cat )?/run/secrets(?:/(\w+))?", value)
            assert used, f"{variable}={value}"
            # Named in the environment that all of Airflow shares, mounted only where it is read.
            if used.group(1) and variable != "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE":
                assert used.group(1) in service["secrets"]
        assert not re.search(r"://[^/\s]*:[^/\s]*@", str(value)), f"{variable} has a password in it"


def test_every_secret_is_made_and_ignored_by_git() -> None:
    named = {secret for service in SERVICES.values() for secret in service.get("secrets", [])}
    assert named == set(FILE["secrets"]) == set(script("make_secrets").SECRETS)
    assert all(entry == {"file": f"./secrets/{name}"} for name, entry in FILE["secrets"].items())
    ignored = (FOLDER.parent / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert {"/docker/secrets/", "/docker/.env"} <= set(ignored)


def test_the_example_says_every_default_and_no_secret() -> None:
    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    in_file = {name: default for name, _, default in re.findall(r"\$\{(\w+)(:?-)([^}]*)\}", text)}
    assert defaults() == in_file
    assert not [name for name in in_file if re.search("PASSWORD|SECRET|KEY|TOKEN", name)]


def test_tasks_run_where_both_environments_are() -> None:
    """And Airflow's other processes where the jobs' is not."""
    images = {name: service["image"] for name, service in SERVICES.items()}
    with_jobs = {name for name, image in images.items() if image.startswith("nightjar/jobs:")}
    assert with_jobs == {"scheduler", "mlflow", "spark-master", "spark-worker"}
    assert {name for name, image in images.items() if image.startswith("nightjar/airflow:")} == {
        *("migrate", "api-server", "triggerer", "dag-processor")
    }


def test_who_works_on_the_lake_sees_the_same_folder() -> None:
    for name in ("scheduler", "spark-worker"):
        assert "home:/var/lib/nightjar" in SERVICES[name]["volumes"]
    assert "home:/var/lib/nightjar:ro" in SERVICES["api-server"]["volumes"]
    assert {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", [])} == {
        *FILE["volumes"],
        "./scripts/databases.sh",
    }
