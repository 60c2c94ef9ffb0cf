"""Whether a service is healthy: `health.py ROLE` ends with 0 or 1 and says why. Standard library only.

Of Airflow's processes only the API server and the scheduler answer by themselves; the others leave heartbeats in the
database, which the API server tells. Its answer is then about all triggerers, or DAG processors, together.
"""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable
from typing import Any
from urllib.request import ProxyHandler, build_opener

_open = build_opener(ProxyHandler({})).open  # a proxy of the environment must not see calls to our own machines

_MONITOR = "/api/v2/monitor/health"


def _own(variable: str, port: str) -> str:
    """Where a server of this container listens: on every address unless the variable names one."""
    host = os.environ.get(variable, "0.0.0.0")  # noqa: S104 - compared, not bound
    return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"  # noqa: S104


def _api() -> str:
    """The API server, as other containers call it."""
    return os.environ["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"].removesuffix("/execution/")


def _spark(port: str) -> str:
    return f"http://{os.environ.get('NIGHTJAR_ADDRESS') or socket.gethostbyname(socket.gethostname())}:{port}/json/"


def _is_healthy(component: str) -> Callable[[str], bool]:
    return lambda text: json.loads(text)[component]["status"] == "healthy"


def _has_master(text: str) -> bool:
    worker: dict[str, Any] = json.loads(text)
    return bool(worker["masterurl"])


#: role -> address, and what its answer must say
CHECKS: dict[str, tuple[Callable[[], str], Callable[[str], bool]]] = {
    "api-server": (lambda: _own("AIRFLOW__API__HOST", "8080") + _MONITOR, _is_healthy("metadatabase")),
    "scheduler": (
        lambda: _own("AIRFLOW__SCHEDULER__SCHEDULER_HEALTH_CHECK_SERVER_HOST", "8974") + "/health",
        lambda _: True,  # 503 when the heartbeat is old
    ),
    "triggerer": (lambda: _api() + _MONITOR, _is_healthy("triggerer")),
    "dag-processor": (lambda: _api() + _MONITOR, _is_healthy("dag_processor")),
    "mlflow": (lambda: _own("MLFLOW_HOST", "5000") + "/health", lambda text: text == "OK"),
    "spark-master": (lambda: _spark("8080"), lambda text: json.loads(text)["status"] == "ALIVE"),
    "spark-worker": (lambda: _spark("8081"), _has_master),
}


def problem(role: str) -> str:
    """What is wrong with the service; empty when it is healthy."""
    where, holds = CHECKS[role]
    url = where()
    try:
        with _open(url, timeout=10) as answer:
            text = answer.read().decode(errors="replace").strip()
        return "" if holds(text) else f"{url} says {text[:300]}"
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"{url}: {error}"


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] not in CHECKS:
        sys.exit(f"health.py: one of {', '.join(CHECKS)}")
    if found := problem(sys.argv[1]):
        sys.exit(found)
