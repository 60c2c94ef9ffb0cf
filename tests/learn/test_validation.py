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


@pytest.mark.parametrize("scores_per_chunk", [1, 3, 1000])
def test_what_was_seen_is_no_candidate(scores_per_chunk: int) -> None:
    items = torch.tensor([[99.0], [1.0], [3.0], [2.0], [3.0]])
    seen = torch.tensor([[4, 4, 0], [2, 4, 0], [3, 0, 0], [0, 0, 0]])  # 0 is padding; an entry may come twice
    states, targets = torch.ones(4, 1), torch.tensor([3, 1, 3, 3])
    # 2 alone is ahead of 3; only 3 is ahead of 1; a target that was seen comes last; nobody knows the fourth person.
    ranks = target_ranks(states, items, targets, seen, scores_per_chunk=scores_per_chunk)
    assert ranks.tolist() == [2, 2, 4, 3]
