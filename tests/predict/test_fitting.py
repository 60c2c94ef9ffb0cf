"""What serves has the level of the latest people, and the verdict the figures of people whom nothing had seen."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from tests.predict.people import features, labels

from nightjar.predict.bundle import Fitted
from nightjar.predict.contest import COMBINED, ENCODER, RULE, TREES, Verdict
from nightjar.predict.fitting import Rows, fit, groups, is_tuning, on_latest
from nightjar.predict.tasks.purchase import PURCHASE


def people(num_people: int, seed: int, *, share: float, says: bool = False) -> Rows:
    """Who ordered more often buys more often; `share` is how many do in all."""
    random = np.random.default_rng(seed)
    orders = random.integers(0, 6, num_people)
    buys = random.random(num_people) < share * (1 + orders) / 3.5
    hours = random.uniform(0, 99, num_people)
    rows = features(num_people, num_orders=orders.tolist(), hours_since_last_purchase=hours.tolist())
    encoder_B = random.random(num_people) if says else np.full(num_people, np.nan)
    return Rows(rows, labels(num_people, purchased_next=buys.tolist()), encoder_B)


def fitted(earlier: Rows, later: Rows) -> tuple[Fitted, Verdict]:
    how = {"tuning_share": 0.25, "sensitive": (), "min_positives": 30, "seed": 1, "threads": 1}
    found = fit(PURCHASE, earlier, later, **how)
    assert found is not None
    return found


def test_levels_that_moved_are_those_of_the_latest_people() -> None:
    earlier, later, tomorrow = (people(3000, n, share=share) for n, share in ((1, 0.1), (2, 0.3), (3, 0.3)))
    before, verdict = fitted(earlier, later)
    assert verdict.winner == TREES
    assert verdict.contenders[TREES].metrics["ece"] > 0.1, "the verdict tells of the level that was learned"
    after = on_latest(before, later)
    of_tomorrow = (tomorrow.features, tomorrow.encoder_B)
    assert before.probabilities(*of_tomorrow).mean() == pytest.approx(0.1, abs=0.03)
    assert after.probabilities(*of_tomorrow).mean() == pytest.approx(0.3, abs=0.03)
    order = np.argsort(before.probabilities(*of_tomorrow), kind="stable")
    assert (np.diff(after.probabilities(*of_tomorrow)[order]) >= -1e-9).all(), "nobody changes places"
    assert after.deciles is not None
    tenths = np.bincount(after.deciles.number(after.probabilities(*of_tomorrow)), minlength=11)[1:]
    assert tenths.min() > 100


def test_groups_are_whole_people_and_the_first_are_those_who_tune() -> None:
    names = pa.chunked_array([pa.array([f"p-{number % 2000}" for number in range(6000)])])
    found = groups(names, 0.25)
    np.testing.assert_array_equal(found == 0, is_tuning(names, 0.25))
    assert (found.reshape(3, 2000) == found[:2000]).all()
    shares = np.bincount(found) / len(found)
    assert shares == pytest.approx([0.25] + 4 * [0.75 / 4], abs=0.03)


def test_too_few_people_move_nothing() -> None:
    before, _ = fitted(people(3000, 1, share=0.1), people(3000, 2, share=0.3))
    assert on_latest(before, people(40, 4, share=0.3)) is before


def test_where_there_is_no_encoder_it_is_no_contender() -> None:
    silent = fitted(people(3000, 1, share=0.2), people(3000, 2, share=0.2))[1]
    assert silent.contenders.keys() == {RULE, TREES}
    noisy = fitted(people(3000, 1, share=0.2, says=True), people(3000, 2, share=0.2, says=True))[1]
    assert noisy.contenders.keys() == {RULE, TREES, ENCODER, COMBINED}
