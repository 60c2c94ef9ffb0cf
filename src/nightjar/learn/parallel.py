"""Several processes as one trainer: who am I, on which device, and sums over all of us.

Gradients are summed by one explicit all-reduce of a flat buffer rather than by
`DistributedDataParallel`. DDP averages over processes, which is wrong when their shares of a batch
hold different numbers of targets, and it wants a forward and a backward pass from everybody, which
an empty share does not have. A rank that has nothing contributes zeros here. What DDP would give
on top, overlap of communication with the backward pass, buys little for models of a few million
weights whose gradient is nearly all item table, complete only at the very end of that pass.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed
from torch.nn import Parameter

from nightjar.contracts import BadInput


@dataclass(frozen=True)
class Group:
    """The processes of one training; `Group(torch.device("cpu"))` is a process on its own."""

    device: torch.device
    rank: int = 0
    world: int = 1

    def sum_in_place(self, tensor: Tensor) -> None:
        """Replace by the sum over all ranks; every rank gets the same bits."""
        if self.world > 1:
            distributed.all_reduce(tensor)

    def sum_of_rows(self, rows: Tensor) -> Tensor:
        """The sum over all ranks of a sparse gradient of rows; every rank gets the same bits."""
        rows = rows.coalesce()
        if self.world == 1:
            return rows
        numbers, values = rows.indices()[0], rows.values()
        count = torch.tensor([len(numbers)], device=numbers.device)
        counts = [torch.empty_like(count) for _ in range(self.world)]
        distributed.all_gather(counts, count)
        most = int(torch.cat(counts).max())
        # Messages of one length, the shorter ones filled up: of what is filled, nobody takes any.
        everyones = []
        for mine in (numbers, values):
            padded = mine.new_zeros(most, *mine.shape[1:])
            padded[: len(mine)] = mine
            received = [torch.empty_like(padded) for _ in range(self.world)]
            distributed.all_gather(received, padded)
            everyones.append(torch.cat([part[: int(n)] for part, n in zip(received, counts, strict=True)]))
        return torch.sparse_coo_tensor(everyones[0][None], everyones[1], rows.shape).coalesce()

    def copy_from_first(self, tensors: Iterable[Tensor]) -> None:
        """Give every rank the first rank's values."""
        for tensor in tensors if self.world > 1 else ():
            distributed.broadcast(tensor.detach(), src=0)


@contextmanager
def process_group() -> Iterator[Group]:
    """The group that torchrun's environment describes: NCCL on GPUs, gloo on CPUs, nothing for one process.

    It is destroyed at the end, also after an error: a child that exits without doing so aborts.
    """
    world, rank = int(os.environ.get("WORLD_SIZE", "1")), int(os.environ.get("RANK", "0"))
    device = _device(int(os.environ.get("LOCAL_RANK", "0")))
    if world == 1:
        yield Group(device)
        return
    distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield Group(device, rank, world)
    finally:
        distributed.destroy_process_group()


def _device(local_rank: int) -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    if local_rank >= torch.cuda.device_count():
        gpus = torch.cuda.device_count()
        raise BadInput(f"process {local_rank + 1} has no GPU: there are {gpus}", f"--set train.processes={gpus}")
    torch.cuda.set_device(local_rank)
    return torch.device("cuda", local_rank)


class FlatGradients:
    """All gradients as views of one buffer, with a place for the loss behind them: one message per step.

    A table of which a step touches few rows is not in it: its gradient is sparse, and so are its messages.
    """

    def __init__(self, parameters: Iterable[Parameter], device: torch.device, *, by_rows: Tensor | None) -> None:
        """`by_rows`: the parameter whose gradient is sparse, if there is one."""
        self.by_rows = by_rows
        self.parameters = [parameter for parameter in parameters if parameter is not by_rows]
        self.buffer = torch.zeros(sum(p.numel() for p in self.parameters) + 1, device=device)

    def clear(self) -> None:
        """Zero everything and make it the parameters' `grad`."""
        self.buffer.zero_()
        start = 0
        for parameter in self.parameters:
            parameter.grad = self.buffer[start : start + parameter.numel()].view_as(parameter)
            start += parameter.numel()
        if self.by_rows is not None:
            self.by_rows.grad = None

    def summed(self, group: Group, loss: Tensor | None) -> float:
        """Sum gradients and loss over the ranks; a rank without targets passes None."""
        if loss is not None:
            self.buffer[-1] = loss.detach()
        group.sum_in_place(self.buffer)
        table = self.by_rows
        if table is not None:
            untouched = table.new_zeros(0, dtype=torch.int64)[None], table.new_zeros(0, table.shape[1])
            rows = torch.sparse_coo_tensor(*untouched, table.shape) if table.grad is None else table.grad
            table.grad = group.sum_of_rows(rows)
        return float(self.buffer[-1])
