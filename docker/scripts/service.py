"""The entry point of both images: `service.py ROLE`, or `service.py COMMAND ARGUMENT…` in the same environment.

Reads secrets from files, says where Java and Spark are, and becomes the service: no process of ours stays in between,
so signals and exit codes are the service's own. Roles are the services of `docker/compose.yaml`; commands are what
Airflow's Helm chart and the Kubernetes executor start.
"""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Mapping
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "src")]

from jobs.ops.doctor import find_java  # noqa: E402 - found by the line above
from jobs.ops.services import spark_home  # noqa: E402

ENVIRONMENTS = CHECKOUT / ".envs"
SPARK_CLASSES = "org.apache.spark.deploy"

#: What may come as NAME_FILE, the path of a file that holds it. Airflow reads its own secrets by its NAME_CMD.
SECRETS = (
    "NIGHTJAR_PSEUDONYM_KEY",
    "NIGHTJAR_WAREHOUSE_URI",
    "NIGHTJAR_SMTP_URI",
    "NIGHTJAR_WEBHOOK_URL",
    "NIGHTJAR_SPARK_SECRET",
    "MLFLOW_BACKEND_STORE_URI",
)

_PASSWORDS = "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"


def address() -> str:
    """Under which other containers reach this one."""
    return os.environ.get("NIGHTJAR_ADDRESS") or socket.gethostbyname(socket.gethostname())


def command(arguments: list[str]) -> list[str]:
    """What a role runs; anything that is no role runs as it is."""
    role, *more = arguments
    airflow = [str(ENVIRONMENTS / "airflow" / "bin" / "python"), "-m", "airflow"]
    jobs = [str(ENVIRONMENTS / "jobs" / "bin" / "python"), "-m"]
    spark = [str(ENVIRONMENTS / "jobs" / "bin" / "spark-class")]
    web = ["--host", address(), "--webui-port"]
    roles = {
        "migrate": [*airflow, "db", "migrate"],
        "api-server": [*airflow, "api-server"],
        # Logs of tasks are on a volume that the API server reads; nobody need ask a scheduler for them.
        "scheduler": [*airflow, "scheduler", "--skip-serve-logs"],
        "triggerer": [*airflow, "triggerer", "--skip-serve-logs"],
        "dag-processor": [*airflow, "dag-processor"],
        "mlflow": [*jobs, "mlflow", "server"],
        "spark-master": [*spark, f"{SPARK_CLASSES}.master.Master", *web, "8080", "--port", "7077"],
        "spark-worker": [*spark, f"{SPARK_CLASSES}.worker.Worker", *web, "8081"],
    }
    return [*roles.get(role, [role]), *more]


def variables(given: Mapping[str, str]) -> dict[str, str]:
    """The environment of the service: what was given, secrets read, tools found."""
    found = dict(given)
    for name in SECRETS:
        if path := found.pop(f"{name}_FILE", ""):
            found[name] = Path(path).read_text(encoding="utf-8").strip()
    # A pod of the Kubernetes executor asks for `python`, and means Airflow's.
    found["PATH"] = f"{ENVIRONMENTS / 'airflow' / 'bin'}{os.pathsep}{found.get('PATH', os.defpath)}"
    if (ENVIRONMENTS / "jobs").exists():
        found["SPARK_HOME"] = spark_home()
        found["SPARK_LOCAL_IP"] = address()
        if java := find_java(found):
            found["JAVA_HOME"] = str(java)
    return found


def write_spark_defaults(environment: Mapping[str, str]) -> None:
    """What daemons, drivers and executors of a cluster must agree on; the secret would show in any command line."""
    if not (folder := environment.get("SPARK_CONF_DIR")):
        return
    settings = {"spark.executor.memory": environment.get("NIGHTJAR_EXECUTOR_MEMORY", "2g")}
    if secret := environment.get("NIGHTJAR_SPARK_SECRET"):
        settings |= {
            "spark.authenticate": "true",
            "spark.authenticate.secret": secret,
            "spark.network.crypto.enabled": "true",
        }
    path = Path(folder) / "spark-defaults.conf"
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.touch(mode=0o600)
    path.write_text("".join(f"{key} {value}\n" for key, value in settings.items()), encoding="utf-8")


def copy_passwords(environment: dict[str, str]) -> None:
    """Airflow opens its users' passwords for writing, which a mounted secret does not allow."""
    mounted = environment.get(_PASSWORDS)
    if mounted and not os.access(mounted, os.W_OK):
        own = Path(environment["AIRFLOW_HOME"]) / "passwords.json"
        own.unlink(missing_ok=True)
        shutil.copyfile(mounted, own)
        own.chmod(0o600)
        environment[_PASSWORDS] = str(own)


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit("service.py: needs a role or a command; see docs/deployment.md")
    environment = variables(os.environ)
    write_spark_defaults(environment)
    copy_passwords(environment)
    argv = command(sys.argv[1:])
    os.execvpe(argv[0], argv, environment)  # noqa: S606 - becomes the service


if __name__ == "__main__":
    main()
