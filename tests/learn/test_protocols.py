"""Splits against rows written out by hand."""

from __future__ import annotations

import pyarrow as pa
import pytest

from nightjar.contracts import BadInput
from nightjar.learn.protocols import Cases, global_time, leave_one_out, next_items, rolling_origins, sessions


def lists(*rows: str) -> pa.ListArray:
    return pa.array([row.split() for row in rows], pa.list_(pa.string()))


def texts(histories: pa.ListArray) -> list[str]:
    return [" ".join(row) for row in histories.to_pylist()]


def asked(cases: Cases) -> list[str]:
    return [f"{history} -> {target}" for history, target in zip(texts(cases.histories), cases.targets, strict=True)]


def test_leave_one_out() -> None:
    split = leave_one_out(lists("a b c d", "x y", "p q r", "z", ""))
    assert texts(split.fitted) == ["a b", "x y", "p", "z", ""]
    assert asked(split.valid) == ["a b -> c", "p -> q"]
    assert texts(split.refitted) == ["a b c", "x y", "p q", "z", ""]
    assert asked(split.test) == ["a b c -> d", "p q -> r"]


def test_rows_of_a_slice_are_its_own() -> None:
    split = leave_one_out(lists("no no no", "a b c d", "x y z")[1:])
    assert texts(split.fitted) == ["a b", "x"]
    assert asked(split.test) == ["a b c -> d", "x y -> z"]


def test_sessions_keep_the_last_rows_for_validation() -> None:
    test = Cases(lists("q"), pa.array(["r"]))
    split = sessions(lists("a b", "c d", "e f", "g h i"), test, validation_share=0.3)
    assert texts(split.fitted) == ["a b", "c d"]
    assert asked(split.valid) == ["e -> f", "g -> h", "g h -> i"]
    assert texts(split.refitted) == ["a b", "c d", "e f", "g h i"]
    assert split.test is test


def test_one_session_cannot_be_split() -> None:
    with pytest.raises(BadInput, match="1 training sessions"):
        sessions(lists("a b"), Cases(lists("q"), pa.array(["r"])), validation_share=0.1)


def test_every_prefix_is_asked_for_its_next_item() -> None:
    assert asked(next_items(lists("a", "b c", "", "d e f"))) == ["b -> c", "d -> e", "d e -> f"]


def test_global_time_asks_for_the_first_item_of_each_window() -> None:
    times = pa.array([[1, 5, 6, 9], [4], [7, 8], [1, 9]], pa.list_(pa.int64()))
    split = global_time(lists("a b c d", "e", "f g", "h i"), times, (5, 9, 10))
    assert texts(split.fitted) == ["a", "e", "", "h"]
    assert asked(split.valid) == ["a -> b"]  # f's first item has nothing before it, h came back later
    assert texts(split.refitted) == ["a b c", "e", "f g", "h"]
    assert asked(split.test) == ["a b c -> d", "h -> i"]


def test_folds_follow_one_another() -> None:
    times = pa.array([list(range(50)), list(range(50, 101))], pa.list_(pa.int64()))
    assert list(rolling_origins(times, 3)) == [(50, 62, 75), (62, 75, 87), (75, 87, 101)]


def test_folds_need_different_times() -> None:
    with pytest.raises(BadInput, match="too much alike"):
        list(rolling_origins(pa.array([[3, 3, 3, 3]], pa.list_(pa.int64())), 2))


def test_a_sample_is_the_same_for_the_same_seed() -> None:
    cases = next_items(lists("a b c d e f g h i j"))
    few = cases.sample(3, seed=1)
    assert len(few) == 3
    assert asked(few) == asked(cases.sample(3, seed=1)) != asked(cases.sample(3, seed=2))
    assert set(asked(few)) < set(asked(cases))
    assert cases.sample(9, seed=1) is cases
