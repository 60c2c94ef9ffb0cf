"""AdamW that can leave the rows of a large table alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter


class RowAdamW(torch.optim.AdamW):
    """`torch.optim.AdamW`, but of a parameter with a sparse gradient only the rows in it are touched.

    Such a step costs time and memory traffic for the rows of a batch, not for ten million items.
    Rows that are not in the gradient keep weights and both moments, as in `torch.optim.SparseAdam`,
    which knows no weight decay and cannot share a checkpoint with the dense parameters.
    """

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None and parameter.grad.is_sparse:
                    self._step_rows(parameter, group)
                    parameter.grad = None  # the dense step must not see it
        loss: float | None = super().step(closure)
        return loss

    def _step_rows(self, parameter: Parameter, group: dict[str, Any]) -> None:
        gradient = parameter.grad.coalesce()  # type: ignore[union-attr]
        rows_R, gradient_RD = gradient.indices()[0], gradient.values()
        state = self.state[parameter]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(parameter), torch.zeros_like(parameter)
        state["step"] += 1
        mean_decay, square_decay = group["betas"]
        mean_RD = _moved(state["exp_avg"], rows_R, gradient_RD, mean_decay)
        square_RD = _moved(state["exp_avg_sq"], rows_R, gradient_RD.square(), square_decay)
        step, rate = float(state["step"]), group["lr"]
        scale_RD = square_RD.div_(1 - square_decay**step).sqrt_().add_(group["eps"])
        update_RD = mean_RD.div_(scale_RD).mul_(-rate / (1 - mean_decay**step))
        if group["weight_decay"]:
            update_RD -= parameter[rows_R] * (rate * group["weight_decay"])
        parameter.index_add_(0, rows_R, update_RD)


def _moved(average: Tensor, rows_R: Tensor, values_RD: Tensor, decay: float) -> Tensor:
    """Move the rows of a running average towards the values; a copy of them."""
    moved_RD = average[rows_R].lerp_(values_RD, 1 - decay)
    average[rows_R] = moved_RD
    return moved_RD
