"""The best k items of each person, exactly and in a total order.

Legend: B people, N items of the catalogue, C items of a chunk, D width, K items to return.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nightjar.score.rules import Pairs

#: Position that stands for "no more candidates".
NONE = -1

_NEVER = -torch.inf


def top_k(
    states_BD: Tensor,
    items_ND: Tensor,
    *,
    excluded: Pairs,
    available: Tensor,
    k: int,
    chunk_items: int = 2048,
) -> tuple[Tensor, Tensor]:
    """Scores and positions of each person's k best items, best first; equal scores by position.

    Where fewer than k candidates are left, scores end in minus infinity and positions in `NONE`.
    Memory: 9 bytes x B x `chunk_items` (40 where many scores are equal) beside the inputs, whatever the
    size of the catalogue.

    Args:
        excluded: what each person must not get.
        available: bool, one per item; False is given to nobody.

    Returns:
        scores_BK (float32), items_BK (int64).
    """
    by_item = np.argsort(excluded.items, kind="stable")
    rows, items = excluded.rows[by_item], excluded.items[by_item]
    best_BK = torch.full((len(states_BD), k), _WORST)
    for start in range(0, len(items_ND), chunk_items):
        scores_BC = states_BD @ items_ND[start : start + chunk_items].T
        scores_BC[:, ~available[start : start + chunk_items]] = _NEVER
        first, end = np.searchsorted(items, [start, start + chunk_items])
        rule_out(scores_BC, Pairs(rows[first:end], items[first:end] - start))
        best_BK = torch.cat([best_BK, _best_keys(scores_BC, start, k)], dim=1)
        best_BK = torch.topk(best_BK, k, dim=1).values
    return _unpacked(best_BK)


def best(scores_BN: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Positions of each row's k highest scores in the order of `top_k`; minus infinity is no candidate."""
    positions: NDArray[np.int64] = _unpacked(_best_keys(torch.from_numpy(scores_BN), 0, k))[1].numpy()
    return positions


def rule_out(scores_BN: Tensor, excluded: Pairs) -> None:
    """Set the pairs to minus infinity, in place."""
    scores_BN[torch.from_numpy(excluded.rows), torch.from_numpy(excluded.items)] = _NEVER


# A score and a position become one 64-bit integer that sorts as (score, -position): `torch.topk` leaves
# the order of equal values open, and without equal keys it has none to choose. The upper half is the
# float's bit pattern, which sorts like the float once the magnitude bits of negative numbers are flipped.

_LOW = 2**32 - 1
_WORST = -(2**63)


def _best_keys(scores_BC: Tensor, start: int, k: int) -> Tensor:
    """The keys of each row's k best, best first, for items that begin at position `start`.

    Keys of everything cost ten times the plain `topk`, so that is asked first; only rows in which
    equal scores meet at place k need more to know which of them belong.
    """
    scores_BC = scores_BC.masked_fill(scores_BC.isnan(), _NEVER)  # a broken score is no candidate, not the best one
    k = min(k, scores_BC.shape[1])
    values_BK, positions_BK = torch.topk(scores_BC, k, dim=1)
    keys_BK = _keys(values_BK, positions_BK + start)
    last_B1 = values_BK[:, -1:]
    open_B = ((scores_BC >= last_B1).sum(dim=1) > k) & (last_B1[:, 0] > _NEVER)
    every_C = torch.arange(start, start + scores_BC.shape[1])
    keys_BK[open_B] = torch.topk(_keys(scores_BC[open_B], every_C), k, dim=1).values
    return torch.sort(keys_BK, dim=1, descending=True).values


def _keys(scores: Tensor, positions: Tensor) -> Tensor:
    bits = (scores + 0.0).view(torch.int32)  # -0.0 becomes 0.0: equal scores, equal bits
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()
    keys = (ordered << 32) | (_LOW - positions)
    return keys.masked_fill(scores == _NEVER, _WORST)


def _unpacked(keys_BK: Tensor) -> tuple[Tensor, Tensor]:
    ordered = (keys_BK >> 32).int()
    scores = torch.where(ordered < 0, ordered ^ 0x7FFFFFFF, ordered).view(torch.float32)
    missing = keys_BK == _WORST
    return scores.masked_fill(missing, _NEVER), (_LOW - (keys_BK & _LOW)).masked_fill(missing, NONE)
