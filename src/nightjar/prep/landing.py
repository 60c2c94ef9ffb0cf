"""What one bucket of a night's drops makes of the days that it touches: the work of `clean` on Arrow rows.

Spark maps the raw columns and judges the rows (`prep.clean`); this is what follows, one bucket of
visitors at a time: pseudonyms, duplicates against what is stored, bots, and the files' order.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightjar.contracts import EVENTS, QUARANTINE, USERS, Table
from nightjar.contracts.render import arrow_schema
from nightjar.prep import bots
from nightjar.prep.arrays import (
    Bools,
    Int64s,
    by_day,
    codes,
    distinct,
    flags,
    kept,
    micros,
    nulls,
    one,
    ranks,
    stream_order,
    taken,
    together,
)
from nightjar.prep.duplicates import Winners, winners
from nightjar.prep.erasure import NOBODY, Tombstones
from nightjar.prep.pseudonyms import pseudonyms, sealed, unsealed
from nightjar.settings import Clean

#: Where rejected rows are filed whose day is unreadable in a file without drop days: they belong to
#: no night and must not get lost.
NO_DAY = date(1970, 1, 1)

_HOUR = 3600 * 1_000_000
_SCHEMA = arrow_schema(EVENTS)


class Stored(Protocol):
    """What the bucket holds now."""

    def days(self, table: Table) -> list[date]: ...

    def read(self, table: Table, days: Iterable[date], columns: Iterable[str] | None = None) -> pa.Table: ...


@dataclass(frozen=True)
class Landing:
    """One bucket's outcome.

    Args:
        events: per touched day all of the bucket's events, in order.
        quarantine: per drop, its rejected rows.
        users: the shop's ids behind the pseudonyms of the new rows.
        counts: per drop (ISO day) and name, what `reconcile` adds up.
        reasons: how often each row rule fired.
    """

    events: dict[date, pa.Table]
    quarantine: dict[date, pa.Table]
    users: pa.Table
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Land:
    """A bucket's work in the job; see `land`."""

    days: tuple[date, ...]
    shop: str
    source: str
    clean: Clean
    key: bytes = field(repr=False)
    replay: bool = False
    #: A file without drop days may hold rows that belong to no day; every run files them anew.
    dayless: bool = False
    #: Who was forgotten: what a drop says of them is left out.
    tombstones: Tombstones = NOBODY

    def __call__(
        self, bucket: int, rows: pa.Table, stored: Stored
    ) -> tuple[dict[tuple[str, date], pa.Table], dict[str, Any]]:
        done = land(
            rows,
            stored,
            days=self.days,
            shop=self.shop,
            source=self.source,
            clean=self.clean,
            key=self.key,
            replay=self.replay,
            tombstones=self.tombstones,
        )
        nothing = arrow_schema(QUARANTINE).empty_table()
        drops = {*self.days, *done.quarantine, *([NO_DAY] if self.dayless else [])}
        tables = {(EVENTS.name, day): found for day, found in done.events.items()}
        tables |= {(QUARANTINE.name, day): done.quarantine.get(day, nothing) for day in drops}
        if len(done.users):
            tables[USERS.name, NO_DAY] = done.users
        return tables, {"counts": done.counts, "reasons": done.reasons}


def land(
    rows: pa.Table,
    stored: Stored,
    *,
    days: Sequence[date],
    shop: str,
    source: str,
    clean: Clean,
    key: bytes,
    replay: bool = False,
    tombstones: Tombstones = NOBODY,
) -> Landing:
    """Merge a bucket's judged rows into its stored days.

    Args:
        rows: columns of `prep.clean.judged`; ids are still the shop's own.
        stored: the bucket's events on all days that a late event or a conflicting copy can reach.
        days: the drops at work; what they brought before is replaced,
        replay: unless these are records that a drop failed to bring, in addition to what it brought.
        tombstones: whose rows are left out, and counted as `rows_erased`.
    """
    rows, erased = _without_erased(_filled(rows.combine_chunks()), tombstones, key)
    good = flags(pc.is_null(rows["reasons"]))
    fine, bad = kept(rows, good), kept(rows, ~good)
    landed_again = set() if replay else set(days)
    named, users = _with_pseudonyms(fine, shop, key)
    near, touched = _touched(named, stored, landed_again)
    # What is stored comes first: a replayed record that the drop had brought after all is the duplicate.
    events = together([near, named])
    is_new = np.arange(len(events)) >= len(near)
    won = winners(events, is_new)
    ordered, drops = _ordered(events, won)
    days_of_events = by_day(ordered)
    counts = _counts(rows, bad, drops, won, is_new)
    _add_erased(counts, erased)
    if replay:
        _add_displaced(counts, near, drops[~is_new[won.rows]], days)
    return Landing(
        {day: with_bot_rule(days_of_events.get(day, ordered.slice(0, 0)), clean) for day in touched},
        _quarantine(bad, source, key),
        users,
        counts,
        dict(Counter(pc.list_flatten(one(bad["reasons"])).to_pylist())),
    )


