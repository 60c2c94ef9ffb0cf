"""That trees learn, stop, repeat themselves and say why."""

from __future__ import annotations

import numpy as np
import pytest

from nightjar.predict.metrics import log_loss
from nightjar.predict.trees import MAX_ROUNDS, Trees


def planted(num_people: int, seed: int, *, strength: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Column 0 decides, column 1 is noise, column 2 a word of which the third one matters."""
    random = np.random.default_rng(seed)
    rows_BF = random.normal(size=(num_people, 3)).astype(np.float32)
    rows_BF[:, 2] = random.integers(0, 4, num_people)
    log_odds_B = strength * rows_BF[:, 0] + strength * (rows_BF[:, 2] == 2)
    return rows_BF, (random.random(num_people) < 1 / (1 + np.exp(-log_odds_B))).astype(float)


def fitted(seed: int = 1, threads: int = 1) -> Trees:
    return Trees.fit(
        *planted(2000, 1), tuning=planted(500, 2), names=["a", "b", "c"], categorical=[2], seed=seed, threads=threads
    )


def test_it_finds_what_was_planted_and_stops() -> None:
    rows_BF, outcomes_B = planted(2000, 3)
    trees = fitted()
    probabilities_B = trees.predict(rows_BF)
    assert 10 < trees.num_trees < MAX_ROUNDS
    assert probabilities_B[outcomes_B == 1].mean() > probabilities_B[outcomes_B == 0].mean() + 0.4


def test_nothing_to_learn_is_hardly_a_tree() -> None:
    random = np.random.default_rng(5)
    noise, outcomes_B = random.normal(size=(2000, 3)).astype(np.float32), random.integers(0, 2, 2000)
    trees = Trees.fit(
        noise[:1500],
        outcomes_B[:1500],
        tuning=(noise[1500:], outcomes_B[1500:]),
        names=["a", "b", "c"],
        categorical=[],
        seed=1,
    )
    assert trees.num_trees < 40


def test_the_same_whatever_the_threads_and_once_written() -> None:
    rows_BF, _ = planted(300, 4)
    one, two = fitted(threads=1), fitted(threads=2)
    np.testing.assert_array_equal(one.predict(rows_BF), two.predict(rows_BF))
    np.testing.assert_array_equal(Trees(one.text).predict(rows_BF), one.predict(rows_BF))


def test_contributions_name_the_columns_that_decide_and_add_up() -> None:
    rows_BF, _ = planted(500, 6)
    trees = fitted()
    moved_BF = trees.contributions(rows_BF)
    strength_F = np.abs(moved_BF).mean(0)
    assert strength_F[0] > strength_F[2] > 3 * strength_F[1]
    probabilities_B = trees.predict(rows_BF)
    rest_B = np.log(probabilities_B / (1 - probabilities_B)) - moved_BF.sum(1)
    assert rest_B == pytest.approx(rest_B[0])  # the average of all people, the same for each


def test_a_committee_says_of_each_what_the_member_says_that_has_not_seen_them() -> None:
    rows_BF, outcomes_B = planted(1500, 8)
    groups_B = np.arange(1500) % 3
    how = {"names": ["a", "b", "c"], "categorical": [2], "threads": 1}
    trees, unseen_B = Trees.cross_fit(rows_BF, outcomes_B, groups_B, seed=1, **how)
    out_B = groups_B == 1
    tuning = (rows_BF[out_B], outcomes_B[out_B])
    member = Trees.fit(rows_BF[~out_B], outcomes_B[~out_B], tuning=tuning, seed=2, **how)
    np.testing.assert_array_equal(unseen_B[out_B], member.predict(rows_BF[out_B]))
    kept = Trees(trees.text)
    np.testing.assert_array_equal(kept.predict(rows_BF), trees.predict(rows_BF))
    assert kept.num_trees > member.num_trees
    probabilities_B = trees.predict(rows_BF)
    rest_B = np.log(probabilities_B / (1 - probabilities_B)) - trees.contributions(rows_BF).sum(1)
    assert rest_B == pytest.approx(rest_B[0])
    assert (probabilities_B.min(), probabilities_B.max()) != (0, 1)


def test_a_committee_is_ahead_of_its_members() -> None:
    rows_BF, outcomes_B = planted(1200, 9, strength=0.6)
    later_BF, happened_B = planted(4000, 10, strength=0.6)
    how = {"names": ["a", "b", "c"], "categorical": [2], "seed": 1, "threads": 1}
    groups_B = np.arange(1200) % 5
    whole = Trees.cross_fit(rows_BF, outcomes_B, groups_B, **how)[0]
    ours = log_loss(happened_B, whole.predict(later_BF))
    alone = [
        Trees.fit(
            rows_BF[groups_B != group],
            outcomes_B[groups_B != group],
            tuning=(rows_BF[groups_B == group], outcomes_B[groups_B == group]),
            **how,
        )
        for group in range(5)
    ]
    assert ours < np.mean([log_loss(happened_B, one.predict(later_BF)) for one in alone])


def test_of_several_classes_one_probability_each() -> None:
    rows_BF, _ = planted(900, 7)
    classes_B = rows_BF[:, 2].astype(int) % 3
    trees = Trees.fit(
        rows_BF[:600],
        classes_B[:600],
        tuning=(rows_BF[600:], classes_B[600:]),
        names=["a", "b", "c"],
        categorical=[2],
        seed=1,
        num_classes=3,
    )
    found_BK = trees.predict(rows_BF)
    assert found_BK.shape == (900, 3)
    assert (found_BK.argmax(1) == classes_B).mean() > 0.95
