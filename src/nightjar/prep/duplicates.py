"""One row per event_id, whatever came twice, in which order and with which contents."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightjar.contracts import EVENTS
from nightjar.prep.arrays import Bools, Int64s, codes, one

#: What two copies of one event must agree on; how they got here may differ.
CONTENT = tuple(name for name in EVENTS.names if name not in ("event_id", "dt", "received_at", "landed", "bot_rule"))


@dataclass(frozen=True)
class Winners:
    """Which rows stay, and what every drop at work is told about its own.

    Args:
        rows: row numbers of the winners, one per event_id.
        conflict: per winner, its event_id came with different contents.
        num_collapsed: per winner, new rows that gave way to it.
        brought: per winner, the latest drop at work that held the event_id, as days since 1970; -1 if none did.
    """

    rows: Int64s
    conflict: Bools
    num_collapsed: Int64s
    brought: Int64s


def winners(events: pa.Table, is_new: Bools) -> Winners:
    """Choose the earliest received, then the smallest content, by its time first, then the earliest drop.

    The choice is a minimum over a total order, so neither the order of arrival nor the split into
    drops can change it. Copies that are equal in all that are one row; the first of them stays.
    Only event ids that occur more than once are looked at.

    Args:
        events: columns of the events contract.
        is_new: came with the drops at work.
    """
    event, landed = codes(events["event_id"]), one(events["landed"]).cast(pa.int32()).to_numpy().astype(np.int64)
    num_copies = np.bincount(event, minlength=1)[event]
    single = np.flatnonzero(num_copies == 1)
    none = np.zeros(len(single), np.int64)
    alone = Winners(single, none.astype(bool), none, np.where(is_new[single], landed[single], -1))
    many = np.flatnonzero(num_copies > 1)
    if not len(many):
        return alone
    copies = _comparable(events.take(pa.array(many)))
    keys = ["event_id", "received_at", *CONTENT, "landed"]
    # Nulls sort last: what was received nobody knows when, was received after all else.
    order = pc.sort_indices(copies, sort_keys=[(name, "ascending") for name in keys]).to_numpy()
    many, copies = many[order], copies.take(pa.array(order))
    first = np.r_[True, event[many][1:] != event[many][:-1]]
    starts = np.flatnonzero(first)
    new = is_new[many]
    # All copies of an id agree when neighbours do.
    changes = np.zeros(len(many), np.int64)
    for name in CONTENT:
        values = codes(copies[name])
        changes[1:] += values[1:] != values[:-1]
    changes[starts] = 0
    num_new = np.add.reduceat(new.astype(np.int64), starts)
    contested = Winners(
        many[starts],
        np.add.reduceat(changes, starts) > 0,
        num_new - new[starts],
        np.maximum.reduceat(np.where(new, landed[many], -1), starts),
    )
    return Winners(*(np.concatenate(pair) for pair in zip(_fields(alone), _fields(contested), strict=True)))


def _fields(found: Winners) -> tuple[Int64s, Bools, Int64s, Int64s]:
    return found.rows, found.conflict, found.num_collapsed, found.brought


def _comparable(events: pa.Table) -> pa.Table:
    """Maps have no order; as text with sorted names they have."""
    texts = [None if row is None else json.dumps(dict(row), sort_keys=True) for row in events["attributes"].to_pylist()]
    at = events.schema.get_field_index("attributes")
    return events.set_column(at, "attributes", pa.array(texts, pa.string()))
