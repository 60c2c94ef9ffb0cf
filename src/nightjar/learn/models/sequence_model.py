"""What every model of histories offers.

Legend: B = histories, L = entries, D = width, V = items plus one row for padding.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING

from torch import Tensor, nn

from nightjar.learn.batch import Batch

if TYPE_CHECKING:
    from nightjar import settings


class SequenceModel(nn.Module):
    """Turns each prefix of a history into a vector; the score of an item is a dot product with it.

    Output is tied to input: the table that scores is the table that embeds. States at position `l`
    depend on entries `0..l` only, and neither on padding nor on the other histories of the batch.
    """

    conf: settings.Model

    @abstractmethod
    def encode(self, batch: Batch) -> Tensor:
        """states_BLD: position `l` has read entries up to and including `l`; anything on padding."""

    @abstractmethod
    def item_table(self) -> Tensor:
        """items_VD: row 0 is padding and never scored."""
