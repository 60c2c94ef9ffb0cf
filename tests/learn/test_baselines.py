"""Baselines against plain-Python definitions on seeded random data."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from nightjar.learn import baselines
from nightjar.learn.baselines import Markov, Popularity, popularity_order


def test_popularity_is_recent_then_total_then_position() -> None:
    recent, total = np.array([3, 3, 9, 3, 0]), np.array([5, 8, 9, 8, 99])
    assert popularity_order(recent, total).tolist() == [2, 1, 3, 0, 4]


def test_popularity_gives_everybody_the_same_distinct_scores() -> None:
    scores = Popularity(np.array([2, 0, 1])).scores(np.array([-1, 0]))
    assert scores.dtype == np.float32
    assert scores.tolist() == [[2, 1, 3], [2, 1, 3]]


def test_followers_come_before_everything_else() -> None:
    popularity = Popularity(np.array([0, 1, 2, 3]))
    pairs = [(np.array([0, 0]), np.array([3, 2])), (np.array([0, 1]), np.array([3, 0]))]
    scores = Markov(pairs, popularity).scores(np.array([0, 1, 2, -1]))
    best_first = [np.argsort(-row).tolist() for row in scores]
    assert best_first == [[3, 2, 0, 1], [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]]


@pytest.mark.parametrize("merge_pairs", [1, 50, 2**20])
def test_markov_equals_its_definition(merge_pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "_MERGE_PAIRS", merge_pairs)
    rng = np.random.default_rng(1)
    num_items = 12
    order = rng.permutation(num_items)
    batches = [(rng.integers(0, num_items, 30), rng.integers(0, num_items, 30)) for _ in range(10)]
    markov = Markov(batches, Popularity(order))

    counts = Counter((int(a), int(b)) for items, after in batches for a, b in zip(items, after, strict=True))
    place = {int(item): position for position, item in enumerate(order)}
    for last in range(num_items):
        expected = sorted(range(num_items), key=lambda item: (-counts[last, item], place[item]))
        scores = markov.scores(np.array([last]))[0]
        assert np.argsort(-scores).tolist() == expected
        assert len(set(scores.tolist())) == num_items, "ties would be lost by the baseline"


def test_markov_of_nothing_is_popularity() -> None:
    popularity = Popularity(np.array([1, 0]))
    assert Markov([], popularity).scores(np.array([0])).tolist() == popularity.scores(np.array([0])).tolist()
