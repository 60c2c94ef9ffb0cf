"""SASRec: self-attention over the latest items (Kang & McAuley 2018, https://arxiv.org/abs/1808.09781).

As in the paper: learned positions, causal attention, output tied to the item table. Otherwise:
normalisation before each part and once at the end (https://arxiv.org/abs/2002.04745), full softmax
instead of one negative (https://arxiv.org/abs/2309.07602) unless `train.loss` says so, GELU.

Legend: B = histories, L = entries, D = width, N = heads, H = width of a head, W = inner width, V = items plus padding.
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


class SasRec(SequenceModel):
    def __init__(self, conf: settings.Model, num_items: int) -> None:
        super().__init__()
        self.conf = conf
        self.items = nn.Embedding(num_items + 1, conf.width, padding_idx=0)
        self.positions = nn.Embedding(conf.max_length, conf.width)
        self.fusion = Fusion(conf)
        self.dropout = Dropout(conf.dropout)
        self.blocks = nn.ModuleList(self.new_block() for _ in range(conf.num_blocks))
        self.norm = nn.LayerNorm(conf.width)
        self.init_weights()

    def new_block(self) -> Block:
        return Block(self.conf)

    @torch.no_grad()
    def init_weights(self) -> None:
        """All initial values, in one place.

        | weight | value |
        |---|---|
        | items, positions | normal, std 1 / width; row 0 of items zero |
        | matrices of a block | normal, std 1 / sqrt(inputs) |
        | the two that write to the residual stream | zero: each block starts as the identity |
        | biases | zero |
        | norms | weight one, bias zero |

        States leave the last norm with length sqrt(width), so logits start below about one and the
        first loss is near ln V.
        """
        for table in (self.items, self.positions):
            nn.init.normal_(table.weight, std=1 / self.conf.width)
        self.items.weight[0].zero_()
        self.fusion.init_weights()
        for block in self._blocks():
            for name, layer in block.named_children():
                if isinstance(layer, nn.Linear):
                    residual = name in ("attended", "narrow")
                    nn.init.normal_(layer.weight, std=0.0 if residual else 1 / math.sqrt(layer.in_features))
                    if layer.bias is not None:
                        nn.init.zeros_(layer.bias)

    def encode(self, batch: Batch) -> Tensor:
        return self.states(self.embedded(batch))

    def embedded(self, batch: Batch) -> Tensor:
        """inputs_BLD of the first block."""
        length = batch.items_BL.shape[1]
        assert length <= self.conf.max_length, f"{length} entries, but positions for {self.conf.max_length}"
        # Positions count from the oldest entry: padding stands behind it and moves nothing.
        items_BLD = self.items(batch.items_BL) * math.sqrt(self.conf.width)
        return self.fusion.add_to(items_BLD + self.positions.weight[:length], batch)

    def states(self, inputs_BLD: Tensor, seen_BL: Tensor | None = None) -> Tensor:
        """states_BLD from embedded entries; `seen_BL` is the blocks' argument of that name."""
        states_BLD = self.dropout(inputs_BLD)
        for block in self._blocks():
            states_BLD = block(states_BLD, seen_BL)
        return self.as_asked(self.norm(states_BLD))

    def item_table(self) -> Tensor:
        return self.items.weight

    def _blocks(self) -> Iterator[Block]:
        return cast("Iterator[Block]", iter(self.blocks))


class Block(nn.Module):
    """Attention, then two layers at each position, each added to its input."""

    def __init__(self, conf: settings.Model) -> None:
        super().__init__()
        self.num_heads, self.dropout_share = conf.num_heads, conf.dropout
        self.attention_norm = nn.LayerNorm(conf.width)
        # No bias: on keys it would do nothing, softmax being blind to what all scores have in common.
        self.qkv = nn.Linear(conf.width, 3 * conf.width, bias=False)
        self.attended = nn.Linear(conf.width, conf.width)
        self.feed_norm = nn.LayerNorm(conf.width)
        self.widen = nn.Linear(conf.width, 4 * conf.width)
        self.narrow = nn.Linear(4 * conf.width, conf.width)
        self.dropout = Dropout(conf.dropout)

    def forward(self, states_BLD: Tensor, seen_BL: Tensor | None = None) -> Tensor:
        states_BLD = states_BLD + self.dropout(self.attend(self.attention_norm(states_BLD), seen_BL))
        wide_BLW = self.dropout(F.gelu(self.widen(self.feed_norm(states_BLD))))
        added_BLD: Tensor = states_BLD + self.dropout(self.narrow(wide_BLW))
        return added_BLD

    def attend(self, states_BLD: Tensor, seen_BL: Tensor | None = None) -> Tensor:
        """Causal attention: padding stands on the right, so no real entry ever looks at it.

        With `seen_BL` every entry sees those that it marks, before and behind.
        """
        qkv_BLND = self.qkv(states_BLD).unflatten(-1, (3 * self.num_heads, -1))
        q_BNLH, k_BNLH, v_BNLH = qkv_BLND.transpose(1, 2).chunk(3, dim=1)
        dropout = self.dropout_share if self.training else 0.0
        seen_B11L = None if seen_BL is None else seen_BL[:, None, None]
        mixed_BNLH = F.scaled_dot_product_attention(
            q_BNLH, k_BNLH, v_BNLH, attn_mask=seen_B11L, dropout_p=dropout, is_causal=seen_BL is None
        )
        attended_BLD: Tensor = self.attended(mixed_BNLH.transpose(1, 2).flatten(2))
        return attended_BLD
