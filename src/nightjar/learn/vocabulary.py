"""Item ids and the row numbers that a model knows them by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightjar.contracts import BadInput


@dataclass(frozen=True)
class Vocabulary:
    """Item `items[i]` has index `i + 1`; index 0 is padding, and what an unknown item becomes."""

    items: tuple[str, ...]

    @property
    def size(self) -> int:
        """Number of items, padding not counted."""
        return len(self.items)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the items in order, each with its length in front so that no two lists collide."""
        digest = hashlib.sha256()
        for item in self.items:
            name = item.encode()
            digest.update(len(name).to_bytes(8, "big") + name)
        return digest.hexdigest()

    @cached_property
    def _arrow(self) -> pa.Array:
        return pa.array(self.items, pa.string())

    def encode(self, item_ids: pa.Array | pa.ChunkedArray) -> np.ndarray:
        """Indices (int64) of item ids; 0 for unknown and null ones.

        The look-up table is built anew on each call (O(vocabulary)), so pass many ids at once.
        """
        if pa.types.is_dictionary(item_ids.type):
            item_ids = item_ids.cast(item_ids.type.value_type)
        found = pc.index_in(item_ids, self._arrow.cast(item_ids.type))
        return np.asarray(pc.fill_null(found, -1)).astype(np.int64) + 1

    def decode(self, indices: np.ndarray) -> pa.Array:
        """Item ids of indices in 1..size.

        Raises:
            pa.ArrowIndexError: an index outside of that range; padding has no name.
        """
        return self._arrow.take(pa.array(np.asarray(indices, dtype=np.int64) - 1))

    def decode_known(self, indices: np.ndarray) -> pa.Array:
        """Item ids of indices in 0..size; null for padding."""
        return self._arrow.take(pa.array(np.asarray(indices, dtype=np.int64) - 1, mask=np.asarray(indices) == 0))

    def save(self, path: Path) -> None:
        path.write_text(json.dumps({"digest": self.digest, "items": self.items}, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Vocabulary:
        return cls(tuple(json.loads(path.read_text(encoding="utf-8"))["items"]))

    @classmethod
    def from_files(cls, paths: Iterable[str | Path]) -> Vocabulary:
        """Read the `vocabulary` table's Parquet files.

        Raises:
            BadInput: the indices are not 1, 2, ... without gap or repeat.
        """
        tables = [pq.ParquetFile(path).read(columns=["item_id", "item_index"]) for path in paths]
        if not tables:
            raise BadInput("a vocabulary of no files", "run the job sequences for this day")
        rows = pa.concat_tables(tables).sort_by("item_index")
        if not np.array_equal(np.asarray(rows["item_index"]), np.arange(1, rows.num_rows + 1)):
            raise BadInput("vocabulary: item_index does not count 1, 2, 3", "run the job sequences for this day again")
        return cls(tuple(rows["item_id"].to_pylist()))
