"""A recurrent model of the latest items, after GRU4Rec (Hidasi et al. 2016, https://arxiv.org/abs/1511.06939).

Otherwise than there: full softmax over all items unless `train.loss` says so, and one table for input and output
(the "constrained embedding" of https://arxiv.org/abs/1706.03847).
"""

from __future__ import annotations

from torch import nn

from nightjar.learn.models.recurrent import Recurrent


class Gru(Recurrent):
    layer, num_gates = nn.GRU, 3
