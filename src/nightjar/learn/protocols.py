"""What is trained on and what is asked, by the protocols of the literature.

- leave-one-out: each person's last item is the test target, the one before it the validation target
  (Kang & McAuley 2018, https://arxiv.org/abs/1808.09781). People with fewer than three items are trained on only.
- sessions: training sessions and given pairs of a prefix and its target (Wu et al. 2019,
  https://arxiv.org/abs/1811.00855). The last rows are kept for validation: the latest sessions in a file in
  order of time, sessions like any others in one that is not. Every prefix is asked for its next item.
- global time: everything before an instant is history, the first item from then on is the target.
  Leave-one-out lets a model read what others did after the target's time; this one does not
  (Ji et al. 2023, https://doi.org/10.1145/3569930).

A person's items are a list, oldest first. Nothing is shuffled, dropped or renumbered.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightjar.contracts import BadInput


class Cases(NamedTuple):
    """Questions: after these items, which one? Each history has an item."""

    histories: pa.ListArray
    targets: pa.Array

    def __len__(self) -> int:
        return len(self.targets)

    def sample(self, at_most: int, *, seed: int) -> Cases:
        """`at_most` of them, drawn without replacement, in the order they stand."""
        if len(self) <= at_most:
            return self
        chosen = pa.array(np.sort(np.random.default_rng(seed).permutation(len(self))[:at_most]))
        return Cases(self.histories.take(chosen), self.targets.take(chosen))


class Split(NamedTuple):
    """One question put to a model, with everything that it may know."""

    fitted: pa.ListArray  #: trained on while the epoch is chosen
    valid: Cases  #: what chooses it
    refitted: pa.ListArray  #: training and validation together, all before the test
    test: Cases


def leave_one_out(histories: pa.ListArray) -> Split:
    lengths = _lengths(histories)
    asked = np.flatnonzero(lengths >= 3)
    everyone = np.arange(len(histories))
    return Split(
        _beginnings(histories, everyone, lengths - 2 * (lengths >= 3)),
        _cases(histories, asked, lengths[asked] - 2),
        _beginnings(histories, everyone, lengths - (lengths >= 3)),
        _cases(histories, asked, lengths[asked] - 1),
    )


def sessions(histories: pa.ListArray, test: Cases, *, validation_share: float) -> Split:
    """`validation_share` of the sessions, at least one, stand back for validation.

    Raises:
        BadInput: too few sessions to keep one back.
    """
    num_fitted = min(len(histories) - 1, int(len(histories) * (1 - validation_share)))
    if num_fitted < 1:
        raise BadInput(f"{len(histories)} training sessions, at least two are needed", "give a longer training file")
    return Split(histories[:num_fitted], next_items(histories[num_fitted:]), histories, test)


def next_items(histories: pa.ListArray) -> Cases:
    """Every prefix of every history, and the item behind it."""
    num_cases = np.maximum(_lengths(histories) - 1, 0)
    rows = np.repeat(np.arange(len(histories)), num_cases)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(num_cases) - num_cases, num_cases)
    return _cases(histories, rows, within + 1)


def global_time(histories: pa.ListArray, times: pa.ListArray, instants: tuple[int, int, int]) -> Split:
    """Validation between the first two instants, test between the last two.

    Args:
        times: when each item was, ascending within a row, in the unit of `instants`.
    """
    valid_from, test_from, test_to = instants
    return Split(
        _before(histories, times, valid_from),
        _first_within(histories, times, valid_from, test_from),
        _before(histories, times, test_from),
        _first_within(histories, times, test_from, test_to),
    )


def rolling_origins(times: pa.ListArray, num_folds: int) -> Iterator[tuple[int, int, int]]:
    """Instants of `num_folds` global time splits, each a step later than the one before.

    The later half of the entries is cut into `num_folds` + 1 windows of equal size: each fold tests on
    the window behind the one that it validates on (rolling-origin evaluation, Tashman 2000,
    https://doi.org/10.1016/S0169-2070(00)00065-0).

    Raises:
        BadInput: entries at too few distinct instants.
    """
    every = np.sort(np.asarray(times.flatten()))
    if not len(every):
        raise BadInput("no entry has a time", "choose another protocol, or data with times")
    bounds = [int(every[int(share * (len(every) - 1))]) for share in np.linspace(0.5, 1.0, num_folds + 2)]
    bounds[-1] += 1  # the last entry belongs to the last window
    if len(set(bounds)) < len(bounds):
        raise BadInput(f"the times are too much alike for {num_folds} folds", "ask for fewer folds")
    for fold in range(num_folds):
        yield bounds[fold], bounds[fold + 1], bounds[fold + 2]


def _before(histories: pa.ListArray, times: pa.ListArray, instant: int) -> pa.ListArray:
    return _beginnings(histories, np.arange(len(histories)), _num_before(times, instant))


def _first_within(histories: pa.ListArray, times: pa.ListArray, start: int, end: int) -> Cases:
    """The first item from `start` on, where it is before `end` and something is before `start`."""
    known, later = _num_before(times, start), _num_before(times, end)
    rows = np.flatnonzero((known > 0) & (later > known))
    return _cases(histories, rows, known[rows])


def _num_before(times: pa.ListArray, instant: int) -> np.ndarray:
    earlier = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.asarray(times.flatten()) < instant)])
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(_lengths(times))])
    return np.diff(earlier[offsets])


def _cases(histories: pa.ListArray, rows: np.ndarray, places: np.ndarray) -> Cases:
    """The first `places` items of each of these rows, and the item behind them."""
    starts = np.cumsum(_lengths(histories)) - _lengths(histories)
    return Cases(_beginnings(histories, rows, places), histories.flatten().take(pa.array(starts[rows] + places)))


def _beginnings(histories: pa.ListArray, rows: np.ndarray, lengths: np.ndarray) -> pa.ListArray:
    """The first `lengths` items of each of these rows."""
    starts = (np.cumsum(_lengths(histories)) - _lengths(histories))[rows]
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    entries = np.repeat(starts - offsets[:-1], lengths) + np.arange(offsets[-1])
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), histories.flatten().take(pa.array(entries)))


def _lengths(lists: pa.ListArray) -> np.ndarray:
    return np.asarray(pc.fill_null(pc.list_value_length(lists), 0)).astype(np.int64)
