"""What people get about whom nothing usable is known: what is popular now."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nightjar.score.catalogue import Catalogue

STRATEGY, REASON, NAME = "popular", "popular_now", "popularity"


class Fallback:
    """Available items by `items.num_recent`, then `items.num_events`, then item id: a total order."""

    def __init__(self, catalogue: Catalogue, available: NDArray[np.bool_]) -> None:
        order = catalogue.popularity.order
        self.order = order[available[order]]
        self.num_recent = catalogue.num_recent

    def first(self, k: int, *, without: NDArray[np.int64]) -> NDArray[np.int64]:
        """The k most popular positions that are not in `without`; fewer if the catalogue has no more."""
        # At most len(without) of the head can be ruled out, so the head need not be longer.
        head = self.order[: k + len(without)]
        return head[~np.isin(head, without)][:k]
