"""A trained model over a catalogue: the model's own vocabulary on one side, positions on the other.

Legend: B people, L entries, D width, N items of the catalogue, V the model's items plus padding.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from nightjar.learn.checkpoint import LoadedModel
from nightjar.learn.histories import Histories, histories_from_arrow
from nightjar.score.catalogue import Catalogue
from nightjar.score.content import described_rows

#: Entries and padding that are encoded at once.
_CELLS = 4096


class CatalogueModel:
    """What scoring and evaluation share, so that a person is judged on what is served.

    Items that the model has not learned get a row from `neighbours` items that are described alike (`content`);
    where there are none, or `neighbours` is 0, they have `scored_N` False and no score.
    """

    @torch.inference_mode()
    def __init__(self, loaded: LoadedModel, catalogue: Catalogue, *, neighbours: int = 0) -> None:
        self.model, self.conf, self.vocabulary = loaded
        self.model.eval()
        indices_N = torch.from_numpy(self.vocabulary.encode(catalogue.item_ids))
        self.table_VD = self.model.as_scored(self.model.item_table()).detach()
        self.items_ND = self.table_VD[indices_N]
        self.scored_N = indices_N > 0
        described, rows_UD = described_rows(catalogue, self.items_ND, self.scored_N, neighbours)
        self.items_ND[described] = self.model.as_scored(rows_UD)
        self.scored_N[described] = True

    def read(self, rows: pa.RecordBatch) -> Histories:
        """What the model reads of each person: the latest known entries."""
        return histories_from_arrow(rows, self.vocabulary, max_length=self.conf.max_length)

    @torch.inference_mode()
    def states(self, histories: Histories) -> Tensor:
        """states_BD after the last entry; histories without entries give states without meaning.

        Histories of like length are read together: padded to the longest of a batch, they would cost several times
        their entries.
        """
        lengths = np.minimum(histories.lengths, self.conf.max_length)
        states_BD = torch.empty(len(histories), self.table_VD.shape[1])
        for people in _of_like_length(lengths):
            batch = histories.take(people).batch(self.conf.max_length)
            states_BLD = self.model.encode(batch)
            last_B = (batch.lengths_B - 1).clamp(min=0)
            states_BD[people] = states_BLD[torch.arange(len(people)), last_B]
        return states_BD


def _of_like_length(lengths: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Everybody once, by length, `_CELLS` cells at a time: what the encoder works on then stays in the caches."""
    order = np.argsort(lengths, kind="stable")
    end = len(order)
    while end > 0:
        start = max(0, end - max(1, _CELLS // max(1, int(lengths[order[end - 1]]))))
        yield order[start:end]
        end = start
