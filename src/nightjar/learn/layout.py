"""How a model lies in memory while it is trained: recomputed, compiled, split over processes.

A model's file is architecture only. What is done here changes neither names nor meaning of its weights, so a checkpoint
of one layout goes on in any other, with any number of processes.

Splitting is FSDP2 (`torch.distributed.fsdp.fully_shard`, https://arxiv.org/abs/2304.11277): each process keeps its rows
of every weight, gradient and moment, a block's weights are whole only while the block computes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.utils.checkpoint import checkpoint

from nightjar import settings
from nightjar.contracts import BadInput
from nightjar.learn.batch import Batch
from nightjar.learn.parallel import FlatGradients, Group, sum_rows

if TYPE_CHECKING:
    from nightjar.learn.models import SequenceModel


class Layout:
    """A model as `[train]` wants it laid out; without wishes, on the group's device as it is."""

    def __init__(self, model: SequenceModel, conf: settings.Train, group: Group, *, by_rows: Tensor | None) -> None:
        """Give every rank the first one's weights, then rearrange the model in place.

        Args:
            by_rows: the table whose gradient is sparse, if there is one; it stays whole on every process.

        Raises:
            BadInput: a wish that this model cannot fulfil.
        """
        self.model, self.group = model, group
        self.split = conf.sharding == "full" and group.world > 1
        if _has_wishes(conf):
            for block in _blocks(model):
                _rearrange(block, conf, group.device)
        if self.split:
            group.copy_from_first(model.parameters())  # one at a time: the device need not hold the model
            _split(model, group, whole=by_rows)
        model.to(group.device)
        if not self.split:
            group.copy_from_first(model.parameters())
        kind = SplitGradients if self.split else FlatGradients
        self.gradients: FlatGradients | SplitGradients = kind(model.parameters(), group.device, by_rows=by_rows)

    def together(self, batches: Iterable[tuple[Batch, Tensor]]) -> Iterator[tuple[Batch, Tensor]]:
        """A rank's batches, then nobody's until every rank has run out: split weights are put together by all."""
        if not self.split:
            yield from batches
            return
        mine = iter(batches)
        while True:
            found = next(mine, None)
            left = torch.tensor(float(found is not None), device=self.group.device)
            self.group.sum_in_place(left)
            if not left:
                return
            yield found if found is not None else (nobody(), torch.zeros(0, dtype=torch.int64))

    @contextmanager
    def whole_table(self) -> Iterator[None]:
        """The item table can be read, before and between calls of `encode`."""
        if self.split:
            cast("FSDPModule", self.model).unshard()
        yield
        if self.split:
            cast("FSDPModule", self.model).reshard()

    def laid_out(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Whole weights as the model's lie here."""
        lying = self.model.state_dict()
        return {name: like(tensor, lying[name]) for name, tensor in weights.items()}


def nobody() -> Batch:
    """A batch of no histories, one entry wide."""
    nothing_BL = torch.zeros(0, 1, dtype=torch.int64)
    return Batch(nothing_BL, nothing_BL, nothing_BL, torch.zeros(0, dtype=torch.int64))


class SplitGradients:
    """`FlatGradients` for split weights: FSDP sums what is split, in the backward pass of everybody at once."""

    def __init__(self, parameters: Iterable[nn.Parameter], device: torch.device, *, by_rows: Tensor | None) -> None:
        self.parameters, self.device, self.by_rows = list(parameters), device, by_rows

    def clear(self) -> None:
        for parameter in self.parameters:
            parameter.grad = None

    def summed(self, group: Group, loss: Tensor | None) -> float:
        """Sum the loss over the ranks, and the gradient that is not split."""
        assert loss is not None, "a rank that takes no part in the backward pass stops all others"
        total = loss.detach().clone()
        group.sum_in_place(total)
        sum_rows(self.by_rows, group)
        return float(total)


def whole(tensor: Tensor) -> Tensor:
    """A split tensor put together; every rank must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def here(tensor: Tensor) -> Tensor:
    """This process's part of a split tensor, the same memory."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def like(tensor: Tensor, other: Tensor) -> Tensor:
    """A whole tensor, split as the other one is; every rank has it already, so nothing is sent."""
    if not isinstance(other, DTensor):
        return tensor
    mesh = other.device_mesh
    return distribute_tensor(tensor.to(mesh.device_type), mesh, other.placements, src_data_rank=None)


def gathered(tensors: Mapping[str, Tensor], group: Group) -> dict[str, Tensor]:
    """Whole tensors on the first rank, one after the other, in its main memory if they were split.

    The others take part and keep none of what was split.
    """
    kept: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        if not isinstance(tensor, DTensor):
            kept[name] = tensor
            continue
        put_together = whole(tensor)
        if group.rank == 0:
            kept[name] = put_together.cpu()
    return kept


def _has_wishes(conf: settings.Train) -> bool:
    return conf.recompute or conf.compile or conf.sharding == "full" or conf.model_precision != "float32"


def _blocks(model: nn.Module) -> list[nn.Module]:
    blocks = list(getattr(model, "blocks", ()))
    if not blocks:
        raise BadInput(
            f"model {model.conf.name} has no blocks to recompute, compile or split",  # type: ignore[union-attr]
            "leave train.recompute, train.compile, train.sharding and train.model_precision as in conf/base.toml",
        )
    return blocks


def _rearrange(block: nn.Module, conf: settings.Train, device: torch.device) -> None:
    """Put the wishes round a block's own `forward`; its parameters and their names stay what they are."""
    forward: Callable[..., Tensor] = block.forward
    if conf.compile:
        forward = torch.compile(forward, dynamic=True)
    if conf.model_precision == "bfloat16":
        forward = partial(_in_bfloat16, block, forward, device.type)
    if conf.recompute:
        # Dropout's generator is put back for the second pass: both draw the same.
        forward = partial(checkpoint, forward, use_reentrant=False)
    block.forward = forward  # type: ignore[method-assign]


def _in_bfloat16(block: nn.Module, forward: Callable[..., Tensor], device: str, *arguments: Any) -> Tensor:
    """Products in bfloat16 while training; what is added up along the blocks stays float32. Ranks are never rounded."""
    with torch.autocast(device, torch.bfloat16, enabled=block.training):
        return forward(*arguments)


def _split(model: SequenceModel, group: Group, *, whole: Tensor | None) -> None:
    mesh = init_device_mesh(group.device.type, (group.world,))
    kept = set() if whole is None else {cast("nn.Parameter", whole)}
    for module in (*_blocks(model), model):
        fully_shard(module, mesh=mesh, ignored_params=kept)
    for method in ("encode", "pretraining_loss"):
        register_fsdp_forward_method(model, method)
    for module in model.modules():
        if isinstance(module, FSDPModule):
            # Losses are already divided by the targets of all ranks: gradients add up.
            module.set_gradient_divide_factor(1.0)
            module.set_force_sum_reduction_for_comms(True)
