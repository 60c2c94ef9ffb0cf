"""Whether what is foretold of people holds: beside what happened on earlier nights, and from night to night."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightjar.contracts import FORETOLD, REALISED_SCORES
from nightjar.contracts.published import ALL_PEOPLE
from nightjar.monitor import drift
from nightjar.monitor.drift import Measure
from nightjar.settings import Watch

#: What is read of `foretold`.
COLUMNS = ("score_name", "user_id", "probability", "decile", "model_version")

_Z95 = 1.959964

#: What the ledger calls the measures, with the score's name behind.
_MEASURES = ("calibration of ", "level of ", "deciles of ", "probabilities of ")


def is_of_people(table: str, name: str) -> bool:
    """Whether a row of `data_quality` is one of this module's."""
    return table in (FORETOLD.name, REALISED_SCORES.name) and name.startswith(_MEASURES)


@dataclass(frozen=True)
class Foretelling:
    """What later nights need to know of one score of a night."""

    model_version: str
    probabilities: Sequence[float]  #: `drift.quantiles`


def foretellings(told: pa.Table) -> dict[str, Foretelling]:
    """Score -> what is to be known of it; of two versions in one night, the latter.

    Args:
        told: `foretold` of a night with COLUMNS.
    """
    found = {}
    for name in pc.unique(told.column("score_name")).sort().to_pylist():
        mine = told.filter(pc.equal(told.column("score_name"), name))
        version = str(pc.max(mine.column("model_version")).as_py())
        found[name] = Foretelling(version, drift.quantiles(mine.column("probability").to_numpy()))
    return found


def stability(
    tonight: Mapping[str, Foretelling],
    before: Sequence[Mapping[str, Foretelling]],
    conf: Watch,
    *,
    inputs_drifted: bool,
) -> Iterable[Measure]:
    """Population stability index of each score's probabilities, against the nights that the same model scored.

    Args:
        inputs_drifted: what people did differs too, which explains it: said, and no warning.
    """
    for name, one in tonight.items():
        alike = [
            np.array(night[name].probabilities)
            for night in before
            if name in night and night[name].model_version == one.model_version and night[name].probabilities
        ]
        measure = f"probabilities of {name}"
        if len(alike) < conf.min_nights or not one.probabilities:
            said = f"{len(alike)} nights of this model to compare with: not judged"
            yield Measure(FORETOLD.name, measure, None, "good", said)
            continue
        shares, nights = drift.by_decile(np.array(one.probabilities), alike)
        index = drift.population_stability(shares, drift.mean_shares(nights))
        yield _unless(inputs_drifted, measure, index, conf.warn_population_stability, f"PSI {index:.3f}")


def moves(told: pa.Table, before: pa.Table, conf: Watch, *, inputs_drifted: bool) -> Iterable[Measure]:
    """Per score the share of people whose decile moved by more than one since the night before, by the same model.

    Args:
        told: `foretold` of tonight with COLUMNS.
        before: of the night before.
    """
    for name in pc.unique(told.column("score_name")).sort().to_pylist():
        ours, theirs = (_of_score(rows, name) for rows in (told, before))
        places = pc.index_in(ours.column("user_id"), theirs.column("user_id").combine_chunks())
        ours, theirs = ours.filter(pc.is_valid(places)), theirs.take(pc.drop_null(places))
        same = np.asarray(pc.equal(ours.column("model_version"), theirs.column("model_version")))
        measure = f"deciles of {name}"
        if not same.any():
            said = "nobody whom this model scored the night before: not judged"
            yield Measure(FORETOLD.name, measure, None, "good", said)
            continue
        now, then = (rows.column("decile").to_numpy()[same] for rows in (ours, theirs))
        share = float((abs(now - then) > 1).mean())
        said = f"{100 * share:.1f} % of {len(now):,} people moved by more than one decile since the night before"
        yield _unless(inputs_drifted, measure, share, conf.max_decile_moves, said)


def _of_score(told: pa.Table, name: str) -> pa.Table:
    return told.filter(pc.equal(told.column("score_name"), name))


def _unless(explained: bool, name: str, value: float, high: float, said: str) -> Measure:
    """A number that warns above a bound, unless there is a reason for it."""
    if value > high and explained:
        return Measure(FORETOLD.name, name, value, "good", f"{said}; what people did drifted too")
    return drift.bounded(FORETOLD.name, name, value, high=high, said=said)


def calibration(realised: Iterable[Mapping[str, Any]], conf: Watch) -> Iterable[Measure]:
    """Of each score of the latest night that could be judged: does it say what happens, group by group and in all.

    Chance alone strays: neither warns within what one draw in forty, or the 95 % interval, of as many people with right
    probabilities would show.

    Args:
        realised: rows of `realised_scores` of one night.
    """
    for row in realised:
        if row["segment"] != ALL_PEOPLE or not row["num_people"]:
            continue
        name, num_people = row["score_name"], row["num_people"]
        excess = row["ece"] - row["ece_by_chance"]
        high = conf.max_calibration_error if row["ece"] > row["ece_by_chance_high"] else float("inf")
        said = f"ECE {row['ece']:.3f}, by chance {row['ece_by_chance']:.3f}, of {num_people:,} people of {row['dt']}"
        yield drift.bounded(REALISED_SCORES.name, f"calibration of {name}", excess, low=-1.0, high=high, said=said)
        yield _level(row, conf)


def _level(row: Mapping[str, Any], conf: Watch) -> Measure:
    num_people, expected, happened = row["num_people"], row["foretold_sum"], row["num_positives"]
    mean = expected / num_people
    by_chance = _Z95 * sqrt(num_people * mean * (1 - mean))
    ratio = happened / expected if expected else None
    said = f"foretold {100 * mean:.2g} %, happened {100 * happened / num_people:.2g} %, of {num_people:,} people"
    too_far = ratio is not None and not 1 / conf.max_level_ratio <= ratio <= conf.max_level_ratio
    level: drift.Level = "warn" if too_far and abs(happened - expected) > by_chance else "good"
    return Measure(REALISED_SCORES.name, f"level of {row['score_name']}", ratio, level, f"{said} of {row['dt']}")
