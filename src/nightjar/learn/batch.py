"""What a model reads: a few histories, padded on the right.

Legend: B = histories, L = entries of the longest of them.
"""

from __future__ import annotations

from collections.abc import Callable
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
    # What some logs lack; None where the files do.
    platforms_BL: Tensor | None = None  #: int64 `Platform.code`; 0 is padding
    price_buckets_BL: Tensor | None = None  #: int64 1 to 10; 0 is unknown or padding
    sessions_BL: Tensor | None = None  #: int64 ordinal of the session, from 1; 0 is padding
    categories_BL: Tensor | None = None  #: int64 code of the item's category; 0 is unknown or padding

    def to(self, device: torch.device | str) -> Batch:
        return self.each(lambda tensor: tensor.to(device, non_blocking=True))

    def each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """`change` applied to every tensor that is there."""
        more = (None if tensor is None else change(tensor) for tensor in self[4:])
        return Batch(*(change(tensor) for tensor in self[:4]), *more)

    @property
    def real_BL(self) -> Tensor:
        """bool: which cells are entries and not padding."""
        places_L = torch.arange(self.items_BL.shape[1], device=self.items_BL.device)
        return places_L < self.lengths_B[:, None]
