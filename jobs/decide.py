"""Whom to act on tonight, from what is foretold of people: offers under a budget, lists under a cap, control groups.

Reads `foretold` and `user_features` of the night. Writes `decisions`. A decision that acts on nobody says why.
Safe to run twice.
"""

from __future__ import annotations

import argparse
from typing import Any

from _people import rows
from nightjar.contracts import DECISIONS, FORETOLD, USER_FEATURES
from nightjar.predict.decisions import decide, report
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, night = Lake(job.home.lake), args.foretold
    told = rows(lake, FORETOLD, night)
    features = rows(lake, USER_FEATURES, night)
    decided, outcomes = decide(told, features, job.conf.decisions, shop=job.shop, day=night.day)
    said = report(outcomes)
    for name, why in said["unmet"].items():
        job.log.warning("%s: %s", name, why)
    staged = lake.stage_arrow(decided, DECISIONS, job.shop, job.run_id, days=[night.day])
    lake.commit([staged], facts={(DECISIONS.name, night.day): said})
    return {"rows_in": told.num_rows, "rows_out": decided.num_rows, "rows_rejected": 0, **said}


if __name__ == "__main__":
    run("decide", arguments(__doc__, foretold="the night: shop/foretold/dt=DAY"), main)
