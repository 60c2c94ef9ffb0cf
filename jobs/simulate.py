"""The synthetic shop's raw drops.

Writes the drop of the night's day and those of the source's history that are not there yet, one
gzip file of JSON lines per day, each whole or absent.
Safe to run twice: drops that exist are left alone, and a drop's bytes depend on the settings only.

A fire drill replaces the night's drop by a spoilt one (--poison); delete that file afterwards and
the next run writes the good one again.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from nightjar.simulate import Shop
from nightjar.simulate.drops import write_drop
from nightjar.simulate.poison import POISONS
from nightjar.stores.drops import raw_logs
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.touched import TOUCHED


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    shop, folder, day = Shop(job.conf.simulate), args.raw or job.home.raw / job.shop, args.events.day
    shop.day_number(day)
    counts: Counter[str] = Counter()
    written = 0
    for past in missing_days(job, shop, folder, day):
        num_lines = write_drop(drop_path(job, folder, past), counted(shop, past, counts))
        job.log.info("drop of %s: %d records", past, num_lines)
        written += 1
    if args.poison:
        on_lines, on_bytes = POISONS[args.poison]
        poisoned = write_drop(drop_path(job, folder, day), on_lines(shop.drop(day)), on_bytes)
        job.log.warning("drop of %s poisoned (%s): %d records", day, args.poison, poisoned)
    rows = sum(counts[sort] for sort in ("clean", "duplicates", "conflicts", "malformed"))
    TOUCHED.targets[raw_logs(folder)] = rows
    return {"rows_in": 0, "rows_out": rows, "rows_rejected": 0, "drops_written": written, "raw": str(folder), **counts}


def missing_days(job: Job, shop: Shop, folder: Path, day: date) -> list[date]:
    """The days of the night's history, the night's day included, whose drop is not there."""
    first = max(shop.first, day - timedelta(days=job.source.history_days))
    days = [first + timedelta(days=number) for number in range((day - first).days + 1)]
    return [past for past in days if not drop_path(job, folder, past).exists()]


def drop_path(job: Job, folder: Path, day: date) -> Path:
    return folder / job.source.pattern.format(day=day.isoformat())


def counted(shop: Shop, day: date, counts: Counter[str]) -> Iterator[str]:
    """The day's lines; adds what they are to `counts` on the way."""
    for chunk in shop.chunks(day):
        counts.update(chunk.counts)
        yield from chunk.lines


if __name__ == "__main__":
    parser = arguments(__doc__, events="the night: shop/events/dt=DAY")
    parser.add_argument("--raw", type=Path, metavar="FOLDER", help="where drops go (default: <home>/raw/<shop>)")
    parser.add_argument(
        "--poison", choices=sorted(POISONS), help="fire drill: replace the night's drop by a spoilt one"
    )
    run("simulate", parser, main)
