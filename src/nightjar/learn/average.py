"""A running average of the weights: what is judged and kept in the place of the latest ones."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from nightjar.learn.layout import here

#: Early on the average forgets faster, as if it had begun this many steps ago: fresh weights say nothing.
_HEAD_START_STEPS = 10


class Average:
    """Exponential average over steps, which a constant learning rate needs to come to rest.

    Morales-Brotons et al. 2024, https://arxiv.org/abs/2411.18704. A step costs one pass over all weights.
    """

    def __init__(self, model: nn.Module, decay: float, weights: Mapping[str, Tensor] | None = None) -> None:
        """`decay` 0 averages nothing: the model stands for itself. `weights` go on from an interrupted average."""
        self.decay = decay
        start = model.state_dict() if decay else {}
        self.weights = {name: tensor.detach().clone() for name, tensor in start.items()}
        for name, tensor in (weights or {}).items():
            self.weights[name].copy_(tensor)

    @torch.no_grad()
    def update(self, model: nn.Module, num_steps: int) -> None:
        """After step number `num_steps`, counted from 1."""
        if self.decay:
            new = 1 - min(self.decay, num_steps / (num_steps + _HEAD_START_STEPS))
            latest = model.state_dict()
            mine = [here(tensor) for tensor in self.weights.values()]
            torch._foreach_lerp_(mine, [here(latest[name]) for name in self.weights], new)

    @contextmanager
    def in_place_of_latest(self, model: nn.Module) -> Iterator[None]:
        """The model has the average's weights inside, the latest ones again afterwards."""
        latest = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()} if self.decay else {}
        model.load_state_dict(self.weights, strict=bool(self.decay))
        try:
            yield
        finally:
            model.load_state_dict(latest, strict=bool(self.decay))
