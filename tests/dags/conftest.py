"""Airflow with a home of its own; these tests run in Airflow's environment (`make test`)."""

from __future__ import annotations

import atexit
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
SCRATCH = Path(tempfile.mkdtemp(prefix="nightjar dags "))  # a space, because checkouts have them too
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)

# Airflow reads its configuration when it is first imported.
for name in [name for name in os.environ if name.startswith(("AIRFLOW_", "NIGHTJAR_", "SPARK_"))]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": str(SCRATCH / "airflow"),
    "AIRFLOW__CORE__DAGS_FOLDER": str(CHECKOUT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "dags" / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": "ann:viewer",
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{SCRATCH / 'airflow' / 'airflow.db'}",
    "AIRFLOW_CONN_SPARK_NIGHTJAR": '{"conn_type": "spark", "host": "local[1]"}',
    "NIGHTJAR_HOME": str(SCRATCH / "home"),
}
sys.path.insert(0, str(CHECKOUT / "dags"))


@pytest.fixture(scope="session")
def dag() -> Any:
    import nightly

    return nightly.dag


@pytest.fixture(scope="session", params=["nightly", "training", "maintenance"])
def every_dag(request: pytest.FixtureRequest) -> Any:
    return importlib.import_module(request.param).dag


@pytest.fixture(scope="session")
def database() -> None:
    """Airflow's own tables, for tests that run a DAG."""
    subprocess.run([sys.executable, "-m", "airflow", "db", "migrate"], check=True, capture_output=True)
