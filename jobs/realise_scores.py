"""Hold what a past night foretold of people, and whom it decided to act on, against what they did since.

Reads `foretold`, `decisions`, `labels` and `user_features` of the latest night whose labels are complete: the longest
window of `[labels]` before this one. Writes that night's partitions of `realised_scores`, `realised_calibration` and
`realised_decisions`: discrimination, calibration and lift per score and group of people; per decision what those acted
on did beside those left alone, with intervals.
Safe to run twice. Scores are judged whether or not anybody saw them, decisions only of a night that was published.
"""

from __future__ import annotations

import argparse
from typing import Any

from _people import Cases, labels_of, rows
from nightjar.contracts import (
    DECISIONS,
    FORETOLD,
    LABELS,
    REALISED_CALIBRATION,
    REALISED_DECISIONS,
    REALISED_SCORES,
    USER_FEATURES,
)
from nightjar.contracts.published import ACT, ALL_PEOPLE
from nightjar.contracts.render import arrow_schema
from nightjar.monitor.arms import realised_decisions
from nightjar.predict.decisions import DECIDED
from nightjar.predict.realised import judge
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake

READ = (FORETOLD, LABELS, USER_FEATURES)
WRITTEN = (REALISED_SCORES, REALISED_CALIBRATION, REALISED_DECISIONS)


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake = Lake(job.home.lake)
    at = args.user_features.on(job.conf.labels.judged_on(args.user_features.day))
    said = {"rows_in": 0, "rows_out": 0, "rows_rejected": 0, "night": at.day.isoformat()}
    if missing := [table.name for table in READ if not lake.has(at.of(table))]:
        job.log.info("%s is not judged: it has no %s", at.day, " and no ".join(missing))
        return said | {"reason": f"it has no {' and no '.join(missing)}"}
    told, labels = rows(lake, FORETOLD, at), labels_of(lake, at, Cases.of(job.home, job.conf))
    found = judge(told, labels, rows(lake, USER_FEATURES, at), job.conf.labels, day=at.day)
    decided = arrow_schema(DECISIONS).empty_table()
    if lake.has(at.of(DECISIONS)) and job.was_published(at):
        decided = rows(lake, DECISIONS, at)
    arms = realised_decisions(
        decided,
        labels,
        {name: decision.outcome for name, decision in DECIDED.items()},
        day=at.day,
        window_days=job.conf.labels.horizon_days,
        margin=job.conf.decisions.margin,
    )
    tables = (found.scores, found.calibration, arms)
    lake.commit(
        [
            lake.stage_arrow(these, table, job.shop, job.run_id, days=[at.day])
            for table, these in zip(WRITTEN, tables, strict=True)
        ]
    )
    return said | {
        "rows_in": told.num_rows,
        "rows_out": sum(table.num_rows for table in tables),
        "scores": {row["score_name"]: row for row in found.scores.to_pylist() if row["segment"] == ALL_PEOPLE},
        "decisions": {row["decision"]: row for row in arms.to_pylist() if row["arm"] == ACT},
    }


if __name__ == "__main__":
    run("realise_scores", arguments(__doc__, user_features="the night: shop/user_features/dt=DAY"), main)
