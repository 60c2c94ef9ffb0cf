"""Items that a batch's targets are held against, in place of the whole catalogue.

Legend: V = items plus the row for padding, M = negatives.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Drawn(NamedTuple):
    items_M: Tensor  #: int64 item index, never 0; drawn with replacement
    log_expected_M: Tensor  #: float32, log of how often each is expected among the M


class Negatives:
    """Draws by the same chances for all targets of a step, with replacement."""

    def __init__(self, counts_V: NDArray[np.int64] | None, *, num_items: int, num_negatives: int) -> None:
        """By `counts_V`, occurrences of each item, plus one, so that every item can be drawn; None draws evenly."""
        self.num_items, self.num_negatives = num_items, num_negatives
        #: float64: float32 could not tell ten million items apart
        self._upto_V = None if counts_V is None else np.cumsum(counts_V[1:] + 1.0)

    def draw(self, *name: int) -> Drawn:
        """A function of `name`, non-negative numbers such as seed, epoch and step; not of the rank."""
        random = np.random.default_rng(name)
        if self._upto_V is None:
            items = random.integers(1, self.num_items + 1, self.num_negatives)
            expected = np.full(self.num_negatives, self.num_negatives / self.num_items)
        else:
            total = self._upto_V[-1]
            at = np.searchsorted(self._upto_V, random.random(self.num_negatives) * total, side="right")
            items = at + 1
            weights = self._upto_V[at] - np.where(at > 0, self._upto_V[at - 1], 0.0)
            expected = self.num_negatives * weights / total
        return Drawn(torch.from_numpy(items), torch.from_numpy(np.log(expected)).float())
