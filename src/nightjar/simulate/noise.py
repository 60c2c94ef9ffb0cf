"""Random numbers with an address instead of a state.

A draw is a function of (seed, stream, keys), so any person's any day can be computed alone, in any
order and in chunks of any size, and always comes out the same. The generator is counter based: keys
are absorbed one by one by the finaliser of SplitMix64 (Steele, Lea and Flood 2014), integer arithmetic
only, hence the same on every platform and numpy release.
"""

from __future__ import annotations

from enum import IntEnum, auto

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Key = int | Bits | Ints

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_FIRST = np.uint64(0xBF58476D1CE4E5B9)
_SECOND = np.uint64(0x94D049BB133111EB)


class Stream(IntEnum):
    """What a draw is for; two streams never share numbers. Append only: order is part of the bytes."""

    ITEM_CATEGORY = auto()
    ITEM_BRAND = auto()
    ITEM_WORD = auto()
    ITEM_PRICE = auto()
    ITEM_POPULARITY = auto()
    ITEM_DRIFT = auto()
    ITEM_LAUNCH = auto()
    ITEM_END = auto()
    ITEM_PROMOTION = auto()
    RING_ORDER = auto()
    PERSON_ACTIVITY = auto()
    PERSON_TASTE = auto()
    PERSON_STYLE = auto()
    PERSON_THREAD = auto()
    PERSON_PLATFORM = auto()
    PERSON_AGENT = auto()
    PERSON_JOIN = auto()
    PERSON_CHURN = auto()
    PERSON_BUYING = auto()
    PERSON_UPLIFT = auto()
    PERSON_ADDRESS = auto()
    DEVICE = auto()
    FRAUD = auto()
    TREATMENT = auto()
    VISIT_COUNT = auto()
    VISIT_KEY = auto()
    VISIT_START = auto()
    VISIT_LENGTH = auto()
    VISIT_BUYS = auto()
    VISIT_PLATFORM = auto()
    VISIT_LOGIN = auto()
    VISIT_LATE = auto()
    VISIT_FOLLOW_UP = auto()
    VISIT_COUPON = auto()
    STEP_ROUTE = auto()
    STEP_RANK = auto()
    STEP_CATEGORY = auto()
    STEP_ITEM = auto()
    STEP_SEARCH = auto()
    STEP_CART = auto()
    STEP_QUANTITY = auto()
    EVENT_GAP = auto()
    EVENT_DELAY = auto()
    EVENT_ID = auto()
    FOLLOW_UP = auto()
    BOT = auto()
    BOT_ITEM = auto()
    DUPLICATE = auto()
    MALFORMED = auto()


class Noise:
    """All draws of one shop. Keys broadcast like numpy arrays; a result has the keys' common shape."""

    def __init__(self, seed: int) -> None:
        self._seed = _mixed(_as_bits(seed))

    def bits(self, stream: Stream, *keys: Key) -> Bits:
        """64 uniform bits."""
        state = _mixed(self._seed ^ _as_bits(int(stream)))
        for key in keys:
            state = _mixed(state ^ _as_bits(key))
        return state

    def uniform(self, stream: Stream, *keys: Key) -> Floats:
        """Uniform in [0, 1) with 53 bits."""
        return np.asarray((self.bits(stream, *keys) >> np.uint64(11)).astype(np.float64) * 2.0**-53)

    def below(self, limit: int, stream: Stream, *keys: Key) -> Ints:
        """Uniform integers in [0, limit); the bias of the product is below limit / 2**53."""
        return np.asarray((self.uniform(stream, *keys) * limit).astype(np.int64))

    def normal(self, stream: Stream, *keys: Key) -> Floats:
        """Standard normal (Box and Muller 1958)."""
        bits = self.bits(stream, *keys)
        radius = ((bits >> np.uint64(32)).astype(np.float64) + 0.5) * 2.0**-32
        angle = (bits & np.uint64(0xFFFFFFFF)).astype(np.float64) * (2.0 * np.pi * 2.0**-32)
        return np.asarray(np.sqrt(-2.0 * np.log(radius)) * np.cos(angle))

    def exponential(self, stream: Stream, *keys: Key) -> Floats:
        """Exponential with mean 1."""
        return np.asarray(-np.log1p(-self.uniform(stream, *keys)))


def _as_bits(key: Key) -> Bits:
    if isinstance(key, int):
        return np.asarray([key & 0xFFFFFFFFFFFFFFFF], dtype=np.uint64)
    return key.astype(np.uint64, copy=False)


def _mixed(state: Bits) -> Bits:
    state = state + _GOLDEN
    state = (state ^ (state >> np.uint64(30))) * _FIRST
    state = (state ^ (state >> np.uint64(27))) * _SECOND
    return np.asarray(state ^ (state >> np.uint64(31)))
