"""Two scorers that a model must earn its keep against: popularity and last-item Markov.

Items are positions 0 to N - 1 of a catalogue that is sorted by item id, so "ties by position" means
ties by item id. Both give every item a distinct score: a baseline with ties would lose them all
under the rule that ties count against the scorer, and be beaten too easily.

Legend: B users, N items.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]

#: float32 holds every integer up to here, and both baselines score with ranks below 2 N.
_EXACT = 2**24

#: Pairs collected before they are counted: 8 MiB.
_MERGE_PAIRS = 2**20


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

    def scores(self, last_B: Indices) -> NDArray[np.float32]:
        """N for the most popular item down to 1, a row per entry of `last_B`."""
        return np.tile(self.scores_N, (len(last_B), 1))


class Markov:
    """What followed the last item, most often first; then popularity.

    Followers of an item are ordered by how often they came right after it in the training
    histories, ties by popularity; all other items come behind them in popularity order. An unknown
    last item (-1) gets pure popularity. Counts are stored sparsely: memory grows with the distinct
    pairs, not with N x N.
    """

    def __init__(self, pairs: Iterable[tuple[Indices, Indices]], popularity: Popularity) -> None:
        """`pairs`: (item, the item right after it) of the training histories, batch by batch."""
        self._popularity = popularity
        num_items = len(popularity.order)
        keys, counts = _counted(pairs, num_items)
        items, followers = np.divmod(keys, max(num_items, 1))
        # Ascending, so that a follower's position within its run is its score above popularity.
        ascending = np.lexsort((popularity.scores_N[followers], counts, items))
        self._followers = followers[ascending]
        self._offsets = np.searchsorted(items, np.arange(num_items + 1))

    def scores(self, last_B: Indices) -> NDArray[np.float32]:
        """Popularity's score (at most N), or N + 1 and up for followers of the last item."""
        scores_BN = self._popularity.scores(last_B)
        for row, last in enumerate(last_B):
            followers = self.followers(int(last))
            scores_BN[row, followers] = len(self._popularity.order) + 1 + np.arange(len(followers))
        return scores_BN

    def followers(self, item: int) -> Indices:
        """What came right after `item`, the most frequent last."""
        return self._followers[self._offsets[item] : self._offsets[item + 1]] if item >= 0 else self._followers[:0]


def _counted(pairs: Iterable[tuple[Indices, Indices]], num_items: int) -> tuple[Indices, Indices]:
    """Distinct pairs as item x num_items + follower, ascending, and how often each occurs."""
    keys, counts = np.empty(0, np.int64), np.empty(0, np.int64)
    waiting: list[Indices] = []
    for items, followers in pairs:
        waiting.append(items * num_items + followers)
        # Merging only what is at least as long as the result keeps the whole count O(pairs log pairs).
        if sum(map(len, waiting)) >= max(len(keys), _MERGE_PAIRS):
            keys, counts = _merged(keys, counts, waiting)
            waiting = []
    return _merged(keys, counts, waiting)


def _merged(keys: Indices, counts: Indices, waiting: list[Indices]) -> tuple[Indices, Indices]:
    more, more_counts = np.unique(np.concatenate([np.empty(0, np.int64), *waiting]), return_counts=True)
    merged, where = np.unique(np.concatenate([keys, more]), return_inverse=True)
    totals = np.zeros(len(merged), np.int64)
    np.add.at(totals, where, np.concatenate([counts, more_counts]))
    return merged, totals
