"""Sessions: visits without a long pause, rebuilt whole when events arrive.

A visitor's stream is cut after more than `gap` of silence, where a login other than the session's own
appears, and where a session would outlast `max_hours` or `max_events`; what follows a cut is a new
session. It is named by its first event. Every rule looks only from a session's first event onwards,
so a rebuild that starts at any session's first event finds the same boundaries as one that starts at
the beginning of time.

All of it works on Arrow rows of one bucket of visitors: sorting and cutting 20 M events takes some
3 s of one core, where Spark's row-wise sort and windows take 50.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nightjar.contracts import EVENTS, SESSION_EVENTS, SESSION_RENAMES, SESSIONS, Kind
from nightjar.contracts.render import arrow_schema
from nightjar.prep import bots
from nightjar.prep.arrays import (
    Bools,
    Int64s,
    by_day,
    codes,
    dates,
    days_of,
    differs,
    flags,
    in_order,
    kept,
    micros,
    nulls,
    one,
    ranks,
    stream_order,
    taken,
    together,
)
from nightjar.prep.landing import Stored, visitor
from nightjar.settings import Clean, Sessions

#: What sessions keep of an event, besides its login.
KEPT = tuple(name for name in SESSION_EVENTS.names if name in EVENTS.names and name not in ("user_id", "dt"))

_STREAM = ("visitor_id", "login", *KEPT)
_MICRO = 1_000_000
#: Money adds up in hundredths of a hundredth: sums of doubles depend on the order of adding, integers do not.
_MONEY = 10_000


def stream_of(events: pa.Table) -> pa.Table:
    """Events as the rules below read them: `visitor_id`, `login` and what sessions keep."""
    columns = {"visitor_id": visitor(events), "login": one(events["user_id"])}
    return pa.table(columns | {name: one(events[name]) for name in KEPT})


def stream_in(session_events: pa.Table) -> pa.Table:
    """The stream that stored session_events came from."""
    login = pc.if_else(one(session_events["logged_in"]), one(session_events["user_id"]), None)
    columns = {"visitor_id": one(session_events["visitor_id"]), "login": login}
    return pa.table(columns | {name: one(session_events[name]) for name in KEPT})


def session_events_from(stream: pa.Table, sessions: Sessions, time_zone: str) -> pa.Table:
    """Cut whole visitors' streams into sessions: rows of session_events in their order, `is_bot` still false."""
    rows, visitors = _ordered(stream)
    ts, login = micros(rows["event_ts"]), codes(rows["login"])
    starts = _starts(visitors, ts, login, sessions)
    first = np.flatnonzero(starts)
    number = np.cumsum(starts) - 1
    columns = {
        "session_id": one(rows["event_id"]).take(pa.array(first[number])),
        "visitor_id": rows["visitor_id"],
        "user_id": _logins(rows["login"], login, first, number),
        "dt": dates(days_of(ts[first], time_zone)[number]),
        "position": pa.array(np.arange(len(ts)) - first[number] + 1, pa.int32()),
        "logged_in": pa.array(login >= 0),
        "is_bot": pa.array(np.zeros(len(ts), bool)),
    }
    return pa.table(columns | {name: rows[name] for name in KEPT}).select(list(SESSION_EVENTS.names))


def _logins(column: pa.ChunkedArray, login: Int64s, first: Int64s, number: Int64s) -> pa.Array:
    """Each row's session's one login; `login` are the column's codes."""
    if column.null_count == len(column):
        return nulls(len(column), column.type)
    of_session = np.maximum.reduceat(login, first)
    known = one(column).dictionary_encode().dictionary
    return known.take(pa.array(of_session, mask=of_session < 0)).take(pa.array(number))


def _ordered(rows: pa.Table) -> tuple[pa.Table, Int64s]:
    """Rows in stream order, and a number per visitor that rises with them."""
    visitors = ranks(rows["visitor_id"])
    order = stream_order(visitors, micros(rows["event_ts"]), event_id=rows["event_id"])
    return in_order(rows, order), visitors if order is None else visitors[order]


