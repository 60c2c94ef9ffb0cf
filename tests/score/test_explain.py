"""Evidence against a plain loop, and reasons from what people did."""

from __future__ import annotations

import numpy as np
import torch

from nightjar.contracts import Kind
from nightjar.learn.batch import Batch
from nightjar.score.explain import HALF_LIFE, REASONS, explain


def batch(*histories: list[tuple[int, Kind]]) -> Batch:
    width = max(map(len, histories))
    items = torch.tensor([[item for item, _ in h] + [0] * (width - len(h)) for h in histories])
    kinds = torch.tensor([[kind.code for _, kind in h] + [0] * (width - len(h)) for h in histories])
    return Batch(items, kinds, torch.zeros_like(items), torch.tensor([len(h) for h in histories]))


def explained(histories: Batch, recommended: list[list[int]], table: torch.Tensor) -> list[list[tuple[int, str]]]:
    evidence, reasons = explain(histories, table[torch.tensor(recommended)], table)
    return [
        [(int(item), REASONS[reason]) for item, reason in zip(items, codes, strict=True)]
        for items, codes in zip(evidence, reasons, strict=True)
    ]


#: Items 1 and 2 are alike, 3 is their opposite, 4 stands across.
TABLE = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.1], [-1.0, 0.0], [0.0, 1.0]])


def test_the_alike_item_is_the_evidence() -> None:
    histories = batch([(2, Kind.VIEW), (3, Kind.VIEW), (4, Kind.VIEW)])
    assert explained(histories, [[1]], TABLE) == [[(2, "because_viewed")]]


def test_the_later_of_two_equal_entries_speaks_louder() -> None:
    near_twins = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert explained(batch([(2, Kind.VIEW), (3, Kind.VIEW)]), [[1]], near_twins) == [[(3, "because_viewed")]]


def test_the_reason_is_the_strongest_thing_done_with_the_evidence() -> None:
    histories = batch(
        [(2, Kind.PURCHASE), (4, Kind.CART), (2, Kind.VIEW)],
        [(2, Kind.CART), (4, Kind.PURCHASE), (2, Kind.UNCART)],
        [(2, Kind.REVIEW)],
    )
    assert explained(histories, [[1], [1], [1]], TABLE) == [
        [(2, "because_bought")],
        [(2, "because_carted")],
        [(2, "because_viewed")],
    ]


def test_padding_is_never_evidence() -> None:
    histories = batch([(3, Kind.VIEW)], [(4, Kind.VIEW)] * 5)
    assert explained(histories, [[1], [1]], TABLE)[0] == [(3, "because_viewed")]


def test_evidence_equals_its_definition() -> None:
    rng = np.random.default_rng(6)
    table = torch.from_numpy(rng.normal(size=(30, 5)).astype(np.float32))
    table[0] = 0
    items = [rng.integers(1, 30, rng.integers(1, 9)).tolist() for _ in range(20)]
    recommended = rng.integers(1, 30, (20, 4)).tolist()
    found = explained(batch(*[[(i, Kind.VIEW) for i in h] for h in items]), recommended, table)
    for history, wanted, row in zip(items, recommended, found, strict=True):
        for item, (evidence, _) in zip(wanted, row, strict=True):
            assert evidence == history[argmax(table, item, history)]


def argmax(table: torch.Tensor, item: int, history: list[int]) -> int:
    ages = range(len(history) - 1, -1, -1)
    supports = [support(table[item], table[entry], age) for entry, age in zip(history, ages, strict=True)]
    return supports.index(max(supports))


def support(ours: torch.Tensor, theirs: torch.Tensor, age: int) -> float:
    a, b = ours.double().numpy(), theirs.double().numpy()
    cosine = float(a @ b / np.sqrt((a @ a) * (b @ b)))
    return (1 + cosine) / 2 * 0.5 ** (age / HALF_LIFE)
