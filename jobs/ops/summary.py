"""What a night did, for the terminal: steps, metrics, three people's recommendations, where to look next."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import groupby
from pathlib import Path
from typing import Any

from nightjar.settings import Publish
from nightjar.stores.home import Home
from nightjar.stores.warehouse import Recommended, open_warehouse, sample

DAG = "nightly"
#: task -> job whose result it leaves; the joins leave none
STEPS = {
    "land": "simulate",
    "clean": "clean",
    "sessionize": "sessionize",
    "identity": "identity",
    "sequences": "sequences",
    "features": "features",
    "marts": "marts",
    "realise": "realise",
    "train": "train",
    "evaluate": "evaluate",
    "score": "score",
    "watch": "watch",
    "publish": "publish",
    "report": "report",
}
COUNTS = ("rows_in", "rows_out", "rows_rejected")
METRICS = ("ndcg@10", "hr@10", "mrr")
MODELS = {"candidate": "candidate", "champion": "champion", "popularity": "popularity", "markov": "last-item Markov"}
SAMPLE_PEOPLE = 3


def results(home: Home, shop: str, day: date, run: str) -> dict[str, dict[str, Any]]:
    """Task -> result manifest, of this run only: an older run's result says nothing about tonight."""
    found = {}
    for task, job in STEPS.items():
        path = home.result(shop, day, job)
        if path.exists():
            said = json.loads(path.read_text(encoding="utf-8"))
            if said.get("run_id") == run:
                found[task] = said
    return found


def summary(home: Home, shop: str, day: date, run: str, tasks: Sequence[Mapping[str, Any]], target: Publish) -> str:
    """Everything that a finished night prints; `target` says which warehouse it was published to."""
    said = results(home, shop, day, run)
    states = {task["task_id"]: task["state"] for task in tasks}
    parts = ["", steps_table(states, said)]
    if counts := said.get("evaluate", {}).get("counts"):
        parts += ["", metrics_table(counts)]
    if states.get("publish") == "success":
        parts += ["", sample_text(sample(open_warehouse(target, home), shop, day, SAMPLE_PEOPLE))]
    return "\n".join([*parts, "", where_next(home, shop, day, target)])


def steps_table(states: Mapping[str, str | None], said: Mapping[str, Mapping[str, Any]]) -> str:
    """One line per step: how it ended, its rows and its seconds."""
    lines = []
    for task in STEPS:
        result = said.get(task, {})
        counts = result.get("counts") or {}
        cells = [_count(counts.get(name)) for name in COUNTS]
        lines.append(
            [task, states.get(task) or "not run", *cells, _seconds(result.get("seconds")), _gib(result.get("peak_gib"))]
        )
    return table(["step", "state", "rows in", "rows out", "rejected", "seconds", "peak GiB"], lines, words=2)


def metrics_table(counts: Mapping[str, Any]) -> str:
    """Candidate, champion and baselines on the same rows of the holdout, and what was decided."""
    metrics: Mapping[str, Mapping[str, float]] = counts["metrics"]
    promoted = counts["decision"] == "promoted"
    names = {**MODELS, **({"candidate": "new champion", "champion": "old champion"} if promoted else {})}
    lines = [
        [names[name], *(f"{metrics[name][metric]:.4f}" for metric in METRICS)] for name in names if name in metrics
    ]
    head = [f"holdout, {_count(counts['rows_out'])} people", *METRICS]
    return f"{table(head, lines, words=1)}\n{counts['decision']}: {counts['reason']}"


def sample_text(items: Iterable[Recommended]) -> str:
    """A few people's recommendations as a BI tool reads them, each with its reason."""
    lines = ["recommended"]
    for person, theirs in groupby(items, key=lambda item: item.user_id):
        lines.append(f"  {person}")
        lines += [f"    {item.rank}. {item.title or item.item_id}  ({_reason(item)})" for item in theirs]
    return "\n".join(lines)


def _reason(item: Recommended) -> str:
    words = item.reason_code.replace("_", " ")
    evidence = item.evidence_title or item.evidence_item_id
    return f"{words} {evidence}" if evidence else words


def where_next(home: Home, shop: str, day: date, target: Publish) -> str:
    """The places that a person opens after a night."""
    lines = [
        "Airflow    make ui  # prints its address and where the password is",
        "MLflow     make ui  # the same",
        f"data docs  {home.docs / shop / 'index.html'}",
        f"report     {home.report(shop, day)}",
    ]
    if target.target == "duckdb":
        query = "SELECT * FROM v_recommendations_current ORDER BY shop, user_id, rank LIMIT 20"
        opened = f"duckdb.connect({json.dumps(str(home.warehouse))}, read_only=True)"
        python = f"import duckdb; print({opened}.sql({json.dumps(query)}))"
        lines.append(f"query      .envs/jobs/bin/python -c {shlex.quote(python)}")
    return "\n".join(lines)


def failure_text(home: Home, shop: str, day: date, run: str, tasks: Iterable[Mapping[str, Any]]) -> str:
    """Which steps failed, why, and the log of each."""
    said = results(home, shop, day, run)
    lines = []
    for task in tasks:
        if task["state"] == "failed":
            error = said.get(task["task_id"], {}).get("error") or "the task left no result; its log says why"
            lines.append(
                f"FAILED {task['task_id']}: {error}\n  log: {task_log(home, run, task['task_id'], task['try_number'])}"
            )
    return "\n".join(lines) or "FAILED: no task says why; look at make ui"


def task_log(home: Home, run: str, task: str, attempt: int) -> Path:
    folder = home.root / "logs" / "airflow" / f"dag_id={DAG}" / f"run_id={run}" / f"task_id={task}"
    return folder / f"attempt={attempt}.log"


def table(head: Sequence[str], lines: Sequence[Sequence[str]], *, words: int) -> str:
    """Plain text columns; the first `words` of them stand left, the numbers after them right."""
    rows = [list(head), *(list(line) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(head))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if column < words else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join([line(rows[0]), "  ".join("-" * width for width in widths), *(line(row) for row in rows[1:])])


def _count(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else ""


def _seconds(value: object) -> str:
    return f"{value:.1f}" if isinstance(value, float | int) else ""


def _gib(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float | int) else ""
