"""Ranking metrics as free functions of ranks, with bootstrap intervals.

A rank is 1-based; `MISS` (infinity) stands for a target that the scorer could not rank at all. It
counts in every denominator and adds nothing to any numerator. There is one target per user, so
recall@k of that target and hr@k are the same number; `recall` is for sets of targets.

Legend: B users, N items, K places of a list.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

MISS = math.inf

#: Lengths of lists that evaluation reports.
CUTOFFS = (1, 5, 10, 20, 50)

#: Resampled cells held at once by the bootstrap: 32 MiB of counts.
_CELLS = 2**22


class Interval(NamedTuple):
    """A point estimate with the bounds of its percentile interval."""

    mean: float
    low: float
    high: float


def ranks(scores_BN: NDArray[np.float32], targets_B: NDArray[np.int64]) -> Floats:
    """Rank of each user's target among the items with a score, ties counted against the scorer.

    A score of minus infinity (excluded, or unknown to the scorer) or NaN is no score: such items
    stand behind every other, and a target without a score is a `MISS`. A scorer that gives all
    items the same score therefore ranks every target last, not first.

    >>> ranks(np.array([[0.1, 0.7, 0.7, -np.inf]], np.float32), np.array([1])).tolist()
    [2.0]
    """
    assert scores_BN.dtype == np.float32, "scores are compared in float32, as they are served"
    target_B1 = scores_BN[np.arange(len(targets_B)), targets_B][:, None]
    with np.errstate(invalid="ignore"):
        at_least_B = (scores_BN >= target_B1).sum(axis=1).astype(np.float64)
    return np.where(np.isfinite(target_B1[:, 0]), at_least_B, MISS)


def hr(ranks: Floats, k: int) -> Floats:
    """Per user: 1 when the target is among the first k.

    >>> hr(np.array([1.0, 10.0, 11.0, MISS]), k=10).tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    return (ranks <= k).astype(np.float64)


def ndcg(ranks: Floats, k: int) -> Floats:
    """Per user: 1 / log2(1 + rank) within the first k, else 0; with one target the ideal is 1.

    Jarvelin and Kekalainen, "Cumulated gain-based evaluation of IR techniques", TOIS 2002.

    >>> ndcg(np.array([1.0, 3.0, 11.0, MISS]), k=10).tolist()
    [1.0, 0.5, 0.0, 0.0]
    """
    return np.where(ranks <= k, 1.0 / np.log2(1.0 + ranks), 0.0)


def reciprocal_rank(ranks: Floats, k: float = math.inf) -> Floats:
    """Per user: 1 / rank within the first k, else 0; its mean is MRR@k, without k that of the full ranking.

    >>> reciprocal_rank(np.array([1.0, 4.0, MISS])).tolist()
    [1.0, 0.25, 0.0]
    >>> reciprocal_rank(np.array([1.0, 4.0, MISS]), k=3).tolist()
    [1.0, 0.0, 0.0]
    """
    return np.where(ranks <= k, 1.0 / ranks, 0.0)


def recall(ranks: Floats, owners: NDArray[np.int64], num_users: int, k: int) -> Floats:
    """Per user: share of the user's targets that are among the first k; NaN for users without targets.

    Args:
        ranks: one rank per target.
        owners: the user (0 to num_users - 1) of each target.

    >>> recall(np.array([1.0, 30.0, 2.0]), np.array([0, 0, 1]), num_users=2, k=10).tolist()
    [0.5, 1.0]
    """
    found = np.bincount(owners, weights=hr(ranks, k), minlength=num_users)
    targets = np.bincount(owners, minlength=num_users)
    with np.errstate(invalid="ignore"):
        return found / targets


def per_user(ranks: Floats) -> dict[str, Floats]:
    """The metrics that evaluation reports and that `promotion.metric` may name."""
    return {"hr@10": hr(ranks, 10), "ndcg@10": ndcg(ranks, 10), "mrr": reciprocal_rank(ranks)}


def at_cutoffs(ranks: Floats, cutoffs: Sequence[int] = CUTOFFS) -> dict[str, Floats]:
    """HR, NDCG and MRR per user at each length of a list, by name, such as `ndcg@10`.

    With one target per user, hr@k is also recall@k and what the literature on sessions calls P@k.

    >>> {name: values.tolist() for name, values in at_cutoffs(np.array([2.0]), [1, 5]).items() if "ndcg" not in name}
    {'hr@1': [0.0], 'hr@5': [1.0], 'mrr@1': [0.0], 'mrr@5': [0.5]}
    """
    kinds = {"hr": hr, "ndcg": ndcg, "mrr": reciprocal_rank}
    return {f"{name}@{k}": metric(ranks, k) for name, metric in kinds.items() for k in cutoffs}


# Beside accuracy: what lists do to the catalogue. `shown_N` says in how many lists each item stands.


def coverage(shown_N: Counts) -> float:
    """Share of the catalogue that stands in at least one list.

    >>> coverage(np.array([3, 0, 1, 0]))
    0.5
    """
    return float((shown_N > 0).mean()) if len(shown_N) else 0.0


def gini(shown_N: Counts) -> float:
    """How unequally places go to items: 0 when all get as many, near 1 when one gets all.

    >>> gini(np.array([2, 2, 2, 2]))
    0.0
    >>> gini(np.array([0, 0, 0, 8]))
    0.75
    """
    total = int(shown_N.sum())
    if not total:
        return 0.0
    num_items, ascending = len(shown_N), np.sort(shown_N)
    return float(((2 * np.arange(1, num_items + 1) - num_items - 1) * ascending).sum() / (num_items * total))


