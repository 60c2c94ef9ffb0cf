"""A trained model over a catalogue: the model's own vocabulary on one side, positions on the other.

Legend: B people, L entries, D width, N items of the catalogue, V the model's items plus padding.
"""

from __future__ import annotations

import pyarrow as pa
import torch
from torch import Tensor

from nightjar.learn.checkpoint import LoadedModel
from nightjar.learn.histories import Histories, histories_from_arrow
from nightjar.score.catalogue import Catalogue


class CatalogueModel:
    """What scoring and evaluation share, so that a person is judged on what is served.

    The catalogue's items that the model does not know have `known_N` False and no score.
    """

    @torch.inference_mode()
    def __init__(self, loaded: LoadedModel, catalogue: Catalogue) -> None:
        self.model, self.conf, self.vocabulary = loaded
        self.model.eval()
        indices_N = torch.from_numpy(self.vocabulary.encode(catalogue.item_ids))
        self.table_VD = self.model.as_scored(self.model.item_table()).detach()
        self.items_ND = self.table_VD[indices_N]
        self.known_N = indices_N > 0

    def read(self, rows: pa.RecordBatch) -> Histories:
        """What the model reads of each person: the latest known entries."""
        return histories_from_arrow(rows, self.vocabulary, max_length=self.conf.max_length)

    @torch.inference_mode()
    def states(self, histories: Histories) -> Tensor:
        """states_BD after the last entry; histories without entries give states without meaning."""
        batch = histories.batch(self.conf.max_length)
        states_BLD = self.model.encode(batch)
        last_B = (batch.lengths_B - 1).clamp(min=0)
        return states_BLD[torch.arange(len(last_B)), last_B]
