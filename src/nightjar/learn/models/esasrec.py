"""eSASRec: SASRec with LiGR layers (Tikhonovich et al. 2025, https://arxiv.org/abs/2508.06450).

The layers are of LiGR (https://arxiv.org/abs/2502.03417): what a part adds to the states is scaled by a gate that reads
the states, and the feed-forward part is a SwiGLU (https://arxiv.org/abs/2002.05202). The paper trains it with sampled
softmax: `train.loss`.

Legend: B = histories, L = entries, D = width, W = inner width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nightjar import settings
from nightjar.learn.models.sasrec import Block, SasRec


class ESasRec(SasRec):
    def new_block(self) -> Block:
        return GatedBlock(self.conf)


class GatedBlock(Block):
    """Attention, then SwiGLU, each gated and added to its input."""

    def __init__(self, conf: settings.Model) -> None:
        super().__init__(conf)
        self.attention_gate = nn.Linear(conf.width, conf.width)
        self.feed_gate = nn.Linear(conf.width, conf.width)
        self.open = nn.Linear(conf.width, 4 * conf.width)

    def forward(self, states_BLD: Tensor, seen_BL: Tensor | None = None) -> Tensor:
        added_BLD = self.dropout(self.attend(self.attention_norm(states_BLD), seen_BL))
        states_BLD = states_BLD + torch.sigmoid(self.attention_gate(states_BLD)) * added_BLD
        normed_BLD = self.feed_norm(states_BLD)
        wide_BLW = self.dropout(F.silu(self.open(normed_BLD)) * self.widen(normed_BLD))
        gated_BLD: Tensor = torch.sigmoid(self.feed_gate(states_BLD)) * self.dropout(self.narrow(wide_BLW))
        return states_BLD + gated_BLD