def _filled(rows: pa.Table) -> pa.Table:
    """Columns that no mapping fills did not travel: they are null."""
    extra = {
        "agent": pa.bool_(),
        "repaired": pa.bool_(),
        "reasons": pa.list_(pa.string()),
        "raw": pa.string(),
        "part": pa.string(),
        "_form": pa.string(),
    }
    wanted = {field.name: field.type for field in _SCHEMA} | extra
    have = set(rows.column_names)
    columns = {name: rows[name].cast(kind) if name in have else nulls(len(rows), kind) for name, kind in wanted.items()}
    return pa.table(columns)


def _without_erased(rows: pa.Table, tombstones: Tombstones, key: bytes) -> tuple[pa.Table, pa.Table]:
    """The rows that stay, and those of people who were forgotten."""
    gone = tombstones.gone(rows, key) if tombstones else np.zeros(len(rows), bool)
    return kept(rows, ~gone), rows.filter(pa.array(gone))


def _with_pseudonyms(rows: pa.Table, shop: str, key: bytes) -> tuple[pa.Table, pa.Table]:
    """Rows with pseudonyms in place of ids, and the mapping rows (contract `users`) behind them."""
    mapping = []
    for column, kind in (("user_id", "user"), ("device_id", "device")):
        distinct, named = pseudonyms(key, kind, one(rows[column]))
        rows = rows.set_column(rows.schema.get_field_index(column), column, named)
        size = len(distinct)
        mapping.append(
            pa.table(
                {
                    "shop": pa.array([shop] * size, pa.string()),
                    "pseudonym": distinct.field("pseudonym"),
                    "shop_id": distinct.field("shop_id"),
                    "id_kind": pa.array([kind] * size, pa.string()),
                }
            )
        )
    return rows, pa.concat_tables(mapping).cast(arrow_schema(USERS))


def _touched(new: pa.Table, stored: Stored, landed_again: set[date]) -> tuple[pa.Table, list[date]]:
    """Stored rows of the days that change (less what the drops at work brought before), and those days.

    Days change where new rows lie, where these drops had rows before, and where another copy of a
    new event lies: it may come again in conflict about its day.
    """
    touched = set(pc.unique(new["dt"]).to_pylist())
    again = pa.array(sorted(landed_again), pa.date32())
    for day in stored.days(EVENTS):
        if day in touched:
            continue
        near = stored.read(EVENTS, [day], ["event_id", "landed"])
        known = pc.is_in(near["event_id"], value_set=one(new["event_id"]))
        if pc.any(pc.or_(known, pc.is_in(near["landed"], value_set=again))).as_py():
            touched.add(day)
    old = stored.read(EVENTS, sorted(touched))
    old = old.filter(pc.invert(pc.is_in(old["landed"], value_set=again)))
    agent = pc.fill_null(pc.equal(old["bot_rule"], bots.RULES[0]), False)
    old = old.append_column("agent", agent)
    extra = {
        name: nulls(len(old), new.schema.field(name).type) for name in new.column_names if name not in old.schema.names
    }
    for name, column in extra.items():
        old = old.append_column(name, column)
    return old.select(new.column_names).cast(new.schema), sorted(touched)


def visitor(events: pa.Table) -> pa.Array:
    """Whose stream an event belongs to: the device's, else the login's."""
    return one(pc.coalesce(events["device_id"], events["user_id"]))


def _ordered(events: pa.Table, won: Winners) -> tuple[pa.Table, Int64s]:
    """The winners by day and then in stream order, moved once; and the drop of each, in the order of `won`."""
    keys = taken(events.select(["dt", "device_id", "user_id", "event_ts", "event_id", "landed"]), won.rows)
    order = stream_order(_days(keys["dt"]), ranks(visitor(keys)), micros(keys["event_ts"]), event_id=keys["event_id"])
    rows = won.rows if order is None else won.rows[order]
    return taken(events, rows), _drops(keys)


def _days(column: pa.ChunkedArray | pa.Array) -> Int64s:
    """Dates as days since 1970."""
    return np.asarray(one(column).cast(pa.int32()).to_numpy(zero_copy_only=False), np.int64)


def without(events: pa.Table, event_ids: Sequence[str], clean: Clean) -> pa.Table:
    """A day's rows of one bucket without some events; their visitors may then be too slow for a bot."""
    kept = events.filter(pc.invert(pc.is_in(events["event_id"], value_set=pa.array(event_ids))))
    agent = pc.fill_null(pc.equal(kept["bot_rule"], bots.RULES[0]), False)
    return with_bot_rule(kept.append_column("agent", agent), clean)


