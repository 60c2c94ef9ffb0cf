"""Ranking metrics as free functions of ranks, with bootstrap intervals.

A rank is 1-based; `MISS` (infinity) stands for a target that the scorer could not rank at all. It
counts in every denominator and adds nothing to any numerator. There is one target per user, so
recall@k of that target and hr@k are the same number; `recall` is for sets of targets.

Legend: B users, N items.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

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
