"""Files as people share them, written by hand."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightjar.contracts import SEQUENCES, BadInput
from nightjar.contracts.render import arrow_schema
from nightjar.learn.public_data import read_people, read_sessions, sequence_rows

TEXT = "7 10 11 10\n\n  8\t12 \r\n9\n"


def lists(*rows: list[str]) -> pa.ListArray:
    return pa.array(rows, pa.list_(pa.string()))


@pytest.mark.parametrize("packed", [False, True])
def test_people_by_line(tmp_path: Path, packed: bool) -> None:
    file = tmp_path / "people"
    file.write_bytes(gzip.compress(TEXT.encode()) if packed else TEXT.encode())
    assert read_people(file).to_pylist() == [["10", "11", "10"], ["12"], []]


@pytest.mark.parametrize("content", [b"\n \n", b"\x1f\x8bno", b"\xff\xfe"])
def test_no_people(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "people").write_bytes(content)
    with pytest.raises(BadInput, match="people"):
        read_people(tmp_path / "people")


def test_sessions_of_numbers_become_names(tmp_path: Path) -> None:
    pq.write_table(pa.table({"session": [[1, 2], [3]]}), tmp_path / "train_sessions.parquet")
    pq.write_table(pa.table({"prefix": [[1], [], [2, 3]], "target": [2, 1, 4]}), tmp_path / "test.parquet")
    train, test = read_sessions(tmp_path)
    assert train.to_pylist() == [["1", "2"], ["3"]]
    assert test.histories.to_pylist() == [["1"], ["2", "3"]]
    assert test.targets.to_pylist() == ["2", "4"]


def test_a_folder_without_sessions_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"train_sessions\.parquet"):
        read_sessions(tmp_path)


def test_rows_fit_the_contract() -> None:
    rows = sequence_rows(lists(["a", "b"], [], ["c"]))
    assert rows.schema.equals(arrow_schema(SEQUENCES))
    assert rows["item_ids"].to_pylist() == [["a", "b"], [], ["c"]]
    assert rows["event_ts"].to_pylist() == [[0, 1], [], [0]]
    assert rows["num_events"].to_pylist() == [2, 0, 1]
    assert len(set(rows["user_id"].to_pylist())) == 3