def with_bot_rule(events: pa.Table, clean: Clean) -> pa.Table:
    """A day's events with the rule that calls their visitor a bot.

    By day, because of zones whose midnight cuts an hour: its other half is another night's business.
    """
    hours = micros(events["event_ts"]) // _HOUR
    rules = bots.names(bots.event_rules(codes(visitor(events)), hours, flags(events["agent"]), clean))
    return events.set_column(events.schema.get_field_index("bot_rule"), "bot_rule", rules).select(list(EVENTS.names))


def _quarantine(bad: pa.Table, source: str, key: bytes) -> dict[date, pa.Table]:
    """Rejected rows in the quarantine's contract, under their drop's day; equal records are numbered."""
    if not len(bad):
        return {}
    landed = pc.fill_null(bad["landed"], pa.scalar(NO_DAY, pa.date32()))
    raw = bad["raw"].to_pylist()
    bad = bad.append_column("record_id", pa.array([hashlib.sha256(text.encode()).hexdigest() for text in raw]))
    bad = bad.append_column("sealed", pa.array(sealed(key, raw), pa.binary()))
    drops = {}
    for day in sorted(set(landed.to_pylist())):
        drop = bad.filter(pc.equal(landed, pa.scalar(day, pa.date32()))).sort_by("record_id")
        record = one(drop["record_id"])
        starts = np.r_[0, np.flatnonzero(ranks(record)[1:] != ranks(record)[:-1]) + 1]
        copy = np.arange(len(drop)) - np.repeat(starts, np.diff(np.r_[starts, len(drop)])) + 1
        drops[day] = pa.table(
            {
                "record_id": record,
                "copy": pa.array(copy, pa.int32()),
                "dt": pa.array([day] * len(drop), pa.date32()),
                "source": pa.array([source] * len(drop), pa.string()),
                "reasons": drop["reasons"],
                "raw": drop["sealed"],
                "part": drop["part"],
                "form": drop["_form"],
            }
        ).select(list(QUARANTINE.names))
    return drops


def _counts(rows: pa.Table, bad: pa.Table, drops: Int64s, won: Winners, is_new: Bools) -> dict[str, dict[str, int]]:
    """Per drop: rows read, quarantined, of unknown kind, kept, collapsed, event ids in conflict."""
    counts: dict[str, dict[str, int]] = {}

    def add(name: str, days: Int64s, number: Int64s | None = None) -> None:
        found, where = distinct(days)
        sums = np.bincount(where, weights=number, minlength=len(found))
        for day, value in zip(found, sums, strict=True):
            drop = counts.setdefault(_iso(int(day)), dict.fromkeys(COUNTED, 0))
            drop[name] += int(value)

    add("rows_read", _drops(rows))
    add("rows_quarantined", _drops(bad))
    unknown = bad.filter(_has(bad["reasons"], "kind_unknown"))
    add("rows_unknown_kind", _drops(unknown))
    add("rows_repaired", _drops(rows.filter(pc.fill_null(rows["repaired"], False))))
    won_new = is_new[won.rows]
    # A drop also answers for its conflicts with what earlier drops brought, whoever won.
    drop = np.where(won_new, drops, won.brought)
    answers = won.brought >= 0
    add("rows_kept", drop[answers & won_new])
    add("rows_collapsed", drop[answers], won.num_collapsed[answers])
    add("rows_conflict", drop[answers & won.conflict])
    return counts


def _add_erased(counts: dict[str, dict[str, int]], erased: pa.Table) -> None:
    days, number = np.unique(_drops(erased), return_counts=True)
    for day, rows in zip(days, number, strict=True):
        drop = counts.setdefault(_iso(int(day)), dict.fromkeys(COUNTED, 0))
        drop["rows_read"] += int(rows)
        drop["rows_erased"] += int(rows)


def _add_displaced(counts: dict[str, dict[str, int]], near: pa.Table, stayed: Int64s, days: Sequence[date]) -> None:
    """A replayed record may win over one that its own drop brought, which then was a duplicate from the start."""
    before = _drops(near)
    for day in days:
        number = day.toordinal() - NO_DAY.toordinal()
        displaced = int((before == number).sum() - (stayed == number).sum())
        if displaced:
            drop = counts.setdefault(day.isoformat(), dict.fromkeys(COUNTED, 0))
            drop["rows_kept"] -= displaced
            drop["rows_collapsed"] += displaced


