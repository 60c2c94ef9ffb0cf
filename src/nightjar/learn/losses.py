"""Losses over all items, for real targets only.

Legend: N = targets, C = targets of one chunk, D = width, V = items plus the row for padding.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

#: Logits held at a time: 32 MiB of float32. Small chunks cost: each adds to the whole table's gradient.
LOGITS_PER_CHUNK = 8 * 2**20


def full_softmax_loss(
    states_ND: Tensor, items_VD: Tensor, targets_N: Tensor, *, logits_per_chunk: int = LOGITS_PER_CHUNK
) -> Tensor:
    """Sum over targets of -log softmax(states . items)[target]; padding, row 0, is no candidate.

    Equals `F.cross_entropy(states_ND @ items_VD[1:].T, targets_N - 1, reduction="sum")`, but never
    holds more than `logits_per_chunk` logits, at least one target's.
    """
    loss: Tensor = _FullSoftmax.apply(states_ND, items_VD, targets_N, logits_per_chunk)
    return loss


class _FullSoftmax(torch.autograd.Function):
    """Gradients are made beside the loss, while a chunk's logits are at hand.

    The loss is one number, so its gradient is known up to the factor that `backward` receives. A
    second pass over the logits would cost a fourth product with the item table
    (the idea of Liger Kernel's fused cross-entropy, https://arxiv.org/abs/2410.10989).
    """

    @staticmethod
    def forward(ctx: Any, states_ND: Tensor, items_VD: Tensor, targets_N: Tensor, logits_per_chunk: int) -> Tensor:
        real_VD = items_VD[1:]
        rows = max(1, logits_per_chunk // max(1, len(real_VD)))
        states_grad_ND, items_grad_VD = torch.empty_like(states_ND), torch.zeros_like(items_VD)
        loss = states_ND.new_zeros(())
        for chunk in torch.arange(len(states_ND)).split(rows):
            part = slice(int(chunk[0]), int(chunk[-1]) + 1) if len(chunk) else slice(0, 0)
            states_CD, target_C1 = states_ND[part], (targets_N[part] - 1)[:, None]
            logits_CV = states_CD @ real_VD.T
            normaliser_C1 = logits_CV.logsumexp(1, keepdim=True)
            loss += (normaliser_C1 - logits_CV.gather(1, target_C1)).sum()
            grad_CV = logits_CV.sub_(normaliser_C1).exp_()
            grad_CV.scatter_add_(1, target_C1, torch.full_like(normaliser_C1, -1.0))
            torch.mm(grad_CV, real_VD, out=states_grad_ND[part])
            items_grad_VD[1:].addmm_(grad_CV.T, states_CD)
        ctx.save_for_backward(states_grad_ND, items_grad_VD)
        return loss

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor, Tensor, None, None]:  # type: ignore[override]
        states_grad_ND, items_grad_VD = ctx.saved_tensors
        return states_grad_ND * factor, items_grad_VD * factor, None, None
