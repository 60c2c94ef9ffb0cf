"""Addressed random numbers: fixed values, independence of shape, plausible distributions."""

from __future__ import annotations

import numpy as np
import pytest

from nightjar.simulate.noise import Noise, Stream

MANY = np.arange(200_000, dtype=np.int64)


def splitmix(state: int) -> int:
    """One step of SplitMix64 in plain integers: the oracle."""
    mask = 2**64 - 1
    state = (state + 0x9E3779B97F4A7C15) & mask
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
    return state ^ (state >> 31)


def test_bits_equal_plain_integer_arithmetic() -> None:
    # First output of SplitMix64 for seed 0, as published with the reference implementation.
    assert splitmix(0) == 0xE220A8397B1DCDAF
    expected = splitmix(splitmix(splitmix(splitmix(42) ^ int(Stream.VISIT_KEY)) ^ 7) ^ 11)
    assert int(Noise(42).bits(Stream.VISIT_KEY, 7, np.array([11]))[0]) == expected


def test_a_draw_depends_on_its_keys_only() -> None:
    noise = Noise(1)
    table = noise.uniform(Stream.STEP_ITEM, MANY[:50, None], MANY[:7])
    assert table.shape == (50, 7)
    assert table[31, 4] == noise.uniform(Stream.STEP_ITEM, 31, 4)[0]
    assert table[31, 4] != noise.uniform(Stream.STEP_ITEM, 4, 31)[0]


@pytest.mark.parametrize("stream", [Stream.VISIT_COUNT, Stream.EVENT_GAP])
def test_uniform_is_uniform_and_streams_are_uncorrelated(stream: Stream) -> None:
    draws = Noise(3).uniform(stream, MANY, 5)
    counts, _ = np.histogram(draws, bins=100, range=(0, 1))
    # Chi-squared with 99 degrees of freedom: mean 99, standard deviation 14.
    assert ((counts - 2000) ** 2 / 2000).sum() < 99 + 5 * 14
    assert abs(np.corrcoef(draws, Noise(3).uniform(stream, MANY, 6))[0, 1]) < 0.012
    assert abs(np.corrcoef(draws[1:], draws[:-1])[0, 1]) < 0.012


def test_normal_and_exponential_have_their_moments() -> None:
    normal, exponential = Noise(3).normal(Stream.EVENT_GAP, MANY), Noise(3).exponential(Stream.EVENT_DELAY, MANY)
    assert (normal.mean(), normal.std(), (np.abs(normal) > 1.96).mean()) == pytest.approx((0, 1, 0.05), abs=0.01)
    assert (exponential.mean(), exponential.std()) == pytest.approx((1, 1), abs=0.015)
