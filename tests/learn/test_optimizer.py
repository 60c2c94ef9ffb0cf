from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import Parameter

from nightjar.learn.optimizer import RowAdamW


def sparse(rows: list[int], values: Tensor, num_rows: int = 6) -> Tensor:
    return torch.sparse_coo_tensor(torch.tensor([rows]), values, (num_rows, values.shape[1]))


def gradients(steps: int) -> list[Tensor]:
    random = torch.Generator().manual_seed(1)
    return [torch.randn(6, 3, generator=random) for _ in range(steps)]


def test_a_touched_row_moves_as_in_torchs_sparse_adam() -> None:
    """Rows come and go, and row 4 comes twice in one gradient."""
    touched = [[0, 4, 4], [1, 2, 5], [0, 1, 4], [4, 3, 4]]
    start = torch.randn(6, 3, generator=torch.Generator().manual_seed(2))
    ours, theirs = Parameter(start.clone()), Parameter(start.clone())
    optimizer = RowAdamW([ours], lr=0.1, weight_decay=0.0)
    reference = torch.optim.SparseAdam([theirs], lr=0.1)
    for rows, values in zip(touched, gradients(4), strict=True):
        ours.grad, theirs.grad = sparse(rows, values[:3]), sparse(rows, values[:3])
        optimizer.step()
        reference.step()
        torch.testing.assert_close(ours, theirs)
    assert torch.equal(ours[3], start[3]) is False


@pytest.mark.parametrize("weight_decay", [0.0, 0.5])
def test_when_every_row_is_touched_it_is_adamw(weight_decay: float) -> None:
    start = torch.randn(6, 3, generator=torch.Generator().manual_seed(2))
    ours, theirs = Parameter(start.clone()), Parameter(start.clone())
    optimizer = RowAdamW([ours], lr=0.1, weight_decay=weight_decay)
    reference = torch.optim.AdamW([theirs], lr=0.1, weight_decay=weight_decay)
    for gradient in gradients(5):
        ours.grad, theirs.grad = sparse(list(range(6)), gradient), gradient.clone()
        optimizer.step()
        reference.step()
        torch.testing.assert_close(ours, theirs)


def test_rows_without_a_gradient_keep_their_bits_also_under_weight_decay() -> None:
    table = Parameter(torch.randn(6, 3))
    before = table.detach().clone()
    optimizer = RowAdamW([table], lr=0.1, weight_decay=0.5)
    table.grad = sparse([1], torch.ones(1, 3))
    optimizer.step()
    changed = (table != before).any(dim=1)
    assert changed.tolist() == [False, True, False, False, False, False]
    assert not optimizer.state[table]["exp_avg"][2:].any()


def test_dense_parameters_are_torchs_business_and_the_state_reloads() -> None:
    """Stop after two of four steps, go on with a new optimizer: the same bits."""
    ends = []
    for pause in (False, True):
        table, weight = Parameter(torch.ones(6, 3)), Parameter(torch.ones(6, 3))
        optimizer = RowAdamW([table, weight], lr=0.1, weight_decay=0.1, fused=True)
        for step, gradient in enumerate(gradients(4)):
            if pause and step == 2:
                state = optimizer.state_dict()
                optimizer = RowAdamW([table, weight], lr=0.1, weight_decay=0.1, fused=True)
                optimizer.load_state_dict(state)
            table.grad, weight.grad = sparse([step, 5], gradient[:2]), gradient.clone()
            optimizer.step()
        ends.append((table.detach(), weight.detach()))
    assert torch.equal(ends[0][0], ends[1][0])
    assert torch.equal(ends[0][1], ends[1][1])
    reference = Parameter(torch.ones(6, 3))
    adamw = torch.optim.AdamW([reference], lr=0.1, weight_decay=0.1)
    for gradient in gradients(4):
        reference.grad = gradient.clone()
        adamw.step()
    torch.testing.assert_close(ends[0][1], reference.detach())
