from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.learn.sequence_files import successions, write_sequences

from nightjar import settings
from nightjar.learn.dataset import Census, Examples, TrainingSet, hashed_share
from nightjar.learn.vocabulary import Vocabulary

RING = Vocabulary(tuple(f"i{number}" for number in range(30)))
ROWS = successions(300, num_items=30, seed=1)


def training_set(
    folder: Path, rows: list[list[str]], *, rows_in_memory: int = 10_000, **changes: object
) -> TrainingSet:
    half = len(rows) // 2
    files = [
        write_sequences(folder / "one", rows[:half], row_group_size=40),
        write_sequences(folder / "two", rows[half:], first_user=half, row_group_size=25),
    ]
    conf = settings.load_conf().train.model_copy(update={"batch_users": 16, **changes})
    return TrainingSet(files, RING, conf, max_length=6, rows_in_memory=rows_in_memory)


def pairs(examples: Examples) -> list[tuple[tuple[int, ...], int]]:
    """Each target with everything the model may read before it."""
    found = []
    targets = iter(examples.targets_N.tolist())
    for row, length in zip(examples.inputs.items_BL.tolist(), examples.inputs.lengths_B.tolist(), strict=True):
        assert not any(row[length:])
        found += [(tuple(row[: place + 1]), next(targets)) for place in range(length)]
    assert next(targets, None) is None
    return found


def expected_pairs(data: TrainingSet, rows: list[list[str]]) -> Counter[tuple[tuple[int, ...], int]]:
    """The plain definition: for each user the latest 7 items, without the last of validation users."""
    found: Counter[tuple[tuple[int, ...], int]] = Counter()
    users = pa.array([f"{number:016x}" for number in range(len(rows))])
    for row, share in zip(rows, hashed_share(users).tolist(), strict=True):
        items = [int(name[1:]) + 1 for name in row][-7:]
        if share < data.conf.validation_share and len(items) >= 2:
            items = items[:-1]
        found.update((tuple(items[:place]), items[place]) for place in range(1, len(items)))
    return found


@pytest.mark.parametrize("rows_in_memory", [10_000, 60])
@pytest.mark.parametrize("world", [1, 2, 5])
def test_every_target_exactly_once_over_all_ranks(tmp_path: Path, rows_in_memory: int, world: int) -> None:
    data = training_set(tmp_path, ROWS, rows_in_memory=rows_in_memory)
    shares = [list(data.batches(0, rank=rank, world=world)) for rank in range(world)]
    assert len({len(share) for share in shares}) == 1, "ranks take different numbers of steps"
    for step in zip(*shares, strict=True):
        assert {examples.num_targets for examples in step} == {sum(len(examples.targets_N) for examples in step)}
    seen = Counter(pair for share in shares for examples in share for pair in pairs(examples))
    assert seen == expected_pairs(data, ROWS)


def test_order_is_a_function_of_seed_and_epoch(tmp_path: Path) -> None:
    def order(data: TrainingSet, epoch: int) -> list[list[int]]:
        return [examples.targets_N.tolist() for examples in data.batches(epoch, rank=0, world=1)]

    (tmp_path / "again").mkdir()
    data = training_set(tmp_path, ROWS, rows_in_memory=60)
    again = training_set(tmp_path / "again", ROWS, rows_in_memory=60)
    assert order(data, 3) == order(again, 3)
    assert order(data, 3) != order(data, 4)
    # Other company, not only another order of the same batches.
    assert sorted(map(sorted, order(data, 3))) != sorted(map(sorted, order(data, 4)))
    other = training_set(tmp_path, ROWS, rows_in_memory=60, seed=2)
    assert order(data, 3) != order(other, 3)


@pytest.mark.parametrize("rows_in_memory", [10_000, 60])
def test_start_skips_exactly_the_first_batches(tmp_path: Path, rows_in_memory: int) -> None:
    data = training_set(tmp_path, ROWS, rows_in_memory=rows_in_memory)
    whole = [pairs(examples) for examples in data.batches(2, rank=1, world=2)]
    rest = [pairs(examples) for examples in data.batches(2, rank=1, world=2, start=5)]
    assert rest == whole[5:]


def test_batches_hold_people_of_similar_length(tmp_path: Path) -> None:
    data = training_set(tmp_path, ROWS)
    for examples in data.batches(0, rank=0, world=1):
        lengths = examples.inputs.lengths_B
        assert int(lengths.max() - lengths.min()) <= 1, "300 users of 6 lengths in batches of 16: at most a neighbour"


def test_steps_hold_about_as_many_targets_and_little_padding(tmp_path: Path) -> None:
    """Lengths as in shops: most people are short, a few fill the model."""
    random = np.random.default_rng(1)
    rows = [["i1"] * min(2 + int(length), 60) for length in random.pareto(1.2, 4000) * 3]
    conf = settings.load_conf().train.model_copy(update={"batch_users": 32})
    data = TrainingSet([write_sequences(tmp_path / "part", rows)], RING, conf, max_length=50)
    steps = list(data.batches(0, rank=0, world=1))
    targets = np.array([len(examples.targets_N) for examples in steps])
    assert abs(len(steps) - 4000 / 32) < 5, "as many steps as batches of 32 people"
    assert targets.min() > 0.75 * targets.mean()
    assert targets.max() < 1.25 * targets.mean()
    cells = sum(examples.inputs.items_BL.numel() for examples in steps)
    assert 1 - targets.sum() / cells < 0.04


