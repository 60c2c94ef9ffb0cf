"""From a person's best candidates to a list: caps, diversity and pins, for a whole batch at a time.

Choosing is greedy, one place after the other, each place for everybody at once.

Legend: B people, M candidates of each, best first, K places, D width, L entries of the history.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from nightjar.score.rank import NONE
from nightjar.score.rulebook import Cap, Placed

Indices = NDArray[np.int64]
Floats = NDArray[np.float32]
Flags = NDArray[np.bool_]

#: Share of the history's categories that is mixed into the list's, so that a category without a place counts as
#: rare and not as impossible (Steck 2018, section 3).
_SMOOTHING = 0.01


class Taste(Protocol):
    """What a candidate is worth beside what the list has already."""

    def worth(self, num_chosen: int) -> Floats: ...

    def chose(self, best_B: Indices, found_B: Flags) -> None: ...


class Own:
    """The model's order and nothing else."""

    def __init__(self, scores_BM: Floats) -> None:
        self.scores_BM = scores_BM

    def worth(self, num_chosen: int) -> Floats:
        return self.scores_BM

    def chose(self, best_B: Indices, found_B: Flags) -> None:
        pass


class Mmr:
    """(1 - weight) x relevance - weight x likeness to the most alike of the list.

    Maximal marginal relevance (Carbonell & Goldstein 1998, https://doi.org/10.1145/290941.291025): relevance is the
    score moved to 0..1 within the candidates, likeness the cosine of item embeddings, nothing below 0.
    """

    def __init__(self, scores_BM: Floats, embeddings_BMD: Floats, weight: float) -> None:
        lengths = np.linalg.norm(embeddings_BMD, axis=2, keepdims=True)
        self.directions_BMD: Floats = embeddings_BMD / np.maximum(lengths, np.finfo(np.float32).tiny)
        self.own_BM: Floats = np.float32(1 - weight) * _relevance(scores_BM)
        self.weight = np.float32(weight)
        self.alike_BM = np.zeros_like(self.own_BM)

    def worth(self, num_chosen: int) -> Floats:
        worth_BM: Floats = self.own_BM - self.weight * self.alike_BM
        return worth_BM

    def chose(self, best_B: Indices, found_B: Flags) -> None:
        chosen_BD1 = self.directions_BMD[np.arange(len(best_B)), best_B][:, :, None]
        cosines_BM = (self.directions_BMD @ chosen_BD1)[:, :, 0]
        np.maximum(self.alike_BM, np.where(found_B[:, None], cosines_BM, 0), out=self.alike_BM)


class Calibration:
    """(1 - weight) x relevance - weight x distance of the list's categories from the history's.

    Calibrated recommendations (Steck 2018, https://doi.org/10.1145/3240323.3240372): the distance is the
    Kullback-Leibler divergence of the list's shares, smoothed, from the history's. Of all its terms a candidate
    changes only that of its own category, so only that one is computed.
    """

    def __init__(self, scores_BM: Floats, groups_BM: Indices, history_BL: Indices, weight: float) -> None:
        """`groups_BM`, `history_BL`: categories; -1 is none, or padding."""
        self.own_BM, self.weight, self.groups_BM = np.float32(1 - weight) * _relevance(scores_BM), weight, groups_BM
        num_known_B1 = np.maximum((history_BL >= 0).sum(axis=1, keepdims=True), 1)
        self.wanted_BM = _times(groups_BM, history_BL) / num_known_B1
        self.times_BM = np.zeros(groups_BM.shape)

    def worth(self, num_chosen: int) -> Floats:
        least_BM = _SMOOTHING * self.wanted_BM
        step = (1 - _SMOOTHING) / (num_chosen + 1)
        with np.errstate(divide="ignore", invalid="ignore"):
            gains_BM = np.log((step * (self.times_BM + 1) + least_BM) / (step * self.times_BM + least_BM))
            gains_BM = np.where(self.wanted_BM > 0, self.wanted_BM * gains_BM, 0)
        worth_BM: Floats = (self.own_BM + self.weight * gains_BM).astype(np.float32)
        return worth_BM

    def chose(self, best_B: Indices, found_B: Flags) -> None:
        groups_B1 = self.groups_BM[np.arange(len(best_B)), best_B][:, None]
        self.times_BM += (self.groups_BM == groups_B1) & (groups_B1 >= 0) & found_B[:, None]


