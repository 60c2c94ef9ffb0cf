"""Who is told when a night is late; of a night that fails its report tells."""

from __future__ import annotations

import logging
import subprocess
from collections.abc import Mapping
from datetime import datetime
from types import SimpleNamespace
from typing import Any

from _shop import PARAMS
from _tasks import BACKFILL, CHECKOUT, ENVIRONMENT, Night


def late(context: Mapping[str, Any]) -> None:
    """Airflow calls this when a run has missed its deadline; the run goes on.

    A backfill's nights wait for each other since they were asked for, and nobody for them.

    Args:
        context: `dag_run` as the REST API describes it.
    """
    if context["dag_run"].get("run_type") == BACKFILL:
        return
    argv = command(context["dag_run"])
    logging.getLogger(__name__).warning("the night is late: %s", argv)
    subprocess.run(argv, cwd=CHECKOUT, check=True)


def command(dag_run: Mapping[str, Any]) -> list[str]:
    """The report of the night as far as it has come; it writes no page and no manifest of the night's own."""
    params = {name: param.value for name, param in PARAMS.items()} | dict(dag_run.get("conf") or {})
    dates = {name: _instant(dag_run.get(name)) for name in ("logical_date", "run_after")}
    night = Night.of(params, SimpleNamespace(run_id=dag_run["dag_run_id"], dag_id=dag_run["dag_id"], **dates))
    argv = [str(ENVIRONMENT / "bin" / "python"), str(CHECKOUT / "jobs" / "report.py"), "--source", night.source]
    argv += ["--recommendations", str(night.partition("recommendations")), "--run", night.run]
    argv += ["--conf", str(night.model_file), "--link", night.link, "--prefix", "late-", "--late"]
    return [*argv, *night.overrides]


def _instant(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
