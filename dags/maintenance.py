"""What a shop's data needs once a week: requests to be forgotten, retention, files, models.

### What

People who asked for it are forgotten, days beyond `[retention]` go, small files are merged, and files and models that
nobody needs are deleted.

### When

On Sunday before the training, and by hand.

### Who

Whoever filed a request with `make erase`; whoever pays for the disk. Each erasure is a row of `erasures`, without a
name.

### What if

The erasure has the shop to itself for the minutes that it takes: a night that is under way goes on between its jobs.
Every task is safe to run twice, and each runs whatever became of those before it. A task is red: read its heading in
`docs/runbook.md`.
"""

from __future__ import annotations

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG

from _shop import DEFAULT_ARGS, PARAMS, SCHEDULED, at, doc
from _tasks import Night, python_job, tables
from nightjar import contracts

#: Between the night of two o'clock and the training of six.
ON_SUNDAY = at("0 4 * * 0")

NAMING_PEOPLE = ("quarantine", *(table.name for table in contracts.PERSON_COLUMNS))

with DAG(
    "maintenance",
    schedule=ON_SUNDAY if SCHEDULED else None,
    catchup=False,
    max_active_runs=1,
    params={name: param for name, param in PARAMS.items() if name != "raw"},
    tags=["nightjar", "maintenance"],
    doc_md=__doc__,
    user_defined_macros={"night": Night.of},
    default_args=DEFAULT_ARGS,
) as dag:
    erase = python_job(
        "erase",
        table="erasures",
        outlets=tables("erasures", *NAMING_PEOPLE),
        doc_md=doc("erase", "Take people who asked for it out of everything that is kept."),
    )
    retain = python_job(
        "retain",
        table="events",
        trigger_rule="all_done",
        doc_md=doc("retain", "Drop the days that are older than the settings say."),
    )
    compact = python_job(
        "compact",
        table="events",
        trigger_rule="all_done",
        doc_md=doc("compact", "Merge small files, and delete those that nobody can need."),
    )
    tidy_models = python_job(
        "tidy_models",
        table="promotions",
        trigger_rule="all_done",
        doc_md=doc("tidy_models", "Delete old candidates that never became champion, and what failed trainings left."),
    )
    verdict = EmptyOperator(
        task_id="verdict",
        trigger_rule="none_failed",
        doc_md=doc("verdict", "Red when anything failed."),
    )

    erase >> retain >> compact >> tidy_models
    [erase, retain, compact, tidy_models] >> verdict