def novelty(shown_N: Counts, events_N: Counts) -> float:
    """Mean surprise of a place in a list: -log2 of the item's share of events, in bits, each item with one event more.

    Self-information as in Zhou et al. 2010 (https://doi.org/10.1073/pnas.1000488107); one more, so that an item
    without events surprises finitely.

    >>> novelty(np.array([1, 1]), np.array([2, 0]))
    1.207518749639422
    """
    if not shown_N.sum():
        return 0.0
    surprise_N = -np.log2((events_N + 1) / (events_N + 1).sum())
    return float((shown_N * surprise_N).sum() / shown_N.sum())


def popularity_lift(shown_N: Counts, events_N: Counts) -> float:
    """Mean popularity of what is shown over that of what people touch: 1 shows as they touch, above is bias.

    Abdollahpouri et al. 2019, https://arxiv.org/abs/1907.13286, over places rather than people.

    >>> popularity_lift(np.array([4, 0]), np.array([3, 1]))  # 3 against (3 x 3 + 1 x 1) / 4
    1.2
    """
    if not shown_N.sum() or not events_N.sum():
        return 0.0
    shown = (shown_N * events_N).sum() / shown_N.sum()
    touched = (events_N.astype(np.float64) ** 2).sum() / events_N.sum()
    return float(shown / touched)


def personalisation(shown_N: Counts, num_lists: int) -> float:
    """Mean share of a list that another person's list lacks; 0 when everybody is shown the same.

    The inter-user diversity of Zhou et al. 2010, exact over all pairs of lists: an item in c lists is
    shared by c (c - 1) / 2 of the pairs. Lists are taken to be equally long.

    >>> personalisation(np.array([2, 1, 1]), num_lists=2)  # lists (0, 1) and (0, 2)
    0.5
    """
    places = float(shown_N.sum())
    if num_lists < 2 or not places:
        return 0.0
    shared = (shown_N * (shown_N - 1.0)).sum() / (num_lists - 1)
    return float(1 - shared / places)


def diversity(groups_BK: NDArray[np.int64]) -> Floats:
    """Per list: share of its pairs of items that are of different groups, such as categories; NaN without a pair.

    Intra-list diversity (Ziegler et al. 2005, https://doi.org/10.1145/1060745.1060754). A negative group is unknown;
    pairs with it do not count.

    >>> diversity(np.array([[5, 5, 7], [5, -1, 7], [-1, -1, 3]])).tolist()
    [0.6666666666666666, 1.0, nan]
    """
    known_BKK = (groups_BK[:, :, None] >= 0) & (groups_BK[:, None, :] >= 0)
    known_BKK &= ~np.eye(groups_BK.shape[1], dtype=np.bool_)
    different_BKK = known_BKK & (groups_BK[:, :, None] != groups_BK[:, None, :])
    with np.errstate(invalid="ignore"):
        shares: Floats = different_BKK.sum((1, 2)) / known_BKK.sum((1, 2))
    return shares


def in_the_tail(events_N: Counts, head_share: float = 0.8) -> NDArray[np.bool_]:
    """Which items lie beyond the head: the most popular ones that have `head_share` of the events between them.

    >>> in_the_tail(np.array([1, 6, 2, 1])).tolist()
    [True, False, False, True]
    """
    order = np.argsort(-events_N, kind="stable")
    before = np.cumsum(events_N[order]) - events_N[order]
    tail_N = np.zeros(len(events_N), np.bool_)
    tail_N[order] = before >= head_share * events_N.sum()
    return tail_N


def bootstrap(values: Floats, *, seed: int, num_resamples: int = 1000, level: float = 0.95) -> Interval:
    """Percentile interval of the mean over users; for a difference, hand in paired differences.

    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13. Users who share a
    value are interchangeable, so a resample is one multinomial draw over the distinct values: the
    same distribution as drawing users one by one, at a cost that does not grow with the users
    (ndcg@10 has 11 distinct values).

    >>> bootstrap(np.array([0.5, 0.5, 0.5]), seed=1)
    Interval(mean=0.5, low=0.5, high=0.5)
    """
    if len(values) == 0:
        return Interval(math.nan, math.nan, math.nan)
    distinct, counts = np.unique(values, return_counts=True)
    rng = np.random.default_rng(seed)
    slab = max(1, _CELLS // len(distinct))
    means = np.concatenate(
        [
            rng.multinomial(len(values), counts / len(values), size=min(slab, num_resamples - start)) @ distinct
            for start in range(0, num_resamples, slab)
        ]
    ) / len(values)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high))


def bootstrap_difference(ours: Floats, theirs: Floats, *, seed: int) -> Interval:
    """`bootstrap` of the paired difference ours - theirs: both were measured on the same users.

    >>> bootstrap_difference(np.array([1.0, 0.0]), np.array([0.5, -0.5]), seed=1)
    Interval(mean=0.5, low=0.5, high=0.5)
    """
    if len(ours) != len(theirs):
        raise ValueError(f"paired means the same users: {len(ours)} values against {len(theirs)}")
    return bootstrap(ours - theirs, seed=seed)
