"""Losses as free functions of states and item rows, for real targets only; each is a sum over targets.

Legend: N = targets, C = targets of one chunk, D = width, V = items plus the row for padding, M = negatives, shared by
all targets of a batch.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

#: Logits held at a time, at most: 48 MiB of float32.
LOGITS_PER_CHUNK = 3 * 2**22

#: Targets per product where that many logits may be held. Each product adds to the gradient of the whole table, and
#: a long inner dimension multiplies faster: 1,639 targets against 43,027 items of width 64 in bfloat16 took two Zen 4
#: cores 245 ms by 36 targets, 169 ms by 128, 146 ms by 256, 138 ms by 512 (2026-11-22, torch 2.13).
_TARGETS_PER_CHUNK = 256

#: A small catalogue takes more targets at a time, up to this many logits.
_LOGITS_OF_SMALL_CHUNK = 3 * 2**19

#: Fewer targets than this per product, and adding to the whole table's gradient costs more than the product.
MIN_TARGETS_PER_CHUNK = 32


def full_softmax_loss(
    states_ND: Tensor,
    items_VD: Tensor,
    targets_N: Tensor,
    *,
    logits_per_chunk: int = LOGITS_PER_CHUNK,
    product_type: torch.dtype | None = None,
) -> Tensor:
    """Sum over targets of -log softmax(states . items)[target]; padding, row 0, is no candidate.

    Equals `F.cross_entropy(states_ND @ items_VD[1:].T, targets_N - 1, reduction="sum")`, but never
    holds more than about `logits_per_chunk` logits: some targets against all items, or, where that
    would be fewer than `MIN_TARGETS_PER_CHUNK`, all targets against some items.

    Args:
        product_type: bfloat16 to multiply in it: 8 bits of a logit stay, sums are kept in float32.
            None multiplies in the type of the states.
    """
    product_type = product_type or states_ND.dtype
    by_rows = logits_per_chunk >= MIN_TARGETS_PER_CHUNK * (len(items_VD) - 1)
    function = _SoftmaxByTargets if by_rows else _SoftmaxByItems
    loss: Tensor = function.apply(states_ND, items_VD, targets_N, logits_per_chunk, product_type)
    return loss


class _Softmax(torch.autograd.Function):
    """Gradients are made beside the loss, while a chunk's logits are at hand.

    The loss is one number, so its gradient is known up to the factor that `backward` receives. A
    second pass over the logits would cost a fourth product with the item table
    (the idea of Liger Kernel's fused cross-entropy, https://arxiv.org/abs/2410.10989).
    """

    @staticmethod
    def backward(ctx: Any, factor: Tensor) -> tuple[Tensor, Tensor, None, None, None]:  # type: ignore[override]
        states_grad_ND, items_grad_VD = ctx.saved_tensors
        return states_grad_ND * factor, items_grad_VD * factor, None, None, None


class _SoftmaxByTargets(_Softmax):
    """All items for a few targets at a time: three products."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, states_ND: Tensor, items_VD: Tensor, targets_N: Tensor, logits_per_chunk: int, type_: torch.dtype
    ) -> Tensor:
        real_VD, rounded_ND = items_VD[1:].to(type_), states_ND.to(type_)
        states_grad_ND, items_grad_VD = torch.empty_like(states_ND), torch.zeros_like(items_VD)
        rows = _targets_per_chunk(len(real_VD), logits_per_chunk)
        buffer_CV = real_VD.new_empty(min(rows, len(states_ND)), len(real_VD))
        loss = states_ND.new_zeros(())
        for start in range(0, len(states_ND), rows):
            part = slice(start, start + rows)
            states_CD, own_C = rounded_ND[part], targets_N[part] - 1
            logits_CV = torch.mm(states_CD, real_VD.T, out=buffer_CV[: len(states_CD)])
            shares_CV = torch.softmax(logits_CV, 1, out=logits_CV)
            every_C = torch.arange(len(own_C), device=own_C.device)
            share_C = shares_CV[every_C, own_C].to(loss.dtype)
            vanished_C = share_C == 0  # too small for the type, some 87 behind the best: its logarithm is not
            if vanished_C.any():
                logits_CV = (states_CD[vanished_C] @ real_VD.T).to(loss.dtype)
                loss += F.cross_entropy(logits_CV, own_C[vanished_C], reduction="sum")
            loss -= share_C.masked_fill_(vanished_C, 1.0).log().sum()
            shares_CV[every_C, own_C] -= 1  # not scatter_: of bfloat16 it copies the whole chunk first
            states_grad_ND[part] = shares_CV @ real_VD
            _add_product(items_grad_VD[1:], shares_CV.T, states_CD)
        ctx.save_for_backward(states_grad_ND, items_grad_VD)
        return loss


