"""What recurrent models share: entries in, one layer or several, normalised states out.

Legend: B = histories, L = entries, D = width, V = items plus padding.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from nightjar import settings
from nightjar.contracts import BadInput
from nightjar.learn.batch import Batch
from nightjar.learn.models.dropout import Dropout
from nightjar.learn.models.fusion import Fusion
from nightjar.learn.models.sequence_model import SequenceModel


class Recurrent(SequenceModel):
    """A model is the kind of its layers and how many gates they have."""

    layer: type[nn.GRU] | type[nn.LSTM]
    num_gates: int

    def __init__(self, conf: settings.Model, num_items: int) -> None:
        super().__init__()
        if conf.num_heads != 1:  # a setting that does nothing must not look as if it did
            raise BadInput(
                f"model {conf.name} has no heads, but model.num_heads = {conf.num_heads}", "set model.num_heads=1"
            )
        self.conf = conf
        self.items = nn.Embedding(num_items + 1, conf.width, padding_idx=0)
        self.fusion = Fusion(conf)
        between = conf.dropout if conf.num_blocks > 1 else 0.0
        self.layers = self.layer(conf.width, conf.width, conf.num_blocks, batch_first=True, dropout=between)
        self.norm = nn.LayerNorm(conf.width)
        self.dropout = Dropout(conf.dropout)
        self.init_weights()

    @torch.no_grad()
    def init_weights(self) -> None:
        """All initial values, in one place.

        | weight | value |
        |---|---|
        | items | normal, std 1 / width; row 0 zero |
        | input matrices of the layers | normal, std 1 / sqrt(width) |
        | recurrent matrices of the layers | orthogonal per gate (https://arxiv.org/abs/1312.6120) |
        | biases | zero |
        | norm | weight one, bias zero |
        """
        nn.init.normal_(self.items.weight, std=1 / self.conf.width)
        self.items.weight[0].zero_()
        self.fusion.init_weights()
        for name, weight in self.layers.named_parameters():
            if name.startswith("weight_ih"):
                nn.init.normal_(weight, std=1 / math.sqrt(self.conf.width))
            elif name.startswith("weight_hh"):
                for gate in weight.chunk(self.num_gates):
                    nn.init.orthogonal_(gate)
            else:
                nn.init.zeros_(weight)

    def encode(self, batch: Batch) -> Tensor:
        inputs_BLD = self.fusion.add_to(self.items(batch.items_BL) * math.sqrt(self.conf.width), batch)
        states_BLD, _ = self.layers(self.dropout(inputs_BLD))
        return self.as_asked(self.norm(self.dropout(states_BLD)))

    def item_table(self) -> Tensor:
        return self.items.weight