def _starts(visitors: Int64s, ts: Int64s, login: Int64s, sessions: Sessions) -> Bools:
    """Where sessions begin, for rows in stream order."""
    size = len(ts)
    if not size:
        return np.zeros(0, bool)
    gap, longest = sessions.gap_minutes * 60 * _MICRO, sessions.max_hours * 3600 * _MICRO
    visit = np.r_[True, (visitors[1:] != visitors[:-1]) | (ts[1:] - ts[:-1] > gap)]
    switch = _switches(visit, login)
    starts = visit | switch
    first = np.flatnonzero(starts)
    last = np.r_[first[1:], size] - 1
    over = (ts[last] - ts[first] > longest) | (last - first >= sessions.max_events)
    if over.any():
        # Where a cut falls depends on where the one before fell. Each step below jumps a whole
        # session ahead, in the few visits that need a cut at all.
        begins = np.flatnonzero(visit)
        which = np.unique(np.searchsorted(begins, first[over], "right") - 1)
        ends = np.r_[begins[1:], size]
        for begin, end in zip(begins[which], ends[which], strict=True):
            starts[begin:end] = _cut(ts[begin:end], login[begin:end], longest, sessions.max_events)
    return np.asarray(starts)


def _switches(visit: Bools, login: Int64s) -> Bools:
    """Where a login follows another one within a visit."""
    at = np.arange(len(login))
    latest = np.maximum.accumulate(np.where(login >= 0, at, -1))
    before = np.r_[-1, latest[:-1]]
    begin = np.maximum.accumulate(np.where(visit, at, 0))
    known = before >= begin
    return np.asarray((login >= 0) & known & (login != login[np.where(known, before, 0)]))


def _cut(ts: Int64s, login: Int64s, longest: int, max_events: int) -> Bools:
    """Session starts within one visit, every rule counted from the session's own first event."""
    logged = np.flatnonzero(login >= 0)
    changes = logged[1:][login[logged[1:]] != login[logged[:-1]]]
    starts = np.zeros(len(ts), bool)
    at = 0
    while at < len(ts):
        starts[at] = True
        too_long = int(np.searchsorted(ts, ts[at] + longest, "right"))
        own = np.searchsorted(logged, at)  # the session's first login, if any
        other = np.searchsorted(changes, logged[own], "right") if own < len(logged) else len(changes)
        switch = int(changes[other]) if other < len(changes) else len(ts)
        at = min(at + max_events, too_long, switch)
    return starts


def finished(session_events: pa.Table, clean: Clean) -> tuple[pa.Table, pa.Table]:
    """Whole sessions to both tables, in stream order: session_events with `is_bot`, and sessions.

    Args:
        session_events: rows of the contract whose sessions are complete, in any order.
    """
    rows, _ = _ordered(session_events)
    if not len(rows):
        return rows, arrow_schema(SESSIONS).empty_table()
    position = one(rows["position"]).to_numpy()
    first = np.flatnonzero(position == 1)
    size = np.diff(np.r_[first, len(rows)])
    number = np.repeat(np.arange(len(first)), size)
    kinds = codes_of(rows["kind"], [kind.value for kind in Kind])
    rule = _bot_rules(rows, first, number, kinds, clean)
    is_bot = pc.is_valid(rule)
    at = rows.schema.get_field_index("is_bot")
    marked = rows.set_column(at, "is_bot", is_bot.take(pa.array(number)))
    begin = taken(rows.select(["session_id", "visitor_id", "user_id", "dt", "event_ts", "platform"]), first)
    columns = {name: begin[name] for name in ("session_id", "visitor_id", "user_id", "dt", "platform")}
    columns |= {
        "start_ts": begin["event_ts"],
        "end_ts": one(rows["event_ts"]).take(pa.array(first + size - 1)),
        "num_events": pa.array(size, pa.int32()),
        "num_items": pa.array(_distinct(number, codes(rows["item_id"]), len(first)), pa.int32()),
        "revenue": pa.array(_revenue(rows, kinds, first)),
        "campaign": _first_of(one(rows["campaign"]), number, len(first)),
        "bot_rule": rule,
        "is_bot": is_bot,
    }
    for kind, name in _COUNTED.items():
        is_kind = (kinds == kind.code).astype(np.int64)
        columns[name] = pa.array(np.add.reduceat(is_kind, first), pa.int32())
    return marked, pa.table(columns).select(list(SESSIONS.names)).cast(arrow_schema(SESSIONS))


