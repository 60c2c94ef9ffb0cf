"""The benchmarks' raw log: invented visits, the same rows for the same shape, written in chunks.

Four columns, as the rows of a shop's tracker come when they are bare: `user_id`, `event_ts` (UTC, microseconds),
`item_id`, `kind`. One Parquet file per day, each nearly in order of time.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import groupby
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

FIRST_DAY = date(2001, 1, 15)

_SEED = 20010115
_CHUNK_EVENTS = 1_000_000  # what is in memory at once, about 0.2 GiB
_EVENTS_PER_USER = 20
_EVENTS_PER_VISIT = 5
_SECONDS_BETWEEN = 45.0
_NUM_ITEMS = 100_000
_KINDS = ("view", "cart", "purchase")
_KIND_SHARES = (0.90, 0.07, 0.03)
_HOT_USER_EVENTS = 1_000_000
_HOT_ITEM_SHARE = 0.5  # of views
_DAY_US = 86_400_000_000

_SCHEMA = pa.schema(
    [
        ("user_id", pa.int64()),
        ("event_ts", pa.timestamp("us", tz="UTC")),
        ("item_id", pa.int32()),
        ("kind", pa.string()),
    ]
)

Skew = Literal["none", "user", "item"]


@dataclass(frozen=True)
class Shape:
    """What decides every row of a log."""

    size: int
    days: int = 7
    num_users: int = 0  # 0: as many as make 20 events each on average
    skew: Skew = "none"

    @property
    def name(self) -> str:
        users = f"-{self.num_users}-users" if self.num_users else ""
        return f"log-{self.size}-{self.days}-days{users}" + (f"-hot-{self.skew}" if self.skew != "none" else "")

    @property
    def users(self) -> int:
        return self.num_users or max(self.size // _EVENTS_PER_USER, 1)

    @property
    def last_day(self) -> date:
        return FIRST_DAY + timedelta(days=self.days - 1)

    @property
    def hot_user_share(self) -> float:
        """A million events of one user; a quarter of a log that is too small for that."""
        return min(_HOT_USER_EVENTS / self.size, 0.25) if self.skew == "user" else 0.0

    @property
    def hot_share(self) -> float:
        """Share of all events that the one hot user, or the one hot item, takes for itself."""
        return _HOT_ITEM_SHARE * _KIND_SHARES[0] if self.skew == "item" else self.hot_user_share


class Events(NamedTuple):
    """Columns of equal length; `kind` indexes the kinds, `us` counts from the first midnight."""

    user_id: np.ndarray
    us: np.ndarray
    item_id: np.ndarray
    kind: np.ndarray

    def where(self, chosen: np.ndarray) -> Events:
        return Events(*(column[chosen] for column in self))


class Slice(NamedTuple):
    """A part of one day: the visits that begin in it are drawn together."""

    number: int
    day: int
    begin_us: int
    end_us: int
    num_events: int


def write_log(folder: Path, shape: Shape) -> Path:
    """The folder of the shape's daily files below `folder`; written when it is not there, whole or not at all."""
    target = folder / shape.name
    if target.exists():
        return target
    unfinished = folder / f"{shape.name}.unfinished"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    for day, tables in groupby(chunks(shape), key=lambda chunk: chunk[0]):
        with pq.ParquetWriter(unfinished / f"{day}.parquet", _SCHEMA, compression="zstd") as writer:
            for _, table in tables:
                writer.write_table(table)
    return unfinished.rename(target)


def chunks(shape: Shape) -> Iterator[tuple[date, pa.Table]]:
    """(day, its next rows in order of time); all of the days are there, and `size` rows in all."""
    cumulated = np.cumsum(1.0 / np.arange(1, _NUM_ITEMS + 1))
    item_shares = cumulated / cumulated[-1]
    later: list[Events] = []
    for part in _slices(shape):
        drawn = [*later, _drawn(shape, part, item_shares)]
        events = Events(*(np.concatenate(columns) for columns in zip(*drawn, strict=True)))
        begun = events.us < part.end_us
        later = [events.where(~begun)]  # visits go on after their slice, and after midnight
        yield FIRST_DAY + timedelta(days=part.day), _table(events.where(begun))
    assert not len(later[0].us), "the last slice's visits end in it"


def _slices(shape: Shape) -> Iterator[Slice]:
    number = 0
    for day in range(shape.days):
        of_day = shape.size * (day + 1) // shape.days - shape.size * day // shape.days
        parts = max(1, -(-of_day // _CHUNK_EVENTS))
        for part in range(parts):
            begin, end = (day * _DAY_US + _DAY_US * edge // parts for edge in (part, part + 1))
            yield Slice(number, day, begin, end, of_day * (part + 1) // parts - of_day * part // parts)
            number += 1


def _drawn(shape: Shape, part: Slice, item_shares: np.ndarray) -> Events:
    """The visits that begin in a slice: `num_events` events in no order."""
    draw = np.random.default_rng([_SEED, part.number])
    size = part.num_events
    # More visits than can be needed; the one at the end is cut short.
    lengths = draw.geometric(1 / _EVENTS_PER_VISIT, size // _EVENTS_PER_VISIT + size // 50 + 50)
    lengths = lengths[: np.searchsorted(np.cumsum(lengths), size) + 1]
    visit = np.repeat(np.arange(len(lengths)), lengths)[:size]
    silence = np.rint(draw.exponential(_SECONDS_BETWEEN * 1e6, size)).astype(np.int64)
    first = np.searchsorted(visit, np.arange(len(lengths)))
    since = np.cumsum(silence)
    since -= since[first][visit]
    latest = part.end_us - part.begin_us
    if part.end_us == shape.days * _DAY_US:  # nothing may happen after the last day
        latest -= since[np.append(first[1:], size) - 1]
        assert np.all(latest > 0), "a visit is longer than its slice"
    starts = part.begin_us + (draw.random(len(lengths)) * latest).astype(np.int64)
    # A quarter of the users are behind half of the visits.
    actors = (draw.random(len(lengths)) ** 2 * shape.users).astype(np.int64) + 1
    users, items = actors[visit], np.searchsorted(item_shares, draw.random(size)).astype(np.int32) + np.int32(1)
    kinds = draw.choice(len(_KINDS), size, p=_KIND_SHARES).astype(np.int8)
    if shape.skew == "user":
        users[draw.random(size) < shape.hot_user_share] = shape.users + 1
    if shape.skew == "item":
        items[(kinds == 0) & (draw.random(size) < _HOT_ITEM_SHARE)] = 1
    return Events(users, starts[visit] + since, items, kinds)


def _table(events: Events) -> pa.Table:
    first = int(datetime(FIRST_DAY.year, FIRST_DAY.month, FIRST_DAY.day, tzinfo=UTC).timestamp()) * 1_000_000
    in_order = events.where(np.argsort(events.us, kind="stable"))
    kinds = pa.DictionaryArray.from_arrays(pa.array(in_order.kind), pa.array(_KINDS)).cast(pa.string())
    columns = [pa.array(in_order.user_id), pa.array(in_order.us + first).cast(_SCHEMA.field("event_ts").type)]
    return pa.Table.from_arrays([*columns, pa.array(in_order.item_id), kinds], schema=_SCHEMA)
