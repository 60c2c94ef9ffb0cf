from __future__ import annotations

import math

import pytest
import torch

from nightjar.learn.validation import target_ranks


@pytest.mark.parametrize("scores_per_chunk", [1, 3, 1000])
def test_ranks_by_hand(scores_per_chunk: int) -> None:
    items = torch.tensor([[99.0], [1.0], [3.0], [2.0], [3.0]])  # row 0 is padding
    states = torch.tensor([[1.0], [1.0], [1.0], [-1.0], [0.0]])
    targets = torch.tensor([1, 2, 3, 1, 3])
    # 3, 3 tie at the top: the target stands behind its twin. With state 0 all four tie.
    assert target_ranks(states, items, targets, scores_per_chunk=scores_per_chunk).tolist() == [4, 2, 3, 1, 4]


def test_nonsense_ranks_last() -> None:
    items = torch.tensor([[0.0], [1.0], [math.nan], [2.0]])
    assert target_ranks(torch.tensor([[1.0], [math.nan]]), items, torch.tensor([3, 3])).tolist() == [2, 3]
