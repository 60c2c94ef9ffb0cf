"""How unlikely a person's history is to a model of next items: what is unlike everybody's is worth a look.

Legend: B = people, N = entries that follow another one, D = width, V = items plus the row for padding, C = candidates.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nightjar.learn.histories import Histories
from nightjar.learn.models import SequenceModel
from nightjar.learn.validation import SCORES_PER_CHUNK

#: Items that an entry is held against, at most: of more a sample stands for all, the same one for everybody.
MAX_CANDIDATES = 10_000


@torch.no_grad()
def surprise(
    model: SequenceModel,
    histories: Histories,
    *,
    seed: int,
    max_candidates: int = MAX_CANDIDATES,
    batch_people: int = 256,
) -> NDArray[np.float64]:
    """Mean of -ln p(entry | the entries before it) of each person, in nats; not a number with fewer than two entries.

    Among more than `max_candidates` items the sum of the softmax is estimated from a sample of them, drawn by `seed`
    (Bengio and Senecal 2008, https://doi.org/10.1109/TNN.2007.912312), so that the cost does not grow with the shop.
    """
    model.eval()
    table_VD = model.as_scored(model.item_table())
    num_items = len(table_VD) - 1
    candidates_C = torch.arange(1, num_items + 1)
    if num_items > max_candidates:
        candidates_C = 1 + torch.randperm(num_items, generator=torch.Generator().manual_seed(seed))[:max_candidates]
    found_B = np.full(len(histories), np.nan)
    order = np.argsort(histories.lengths, kind="stable")
    for start in range(0, len(order), batch_people):
        people = order[start : start + batch_people]
        batch = histories.take(people).batch(model.conf.max_length)
        follows_BL = batch.real_BL[:, 1:]
        states_ND = model.encode(batch)[:, :-1][follows_BL]
        losses_N = _losses(states_ND, batch.items_BL[:, 1:][follows_BL], table_VD, candidates_C)
        counts_B = follows_BL.sum(1).numpy()
        owners_N = np.repeat(np.arange(len(people)), counts_B)
        sums_B = np.bincount(owners_N, losses_N.double().numpy(), minlength=len(people))
        found_B[people] = np.divide(sums_B, counts_B, out=np.full(len(people), np.nan), where=counts_B > 0)
    return found_B


def _losses(states_ND: Tensor, targets_N: Tensor, table_VD: Tensor, candidates_C: Tensor) -> Tensor:
    own_N = (states_ND * table_VD[targets_N]).sum(1)
    weight = float(np.log((len(table_VD) - 1) / len(candidates_C)))
    candidates_CD = table_VD[candidates_C]
    at_once = max(1, SCORES_PER_CHUNK // len(candidates_C))
    totals = [torch.logsumexp(some_ND @ candidates_CD.T, dim=1) for some_ND in states_ND.split(at_once)]
    total_N = torch.cat(totals) + weight if totals else own_N
    # The target is one of the items, whether it was drawn or not.
    return torch.maximum(total_N, own_N) - own_N
