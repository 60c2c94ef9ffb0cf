"""Settings that follow from the size of the data and from the processor, where a recipe says "auto".

A shop has its own data: a recipe that is good on one size only would have to be tuned by everybody. Each
rule below is a function of counts, monotone and without a data set's name; docs/experiments.md has the measurements.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from nightjar import settings
from nightjar.learn.histories import WHOLE, read_histories
from nightjar.learn.vocabulary import Vocabulary

#: Lengths to choose from: a power of two would waste half of what is one entry longer.
_LENGTHS = (10, 20, 50, 100, 200)

#: Of all people, those whose history fits whole.
_WHOLE_SHARE = 0.99

#: Up to this catalogue every item is a candidate in every step; above, a softmax over all costs more than it is worth.
_MAX_SOFTMAX_ITEMS = 60_000

_ROWS_PER_BATCH = 2**16


class DataSize(NamedTuple):
    """What the rules read."""

    num_people: int  # with a target
    num_items: int
    num_targets: int  # per epoch, of whole histories
    long_history: int  # entries: 99 % of the people have at most as many


def size_of(files: Sequence[str | Path], vocabulary: Vocabulary) -> DataSize:
    """Count `sequences` files in one pass."""
    lengths = [np.zeros(0, np.int64)]
    for rows in read_histories(files, vocabulary, max_length=WHOLE, rows_per_batch=_ROWS_PER_BATCH):
        lengths.append(rows.lengths[rows.lengths > 1])
    every = np.concatenate(lengths)
    if not len(every):
        return DataSize(0, vocabulary.size, 0, 1)
    long = int(np.quantile(every, _WHOLE_SHARE, method="higher"))
    return DataSize(len(every), vocabulary.size, int((every - 1).sum()), long)


def settled(
    model: settings.Model, train: settings.Train, files: Sequence[str | Path], vocabulary: Vocabulary
) -> tuple[settings.Model, settings.Train]:
    """`resolved` for these `sequences` files, which are read only if there is something to resolve."""
    if not (model.derived or train.derived):
        return model, train
    return resolved(model, train, size_of(files, vocabulary))


def resolved(model: settings.Model, train: settings.Train, size: DataSize) -> tuple[settings.Model, settings.Train]:
    """Both with a number in the place of each "auto"; what a recipe states stays.

    | setting | rule |
    |---|---|
    | `max_length` | of 10, 20, 50, 100, 200 the first that holds 99 % of the histories whole |
    | `dropout` | 0.5 up to 10 targets per item, then 0.1 less for each tenfold, at least 0.1 |
    | `batch_users` | as many as have 2 sqrt(targets) targets between them, at least 256, at most 8,192 |
    | `loss` | softmax over all items up to 60,000 of them, above it `sampled_softmax` |
    | `precision` | bfloat16 where the processor or a GPU multiplies in it, elsewhere it would be slower than float32 |
    """
    rules = {
        "max_length": next((length for length in _LENGTHS if length >= size.long_history), _LENGTHS[-1]),
        "dropout": round(dropout_for(size), 2),
        "batch_users": batch_users_for(size),
        "loss": "softmax" if size.num_items <= _MAX_SOFTMAX_ITEMS else "sampled_softmax",
        "precision": "bfloat16" if has_bfloat16() else "float32",
    }
    return (
        model.model_copy(update={"derived": (), **{name: rules[name] for name in model.derived}}),
        train.model_copy(update={"derived": (), **{name: rules[name] for name in train.derived}}),
    )


def dropout_for(size: DataSize) -> float:
    """Few targets per item: embeddings would be learned by heart."""
    per_item = size.num_targets / max(1, size.num_items)
    return max(0.1, 0.5 - 0.1 * math.log10(max(1.0, per_item / 10)))


def batch_users_for(size: DataSize) -> int:
    targets_per_step = min(8192.0, max(256.0, 2 * math.sqrt(size.num_targets)))
    return max(1, round(targets_per_step * size.num_people / max(1, size.num_targets)))


def has_bfloat16() -> bool:
    """Whether products in bfloat16 are made by hardware here, and not out of float32 ones."""
    able = torch.cpu.get_capabilities()
    return torch.cuda.is_available() or any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