_COUNTED = {
    Kind.VIEW: "num_views",
    Kind.SEARCH: "num_searches",
    Kind.CART: "num_carts",
    Kind.PURCHASE: "num_purchases",
}


def codes_of(column: pa.ChunkedArray, values: Sequence[str]) -> Int64s:
    """1-based position of each value in the list, 0 for others: the codes that sequences store."""
    at = pc.fill_null(pc.index_in(one(column), pa.array(values)), -1)
    return np.asarray(at.to_numpy(), np.int64) + 1


def _bot_rules(rows: pa.Table, first: Int64s, number: Int64s, kinds: Int64s, clean: Clean) -> pa.Array:
    """The rule of each session's first flagged event, else the rule that its shape breaks."""
    flagged = _first_of(one(rows["bot_rule"]), number, len(first))
    shapes = bots.session_shapes(first, micros(rows["event_ts"]), kinds, codes(rows["item_id"]), clean)
    return pc.coalesce(flagged, bots.names(shapes))


def _first_of(column: pa.Array, number: Int64s, num_sessions: int) -> pa.Array:
    """Each session's first value that is not null."""
    if column.null_count == len(column):
        return nulls(num_sessions, column.type)
    filled = np.flatnonzero(flags(pc.is_valid(column)))
    sessions = number[filled]
    is_first = np.r_[True, sessions[1:] != sessions[:-1]]
    where = np.full(num_sessions, -1)
    where[sessions[is_first]] = filled[is_first]
    return column.take(pa.array(where, mask=where < 0))


