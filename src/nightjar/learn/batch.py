"""What a model reads: a few histories, padded on the right.

Legend: B = histories, L = entries of the longest of them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Histories, oldest entry first; 0 behind the last one.

    Padding stands on the right, so a causal model never sees it and needs no mask.
    """

    items_BL: Tensor  #: int64 item index; 0 is padding
    kinds_BL: Tensor  #: int64 `Kind.code`; 0 is padding
    times_BL: Tensor  #: int64 seconds since 1970-01-01 UTC; 0 is padding
    lengths_B: Tensor  #: int64 real entries of each history; 0 is possible

    def to(self, device: torch.device | str) -> Batch:
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))
