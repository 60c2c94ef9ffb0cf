"""Small `sequences` files with a planted signal, for the tests of this room."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

START = 979585200  # 2001-01-15T19:00Z


def write_sequences(
    path: Path, histories: Sequence[Sequence[str]], *, first_user: int = 0, row_group_size: int = 1000
) -> Path:
    """One row per history; user ids count up from `first_user`."""
    num_rows = len(histories)
    columns = {
        "user_id": pa.array([f"{first_user + row:016x}" for row in range(num_rows)]),
        "item_ids": pa.array([list(history) for history in histories], pa.list_(pa.string())),
        "kinds": pa.array([[1 + place % 3 for place in range(len(h))] for h in histories], pa.list_(pa.int32())),
        "event_ts": pa.array([[START + 60 * p for p in range(len(h))] for h in histories], pa.list_(pa.int64())),
    }
    pq.write_table(pa.table(columns), path, row_group_size=row_group_size)
    return path


def successions(num_users: int, *, num_items: int, seed: int, longest: int = 12) -> list[list[str]]:
    """Histories that walk round a ring of items: item `i<n>` is followed by `i<n + 1>`."""
    random = np.random.default_rng(seed)
    starts, lengths = random.integers(0, num_items, num_users), random.integers(1, longest + 1, num_users)
    return [
        [f"i{(start + place) % num_items}" for place in range(length)]
        for start, length in zip(starts, lengths, strict=True)
    ]
