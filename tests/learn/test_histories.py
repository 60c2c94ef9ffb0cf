from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.learn.sequence_files import START, write_sequences

from nightjar.contracts import BadInput
from nightjar.learn.histories import histories_from_arrow, read_histories
from nightjar.learn.vocabulary import Vocabulary

ABC = Vocabulary(("a", "b", "c"))


def test_unknown_items_go_first_then_the_latest_stay(tmp_path: Path) -> None:
    file = write_sequences(tmp_path / "part", [["a", "x", "b", "c"], [], ["x", "y"], ["c"]])
    (histories,) = read_histories([file], ABC, max_length=2, rows_per_batch=100)
    assert histories.items.tolist() == [2, 3, 3]
    assert histories.kinds.tolist() == [3, 1, 1]  # of the entries that stayed
    assert histories.times.tolist() == [START + 120, START + 180, START]
    assert histories.offsets.tolist() == [0, 2, 2, 2, 3]
    assert histories.num_unknown == 3


def test_batch_pads_on_the_right_and_cuts_on_the_left(tmp_path: Path) -> None:
    file = write_sequences(tmp_path / "part", [["a", "b", "c"], [], ["b"]])
    (histories,) = read_histories([file], ABC, max_length=9, rows_per_batch=100)
    batch = histories.batch(2)
    assert batch.items_BL.tolist() == [[2, 3], [0, 0], [2, 0]]
    assert batch.kinds_BL.tolist() == [[2, 3], [0, 0], [1, 0]]
    assert batch.times_BL.tolist() == [[START + 60, START + 120], [0, 0], [START, 0]]
    assert batch.lengths_B.tolist() == [2, 0, 1]
    assert histories.take(np.array([1])).batch(2).items_BL.tolist() == [[0]]  # one column even of nothing
    assert histories.take(np.array([], np.int64)).batch(2).items_BL.shape == (0, 1)


def test_every_row_once_in_file_order_whatever_the_batch_size(tmp_path: Path) -> None:
    rows = [["a"] * (1 + number % 4) for number in range(25)]
    files = [
        write_sequences(tmp_path / "one", rows[:11], row_group_size=4),
        write_sequences(tmp_path / "two", rows[11:], first_user=11, row_group_size=100),
    ]
    for rows_per_batch in (1, 3, 1000):
        read = list(read_histories(files, ABC, max_length=9, rows_per_batch=rows_per_batch))
        assert max(len(histories) for histories in read) <= rows_per_batch
        users = [user for histories in read for user in histories.user_ids.to_pylist()]
        assert users == [f"{number:016x}" for number in range(25)]
        assert [n for histories in read for n in histories.lengths.tolist()] == [len(row) for row in rows]


def test_equals_a_plain_definition_on_random_rows() -> None:
    random = np.random.default_rng(20010115)
    names = ["a", "b", "c", "x", "y"]
    rows = [[names[i] for i in random.integers(0, 5, random.integers(0, 9))] for _ in range(300)]
    table = pa.table(
        {
            "user_id": [str(number) for number in range(300)],
            "item_ids": pa.array(rows, pa.list_(pa.string())),
            "kinds": pa.array([[1] * len(row) for row in rows], pa.list_(pa.int32())),
            "event_ts": pa.array([list(range(len(row))) for row in rows], pa.list_(pa.int64())),
        }
    ).slice(7, 250)  # a slice: offsets that do not begin at zero
    histories = histories_from_arrow(table, ABC, max_length=3).latest(2, skip=1)
    for person, row in enumerate(rows[7:257]):
        known = [(ABC.items.index(item) + 1, time) for time, item in enumerate(row) if item in ABC.items]
        expected = known[-3:][:-1][-2:]
        part = slice(histories.offsets[person], histories.offsets[person + 1])
        found = list(zip(histories.items[part].tolist(), histories.times[part].tolist(), strict=True))
        assert found == expected, f"row {person}: {row}"


def test_broken_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("user_id,item_ids\n")
    with pytest.raises(BadInput, match=r"cannot read .*text"):
        list(read_histories([tmp_path / "text"], ABC, max_length=2, rows_per_batch=1))
    pq.write_table(pa.table({"user_id": ["u"]}), tmp_path / "narrow")
    with pytest.raises(BadInput, match="lacks the columns event_ts, item_ids, kinds"):
        list(read_histories([tmp_path / "narrow"], ABC, max_length=2, rows_per_batch=1))
    with pytest.raises(BadInput, match="absent"):
        list(read_histories([tmp_path / "absent"], ABC, max_length=2, rows_per_batch=1))
