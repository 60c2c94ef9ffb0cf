"""What every model of histories offers.

Legend: B = histories, L = entries, D = width, V = items plus one row for padding.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor, nn
from torch.nn import functional as F

from nightjar.contracts import BadInput
from nightjar.learn.batch import Batch

if TYPE_CHECKING:
    from nightjar import settings

    #: Sum of the chosen loss from states_ND, items_VD and targets_N.
    ItemLoss = Callable[[Tensor, Tensor, Tensor], Tensor]


class SequenceModel(nn.Module):
    """Turns each prefix of a history into a vector; the score of an item is a dot product with it.

    Output is tied to input: the table that scores is the table that embeds. States at position `l`
    depend on entries `0..l` only, and neither on padding nor on the other histories of the batch.
    """

    conf: settings.Model

    @abstractmethod
    def encode(self, batch: Batch) -> Tensor:
        """states_BLD: position `l` has read entries up to and including `l`; anything on padding."""

    def pretraining_loss(self, batch: Batch, objective: ItemLoss, mask_share: float) -> Tensor:
        """Sum of the model's own tasks over a share of a batch, for `train.pretrain_epochs`.

        Comparable with a sum of next-item losses: about one per entry. Chance comes from torch's generator.

        Raises:
            BadInput: the model has no such tasks.
        """
        raise BadInput(f"model {self.conf.name} has no tasks to pre-train on", "set train.pretrain_epochs=0")

    @abstractmethod
    def item_table(self) -> Tensor:
        """items_VD: row 0 is padding and never scored. What is multiplied with states is `as_scored` of it."""

    def as_scored(self, rows: Tensor) -> Tensor:
        """Rows of the item table as they meet states: of length one where scores are cosines."""
        return F.normalize(rows, dim=-1) if self.conf.cosine_scale else rows

    def as_asked(self, states: Tensor) -> Tensor:
        """States as they meet items. Cosines times a scale, a softmax with a temperature, cannot grow with the
        length of an embedding, which is popularity more than taste (NISER, https://arxiv.org/abs/1909.04276).
        """
        return F.normalize(states, dim=-1) * self.conf.cosine_scale if self.conf.cosine_scale else states
