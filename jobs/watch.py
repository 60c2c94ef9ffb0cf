"""Hold the night's inputs, scores and lists against the nights before it, before anybody sees them.

Reads facts of `events`, the analysis tables, `items`, `recommendations` and `foretold` of the night and of
`watch.trailing_nights` before it, and `realised_scores` of the latest night that could be judged. Writes one row of
`data_quality` for each thing that is watched: drift, coverage, concentration, the scorecard of the data; of what is
foretold of people, whether it moves although they did not, and whether it happens. Beyond `watch.stop_…` it ends with
"bad data", and the night is not published; every other bound warns, here and on the night's page.
Safe to run twice.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from datetime import date, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.contracts import (
    DAILY_KPIS,
    DATA_QUALITY,
    EVENTS,
    FORETOLD,
    FUNNELS,
    ITEMS,
    REALISED_SCORES,
    RECOMMENDATIONS,
    GateFailed,
    Kind,
    Partition,
    Table,
)
from nightjar.contracts.marts import ALL, NONE
from nightjar.monitor import drift, lists, people
from nightjar.monitor.drift import Measure, Shares, Sketch
from nightjar.monitor.people import Foretelling
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake, batches, read_columns
from nightjar.stores.ledgers import read_rows, record
from nightjar.stores.tracking import Tracking


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, at = Lake(job.home.lake), args.recommendations
    nights = [at.on(at.day - timedelta(days=back)) for back in range(job.conf.watch.trailing_nights, 0, -1)]
    tonight, told_tonight = sketch(lake, at), foretold(lake, at)
    of_night = of_lists(lake, job, at, tonight, sketches(lake, job, nights))
    inputs = list(of_inputs(lake, job, at, nights))
    inputs_drifted = any(one.is_drift for one in inputs)
    found = [*inputs, *of_night, *of_people(lake, job, nights, told_tonight, inputs_drifted)]
    found += people.calibration(latest_judged(lake, job, at), job.conf.watch)
    record(lake, DATA_QUALITY, at.of(DATA_QUALITY), [ledger_row(at, one) for one in found], job.run_id)
    tell_tracker(job, at, found)
    for one in found:
        if not one.good:
            job.log.warning("%s of %s: %s", one.name, one.table, one.said)
    if stopped := [f"{one.name}: {one.said}" for one in found if one.level == "stop"]:
        raise GateFailed(str(at), stopped, "--set watch.stop_population_stability=0  # if the shop really changed")
    return {
        "rows_in": lake.entry(at).num_rows,
        "rows_out": len(found),
        "rows_rejected": 0,
        "warnings": sum(not one.good for one in found),
        "drifted": sorted({one.name for one in found if one.is_drift}),
        "sketch": asdict(tonight),
        "foretold": {name: asdict(one) for name, one in people.foretellings(told_tonight).items()},
        "measures": {f"{one.table}: {one.name}": one.value for one in found},
    }


def tell_tracker(job: Job, at: Partition, found: list[Measure]) -> None:
    """Put the numbers on the page of the run that trained the champion, a step per day."""
    tracking = Tracking(job.home, job.shop)
    champion = tracking.champion()
    if champion is not None:
        values = {f"watch/{one.table}/{one.name}": one.value for one in found if one.value is not None}
        warned = {"watch/warnings": float(sum(not one.good for one in found))}
        tracking.log_metrics(champion.run_id, values | warned, step=at.day.toordinal())


def ledger_row(at: Partition, one: Measure) -> dict[str, Any]:
    verdict = {"expectation": one.name, "severity": "stop" if one.level == "stop" else "warn", "success": one.good}
    return {"shop": at.shop, "dt": at.day, "table_name": one.table, "observed": one.said, **verdict}


def of_inputs(lake: Lake, job: Job, at: Partition, nights: list[Partition]) -> Iterator[Measure]:
    """What people did: kinds, platforms, categories; and the scorecard of the data."""
    conf, past = job.conf.watch, [night.day for night in nights]
    facts = {day: entry.facts for day, entry in lake.entries(at.shop, EVENTS.name).items() if day <= at.day}
    kinds = {day: {kind.value: said.get(f"share_{kind}") or 0.0 for kind in Kind} for day, said in facts.items()}
    yield drift.drift(EVENTS.name, "kinds", kinds.get(at.day, {}), [kinds[day] for day in past if day in kinds], conf)
    for table, name, column in ((DAILY_KPIS, "platform", "num_events"), (FUNNELS, "category", "num_viewed")):
        tonight, *before = (weights(lake, at, table, day, name, column) for day in (at.day, *past))
        yield drift.drift(table.name, f"{name} of {column.removeprefix('num_')}", tonight, before, conf)
    yield from drift.scorecard(at.day, facts, conf)


def weights(lake: Lake, at: Partition, table: Table, day: date, name: str, column: str) -> Shares:
    """A day of an analysis table by one dimension, everything else together."""
    rows = read_rows(lake, table, at.of(table).on(day))
    others = [other for other in ("platform", "category", "campaign") if other != name and other in table.names]
    return {
        row[name]: float(row[column]) for row in rows if row[name] != ALL and all(row[other] == ALL for other in others)
    }


def of_lists(lake: Lake, job: Job, at: Partition, tonight: Sketch, before: list[Sketch]) -> Iterator[Measure]:
    """What the night is going to show: scores, reasons, categories; how much of the shop, how evenly."""
    conf, name = job.conf.watch, RECOMMENDATIONS.name
    yield drift.drift(name, "reasons", tonight.reasons, [one.reasons for one in before], conf)
    # Scores of another model version are no measure of this one's.
    alike = [np.array(one.scores) for one in before if one.model_version == tonight.model_version and one.scores]
    shares, nights = drift.by_decile(np.array(tonight.scores), alike) if alike and tonight.scores else ({}, [])
    yield drift.drift(name, "scores", shares, nights, conf)
    yield drift.drift(name, "categories", tonight.categories, [one.categories for one in before], conf)
    candidates = lake.entry(at).facts.get("num_candidates")
    coverage = tonight.num_items / candidates if candidates else None
    said = "" if coverage is None else f"{100 * coverage:.1f} % of available items stand in a list"
    yield drift.bounded(name, "coverage", coverage, low=conf.min_coverage, said=said)
    said = f"Gini coefficient {tonight.concentration:.3f}"
    yield drift.bounded(name, "concentration", tonight.concentration, high=conf.max_concentration, said=said)
    touched = recently_touched(lake, at)
    apart = drift.jensen_shannon(tonight.categories, touched) if tonight.categories and touched else None
    said = "" if apart is None else f"lists and recent events differ by {apart:.3f} bits in their categories"
    yield drift.bounded(name, "calibration", apart, high=conf.max_miscalibration, said=said)


def sketches(lake: Lake, job: Job, nights: Iterable[Partition]) -> list[Sketch]:
    """Of earlier nights as they told it themselves, so that tonight reads one night's lists and not a fortnight's."""
    return [told(job, night) or sketch(lake, night) for night in nights if lake.has(night)]


def told(job: Job, at: Partition) -> Sketch | None:
    """What this job said of a night's lists; None where it did not run to its end."""
    said = counts_of(job, at)
    return Sketch(**said["sketch"]) if "sketch" in said else None


