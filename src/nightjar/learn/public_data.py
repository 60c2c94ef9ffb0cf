"""Data sets as the literature shares them, as lists of items, and as rows of `sequences`.

Reads text files with one person per line (the person, then items in order, between white space; plain
or gzip), folders with `train_sessions.parquet` (`session`) and `test.parquet` (`prefix`, `target`), and
folders of `sequences` files.
Item ids are names: they are never counted with or compared.
"""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightjar.contracts import SEQUENCES, BadInput, Kind, Platform
from nightjar.contracts.render import arrow_schema
from nightjar.learn.histories import open_parquet
from nightjar.learn.protocols import Cases

_GZIP = b"\x1f\x8b"

#: Such data knows no time; a place in the order stands for a second.
_UNDATED = date(1970, 1, 1)


class Sessions(NamedTuple):
    train: pa.ListArray
    test: Cases


def read_people(path: Path) -> pa.ListArray:
    """Each person's items, as strings, in the order of the lines; empty lines count for nothing.

    Raises:
        BadInput: no such file, or no text in it.
    """
    try:
        content = path.read_bytes()
        text = (gzip.decompress(content) if content.startswith(_GZIP) else content).decode("utf-8")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {path} as text: {error}", f"ls -l {path}") from error
    lines = pc.utf8_trim_whitespace(pa.array(text.split("\n"), pa.string()))
    lines = lines.filter(pc.not_equal(lines, ""))
    if not len(lines):
        raise BadInput(f"{path} names nobody", "one person per line: the person, then items in order")
    return pc.list_slice(pc.utf8_split_whitespace(lines), 1)


def read_sessions(folder: Path) -> Sessions:
    """Training sessions, and the questions of the test whose prefix has an item.

    Raises:
        BadInput: a file or a column is missing.
    """
    try:
        train = pq.read_table(folder / "train_sessions.parquet", columns=["session"])["session"]
        test = pq.read_table(folder / "test.parquet", columns=["prefix", "target"])
    except (OSError, pa.ArrowInvalid) as error:
        raise BadInput(
            f"{folder} holds no sessions: {error}", "see that train_sessions.parquet and test.parquet are there"
        ) from error
    cases = Cases(_names(test["prefix"]), test["target"].combine_chunks().cast(pa.string()))
    asked = pc.greater(pc.list_value_length(cases.histories), 0)
    return Sessions(_names(train), Cases(*(part.filter(asked) for part in cases)))


def read_sequences(folder: Path) -> tuple[pa.ListArray, pa.ListArray]:
    """Item ids, and their times in seconds, of all rows of a folder's `sequences` files.

    Raises:
        BadInput: no such file, or one that is no `sequences` file.
    """
    files = sorted(folder.glob("*.parquet"))
    if not files:
        raise BadInput(f"{folder} holds no Parquet file", "name the folder of a sequences partition")
    for file in files:
        open_parquet(file).close()
    rows = pa.concat_tables([pq.ParquetFile(file).read(columns=["item_ids", "event_ts"]) for file in files])
    return _names(rows["item_ids"]), rows["event_ts"].combine_chunks()


def _names(lists: pa.ChunkedArray) -> pa.ListArray:
    return lists.combine_chunks().cast(pa.list_(pa.string()))


def sequence_rows(histories: pa.ListArray) -> pa.Table:
    """Rows of the `sequences` contract: everything is a view, an hour's session, a second after the one before."""
    lengths = np.asarray(pc.list_value_length(histories)).astype(np.int64)
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    num_entries = int(offsets[-1])
    places = np.arange(num_entries) - np.repeat(offsets[:-1], lengths)
    entries = {
        "item_ids": histories.flatten(),
        "kinds": np.full(num_entries, Kind.VIEW.code),
        "event_ts": places,
        "platforms": np.zeros(num_entries, np.int64),
        "session_ordinals": np.ones(num_entries, np.int64),
        "price_buckets": np.zeros(num_entries, np.int64),
        "category_codes": np.zeros(num_entries, np.int64),
    }
    columns: dict[str, pa.Array] = {
        "user_id": pa.array([f"{row:016x}" for row in range(len(histories))]),
        "dt": pa.array([_UNDATED] * len(histories)),
        "num_events": pa.array(lengths),
        "last_platform": pa.array([Platform.OTHER.value] * len(histories)),
    }
    for name, values in entries.items():
        columns[name] = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values))
    schema = arrow_schema(SEQUENCES)
    return pa.table([columns[name].cast(schema.field(name).type) for name in schema.names], schema=schema)
