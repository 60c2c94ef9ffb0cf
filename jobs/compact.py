"""The lake's files: fewer where many are small, and none that nobody can need.

Merges the small files of a partition where there are more than `upkeep.max_small_files`, which leaves its content's
hash as it was. Deletes snapshots that ceased to be current longer than `upkeep.grace_hours` ago, but for the latest
`upkeep.keep_snapshots`, and then every file of that age that no snapshot names: of dropped days, killed jobs and
gates that stopped. What is younger may be a running job's, or open in a reader.
Safe to run twice, beside a night, and to kill: a partition that a night writes meanwhile is the night's.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any

from nightjar.contracts import TABLES
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import TOUCHED, Entry, Lake

_MIB = 2**20


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, upkeep = Lake(job.home.lake), job.conf.upkeep
    since, staged, facts, num_merged = lake.state(job.shop), [], {}, 0
    for table in TABLES.values():
        mine = lake.restaged(table, job.shop, job.run_id)
        for day, entry in lake.entries(job.shop, table.name).items():
            small = small_files(entry, upkeep.small_file_mib * _MIB)
            if len(small) > upkeep.max_small_files:
                lake.merge(mine, day, small)
                facts[table.name, day] = entry.facts
                num_merged += len(small)
        if mine.entries:
            staged.append(mine)
    if staged:
        lake.commit(staged, facts=facts, since=since)
    before = datetime.now(UTC) - timedelta(hours=upkeep.grace_hours)
    TOUCHED.clear()  # the rows are those that were there: no table has news
    gone = lake.vacuum(job.shop, keep_snapshots=upkeep.keep_snapshots, before=before)
    job.log.info("%d files merged; %d files, %d bytes deleted", num_merged, gone["files"], gone["bytes"])
    return {
        "rows_in": sum(part.num_rows for part in staged),
        "rows_out": sum(part.num_rows for part in staged),
        "rows_rejected": 0,
        "partitions_merged": sum(len(part.entries) for part in staged),
        "files_merged": num_merged,
        **{f"{name}_deleted": number for name, number in gone.items()},
    }


def small_files(entry: Entry, bound: int) -> list[str]:
    """A bucket has one file, however small: it is found by that."""
    return [part.file for part in entry.parts if part.bucket is None and part.num_bytes < bound]


if __name__ == "__main__":
    run("compact", arguments(__doc__, events="partition of the night after which it is done"), main)
