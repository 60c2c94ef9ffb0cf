"""Why an item is recommended: the items of the history without which it would score less.

An item's effect is what the score loses when every entry of that item is deleted and the rest of the history
is read again (leave one out). It asks the model itself, whatever its architecture, and one reading answers
for all of a person's recommendations: the effect on each is a dot product with the change of the state.
Only a person's latest distinct items are tried, and of long histories fewer, because a reading costs what the
encoding of one history costs; docs/experiments.md has what other methods reach and cost.

What it gives up: items that only matter together, each of which could be missed, and old items.

Legend: B people, K recommended items, M items tried of a person, P pairs of a person and an item to delete,
E named items, D width.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nightjar.contracts import Kind
from nightjar.learn.histories import Histories
from nightjar.score.model import CatalogueModel

#: By strength; 0 is padding.
REASONS = ("", "because_viewed", "because_carted", "because_bought")

#: Items named for a recommendation at most.
NAMED = 3

#: A further item is named if its effect is at least this share of the first one's.
LEAST_SHARE = 0.25

#: Effects, in units of the score, that are taken for the same.
_EQUAL = 1e-4

_STRENGTH = np.array([0] + [{Kind.CART: 2, Kind.PURCHASE: 3}.get(kind, 1) for kind in Kind])


class Reasons(NamedTuple):
    """Why each item is recommended."""

    evidence_BKE: NDArray[np.int64]  #: indices into the model's vocabulary, largest effect first; 0: none
    codes_BK: NDArray[np.int64]  #: indices into `REASONS`: the strongest thing done with the first named item


class Latest(NamedTuple):
    """The latest distinct items of each person, latest first; 0 where a person has fewer."""

    items_BM: NDArray[np.int64]
    strengths_BM: NDArray[np.int64]  #: indices into `REASONS`, of all entries of the item


@torch.inference_mode()
def explain(
    model: CatalogueModel,
    read: Histories,
    states_BD: Tensor,
    recommended_BKD: Tensor,
    *,
    tried: int,
    entries: int = 2**31 - 1,
) -> Reasons:
    """The items that moved each recommendation, for histories with at least one entry.

    The first is always named, further ones only where their effect is positive and not small beside it.

    Args:
        read: what the model read, as it read it.
        states_BD: the states that scored.
        recommended_BKD: embeddings of the recommended items.
        tried: latest distinct items of each person that are left out in turn.
        entries: of a person, that are read again at most; two items are tried whatever the history's length.
    """
    latest = latest_items(read, np.minimum(tried, np.maximum(2, entries // np.maximum(1, read.lengths))))
    effects_BKM = effects(model, read, states_BD, recommended_BKD, latest.items_BM)
    chosen = min(NAMED, effects_BKM.shape[2])
    # Of equal effects the later item's comes first, and what differs by rounding alone is equal.
    ordered_BKM, where_BKM = torch.sort((effects_BKM / _EQUAL).round() * _EQUAL, dim=2, descending=True, stable=True)
    best_BKE, where_BKE = ordered_BKM[:, :, :chosen], where_BKM[:, :, :chosen]
    named_BKE = best_BKE > torch.clamp(LEAST_SHARE * best_BKE[:, :, :1], min=0)
    named_BKE[:, :, 0] = True
    where, rows = where_BKE.numpy(), np.arange(len(read))[:, None]
    evidence_BKE = np.zeros((*effects_BKM.shape[:2], NAMED), np.int64)
    evidence_BKE[:, :, :chosen] = latest.items_BM[rows[:, :, None], where] * named_BKE.numpy()
    return Reasons(evidence_BKE, latest.strengths_BM[rows, where[:, :, 0]])


def effects(
    model: CatalogueModel, read: Histories, states_BD: Tensor, recommended_BKD: Tensor, items_BM: NDArray[np.int64]
) -> Tensor:
    """effects_BKM: what each recommendation's score loses without each item; minus infinity where there is none.

    A history of one item alone has no state without it; its whole score is the item's effect.
    """
    lost_BMD = torch.zeros(*items_BM.shape, states_BD.shape[1])
    people_P, places_P = np.nonzero(items_BM)
    shorter = without(read, people_P, items_BM[people_P, places_P])
    readable = np.flatnonzero(shorter.lengths)
    lost_BMD[people_P, places_P] = states_BD[people_P]
    lost_BMD[people_P[readable], places_P[readable]] -= model.states(shorter.take(readable))
    effects_BKM = recommended_BKD @ lost_BMD.transpose(1, 2)
    return effects_BKM.masked_fill(torch.from_numpy(items_BM == 0)[:, None], -torch.inf)


def without(read: Histories, people_P: NDArray[np.int64], items_P: NDArray[np.int64]) -> Histories:
    """The histories of these people, each without every entry of one item."""
    repeated = read.take(people_P)
    return repeated.keep(repeated.items != np.repeat(items_P, repeated.lengths))


def latest_items(read: Histories, at_most: int | NDArray[np.int64]) -> Latest:
    """Each person's distinct items by their latest entry, the latest `at_most` of them (of all, or of each)."""
    rows = np.repeat(np.arange(len(read)), read.lengths)
    stride = int(read.items.max(initial=0)) + 1
    # Backwards, so that the first of equal pairs is the latest entry.
    pairs, first, which = np.unique((rows * stride + read.items)[::-1], return_index=True, return_inverse=True)
    strengths = np.zeros(len(pairs), np.int64)
    np.maximum.at(strengths, which, _STRENGTH[read.kinds[::-1]])
    order = np.lexsort((first, pairs // stride))
    people, items = np.divmod(pairs[order], stride)
    places = np.arange(len(order)) - np.searchsorted(people, people)
    kept = places < np.broadcast_to(at_most, len(read))[people]
    shape = (len(read), int(places[kept].max(initial=0)) + 1)
    latest = Latest(np.zeros(shape, np.int64), np.zeros(shape, np.int64))
    latest.items_BM[people[kept], places[kept]] = items[kept]
    latest.strengths_BM[people[kept], places[kept]] = strengths[order][kept]
    return latest
