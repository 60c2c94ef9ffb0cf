"""Models that nobody can want any more, and what failed trainings left.

Deletes trainings older than `upkeep.keep_candidates_days` none of whose versions was ever promoted or scored a night
that the warehouse holds: the runs and versions in MLflow with their files. Deletes checkpoints of that age beside
result manifests. Champions of today and of before stay, so that every rollback has its model.
Reads `promotions` and the warehouse. Safe to run twice, and to kill.
"""

from __future__ import annotations

import argparse
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake
from nightjar.stores.ledgers import promoted_versions
from nightjar.stores.tracking import Tracking
from nightjar.stores.warehouse import held_models, open_warehouse


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    tracking = Tracking(job.home, job.shop)
    before = datetime.now(UTC) - timedelta(days=job.conf.upkeep.keep_candidates_days)
    champion = tracking.champion()
    kept = promoted_versions(Lake(job.home.lake), job.shop, tracking.name) | ({champion.version} if champion else set())
    if job.conf.publish.target != "duckdb" or job.home.warehouse.exists():
        kept |= held_models(open_warehouse(job.conf.publish, job.home), job.shop, tracking.name)
    gone = tracking.delete_trainings(keep_versions=kept, before=before)
    folders = abandoned(job.home.runs / job.shop, before)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    job.log.info(
        "%d versions and %d checkpoints deleted; %d versions are kept for good", len(gone), len(folders), len(kept)
    )
    return {
        "rows_in": len(gone),
        "rows_out": 0,
        "rows_rejected": 0,
        "versions_deleted": gone,
        "checkpoints_deleted": len(folders),
    }


def abandoned(runs: Path, before: datetime) -> list[Path]:
    """Working folders of trainings that died, untouched since an instant; one that ends deletes its own."""
    plans = sorted(runs.glob("*/*train/plan.json"))
    return [plan.parent for plan in plans if _last_touched(plan.parent) < before.timestamp()]


def _last_touched(folder: Path) -> float:
    return max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))


if __name__ == "__main__":
    run("tidy_models", arguments(__doc__, promotions="partition of the night after which it is done"), main)
