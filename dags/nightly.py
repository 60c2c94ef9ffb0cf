"""One night of one shop: raw logs in, checked recommendations in the warehouse.

A run handles the day before its logical date, in the shop's time zone; a run without logical date
(started by hand) the day before it was started; the param `day` names any other day. Every task is
safe to run twice. What to do when one is red: `docs/runbook.md`, one heading per task.
"""

from __future__ import annotations

import os
from datetime import timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, CronTriggerTimetable, Param

from _tasks import SYNTHETIC, Night, landing, python_job, spark_job
from nightjar.settings import load_source

SOURCE = os.environ.get("NIGHTJAR_SOURCE") or SYNTHETIC
RAW = os.environ.get("NIGHTJAR_RAW") or None

# Not CronPartitionTimetable(run_offset=-1), nor CronDataIntervalTimetable: both step back by cron ticks.
# Where clocks skip 02:00 in spring the tick before 03:00 is the same instant, and a day is lost.
# Our day is the calendar's, see settings.day_before.
AT_TWO = CronTriggerTimetable("0 2 * * *", timezone=load_source(SOURCE).time_zone)

PARAMS = {
    "source": Param(
        SOURCE,
        type="string",
        pattern="^[a-z][a-z0-9_]*$",
        description="A mapping under conf/sources/; also the shop's name.",
    ),
    "raw": Param(
        RAW,
        type=["null", "string"],
        pattern="^/",
        description="Absolute path of the raw logs; needed by every source but the synthetic shop.",
    ),
    "day": Param(
        None,
        type=["null", "string"],
        format="date",
        description="The shop's day; empty: the day before the logical date.",
    ),
    "model": Param(
        "sasrec",
        type="string",
        enum=["sasrec", "esasrec", "bert4rec", "hstu", "gru", "lstm", "hstu-large"],
        description="A file under conf/models/.",
    ),
    "set": Param(
        [],
        type="array",
        items={"type": "string", "pattern": r"^[a-z_]+\.[a-z0-9_]+=[ -~]+$"},
        description='Settings that differ from conf/base.toml, each "section.key=value".',
    ),
}


def doc(task: str, sentence: str) -> str:
    return f"{sentence}\n\nRed? Read `docs/runbook.md#{task}`."


with DAG(
    "nightly",
    schedule=None if os.environ.get("NIGHTJAR_SCHEDULE") == "off" else AT_TWO,
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    tags=["nightjar", "nightly"],
    doc_md=__doc__,
    user_defined_macros={"night": Night.of},
    default_args={
        "owner": "nightjar",
        # Only environment failures get here: bad data fails a task at once, see _tasks.judge.
        "retries": 2,
        "retry_delay": timedelta(minutes=1),
        "retry_exponential_backoff": 3,
        "max_retry_delay": timedelta(minutes=15),
        "execution_timeout": timedelta(hours=2),
    },
) as dag:
    land = landing("land", doc_md=doc("land", "Have the day's raw logs: the synthetic shop writes its own."))
    clean = spark_job(
        "clean",
        table="events",
        raw=True,
        doc_md=doc("clean", "Split raw records into events and quarantine, then gate them."),
        execution_timeout=timedelta(hours=4),  # also lands missing days of history
    )
    sessionize = spark_job(
        "sessionize", table="events", doc_md=doc("sessionize", "Rebuild the sessions that the day's events touch.")
    )
    identity = spark_job(
        "identity",
        table="identity",
        doc_md=doc("identity", "Stitch devices and logins to persons, from the first day that changed on."),
    )
    sequences = spark_job(
        "sequences",
        table="sequences",
        doc_md=doc("sequences", "Write every person's history, as of now and as of the holdout."),
    )
    features = spark_job(
        "features",
        table="user_features",
        doc_md=doc(
            "features", "Write every person's features as of now, and labels for the latest instant that has any."
        ),
    )
    train = python_job(
        "train",
        table="sequences",
        doc_md=doc("train", "Train a candidate when the policy says that one is due."),
        execution_timeout=timedelta(hours=8),  # resumable: a retry goes on from its last checkpoint
    )
    evaluate = python_job(
        "evaluate",
        table="sequences",
        doc_md=doc("evaluate", "Judge candidate, champion and baselines on the holdout; promote."),
    )
    marts = spark_job(
        "marts",
        table="sessions",
        doc_md=doc("marts", "Build the analysis tables of every day whose sessions, persons or items changed."),
    )
    realise = python_job(
        "realise",
        table="sessions",
        doc_md=doc("realise", "Hold the lists of the night before against what people did since."),
    )
    settled = EmptyOperator(
        task_id="settled",
        trigger_rule="all_done",
        doc_md=doc(
            "settled",
            "From here on the night is published, whether or not features, analysis tables and the look back worked.",
        ),
    )
    champion = EmptyOperator(
        task_id="champion",
        trigger_rule="all_done",
        doc_md=doc("champion", "From here on today's champion serves, whether or not training worked."),
    )
    score = spark_job(
        "score", table="recommendations", doc_md=doc("score", "Rank items for every eligible person with the champion.")
    )
    watch = python_job(
        "watch",
        table="recommendations",
        doc_md=doc("watch", "Hold inputs, scores and lists against the nights before, before anybody sees them."),
    )
    publish = python_job(
        "publish",
        table="recommendations",
        doc_md=doc("publish", "Audit, then make the night visible in the warehouse at once."),
    )
    report = python_job("report", table="recommendations", doc_md=doc("report", "Write the night's page."))
    verdict = EmptyOperator(
        task_id="verdict",
        trigger_rule="none_failed",
        doc_md=doc("verdict", "Red when anything failed, a training included, although the night was published."),
    )

    land >> clean >> sessionize >> identity >> sequences >> train >> evaluate >> champion
    [sequences, champion] >> score >> watch >> publish >> report
    sequences >> [features, marts]
    identity >> realise
    [features, marts, realise] >> settled >> watch
    [evaluate, publish, report, features, marts, realise] >> verdict
