"""What diversity costs: NDCG of a surface's lists with it and without, for the same people and their next items.

Everything else of the surface's rules holds in both, availability too, so the difference is diversity's alone.

Legend: B people, K places of a list.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nightjar.learn import metrics
from nightjar.learn.metrics import Interval
from nightjar.score import rules
from nightjar.score.catalogue import Catalogue
from nightjar.score.evaluation import NO_TARGET, asked, next_items
from nightjar.score.recommend import Champion, Night, Recommender
from nightjar.score.rulebook import Rules


class Cost(NamedTuple):
    """NDCG over the whole list; a target outside of it counts 0."""

    surface: str
    k: int
    ndcg: float
    ndcg_without: float
    difference: Interval
    num_users: int

    def __str__(self) -> str:
        change = f" ({self.ndcg / self.ndcg_without - 1:+.1%})" if self.ndcg_without else ""
        return (
            f"diversity on {self.surface}: NDCG@{self.k} {self.ndcg:.4f}, {self.ndcg_without:.4f} without it{change},"
            f" {self.num_users:,} people"
        )


def diversity_costs(
    night: Night,
    catalogue: Catalogue,
    champion: Champion,
    surfaces: Iterable[Rules],
    *,
    sequences: Sequence[str | Path],
    holdout: Sequence[str | Path],
    seed: int,
) -> list[Cost]:
    """Of each surface that mixes its lists; targets as in `evaluation`, nobody without one.

    Args:
        night: as of the day that the window follows.
        seed: of the bootstrap.
    """
    mixed = [one for one in surfaces if one.diversity is not None]
    if not mixed:
        return []
    both = [rule for one in mixed for rule in (one, replace(one, diversity=None))]
    recommender = Recommender(night, catalogue, champion, both)
    gains: list[list[NDArray[np.float64]]] = [[] for _ in both]
    for rows, ahead in asked(sequences, holdout):
        for start in range(0, rows.num_rows, night.conf.batch_users):
            part = recommender.people(rows.slice(start, night.conf.batch_users))
            excluded = rules.excluded(night.conf.exclude, part.whole)
            targets_B = next_items(ahead.slice(start, night.conf.batch_users), catalogue, excluded)
            judged = targets_B != NO_TARGET
            for number, items_BK in enumerate(recommender.items(part)):
                gains[number].append(_gains(items_BK[judged], targets_B[judged]))
    costs = []
    for one, ours, plain in zip(mixed, gains[::2], gains[1::2], strict=True):
        with_B, without_B = np.concatenate([np.empty(0), *ours]), np.concatenate([np.empty(0), *plain])
        if len(with_B):
            difference = metrics.bootstrap_difference(with_B, without_B, seed=seed)
            means = float(with_B.mean()), float(without_B.mean())
            costs.append(Cost(one.surface, one.k, *means, difference, len(with_B)))
    return costs


def _gains(items_BK: NDArray[np.int64], targets_B: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 / log2(1 + rank of the target), 0 outside of the list; a target outside of the catalogue is a miss."""
    hits_BK = (items_BK == targets_B[:, None]) & (targets_B >= 0)[:, None]
    discounts_K = 1 / np.log2(2 + np.arange(items_BK.shape[1]))
    gains_B: NDArray[np.float64] = (hits_BK * discounts_K).sum(axis=1)
    return gains_B