def choose(taste: Taste, items_BM: Indices, k: int, caps: Sequence[Cap]) -> Indices:
    """places_BK: which candidates make the list, in its order; `NONE` where the caps leave nobody.

    Of candidates of equal worth the first comes first.
    """
    rows, places_BK = np.arange(len(items_BM)), np.full((len(items_BM), k), NONE, np.int64)
    open_BM = items_BM != NONE
    groups = [(np.append(cap.groups_N, -1)[items_BM], cap.at_most) for cap in caps]
    times = [np.zeros(items_BM.shape, np.int16) for _ in caps]
    for place in range(min(k, items_BM.shape[1])):
        best_B = np.where(open_BM, taste.worth(place), -np.inf).argmax(axis=1)
        found_B = open_BM[rows, best_B]
        places_BK[found_B, place] = best_B[found_B]
        taste.chose(best_B, found_B)
        open_BM[rows, best_B] = False
        for (groups_BM, at_most), times_BM in zip(groups, times, strict=True):
            groups_B1 = groups_BM[rows, best_B][:, None]
            times_BM += (groups_BM == groups_B1) & (groups_B1 >= 0) & found_B[:, None]
            open_BM &= times_BM < at_most
    return places_BK


class Pinned(NamedTuple):
    """Lists with pins in their places."""

    order_BK: Indices  #: place in the list without pins; `NONE` where a pin stands, or nothing
    pins_BK: Indices  #: place in the sequence of pins; `NONE` where there is none


def with_pins(items_BK: Indices, pins: Sequence[Placed], may_show_BP: Flags) -> Pinned:
    """Where everything stands when each pin takes its rank and the rest closes up around them.

    A pinned item that the list has already leaves its own place. Behind the end of a short list there are
    no gaps: a pin moves up there.

    Args:
        may_show_BP: False where a person must not get a pin's item.
    """
    num_people, k = items_BK.shape
    pins_BK = np.full((num_people, k), NONE, np.int64)
    moved_BK = items_BK == NONE
    for number, pin in enumerate(pins):
        shown = may_show_BP[:, number]
        pins_BK[shown, pin.rank - 1] = number
        moved_BK |= (items_BK == pin.position) & shown[:, None]
    # What stays, in its order; then each free place takes the next of it.
    staying_BK = np.argsort(moved_BK, axis=1, kind="stable")
    num_staying_B1 = (~moved_BK).sum(axis=1, keepdims=True)
    free_BK = pins_BK == NONE
    next_BK = np.cumsum(free_BK, axis=1) - 1
    taken_BK = free_BK & (next_BK < num_staying_B1)
    order_BK = np.where(taken_BK, np.take_along_axis(staying_BK, np.maximum(next_BK, 0), axis=1), NONE)
    gaps_last = np.argsort((order_BK == NONE) & free_BK, axis=1, kind="stable")
    return Pinned(np.take_along_axis(order_BK, gaps_last, axis=1), np.take_along_axis(pins_BK, gaps_last, axis=1))


def falling(scores_BK: NDArray[np.float64], filled_BK: Flags) -> NDArray[np.float64]:
    """Scores that fall with rank: what was moved up over better ones carries the best of those behind it."""
    masked_BK = np.where(filled_BK, scores_BK, -np.inf)
    best_behind_BK = np.maximum.accumulate(masked_BK[:, ::-1], axis=1)[:, ::-1]
    return np.where(filled_BK, best_behind_BK, 0.0)


def _relevance(scores_BM: Floats) -> Floats:
    """Scores moved to 0..1 within each row; minus infinity becomes 0."""
    known_BM = np.isfinite(scores_BM)
    high_B1 = np.where(known_BM, scores_BM, -np.inf).max(axis=1, keepdims=True)
    low_B1 = np.where(known_BM, scores_BM, np.inf).min(axis=1, keepdims=True)
    width_B1 = np.where(high_B1 > low_B1, high_B1 - low_B1, 1)
    relevance_BM: Floats = np.where(known_BM, (scores_BM - low_B1) / width_B1, 0).astype(np.float32)
    return relevance_BM


def _times(groups_BM: Indices, history_BL: Indices) -> NDArray[np.float64]:
    """How often each candidate's group stands in the person's history; 0 for no group."""
    stride = int(max(groups_BM.max(initial=0), history_BL.max(initial=0))) + 1
    rows_B1 = np.arange(len(groups_BM))[:, None] * stride
    known_BL = history_BL >= 0
    pairs, times = np.unique((rows_B1 + history_BL)[known_BL], return_counts=True)
    if not len(pairs):
        return np.zeros(groups_BM.shape)
    asked_BM = rows_B1 + groups_BM
    where_BM = np.minimum(np.searchsorted(pairs, asked_BM), len(pairs) - 1)
    return np.where((pairs[where_BM] == asked_BM) & (groups_BM >= 0), times[where_BM], 0).astype(np.float64)
