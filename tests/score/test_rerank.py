"""Choosing lists against plain definitions, person by person."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nightjar.score.rank import NONE
from nightjar.score.rerank import Calibration, Mmr, Own, choose, falling, with_pins
from nightjar.score.rulebook import Cap, Placed

RNG = np.random.default_rng(7)
B, M, K = 25, 40, 8
SCORES = -np.sort(-RNG.normal(size=(B, M)).astype(np.float32), axis=1)
ITEMS = np.stack([RNG.permutation(60)[:M] for _ in range(B)])
GROUPS = RNG.integers(-1, 6, 60)
BRANDS = RNG.integers(-1, 4, 60)
EMBEDDINGS = RNG.normal(size=(60, 5)).astype(np.float32)


def relevance(row: int) -> list[float]:
    scores = SCORES[row].astype(float)
    return ((scores - scores.min()) / (scores.max() - scores.min())).tolist()


def test_without_caps_the_order_is_the_models() -> None:
    assert (choose(Own(SCORES), ITEMS, K, []) == np.arange(K)).all()


@pytest.mark.parametrize(("of_groups", "of_brands"), [(1, 0), (2, 3), (0, 1)])
def test_caps_keep_the_best_that_fit(of_groups: int, of_brands: int) -> None:
    caps = [Cap("g", GROUPS, of_groups), Cap("b", BRANDS, of_brands)]
    caps = [cap for cap in caps if cap.at_most]
    found = choose(Own(SCORES), ITEMS, K, caps)
    for row in range(B):
        expected: list[int] = []
        for place in range(M):
            taken = [ITEMS[row, other] for other in expected]
            item = ITEMS[row, place]
            fits = all(
                cap.groups_N[item] < 0 or sum(cap.groups_N[t] == cap.groups_N[item] for t in taken) < cap.at_most
                for cap in caps
            )
            if fits and len(expected) < K:
                expected.append(place)
        assert found[row].tolist() == expected + [NONE] * (K - len(expected))


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_mmr_equals_its_definition(weight: float) -> None:
    found = choose(Mmr(SCORES, EMBEDDINGS[ITEMS], weight), ITEMS, K, [])
    directions = EMBEDDINGS / np.linalg.norm(EMBEDDINGS, axis=1, keepdims=True)
    for row in range(B):
        expected: list[int] = []
        own = relevance(row)
        while len(expected) < K:
            worth = [
                (1 - weight) * own[place]
                - weight
                * max([0.0, *(float(directions[ITEMS[row, place]] @ directions[ITEMS[row, e]]) for e in expected)])
                if place not in expected
                else -math.inf
                for place in range(M)
            ]
            expected.append(int(np.argmax(worth)))
        assert found[row].tolist() == expected


@pytest.mark.parametrize("weight", [0.0, 0.5, 0.9])
def test_calibration_equals_its_definition(weight: float) -> None:
    history = RNG.integers(-1, 6, (B, 7))
    found = choose(Calibration(SCORES, GROUPS[ITEMS], history, weight), ITEMS, K, [])

    def divergence(wanted: dict[int, float], listed: list[int]) -> float:
        shares = [0.99 * listed.count(group) / len(listed) + 0.01 * share for group, share in wanted.items()]
        return sum(share * math.log(share / q) for share, q in zip(wanted.values(), shares, strict=True))

    for row in range(B):
        known = [int(group) for group in history[row] if group >= 0]
        wanted = {group: known.count(group) / len(known) for group in set(known)}
        own, expected = relevance(row), list[int]()
        while len(expected) < K:
            groups = [int(GROUPS[ITEMS[row, place]]) for place in expected]
            worth = [
                (1 - weight) * own[place] - weight * divergence(wanted, [*groups, int(GROUPS[ITEMS[row, place]])])
                if place not in expected
                else -math.inf
                for place in range(M)
            ]
            best = int(np.argmax(worth))
            assert worth[found[row, len(expected)]] == pytest.approx(worth[best], abs=1e-5)
            expected.append(int(found[row, len(expected)]))


def test_all_weight_on_calibration_gives_the_historys_shares() -> None:
    groups = np.array([0] * 10 + [1] * 10 + [2] * 10)
    scores = -np.sort(-RNG.normal(size=(1, 30)).astype(np.float32), axis=1)
    history = np.array([[2, 2, 2, 0]])
    found = choose(Calibration(scores, groups[None], history, 1.0), np.arange(30)[None], 8, [])
    assert np.bincount(groups[found[0]], minlength=3).tolist() == [2, 0, 6]


def pinned(items: list[list[int]], pins: list[Placed], may_show: list[list[bool]]) -> list[list[int]]:
    lists = np.array(items)
    order, places = with_pins(lists, pins, np.array(may_show))
    positions = np.array([pin.position for pin in pins])
    ours = np.where(order == NONE, NONE, np.take_along_axis(lists, np.maximum(order, 0), axis=1))
    return np.where(places == NONE, ours, positions[places]).tolist()


def test_pins_stand_at_their_rank_and_the_rest_closes_up() -> None:
    pins = [Placed("a", 90, 1), Placed("b", 91, 3)]
    assert pinned([[1, 2, 3, 4]], pins, [[True, True]]) == [[90, 1, 91, 2]]
    assert pinned([[1, 91, 3, 90]], pins, [[True, True]]) == [[90, 1, 91, 3]], "a pinned item stands once"
    assert pinned([[1, 91, 3, 90]], pins, [[False, True]]) == [[1, 3, 91, 90]]
    assert pinned([[1, 91, 3, 90]], pins, [[False, False]]) == [[1, 91, 3, 90]]
    assert pinned([[1, NONE, NONE, NONE]], pins, [[True, True]]) == [[90, 1, 91, NONE]]
    assert pinned([[NONE] * 4], pins, [[True, True]]) == [[90, 91, NONE, NONE]], "no gaps"


def test_scores_fall_with_rank() -> None:
    scores = np.array([[0.1, 3.0, 2.0, 2.5, 9.0]])
    filled = np.array([[True, True, True, True, False]])
    assert falling(scores, filled).tolist() == [[3.0, 3.0, 2.5, 2.5, 0.0]]
