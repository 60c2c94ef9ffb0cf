"""People's features, histories and labels to what is foretold of them, when a model is missing or old.

Reads `user_features`, `labels` and `sequences` as of the instants that `[labels]` names, and the latest champion among
recommenders that knows nothing later than they do, whose encoder all tasks share. Each yes or no of `[predict]` gets
trees, a head and both together; they are held against its rule on people of the latest instant; so is a choice among
several outcomes, without heads. What has no labels learns from the night alone, with `identity` and its links, and is
not judged. What a coupon changes is learned from `session_events` of trials, and says nothing unless it beats a model
of responses. Writes a version of each task's registered model to MLflow, its decision to `promotions`, and the alias
`champion`: what serves is the winner, where it beats the rule beyond chance.
Safe to run twice, and to kill: what is fitted again on the same data and settings is the same, and is not kept twice.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from _people import Cases, Encoder, Instant, answers, read_instant, rows, save_heads, teach, up_to, with_suspicions
from nightjar.contracts import IDENTITY, LABELS, PROMOTIONS, SEQUENCES, SESSION_EVENTS, USER_FEATURES, Partition
from nightjar.learn.checkpoint import LoadedModel, fingerprint_of, load_model, save_model
from nightjar.predict import anomaly, classes, effects
from nightjar.predict.contest import Verdict
from nightjar.predict.exposure import EVENT_COLUMNS, Arms, acts, met, once
from nightjar.predict.fitting import Rows, fit, rarer, with_latest
from nightjar.predict.qini import trial
from nightjar.predict.served import Served
from nightjar.predict.task import Anomaly, Binary, Multiclass, Uplift
from nightjar.predict.tasks import Task, named
from nightjar.predict.tasks.fraud_case import FRAUD_CASE
from nightjar.settings import Predict
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake, batches
from nightjar.stores.ledgers import promoted_versions, record
from nightjar.stores.tracking import ModelVersion, Tracking

READ = (USER_FEATURES, LABELS, SEQUENCES)


class Candidate(NamedTuple):
    """A fitted model of one task, as it is kept and decided on."""

    task: Task
    served: Served
    verdict: Verdict
    as_of: date  #: the day whose end it knew
    fingerprint: str
    write_encoder: Callable[[Path], None]  #: what it needs of the encoder, into its folder


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, night = Lake(job.home.lake), args.user_features
    tasks = named(job.conf.predict.tasks)
    due = [task for task in tasks if is_due(job, night, task)]
    waiting: dict[str, str] = {}
    if FRAUD_CASE in due and not job.conf.predict.cases:
        due.remove(FRAUD_CASE)
        waiting[FRAUD_CASE.name] = "no list of cases: predict.cases names none"
    verdicts: dict[str, Verdict] = {}
    for candidate in candidates(job, lake, night, due, waiting):
        kept(job, lake, night, candidate)
        verdicts[candidate.task.name] = candidate.verdict
    for name, reason in waiting.items():
        job.log.info("%s waits: %s", name, reason)
    if not due:
        reason = "every task has a model that is young enough" if tasks else "no task is configured"
    else:
        reason = None if verdicts else "; ".join(sorted(set(waiting.values())))
    return counts(lake.entry(night).num_rows if due else 0, verdicts, waiting, reason)


def is_due(job: Job, night: Partition, task: Task) -> bool:
    champion = Tracking(job.home, job.shop, task.name).champion()
    match task:
        case Anomaly():
            newest = night.day
        case Uplift():
            newest = night.day - meeting(job) - buying(job)
        case Binary() | Multiclass():
            newest = job.conf.labels.judged_on(night.day)
    return job.conf.predict.force or champion is None or (newest - champion.as_of).days > job.conf.predict.max_age_days


def candidates(job: Job, lake: Lake, night: Partition, due: list[Task], waiting: dict[str, str]) -> Iterator[Candidate]:
    """One of each task that can be learned tonight; `waiting` is told why the others cannot."""
    for task in due:
        if isinstance(task, Anomaly):
            yield from from_night(job, lake, night, task, waiting)
        if isinstance(task, Uplift):
            yield from from_trials(job, lake, night, task, waiting)
    if labelled := [task for task in due if isinstance(task, Binary | Multiclass)]:
        yield from from_labels(job, lake, night, labelled, waiting)


def from_night(job: Job, lake: Lake, night: Partition, task: Anomaly, waiting: dict[str, str]) -> Iterator[Candidate]:
    """What needs no labels."""
    encoder = recommender(job)
    one = read_instant(job.source, lake, night, encoder and encoder.vocabulary)
    one = one.where(task.serves(one.features, job.conf.labels))
    one = with_suspicions(lake, night, one, encoder, job.conf.train.seed)
    found = anomaly.fit(task, one.features)
    if found is None:
        waiting[task.name] = f"fewer than {anomaly.MIN_PEOPLE} people to tell the usual from the unusual"
        return

    def write_encoder(folder: Path) -> None:
        if encoder is not None:
            save_model(folder, encoder.model, encoder.conf, encoder.vocabulary)

    fingerprint = fingerprint_of(
        task.judged_by, lake.entry(night).content_hash, encoder and encoder.vocabulary.digest, job.conf.train.seed
    )
    yield Candidate(task, found, anomaly.NOT_JUDGED, night.day, fingerprint, write_encoder)


def from_trials(job: Job, lake: Lake, night: Partition, task: Uplift, waiting: dict[str, str]) -> Iterator[Candidate]:
    """What the log says of trials: everybody once, with features as of before they met one."""
    conf = job.conf.predict
    if not conf.trial_treated:
        waiting[task.name] = "no trial: predict.trial_treated names no campaign"
        return
    days = trial_days(job, lake, night)
    if not days:
        waiting[task.name] = "the log is too short for a trial with features before it and purchases after it"
        return
    done = trial_acts(job, lake, night, days[0])
    tables = []
    for day in days:
        people = met(
            done,
            up_to(lake, IDENTITY, night.on(day)),
            since=seconds(job, day),
            until=seconds(job, day + meeting(job)),
            horizon=int(buying(job).total_seconds()),
        )
        features = rows(lake, USER_FEATURES, night.on(day))
        places = pc.index_in(people.column("user_id"), features.column("user_id").combine_chunks())
        known = features.take(pc.drop_null(places)).drop_columns(["user_id"])
        people = people.filter(pc.is_valid(places))
        tables.append(pa.table([*people.columns, *known.columns], names=[*people.column_names, *known.column_names]))
    people = once(pa.concat_tables(tables))
    treated_B = people.column("treated").to_numpy()
    found = None
    if treated_B.any() and not treated_B.all():
        tried = trial(treated_B, people.column("bought").cast(pa.float64()).to_numpy(), conf.trial_propensity)
        found = effects.fit(
            task,
            people,
            tried,
            sensitive=conf.sensitive,
            min_positives=conf.min_positives,
            seed=job.conf.train.seed,
        )
    if found is None:
        waiting[task.name] = f"fewer than {conf.min_positives} of the rarer outcome in an arm of the trial"
        return
    inputs = [lake.entry(night.on(day).of(USER_FEATURES)).content_hash for day in days]
    fingerprint = fingerprint_of(conf.model_dump(mode="json", exclude={"force", "max_age_days", "tasks"}), inputs)
    yield Candidate(task, *found, days[-1], fingerprint, lambda _: None)


def meeting(job: Job) -> timedelta:
    """How long after an instant people may meet a trial, for what was known at the instant to be news enough."""
    return timedelta(days=job.conf.labels.step_days)


def buying(job: Job) -> timedelta:
    """How long after it a purchase counts."""
    return timedelta(days=job.conf.labels.horizon_days)


def trial_days(job: Job, lake: Lake, night: Partition) -> list[date]:
    """Instants with features whose time of meeting a trial, and of purchases after it, is over by the night."""
    latest = night.day - meeting(job) - buying(job)
    days = [latest - number * meeting(job) for number in range(job.conf.features.history_days // meeting(job).days)]
    return sorted(day for day in days if lake.has(night.on(day)))


def trial_acts(job: Job, lake: Lake, night: Partition, first: date) -> pa.Table:
    """From as long before the first instant as features look back; who met a trial then is no news."""
    since = first - timedelta(days=job.conf.features.history_days)
    days = [day for day in lake.days(job.shop, SESSION_EVENTS.name) if since <= day <= night.day]
    files = (file for day in days for file in lake.files(night.on(day).of(SESSION_EVENTS)))
    arms = Arms(job.conf.predict.trial_treated, job.conf.predict.trial_control)
    return acts(batches(files, EVENT_COLUMNS), arms)


def seconds(job: Job, day: date) -> int:
    return int(job.source.end_of(day).timestamp())


def from_labels(
    job: Job, lake: Lake, night: Partition, tasks: list[Binary | Multiclass], waiting: dict[str, str]
) -> Iterator[Candidate]:
    """What became of people at earlier instants, judged by a later one."""
    judged, earlier = instants(job, lake, night)
    if judged is None or not earlier:
        too_short = "the log is too short for an instant to learn from and a later one to judge on"
        waiting |= dict.fromkeys((task.name for task in tasks), too_short)
        return
    encoder, conf, cases = pretrained(job, lake, judged.day), job.conf.predict, Cases.of(job.home, job.conf)
    fingerprint = fingerprint_of(
        conf.model_dump(mode="json", exclude={"force", "max_age_days", "tasks"}),
        hashlib.sha256(json.dumps(cases.people.to_pylist(), default=str).encode()).hexdigest(),
        [(str(at.of(table)), lake.entry(at.of(table)).content_hash) for at in (judged, *earlier) for table in READ],
        encoder and encoder.vocabulary.digest,
    )
    tasks = with_those_of_before(job, tasks, fingerprint)
    days = " ".join(str(at.day) for at in earlier)
    job.log.info(
        "people of %s judge what is learned from %s, %s", judged.day, days, "with heads" if encoder else "trees"
    )
    known = [read_instant(job.source, lake, at, encoder and encoder.vocabulary, cases=cases) for at in earlier]
    later = read_instant(job.source, lake, judged, encoder and encoder.vocabulary, cases=cases)
    # Heads that nobody's answers teach would cost their lesson every night: such a task stays due.
    yes_or_no = [task for task in tasks if isinstance(task, Binary) and is_answered(task, known, later, conf)]
    taught = None
    if encoder and yes_or_no:
        taught, losses = teach(encoder.model, known, yes_or_no, job.conf.predict, seed=job.conf.train.seed)
        job.log.info("heads: loss on the tuning people by epoch: %s", " ".join(f"{loss:.4f}" for loss in losses))

    def write_encoder(folder: Path) -> None:
        if taught is not None and encoder is not None:
            save_heads(folder, Encoder(taught, encoder.vocabulary, tuple(task.name for task in yes_or_no)))

    how: dict[str, Any] = {
        "tuning_share": conf.tuning_share,
        "sensitive": conf.sensitive,
        "seed": job.conf.train.seed,
    }
    for task in tasks:
        place = yes_or_no.index(task) if taught and task in yes_or_no else None
        *rows, now = (Rows(one.features, one.labels, answers(taught, one, place)) for one in (*known, later))
        before = Rows.of(rows)
        found: tuple[Served, Verdict] | None
        if isinstance(task, Multiclass):
            found = classes.fit(task, before, now, min_positives=conf.min_positives, **how)
        elif (fitted := fit(task, before, now, min_positives=conf.min_positives, **how)) is not None:
            found = with_latest(fitted[0], before, now, **how), fitted[1]
        else:
            found = None
        if found is None:
            waiting[task.name] = f"fewer than {conf.min_positives} of the rarer outcome, or of three, to learn from"
        else:
            yield Candidate(task, *found, judged.day, fingerprint, write_encoder)


def is_answered(task: Binary, known: list[Instant], later: Instant, conf: Predict) -> bool:
    """Whether both outcomes are there at all, among those who are learned from and among those who judge."""

    def fewest(instants: list[Instant]) -> int:
        outcomes_B = np.concatenate([task.outcomes(one.labels) for one in instants])
        return rarer(outcomes_B[~np.isnan(outcomes_B)])

    return min(fewest(known), fewest([later])) >= conf.min_positives


def with_those_of_before(job: Job, due: list[Binary | Multiclass], fingerprint: str) -> list[Binary | Multiclass]:
    """The tasks that are due, and those that a killed attempt at the same had done: heads are taught together."""

    def is_done(task: Task) -> bool:
        champion = Tracking(job.home, job.shop, task.name).champion()
        return champion is not None and champion.fingerprint == fingerprint

    labelled = [task for task in named(job.conf.predict.tasks) if isinstance(task, Binary | Multiclass)]
    return [task for task in labelled if task in due or is_done(task)]


def instants(job: Job, lake: Lake, night: Partition) -> tuple[Partition | None, list[Partition]]:
    """The one that judges, and those that are learned from; as far as the lake holds them."""
    conf, log = job.conf.labels, lake.days(job.shop, SESSION_EVENTS.name)
    held = {day for day in lake.days(job.shop, LABELS.name) if all(lake.has(night.on(day).of(table)) for table in READ)}
    judged = conf.judged_on(night.day)
    if judged not in held:
        return None, []
    return night.on(judged), [night.on(day) for day in conf.learned_from(night.day, min(log), held)]


def pretrained(job: Job, lake: Lake, until: date) -> LoadedModel | None:
    """The latest recommender that served and was trained on nothing after a day's end.

    One that has read what people did on the days that judge would be judged on what it was taught. Until a recommender
    is old enough trees stand alone.
    """
    tracking = Tracking(job.home, job.shop)
    served = [tracking.version(version) for version in promoted_versions(lake, job.shop, tracking.name)]
    ranked = {(one.as_of, int(one.version)): one for one in served if one.as_of <= until}
    return load_model(tracking.download(ranked[max(ranked)])) if ranked else None


def recommender(job: Job) -> LoadedModel | None:
    """The champion; without one there is none."""
    tracking = Tracking(job.home, job.shop)
    champion = tracking.champion()
    return None if champion is None else load_model(tracking.download(champion))


def kept(job: Job, lake: Lake, night: Partition, found: Candidate) -> None:
    """Keep a candidate in MLflow, say in the ledger what was decided, and let it serve."""
    tracking, verdict = Tracking(job.home, job.shop, found.task.name), found.verdict
    champion = tracking.champion()
    # A killed attempt may have come as far as the version, or to its end.
    version = None if job.conf.predict.force else tracking.find(found.fingerprint)
    if version is None:
        version = logged(job, tracking, found)
    elif champion == version:
        return
    record(
        lake,
        PROMOTIONS,
        night.of(PROMOTIONS),
        [
            {
                "shop": night.shop,
                "dt": night.day,
                "decision_id": hashlib.sha256(f"{found.task.name} {version.version} {night}".encode()).hexdigest()[:16],
                "decided_at": datetime.now(UTC),
                "model_name": tracking.name,
                "candidate_version": version.version,
                "champion_version": champion and champion.version,
                "decision": "promoted" if verdict.promoted else "kept",
                "reason": verdict.reason,
                "metrics": json.dumps(told(verdict)),
                "rule": json.dumps(found.task.judged_by),
            }
        ],
        job.run_id,
    )
    tracking.promote(version)
    job.log.info("%s: %s", found.task.name, verdict.reason)


def logged(job: Job, tracking: Tracking, found: Candidate) -> ModelVersion:
    """A run with the contest's figures, and the files that serve as the next version of the registered model."""
    tags = {"as_of": found.as_of.isoformat(), "night": job.run_id}
    with tracking.start_run(f"{found.task.name} {found.as_of}", tags) as run_id:
        for name, one in found.verdict.contenders.items():
            known = {metric: value for metric, value in one.metrics.items() if not math.isnan(value)}
            tracking.log_metrics(run_id, {f"{name}/{metric}": value for metric, value in known.items()})
        with tempfile.TemporaryDirectory() as draft:
            folder = Path(draft)
            found.served.save(folder)
            found.write_encoder(folder)
            return tracking.log_files(run_id, folder, as_of=found.as_of, fingerprint=found.fingerprint)


def told(verdict: Verdict) -> dict[str, Any]:
    return {
        name: {
            **{metric: rounded(value) for metric, value in one.metrics.items()},
            "ahead_of_rule": [rounded(value) for value in one.ahead_of_rule],
        }
        for name, one in verdict.contenders.items()
    }


def rounded(value: float) -> float | None:
    """What a sample cannot tell is null: JSON knows no NaN."""
    return None if math.isnan(value) else round(value, 5)


def counts(
    num_people: int, verdicts: dict[str, Verdict], waiting: dict[str, str], reason: str | None
) -> dict[str, Any]:
    return {
        "rows_in": num_people,
        "rows_out": len(verdicts),
        "rows_rejected": 0,
        "reason": reason,
        "waiting": waiting,
        "tasks": {
            name: {"serving": one.winner, "promoted": one.promoted, "reason": one.reason}
            for name, one in verdicts.items()
        },
        "contest": {name: told(one) for name, one in verdicts.items()},
    }


if __name__ == "__main__":
    run("train_scores", arguments(__doc__, user_features="the night: shop/user_features/dt=DAY"), main)
