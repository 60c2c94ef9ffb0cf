"""Training batches from Parquet: seeded, sharded and resumable, in bounded memory.

An epoch is a sequence of global batches that depends on (seed, epoch) only. Each rank takes its
share of every one of them, so any number of processes sees the same steps, each person with a
target is trained on exactly once per epoch, and (epoch, step) is all that a resume needs to know.

The price: every rank decodes every row. Beside logits over thousands of items that is little, and no
rank needs to talk to another about data.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray
from torch import Tensor

from nightjar import settings
from nightjar.learn.batch import Batch
from nightjar.learn.histories import Histories, columns_of, histories_from_arrow, open_parquet, read_histories
from nightjar.learn.vocabulary import Vocabulary

Indices = NDArray[np.int64]

#: Global batches that are sorted by length together: long enough for little padding, short enough
#: that a batch does not always meet the same neighbours.
BATCHES_PER_POOL = 64


class Examples(NamedTuple):
    """One rank's share of a global batch. N counts real targets, in row-major order of the inputs."""

    inputs: Batch
    targets_N: Tensor  #: int64 item index that follows each real entry of `inputs`
    num_targets: int  #: of the whole global batch, over all ranks

    def to(self, device: torch.device | str) -> Examples:
        return self._replace(inputs=self.inputs.to(device), targets_N=self.targets_N.to(device, non_blocking=True))


@dataclass(frozen=True)
class Census:
    """What a training set holds."""

    num_users: int
    num_trained_users: int  # with at least one target
    num_validation_users: int
    num_targets: int  # per epoch
    num_unknown: int  # entries whose item the vocabulary lacks


