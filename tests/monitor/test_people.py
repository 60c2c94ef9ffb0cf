"""Scores of people that stop holding: each bound by hand, and what chance alone must not set off."""

from __future__ import annotations

from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.predict import people as rows

from nightjar.contracts import FORETOLD
from nightjar.monitor import people
from nightjar.monitor.drift import Measure
from nightjar.predict import metrics
from nightjar.settings import load_conf

CONF = load_conf().watch
DAY = date(2001, 1, 1)


def told(probabilities: Any, deciles: Any = None, *, version: str = "4", name: str = "churn") -> pa.Table:
    num_rows = len(probabilities)
    columns = {
        "score_name": [name] * num_rows,
        "probability": probabilities,
        "decile": [1] * num_rows if deciles is None else deciles,
        "model_version": [version] * num_rows,
    }
    return rows.rows_of(FORETOLD, num_rows, columns).select(people.COLUMNS)


def realised(probabilities: Any, outcomes: Any, *, segment: str = "(all)") -> dict[str, Any]:
    """A row of `realised_scores`."""
    return {
        "dt": DAY,
        "score_name": "churn",
        "segment": segment,
        "num_people": len(outcomes),
        "num_positives": int(np.sum(outcomes)),
        "foretold_sum": float(np.sum(probabilities)),
        "ece": metrics.expected_calibration_error(outcomes, probabilities),
        "ece_by_chance": metrics.calibration_error_by_chance(probabilities).mean,
        "ece_by_chance_high": metrics.calibration_error_by_chance(probabilities).high,
    }


def judged(row: dict[str, Any]) -> dict[str, Measure]:
    return {one.name: one for one in people.calibration([row], CONF)}


# -- against what happened


def test_a_level_that_is_off_warns_and_says_both_rates() -> None:
    found = judged(realised(np.full(1000, 0.2), np.arange(1000) < 100))
    assert {name: one.level for name, one in found.items()} == {
        "calibration of churn": "warn",
        "level of churn": "warn",
    }
    assert found["level of churn"].value == pytest.approx(0.5)
    assert found["level of churn"].said == "foretold 20 %, happened 10 %, of 1,000 people of 2001-01-01"
    assert found["calibration of churn"].said.startswith("ECE 0.100, by chance 0.01")


def test_groups_that_are_off_warn_where_the_level_is_right() -> None:
    """Half are told 0.1, half 0.5; of both three in ten do it."""
    found = judged(realised(np.repeat([0.1, 0.5], 500), np.arange(1000) % 10 < 3))
    assert (found["calibration of churn"].level, found["level of churn"].level) == ("warn", "good")


def test_few_people_warn_of_nothing_that_chance_explains() -> None:
    """Ten people told 0.2 of whom four did it: twice as many, and well within chance."""
    found = judged(realised(np.full(10, 0.2), np.arange(10) < 4))
    assert found["level of churn"].value == pytest.approx(2.0)
    assert found["level of churn"].level == "good"


@pytest.mark.parametrize("num_people", [40, 400, 4000])
def test_right_probabilities_hardly_ever_warn(num_people: int) -> None:
    warned = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        probabilities = rng.beta(1, 6, num_people)
        found = judged(realised(probabilities, (rng.random(num_people) < probabilities).astype(np.int64)))
        warned += not all(one.good for one in found.values())
    assert warned <= 10


def test_only_everybody_is_judged_and_only_where_there_is_anybody() -> None:
    web = realised(np.full(100, 0.2), np.ones(100, np.int64), segment="platform: web")
    nobody = realised(np.empty(0), np.empty(0, np.int64))
    assert list(people.calibration([web, nobody], CONF)) == []


# -- from night to night


def moves(now: pa.Table, then: pa.Table, *, inputs_drifted: bool = False) -> Measure:
    (found,) = people.moves(now, then, CONF, inputs_drifted=inputs_drifted)
    return found


def test_deciles_that_move_warn_unless_people_did() -> None:
    before = told([0.5] * 10, [5] * 10)
    far = told([0.5] * 10, [5, 4, 6, 7, 3, 8, 1, 5, 5, 10])
    assert moves(far, before).value == pytest.approx(0.5)
    assert moves(far, before).level == "warn"
    assert moves(far, before).said == "50.0 % of 10 people moved by more than one decile since the night before"
    explained = moves(far, before, inputs_drifted=True)
    assert (explained.level, explained.value) == ("good", 0.5)
    assert explained.said.endswith("; what people did drifted too")
    assert moves(told([0.5] * 10, [6] * 10), before).level == "good"


def test_people_are_found_whatever_their_order_and_others_are_left_out() -> None:
    then = told([0.5] * 3, [1, 5, 9])
    now = then.take([2, 0, 1])
    stranger = told([0.5], [10]).set_column(1, "user_id", pa.array(["new"]))
    assert moves(pa.concat_tables([now, stranger.cast(now.schema)]), then).value == 0.0


def test_another_model_is_no_measure_of_this_one() -> None:
    found = moves(told([0.5] * 3, [9] * 3), told([0.5] * 3, [1] * 3, version="3"))
    assert (found.value, found.level) == (None, "good")
    assert moves(told([0.5]), told([0.5]).slice(0, 0)).value is None


def stability(tonight: pa.Table, before: list[pa.Table], *, inputs_drifted: bool = False) -> Measure:
    nights = [people.foretellings(night) for night in before]
    (found,) = people.stability(people.foretellings(tonight), nights, CONF, inputs_drifted=inputs_drifted)
    return found


def test_probabilities_that_shift_warn_unless_people_did() -> None:
    rng = np.random.default_rng(1)
    nights = [told(rng.beta(2, 8, 3000)) for _ in range(CONF.min_nights)]
    alike, shifted = told(rng.beta(2, 8, 3000)), told(rng.beta(4, 6, 3000))
    assert stability(alike, nights).level == "good"
    found = stability(shifted, nights)
    assert found.level == "warn"
    assert found.value is not None
    assert found.value > CONF.warn_population_stability
    assert stability(shifted, nights, inputs_drifted=True).level == "good"
    assert not found.is_drift, "the recommender is not trained anew for it"


def test_nights_of_another_model_are_none_to_compare_with() -> None:
    nights = [told([0.1, 0.2], version="3")] * CONF.min_nights
    assert stability(told([0.9, 0.8]), nights).said == "0 nights of this model to compare with: not judged"


def test_the_ledgers_names_are_known_again() -> None:
    found = [*people.calibration([realised(np.full(9, 0.2), np.ones(9, np.int64))], CONF)]
    found += [moves(told([0.5]), told([0.5])), stability(told([0.5]), [])]
    assert all(people.is_of_people(one.table, one.name) for one in found)
    assert not people.is_of_people("recommendations", "calibration")
