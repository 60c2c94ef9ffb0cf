"""What people get of whom the model can read nothing.

What is popular in the categories they touched, then on the platform where they were last, or at all where that is
not known.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from nightjar.contracts import Platform
from nightjar.learn.baselines import Popularity
from nightjar.score.catalogue import Catalogue
from nightjar.score.rulebook import Cap

Indices = NDArray[np.int64]

REASON, NAME = "popular_now", "popularity"
CATEGORY_REASON = "popular_in_category"
PLATFORM_REASON = "popular_on_platform"


class Fallback:
    """Available items by `items.num_recent`, then `items.num_events`, then item id: a total order."""

    def __init__(
        self, catalogue: Catalogue, available: NDArray[np.bool_], popularity: Popularity | None = None
    ) -> None:
        """`popularity`: in another order than the catalogue's."""
        self._catalogue, self._available = catalogue, available
        order = (popularity or catalogue.popularity).order
        self.order = order[available[order]]
        self._on: dict[Platform, Fallback] = {}
        # The same order within each category.
        categories = catalogue.categories[self.order]
        self._by_category = np.argsort(categories, kind="stable")
        self._starts = np.searchsorted(categories[self._by_category], np.arange(len(catalogue.category_names) + 1))

    def on(self, platform: Platform) -> Fallback:
        """The same items by what is popular there; itself where the shop has no other platform."""
        if platform not in self._on:
            popularity = self._catalogue.popularity_on(platform)
            self._on[platform] = Fallback(self._catalogue, self._available, popularity) if popularity else self
        return self._on[platform]

    def first(self, k: int, *, without: Indices) -> Indices:
        """The k most popular positions that are not in `without`; fewer if the catalogue has no more."""
        # At most len(without) of the head can be ruled out, so the head need not be longer.
        head = self.order[: k + len(without)]
        return head[~np.isin(head, without)][:k]

    def first_of(self, categories: Indices, k: int, *, without: Indices) -> Indices:
        """The same among the items of these categories."""
        places = [self._by_category[self._starts[c] : self._starts[c + 1]][: k + len(without)] for c in categories]
        heads = self.order[np.sort(np.concatenate([np.empty(0, np.int64), *places]))]
        chosen: Indices = heads[~np.isin(heads, without)][:k]
        return chosen

    def within(self, caps: Sequence[Cap], k: int, *, having: Indices, without: Indices) -> Indices:
        """The k most popular positions that keep a list which has `having` within the caps; fewer if that is all."""
        room = [_Room(cap, having) for cap in caps]
        chosen: list[int] = []
        for head in self._heads(k + len(without)):
            for position in head[~np.isin(head, without)].tolist():
                if len(chosen) == k:
                    break
                if all(one.has_room(position) for one in room):
                    chosen.append(position)
                    for one in room:
                        one.take(position)
            if len(chosen) == k:
                break
        return np.array(chosen, np.int64)

    def _heads(self, first: int) -> Iterator[Indices]:
        """The order in pieces of growing length: most lists are full after the first."""
        start, length = 0, 4 * first
        while start < len(self.order):
            yield self.order[start : start + length]
            start, length = start + length, 4 * length


class _Room:
    """How many more items of each group a list may take."""

    def __init__(self, cap: Cap, having: Indices) -> None:
        self.cap, self.taken = cap, dict[int, int]()
        for position in having.tolist():
            self.take(position)

    def has_room(self, position: int) -> bool:
        group = int(self.cap.groups_N[position])
        return group < 0 or self.taken.get(group, 0) < self.cap.at_most

    def take(self, position: int) -> None:
        group = int(self.cap.groups_N[position])
        self.taken[group] = self.taken.get(group, 0) + 1
