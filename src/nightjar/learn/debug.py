"""Two questions to ask of any model before a long training: can it learn at all, and does it peek?

Legend: B = histories, L = entries, D = width, N = targets, P = position that is asked, Q = position that answers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nightjar.learn.batch import Batch
from nightjar.learn.losses import full_softmax_loss
from nightjar.learn.models import SequenceModel


def overfit_one_batch(
    model: SequenceModel, inputs: Batch, targets_N: Tensor, *, steps: int, learning_rate: float
) -> list[float]:
    """Mean loss before each of `steps` updates on the same batch; it should go to nearly nothing."""
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=0.0)
    losses = []
    for _ in range(steps):
        states_BLD = model.encode(inputs)
        real_BL = torch.arange(states_BLD.shape[1]) < inputs.lengths_B[:, None]
        loss = full_softmax_loss(states_BLD[real_BL], model.as_scored(model.item_table()), targets_N) / len(targets_N)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def influence(model: SequenceModel, batch: Batch) -> Tensor:
    """influence_PQ: largest gradient of the state at P with respect to the embedded item at Q.

    Everything above the diagonal (Q > P) must be exactly zero: the past does not know the future.
    """
    embedded: list[Tensor] = []

    def keep(module: nn.Module, arguments: tuple[Tensor, ...], output: Tensor) -> Tensor:
        embedded.append(output.detach().requires_grad_())
        return embedded[-1]

    table = next(m for m in model.modules() if isinstance(m, nn.Embedding) and m.weight is model.item_table())
    hook = table.register_forward_hook(keep)
    try:
        states_BLD = model.eval().encode(batch)
    finally:
        hook.remove()
    # A plain sum would be constant behind a normalisation, its gradient zero whatever the model does.
    weights_D = torch.randn(states_BLD.shape[-1], generator=torch.Generator().manual_seed(1))
    rows = []
    for position in range(states_BLD.shape[1]):
        asked = (states_BLD[:, position] @ weights_D).sum()
        (gradient_BLD,) = torch.autograd.grad(asked, embedded[0], retain_graph=True)
        rows.append(gradient_BLD.abs().amax(dim=(0, 2)))
    return torch.stack(rows)