class TrainingSet:
    """Next-item examples of `sequences` files.

    A user with history i1..in gives the targets i2..in, each predicted from everything before it.
    Of validation users the last item is kept apart for `validation`.
    """

    #: whether what somebody has seen is no candidate when the epoch is chosen
    without_seen = False

    def __init__(
        self,
        files: Sequence[str | Path],
        vocabulary: Vocabulary,
        conf: settings.Train,
        *,
        max_length: int,
        rows_in_memory: int = 65_536,
    ) -> None:
        """`max_length` cuts histories to their latest entries; about 2 * `rows_in_memory` rows are held."""
        self.files, self.vocabulary, self.conf = list(files), vocabulary, conf
        self.max_length, self.rows_in_memory = max_length, rows_in_memory
        self.row_groups: list[tuple[str | Path, int]] = []
        self.num_rows = 0
        for file in self.files:
            with open_parquet(file) as parquet:
                self.row_groups += [(file, group) for group in range(parquet.num_row_groups)]
                self.num_rows += parquet.metadata.num_rows

    def batches(self, epoch: int, *, rank: int, world: int, start: int = 0) -> Iterator[Examples]:
        """This rank's share of the epoch's global batches, from number `start` on.

        Every rank gets the same number of steps; a share may be empty.
        """
        random = np.random.default_rng([self.conf.seed, epoch])
        step = 0
        for buffer in self._buffers(random):
            for people in self._global_batches(buffer, random):
                if step >= start:
                    chance = np.random.default_rng([self.conf.seed, epoch, step])
                    yield self._examples(buffer, people, rank, world, chance)
                step += 1

    def validation(self, *, rank: int, world: int) -> Iterator[tuple[Batch, Tensor]]:
        """This rank's validation users: their history without its last item, and that item.

        Whole batches go to ranks in turn, so ranks get different numbers of them.
        """
        turn = 0
        for buffer in self._in_file_order():
            people = np.flatnonzero(self._held_out(buffer) == 1)
            people = people[np.argsort(buffer.lengths[people], kind="stable")]
            for chosen in _chunks(people, self.conf.batch_users):
                if turn % world == rank:
                    histories = buffer.take(chosen)
                    targets_B = torch.from_numpy(histories.items[histories.offsets[1:] - 1])
                    yield histories.latest(self.max_length, skip=1).batch(self.max_length), targets_B
                turn += 1

    def census(self) -> Census:
        """Count everything in one pass over the files."""
        totals = np.zeros(5, np.int64)
        for buffer in self._in_file_order():
            num_targets = self._num_targets(buffer)
            validated = self._held_out(buffer).sum()
            totals += [len(buffer), (num_targets > 0).sum(), validated, num_targets.sum(), buffer.num_unknown]
        return Census(*totals.tolist())

    def item_counts(self) -> Indices:
        """How often each item occurs, by item index; the files are read once."""
        counts_V = np.zeros(self.vocabulary.size + 1, np.int64)
        for buffer in self._in_file_order():
            counts_V += np.bincount(buffer.items, minlength=len(counts_V))
        return counts_V

    # -- rows

    @cached_property
    def _whole(self) -> Histories:
        """All rows; only asked for when they fit."""
        return concatenated(list(self._read(range(len(self.row_groups)))))

    def _in_file_order(self) -> Iterator[Histories]:
        if self.num_rows <= self.rows_in_memory:
            return iter([self._whole])
        return read_histories(
            self.files, self.vocabulary, max_length=self.max_length + 1, rows_per_batch=self.rows_in_memory
        )

    def _buffers(self, random: np.random.Generator) -> Iterator[Histories]:
        """All rows in shuffled row groups, at least `rows_in_memory` at a time except for the last."""
        if self.num_rows <= self.rows_in_memory:
            yield self._whole
            return
        waiting: list[Histories] = []
        for histories in self._read(random.permutation(len(self.row_groups)).tolist()):
            waiting.append(histories)
            if sum(map(len, waiting)) >= self.rows_in_memory:
                yield concatenated(waiting)
                waiting = []
        if waiting:
            yield concatenated(waiting)

    def _read(self, row_groups: Sequence[int]) -> Iterator[Histories]:
        for number in row_groups:
            file, group = self.row_groups[number]
            with open_parquet(file) as parquet:
                batches = parquet.iter_batches(self.rows_in_memory, row_groups=[group], columns=columns_of(parquet))
                for rows in batches:
                    yield histories_from_arrow(rows, self.vocabulary, max_length=self.max_length + 1)

    # -- people

    def _held_out(self, histories: Histories) -> Indices:
        """1 for validation users with a history before their last item, else 0."""
        share = min(self.conf.validation_share, self.conf.max_validation_users / max(1, self.num_rows))
        chosen = hashed_share(histories.user_ids) < share
        return np.where(chosen & (histories.lengths >= 2), np.int64(1), np.int64(0))

    def _num_targets(self, histories: Histories) -> Indices:
        return np.minimum(np.maximum(histories.lengths - self._held_out(histories) - 1, 0), self.max_length)

    def _global_batches(self, buffer: Histories, random: np.random.Generator) -> list[np.ndarray]:
        """People with targets, each once, in batches of similar length and of about as many targets, in random order.

        As many: each step is one step of the optimizer, so a step of few targets would make
        each of them count for more, and the longest histories would set the memory that is needed.
        """
        num_targets = self._num_targets(buffer)
        people = random.permutation(np.flatnonzero(num_targets))
        batches: list[np.ndarray] = []
        for pool in _chunks(people, BATCHES_PER_POOL * self.conf.batch_users):
            by_length = pool[np.argsort(num_targets[pool], kind="stable")]
            upto = np.cumsum(num_targets[by_length])
            num_batches = -(-len(pool) // self.conf.batch_users)
            ends = np.searchsorted(upto, upto[-1] * np.arange(1, num_batches) / num_batches)
            batches += [batch for batch in np.split(by_length, ends) if len(batch)]
        return [batches[number] for number in random.permutation(len(batches))]

    def _examples(
        self, buffer: Histories, people: np.ndarray, rank: int, world: int, chance: np.random.Generator
    ) -> Examples:
        """Every `world`-th person from `rank` on: the batch is sorted by length, so shares weigh the same."""
        everyone = buffer.take(people)
        num_targets = int(self._num_targets(everyone).sum())
        histories = everyone.latest(self.max_length + 1, skip=self._held_out(everyone))
        asked = replace(histories, items=histories.items[self._later(histories.offsets, chance)])
        mine = np.arange(rank, len(people), world)
        histories, asked = histories.take(mine), asked.take(mine)
        is_target = np.ones(len(histories.items), bool)
        is_target[histories.offsets[:-1]] = False  # nothing precedes the oldest entry
        inputs = histories.latest(self.max_length, skip=1).batch(self.max_length)
        return Examples(inputs, torch.from_numpy(asked.items[is_target]), num_targets)

    def _later(self, offsets: Indices, chance: np.random.Generator) -> Indices:
        """Which entry is asked for in the place of each: itself, or with `target_decay` one behind it.

        Where order says little, what comes soon is as good an answer as what comes next, and there is more
        of it (after the dense all-action loss of PinnerFormer, https://arxiv.org/abs/2205.04507). How many
        places behind follows a geometric distribution that ends with the history. Drawn for all ranks
        alike, so that their number changes nothing.
        """
        places: Indices = np.arange(offsets[-1], dtype=np.int64)
        decay = self.conf.target_decay
        if not decay:
            return places
        num_behind = np.repeat(offsets[1:], np.diff(offsets)) - 1 - places
        drawn = chance.random(len(places)) * (1 - decay ** (num_behind + 1))
        later: Indices = places + np.minimum(np.floor(np.log1p(-drawn) / np.log(decay)).astype(np.int64), num_behind)
        return later


def concatenated(parts: Sequence[Histories]) -> Histories:
    """The people of all parts, in order."""
    if not parts:
        nothing = np.zeros(0, np.int64)
        return Histories(pa.array([], pa.string()), nothing, nothing, nothing, np.zeros(1, np.int64), 0)
    lengths = np.concatenate([part.lengths for part in parts])
    return Histories(
        pa.concat_arrays([part.user_ids for part in parts]),
        np.concatenate([part.items for part in parts]),
        np.concatenate([part.kinds for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)]),
        sum(part.num_unknown for part in parts),
        *(_all_or_none(flats) for flats in zip(*(part.more for part in parts), strict=True)),
    )


