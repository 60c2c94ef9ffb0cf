"""Which of several outcomes comes next: that trees find it, that a rule stays where they do not, and what is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.predict.people import features, labels

from nightjar.predict import classes
from nightjar.predict.classes import Chooser
from nightjar.predict.contest import RULE, TREES, Verdict
from nightjar.predict.fitting import Rows
from nightjar.predict.tasks import load
from nightjar.predict.tasks.category import CATEGORY
from nightjar.settings import load_conf

WORDS = np.array(["hats", "shoes", "socks"])


def people(num_people: int, seed: int, *, follows: str) -> Rows:
    """What is bought next follows the favourite, or what the favourite leads to, nine times of ten."""
    random = np.random.default_rng(seed)
    favourite = random.integers(0, 3, num_people)
    leads_to = favourite if follows == "favourite" else (favourite + 1) % 3
    bought = np.where(random.random(num_people) < 0.9, leads_to, random.integers(0, 3, num_people))
    buys = random.random(num_people) < 0.6
    rows = features(num_people, top_category=WORDS[favourite].tolist())
    told = labels(num_people, next_category=pa.array(WORDS[bought].tolist(), mask=~buys))
    return Rows(rows, told, np.full(num_people, 0.5))


def fitted(follows: str) -> tuple[Chooser, Verdict]:
    found = classes.fit(
        CATEGORY,
        people(1200, 1, follows=follows),
        people(800, 2, follows=follows),
        tuning_share=0.25,
        sensitive=(),
        min_positives=30,
        seed=1,
        threads=1,
    )
    assert found is not None
    return found


def test_what_the_favourite_leads_to_is_found_and_said_with_its_reason(tmp_path: Path) -> None:
    chooser, verdict = fitted("another")
    assert (verdict.winner, verdict.promoted) == (TREES, True)
    assert verdict.contenders[TREES].value == pytest.approx(0.93, abs=0.04)
    assert verdict.contenders[RULE].value < 0.1
    chooser.save(tmp_path)
    again = load(tmp_path)
    asked = features(3, top_category=WORDS.tolist())
    told = again.foretell(asked, np.zeros(0))
    assert told.outcome_B is not None
    assert told.outcome_B.to_pylist() == ["shoes", "socks", "hats"]
    assert told.probability_B == pytest.approx(0.93, abs=0.05)
    assert (told.contender, told.flagged_B.all()) == (TREES, True)
    assert told.reasons_B.to_pylist() == [["top_category"]] * 3
    np.testing.assert_array_equal(told.probability_B, chooser.foretell(asked, np.zeros(0)).probability_B)


def test_where_the_rule_is_the_truth_it_stays_with_chances_that_hold() -> None:
    chooser, verdict = fitted("favourite")
    assert (verdict.winner, verdict.promoted) == (RULE, False)
    asked = features(4, top_category=[*WORDS, None])
    said_BK = chooser.probabilities(asked)
    np.testing.assert_allclose(said_BK.sum(axis=1), 1)
    assert said_BK[:3].argmax(axis=1).tolist() == [chooser.classes.index(word) for word in WORDS]
    assert said_BK[:3].max(axis=1) == pytest.approx(0.93, abs=0.04)
    assert said_BK[3] == pytest.approx(chooser.base_rates)
    told = chooser.foretell(asked, np.zeros(0))
    assert told.reasons_B.to_pylist() == [["rule"]] * 4
    assert told.outcome_B is not None
    assert told.outcome_B.to_pylist()[:3] == WORDS.tolist()


def test_an_outcome_that_nobody_knew_counts_as_missed() -> None:
    later = people(800, 2, follows="another")
    unknown = later._replace(labels=labels(800, next_category=["scarves"] * 800))
    found = classes.fit(
        CATEGORY,
        people(1200, 1, follows="another"),
        unknown,
        tuning_share=0.25,
        sensitive=(),
        min_positives=30,
        seed=1,
        threads=1,
    )
    assert found is not None
    assert {name: one.value for name, one in found[1].contenders.items()} == {RULE: 0.0, TREES: 0.0}
    assert found[1].winner == RULE


def test_two_classes_or_few_people_are_too_little() -> None:
    few = people(60, 1, follows="another")
    how = {"tuning_share": 0.25, "sensitive": (), "min_positives": 30, "seed": 1}
    assert classes.fit(CATEGORY, few, few, **how) is None


def test_who_has_no_taste_yet_is_not_asked_about() -> None:
    asked = CATEGORY.serves(features(2, top_category=["hats", None]), load_conf().labels)
    assert asked.tolist() == [True, False]
