"""Histories of people as flat arrays with offsets, and their reading from Parquet."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch

from nightjar.contracts import BadInput
from nightjar.learn.batch import Batch
from nightjar.learn.vocabulary import Vocabulary

#: Columns of the `sequences` and `holdout` tables that are read.
COLUMNS = ("user_id", "item_ids", "kinds", "event_ts")

#: Longer than any history: whoever reads that many entries reads whole rows of `sequences`.
WHOLE = 2**31 - 1

#: Columns of `sequences` that are read where the files have them.
MORE_COLUMNS = ("platforms", "price_buckets", "session_ordinals", "category_codes")


@dataclass(frozen=True)
class Histories:
    """Several people's histories without padding.

    Person `p` owns entries `offsets[p]:offsets[p + 1]` of `items` and the others, oldest first.
    """

    user_ids: pa.Array
    items: np.ndarray  #: int64 item index, never 0
    kinds: np.ndarray  #: int64 `Kind.code`
    times: np.ndarray  #: int64 seconds since 1970-01-01 UTC
    offsets: np.ndarray  #: int64, one more than people
    num_unknown: int  #: entries that were dropped because the vocabulary lacks the item
    # None where the rows have no such column.
    platforms: np.ndarray | None = None  #: int64 `Platform.code`
    price_buckets: np.ndarray | None = None  #: int64 1 to 10; 0 is unknown
    sessions: np.ndarray | None = None  #: int64 ordinal of the session, from 1
    categories: np.ndarray | None = None  #: int64 code of the item's category, from 1; 0 is unknown

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    @property
    def more(self) -> tuple[np.ndarray | None, ...]:
        """What some rows lack, in the order of `MORE_COLUMNS`."""
        return self.platforms, self.price_buckets, self.sessions, self.categories

    def take(self, people: np.ndarray) -> Histories:
        """These people only, in this order."""
        return self._slice(self.user_ids.take(pa.array(people)), self.offsets[people], self.lengths[people])

    def of(self, user_ids: pa.Array) -> Histories:
        """These people in this order; whoever is not here has no entry."""
        found = pc.index_in(user_ids, self.user_ids.cast(user_ids.type)).to_numpy(zero_copy_only=False)
        known = ~np.isnan(found.astype(np.float64))
        people = np.where(known, np.nan_to_num(found.astype(np.float64)), 0).astype(np.int64)
        lengths = np.where(known, self.lengths[people] if len(self) else 0, 0)
        starts = self.offsets[people] if len(self) else np.zeros(len(people), np.int64)
        return self._slice(user_ids, starts, lengths)

    def keep(self, which: np.ndarray) -> Histories:
        """The entries that the mask marks; everybody stays, also those without any."""
        offsets = _offsets(which)[self.offsets]
        return Histories(
            self.user_ids,
            self.items[which],
            self.kinds[which],
            self.times[which],
            offsets,
            self.num_unknown,
            *(None if flat is None else flat[which] for flat in self.more),
        )

    def latest(self, max_length: int, *, skip: np.ndarray | int = 0) -> Histories:
        """The latest `max_length` entries of each person, after leaving out the `skip` newest."""
        kept = np.maximum(self.lengths - skip, 0)
        lengths = np.minimum(kept, max_length)
        return self._slice(self.user_ids, self.offsets[:-1] + kept - lengths, lengths)

    def batch(self, max_length: int) -> Batch:
        """The latest `max_length` entries of each, padded to the longest; at least one column wide."""
        latest = self.latest(max_length)
        lengths = latest.lengths
        width = max(int(lengths.max(initial=0)), 1)
        mask = np.arange(width) < lengths[:, None]

        def padded(flat: np.ndarray) -> torch.Tensor:
            grid = np.zeros(mask.shape, np.int64)
            grid[mask] = flat  # row-major, the order of the flat arrays
            return torch.from_numpy(grid)

        return Batch(
            padded(latest.items),
            padded(latest.kinds),
            padded(latest.times),
            torch.from_numpy(lengths),
            *(None if flat is None else padded(flat) for flat in latest.more),
        )

    def _slice(self, user_ids: pa.Array, starts: np.ndarray, lengths: np.ndarray) -> Histories:
        offsets = _offsets(lengths)
        entries = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Histories(
            user_ids,
            self.items[entries],
            self.kinds[entries],
            self.times[entries],
            offsets,
            self.num_unknown,
            *(None if flat is None else flat[entries] for flat in self.more),
        )


def read_histories(
    files: Sequence[str | Path], vocabulary: Vocabulary, *, max_length: int, rows_per_batch: int
) -> Iterator[Histories]:
    """Stream `sequences` or `holdout` files: each row exactly once, in file order.

    Memory is bounded by `rows_per_batch` rows beside the Parquet reader's own row group. Items
    that the vocabulary lacks are dropped first, then the latest `max_length` are kept.

    Raises:
        BadInput: a file that is no Parquet file or lacks one of `COLUMNS`.
    """
    for file in files:
        with open_parquet(file) as parquet:
            for rows in parquet.iter_batches(batch_size=rows_per_batch, columns=columns_of(parquet)):
                yield histories_from_arrow(rows, vocabulary, max_length=max_length)


def open_parquet(file: str | Path) -> pq.ParquetFile:
    try:
        parquet = pq.ParquetFile(file)
    except (OSError, pa.ArrowInvalid) as error:
        raise BadInput(f"cannot read {file} as Parquet: {error}", f"ls -l {file}") from error
    missing = set(COLUMNS) - set(parquet.schema_arrow.names)
    if missing:
        names = ", ".join(sorted(missing))
        raise BadInput(f"{file} lacks the columns {names}", "run the job sequences for this day again")
    return parquet


def columns_of(parquet: pq.ParquetFile) -> list[str]:
    """What is read of the file."""
    return [*COLUMNS, *(name for name in MORE_COLUMNS if name in parquet.schema_arrow.names)]


def histories_from_arrow(rows: pa.RecordBatch | pa.Table, vocabulary: Vocabulary, *, max_length: int) -> Histories:
    """Encode rows with `COLUMNS`; unknown items go, the latest `max_length` stay."""
    item_ids = _column(rows, "item_ids")
    items = vocabulary.encode(item_ids.flatten())
    known = items > 0
    all_offsets = _offsets(np.asarray(pc.fill_null(pc.list_value_length(item_ids), 0)))
    offsets = _offsets(known)[all_offsets]  # how many known entries precede each boundary

    def entries(name: str) -> np.ndarray | None:
        if name not in rows.schema.names:
            return None
        values: np.ndarray = np.asarray(_column(rows, name).flatten())[known].astype(np.int64)
        return values

    kinds, times = entries("kinds"), entries("event_ts")
    assert kinds is not None, COLUMNS
    assert times is not None, COLUMNS
    more = (entries(name) for name in MORE_COLUMNS)
    histories = Histories(_column(rows, "user_id"), items[known], kinds, times, offsets, int((~known).sum()), *more)
    return histories.latest(max_length)


def _column(rows: pa.RecordBatch | pa.Table, name: str) -> pa.Array:
    column = rows.column(name)
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _offsets(lengths: np.ndarray) -> np.ndarray:
    """0, then the running sum as int64."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