def _all_or_none(flats: tuple[np.ndarray | None, ...]) -> np.ndarray | None:
    """What one file lacks is unknown for all: half of a training with and half without would teach nonsense."""
    known = [flat for flat in flats if flat is not None]
    return np.concatenate(known) if len(known) == len(flats) else None


def hashed_share(names: pa.Array) -> np.ndarray:
    """A number in [0, 1) per name that depends on the name's bytes only: the same on every day and machine.

    A polynomial in the bytes modulo 2^64, mixed by the finaliser of SplitMix64 (Steele, Lea & Flood
    2014, https://doi.org/10.1145/2660193.2660195). Not for secrets.
    """
    text = names.cast(pa.large_binary())
    _, offset_bytes, letter_bytes = text.buffers()
    bounds = np.frombuffer(offset_bytes, np.int64)[text.offset : text.offset + len(text) + 1]
    letters = np.frombuffer(letter_bytes or b"", np.uint8)[bounds[0] : bounds[-1]].astype(np.uint64)
    bounds = bounds - bounds[0]
    lengths = np.diff(bounds)
    powers = np.cumprod(np.full(int(lengths.max(initial=0)), 0x100000001B3, np.uint64))
    place = np.arange(len(letters)) - np.repeat(bounds[:-1], lengths)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum((letters + np.uint64(1)) * powers[place])])
    mixed = sums[bounds[1:]] - sums[bounds[:-1]] + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    shares: np.ndarray = (mixed ^ (mixed >> np.uint64(31))) / 2.0**64
    return shares


def _chunks(values: np.ndarray, size: int) -> list[np.ndarray]:
    return [values[start : start + size] for start in range(0, len(values), size)]
