"""The night on one page, for a person.

Reads the results of the night's jobs, facts and ledgers of the lake, `recommendations` of the night and
of the night before, `items`, the alias `champion`. Writes `<home>/reports/<shop>/<day>.html`.
What is missing is said on the page: no step has to have run. Safe to run twice.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightjar.contracts import DATA_QUALITY, EVENTS, ITEMS, PROMOTIONS, RECOMMENDATIONS, SESSIONS, BadInput, Partition
from nightjar.monitor import lists, night
from nightjar.monitor.page import render
from nightjar.monitor.verdict import judge
from nightjar.stores.files import write_atomically
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake
from nightjar.stores.ledgers import read_rows
from nightjar.stores.tracking import Tracking
from nightjar.stores.warehouse import history, open_warehouse

#: Rows of recommendations or items in memory at once.
BATCH_ROWS = 2**16


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    at, path = args.recommendations, job.home.reports / job.shop / f"{args.recommendations.day.isoformat()}.html"
    seen = tonight(job, Lake(job.home.lake), at, path.parent)
    write_atomically(path, render(seen).encode("utf-8"))
    verdict = judge(seen)
    job.log.info("%s %d to look at: %s", verdict.headline, len(verdict.notices), path)
    return {
        "rows_in": seen.recommended.num_rows if seen.recommended else 0,
        "rows_out": 1,
        "rows_rejected": 0,
        "page": str(path),
        "verdict": verdict.level,
        "notices": [notice.text for notice in verdict.notices],
    }


def tonight(job: Job, lake: Lake, at: Partition, folder: Path) -> night.Night:
    """What is known of the night; links are relative to `folder`."""
    steps = tuple(step(job, at, name) for name in night.JOBS)
    docs = job.home.docs / job.shop / "index.html"
    return night.Night(
        shop=job.shop,
        day=at.day,
        run_id=job.run_id,
        # Raw logs of another shop come from outside: nobody wrote them for us.
        steps=tuple(one for one in steps if one.name != "simulate" or one.status != "missing"),
        checks=checks(lake, at),
        trend=tuple(trend(lake, at, job.conf.gate.trailing_days)),
        trial=trial(lake, at),
        champion=champion(job),
        recommended=recommended(lake, at),
        overlap_yesterday=overlap_yesterday(job, at, next(one for one in steps if one.name == "publish")),
        publish_target=job.conf.publish.target,
        docs_link=os.path.relpath(docs, folder) if docs.is_file() else None,
    )


def step(job: Job, at: Partition, name: str) -> night.Step:
    path = job.home.result(at.shop, at.day, name)
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        result = None
    except ValueError:
        result = {"status": "failed", "error": f"{path} is no JSON", "run_id": job.run_id}
    return night.Step.of(name, result, job.run_id)


def checks(lake: Lake, at: Partition) -> tuple[night.Check, ...]:
    rows = read_rows(lake, DATA_QUALITY, at.of(DATA_QUALITY))
    return tuple(
        night.Check(row["table_name"], row["expectation"], row["severity"], row["success"], row["observed"])
        for row in rows
    )


def trend(lake: Lake, at: Partition, num_days: int) -> Iterator[night.Day]:
    """The night's day and the days before it, oldest first."""
    for back in range(num_days, -1, -1):
        day = at.day - timedelta(days=back)
        yield night.Day(day, num_rows(lake, EVENTS.at(at.shop, day)), num_rows(lake, SESSIONS.at(at.shop, day)))


def num_rows(lake: Lake, partition: Partition) -> int | None:
    return lake.entry(partition).num_rows if lake.has(partition) else None


def trial(lake: Lake, at: Partition) -> night.Trial | None:
    """The night's latest decision."""
    rows = read_rows(lake, PROMOTIONS, at.of(PROMOTIONS))
    latest = max(rows, key=lambda row: (row["decided_at"], row["decision_id"]), default=None)
    return night.Trial.of(latest) if latest else None


def champion(job: Job) -> night.Champion | None:
    found = Tracking(job.home, job.shop).champion()
    return night.Champion(found.name, found.version, found.run_id, found.as_of) if found else None


def recommended(lake: Lake, at: Partition) -> night.Recommended | None:
    shown = shown_on(lake, at)
    if shown is None:
        return None
    yesterday = shown_on(lake, at.on(at.day - timedelta(days=1)))
    titles = titles_of(lake, at.of(ITEMS), shown.ranked()[: lists.TOP])
    facts = lake.entry(at.of(RECOMMENDATIONS)).facts
    return lists.recommended(shown, yesterday, titles, facts.get("num_candidates"))


def shown_on(lake: Lake, at: Partition) -> lists.Shown | None:
    partition = at.of(RECOMMENDATIONS)
    return lists.count(batches(lake.files(partition), lists.COLUMNS)) if lake.has(partition) else None


def titles_of(lake: Lake, items: Partition, item_ids: list[str]) -> dict[str, str | None]:
    if not lake.has(items):
        return {}
    wanted = pa.array(item_ids, pa.string())
    found = (
        rows.filter(pc.is_in(rows.column("item_id"), wanted))
        for rows in batches(lake.files(items), ("item_id", "title"))
    )
    return {row["item_id"]: row["title"] for rows in found for row in rows.to_pylist()}


def batches(files: Iterable[str], columns: tuple[str, ...]) -> Iterator[pa.RecordBatch]:
    for file in files:
        yield from pq.ParquetFile(file).iter_batches(batch_size=BATCH_ROWS, columns=list(columns))


def overlap_yesterday(job: Job, at: Partition, published: night.Step) -> float | None:
    """What publishing measured. A night that was published already was measured then: the log remembers."""
    audits = published.counts.get("audits") or logged_audits(job, at.day, published.counts.get("publish_id"))
    seen = audits.get("overlap_yesterday")
    return None if seen is None else float(seen)


def logged_audits(job: Job, day: date, publish_id: str | None) -> dict[str, Any]:
    if publish_id is None:
        return {}
    try:
        rows = history(open_warehouse(job.conf.publish, job.home), job.shop, limit=job.conf.publish.keep_nights)
    except (BadInput, OSError) as error:
        job.log.warning("no look into publish_log: %s", error)
        return {}
    found = next((row for row in rows if row["publish_id"] == publish_id), None)
    return dict(json.loads(found["audits"])) if found else {}


if __name__ == "__main__":
    run("report", arguments(__doc__, recommendations="the night: shop/recommendations/dt=DAY"), main)
