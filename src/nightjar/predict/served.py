"""What serves a task, whatever its kind: one protocol for the jobs, a reader for what was written.

Legend: B = people.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.contracts import BadInput

Floats = NDArray[np.float64]

#: What a model reads beside rows of `user_features`: answers of the shared encoder's heads, the accounts on people's
#: devices and how surprising their histories are, or nothing.
Reads = Literal["heads", "accounts", ""]

#: What the folder of any kind holds.
FILE = "task.json"

#: Reasons of a person at most.
NAMED = 3


class Foretold(NamedTuple):
    """Columns of `foretold`, one entry per person."""

    probability_B: Floats
    decile_B: NDArray[np.int64]
    flagged_B: NDArray[np.bool_]
    contender: str
    reasons_B: pa.ListArray
    outcome_B: pa.Array | None = None  #: of several outcomes the likeliest


class Served(Protocol):
    """A fitted model of a task."""

    @property
    def task(self) -> str: ...

    @property
    def reads(self) -> Reads: ...

    @property
    def silent(self) -> bool:
        """Whether nothing is foretold: no model was good enough."""
        ...

    def foretell(self, features: pa.Table, encoder_B: Floats) -> Foretold:
        """What is said of these people; asked only of what is not silent.

        Args:
            features: rows of `user_features`, with what `reads` names.
            encoder_B: answers of the task's head; read by those that read heads only.
        """
        ...

    def save(self, folder: Path) -> None:
        """Write JSON and texts, nothing pickled; `FILE` names the task."""
        ...


def strongest(moved_BF: Floats, names: tuple[str, ...], *, above: float = 0.0) -> pa.ListArray:
    """Names of the largest entries of each row above a bound, largest first.

    >>> strongest(np.array([[0.1, 2.0, -1.0], [0.0, -1.0, -1.0]]), ("a", "b", "c")).to_pylist()
    [['b', 'a'], []]
    """
    order_BF = np.argsort(-moved_BF, axis=1, kind="stable")[:, :NAMED]
    raised_BF = np.take_along_axis(moved_BF, order_BF, axis=1) > above
    offsets = np.concatenate([[0], np.cumsum(raised_BF.sum(1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(names, pa.string()).take(pa.array(order_BF[raised_BF])))


def write_json(folder: Path, said: Mapping[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / FILE).write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")


def read_json(folder: Path) -> dict[str, Any]:
    """Raises BadInput where there is none."""
    try:
        said: dict[str, Any] = json.loads((folder / FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{folder} holds no fitted task: {error}", AGAIN) from error
    return said


AGAIN = "make nightly SET=predict.force=true"
