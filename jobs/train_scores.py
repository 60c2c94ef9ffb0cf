"""People's features, histories and labels to what is foretold of them, when a model is missing or old.

Reads `user_features`, `labels` and `sequences` as of the instants that `[labels]` names, and the recommender's
champion, whose encoder all tasks share. Each task of `[predict]` gets trees, a head and both together; they are held
against its rule on people of the latest instant. Writes a version of each task's registered model to MLflow, its
decision to `promotions`, and the alias `champion`: what serves is the winner, where it beats the rule beyond chance.
Safe to run twice: data and settings that were fitted before are not fitted again.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import tempfile
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from _people import Encoder, Instant, read_instant, save_heads
from nightjar.contracts import LABELS, PROMOTIONS, SEQUENCES, USER_FEATURES, Partition
from nightjar.learn import heads
from nightjar.learn.checkpoint import LoadedModel, fingerprint_of, load_model
from nightjar.learn.dataset import concatenated
from nightjar.learn.heads import Heads, Lesson, People
from nightjar.predict.contest import Verdict
from nightjar.predict.fitting import Rows, fit, is_tuning
from nightjar.predict.tasks import Task, named
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake
from nightjar.stores.ledgers import record
from nightjar.stores.tracking import Tracking


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, night = Lake(job.home.lake), args.user_features
    tasks = named(job.conf.predict.tasks)
    due = [task for task in tasks if is_due(job, night, task)]
    judged, earlier = instants(job, lake, night)
    reason = why_not(tasks, due, judged, earlier)
    if reason or judged is None:
        job.log.info("nothing is learned: %s", reason)
        return counts(0, {}, reason)
    encoder = recommender(job)
    known = [read_instant(job, lake, at, encoder and encoder.vocabulary, labelled=True) for at in earlier]
    later = read_instant(job, lake, judged, encoder and encoder.vocabulary, labelled=True)
    taught = teach(job, encoder, known, due) if encoder else None
    kept = Encoder(taught, encoder.vocabulary, tuple(task.name for task in due)) if taught and encoder else None
    fingerprint = fingerprint_of(
        job.conf.predict.model_dump(mode="json", exclude={"force", "max_age_days", "tasks"}),
        [(str(at.of(table)), lake.entry(at.of(table)).content_hash) for at in (judged, *earlier) for table in READ],
        encoder and encoder.vocabulary.digest,
    )
    verdicts = {}
    for place, task in enumerate(due):
        before = Rows(
            pa.concat_tables([one.features for one in known]),
            pa.concat_tables([one.labels for one in known]),
            np.concatenate([answers(taught, one, place) for one in known]),
        )
        now = Rows(later.features, later.labels, answers(taught, later, place))
        verdict = learned(job, lake, night, task, before, now, kept, judged.day, fingerprint)
        if verdict is not None:
            verdicts[task.name] = verdict
    return counts(later.features.num_rows, verdicts, None if verdicts else "too few of either outcome, in every task")


READ = (USER_FEATURES, LABELS, SEQUENCES)


def is_due(job: Job, night: Partition, task: Task) -> bool:
    champion = Tracking(job.home, job.shop, task.name).champion()
    newest = job.conf.labels.judged_on(night.day)
    return job.conf.predict.force or champion is None or (newest - champion.as_of).days > job.conf.predict.max_age_days


def instants(job: Job, lake: Lake, night: Partition) -> tuple[Partition | None, list[Partition]]:
    """The one that judges, and those that are learned from; as far as the lake holds them."""

    def told(day: date) -> list[Partition]:
        return [night.on(day)] if all(lake.has(night.on(day).of(table)) for table in READ) else []

    conf, begins = job.conf.labels, min(lake.days(job.shop, USER_FEATURES.name))
    judged = told(conf.judged_on(night.day))
    return judged[0] if judged else None, [at for day in conf.learned_from(night.day, begins) for at in told(day)]


def why_not(tasks: list[Task], due: list[Task], judged: Partition | None, earlier: list[Partition]) -> str | None:
    if not tasks:
        return "no task is configured"
    if not due:
        return "every task has a model that is young enough"
    if judged is None or not earlier:
        return "the log is too short for an instant to learn from and a later one to judge on"
    return None


def recommender(job: Job) -> LoadedModel | None:
    """The pre-trained encoder; without a champion there is none, and trees stand alone."""
    tracking = Tracking(job.home, job.shop)
    champion = tracking.champion()
    return None if champion is None else load_model(tracking.download(champion))


def teach(job: Job, encoder: LoadedModel, known: list[Instant], tasks: list[Task]) -> Heads:
    """Heads for all tasks at once, on the earlier instants."""
    conf, seed = job.conf.predict, job.conf.train.seed
    everybody = People(
        concatenated([one.histories for one in known]),
        np.concatenate([one.instants_B for one in known]),
        np.stack([np.concatenate([task.outcomes(one.labels) for one in known]) for task in tasks], axis=1),
    )
    tunes_B = np.concatenate([is_tuning(one.features.column("user_id"), conf.tuning_share) for one in known])
    lesson = Lesson(conf.epochs, conf.batch_people, conf.head_rate, conf.encoder_rate)
    torch.manual_seed(seed)
    taught = Heads(encoder.model, len(tasks))
    losses = heads.fit(
        taught,
        everybody.take(np.flatnonzero(~tunes_B)),
        everybody.take(np.flatnonzero(tunes_B)),
        lesson,
        seed=seed,
    )
    job.log.info("heads: loss on the tuning people by epoch: %s", " ".join(f"{loss:.4f}" for loss in losses))
    return taught


def answers(taught: Heads | None, one: Instant, place: int) -> Any:
    """What the head says of everybody; without an encoder one half, which says nothing."""
    if taught is None:
        return np.full(one.features.num_rows, 0.5)
    return heads.predict(taught, one.histories, one.instants_B)[:, place]


def learned(
    job: Job,
    lake: Lake,
    night: Partition,
    task: Task,
    before: Rows,
    now: Rows,
    taught: Encoder | None,
    as_of: date,
    fingerprint: str,
) -> Verdict | None:
    """Fit one task, keep it in MLflow and decide on it."""
    conf, tracking = job.conf.predict, Tracking(job.home, job.shop, task.name)
    found = fit(
        task,
        before,
        now,
        tuning_share=conf.tuning_share,
        sensitive=conf.sensitive,
        min_positives=conf.min_positives,
        seed=job.conf.train.seed,
    )
    if found is None:
        job.log.info("%s: fewer than %d of the rarer outcome to learn from", task.name, conf.min_positives)
        return None
    fitted, verdict = found
    champion = tracking.champion()
    with tracking.start_run(f"{task.name} {as_of}", {"as_of": as_of.isoformat(), "night": job.run_id}) as run_id:
        for name, one in verdict.contenders.items():
            known = {metric: value for metric, value in one.metrics.items() if not math.isnan(value)}
            tracking.log_metrics(run_id, {f"{name}/{metric}": value for metric, value in known.items()})
        with tempfile.TemporaryDirectory() as draft:
            folder = Path(draft)
            fitted.save(folder)
            if taught is not None:
                save_heads(folder, taught)
            version = tracking.log_files(run_id, folder, as_of=as_of, fingerprint=fingerprint)
    record(
        lake,
        PROMOTIONS,
        night.of(PROMOTIONS),
        [
            {
                "shop": night.shop,
                "dt": night.day,
                "decision_id": hashlib.sha256(f"{task.name} {version.version} {night}".encode()).hexdigest()[:16],
                "decided_at": datetime.now(UTC),
                "model_name": tracking.name,
                "candidate_version": version.version,
                "champion_version": champion and champion.version,
                "decision": "promoted" if verdict.promoted else "kept",
                "reason": verdict.reason,
                "metrics": json.dumps(told(verdict)),
                "rule": json.dumps({"metric": task.metric, "rule": task.rule.doc, "costs": asdict(task.costs)}),
            }
        ],
        job.run_id,
    )
    tracking.promote(version)
    job.log.info("%s: %s", task.name, verdict.reason)
    return verdict


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


def counts(num_people: int, verdicts: dict[str, Verdict], reason: str | None) -> dict[str, Any]:
    return {
        "rows_in": num_people,
        "rows_out": len(verdicts),
        "rows_rejected": 0,
        "reason": reason,
        "tasks": {
            name: {"serving": one.winner, "promoted": one.promoted, "reason": one.reason}
            for name, one in verdicts.items()
        },
        "contest": {name: told(one) for name, one in verdicts.items()},
    }


if __name__ == "__main__":
    run("train_scores", arguments(__doc__, user_features="the night: shop/user_features/dt=DAY"), main)
