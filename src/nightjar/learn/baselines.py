"""Four scorers that a model must earn its keep against: popularity, last-item Markov, co-occurrence, item-kNN.

Items are positions 0 to N - 1 of a catalogue that is sorted by item id, so "ties by position" means
ties by item id. Each gives every item a distinct score: a baseline with ties would lose them all
under the rule that ties count against the scorer, and be beaten too easily.

Legend: B histories, N items, E entries of all histories, P pairs of a history and a candidate.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Floats = NDArray[np.float64]

#: float32 holds every integer up to here, and the baselines score with ranks below 2 N.
_EXACT = 2**24

#: Pairs collected before they are summed: 16 MiB.
_MERGE_PAIRS = 2**20

#: Co-occurrence: entries of a history that count as near each other, and the latest ones that are asked.
WINDOW = 10

#: Item-kNN: the latest entries of a history that are compared; longer ones would pair everything with everything.
KNN_ENTRIES = 50

#: Others that are kept of each item, so that memory grows with the items and not with their pairs.
NEIGHBOURS = 200


class Entries(NamedTuple):
    """Histories as flat arrays, one after the other, oldest entry first."""

    rows_E: Indices  #: the history that each entry belongs to, ascending
    items_E: Indices  #: position of its item
    num_rows: int

    def latest(self, at_most: int) -> Entries:
        """The last `at_most` entries of each history."""
        kept = self.from_the_end() < at_most
        return Entries(self.rows_E[kept], self.items_E[kept], self.num_rows)

    def from_the_end(self) -> Indices:
        """How many entries of its history stand behind each."""
        ends = np.searchsorted(self.rows_E, self.rows_E, side="right")
        return (ends - 1 - np.arange(len(self.rows_E))).astype(np.int64)

    def last(self) -> Indices:
        """last_B: position of each history's last item, -1 for an empty one."""
        last_B = np.full(self.num_rows, -1, np.int64)
        newest = self.from_the_end() == 0
        last_B[self.rows_E[newest]] = self.items_E[newest]
        return last_B

    def apart(self, distance: int) -> tuple[Indices, Indices]:
        """(item, the item `distance` entries later) wherever a history has both."""
        same = self.rows_E[distance:] == self.rows_E[:-distance]
        return self.items_E[:-distance][same], self.items_E[distance:][same]


def popularity_order(num_recent: Indices, num_events: Indices) -> Indices:
    """Positions, most popular first: by recent events, then events of the whole window, then position.

    >>> popularity_order(np.array([1, 5, 1]), np.array([9, 5, 9])).tolist()
    [1, 0, 2]
    """
    return np.lexsort((np.arange(len(num_recent)), -num_events, -num_recent)).astype(np.int64)


class Popularity:
    """The same order for everybody."""

    def __init__(self, order: Indices) -> None:
        """`order`: every position once, most popular first, as `popularity_order` gives it."""
        assert 2 * len(order) < _EXACT, "scores would no longer be distinct in float32"
        self.order = order
        self.scores_N = np.empty(len(order), np.float32)
        self.scores_N[order] = np.arange(len(order), 0, -1)

    def scores(self, num_rows: int) -> NDArray[np.float32]:
        """N for the most popular item down to 1, `num_rows` times."""
        return np.tile(self.scores_N, (num_rows, 1))

    def below(self, rows_P: Indices, items_P: Indices, weights_P: Floats, num_rows: int) -> NDArray[np.float32]:
        """Candidates in front, by summed weight and then popularity, from N + 1 up; everything else by popularity.

        Args:
            rows_P, items_P, weights_P: a candidate of a history; one that is named again adds its weight.
        """
        num_items = len(self.order)
        keys, where = np.unique(rows_P * num_items + items_P, return_inverse=True)
        rows, items = np.divmod(keys, max(num_items, 1))
        totals = np.bincount(where, weights_P, minlength=len(keys))
        ascending = np.lexsort((self.scores_N[items], totals, rows))
        place = np.arange(len(keys)) - np.searchsorted(rows, rows)
        scores_BN = self.scores(num_rows)
        scores_BN[rows, items[ascending]] = num_items + 1 + place
        return scores_BN


class Neighbours:
    """Of each item the others that go with it, with weights; sparse, at most `NEIGHBOURS` of each."""

    def __init__(self, keys: Indices, weights: Floats, num_items: int) -> None:
        """`keys`: item x num_items + other, ascending and distinct. Of equal weights the lowest positions stay."""
        items, others = np.divmod(keys, max(num_items, 1))
        best = np.lexsort((others, -weights, items))
        # `best` keeps items ascending, so `items` is also the item at each place of the new order.
        kept = best[np.arange(len(best)) - np.searchsorted(items, items) < NEIGHBOURS]
        self.others, self.weights = others[kept], weights[kept]
        self.offsets = np.searchsorted(items[kept], np.arange(num_items + 1))

    def of(self, items_E: Indices) -> tuple[Indices, Indices, Floats]:
        """(place in `items_E`, other item, its weight) for all neighbours of all these items."""
        starts, lengths = self.offsets[items_E], np.diff(self.offsets)[items_E]
        places = np.repeat(np.arange(len(items_E)), lengths)
        first = np.cumsum(lengths) - lengths
        at = np.arange(len(places)) - first[places] + starts[places]
        return places, self.others[at], self.weights[at]


