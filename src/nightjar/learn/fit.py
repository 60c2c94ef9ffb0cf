"""A model for one split: chosen on its validation cases, or trained for a known number of epochs.

Writes the rows to train on and the model's files into a folder that the caller gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor

from nightjar import settings
from nightjar.learn.batch import Batch
from nightjar.learn.checkpoint import Checkpoint, LoadedModel, Progress
from nightjar.learn.dataset import TrainingSet
from nightjar.learn.histories import histories_from_arrow
from nightjar.learn.loop import Log, train
from nightjar.learn.models import build
from nightjar.learn.parallel import Group
from nightjar.learn.protocols import Cases
from nightjar.learn.public_data import sequence_rows
from nightjar.learn.vocabulary import Vocabulary

#: Rows per group of the file that is written: what a shuffle of row groups moves at once.
_ROWS_PER_GROUP = 8192


class AskedSet(TrainingSet):
    """A training set that is validated by given questions rather than by its own people's last items."""

    asked: Cases | None = None

    def validation(self, *, rank: int, world: int) -> Iterator[tuple[Batch, Tensor]]:
        """This rank's share of the questions whose target and some of whose history the vocabulary knows."""
        if self.asked is None:
            return
        histories = histories_from_arrow(
            sequence_rows(self.asked.histories), self.vocabulary, max_length=self.max_length
        )
        targets = self.vocabulary.encode(self.asked.targets)
        known = np.flatnonzero((targets > 0) & (histories.lengths > 0))
        known = known[np.argsort(histories.lengths[known], kind="stable")]
        size = self.conf.batch_users
        for turn, start in enumerate(range(0, len(known), size)):
            if turn % world == rank:
                chosen = known[start : start + size]
                yield histories.take(chosen).batch(self.max_length), torch.from_numpy(targets[chosen])


class Fitted(NamedTuple):
    loaded: LoadedModel
    progress: Progress


def fit(
    histories: pa.ListArray,
    valid: Cases | None,
    model_conf: settings.Model,
    conf: settings.Train,
    *,
    folder: Path,
    group: Group,
    log: Log,
) -> Fitted:
    """Train on every history; the epoch with the best answers to `valid` stays, without them the last one.

    The vocabulary is what occurs in `histories`, most frequent first. At most `conf.max_validation_users` of
    the questions are asked after each epoch, always the same.
    """
    vocabulary = vocabulary_of(histories)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "sequences.parquet"
    pq.write_table(sequence_rows(histories), file, row_group_size=_ROWS_PER_GROUP)
    data = AskedSet(
        [file], vocabulary, conf.model_copy(update={"validation_share": 0.0}), max_length=model_conf.max_length
    )
    data.asked = valid and valid.sample(conf.max_validation_users, seed=0)
    torch.manual_seed(conf.seed)
    model = build(model_conf, vocabulary.size)
    progress = train(model, data, conf, group=group, log=log, save=_keep_nothing)
    return Fitted(LoadedModel(model.eval(), model_conf, vocabulary), progress)


def vocabulary_of(histories: pa.ListArray) -> Vocabulary:
    """Items by how often they occur, then by name."""
    items, counts = histories.flatten().value_counts().flatten()
    rows = pa.table({"items": items, "counts": counts})
    rows = rows.sort_by([("counts", "descending"), ("items", "ascending")])
    return Vocabulary(tuple(rows["items"].to_pylist()))


def _keep_nothing(checkpoint: Checkpoint) -> None:
    """A measurement that is cut short is begun again."""
