"""Run by Airflow's Python: what a run with the params of each line of the input would start, or why it would not."""

from __future__ import annotations

import copy
import json
import sys
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from airflow.sdk.exceptions import AirflowFailException, ParamValidationError

import nightly

MOMENT = datetime(2001, 1, 16, 2, tzinfo=UTC)


def resolved(given: dict[str, Any], run_id: str) -> dict[str, Any]:
    """The schemas of the params, then what a Spark task and a Python task hand to the operating system."""
    params = nightly.dag.params.dump()
    try:
        for name, value in given.items():
            params[name] = copy.copy(nightly.dag.params.get_param(name)).resolve(value)
    except ParamValidationError:
        return {"schema": False, **started({**params, **given}, run_id)}
    return {"schema": True, **started(params, run_id)}


def started(params: dict[str, Any], run_id: str) -> dict[str, Any]:
    run = SimpleNamespace(logical_date=MOMENT, run_after=MOMENT, run_id=run_id)
    argv = {}
    for name in ("clean", "publish"):
        task = nightly.dag.get_task(name).prepare_for_execution()
        try:
            task.render_template_fields({"params": params, "dag_run": run})
        except AirflowFailException as error:
            return {"refused": str(error)}
        argv[name] = task.argv if name == "publish" else task._get_hook()._build_spark_submit_command(task.application)
    return {"argv": argv}


for line in sys.stdin:
    asked = json.loads(line)
    print("SAID", json.dumps(resolved(asked["params"], asked["run_id"])), flush=True)
