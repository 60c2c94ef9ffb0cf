"""HSTU: attention without softmax, gated by the entry itself (Zhai et al. 2024, https://arxiv.org/abs/2402.17152).

As in the paper: one matrix gives gates, values, queries and keys, all through SiLU; weights are SiLU(score + bias) / n,
so that how often something happened is not divided away; no feed-forward part. The bias is learned per distance, and
with `model.time_bias` also per age. Otherwise: age is measured between the two entries. The paper's code measures it
from the target's own time, which nobody knows before it happens.

Legend: B = histories, L = entries that are read, Q = entries that read, D = width, N = heads, H = width of a head.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nightjar import settings
from nightjar.learn.batch import Batch
from nightjar.learn.models.dropout import Dropout
from nightjar.learn.models.fusion import Fusion
from nightjar.learn.models.sequence_model import SequenceModel

#: Ages are told apart by half powers of two: the last bucket begins after 46 years.
_AGE_BUCKETS = 62


class Hstu(SequenceModel):
    def __init__(self, conf: settings.Model, num_items: int) -> None:
        super().__init__()
        self.conf = conf
        self.items = nn.Embedding(num_items + 1, conf.width, padding_idx=0)
        self.fusion = Fusion(conf)
        self.dropout = Dropout(conf.dropout)
        self.blocks = nn.ModuleList(Block(conf) for _ in range(conf.num_blocks))
        self.norm = nn.LayerNorm(conf.width)
        self.init_weights()

    @torch.no_grad()
    def init_weights(self) -> None:
        """All initial values, in one place.

        | weight | value |
        |---|---|
        | items | normal, std 1 / width; row 0 zero |
        | matrix of gates, values, queries, keys | normal, std 1 / sqrt(width) |
        | the one that writes to the residual stream | zero: each block starts as the identity |
        | biases, those of distances and ages included | zero |
        | norms | weight one, bias zero |
        """
        nn.init.normal_(self.items.weight, std=1 / self.conf.width)
        self.items.weight[0].zero_()
        self.fusion.init_weights()
        for block in self._blocks():
            nn.init.normal_(block.uvqk.weight, std=1 / math.sqrt(self.conf.width))
            for zero in (block.uvqk.bias, block.mixed.weight, block.mixed.bias, block.distances, block.ages):
                if zero is not None:
                    nn.init.zeros_(zero)

    def encode(self, batch: Batch) -> Tensor:
        length = batch.items_BL.shape[1]
        assert length <= self.conf.max_length, f"{length} entries, but distances for {self.conf.max_length}"
        states_BLD = self.fusion.add_to(self.items(batch.items_BL) * math.sqrt(self.conf.width), batch)
        states_BLD = self.dropout(states_BLD)
        ages_BQL = age_buckets(batch.times_BL) if self.conf.time_bias else None
        for block in self._blocks():
            states_BLD = block(states_BLD, ages_BQL)
        return self.as_asked(self.norm(states_BLD))

    def item_table(self) -> Tensor:
        return self.items.weight

    def _blocks(self) -> Iterator[Block]:
        return cast("Iterator[Block]", iter(self.blocks))


class Block(nn.Module):
    def __init__(self, conf: settings.Model) -> None:
        super().__init__()
        self.num_heads, self.max_length = conf.num_heads, conf.max_length
        self.norm = nn.LayerNorm(conf.width)
        self.uvqk = nn.Linear(conf.width, 4 * conf.width)
        self.distances = nn.Parameter(torch.empty(conf.num_heads, conf.max_length))
        self.ages = nn.Parameter(torch.empty(conf.num_heads, _AGE_BUCKETS)) if conf.time_bias else None
        # Weights are as small as 1 / n, their mixture too: an epsilon of 1e-5 would not be small beside it.
        self.mixed_norm = nn.LayerNorm(conf.width, eps=1e-8)
        self.mixed = nn.Linear(conf.width, conf.width)
        self.dropout = Dropout(conf.dropout)

    def forward(self, states_BLD: Tensor, ages_BQL: Tensor | None) -> Tensor:
        gates_BLD, rest_BLE = F.silu(self.uvqk(self.norm(states_BLD))).tensor_split([states_BLD.shape[2]], dim=2)
        v_BNLH, q_BNLH, k_BNLH = rest_BLE.unflatten(-1, (3 * self.num_heads, -1)).transpose(1, 2).chunk(3, dim=1)
        weights_BNQL = self.weights(q_BNLH, k_BNLH, ages_BQL)
        mixed_BLD = (weights_BNQL @ v_BNLH).transpose(1, 2).flatten(2)
        added_BLD: Tensor = states_BLD + self.mixed(self.dropout(self.mixed_norm(mixed_BLD) * gates_BLD))
        return added_BLD

    def weights(self, q_BNLH: Tensor, k_BNLH: Tensor, ages_BQL: Tensor | None) -> Tensor:
        """SiLU(scores + biases) / n towards the past and the entry itself, 0 towards the future."""
        places_L = torch.arange(q_BNLH.shape[2], device=q_BNLH.device)
        distance_QL = places_L[:, None] - places_L
        scores_BNQL = q_BNLH @ k_BNLH.transpose(2, 3) + self.distances[:, distance_QL.clamp(min=0)]
        if self.ages is not None and ages_BQL is not None:
            scores_BNQL = scores_BNQL + self.ages[:, ages_BQL].transpose(0, 1)
        return (F.silu(scores_BNQL) / self.max_length).masked_fill(distance_QL < 0, 0.0)


def age_buckets(times_BL: Tensor) -> Tensor:
    """floor(2 log2(1 + seconds)) by which an entry is older than the one that reads it; 0 for younger ones.

    >>> age_buckets(torch.tensor([[100, 101, 107]])).tolist()
    [[[0, 0, 0], [2, 0, 0], [6, 5, 0]]]
    """
    seconds_BQL = (times_BL[:, :, None] - times_BL[:, None]).clamp(min=0)
    return (2 * (seconds_BQL + 1).double().log2()).floor().long().clamp(max=_AGE_BUCKETS - 1)
