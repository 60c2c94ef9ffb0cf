"""Show one night's recommendations to the warehouse's readers.

Reads:  recommendations, sequences (who is eligible), items, promotions and data_quality of the night;
        user_features, foretold, decisions, what is realised of earlier nights and the analysis tables, where there are
        any; mapping rows that wait under secrets/users/.
Writes: the warehouse of conf.publish.target, in one transaction; then the files of conf.publish.exports, each
        folder by one rename.
Again:  the same rows change nothing; other rows replace the night and add a row to publish_log, or
        replace a day of an analysis table or of what is realised.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import Any

from nightjar.contracts import (
    DATA_QUALITY,
    DECISIONS,
    FORETOLD,
    ITEMS,
    KEPT_DAYS,
    PROMOTIONS,
    SEQUENCES,
    USER_FEATURES,
    Partition,
)
from nightjar.stores.exports import export
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake
from nightjar.stores.touched import TOUCHED
from nightjar.stores.warehouse import MartDay, Night, open_warehouse, publish, what_readers_see


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    night = tonight(Lake(job.home.lake), args.recommendations, job)
    job.log.info("publishing %s, %d rows, to %s", night.partition, night.num_rows, job.conf.publish.target)
    warehouse = open_warehouse(job.conf.publish, job.home)
    publication = publish(warehouse, night, job.conf, now=lambda: datetime.now(UTC))
    TOUCHED.targets |= dict.fromkeys(what_readers_see(job.conf.publish.target))
    exported = {name: export(warehouse, job.shop, name, job.home.exports) for name in job.conf.publish.exports}
    return {
        "rows_in": night.num_rows,
        "rows_out": publication.num_rows,
        "rows_rejected": night.num_rows - publication.num_rows,
        **publication.counts(),
        "exported": {name: done.num_changed + done.num_deleted if done else 0 for name, done in exported.items()},
    }


def tonight(lake: Lake, partition: Partition, job: Job) -> Night:
    """The night's partitions; ledgers, features, what is foretold and decided, and analysis tables may be missing."""
    entry = lake.entry(partition)
    promotions, data_quality = partition.of(PROMOTIONS), partition.of(DATA_QUALITY)
    features, foretold, decisions = (partition.of(table) for table in (USER_FEATURES, FORETOLD, DECISIONS))
    inputs = [partition, partition.of(ITEMS), partition.of(SEQUENCES)]
    inputs += [one for one in (features, foretold, decisions, promotions, data_quality) if lake.has(one)]
    return Night(
        partition=partition,
        run_id=job.run_id,
        num_rows=entry.num_rows,
        recommendations=entry.files,
        items=lake.files(partition.of(ITEMS)),
        eligible=lake.files(partition.of(SEQUENCES)),
        promotions=lake.files(promotions) if lake.has(promotions) else [],
        data_quality=lake.files(data_quality) if lake.has(data_quality) else [],
        inputs={str(one): lake.entry(one).content_hash for one in inputs},
        new_users=job.home.secrets / "users" / partition.shop,
        num_candidates=entry.facts.get("least_candidates", entry.facts.get("num_candidates")),
        marts=[
            MartDay(partition.of(table).on(day), mart.content_hash, mart.num_rows, mart.files)
            for table in KEPT_DAYS
            for day, mart in lake.entries(partition.shop, table.name).items()
        ],
        features=lake.files(features) if lake.has(features) else [],
        foretold=lake.files(foretold) if lake.has(foretold) else [],
        decisions=lake.files(decisions) if lake.has(decisions) else [],
    )


if __name__ == "__main__":
    run("publish", arguments(__doc__, recommendations="the night to publish"), main)