def counts_of(job: Job, at: Partition) -> dict[str, Any]:
    try:
        result = json.loads(job.home.result(at.shop, at.day, "watch").read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return dict(result.get("counts") or {})


# -- what is foretold of people


def of_people(
    lake: Lake, job: Job, nights: list[Partition], tonight: pa.Table, inputs_drifted: bool
) -> Iterator[Measure]:
    """Whether scores move although what people did does not."""
    before = [known for night in nights if (known := foretellings(lake, job, night))]
    conf = job.conf.watch
    yield from people.stability(people.foretellings(tonight), before, conf, inputs_drifted=inputs_drifted)
    yield from people.moves(tonight, foretold(lake, nights[-1]), conf, inputs_drifted=inputs_drifted)


def foretellings(lake: Lake, job: Job, at: Partition) -> dict[str, Foretelling]:
    """Of an earlier night as it told it itself, else from its rows."""
    said = counts_of(job, at).get("foretold")
    if said is None:
        return people.foretellings(foretold(lake, at))
    return {name: Foretelling(**one) for name, one in said.items()}


def foretold(lake: Lake, at: Partition) -> pa.Table:
    """A night's scores; none where it foretold nothing."""
    files = lake.files(at.of(FORETOLD)) if lake.has(at.of(FORETOLD)) else []
    return read_columns(files, FORETOLD, people.COLUMNS)


def latest_judged(lake: Lake, job: Job, at: Partition) -> list[dict[str, Any]]:
    """Rows of `realised_scores` of the night whose labels were completed tonight."""
    return read_rows(lake, REALISED_SCORES, at.of(REALISED_SCORES).on(job.conf.labels.judged_on(at.day)))


# -- lists


def sketch(lake: Lake, at: Partition) -> Sketch:
    """Read a night's lists, and its items as of then."""
    shown = lists.count(batches(lake.files(at), lists.COLUMNS))
    categories = categories_of(lake, at)
    counts: Counter[str] = Counter()
    for item, number in shown.items.items():
        counts[categories.get(item, NONE)] += number
    candidates = lake.entry(at).facts.get("num_candidates") or 0
    version, scores = first_scores(lake, at)
    return Sketch(
        reasons=dict(shown.reasons),
        categories=dict(counts),
        model_version=version,
        scores=drift.quantiles(scores),
        num_items=len(shown.items),
        concentration=drift.concentration(shown.items.values(), max(candidates, len(shown.items))),
    )


def first_scores(lake: Lake, at: Partition) -> tuple[str | None, NDArray[np.float64]]:
    """(model version, score of the first item of each of its lists)."""
    versions: Counter[str] = Counter()
    found = [np.empty(0)]
    for rows in batches(lake.files(at), ("rank", "strategy", "model_version", "score")):
        first = pc.and_(pc.equal(rows.column("rank"), 1), pc.equal(rows.column("strategy"), "model"))
        chosen = rows.filter(first)
        versions.update(chosen.column("model_version").to_pylist())
        found.append(np.asarray(chosen.column("score")))
    return max(versions, key=lambda name: versions[name], default=None), np.concatenate(found)


def categories_of(lake: Lake, at: Partition) -> dict[str, str]:
    """Item -> category, as of the night."""
    if not lake.has(at.of(ITEMS)):
        return {}
    found = batches(lake.files(at.of(ITEMS)), ("item_id", "category"))
    return {
        item: category or NONE
        for rows in found
        for item, category in zip(rows.column("item_id").to_pylist(), rows.column("category").to_pylist(), strict=True)
    }


def recently_touched(lake: Lake, at: Partition) -> Shares:
    """Events of the latest days by category."""
    counts: Counter[str] = Counter()
    if lake.has(at.of(ITEMS)):
        for rows in batches(lake.files(at.of(ITEMS)), ("category", "num_recent")):
            columns = (rows.column(name).to_pylist() for name in ("category", "num_recent"))
            for category, number in zip(*columns, strict=True):
                counts[category or NONE] += number
    return {name: float(number) for name, number in counts.items()}


if __name__ == "__main__":
    run("watch", arguments(__doc__, recommendations="the night: shop/recommendations/dt=DAY"), main)
