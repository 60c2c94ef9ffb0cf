"""The best k items of each person, exactly and in a total order.

Legend: B people, N items of the catalogue, A those that may be given, C of a chunk, D width, K items to return,
G groups of S items each, P pairs of a person and a group.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from nightjar.score.rules import Pairs

#: Position that stands for "no more candidates".
NONE = -1

_NEVER = -torch.inf


class Ranking:
    """The items that may be given to somebody, laid out for many products."""

    def __init__(self, items_ND: Tensor, available: Tensor) -> None:
        """`available`: bool, one per item; False is given to nobody, nor are items with a broken number."""
        positions_A = torch.nonzero(available & items_ND.isfinite().all(dim=1))[:, 0]
        self.items_AD = items_ND[positions_A].contiguous()
        self.positions_A: NDArray[np.int64] = positions_A.numpy()
        self.place_N = np.full(len(items_ND), NONE, np.int64)
        self.place_N[self.positions_A] = np.arange(len(self.positions_A))

    def top(self, states_BD: Tensor, *, excluded: Pairs, k: int, chunk_items: int = 2048) -> tuple[Tensor, Tensor]:
        """Scores and positions of each person's k best items, best first; equal scores by position.

        Selecting from all scores takes about as long as the product that makes them. So a chunk is first reduced
        to the maxima of small groups, in one pass: each is some item's score, so the k-th largest so far is at
        most the k-th best score, and only groups that reach it are looked into.

        Where fewer than k candidates are left, scores end in minus infinity and positions in `NONE`.
        Memory: 5 bytes x B x `chunk_items` beside the inputs and the lists, whatever the size of the catalogue.

        Args:
            excluded: what each person must not get.

        Returns:
            scores_BK (float32), items_BK (int64).
        """
        rows, places = self._by_place(excluded)
        maxima_BK = torch.full((len(states_BD), k), _NEVER)
        found: list[_Found] = []
        for start in range(0, len(self.items_AD), chunk_items):
            scores_BC = states_BD @ self.items_AD[start : start + chunk_items].T
            first, end = np.searchsorted(places, [start, start + chunk_items])
            rule_out(scores_BC, Pairs(rows[first:end], places[first:end] - start))
            maxima_BK, chosen = _promising(scores_BC, start, maxima_BK)
            found.append(chosen)
        return self._lists(found, maxima_BK)

    def _by_place(self, excluded: Pairs) -> Pairs:
        places = self.place_N[excluded.items]
        kept = np.flatnonzero(places != NONE)
        kept = kept[np.argsort(places[kept], kind="stable")]
        return Pairs(excluded.rows[kept], places[kept])

    def _lists(self, found: list[_Found], maxima_BK: Tensor) -> tuple[Tensor, Tensor]:
        num_rows, k = maxima_BK.shape
        scores_BK = np.full((num_rows, k), _NEVER, np.float32)
        items_BK = np.full((num_rows, k), NONE, np.int64)
        if found:
            rows, places, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
            kept = values >= maxima_BK[:, -1].numpy()[rows]
            rows, places, values = rows[kept], places[kept], values[kept]
            order = np.lexsort((places, -values, rows))
            rows, places, values = rows[order], places[order], values[order]
            ranks = np.arange(len(rows)) - np.searchsorted(rows, rows)
            listed = ranks < k
            where = rows[listed], ranks[listed]
            scores_BK[where], items_BK[where] = values[listed], self.positions_A[places[listed]]
        return torch.from_numpy(scores_BK), torch.from_numpy(items_BK)


class _Found(NamedTuple):
    """Candidates of a chunk, in no order."""

    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    values: NDArray[np.float32]


#: Items of a group at most.
_GROUP = 32


def _promising(scores_BC: Tensor, start: int, maxima_BK: Tensor) -> tuple[Tensor, _Found]:
    """The k largest maxima with those of this chunk, and the scores that reach the last of them.

    A group's items stand apart in the chunk, so that maxima are taken of whole vectors.
    """
    size = _group_size(scores_BC.shape[1], maxima_BK.shape[1])
    missing = -scores_BC.shape[1] % size
    whole_BC = pad(scores_BC, (0, missing), value=_NEVER) if missing else scores_BC  # it copies even for none
    groups_BSG = whole_BC.view(len(scores_BC), size, -1)
    maxima_BG = groups_BSG.amax(dim=1)
    maxima_BK = torch.topk(torch.cat([maxima_BK, maxima_BG], dim=1), maxima_BK.shape[1], dim=1).values
    floor_B = maxima_BK[:, -1]
    rows_P, groups_P = torch.nonzero((maxima_BG >= floor_B[:, None]) & (maxima_BG > _NEVER), as_tuple=True)
    values_PS = groups_BSG[rows_P, :, groups_P]
    which, steps = torch.nonzero((values_PS >= floor_B[rows_P, None]) & (values_PS > _NEVER), as_tuple=True)
    places = start + steps * maxima_BG.shape[1] + groups_P[which]
    return maxima_BK, _Found(rows_P[which].numpy(), places.numpy(), values_PS[which, steps].numpy())


def _group_size(num_items: int, k: int) -> int:
    """As large as leaves a few times more groups than the list has places: fewer would say nothing of place k."""
    size = 1
    while size < _GROUP and num_items // (2 * size) >= 2 * k:
        size *= 2
    return size


def best(scores_BN: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Positions of each row's k highest scores in the order of `Ranking.top`; minus infinity is no candidate."""
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
