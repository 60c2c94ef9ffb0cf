from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from nightjar.learn.losses import full_softmax_loss


def test_by_hand() -> None:
    """Two targets, three items. Scores of the first: ln 1, ln 2, ln 5; of the second: 0, 0, 0."""
    items = torch.tensor([[9.0, 9.0], [0.0, 0.0], [math.log(2), 0.0], [math.log(5), 0.0]])  # row 0 is padding
    states = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    loss = full_softmax_loss(states, items, torch.tensor([2, 3]))
    assert loss.item() == pytest.approx(math.log(8 / 2) + math.log(3), rel=1e-6)


@pytest.mark.parametrize("logits_per_chunk", [1, 50, 130, 10_000])
def test_equals_torch_with_gradients_whatever_the_chunk(logits_per_chunk: int) -> None:
    random = torch.Generator().manual_seed(1)
    states = torch.randn(37, 8, generator=random, dtype=torch.float64)
    items = torch.randn(51, 8, generator=random, dtype=torch.float64)
    targets = torch.randint(1, 51, (37,), generator=random)
    ours = [states.clone().requires_grad_(), items.clone().requires_grad_()]
    theirs = [states.clone().requires_grad_(), items.clone().requires_grad_()]
    loss = full_softmax_loss(*ours, targets, logits_per_chunk=logits_per_chunk) / 37
    expected = F.cross_entropy(theirs[0] @ theirs[1][1:].T, targets - 1)
    loss.backward()
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(ours[0].grad, theirs[0].grad)
    torch.testing.assert_close(ours[1].grad, theirs[1].grad)
    assert not ours[1].grad[0].any(), "padding is no candidate"


def test_gradcheck() -> None:
    states = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    items = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([1, 6, 6, 2, 3])
    assert torch.autograd.gradcheck(lambda s, i: full_softmax_loss(s, i, targets, logits_per_chunk=12), (states, items))


def test_large_scores_do_not_overflow() -> None:
    items = torch.tensor([[0.0], [1.0], [-1.0]], requires_grad=True)
    states = torch.tensor([[1000.0]], requires_grad=True)
    loss = full_softmax_loss(states, items, torch.tensor([2]))
    loss.backward()
    assert loss.item() == pytest.approx(2000.0)
    assert states.grad is not None
    assert states.grad.item() == pytest.approx(2.0)


def test_no_targets_no_loss() -> None:
    states, items = torch.zeros(0, 4, requires_grad=True), torch.randn(9, 4, requires_grad=True)
    loss = full_softmax_loss(states, items, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
    assert items.grad is not None
    assert not items.grad.any()
