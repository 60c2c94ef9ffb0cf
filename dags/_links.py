"""Where a task's buttons in Airflow's UI lead: pages behind Airflow's own login, and MLflow where it is up."""

from __future__ import annotations

import os
from typing import Any
from urllib.parse import quote

from airflow.sdk import BaseOperatorLink

BASE_URL = os.environ.get("AIRFLOW__API__BASE_URL", "http://localhost:8080").rstrip("/")


class _OfRun(BaseOperatorLink):  # type: ignore[misc]
    """A page of the plugin `nightjar_pages`, found by the run."""

    page = ""

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        return f"{BASE_URL}/nightjar/{self.page}/{ti_key.dag_id}/{quote(ti_key.run_id, safe='')}"


class Report(_OfRun):
    """The night's page; says so where it is not written yet."""

    name = "Report"
    page = "report"


class DataDocs(_OfRun):
    """The expectations and verdicts of the shop's nights."""

    name = "Data Docs"
    page = "checks"


class Mlflow(BaseOperatorLink):  # type: ignore[misc]
    """The run that trained, or the model that was used; nowhere without `NIGHTJAR_MLFLOW_URL`, which `make ui` sets."""

    name = "MLflow"

    def get_link(self, operator: Any, *, ti_key: Any) -> str:
        server, said = os.environ.get("NIGHTJAR_MLFLOW_URL", "").rstrip("/"), operator.said
        if not server or not said:
            return ""
        counts = said.get("counts") or {}
        model = f"models/nightjar_{said['partition'].split('/')[0]}"
        version = counts.get("model_version")
        page = counts.get("mlflow_page") or (f"{model}/versions/{version}" if version else model)
        return f"{server}/#/{page}"
