from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

from jobs.ops import summary

from nightjar.settings import Publish
from nightjar.stores.home import Home
from nightjar.stores.warehouse import Recommended

DAY = date(2001, 1, 15)
RUN = "night_2001-01-15"


def leave(home: Home, job: str, run: str = RUN, **said: Any) -> None:
    path = home.result("shop", DAY, job)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"job": job, "run_id": run, "seconds": 12.34, "peak_gib": 1.5, **said}))


def test_steps_table(home: Home, golden: Callable[[str, str], None]) -> None:
    leave(home, "simulate", counts={"rows_in": 0, "rows_out": 45678})
    leave(home, "clean", counts={"rows_in": 45678, "rows_out": 45000, "rows_rejected": 678})
    leave(home, "sessionize", run="an older run", counts={"rows_in": 1})
    states = {"land": "success", "clean": "success", "sessionize": "failed", "sequences": "upstream_failed"}
    golden("steps.txt", summary.steps_table(states, summary.results(home, "shop", DAY, RUN)) + "\n")


def test_metrics_table(golden: Callable[[str, str], None]) -> None:
    scorers = {
        "popularity": {"ndcg@10": 0.051, "hr@10": 0.1, "mrr": 0.04},
        "markov": {"ndcg@10": 0.07, "hr@10": 0.14, "mrr": 0.06},
        "candidate": {"ndcg@10": 0.11, "hr@10": 0.21, "mrr": 0.09},
    }
    counts = {"rows_out": 1234, "metrics": scorers, "decision": "promoted", "reason": "ndcg@10 0.1100: holds"}
    golden("metrics_promoted.txt", summary.metrics_table(counts) + "\n")
    kept = {**counts, "metrics": {**scorers, "champion": scorers["markov"]}, "decision": "kept", "reason": "fails"}
    golden("metrics_kept.txt", summary.metrics_table(kept) + "\n")


def test_sample_text() -> None:
    items = [
        Recommended("u-1", "home", 1, "i-1", "Red kettle", 0.9, "model", "because_viewed", "i-7", "Blue kettle"),
        Recommended("u-1", "home", 2, "i-2", None, 0.8, "model", "because_bought", "i-8", None),
        Recommended("u-2", "home", 1, "i-3", None, 0.7, "popular", "popular_now", None, None),
    ]
    assert summary.sample_text(items) == (
        "recommended\n"
        "  u-1\n"
        "    1. Red kettle  (because viewed Blue kettle)\n"
        "    2. i-2  (because bought i-8)\n"
        "  u-2\n"
        "    1. i-3  (popular now)"
    )


def test_failure_names_step_error_and_log(home: Home) -> None:
    leave(home, "clean", status="failed", failure="bad_data", error="gate stopped: failed expectation volume")
    tasks = [
        {"task_id": "land", "state": "success", "try_number": 1},
        {"task_id": "clean", "state": "failed", "try_number": 2},
        {"task_id": "score", "state": "upstream_failed", "try_number": 0},
    ]
    log = Path(home.root, "logs/airflow/dag_id=nightly", f"run_id={RUN}", "task_id=clean/attempt=2.log")
    assert summary.failure_text(home, "shop", DAY, RUN, tasks) == (
        f"FAILED clean: gate stopped: failed expectation volume\n  log: {log}"
    )


def test_where_next_has_a_query_for_duckdb_only(home: Home) -> None:
    duckdb = summary.where_next(home, "shop", DAY, Publish(target="duckdb", keep_nights=1))
    assert str(home.warehouse) in duckdb
    assert "v_recommendations_current" in duckdb
    assert f"{home.reports}/shop/2001-01-15.html" in duckdb
    assert "duckdb" not in summary.where_next(home, "shop", DAY, Publish(target="postgres", keep_nights=1))
