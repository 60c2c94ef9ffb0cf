from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightjar.contracts import BadInput
from nightjar.learn.vocabulary import Vocabulary

ANIMALS = Vocabulary(("owl", "nightjar", "bat"))


def test_indices_count_from_one_and_unknown_items_become_padding() -> None:
    ids = pa.chunked_array([["bat", "moth"], [None, "owl", "owl"]])
    indices = ANIMALS.encode(ids)
    assert indices.tolist() == [3, 0, 0, 1, 1]
    assert indices.dtype == np.int64
    assert ANIMALS.encode(pa.array([], pa.string())).tolist() == []
    assert ANIMALS.encode(pa.array(["bat", "owl"], pa.large_string())).tolist() == [3, 1]
    assert ANIMALS.encode(pa.array(["bat", "x", "bat"]).dictionary_encode()).tolist() == [3, 0, 3]


def test_decode_gives_the_ids_back() -> None:
    assert ANIMALS.decode(np.array([2, 1, 2])).to_pylist() == ["nightjar", "owl", "nightjar"]
    with pytest.raises(pa.ArrowIndexError):
        ANIMALS.decode(np.array([0]))


def test_digest_is_of_the_items_in_order() -> None:
    expected = hashlib.sha256(b"".join(len(name).to_bytes(8, "big") + name for name in (b"owl", b"nightjar", b"bat")))
    assert ANIMALS.digest == expected.hexdigest()
    assert Vocabulary(("nightjar", "owl", "bat")).digest != ANIMALS.digest
    assert Vocabulary(("ab", "c")).digest != Vocabulary(("a", "bc")).digest


def test_save_and_load(tmp_path: Path) -> None:
    strange = Vocabulary(("größe 38", "日本", 'a"b\\c', ""))
    strange.save(tmp_path / "vocabulary.json")
    assert Vocabulary.load(tmp_path / "vocabulary.json") == strange


def test_from_files_orders_by_index_over_all_files(tmp_path: Path) -> None:
    for name, ids, indices in (("a", ["x", "z"], [3, 1]), ("b", ["y"], [2])):
        pq.write_table(pa.table({"item_id": ids, "item_index": pa.array(indices, pa.int32())}), tmp_path / name)
    assert Vocabulary.from_files([tmp_path / "a", tmp_path / "b"]).items == ("z", "y", "x")
    with pytest.raises(BadInput, match="does not count"):
        Vocabulary.from_files([tmp_path / "a"])