class Markov:
    """What followed the last item, most often first; then popularity.

    Followers of an item are ordered by how often they came right after it in the training
    histories, ties by popularity; all other items come behind them in popularity order. An empty
    history gets pure popularity.
    """

    def __init__(self, training: Iterable[Entries], popularity: Popularity) -> None:
        self._popularity = popularity
        num_items = len(popularity.order)
        pairs = ((*entries.apart(1), 1.0) for entries in training)
        self._followers = Neighbours(*_summed(pairs, num_items), num_items)

    def scores(self, asked: Entries) -> NDArray[np.float32]:
        newest = asked.latest(1)
        places, others, weights = self._followers.of(newest.items_E)
        return self._popularity.below(newest.rows_E[places], others, weights, asked.num_rows)


class Cooccurrence:
    """What stood near the latest items in training histories, the nearer and the later the more.

    Two entries of a history that are d <= `WINDOW` apart add 1 / d to their pair, in both directions. A
    candidate's score sums over the latest `WINDOW` entries of the history, the newest with weight 1, the one
    before with 1 / 2, and so on (the sequential rules of https://doi.org/10.1007/s11257-018-9209-6, either way round).
    """

    def __init__(self, training: Iterable[Entries], popularity: Popularity) -> None:
        self._popularity = popularity
        num_items = len(popularity.order)
        self._near = Neighbours(*_summed(_near_pairs(training), num_items), num_items)

    def scores(self, asked: Entries) -> NDArray[np.float32]:
        newest = asked.latest(WINDOW)
        places, others, weights = self._near.of(newest.items_E)
        recency = 1.0 / (1.0 + newest.from_the_end())
        return self._popularity.below(newest.rows_E[places], others, weights * recency[places], asked.num_rows)


class ItemKnn:
    """Items like those of the history, by the cosine of who touched them.

    A candidate's score sums its cosine with each distinct item among the latest `KNN_ENTRIES` of the history
    (Deshpande & Karypis 2004, https://doi.org/10.1145/963770.963776). An item is no neighbour of itself.
    """

    def __init__(self, training: Iterable[Entries], popularity: Popularity) -> None:
        self._popularity = popularity
        num_items = len(popularity.order)
        people_N = np.zeros(num_items, np.int64)

        def pairs() -> Iterator[tuple[Indices, Indices, float]]:
            for entries in training:
                touched = _distinct(entries.latest(KNN_ENTRIES), num_items)
                people_N[:] += np.bincount(touched.items_E, minlength=num_items)
                for distance in range(1, KNN_ENTRIES):
                    yield from _both_ways(*touched.apart(distance), 1.0)

        keys, together = _summed(pairs(), num_items)
        items, others = np.divmod(keys, max(num_items, 1))
        self._like = Neighbours(keys, together / np.sqrt(people_N[items] * people_N[others]), num_items)

    def scores(self, asked: Entries) -> NDArray[np.float32]:
        touched = _distinct(asked.latest(KNN_ENTRIES), len(self._popularity.order))
        places, others, weights = self._like.of(touched.items_E)
        return self._popularity.below(touched.rows_E[places], others, weights, asked.num_rows)


def _near_pairs(training: Iterable[Entries]) -> Iterator[tuple[Indices, Indices, float]]:
    for entries in training:
        for distance in range(1, WINDOW + 1):
            yield from _both_ways(*entries.apart(distance), 1.0 / distance)


def _both_ways(items: Indices, others: Indices, weight: float) -> Iterator[tuple[Indices, Indices, float]]:
    different = items != others
    yield items[different], others[different], weight
    yield others[different], items[different], weight


def _distinct(entries: Entries, num_items: int) -> Entries:
    """Each item of a history once; their order is lost."""
    rows, items = np.divmod(np.unique(entries.rows_E * num_items + entries.items_E), max(num_items, 1))
    return Entries(rows, items, entries.num_rows)


def _summed(pairs: Iterable[tuple[Indices, Indices, float]], num_items: int) -> tuple[Indices, Floats]:
    """Distinct pairs as item x num_items + other, ascending, and the sum of each one's weights."""
    keys, sums = np.empty(0, np.int64), np.empty(0, np.float64)
    waiting: list[tuple[Indices, float]] = []
    for items, others, weight in pairs:
        waiting.append((items * num_items + others, weight))
        # Merging only what is at least as long as the result keeps the whole sum O(pairs log pairs).
        if sum(len(more) for more, _ in waiting) >= max(len(keys), _MERGE_PAIRS):
            keys, sums = _merged(keys, sums, waiting)
            waiting = []
    return _merged(keys, sums, waiting)


def _merged(keys: Indices, sums: Floats, waiting: list[tuple[Indices, float]]) -> tuple[Indices, Floats]:
    weights = [np.full(len(more), weight) for more, weight in waiting]
    merged, where = np.unique(np.concatenate([keys, *(more for more, _ in waiting)]), return_inverse=True)
    totals: Floats = np.bincount(where, np.concatenate([sums, *weights]), minlength=len(merged)).astype(np.float64)
    return merged, totals