def _distinct(number: Int64s, items: Int64s, num_sessions: int) -> Int64s:
    """How many different items each session has."""
    known = items >= 0
    width = int(items.max(initial=0)) + 1
    pairs = np.sort(number[known] * width + items[known])
    is_first = np.r_[True, pairs[1:] != pairs[:-1]][: len(pairs)]
    return np.bincount(pairs[is_first] // width, minlength=num_sessions)


def _revenue(rows: pa.Table, kinds: Int64s, first: Int64s) -> np.ndarray[Any, np.dtype[np.float64]]:
    price = pc.fill_null(one(rows["price"]), 0.0).to_numpy(zero_copy_only=False)
    quantity = pc.fill_null(one(rows["quantity"]), 1).to_numpy(zero_copy_only=False)
    bought = np.where(kinds == Kind.PURCHASE.code, price * quantity, 0.0)
    return np.add.reduceat(np.rint(bought * _MONEY).astype(np.int64), first) / _MONEY


@dataclass(frozen=True)
class Rebuilt:
    """One bucket's outcome: per touched day all of the bucket's rows, and what changed."""

    session_events: dict[date, pa.Table]
    sessions: dict[date, pa.Table]
    renames: pa.Table
    num_added: int = 0
    num_removed: int = 0


def rebuild(
    stored: Stored,
    changed: Sequence[date],
    *,
    night: date,
    sessions: Sessions,
    clean: Clean,
    time_zone: str,
) -> Rebuilt:
    """Rebuild whole the sessions that a bucket's changed events touch.

    A change at time t touches its visitor's sessions that end at t - gap or later: those before are
    cut off by silence on both sides, those after may start elsewhere once a cap shifts. An event
    changes when anything that sessions keep of it does: a drop that was sent again may correct a
    price, and late events may turn their visitor into a bot.

    Args:
        stored: the bucket's events of the changed days and its session_events of the days around.
        changed: days whose events differ from what their sessions were built from.
        night: files the renames.
    """
    if not changed:
        return Rebuilt({}, {}, arrow_schema(SESSION_RENAMES).empty_table())
    now = stream_of(stored.read(EVENTS, changed))
    known = _around(stored, changed, sessions, beyond=reach(sessions))
    added, removed = _changes(now, known, changed, time_zone)
    pulled = _pulled(added, removed, known, sessions)
    while _spills(known, pulled, stored, sessions, time_zone):
        known = _around(stored, changed, sessions, beyond=known.beyond + timedelta(days=1))
        added, removed = _changes(now, known, changed, time_zone)
        pulled = _pulled(added, removed, known, sessions)
    rows = kept(known.rows, pulled)
    gone = flags(pc.is_in(rows["event_id"], value_set=one(removed["event_id"])))
    fresh = session_events_from(together([stream_in(kept(rows, ~gone)), added]), sessions, time_zone)
    days = {*pc.unique(fresh["dt"]).to_pylist(), *pc.unique(rows["dt"]).to_pylist()}
    beside = flags(pc.is_in(known.rows["dt"], value_set=pa.array(sorted(days), pa.date32()))) & ~pulled
    of_days = together([kept(known.rows, beside), fresh.cast(known.rows.schema)])
    in_sessions, whole = (by_day(table) for table in finished(of_days, clean))
    return Rebuilt(
        {day: in_sessions.get(day, _NO_EVENTS) for day in sorted(days)},
        {day: whole.get(day, _NO_SESSIONS) for day in sorted(days)},
        _renames(rows, fresh, night),
        len(added),
        len(removed),
    )


_NO_EVENTS, _NO_SESSIONS = arrow_schema(SESSION_EVENTS).empty_table(), arrow_schema(SESSIONS).empty_table()


@dataclass(frozen=True)
class _Known:
    """Stored session_events of a window of days."""

    rows: pa.Table
    days: tuple[date, ...]
    beyond: timedelta


def reach(sessions: Sessions) -> timedelta:
    """How far from a changed day the sessions may start that it touches: in days, for sessions lie by days.

    Back from midnight: the gap, the longest session that ends there, and two hours for clocks set forward.
    """
    return timedelta(days=-(-((sessions.max_hours + 2) * 60 + sessions.gap_minutes) // (24 * 60)))


def _around(stored: Stored, changed: Sequence[date], sessions: Sessions, *, beyond: timedelta) -> _Known:
    first, last = min(changed) - reach(sessions), max(changed) + beyond
    days = tuple(day for day in stored.days(SESSION_EVENTS) if first <= day <= last)
    return _Known(stored.read(SESSION_EVENTS, days), days, beyond)


def _changes(now: pa.Table, known: _Known, changed: Sequence[date], time_zone: str) -> tuple[pa.Table, pa.Table]:
    """What the stored sessions do not know yet: (events to add, stored events that are gone or differ)."""
    stream = stream_in(known.rows)
    wanted = np.array([day.toordinal() for day in changed], np.int64) - date(1970, 1, 1).toordinal()
    stream = kept(stream, np.isin(days_of(micros(stream["event_ts"]), time_zone), wanted))
    if not len(stream):
        return now, stream.cast(now.schema)
    at = pc.index_in(one(now["event_id"]), value_set=one(stream["event_id"]))
    found = flags(pc.is_valid(at))
    pairs = kept(now, found), taken(stream, at.drop_null().to_numpy())
    same = np.zeros(len(now), bool)
    same[np.flatnonzero(found)] = ~differs(*pairs, _STREAM)
    unchanged = one(now["event_id"]).filter(pa.array(same))
    gone = ~flags(pc.is_in(stream["event_id"], value_set=unchanged))
    return kept(now, ~same), kept(stream, gone).cast(now.schema)


def _pulled(added: pa.Table, removed: pa.Table, known: _Known, sessions: Sessions) -> Bools:
    """Which stored rows belong to sessions that the changes touch."""
    rows = known.rows
    changes = pa.concat_tables([added, removed]).select(["visitor_id", "event_ts"])
    earliest = changes.group_by("visitor_id").aggregate([("event_ts", "min")])
    at = pc.index_in(one(rows["visitor_id"]), value_set=one(earliest["visitor_id"]))
    touched = flags(pc.is_valid(at))
    if not touched.any():
        return touched
    gap = sessions.gap_minutes * 60 * _MICRO
    since = micros(earliest["event_ts_min"])[pc.fill_null(at, 0).to_numpy()] - gap
    session = codes(rows["session_id"])
    ends = np.full(session.max() + 1, np.iinfo(np.int64).min)
    np.maximum.at(ends, session, micros(rows["event_ts"]))
    return np.asarray(touched & (ends[session] >= since))


def _spills(known: _Known, pulled: Bools, stored: Stored, sessions: Sessions, time_zone: str) -> bool:
    """A touched visit goes on beyond the window: then the days after it matter too.

    So it is where events follow without a pause over the window's last midnight, as machines' do.
    """
    if not pulled.any() or not any(day > known.days[-1] for day in stored.days(SESSION_EVENTS)):
        return False
    midnight = datetime.combine(known.days[-1] + timedelta(days=1), time(), ZoneInfo(time_zone))
    latest = int(micros(known.rows["event_ts"])[pulled].max())
    return latest >= int(midnight.timestamp() - sessions.gap_minutes * 60) * _MICRO


def _renames(old: pa.Table, fresh: pa.Table, night: date) -> pa.Table:
    """Old sessions whose first remaining event is now in a session of another name."""
    if not len(old):
        return arrow_schema(SESSION_RENAMES).empty_table()
    at = pc.index_in(one(old["event_id"]), value_set=one(fresh["event_id"]))
    still = old.filter(pc.is_valid(at))
    names = one(fresh["session_id"]).take(at.drop_null())
    first = _first_rows(still)
    renames = pa.table(
        {
            "old_session_id": still["session_id"],
            "session_id": names,
            "visitor_id": still["visitor_id"],
        }
    ).take(pa.array(first))
    renames = renames.filter(pc.not_equal(renames["old_session_id"], renames["session_id"]))
    dt = pa.array([night] * len(renames), pa.date32())
    return renames.append_column("dt", dt).cast(arrow_schema(SESSION_RENAMES))


def _with_earlier(before: pa.Table, done: Rebuilt) -> pa.Table:
    """What an earlier run of the night had renamed, too; but no name that was renamed again, or is in use again."""
    names = [done.renames["old_session_id"], *(found["session_id"] for found in done.session_events.values())]
    again = pc.is_in(before["old_session_id"], value_set=pa.concat_arrays([one(column) for column in names]))
    return pa.concat_tables([before.filter(pc.invert(again)), done.renames.cast(before.schema)])


def _first_rows(session_events: pa.Table) -> Int64s:
    """Row number of each session's first event."""
    session, position = codes(session_events["session_id"]), one(session_events["position"]).to_numpy()
    order = np.lexsort((position, session))
    return order[np.r_[True, session[order][1:] != session[order][:-1]]] if len(order) else order


@dataclass(frozen=True)
class Sessionize:
    """A bucket's work in the job: `changed` names each bucket's days."""

    changed: dict[int, tuple[date, ...]]
    night: date
    sessions: Sessions
    clean: Clean
    time_zone: str

    def __call__(
        self, bucket: int, rows: pa.Table, stored: Stored
    ) -> tuple[dict[tuple[str, date], pa.Table], dict[str, Any]]:
        done = rebuild(
            stored,
            self.changed.get(bucket, ()),
            night=self.night,
            sessions=self.sessions,
            clean=self.clean,
            time_zone=self.time_zone,
        )
        tables = {(SESSION_EVENTS.name, day): found for day, found in done.session_events.items()}
        tables |= {(SESSIONS.name, day): found for day, found in done.sessions.items()}
        before = stored.read(SESSION_RENAMES, [self.night])
        if len(before) or len(done.renames):
            tables[SESSION_RENAMES.name, self.night] = _with_earlier(before, done)
        return tables, {
            "added": done.num_added,
            "removed": done.num_removed,
            "renamed": len(done.renames),
            "rows": sum(len(found) for found in done.session_events.values()),
            "replaced": sum(len(stored.read(SESSION_EVENTS, [day], ["position"])) for day in done.session_events),
        }
