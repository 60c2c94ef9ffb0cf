"""Arrow columns as numpy arrays that sort and compare fast, for work on one bucket of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

Int64s = np.ndarray[Any, np.dtype[np.int64]]
Bools = np.ndarray[Any, np.dtype[np.bool_]]

#: Clocks are set at full minutes. Quarters of an hour would be too coarse: until 2011 Newfoundland's were
#: set at 00:01, back into the day before.
_MINUTE = 60 * 1_000_000


def one(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def codes(column: pa.ChunkedArray | pa.Array) -> Int64s:
    """Equal values have equal codes, from 0 in order of appearance; null is -1."""
    if column.null_count == len(column):
        return np.full(len(column), -1)
    encoded = one(column).dictionary_encode()
    return _indices(encoded)


def ranks(column: pa.ChunkedArray | pa.Array) -> Int64s:
    """Codes in the order of the values, so that sorting them sorts the values; null is -1."""
    encoded = one(column).dictionary_encode()
    rank = np.empty(len(encoded.dictionary) + 1, np.int64)
    rank[pc.sort_indices(encoded.dictionary).to_numpy()] = np.arange(len(encoded.dictionary))
    rank[-1] = -1  # where the index -1 of null looks it up
    return np.asarray(rank[_indices(encoded)])


def _indices(encoded: pa.DictionaryArray) -> Int64s:
    return np.asarray(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), np.int64)


def micros(column: pa.ChunkedArray | pa.Array) -> Int64s:
    """Instants as microseconds since 1970; null is the smallest number."""
    filled = pc.fill_null(one(column).cast(pa.int64()), np.iinfo(np.int64).min)
    return np.asarray(filled.to_numpy(zero_copy_only=False), np.int64)


def flags(column: pa.ChunkedArray | pa.Array) -> Bools:
    """A boolean column; null is False."""
    return np.asarray(pc.fill_null(one(column), False).to_numpy(zero_copy_only=False), dtype=bool)


def stream_order(*keys: Int64s, event_id: pa.ChunkedArray | pa.Array) -> Int64s | None:
    """Row numbers in the total order (keys..., event_id); None where the rows have it already.

    Integers decide nearly always; only rows that tie in all of them have their names compared, which
    takes 20 M rows from 20 s to 5 s of one core.
    """
    order = None if _ascending(keys) else np.lexsort(keys[::-1])
    sorted_keys = keys if order is None else [key[order] for key in keys]
    same = np.r_[False, np.logical_and.reduce([key[1:] == key[:-1] for key in sorted_keys])][: len(keys[0])]
    tied = same | np.r_[same[1:], np.zeros(min(1, len(same)), bool)]
    if not tied.any():
        return order
    order = np.arange(len(same)) if order is None else order
    rows = order[tied]
    table = pa.table([key[tied] for key in sorted_keys] + [one(event_id).take(pa.array(rows))], names=_names(keys))
    by = pc.sort_indices(table, sort_keys=[(name, "ascending") for name in table.column_names])
    order[tied] = rows[by.to_numpy()]
    return order


def _names(keys: Sequence[Int64s]) -> list[str]:
    return [f"key{number}" for number in range(len(keys))] + ["event_id"]


def _ascending(keys: Sequence[Int64s]) -> bool:
    """Whether rows ascend by the keys, ties allowed."""
    above = np.zeros(max(len(keys[0]) - 1, 0), bool)
    for key in keys:
        if (~above & (key[1:] < key[:-1])).any():
            return False
        above |= key[1:] > key[:-1]
    return True


def in_order(rows: pa.Table, order: Int64s | None) -> pa.Table:
    return rows.combine_chunks() if order is None else taken(rows, order)


def taken(rows: pa.Table, numbers: Int64s) -> pa.Table:
    """The rows of these numbers, each column in one piece.

    A column that nobody fills is not moved: half of those that the contracts have are empty in most shops.
    """
    at = pa.array(numbers)
    return _mapped(rows, len(numbers), lambda column: column.take(at))


def kept(rows: pa.Table, mask: Bools) -> pa.Table:
    """The rows where the mask is true; `taken` says why not `Table.filter`. All of them are not moved at all."""
    if mask.all():
        return rows
    chosen = pa.array(mask)
    return _mapped(rows, int(mask.sum()), lambda column: column.filter(chosen))


def _mapped(rows: pa.Table, size: int, change: Callable[[pa.Array], pa.Array]) -> pa.Table:
    columns = [
        nulls(size, column.type) if column.null_count == len(column) else change(one(column)) for column in rows.columns
    ]
    return pa.Table.from_arrays(columns, schema=rows.schema)


def together(tables: Iterable[pa.Table]) -> pa.Table:
    """Tables of one schema below each other, each column in one piece; a table alone is not copied."""
    every = list(tables)
    filled = [table for table in every if len(table)]
    return filled[0].combine_chunks() if len(filled) == 1 else pa.concat_tables(every).combine_chunks()


def days_of(ts: Int64s, time_zone: str) -> Int64s:
    """The shop's day of each instant, as days since 1970-01-01."""
    zone = ZoneInfo(time_zone)
    minutes, where = distinct(ts // _MINUTE)
    starts = (datetime.fromtimestamp(int(minute) * 60, UTC).astimezone(zone) for minute in minutes)
    days = np.array([at.date().toordinal() for at in starts], np.int64)
    return days[where] - _EPOCH if len(days) else ts


def distinct(values: Int64s) -> tuple[Int64s, Int64s]:
    """The different values in ascending order, and for each row the place of its value among them.

    `numpy.unique` sorts all rows for it, some 0.1 s a million; values that lie close together, as minutes and days
    do, are marked in a table instead.
    """
    if not len(values):
        return values, values
    low, high = int(values.min()), int(values.max())
    if high - low > _WIDEST * len(values):
        found, where = np.unique(values, return_inverse=True)
        return found, where
    place = np.zeros(high - low + 1, np.int64)
    place[values - low] = 1
    found = np.flatnonzero(place)
    place[found] = np.arange(len(found))
    return found + low, place[values - low]


#: Entries per row up to which `distinct` keeps a table.
_WIDEST = 8


def by_day(rows: pa.Table) -> dict[date, pa.Table]:
    """Rows apart by their column `dt`, in the order that they have; moved once, then sliced."""
    days, where = distinct(np.asarray(one(rows["dt"]).cast(pa.int32()).to_numpy(), np.int64))
    # Small integers are sorted by their digits: 4 ms a million.
    numbers = where.astype(np.uint16) if len(days) <= 2**16 else where
    order = None if (where[1:] >= where[:-1]).all() else np.argsort(numbers, kind="stable")
    apart, ends = in_order(rows, order), np.cumsum(np.bincount(where, minlength=len(days)))
    return {
        date.fromordinal(int(day) + _EPOCH): apart.slice(end - size, size)
        for day, end, size in zip(days, ends, np.diff(ends, prepend=0), strict=True)
    }


_EPOCH = datetime(1970, 1, 1).date().toordinal()


def dates(days: Int64s) -> pa.Array:
    return pa.array(days.astype(np.int32), pa.int32()).cast(pa.date32())


def nulls(num_rows: int, kind: pa.DataType) -> pa.Array:
    return pa.nulls(num_rows, kind)


def differs(left: pa.Table, right: pa.Table, names: Iterable[str]) -> Bools:
    """Where rows of equal position differ in any of the columns; null equals null only."""
    found = np.zeros(len(left), bool)
    for name in names:
        a, b = one(left[name]), one(right[name])
        equal = flags(pc.equal(a, b))
        both_null = flags(pc.and_(pc.is_null(a), pc.is_null(b)))
        found |= ~(equal | both_null)
    return found
