"""Dropout by bytes: the mean stays, the share is what was asked for, a seed repeats it."""

from __future__ import annotations

import pytest
import torch

from nightjar.learn.models.dropout import Dropout


@pytest.mark.parametrize("share", [0.1, 0.48, 0.5, 0.9])
def test_share_and_mean(share: float) -> None:
    torch.manual_seed(1)
    kept = Dropout(share)(torch.ones(1001, 333))
    assert float((kept == 0).double().mean()) == pytest.approx(share, abs=0.004)
    assert float(kept.double().mean()) == pytest.approx(1, abs=0.01)
    assert len(kept.unique()) == 2


def test_neighbours_are_dropped_independently() -> None:
    """Eight values share a draw: no two of them may go together."""
    torch.manual_seed(2)
    dropped = (Dropout(0.5)(torch.ones(100_000, 16)) == 0).double()
    correlation = torch.corrcoef(dropped.T) - torch.eye(16)
    assert float(correlation.abs().max()) < 0.02


def test_gradient_goes_where_the_value_went() -> None:
    values = torch.randn(50, 7, requires_grad=True)
    kept = Dropout(0.25)(values)
    kept.sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(values.grad * values.detach(), kept.detach())


def test_a_seed_repeats_it_and_judging_drops_nothing() -> None:
    dropout, values = Dropout(0.5), torch.randn(9, 5)
    found = []
    for _ in range(2):
        torch.manual_seed(3)
        found.append(dropout(values))
    assert torch.equal(*found)
    assert torch.equal(dropout.eval()(values), values)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_nothing_and_everything(share: float) -> None:
    assert torch.equal(Dropout(share)(torch.ones(4)), torch.full((4,), 1 - share))