def _targets_per_chunk(num_items: int, logits_per_chunk: int) -> int:
    wanted = max(_TARGETS_PER_CHUNK, _LOGITS_OF_SMALL_CHUNK // max(1, num_items))
    return max(1, min(wanted, logits_per_chunk // max(1, num_items)))


class _SoftmaxByItems(_Softmax):
    """All targets for a few items at a time: the normaliser needs a pass of its own, a fourth product."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, states_ND: Tensor, items_VD: Tensor, targets_N: Tensor, logits_per_chunk: int, type_: torch.dtype
    ) -> Tensor:
        rounded_ND, target_scores_N = states_ND.to(type_), states_ND.new_empty(len(states_ND))
        normaliser_N = states_ND.new_full((len(states_ND),), -math.inf)
        items_at_once = max(1, logits_per_chunk // max(1, len(states_ND)))
        blocks = [slice(first, first + items_at_once) for first in range(1, len(items_VD), items_at_once)]
        for block in blocks:
            logits_NC = (rounded_ND @ items_VD[block].to(type_).T).to(normaliser_N.dtype)
            normaliser_N = torch.logaddexp(normaliser_N, logits_NC.logsumexp(1))
            mine_N, at_N = _targets_of(block, targets_N)
            target_scores_N[mine_N] = logits_NC[mine_N, at_N]
        states_grad_ND, items_grad_VD = torch.zeros_like(states_ND), torch.zeros_like(items_VD)
        for block in blocks:
            items_CD = items_VD[block].to(type_)
            grad_NC = (rounded_ND @ items_CD.T).sub_(normaliser_N[:, None]).exp_()
            mine_N, at_N = _targets_of(block, targets_N)
            grad_NC[mine_N, at_N] -= 1
            _add_product(states_grad_ND, grad_NC, items_CD)
            _add_product(items_grad_VD[block], grad_NC.T, rounded_ND)
        ctx.save_for_backward(states_grad_ND, items_grad_VD)
        return (normaliser_N - target_scores_N).sum()


def _targets_of(block: slice, targets_N: Tensor) -> tuple[Tensor, Tensor]:
    """Which targets lie in the block of items, and where in it."""
    mine_N = torch.nonzero((targets_N >= block.start) & (targets_N < block.stop))[:, 0]
    return mine_N, targets_N[mine_N] - block.start


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right, where `total` may be wider than the product."""
    if total.dtype == left.dtype:
        total.addmm_(left, right)
    else:
        total += left @ right


def sampled_softmax_loss(
    states_ND: Tensor, positives_ND: Tensor, negatives_MD: Tensor, hits_NM: Tensor, log_expected_M: Tensor | None
) -> Tensor:
    """Sum over targets of -log softmax over the target and M negatives, in float32.

    With `log_expected_M` a negative's logit loses the logarithm of how often it is expected among
    the M: then the normaliser estimates that of all items without bias (the log-Q correction of
    Bengio & Senecal 2008, https://doi.org/10.1109/TNN.2007.912312). The target is always among the
    candidates, never by chance, so its logit stays as it is (https://arxiv.org/abs/2507.09331).

    Args:
        positives_ND: each target's row of the item table.
        hits_NM: true where a negative is the target itself; it is no candidate then.
        log_expected_M: log(M q) of each negative drawn with probability q; None: no correction.
    """
    positive_N, negative_NM = _logits(states_ND, positives_ND, negatives_MD)
    if log_expected_M is not None:
        negative_NM = negative_NM - log_expected_M
    negative_NM = negative_NM.masked_fill(hits_NM, -math.inf)
    return (torch.logaddexp(positive_N, negative_NM.logsumexp(1)) - positive_N).sum()


def bce_loss(states_ND: Tensor, positives_ND: Tensor, negatives_MD: Tensor, hits_NM: Tensor) -> Tensor:
    """Sum over targets of -[log s(target) + sum over negatives of log(1 - s(negative))] / (M + 1), s the logistic.

    The loss of SASRec (https://arxiv.org/abs/1808.09781), with M negatives in place of one.
    """
    return gbce_loss(states_ND, positives_ND, negatives_MD, hits_NM, beta=1.0)


def gbce_loss(states_ND: Tensor, positives_ND: Tensor, negatives_MD: Tensor, hits_NM: Tensor, *, beta: float) -> Tensor:
    """`bce_loss` with the target's probability raised to the power `beta`, in float32.

    Against the overconfidence that sampling gives (gSASRec, https://arxiv.org/abs/2308.07192); see `gbce_beta`.
    """
    positive_N, negative_NM = _logits(states_ND, positives_ND, negatives_MD)
    negative_N = F.softplus(negative_NM).masked_fill(hits_NM, 0.0).sum(1)
    return (negative_N - beta * F.logsigmoid(positive_N)).sum() / (hits_NM.shape[1] + 1)


def gbce_beta(num_negatives: int, num_items: int, calibration: float) -> float:
    """Power of the target's probability: 1 without calibration, the sampling rate with all of it.

    Equation 8 of https://arxiv.org/abs/2308.07192, with the rate among the items that are not the target.
    """
    rate = min(1.0, num_negatives / max(1, num_items - 1))
    return rate * (calibration * (1 - 1 / rate) + 1 / rate)


def _logits(states_ND: Tensor, positives_ND: Tensor, negatives_MD: Tensor) -> tuple[Tensor, Tensor]:
    states_ND = states_ND.float()
    return (states_ND * positives_ND.float()).sum(1), states_ND @ negatives_MD.float().T