def test_item_counts(tmp_path: Path) -> None:
    data = training_set(tmp_path, [["i1", "i2", "i2"], ["i29", "nobody"]])
    counts = data.item_counts()
    assert len(counts) == 31
    assert {index: count for index, count in enumerate(counts.tolist()) if count} == {2: 1, 3: 2, 30: 1}


def test_validation_is_the_last_item_of_hashed_users(tmp_path: Path) -> None:
    data = training_set(tmp_path, ROWS, validation_share=0.3)
    found = [
        (tuple(row[:length]), target)
        for rank in range(2)
        for batch, targets in data.validation(rank=rank, world=2)
        for row, length, target in zip(batch.items_BL.tolist(), batch.lengths_B.tolist(), targets.tolist(), strict=True)
    ]
    shares = hashed_share(pa.array([f"{number:016x}" for number in range(len(ROWS))]))
    rows = [[int(name[1:]) + 1 for name in row] for row, share in zip(ROWS, shares, strict=True) if share < 0.3]
    assert sorted(found) == sorted((tuple(row[:-1][-6:]), row[-1]) for row in rows if len(row) >= 2)
    assert 60 < len(found) < 120


def test_census(tmp_path: Path) -> None:
    rows = [["i1", "i2", "nobody", "i3"], ["i1"], [], ["i4", "i5"]]
    none = training_set(tmp_path, rows, validation_share=0.0)
    assert none.census() == Census(4, 2, 0, 3, 1)
    everyone = training_set(tmp_path, rows, validation_share=1.0)
    assert everyone.census() == Census(4, 1, 2, 1, 1)


def test_hash_depends_on_the_bytes_only() -> None:
    """Literals: another machine, day or Arrow layout must choose the same validation users."""
    names = pa.array(["", "a", "b", "ab", "ba", "0123456789abcdef", "größe"])
    shares = hashed_share(names)

    def slowly(name: str) -> float:
        power, total = 1, 0
        for letter in name.encode():
            power = power * 0x100000001B3 % 2**64
            total = (total + (letter + 1) * power) % 2**64
        mixed = (total + 0x9E3779B97F4A7C15) % 2**64
        mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB % 2**64
        return (mixed ^ mixed >> 31) / 2**64

    assert shares.tolist() == [slowly(name) for name in names.to_pylist()]
    assert hashed_share(names.slice(3, 2)).tolist() == shares[3:5].tolist()
    assert hashed_share(names.cast(pa.large_string())).tolist() == shares.tolist()
    assert hashed_share(names[:0]).tolist() == []


def test_hash_is_even() -> None:
    shares = hashed_share(pa.array([f"{number:016x}" for number in range(20_000)]))
    counts, _ = np.histogram(shares, bins=10, range=(0, 1))
    assert counts.min() > 1850  # 2000 +- 42 expected
    assert counts.max() < 2150


@pytest.mark.parametrize("world", [1, 3])
def test_a_later_item_is_asked_for_as_often_as_the_setting_says(tmp_path: Path, world: int) -> None:
    """Everybody walks the ring, so the distance of a target from its entry is how far ahead was asked."""
    rows = [[f"i{(start + place) % 20}" for place in range(7)] for start in range(20)] * 10
    data = training_set(tmp_path, rows, target_decay=0.5, validation_share=0.0)
    ahead: Counter[tuple[int, int]] = Counter()
    for epoch in range(10):
        for rank in range(world):
            for examples in data.batches(epoch, rank=rank, world=world):
                for history, target in pairs(examples):
                    ahead[len(history), (target - history[-1]) % 20] += 1
    assert {(length, distance) for length, distance in ahead} == {(n, d) for n in range(1, 7) for d in range(1, 8 - n)}
    assert all(sum(n for (at, _), n in ahead.items() if at == length) == 2000 for length in range(1, 7))
    # 1/2, 1/4, ... as far as the history goes: after five of seven entries, two thirds and one third.
    assert ahead[5, 1] / 2000 == pytest.approx(2 / 3, abs=0.04)
    assert ahead[1, 1] / 2000 == pytest.approx(32 / 63, abs=0.04)
    assert ahead[1, 3] / 2000 == pytest.approx(8 / 63, abs=0.03)


def test_what_is_asked_for_does_not_depend_on_the_ranks(tmp_path: Path) -> None:
    data = training_set(tmp_path, ROWS, target_decay=0.5)
    alone = Counter(pair for examples in data.batches(1, rank=0, world=1) for pair in pairs(examples))
    shared = Counter(
        p for rank in range(3) for examples in data.batches(1, rank=rank, world=3) for p in pairs(examples)
    )
    assert alone == shared
