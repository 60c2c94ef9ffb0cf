"""What people did in the days after a night, item by item, each called as on the night.

Legend: P people, I items, A (person, item) pairs that met.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.contracts import Kind

#: What is read of `session_events` and of `identity`.
EVENT_COLUMNS = ("visitor_id", "user_id", "is_bot", "event_ts", "kind", "item_id", "price", "quantity")
IDENTITY_COLUMNS = ("member_id", "person_id")

#: Money is counted in millionths: sums of doubles depend on the order of adding.
MICROS = 1_000_000

_COUNTS = ("touched", "num_purchases", "num_unpriced", "micros")
_TABLE = pa.schema(
    [("member_id", pa.string()), ("item_id", pa.string()), *((name, pa.int64()) for name in _COUNTS)],
)

Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Acts:
    """Distinct people and items, and what each person did to each item; pairs are in ascending order."""

    people: pa.Array  #: P pseudonyms
    items: pa.Array  #: I item ids
    pairs_A: Counts  #: person x I + item
    touched_A: NDArray[np.bool_]  #: seen, put into the cart or bought: whatever counts as relevant
    num_purchases_A: Counts
    micros_A: Counts
    num_touched_P: Counts  #: different items
    num_purchases_P: Counts
    num_unpriced_P: Counts
    micros_P: Counts

    def find(self, people: Counts, items: Counts) -> Counts:
        """Where these pairs stand in the arrays _A; -1 where the two did not meet."""
        wanted = people * len(self.items) + items
        places = np.minimum(np.searchsorted(self.pairs_A, wanted), max(len(self.pairs_A) - 1, 0))
        met = self.pairs_A[places] == wanted if len(self.pairs_A) else np.zeros(len(wanted), np.bool_)
        return np.where(met & (items >= 0) & (people >= 0), places, -1)


def members_acts(
    events: Iterable[pa.RecordBatch], *, since: datetime, until: datetime, kinds: Sequence[Kind]
) -> pa.Table:
    """Of each member (login, else device) and item: whether it was touched, and what was bought.

    Args:
        events: batches of `session_events` with EVENT_COLUMNS; bots and whatever lies outside of the window are left.
        since: the window's beginning, inclusive.
        until: its end, exclusive.
        kinds: what counts as a touch.
    """
    found = [_TABLE.empty_table(), *(_of_batch(batch, since, until, kinds) for batch in events)]
    return _summed(pa.concat_tables(found), "member_id")


def _of_batch(batch: pa.RecordBatch, since: datetime, until: datetime, kinds: Sequence[Kind]) -> pa.Table:
    at, kind = batch.column("event_ts"), batch.column("kind")
    is_touch = pc.is_in(kind, pa.array([one.value for one in kinds]))
    is_purchase = pc.equal(kind, Kind.PURCHASE.value)
    inside = pc.and_(pc.greater_equal(at, pa.scalar(since, at.type)), pc.less(at, pa.scalar(until, at.type)))
    of_people = pc.and_(pc.invert(batch.column("is_bot")), pc.is_valid(batch.column("item_id")))
    chosen = pc.and_(pc.and_(inside, of_people), pc.or_(is_touch, is_purchase))
    worth = pc.multiply(batch.column("price"), pc.fill_null(batch.column("quantity"), 1))
    micros = pc.round(pc.multiply(pc.if_else(is_purchase, pc.fill_null(worth, 0.0), 0.0), MICROS))
    unpriced = pc.and_(is_purchase, pc.is_null(batch.column("price")))
    columns = [
        pc.coalesce(batch.column("user_id"), batch.column("visitor_id")),
        batch.column("item_id"),
        *(pc.cast(flag, pa.int64()) for flag in (is_touch, is_purchase, unpriced)),
        pc.cast(micros, pa.int64()),
    ]
    return pa.Table.from_arrays(columns, schema=_TABLE).filter(chosen)


def acts_from(members: pa.Table, identity: Iterable[pa.RecordBatch]) -> Acts:
    """Join what members did to the persons that they are as of a day.

    Args:
        members: from `members_acts`.
        identity: batches of `identity` with IDENTITY_COLUMNS, every day up to that one, oldest first. Only
            rows of these members are kept: memory is that of the window, not of the shop's history.
    """
    known = members["member_id"].combine_chunks().unique()
    person_of: dict[str, str] = {}
    for batch in identity:
        rows = batch.filter(pc.is_in(batch.column("member_id"), known))
        columns = (rows.column(name).to_pylist() for name in IDENTITY_COLUMNS)
        person_of.update(zip(*columns, strict=True))
    persons = pa.array([person_of.get(member, member) for member in known.to_pylist()], pa.string())
    codes = pc.index_in(members["member_id"], known).combine_chunks()
    named = members.set_column(0, "user_id", persons.take(codes))
    return _acts(_summed(named, "user_id"))


def _summed(rows: pa.Table, who: str) -> pa.Table:
    grouped = rows.group_by([who, "item_id"], use_threads=False).aggregate([(name, "sum") for name in _COUNTS])
    return grouped.select([who, "item_id", *(f"{name}_sum" for name in _COUNTS)]).rename_columns(
        [who, "item_id", *_COUNTS]
    )


def _acts(rows: pa.Table) -> Acts:
    rows = rows.combine_chunks()
    people, items = (rows[name].unique().sort() for name in ("user_id", "item_id"))
    person, item = _places(rows["user_id"], people), _places(rows["item_id"], items)
    pairs = person * len(items) + item
    order = np.argsort(pairs)
    touched, purchases, unpriced, micros = (np.asarray(rows[name])[order] for name in _COUNTS)
    person, is_touched = person[order], touched > 0

    def of_people(values: Counts) -> Counts:
        summed = np.zeros(len(people), np.int64)
        np.add.at(summed, person, values)
        return summed

    return Acts(
        people=people,
        items=items,
        pairs_A=pairs[order],
        touched_A=is_touched,
        num_purchases_A=purchases,
        micros_A=micros,
        num_touched_P=of_people(is_touched.astype(np.int64)),
        num_purchases_P=of_people(purchases),
        num_unpriced_P=of_people(unpriced),
        micros_P=of_people(micros),
    )


def _places(values: pa.Array | pa.ChunkedArray, among: pa.Array) -> Counts:
    """Index of each value; -1 where it is not there."""
    found = pc.fill_null(pc.index_in(values, among), -1)
    return np.asarray(found).astype(np.int64)
