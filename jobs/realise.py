"""Hold a past night's lists against what people did since.

Reads `recommendations`, `sequences` and `items` of the night `realised.window_days` before, and the sessions
and persons of the days after it. Writes that night's partition of `realised`: hits, NDCG, purchases and revenue
by model version, surface and segment, beside what was popular then and, where a share of people is held out, the
effect of the model's lists with its interval.
Safe to run twice: late sessions change the counts, nothing else does. A night that was not published is not judged.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nightjar.contracts import IDENTITY, ITEMS, REALISED, RECOMMENDATIONS, SEQUENCES, SESSION_EVENTS, Partition
from nightjar.contracts.render import arrow_schema
from nightjar.monitor import acts, realised
from nightjar.score.catalogue import Catalogue
from nightjar.score.recommend import Night, Recommender
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake, batches
from nightjar.stores.ledgers import replace_part


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, until = Lake(job.home.lake), args.sessions
    at = until.on(until.day - timedelta(days=job.conf.realised.window_days)).of(RECOMMENDATIONS)
    if reason := not_judged(lake, job, at, replayed=args.replayed):
        job.log.info("%s is not judged: %s", at, reason)
        return {"rows_in": 0, "rows_out": 0, "rows_rejected": 0, "night": at.day.isoformat(), "reason": reason}
    lake.entry(until.of(SESSION_EVENTS))  # absence is an error, an empty day is not
    done = acts_after(lake, job, at, until)
    lists = realised.lists_from(batches(lake.files(at), realised.LIST_COLUMNS))
    people = lake.files(at.of(SEQUENCES))
    lists = realised.with_segments(lists, batches(people, realised.PEOPLE_COLUMNS))
    judge = realised.Judge(lists, done, job.conf.realised.cutoffs)
    shown = judge.outcomes(batches(lake.files(at), realised.LIST_COLUMNS))
    popular = judge.outcomes(control(lake, job, at, judge))
    origin = realised.REPLAYED if args.replayed else realised.PUBLISHED
    rows = judge.rows(shown, popular, day=at.day, origin=origin, window_days=job.conf.realised.window_days)
    replace_part(lake, at.of(REALISED), REALISED, rows, "origin", job.run_id)
    return {
        "rows_in": lists.num_rows,
        "rows_out": rows.num_rows,
        "rows_rejected": 0,
        "night": at.day.isoformat(),
        "active_people": len(judge.active_people),
        "people_without_list": len(done.people) - len(judge.active_people),
        **said(rows.to_pylist()),
    }


def not_judged(lake: Lake, job: Job, at: Partition, *, replayed: bool) -> str | None:
    """Why there is nothing to judge; a shop's first nights have none before them."""
    if not all(lake.has(at.of(table)) for table in (RECOMMENDATIONS, SEQUENCES, ITEMS)):
        return "it has no recommendations"
    return None if replayed or job.was_published(at) else "it was not published"


def acts_after(lake: Lake, job: Job, at: Partition, until: Partition) -> acts.Acts:
    """What people did between the end of the night's day and the end of the last one; a session may cross midnight."""
    sessions = [SESSION_EVENTS.at(at.shop, day) for day in days_of(lake, SESSION_EVENTS.name, at, until)]
    known = [day for day in lake.days(at.shop, IDENTITY.name) if day <= at.day]
    members = acts.members_acts(
        batches((file for one in sessions for file in lake.files(one)), acts.EVENT_COLUMNS),
        since=job.source.end_of(at.day),
        until=job.source.end_of(until.day),
        kinds=job.conf.sequences.kinds,
    )
    files = (file for day in known for file in lake.files(IDENTITY.at(at.shop, day)))
    return acts.acts_from(members, batches(files, acts.IDENTITY_COLUMNS))


def days_of(lake: Lake, table: str, at: Partition, until: Partition) -> Iterable[Any]:
    return (day for day in lake.days(at.shop, table) if at.day <= day <= until.day)


def control(lake: Lake, job: Job, at: Partition, judge: realised.Judge) -> Iterator[pa.RecordBatch]:
    """What everybody would have seen without a model, for those who came back."""
    wanted = judge.active_people
    columns = tuple(arrow_schema(SEQUENCES).names)
    histories = (
        batch.filter(pc.is_in(batch.column("user_id"), wanted))
        for batch in batches(lake.files(at.of(SEQUENCES)), columns)
    )
    catalogue, longest = Catalogue.read(lake.files(at.of(ITEMS))), max(job.conf.realised.cutoffs)
    conf = job.conf.score.model_copy(update={"k": longest})
    popular = Recommender(Night(at.shop, at.day, job.source.end_of(at.day), conf), catalogue, None)
    for batch in popular.recommend(histories):
        for surface in judge.surfaces:
            place = batch.schema.get_field_index("surface")
            yield batch.set_column(place, "surface", pa.repeat(surface, batch.num_rows))


def said(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """The few numbers that the night's summary shows."""
    found = {kind: realised.overall(rows, kind) for kind in (realised.SHOWN, realised.POPULAR)}
    effect = {name: [one.mean, one.low, one.high] for name, one in realised.effects(rows).items()}
    return {"realised": found, "held_out_effect": effect}


if __name__ == "__main__":
    parser = arguments(__doc__, sessions="the night whose sessions are the latest: shop/sessions/dt=DAY")
    parser.add_argument("--replayed", action="store_true", help="the night was replayed: it need not be published")
    run("realise", parser, main)
