"""Rows of `user_features` as a matrix: which columns a model reads, and in which order.

Legend: B = people, F = columns.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.contracts import USER_FEATURES, BadInput

Matrix = NDArray[np.float32]

#: Words of a column that a model tells apart, the most frequent ones; others are unknown to it.
MAX_WORDS = 64

#: What a row is called by and as of when; no model reads it.
_NAMES = ("user_id", "dt")


@dataclass(frozen=True)
class Columns:
    """The columns of a matrix, in order: numbers, then words as places in a list."""

    numbers: tuple[str, ...]
    words: Mapping[str, tuple[str, ...]]

    @classmethod
    def of(cls, features: pa.Table, *, sensitive: Collection[str] = ()) -> Columns:
        """All that the contract does not call sensitive, and the sensitive ones named here.

        Args:
            features: whose words are counted, `user_features` of the people that a model learns from.

        Raises:
            BadInput: a name is no sensitive column of `user_features`.
        """
        declared = {column.name for column in USER_FEATURES.columns if column.sensitive}
        if unknown := sorted(set(sensitive) - declared):
            raise BadInput(
                f"no sensitive columns of user_features: {', '.join(unknown)}",
                f"--set 'predict.sensitive={sorted(declared)}', or fewer of them",
            )
        read = [one for one in USER_FEATURES.columns if one.name not in _NAMES]
        read = [one for one in read if not one.sensitive or one.name in sensitive]
        numbers = tuple(one.name for one in read if one.type != "string")
        words = {one.name: _frequent(features.column(one.name)) for one in read if one.type == "string"}
        return cls(numbers, words)

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.numbers, *self.words)

    @property
    def categorical(self) -> list[int]:
        """Places of the columns whose numbers are words."""
        return list(range(len(self.numbers), len(self.names)))

    def matrix(self, features: pa.Table) -> Matrix:
        """One row per person, in the order of the table; not a number where a value is null or a word is unknown."""
        columns = [_floats(features.column(name)) for name in self.numbers]
        for name, words in self.words.items():
            places = pc.index_in(features.column(name), pa.array(words, pa.string()))
            columns.append(_floats(places))
        found_BF: Matrix = np.stack(columns, axis=1) if columns else np.empty((features.num_rows, 0), np.float32)
        return found_BF

    def dump(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"numbers": list(self.numbers), "words": {name: list(words) for name, words in self.words.items()}}

    @classmethod
    def load(cls, said: Mapping[str, Any]) -> Columns:
        return cls(tuple(said["numbers"]), {name: tuple(words) for name, words in said["words"].items()})


def _frequent(column: pa.ChunkedArray) -> tuple[str, ...]:
    """The most frequent words, ties by name."""
    counted = pc.value_counts(column.combine_chunks().drop_null())
    tally = [(-one["counts"], one["values"]) for one in counted.to_pylist()]
    return tuple(word for _, word in sorted(tally)[:MAX_WORDS])


def _floats(column: pa.ChunkedArray) -> Matrix:
    values: Matrix = column.cast(pa.float32()).to_numpy().astype(np.float32)
    return values
