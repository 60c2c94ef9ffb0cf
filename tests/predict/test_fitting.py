"""What serves has the level of the latest people, and the verdict the figures of people whom nothing had seen."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit
from tests.predict.people import features, labels

from nightjar.predict.bundle import Fitted
from nightjar.predict.contest import COMBINED, ENCODER, RULE, TREES, Verdict
from nightjar.predict.fitting import Rows, fit, groups, is_tuning, with_latest
from nightjar.predict.metrics import Counts, auroc, expected_calibration_error
from nightjar.predict.tasks.purchase import PURCHASE

HOW = {"tuning_share": 0.25, "sensitive": (), "seed": 1, "threads": 1}

#: What an encoder says where there is none.
NOBODY = np.full(3000, np.nan)


def people(num_people: int, seed: int, *, share: float, says: bool = False) -> Rows:
    """Who ordered more often buys more often; `share` is how many do in all."""
    random = np.random.default_rng(seed)
    orders = random.integers(0, 6, num_people)
    buys = random.random(num_people) < share * (1 + orders) / 3.5
    hours = random.uniform(0, 99, num_people)
    rows = features(num_people, num_orders=orders.tolist(), hours_since_last_purchase=hours.tolist())
    encoder_B = random.random(num_people) if says else np.full(num_people, np.nan)
    return Rows(rows, labels(num_people, purchased_next=buys.tolist()), encoder_B)


def outcomes(rows: Rows) -> Counts:
    return PURCHASE.outcomes(rows.labels).astype(np.int64)


def fitted(earlier: Rows, later: Rows) -> tuple[Fitted, Verdict]:
    found = fit(PURCHASE, earlier, later, min_positives=30, **HOW)
    assert found is not None
    return found


def test_levels_that_moved_are_those_of_the_latest_people() -> None:
    earlier, later, tomorrow = (people(3000, n, share=share) for n, share in ((1, 0.1), (2, 0.3), (3, 0.3)))
    before, verdict = fitted(earlier, later)
    assert verdict.winner == TREES
    assert verdict.contenders[TREES].metrics["ece"] > 0.1, "the verdict tells of the level that was learned"
    after = with_latest(before, earlier, later, **HOW)
    of_tomorrow = (tomorrow.features, tomorrow.encoder_B)
    assert before.probabilities(*of_tomorrow).mean() == pytest.approx(0.1, abs=0.03)
    assert after.probabilities(*of_tomorrow).mean() == pytest.approx(0.3, abs=0.03)
    assert after.deciles is not None
    tenths = np.bincount(after.deciles.number(after.probabilities(*of_tomorrow)), minlength=11)[1:]
    assert tenths.min() > 100


def test_what_serves_has_learned_from_the_people_who_judged() -> None:
    earlier, later, tomorrow = (people(3000, seed, share=0.2) for seed in (1, 2, 3))
    places = np.random.default_rng(1).permutation(3000)
    earlier = earlier._replace(labels=earlier.labels.take(places))  # who ordered often buys no more often
    before = replace(fitted(earlier, later)[0], serving=TREES)
    after = with_latest(before, earlier, later, **HOW)
    happened_B = outcomes(tomorrow)
    known, learned = (auroc(happened_B, one.probabilities(tomorrow.features, NOBODY)) for one in (before, after))
    assert learned > known + 0.05
    assert after.calibrations.keys() == {TREES}, "no other contender can be asked any more"


def test_nobody_calibrates_who_taught() -> None:
    """Trees can learn a crowd of noise by heart; what they say of it would make them sure of themselves."""

    def noise(seed: int) -> Rows:
        random = np.random.default_rng(seed)
        rows = features(1000, hours_since_last_purchase=random.uniform(0, 99, 1000).tolist())
        buys = labels(1000, purchased_next=(random.random(1000) < 0.4).tolist())
        return Rows(rows, buys, np.full(1000, np.nan))

    earlier, later, tomorrow = noise(1), noise(2), noise(3)
    after = with_latest(replace(fitted(earlier, later)[0], serving=TREES), earlier, later, **HOW)
    said_B = after.probabilities(tomorrow.features, tomorrow.encoder_B)
    assert said_B == pytest.approx(0.4, abs=0.1)


def test_an_encoder_that_adds_something_keeps_its_weight() -> None:
    def told(seed: int) -> Rows:
        rows, random = people(3000, seed, share=0.2), np.random.default_rng(seed)
        return rows._replace(encoder_B=expit(random.normal(3.0 * outcomes(rows) - 2.0)))

    earlier, later, tomorrow = told(1), told(2), told(3)
    before, verdict = fitted(earlier, later)
    assert verdict.winner == COMBINED
    after = with_latest(before, earlier, later, **HOW)
    assert (after.serving, after.combination) == (COMBINED, before.combination)
    assert after.trees != before.trees
    said_B = after.probabilities(tomorrow.features, tomorrow.encoder_B)
    assert expected_calibration_error(outcomes(tomorrow), said_B) < 0.03


def test_groups_are_whole_people_and_the_first_are_those_who_tune() -> None:
    names = pa.chunked_array([pa.array([f"p-{number % 2000}" for number in range(6000)])])
    found = groups(names, 0.25)
    np.testing.assert_array_equal(found == 0, is_tuning(names, 0.25))
    assert (found.reshape(3, 2000) == found[:2000]).all()
    shares = np.bincount(found) / len(found)
    assert shares == pytest.approx([0.25] + 4 * [0.75 / 4], abs=0.03)


def test_too_few_people_move_nothing() -> None:
    before, _ = fitted(people(3000, 1, share=0.1), people(3000, 2, share=0.3))
    assert with_latest(before, people(3000, 1, share=0.1), people(40, 4, share=0.3), **HOW) is before


def test_where_there_is_no_encoder_it_is_no_contender() -> None:
    silent = fitted(people(3000, 1, share=0.2), people(3000, 2, share=0.2))[1]
    assert silent.contenders.keys() == {RULE, TREES}
    noisy = fitted(people(3000, 1, share=0.2, says=True), people(3000, 2, share=0.2, says=True))[1]
    assert noisy.contenders.keys() == {RULE, TREES, ENCODER, COMBINED}
