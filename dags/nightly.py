"""One night of one shop: raw logs in, checked recommendations in the warehouse.

### What

The day's raw logs are cleaned, checked, cut into sessions and stitched to persons; the champion of the DAG `training`
ranks items for everybody (where there is none, the night trains one); the audited lists appear in the warehouse all
at once. The tab *Report* of a run is the night on a page, *Data Docs* what was checked; a task's tab
*Storage* says its rows in a sentence.

### When

At two in the morning of the shop's time zone, for the day before. A run handles the day before its logical date; one
that is started by hand the day before it was started; the param `day` names any other day. Late after
`NIGHTJAR_DEADLINE_HOURS`.

### Who

Whoever looks after the shop's data is told when a night fails or is late ("Being told" in the README); BI and CRM
tools read what `publish` shows, and see last night until then.

### What if

A task is red: read its heading in `docs/runbook.md`. *Clear* repeats it and what depends on it; every task is safe to
run twice and to kill. Bad data is not retried, and readers keep the last good night. `make rollback` takes a
published night back.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, DeadlineAlert, DeadlineReference, SyncCallback

from _alerts import late
from _shop import DEADLINE, DEFAULT_ARGS, PARAMS, SCHEDULED, UNTIL, at, doc
from _tasks import WAREHOUSE, Night, Turn, landing, python_job, spark_job, tables, watching
from nightjar import contracts

AT_TWO = at("0 2 * * *")

MARTS = tuple(table.name for table in contracts.MARTS)
DAYS = tuple(table.name for table in contracts.KEPT_DAYS)

with DAG(
    "nightly",
    schedule=AT_TWO if SCHEDULED else None,
    end_date=UNTIL,
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    deadline=DeadlineAlert(DeadlineReference.DAGRUN_QUEUED_AT, DEADLINE, SyncCallback(late)),
    tags=["nightjar", "nightly"],
    doc_md=__doc__,
    user_defined_macros={"night": Night.of},
    default_args=DEFAULT_ARGS,
) as dag:
    turn = Turn(
        task_id="turn",
        doc_md=doc("turn", "Let the earlier nights of a backfill end first; any other night goes on at once."),
        execution_timeout=timedelta(minutes=5),  # of one look
        timeout=timedelta(days=30).total_seconds(),  # a year of nights takes its time
    )
    land = landing("land", doc_md=doc("land", "Have the day's raw logs: the synthetic shop writes its own."))
    clean = spark_job(
        "clean",
        outlets=tables("events quarantine data_quality"),
        table="events",
        raw=True,
        doc_md=doc("clean", "Split raw records into events and quarantine, then gate them."),
        execution_timeout=timedelta(hours=4),  # also lands missing days of history
    )
    sessionize = spark_job(
        "sessionize",
        inlets=tables("events"),
        outlets=tables("sessions session_events session_renames data_quality"),
        table="events",
        doc_md=doc("sessionize", "Rebuild the sessions that the day's events touch."),
    )
    identity = spark_job(
        "identity",
        inlets=tables("sessions"),
        outlets=tables("identity identity_links data_quality"),
        table="identity",
        doc_md=doc("identity", "Stitch devices and logins to persons, from the first day that changed on."),
    )
    sequences = spark_job(
        "sequences",
        inlets=tables("events session_events identity"),
        outlets=tables("items sequences vocabulary holdout data_quality"),
        table="sequences",
        doc_md=doc("sequences", "Write every person's history, as of now and as of the holdout."),
    )
    features = spark_job(
        "features",
        inlets=tables("events session_events identity items"),
        outlets=tables("user_features labels items data_quality"),  # items as of the instant that labels look from
        table="user_features",
        doc_md=doc(
            "features", "Write every person's features as of now, and labels for the latest instant that has any."
        ),
    )
    train = python_job(
        "train",
        inlets=tables("sequences vocabulary"),
        table="sequences",
        more=("--when", "missing"),
        doc_md=doc("train", "Train a candidate where no champion serves yet; later ones are the DAG training's."),
        execution_timeout=timedelta(hours=8),  # resumable: a retry goes on from its last checkpoint
    )
    evaluate = python_job(
        "evaluate",
        inlets=tables("sequences items holdout"),
        outlets=tables("promotions"),
        table="sequences",
        doc_md=doc("evaluate", "Judge candidate, champion and baselines on the holdout; promote."),
    )
    marts = spark_job(
        "marts",
        inlets=tables("sessions session_events identity items"),
        outlets=tables("data_quality", *MARTS),
        table="sessions",
        doc_md=doc("marts", "Build the analysis tables of every day whose sessions, persons or items changed."),
    )
    realise = python_job(
        "realise",
        inlets=tables("recommendations sequences items session_events identity"),
        outlets=tables("realised"),
        table="sessions",
        doc_md=doc("realise", "Hold the lists of the night before against what people did since."),
    )
    settled = EmptyOperator(
        task_id="settled",
        trigger_rule="all_done",
        doc_md=doc(
            "settled",
            "From here on the night is published, whether or not scores of people, analysis tables and the look back"
            " worked.",
        ),
    )
    champion = EmptyOperator(
        task_id="champion",
        trigger_rule="all_done",
        doc_md=doc("champion", "From here on today's champion serves, whether or not training worked."),
    )
    train_scores = python_job(
        "train_scores",
        inlets=tables("user_features labels sequences session_events identity identity_links"),
        outlets=tables("promotions"),
        table="user_features",
        doc_md=doc("train_scores", "Learn churn, purchases and the like where a task's model is missing or old."),
    )
    score_people = python_job(
        "score_people",
        inlets=tables("user_features sequences identity identity_links"),
        outlets=tables("foretold"),
        table="user_features",
        doc_md=doc("score_people", "Foretell of everybody what the tasks ask."),
    )
    decide = python_job(
        "decide",
        inlets=tables("foretold user_features"),
        outlets=tables("decisions"),
        table="foretold",
        doc_md=doc("decide", "Say whom to offer a coupon, to remind, to win back, within the budget."),
    )
    realise_scores = python_job(
        "realise_scores",
        inlets=tables("foretold decisions labels user_features"),
        outlets=tables("realised_scores realised_calibration realised_decisions"),
        table="user_features",
        doc_md=doc("realise_scores", "Hold what a past night foretold and decided against what people did since."),
    )
    score = spark_job(
        "score",
        inlets=tables("sequences items"),
        outlets=tables("recommendations data_quality"),
        table="recommendations",
        doc_md=doc("score", "Rank items for every eligible person with the champion."),
    )
    watch = watching(
        "watch",
        inlets=tables("events items recommendations daily_kpis funnels foretold realised_scores"),
        outlets=tables("data_quality"),
        doc_md=doc("watch", "Hold inputs, scores and lists against the nights before, before anybody sees them."),
    )
    publish = python_job(
        "publish",
        inlets=tables(
            "recommendations items sequences user_features foretold decisions promotions data_quality", *DAYS
        ),
        outlets=[WAREHOUSE],
        table="recommendations",
        doc_md=doc("publish", "Audit, then make the night visible in the warehouse at once."),
    )
    report = python_job(
        "report",
        inlets=tables(
            "recommendations items sessions events promotions data_quality daily_kpis funnels foretold decisions",
            *(table.name for table in contracts.JUDGED),
        ),
        table="recommendations",
        more=("--link", "{{ night(params, dag_run).link }}"),
        trigger_rule="all_done",
        doc_md=doc("report", "Write the night's page and tell who is to be told, however the night ended."),
    )
    verdict = EmptyOperator(
        task_id="verdict",
        trigger_rule="none_failed",
        doc_md=doc("verdict", "Red when anything failed, a training included, although the night was published."),
    )

    turn >> land >> clean >> sessionize >> identity >> sequences >> train >> evaluate >> champion
    [sequences, champion] >> score >> watch >> publish >> report
    sequences >> [features, marts]
    identity >> realise
    [features, champion] >> train_scores >> score_people >> decide
    features >> realise_scores
    [decide, marts, realise, realise_scores] >> settled >> watch
    [evaluate, publish, report, decide, marts, realise, realise_scores] >> verdict
