"""The loss that `[train]` asks for, from states and the item table.

Legend: N = targets, D = width, V = items plus the row for padding.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from nightjar import settings
from nightjar.contracts import BadInput
from nightjar.learn.dataset import TrainingSet
from nightjar.learn.losses import bce_loss, full_softmax_loss, gbce_beta, gbce_loss, sampled_softmax_loss
from nightjar.learn.models import SequenceModel
from nightjar.learn.negatives import Negatives

_PRODUCT_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Objective:
    """Sum of the chosen loss over a share's targets.

    Sampled losses read only the rows of targets and negatives, so with them the item table gets
    sparse gradients (`rows_only`) and a step costs the same whatever the size of the catalogue.
    """

    def __init__(self, conf: settings.Train, num_items: int, counts_V: NDArray[np.int64] | None = None) -> None:
        """`counts_V`: occurrences of each item in training; needed by `negatives_from = "popularity"` only."""
        self.conf, self.num_items = conf, num_items
        self._as_scored: Callable[[Tensor], Tensor] = _unchanged
        self.rows_only = conf.loss != "softmax"
        by_popularity = conf.negatives_from == "popularity"
        if self.rows_only and by_popularity and counts_V is None:
            raise BadInput("negatives by popularity need the items' counts", "--set train.negatives_from=uniform")
        self.negatives = Negatives(
            counts_V if by_popularity else None, num_items=num_items, num_negatives=conf.num_negatives
        )

    @classmethod
    def of(cls, conf: settings.Train, data: TrainingSet) -> Objective:
        """For one training; reads the files once more where negatives come by popularity."""
        counted = conf.loss != "softmax" and conf.negatives_from == "popularity"
        return cls(conf, data.vocabulary.size, data.item_counts() if counted else None)

    def prepare(self, model: SequenceModel) -> None:
        """Have look-ups in the item table give gradients of rows where the loss does too; score as the model does."""
        item_embedding(model).sparse = self.rows_only
        self._as_scored = model.as_scored

    def __call__(self, states_ND: Tensor, items_VD: Tensor, targets_N: Tensor, name: tuple[int, ...]) -> Tensor:
        """`name` seeds the negatives: the same on every rank, another in every step."""
        if not self.rows_only:
            product_type = _PRODUCT_TYPES[self.conf.precision]
            return full_softmax_loss(states_ND, self._as_scored(items_VD), targets_N, product_type=product_type)
        drawn = self.negatives.draw(*name)
        negatives_M = drawn.items_M.to(targets_N.device)
        positives_ND = self._as_scored(F.embedding(targets_N, items_VD, sparse=True))
        negatives_MD = self._as_scored(F.embedding(negatives_M, items_VD, sparse=True))
        hits_NM = targets_N[:, None] == negatives_M
        if self.conf.loss == "sampled_softmax":
            log_expected_M = drawn.log_expected_M.to(targets_N.device) if self.conf.log_q_correction else None
            return sampled_softmax_loss(states_ND, positives_ND, negatives_MD, hits_NM, log_expected_M)
        if self.conf.loss == "bce":
            return bce_loss(states_ND, positives_ND, negatives_MD, hits_NM)
        beta = gbce_beta(self.conf.num_negatives, self.num_items, self.conf.gbce_calibration)
        return gbce_loss(states_ND, positives_ND, negatives_MD, hits_NM, beta=beta)


def _unchanged(rows: Tensor) -> Tensor:
    return rows


def item_embedding(model: SequenceModel) -> nn.Embedding:
    """The layer whose weight is the item table."""
    table = model.item_table()
    return next(m for m in model.modules() if isinstance(m, nn.Embedding) and m.weight is table)
