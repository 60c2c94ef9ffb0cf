"""A younger champion for a shop: train on the latest night's histories, judge, promote by the rule.

### What

A candidate is trained with what the night of the run's day read, judged on a later window beside the champion and
simple baselines, and promoted by the written rule in `[promotion]`. The button *MLflow* of a task leads to the model
where MLflow is up.

### When

On Sunday at six, when a night drifted, and by hand; the night never waits for it. The night of the day before the
run, or of the param `day`, must have reached `sequences`.

### Who

The shop's nights, which score with whatever reigns; each decision is a row of `promotions`, with its numbers.

### What if

A candidate that does not pass leaves the champion where it is. A task is red: read its heading in `docs/runbook.md`.
Safe to run twice; a training that was killed goes on where it was.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, AssetOrTimeSchedule

from _shop import DEFAULT_ARGS, PARAMS, SCHEDULED, at, doc
from _tasks import DRIFT, Night, python_job

#: A night that begins at two has written its histories by then.
ON_SUNDAY = at("0 6 * * 0")

#: Results of the night's own `train` and `evaluate` of the same day stay beside these.
PREFIX = "training-"

with DAG(
    "training",
    schedule=AssetOrTimeSchedule(timetable=ON_SUNDAY, assets=[DRIFT]) if SCHEDULED else None,
    catchup=False,
    max_active_runs=1,
    params={name: param for name, param in PARAMS.items() if name != "raw"},
    tags=["nightjar", "training"],
    doc_md=__doc__,
    user_defined_macros={"night": Night.of},
    default_args=DEFAULT_ARGS,
) as dag:
    train = python_job(
        "train",
        table="sequences",
        prefix=PREFIX,
        more=("--when", "{{ 'drift' if dag_run.run_type == 'asset_triggered' else 'now' }}"),
        doc_md=doc("train", "Train a candidate, unless drift asks for what a young champion has seen already."),
        execution_timeout=timedelta(hours=8),  # resumable: a retry goes on from its last checkpoint
    )
    evaluate = python_job(
        "evaluate",
        table="sequences",
        prefix=PREFIX,
        doc_md=doc("evaluate", "Judge candidate, champion and baselines on the holdout; promote."),
    )

    train >> evaluate
