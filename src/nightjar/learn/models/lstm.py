"""A recurrent model with a memory cell (Hochreiter & Schmidhuber 1997, https://doi.org/10.1162/neco.1997.9.8.1735).

Input and output share one table, as in `gru`.
"""

from __future__ import annotations

import torch
from torch import nn

from nightjar.learn.models.recurrent import Recurrent


class Lstm(Recurrent):
    layer, num_gates = nn.LSTM, 4

    @torch.no_grad()
    def init_weights(self) -> None:
        """As for all recurrent models, but forget gates start open: input biases of theirs are one.

        Without that a fresh cell halves what it holds at each entry (https://proceedings.mlr.press/v37/jozefowicz15.html).
        """
        super().init_weights()
        for name, weight in self.layers.named_parameters():
            if name.startswith("bias_ih"):
                weight.chunk(self.num_gates)[1].fill_(1.0)  # gates are stored as input, forget, cell, output
