"""Why an item is recommended: the entry of the history that speaks most for it.

Evidence is the entry whose item embedding is most similar to the recommended one's (cosine, moved to
0..1), halved for every `HALF_LIFE` entries that came after it. A recommended item that stands in the
history itself is its own evidence unless a close relative is more recent.

Why this and not leave-one-out or gradient x input: the model's output table is its input table, so
items that score alike lie alike, and similarity costs K x L x D per person, where scoring costs
N x D; with 20 items and 50 entries that is the price of scoring 1,000 more items. Gradients need K
backward passes and leave-one-out L forward passes of the whole model: both cost more than the night.
What it gives up: effects of order and of pairs of entries.

Legend: B people, K recommended items, L entries, D width, V items plus padding.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from nightjar.contracts import Kind
from nightjar.learn.batch import Batch

#: Entries after which an entry speaks half as loud.
HALF_LIFE = 10

#: By strength; 0 is padding.
REASONS = ("", "because_viewed", "because_carted", "because_bought")

_STRENGTH = torch.tensor([0] + [{Kind.CART: 2, Kind.PURCHASE: 3}.get(kind, 1) for kind in Kind])


@torch.inference_mode()
def explain(batch: Batch, recommended_BKD: Tensor, table_VD: Tensor) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Evidence and reason of each recommended item, for histories with at least one entry.

    The reason is the strongest thing the person did with the evidence: bought, carted, else viewed.

    Args:
        batch: what the model read.
        recommended_BKD: embeddings of the recommended items.
        table_VD: the model's item table.

    Returns:
        evidence_BK, indices into the model's vocabulary; reasons_BK, indices into `REASONS`.
    """
    history_BLD = normalize(table_VD[batch.items_BL], dim=-1)
    cosine_BKL = normalize(recommended_BKD, dim=-1) @ history_BLD.transpose(1, 2)
    age_BL = batch.lengths_B[:, None] - 1 - torch.arange(batch.items_BL.shape[1])
    weight_BL = 0.5 ** (age_BL / HALF_LIFE)
    support_BKL = (1 + cosine_BKL) / 2 * weight_BL[:, None]
    padding_BL = batch.items_BL == 0
    position_BK = support_BKL.masked_fill(padding_BL[:, None], -1).argmax(dim=-1)
    evidence_BK = batch.items_BL.gather(1, position_BK)
    same_BKL = evidence_BK[:, :, None] == batch.items_BL[:, None]
    reasons_BK = (same_BKL * _STRENGTH[batch.kinds_BL][:, None]).amax(dim=-1)
    return evidence_BK.numpy(), reasons_BK.numpy()
