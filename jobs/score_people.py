"""What the tasks' champions foretell of everybody whom they ask about, as of the night.

Reads `user_features` and `sequences` of the night and each task's champion. Writes `foretold`. A task without one
says nothing; the report names it.
Safe to run twice.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from _people import HEADS, load_heads, read_instant
from nightjar.contracts import FORETOLD, Partition
from nightjar.contracts.render import arrow_schema
from nightjar.learn import heads
from nightjar.predict.bundle import Fitted
from nightjar.predict.contest import COMBINED, ENCODER
from nightjar.predict.reasons import reasons
from nightjar.predict.tasks import TASKS, named
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake
from nightjar.stores.tracking import ModelVersion, Tracking


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, night = Lake(job.home.lake), args.user_features
    schema = arrow_schema(FORETOLD)
    told: dict[str, pa.Table] = {}
    people = 0
    for task in named(job.conf.predict.tasks):
        tracking = Tracking(job.home, job.shop, task.name)
        champion = tracking.champion()
        if champion is None:
            job.log.info("%s: no champion yet", task.name)
            continue
        found, people = foretold(job, lake, night, champion, tracking.download(champion))
        told[task.name] = found.select(schema.names).cast(schema)
    rows = pa.concat_tables([schema.empty_table(), *told.values()])
    ordered = rows.sort_by([(name, "ascending") for name in FORETOLD.order])
    lake.commit([lake.stage_arrow(ordered, FORETOLD, job.shop, job.run_id, days=[night.day])])
    return {
        "rows_in": people,
        "rows_out": rows.num_rows,
        "rows_rejected": 0,
        "tasks": {name: described(one) for name, one in told.items()},
        "without_champion": sorted(set(job.conf.predict.tasks) - set(told)),
    }


def foretold(job: Job, lake: Lake, night: Partition, champion: ModelVersion, folder: Path) -> tuple[pa.Table, int]:
    """One task's rows, and how many people were looked at."""
    fitted = Fitted.load(folder)
    encoder = load_heads(folder) if (folder / HEADS).exists() else None
    one = read_instant(job, lake, night, encoder and encoder.vocabulary, labelled=False)
    num_people = one.features.num_rows
    asked_B = TASKS[fitted.task].serves(one.features, job.conf.labels)
    one = one.where(asked_B)
    said_B = np.full(one.features.num_rows, 0.5)
    if encoder is not None and fitted.serving in (ENCODER, COMBINED):
        said_B = heads.predict(encoder.heads, one.histories, one.instants_B)[:, encoder.questions.index(fitted.task)]
    probabilities_B = fitted.probabilities(one.features, said_B)
    assert fitted.deciles is not None
    costs = fitted.definition.costs
    return pa.table(
        {
            "dt": pa.repeat(night.day, len(probabilities_B)),
            "score_name": pa.repeat(fitted.task, len(probabilities_B)),
            "user_id": one.features.column("user_id"),
            "probability": probabilities_B,
            "decile": fitted.deciles.number(probabilities_B).astype(np.int32),
            "flagged": probabilities_B >= costs.false_positive / (costs.false_positive + costs.false_negative),
            "contender": pa.repeat(fitted.serving, len(probabilities_B)),
            "model_version": pa.repeat(champion.version, len(probabilities_B)),
            "reasons": reasons(fitted, one.features),
        }
    ), num_people


def described(rows: pa.Table) -> dict[str, Any]:
    probabilities_B = rows.column("probability").to_numpy()
    return {
        "people": rows.num_rows,
        "mean": round(float(probabilities_B.mean()), 4) if rows.num_rows else None,
        "flagged": int(rows.column("flagged").to_numpy().sum()),
        "contender": rows.column("contender")[0].as_py() if rows.num_rows else None,
    }


if __name__ == "__main__":
    run("score_people", arguments(__doc__, user_features="the night: shop/user_features/dt=DAY"), main)
