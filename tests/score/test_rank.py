"""Top k against sorting everything in plain Python."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nightjar.score.rank import NONE, Ranking, best, rule_out
from nightjar.score.rules import Pairs

NOTHING = Pairs(np.empty(0, np.int64), np.empty(0, np.int64))


def top_k(states: Tensor, items: Tensor, *, available: Tensor, **how: Any) -> tuple[Tensor, Tensor]:
    """Of items that are ranked once."""
    return Ranking(items, available).top(states, **how)


def expected(scores: list[float], allowed: set[int], k: int) -> list[int]:
    order = sorted(allowed, key=lambda item: (-scores[item], item))[:k]
    return order + [NONE] * (k - len(order))


@pytest.mark.parametrize("chunk_items", [1, 3, 10, 64])
@pytest.mark.parametrize("k", [1, 4, 50])
def test_top_k_is_a_full_sort(chunk_items: int, k: int) -> None:
    rng = np.random.default_rng(chunk_items * 100 + k)
    states = torch.from_numpy(rng.integers(-2, 3, (9, 3)).astype(np.float32))  # small integers: many exact ties
    items = torch.from_numpy(rng.integers(-2, 3, (40, 3)).astype(np.float32))
    available = torch.from_numpy(rng.random(40) < 0.8)
    excluded = Pairs(rng.integers(0, 9, 60), rng.integers(0, 40, 60))
    scores, positions = top_k(states, items, excluded=excluded, available=available, k=k, chunk_items=chunk_items)
    for row in range(9):
        hidden = {int(i) for r, i in zip(*excluded, strict=True) if r == row}
        allowed = {i for i in range(40) if available[i]} - hidden
        full = [float(np.dot(states[row].numpy(), item.numpy())) for item in items]
        assert positions[row].tolist() == expected(full, allowed, k)
        want = [full[i] if i != NONE else -math.inf for i in positions[row].tolist()]
        assert scores[row].tolist() == want


def test_scores_come_back_to_the_bit() -> None:
    rng = np.random.default_rng(4)
    states, items = torch.from_numpy(rng.normal(size=(5, 8)).astype(np.float32)), torch.eye(8)
    scores, positions = top_k(states, items, excluded=NOTHING, available=torch.ones(8, dtype=torch.bool), k=8)
    assert torch.equal(scores, states.gather(1, positions))
    assert (scores.diff(dim=1) <= 0).all()


def test_negative_zero_ties_with_zero() -> None:
    assert best(np.array([[-0.0, 0.0, -1.0]], np.float32), 3).tolist() == [[0, 1, 2]]


def test_nan_and_minus_infinity_are_no_candidates() -> None:
    assert best(np.array([[math.nan, -math.inf, -9.0, math.inf]], np.float32), 4).tolist() == [[3, 2, NONE, NONE]]


def test_no_candidate_at_all() -> None:
    scores, positions = top_k(
        torch.ones(2, 3), torch.ones(4, 3), excluded=NOTHING, available=torch.zeros(4, dtype=torch.bool), k=2
    )
    assert positions.tolist() == [[NONE, NONE]] * 2
    assert scores.tolist() == [[-math.inf, -math.inf]] * 2


def test_an_empty_catalogue() -> None:
    none = torch.zeros(0, dtype=torch.bool)
    assert top_k(torch.ones(1, 3), torch.ones(0, 3), excluded=NOTHING, available=none, k=2)[1].tolist() == [[NONE] * 2]


def test_rule_out_touches_the_pairs_only() -> None:
    scores = torch.zeros(2, 3)
    rule_out(scores, Pairs(np.array([0, 1]), np.array([2, 0])))
    assert scores.tolist() == [[0, 0, -math.inf], [-math.inf, 0, 0]]