#: What is counted of each drop.
COUNTED = (
    "rows_read",
    "rows_quarantined",
    "rows_unknown_kind",
    "rows_repaired",
    "rows_kept",
    "rows_collapsed",
    "rows_conflict",
    "rows_erased",
)


def _has(lists: pa.ChunkedArray, value: str) -> pa.Array:
    column = one(lists)
    parents = pc.list_parent_indices(column).to_numpy()
    hits = pc.equal(pc.list_flatten(column), value).to_numpy(zero_copy_only=False).astype(bool)
    found = np.zeros(len(column), bool)
    found[parents[hits]] = True
    return pa.array(found)


def _drops(rows: pa.Table) -> Int64s:
    return _days(pc.fill_null(rows["landed"], pa.scalar(NO_DAY, pa.date32())))


def _iso(day: int) -> str:
    return date.fromordinal(NO_DAY.toordinal() + day).isoformat()


Counts = dict[str, int]


@dataclass(frozen=True)
class Unseal:
    """Quarantined records as they came, for Spark's mapInArrow."""

    key: bytes = field(repr=False)

    def __call__(self, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        for batch in batches:
            texts = pa.array(unsealed(self.key, batch.column("raw").to_pylist()), pa.string())
            columns = [batch.column("dt"), batch.column("part"), batch.column("form"), texts]
            yield pa.RecordBatch.from_arrays(columns, names=["landed", "part", "_form", "value"])


@dataclass(frozen=True)
class Settled:
    """Who gives way where several visitors' events bear one name.

    Args:
        losers: file -> event ids that it must lose.
        counts: what that changes in the counts of the drops, as in `Landing.counts`.
    """

    losers: dict[str, list[str]]
    counts: dict[str, Counts]


def settle(shared: pa.Table, days: Sequence[date]) -> Settled:
    """Choose one winner per event_id among rows of different buckets, by the rule of `winners`.

    A bucket knows its own visitors only; two trackers that give out the same id meet here.

    Args:
        shared: columns of the events contract and `filename`, for ids that occur in several files.
        days: the drops at work.
    """
    is_new = flags(pc.is_in(shared["landed"], value_set=pa.array(days, pa.date32())))
    won = winners(shared, is_new)
    lost = np.ones(len(shared), bool)
    lost[won.rows] = False
    losers: dict[str, list[str]] = {}
    for row in shared.filter(pa.array(lost)).select(["filename", "event_id"]).to_pylist():
        losers.setdefault(row["filename"], []).append(row["event_id"])
    counts: dict[str, Counts] = {}
    gave_way = [_iso(int(day)) for day in _drops(shared)[lost & is_new]]
    contested = [_iso(int(day)) for day in won.brought[won.conflict & (won.brought >= 0)]]
    for name, days_of_rows, step in (
        ("rows_kept", gave_way, -1),
        ("rows_collapsed", gave_way, 1),
        ("rows_conflict", contested, 1),
    ):
        for day in days_of_rows:
            counts.setdefault(day, dict.fromkeys(COUNTED, 0))[name] += step
    return Settled(losers, counts)


def replayed(drop: Counts, again: Counts) -> Counts:
    """Counts of a drop after its rejected records went through again."""
    both = {name: drop.get(name, 0) + again[name] for name in COUNTED}  # older drops counted less
    rejected = {name: again[name] for name in ("rows_quarantined", "rows_unknown_kind")}
    return both | rejected | {"rows_read": both["rows_read"] - drop["rows_quarantined"]}


def with_duplicates(drop: Counts) -> Counts:
    accounted = drop["rows_quarantined"] + drop["rows_kept"] + drop["rows_erased"]
    return drop | {"rows_duplicate": drop["rows_read"] - accounted}


def added_up(reports: Iterable[dict[str, Counts]]) -> dict[date, Counts]:
    """Counts of each drop over all buckets."""
    drops: dict[date, Counts] = {}
    for report in reports:
        for day, counts in report.items():
            drop = drops.setdefault(date.fromisoformat(day), dict.fromkeys(COUNTED, 0))
            for name, value in counts.items():
                drop[name] += value
    return drops


def reconcile(drops: dict[date, Counts], num_written: int, num_quarantined: int) -> None:
    """Hold independent counts against each other.

    Rows read and collapsed were counted in memory, kept and quarantined ones in the written files.

    Raises:
        AssertionError: they do not add up, which no input may cause.
    """
    total = {name: sum(drop[name] for drop in drops.values()) for name in COUNTED}
    accounted = num_written + total["rows_collapsed"] + num_quarantined + total["rows_erased"]
    assert total["rows_read"] == accounted, (
        f"read {total['rows_read']} rows, but kept {num_written} + duplicate {total['rows_collapsed']} "
        f"+ quarantined {num_quarantined} + erased {total['rows_erased']} differ"
    )
