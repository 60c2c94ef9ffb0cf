"""BERT4Rec: pre-trained on both sides of hidden items, then trained on next items.

The first is its paper (Sun et al. 2019, https://arxiv.org/abs/1904.06690). Pre-training has two tasks, as in BERT
(https://arxiv.org/abs/1810.04805): which items are hidden, and, where sessions are known, whether a person's last
session really followed on the others or is somebody else's. After `train.pretrain_epochs` of these the same weights are
trained as a causal model of the next item, which is what `encode` gives: a state may not depend on what comes later if
it is to be trained, served and judged at every position.

Legend: B = histories, L = entries, D = width, N = hidden entries.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nightjar import settings
from nightjar.learn.batch import Batch
from nightjar.learn.models.sasrec import SasRec

if TYPE_CHECKING:
    from nightjar.learn.models.sequence_model import ItemLoss


class Bert4Rec(SasRec):
    def __init__(self, conf: settings.Model, num_items: int) -> None:
        super().__init__(conf, num_items)
        self.hidden_D = nn.Parameter(torch.empty(conf.width))
        self.second_D = nn.Parameter(torch.empty(conf.width))
        self.follows = nn.Linear(conf.width, 1)
        self.init_task_weights()

    @torch.no_grad()
    def init_task_weights(self) -> None:
        """As SASRec, and:

        | weight | value |
        |---|---|
        | vector of a hidden entry, mark of the second session | normal, std 1 / sqrt(width), as a scaled item |
        | `follows` | zero: at first the answer is one half |
        """
        for vector in (self.hidden_D, self.second_D):
            nn.init.normal_(vector, std=self.conf.width**-0.5)
        nn.init.zeros_(self.follows.weight)
        nn.init.zeros_(self.follows.bias)

    def pretraining_loss(self, batch: Batch, objective: ItemLoss, mask_share: float) -> Tensor:
        """Hidden items, scaled up as if all were hidden, plus one question per person about the last session."""
        hidden_BL = hidden_entries(batch, mask_share)
        states_BLD = self.both_ways(batch, hidden_BL=hidden_BL)
        loss = objective(states_BLD[hidden_BL], self.item_table(), batch.items_BL[hidden_BL]) / mask_share
        if batch.sessions_BL is None:
            return loss
        pairs = session_pairs(batch)
        real_BL1 = pairs.batch.real_BL[:, :, None]
        states_BLD = self.both_ways(pairs.batch, second_BL=pairs.second_BL)
        means_BD = (states_BLD * real_BL1).sum(1) / real_BL1.sum(1).clamp(min=1)
        logits_B, asked_B = self.follows(means_BD)[:, 0], pairs.asked_B
        answers_B = pairs.genuine_B[asked_B].to(logits_B.dtype)
        return loss + F.binary_cross_entropy_with_logits(logits_B[asked_B], answers_B, reduction="sum")

    def both_ways(self, batch: Batch, *, hidden_BL: Tensor | None = None, second_BL: Tensor | None = None) -> Tensor:
        """states_BLD that have read all entries; hidden ones lend their place and nothing else."""
        inputs_BLD = self.embedded(batch)
        if hidden_BL is not None:
            places_LD = self.positions.weight[: inputs_BLD.shape[1]]
            inputs_BLD = torch.where(hidden_BL[:, :, None], self.hidden_D + places_LD, inputs_BLD)
        if second_BL is not None:
            inputs_BLD = inputs_BLD + second_BL[:, :, None] * self.second_D
        seen_BL = batch.real_BL
        seen_BL[:, 0] = True  # attention to nothing at all is no number
        return self.states(inputs_BLD, seen_BL)


def hidden_entries(batch: Batch, share: float) -> Tensor:
    """bool: each real entry with probability `share`, and one of a history in which none came up."""
    real_BL = batch.real_BL
    draws_BL = torch.rand(real_BL.shape, device=real_BL.device).masked_fill(~real_BL, 2.0)
    least_BL = torch.zeros_like(real_BL).scatter_(1, draws_BL.argmin(1, keepdim=True), True)
    return ((draws_BL < share) | least_BL) & real_BL


class SessionPairs(NamedTuple):
    """Histories whose last session is their own or somebody else's."""

    batch: Batch
    second_BL: Tensor  #: bool, which entries are of the last session
    genuine_B: Tensor  #: bool, whether it is the person's own
    asked_B: Tensor  #: bool, whether the history has an earlier session, so that the question makes sense


def session_pairs(batch: Batch) -> SessionPairs:
    """By a fair coin, give each history the last session of the history before it in the batch.

    The result is as wide as the batch: a longer session is cut at the end.
    """
    assert batch.sessions_BL is not None
    real_BL, places_L = batch.real_BL, torch.arange(batch.items_BL.shape[1], device=batch.items_BL.device)
    last_B1 = batch.sessions_BL.gather(1, (batch.lengths_B - 1).clamp(min=0)[:, None])
    # Sessions on two devices may interleave: the last one begins behind the latest entry of another.
    starts_B = (((batch.sessions_BL != last_B1) & real_BL) * (places_L + 1)).amax(1)
    genuine_B = torch.rand(len(starts_B), device=starts_B.device) < 0.5
    own_B = torch.arange(len(starts_B), device=starts_B.device)
    donors_B = torch.where(genuine_B, own_B, own_B.roll(1))
    from_BL = starts_B[donors_B, None] + places_L - starts_B[:, None]
    second_BL = (places_L >= starts_B[:, None]) & (from_BL < batch.lengths_B[donors_B, None])

    def spliced(grid_BL: Tensor) -> Tensor:
        theirs_BL = grid_BL[donors_B].gather(1, from_BL.clamp(0, len(places_L) - 1))
        return torch.where(second_BL, theirs_BL, grid_BL * (places_L < starts_B[:, None]))

    lengths_B = starts_B + second_BL.sum(1)
    pairs = batch.each(lambda tensor: lengths_B if tensor is batch.lengths_B else spliced(tensor))
    # A batch of one has nobody to lend a session: it could only be asked about its own.
    asked_B = (starts_B > 0) & second_BL.any(1) & (len(starts_B) > 1)
    return SessionPairs(pairs, second_BL, genuine_B, asked_B)
