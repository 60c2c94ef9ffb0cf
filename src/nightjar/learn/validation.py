"""Choosing the epoch: NDCG@10 of the item that validation users touched last, among all items.

Legend: B = users, D = width, V = items plus the row for padding, C = items of one chunk.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from nightjar.learn import metrics
from nightjar.learn.batch import Batch
from nightjar.learn.models import SequenceModel
from nightjar.learn.parallel import Group

#: Scores held at a time: 16 MiB of float32.
SCORES_PER_CHUNK = 4 * 2**20


@torch.no_grad()
def validation_ndcg(model: SequenceModel, batches: Iterable[tuple[Batch, Tensor]], group: Group) -> float | None:
    """Mean NDCG@10 over the validation users of all ranks; None without any. The model is left in train mode."""
    model.eval()
    totals = torch.zeros(2, dtype=torch.float64, device=group.device)
    items_VD = model.as_scored(model.item_table())
    for batch, targets_B in batches:
        states_BLD = model.encode(batch.to(group.device))
        last_BD = states_BLD[torch.arange(len(states_BLD)), batch.lengths_B.to(group.device) - 1]
        ranks_B = target_ranks(last_BD, items_VD, targets_B.to(group.device))
        gains_B = metrics.ndcg(ranks_B.cpu().numpy().astype(np.float64), 10)
        totals += torch.tensor([gains_B.sum(), len(gains_B)], dtype=torch.float64, device=group.device)
    group.sum_in_place(totals)
    model.train()
    gain, users = totals.tolist()
    return gain / users if users else None


def target_ranks(
    states_BD: Tensor, items_VD: Tensor, targets_B: Tensor, *, scores_per_chunk: int = SCORES_PER_CHUNK
) -> Tensor:
    """Rank of each target among all items, 1 is best.

    Ties and scores that are no numbers count against the target: a model that says the same of
    every item, or nonsense, must not look good.
    """
    target_B1 = (states_BD * items_VD[targets_B]).sum(1, keepdim=True)
    ranks_B = torch.ones_like(targets_B)
    items_at_once = max(1, scores_per_chunk // max(1, len(states_BD)))
    for first in range(1, len(items_VD), items_at_once):
        items_CD = items_VD[first : first + items_at_once]
        ahead_BC = ~(states_BD @ items_CD.T < target_B1)
        in_chunk_B = targets_B - first
        own = (in_chunk_B >= 0) & (in_chunk_B < len(items_CD))
        ahead_BC[own, in_chunk_B[own]] = False  # an item is not ahead of itself, rounding or not
        ranks_B += ahead_BC.sum(1)
    return ranks_B
