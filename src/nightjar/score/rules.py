"""Business rules: which items a person must not be shown."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nightjar.contracts import Kind
from nightjar.learn.histories import Histories

Policy = Literal["none", "seen", "purchased"]


class Pairs(NamedTuple):
    """(row of the batch, position of the item) that are ruled out; repeats are harmless."""

    rows: NDArray[np.int64]
    items: NDArray[np.int64]


def excluded(policy: Policy, histories: Histories, *, bought_since: int | None = None) -> Pairs:
    """Items of the person's history that `[score] exclude` rules out.

    Args:
        policy: `seen` rules out everything in the history, `purchased` what was bought there.
        histories: encoded with the catalogue's vocabulary, whole.
        bought_since: seconds since 1970-01-01 UTC; purchases count from then on, under `none` too.
    """
    rows = np.repeat(np.arange(len(histories)), histories.lengths)
    bought = histories.kinds == Kind.PURCHASE.code
    if bought_since is not None and policy != "seen":
        ruled_out = bought & (histories.times >= bought_since)
    else:
        ruled_out = {
            "none": np.zeros(len(rows), np.bool_),
            "seen": np.ones(len(rows), np.bool_),
            "purchased": bought,
        }[policy]
    return Pairs(rows[ruled_out], histories.items[ruled_out] - 1)
