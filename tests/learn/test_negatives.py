from __future__ import annotations

import math

import numpy as np
import pytest

from nightjar.learn.negatives import Negatives


def test_even_chances() -> None:
    drawn = Negatives(None, num_items=10, num_negatives=20_000).draw(1, 2, 3)
    shares = np.bincount(drawn.items_M.numpy(), minlength=11) / 20_000
    assert shares[0] == 0
    assert np.abs(shares[1:] - 0.1).max() < 0.01  # 0.0021 is the standard deviation
    assert drawn.log_expected_M.numpy() == pytest.approx(math.log(2000))


def test_popular_items_by_their_counts_plus_one() -> None:
    counts = np.array([99, 0, 1, 6])  # padding's is none; chances 1, 2 and 7 of 10
    drawn = Negatives(counts, num_items=3, num_negatives=20_000).draw(1)
    shares = np.bincount(drawn.items_M.numpy(), minlength=4) / 20_000
    assert shares == pytest.approx([0, 0.1, 0.2, 0.7], abs=0.015)
    expected = 20_000 * np.array([0, 0.1, 0.2, 0.7])[drawn.items_M.numpy()]
    assert drawn.log_expected_M.exp().numpy() == pytest.approx(expected, rel=1e-5)


def test_a_draw_depends_on_its_name_only() -> None:
    negatives = Negatives(None, num_items=1000, num_negatives=50)
    first = negatives.draw(1, 0, 0).items_M.tolist()
    assert negatives.draw(1, 0, 1).items_M.tolist() != first
    assert negatives.draw(1, 0, 0).items_M.tolist() == first


def test_ten_million_items_stay_apart() -> None:
    """float32 could not hold the running sum: every second item would never be drawn."""
    counts = np.zeros(10_000_001, np.int64)
    counts[1] = 10_000_000
    items = Negatives(counts, num_items=10_000_000, num_negatives=40_000).draw(1).items_M.numpy()
    assert (items == 1).mean() == pytest.approx(0.5, abs=0.02)
    tail = items[items > 1]
    assert (tail % 2).mean() == pytest.approx(0.5, abs=0.02)
    assert tail.max() > 9_990_000
