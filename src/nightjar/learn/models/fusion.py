"""What is known of an entry besides its item, as a vector that is added to the item's.

Legend: B = histories, L = entries, D = width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nightjar import settings
from nightjar.contracts import CATEGORY_CODES, Kind
from nightjar.contracts.events import Platform
from nightjar.learn.batch import Batch

#: Gaps are told apart by powers of two: the last bucket begins at 34 years.
_GAP_BUCKETS = 31

#: Rows of each table: 0 for what is not known, then the codes.
_ROWS = {
    "kind": len(Kind) + 1,
    "gap": _GAP_BUCKETS + 1,
    "platform": len(Platform) + 1,
    "price": 10 + 1,
    "category": CATEGORY_CODES + 1,
}


class Fusion(nn.Module):
    """The sum of one learned vector per input that `model.inputs` names; nothing for an unknown one."""

    def __init__(self, conf: settings.Model) -> None:
        super().__init__()
        self.width = conf.width
        self.tables = nn.ModuleDict(
            {name: nn.Embedding(_ROWS[name], conf.width, padding_idx=0) for name in conf.inputs}
        )

    @torch.no_grad()
    def init_weights(self) -> None:
        """Normal, std 1 / sqrt(width), as large as a scaled item; row 0 zero."""
        for table in self.tables.values():
            assert isinstance(table, nn.Embedding)
            nn.init.normal_(table.weight, std=self.width**-0.5)
            table.weight[0].zero_()

    def add_to(self, items_BLD: Tensor, batch: Batch) -> Tensor:
        for name, table in self.tables.items():
            codes_BL = _codes(name, batch)
            if codes_BL is not None:
                items_BLD = items_BLD + table(codes_BL)
        return items_BLD


def _codes(name: str, batch: Batch) -> Tensor | None:
    if name == "gap":
        return gap_buckets(batch.times_BL)
    return {
        "kind": batch.kinds_BL,
        "platform": batch.platforms_BL,
        "price": batch.price_buckets_BL,
        "category": batch.categories_BL,
    }[name]


def gap_buckets(times_BL: Tensor) -> Tensor:
    """1 + floor(log2(1 + seconds since the entry before)); 0 for the oldest entry, which has none before it.

    >>> gap_buckets(torch.tensor([[1000, 1000, 1001, 1004, 4604]])).tolist()
    [[0, 1, 2, 3, 12]]
    """
    gaps_BL = times_BL.diff(dim=1).clamp(min=0)
    buckets_BL = 1 + (gaps_BL + 1).double().log2().floor().long().clamp(max=_GAP_BUCKETS - 1)
    return torch.cat([torch.zeros_like(times_BL[:, :1]), buckets_BL], dim=1)
