from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from nightjar.learn.losses import bce_loss, full_softmax_loss, gbce_beta, gbce_loss, sampled_softmax_loss

#: Of 37 targets and 50 items: a target at a time, several, all at once; then items at a time, few and many.
CHUNKS = [1600, 1700, 10_000, 1, 50, 130]


def test_by_hand() -> None:
    """Two targets, three items. Scores of the first: ln 1, ln 2, ln 5; of the second: 0, 0, 0."""
    items = torch.tensor([[9.0, 9.0], [0.0, 0.0], [math.log(2), 0.0], [math.log(5), 0.0]])  # row 0 is padding
    states = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    for logits_per_chunk in (1, 100):
        loss = full_softmax_loss(states, items, torch.tensor([2, 3]), logits_per_chunk=logits_per_chunk)
        assert loss.item() == pytest.approx(math.log(8 / 2) + math.log(3), rel=1e-6)


@pytest.mark.parametrize("logits_per_chunk", CHUNKS)
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


@pytest.mark.parametrize("logits_per_chunk", [200, 12])
def test_gradcheck(logits_per_chunk: int) -> None:
    states = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    items = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([1, 6, 6, 2, 3])

    def loss(states: Tensor, items: Tensor) -> Tensor:
        return full_softmax_loss(states, items, targets, logits_per_chunk=logits_per_chunk)

    assert torch.autograd.gradcheck(loss, (states, items))


@pytest.mark.parametrize("logits_per_chunk", [1000, 1])
def test_large_scores_do_not_overflow(logits_per_chunk: int) -> None:
    items = torch.tensor([[0.0], [1.0], [-1.0]], requires_grad=True)
    states = torch.tensor([[1000.0]], requires_grad=True)
    loss = full_softmax_loss(states, items, torch.tensor([2]), logits_per_chunk=logits_per_chunk)
    loss.backward()
    assert loss.item() == pytest.approx(2000.0)
    assert states.grad is not None
    assert states.grad.item() == pytest.approx(2.0)


@pytest.mark.parametrize("logits_per_chunk", [100_000, 5_000])
def test_bfloat16_is_near(logits_per_chunk: int) -> None:
    """8 bits of each factor: the loss within a thousandth, gradients within two hundredths of the largest."""
    random = torch.Generator().manual_seed(1)
    states, items = torch.randn(64, 32, generator=random), 0.3 * torch.randn(1001, 32, generator=random)
    targets = torch.randint(1, 1001, (64,), generator=random)
    gradients = []
    losses = []
    for product_type in (torch.float32, torch.bfloat16):
        leaves = [states.clone().requires_grad_(), items.clone().requires_grad_()]
        loss = full_softmax_loss(*leaves, targets, logits_per_chunk=logits_per_chunk, product_type=product_type)
        loss.backward()
        losses.append(loss.item())
        gradients.append([leaf.grad for leaf in leaves])
    assert losses[1] == pytest.approx(losses[0], rel=1e-3)
    for exact, rounded in zip(*gradients, strict=True):
        assert rounded.dtype == torch.float32
        assert (exact - rounded).abs().max() < 0.02 * exact.abs().max()


def test_no_targets_no_loss() -> None:
    states, items = torch.zeros(0, 4, requires_grad=True), torch.randn(9, 4, requires_grad=True)
    loss = full_softmax_loss(states, items, torch.zeros(0, dtype=torch.int64))
    loss.backward()
    assert loss.item() == 0
    assert items.grad is not None
    assert not items.grad.any()


# -- sampled: one target whose logit is ln 3; negatives with the logits ln 2, ln 5 and, a hit, ln 3

STATES = torch.tensor([[1.0, 0.0]])
POSITIVES = torch.tensor([[math.log(3), 7.0]])
NEGATIVES = torch.tensor([[math.log(2), 7.0], [math.log(5), 7.0], [math.log(3), 7.0]])
HITS = torch.tensor([[False, False, True]])


def test_sampled_softmax_by_hand() -> None:
    plain = sampled_softmax_loss(STATES, POSITIVES, NEGATIVES, HITS, None)
    assert plain.item() == pytest.approx(math.log((3 + 2 + 5) / 3), rel=1e-6)
    # The first was expected half a time, the second twice: they stand for 2 / 0.5 and 5 / 2.
    expected = torch.tensor([0.5, 2.0, 1.0]).log()
    corrected = sampled_softmax_loss(STATES, POSITIVES, NEGATIVES, HITS, expected)
    assert corrected.item() == pytest.approx(math.log((3 + 4 + 2.5) / 3), rel=1e-6)


def test_sampled_softmax_of_hits_only_is_certain() -> None:
    loss = sampled_softmax_loss(STATES, POSITIVES, NEGATIVES[2:], HITS[:, 2:], None)
    assert loss.item() == 0.0


def test_corrected_normaliser_is_that_of_all_items_on_average() -> None:
    """Enumerate every draw of one negative by its chance: target plus e^logit / q averages to the full sum."""
    logits, chances = torch.tensor([0.3, -1.0, 2.0, 0.5]), torch.tensor([0.1, 0.2, 0.3, 0.4])
    target, total = 2, 0.0
    for item in range(4):
        loss = sampled_softmax_loss(
            torch.ones(1, 1),
            logits[target].reshape(1, 1),
            logits[item].reshape(1, 1),
            torch.tensor([[item == target]]),
            chances[item].log().reshape(1),
        )
        total += chances[item].item() * math.exp(loss.item() + logits[target].item())
    assert total == pytest.approx(logits.exp().sum().item(), rel=1e-5)


def test_bce_by_hand() -> None:
    """s(ln 3) = 3/4, 1 - s(ln 2) = 1/3, 1 - s(ln 5) = 1/6; the hit is none, but the mean is over 1 + 3."""
    loss = bce_loss(STATES, POSITIVES, NEGATIVES, HITS)
    assert loss.item() == pytest.approx(-(math.log(3 / 4) + math.log(1 / 3) + math.log(1 / 6)) / 4, rel=1e-6)


def test_gbce_by_hand() -> None:
    loss = gbce_loss(STATES, POSITIVES, NEGATIVES, HITS, beta=0.5)
    assert loss.item() == pytest.approx(-(0.5 * math.log(3 / 4) + math.log(1 / 3) + math.log(1 / 6)) / 4, rel=1e-6)


def test_gbce_beta() -> None:
    """256 of 1,024 others: the rate is a quarter."""
    assert gbce_beta(256, 1025, 0.0) == 1.0
    assert gbce_beta(256, 1025, 1.0) == 0.25
    assert gbce_beta(256, 1025, 0.75) == pytest.approx(0.25 * (0.75 * -3 + 4))
    assert gbce_beta(256, 10, 0.75) == 1.0


def test_sampled_losses_are_sums_over_targets_in_float32() -> None:
    random = torch.Generator().manual_seed(1)
    states, positives = torch.randn(6, 4, generator=random), torch.randn(6, 4, generator=random)
    negatives, hits = torch.randn(9, 4, generator=random), torch.rand(6, 9, generator=random) < 0.2
    for loss in (bce_loss, lambda *a: gbce_loss(*a, beta=0.3), lambda *a: sampled_softmax_loss(*a, None)):
        apart = sum(loss(states[n : n + 1], positives[n : n + 1], negatives, hits[n : n + 1]) for n in range(6))
        torch.testing.assert_close(loss(states, positives, negatives, hits), apart)
        halves = loss(states.bfloat16(), positives.bfloat16(), negatives.bfloat16(), hits)
        assert halves.dtype == torch.float32
