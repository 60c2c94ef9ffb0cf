"""Baselines against plain-Python definitions on seeded random data."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest

from nightjar.learn import baselines
from nightjar.learn.baselines import Cooccurrence, Entries, ItemKnn, Markov, Popularity, popularity_order

NUM_ITEMS = 12


def entries(*histories: list[int]) -> Entries:
    rows = np.repeat(np.arange(len(histories)), [len(history) for history in histories])
    return Entries(rows, np.array([item for history in histories for item in history], np.int64), len(histories))


def random_histories(seed: int, *, longest: int = 15) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, NUM_ITEMS, rng.integers(0, longest)).tolist() for _ in range(40)]


def batches(histories: list[list[int]]) -> Iterator[Entries]:
    return (entries(*histories[start : start + 7]) for start in range(0, len(histories), 7))


def best_first(scores: np.ndarray) -> list[list[int]]:
    assert all(len(set(row.tolist())) == len(row) for row in scores), "ties would be lost by the baseline"
    return [np.argsort(-row).tolist() for row in scores]


def test_popularity_is_recent_then_total_then_position() -> None:
    recent, total = np.array([3, 3, 9, 3, 0]), np.array([5, 8, 9, 8, 99])
    assert popularity_order(recent, total).tolist() == [2, 1, 3, 0, 4]


def test_popularity_gives_everybody_the_same_distinct_scores() -> None:
    scores = Popularity(np.array([2, 0, 1])).scores(2)
    assert scores.dtype == np.float32
    assert scores.tolist() == [[2, 1, 3], [2, 1, 3]]


def test_entries_know_their_place() -> None:
    some = entries([5, 6, 7], [], [8])
    assert some.from_the_end().tolist() == [2, 1, 0, 0]
    assert some.last().tolist() == [7, -1, 8]
    assert some.latest(2).items_E.tolist() == [6, 7, 8]
    assert [pair.tolist() for pair in some.apart(2)] == [[5], [7]]
    assert [pair.tolist() for pair in some.apart(9)] == [[], []]


def test_followers_come_before_everything_else() -> None:
    popularity = Popularity(np.array([0, 1, 2, 3]))
    training = [entries([0, 3], [0, 3]), entries([0, 2], [1, 0])]
    scores = Markov(training, popularity).scores(entries([0], [2, 1], [2], []))
    assert best_first(scores) == [[3, 2, 0, 1], [0, 1, 2, 3], [0, 1, 2, 3], [0, 1, 2, 3]]


@pytest.mark.parametrize("merge_pairs", [1, 50, 2**20])
def test_markov_equals_its_definition(merge_pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "_MERGE_PAIRS", merge_pairs)
    order = np.random.default_rng(1).permutation(NUM_ITEMS)
    histories = random_histories(1)
    counts = Counter(pair for history in histories for pair in pairwise(history))
    expected = [
        sorted(range(NUM_ITEMS), key=lambda item, last=last: (-counts[last, item], order.tolist().index(item)))  # type: ignore[misc]
        for last in range(NUM_ITEMS)
    ]
    markov = Markov(batches(histories), Popularity(order))
    assert best_first(markov.scores(entries(*([4, last] for last in range(NUM_ITEMS))))) == expected


def test_cooccurrence_by_hand() -> None:
    """0 and 1 stand side by side, 0 and 2 two apart; asked is 1, then 3, which nobody knows."""
    training = [entries([0, 1, 2], [2, 5])]
    scores = Cooccurrence(training, Popularity(np.arange(6))).scores(entries([0], [2, 0], [3], [1, 1]))
    # [0]: 1 weighs 1, 2 weighs 1/2.  [2, 0]: 1 gets 1 + 1/2, 2 gets 1/2, 0 gets 1/4, 5 gets 1/2.
    assert best_first(scores)[0] == [1, 2, 0, 3, 4, 5]
    assert best_first(scores)[1] == [1, 2, 5, 0, 3, 4]
    assert best_first(scores)[2] == [0, 1, 2, 3, 4, 5]
    assert best_first(scores)[3] == [0, 2, 1, 3, 4, 5]


def test_cooccurrence_equals_its_definition() -> None:
    training, asked = random_histories(2, longest=25), random_histories(3, longest=25)
    near: defaultdict[tuple[int, int], float] = defaultdict(float)
    for history in training:
        for place, item in enumerate(history):
            for distance, other in enumerate(history[place + 1 : place + 11], start=1):
                if item != other:
                    near[item, other] += 1 / distance
                    near[other, item] += 1 / distance
    found = Cooccurrence(batches(training), Popularity(np.arange(NUM_ITEMS))).scores(entries(*asked))
    for history, row in zip(asked, best_first(found), strict=True):
        weights = [
            sum(near[known, item] / (1 + ago) for ago, known in enumerate(history[::-1][:10]))
            for item in range(NUM_ITEMS)
        ]
        assert np.all(np.diff([weights[item] for item in row]) <= 1e-9)


def test_item_knn_equals_its_definition() -> None:
    training, asked = random_histories(4, longest=6), random_histories(5)
    touched = [{row for row, history in enumerate(training) if item in history} for item in range(NUM_ITEMS)]

    def cosine(one: int, other: int) -> float:
        both = len(touched[one] & touched[other])
        return 0.0 if one == other else both / max(1e-9, (len(touched[one]) * len(touched[other])) ** 0.5)

    found = ItemKnn(batches(training), Popularity(np.arange(NUM_ITEMS))).scores(entries(*asked))
    for history, row in zip(asked, best_first(found), strict=True):
        weights = [sum(cosine(known, item) for known in set(history)) for item in range(NUM_ITEMS)]
        assert np.all(np.diff([weights[item] for item in row]) <= 1e-9)


def test_only_so_many_neighbours_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "NEIGHBOURS", 1)
    training = [entries([0, 1], [0, 1], [0, 2], [1, 3])]
    scores = Markov(training, Popularity(np.array([3, 2, 1, 0]))).scores(entries([0], [1]))
    assert best_first(scores) == [[1, 3, 2, 0], [3, 2, 1, 0]]


@pytest.mark.parametrize("kind", [Markov, Cooccurrence, ItemKnn])
def test_without_training_everything_is_popularity(kind: type[Markov | Cooccurrence | ItemKnn]) -> None:
    popularity = Popularity(np.array([1, 0]))
    assert kind([], popularity).scores(entries([0], [])).tolist() == popularity.scores(2).tolist()
