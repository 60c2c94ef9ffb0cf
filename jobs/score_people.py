"""What the tasks' champions foretell of everybody whom they ask about, as of the night.

Reads `user_features` and `sequences` of the night, `identity` and its links up to it, and each task's champion. Writes
`foretold`. A task without a champion, or whose champion was not good enough, says nothing; the
result names it.
Safe to run twice.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from _people import load_encoder, load_heads, read_instant, with_suspicions
from nightjar.contracts import FORETOLD, Partition
from nightjar.contracts.render import arrow_schema
from nightjar.learn import heads
from nightjar.predict.served import Served
from nightjar.predict.tasks import TASKS, load, named
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake
from nightjar.stores.tracking import ModelVersion, Tracking


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, night = Lake(job.home.lake), args.user_features
    schema = arrow_schema(FORETOLD)
    told: dict[str, pa.Table] = {}
    people, silent = 0, list[str]()
    for task in named(job.conf.predict.tasks):
        tracking = Tracking(job.home, job.shop, task.name)
        champion = tracking.champion()
        if champion is None:
            job.log.info("%s: no champion yet", task.name)
            continue
        folder = tracking.download(champion)
        served = load(folder)
        if served.silent:
            silent.append(task.name)
            continue
        found, people = foretold(job, lake, night, champion, served, folder)
        told[task.name] = found.select(schema.names).cast(schema)
    rows = pa.concat_tables([schema.empty_table(), *told.values()])
    ordered = rows.sort_by([(name, "ascending") for name in FORETOLD.order])
    lake.commit([lake.stage_arrow(ordered, FORETOLD, job.shop, job.run_id, days=[night.day])])
    return {
        "rows_in": people,
        "rows_out": rows.num_rows,
        "rows_rejected": 0,
        "tasks": {name: described(one) for name, one in told.items()},
        "silent": sorted(silent),
        "without_champion": sorted(set(job.conf.predict.tasks) - set(told) - set(silent)),
    }


def foretold(
    job: Job, lake: Lake, night: Partition, champion: ModelVersion, served: Served, folder: Path
) -> tuple[pa.Table, int]:
    """One task's rows, and how many people were looked at."""
    encoder = load_encoder(folder)
    one = read_instant(job.source, lake, night, encoder and encoder.vocabulary)
    num_people = one.features.num_rows
    one = one.where(TASKS[served.task].serves(one.features, job.conf.labels))
    said_B = np.full(one.features.num_rows, 0.5)
    if served.reads == "heads" and encoder is not None:
        taught = load_heads(encoder, folder)
        said_B = heads.predict(taught.heads, one.histories, one.instants_B)[:, taught.questions.index(served.task)]
    if served.reads == "accounts":
        one = with_suspicions(lake, night, one, encoder, job.conf.train.seed)
    found = served.foretell(one.features, said_B)
    return pa.table(
        {
            "dt": pa.repeat(night.day, one.features.num_rows),
            "score_name": pa.repeat(served.task, one.features.num_rows),
            "user_id": one.features.column("user_id"),
            "probability": found.probability_B,
            "decile": found.decile_B.astype(np.int32),
            "flagged": found.flagged_B,
            "contender": pa.repeat(found.contender, one.features.num_rows),
            "model_version": pa.repeat(champion.version, one.features.num_rows),
            "reasons": found.reasons_B,
            "outcome": pa.nulls(one.features.num_rows, pa.string()) if found.outcome_B is None else found.outcome_B,
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
