"""Random logs of small shops, the ways in which they may arrive, and what must become of them.

A log is a list of copies: what was sent, some of it twice and in contradiction. A plan says in which
drop each copy lies. The same log under many plans can share one lake, because every world sets its
mark before its names: a night then costs the same for fifty variants as for one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

Record = dict[str, Any]

#: What the shops' mapping says of the jobs, for the definition below.
DAYS_LATE, SKEW_MINUTES = 3, 15
BOT_EVENTS_PER_HOUR = 8
GAP, LONGEST, MAX_EVENTS = timedelta(minutes=30), timedelta(hours=5), 25

SOURCE = f"""
doc = "A shop for tests."
format = "jsonl"
layout = "daily"
pattern = "{{day}}*.jsonl"
time_zone = "ZONE"
history_days = 3

[fields]
id = "STRING"
at = "STRING"
got = "STRING"
who = "STRING"
device = "STRING"
what = "STRING"
item = "STRING"
cost = "STRING"
campaign = "STRING"
extra = "MAP<STRING, STRING>"

[events]
event_id = "id"
event_ts = "try_to_timestamp(at)"
received_at = "try_to_timestamp(got)"
user_id = "who"
device_id = "device"
platform = "'web'"
kind = "what"
item_id = "item"
price = "try_cast(cost AS DOUBLE)"
quantity = "CASE WHEN what = 'purchase' THEN 2 END"
campaign = "campaign"
attributes = "extra"

[kinds]
view = "view"
search = "search"
cart = "cart"
purchase = "purchase"

[settings]
"clean.days_late_allowed" = {DAYS_LATE}
"clean.clock_skew_minutes" = {SKEW_MINUTES}
"clean.bot_events_per_hour" = {BOT_EVENTS_PER_HOUR}
"sessions.gap_minutes" = {GAP // timedelta(minutes=1)}
"sessions.max_hours" = {LONGEST // timedelta(hours=1)}
"sessions.max_events" = {MAX_EVENTS}
"lake.buckets" = 3
"spark.shuffle_partitions" = 2
"""


@dataclass(frozen=True)
class Shop:
    """Four days of a shop; on the second its clocks change."""

    name: str
    zone: str
    first: date

    @property
    def days(self) -> tuple[date, ...]:
        return tuple(self.first + timedelta(days=number) for number in range(4))

    @property
    def source(self) -> str:
        return SOURCE.replace("ZONE", self.zone)

    def instant(self, day: date, minutes: float) -> datetime:
        """So many minutes after the day began, as a stop-watch counts them."""
        return datetime.combine(day, time(), ZoneInfo(self.zone)).astimezone(UTC) + timedelta(minutes=minutes)

    def day_of(self, at: datetime) -> date:
        return at.astimezone(ZoneInfo(self.zone)).date()


#: A day of 23 hours, one of 25 in a zone half an hour off, and one that has no midnight.
BERLIN = Shop("berlin", "Europe/Berlin", date(2001, 3, 24))
ADELAIDE = Shop("adelaide", "Australia/Adelaide", date(2001, 3, 24))
SAO_PAULO = Shop("saopaulo", "America/Sao_Paulo", date(2001, 10, 13))


# -- logs


@dataclass(frozen=True)
class Copy:
    """One sending of an event: the record, its shop's day, and the drops that may hold it."""

    record: Record
    day: date
    drops: tuple[date, ...]


#: Device and the logins used on it.
PEOPLE = (("d0", ("ann",)), ("d1", ("bob", "cid")), (None, ("dee",)), ("d3", ()), ("d4", ("dee",)))
#: Visitors whose sessions end by a cap, so that one more event may move every later cut.
CAPPED = ("walker", "clock", "press")
DEVICES = ("d0", "d1", "d3", "d4", "other", *CAPPED)
LOGINS = ("ann", "bob", "cid", "dee", "burst")


def random_log(seed: int, shop: Shop) -> list[Copy]:
    """Some 400 events of people and machines, every seventh of them sent more than once."""
    draw = random.Random(seed)
    sent = [*_visits(draw, shop), *_walks(draw, shop), *_machines(draw, shop)]
    sent += [again for record in sent for again in _again(draw, record)]
    return [copy for record in sent if (copy := _copy(record, shop)).drops]


def _copy(record: Record, shop: Shop) -> Copy:
    day = shop.day_of(record["at"])
    fast = shop.day_of(record["at"] - timedelta(minutes=SKEW_MINUTES))  # landed by a clock that is right
    return Copy(record, day, tuple(drop for drop in shop.days if fast <= drop <= day + timedelta(days=DAYS_LATE)))


def _visits(draw: random.Random, shop: Shop) -> Iterator[Record]:
    for device, logins in PEOPLE:
        for _ in range(6):
            at = shop.instant(draw.choice(shop.days), draw.randrange(0, 24 * 60, 5))
            who = None if device else logins[0]
            for _ in range(draw.randrange(1, 9)):
                chance = draw.random()
                if logins and chance < 0.3:
                    who = draw.choice(logins)
                elif device and chance > 0.9:
                    who = None
                agent = "curl/8.5" if device == "d3" and draw.random() < 0.1 else None
                yield _record(draw, at, device, who, agent)
                at += timedelta(minutes=draw.choice((0, 1, 5, 20, 30, 31)))  # 30 is no pause yet


def _walks(draw: random.Random, shop: Shop) -> Iterator[Record]:
    """From an hour and a half before each midnight to four hours after it: also through the missing hour."""
    for day in shop.days[1:]:
        for number in range(14):
            yield _record(draw, shop.instant(day, 25 * number - 90), "walker", None)


def _machines(draw: random.Random, shop: Shop) -> Iterator[Record]:
    """One without a pause from the first day to the last, one too busy for a session, and one just fast enough."""
    for number in range(4 * 24 * 60 // 29):
        yield _record(draw, shop.instant(shop.first, 29 * number), "clock", draw.choice((None, None, None, "ann")))
    for _ in range(60):
        yield _record(draw, shop.instant(shop.days[2], draw.randrange(-120, 60)), "press", None)
    for day in shop.days:
        hour = shop.instant(day, draw.randrange(0, 24 * 60, 60)).replace(minute=0)
        for _ in range(draw.choice((0, 1, 1, 2)) + BOT_EVENTS_PER_HOUR - 1):
            yield _record(draw, hour + timedelta(minutes=draw.randrange(60)), None, "burst")


def _record(draw: random.Random, at: datetime, device: str | None, who: str | None, agent: str | None = None) -> Record:
    what = draw.choice(("view", "view", "view", "search", "cart", "purchase"))
    item = None if what == "search" else f"i{draw.randrange(6)}"
    extra = {"title": f"Title of {item}", "brand": "acme", "category": "tea"}
    return {
        "id": f"{draw.randrange(16**8):08x}",  # no relation to time
        "at": at,
        "got": draw.choice((None, at + timedelta(seconds=draw.randrange(5, 600)))),
        "who": who,
        "device": device,
        "what": what,
        "item": item,
        "cost": draw.choice((None, 1.5, 2.25, 10.0)),
        "campaign": draw.choice((None, None, None, "spring", "mail")),
        "extra": extra | ({"user_agent": agent} if agent else {}),
    }


def _again(draw: random.Random, record: Record) -> list[Record]:
    """Copies of a record: none mostly, else repeated or in contradiction.

    Where copies differ in what becomes a pseudonym, something else decides: pseudonyms differ between worlds.
    """
    if draw.random() > 0.15:
        return []
    got, at = record["got"], record["at"]
    sooner = got and got - timedelta(seconds=2)
    changes: list[Record] = [
        {},
        {"extra": dict(reversed(record["extra"].items()))},
        {"cost": 99.0},
        {"cost": 0.5, "got": sooner},
        {"campaign": "late", "got": got and got + timedelta(days=1)},
        {"item": "i9"},
        {"got": None},
        {"who": None} if record["device"] else {"item": None, "what": "search"},
        {"device": None} if record["who"] else {"item": "i8"},
        {"device": "other", "got": sooner} if got else {"campaign": "other"},
        {"at": at + timedelta(minutes=40), "got": sooner},
        {"at": at - timedelta(minutes=35)},
        {"at": at + timedelta(days=2), "got": sooner},  # a clock gone wrong
        {"at": at + timedelta(days=3), "got": sooner},
    ]
    return [record | change for change in draw.choices(changes, k=draw.choice((1, 1, 2)))]


# -- arrivals

Plan = Callable[[Copy], date]


def plans(number: int) -> list[Plan]:
    """Ways to arrive: at once, as early as clocks allow, as late as the jobs allow, and at random."""
    found: list[Plan] = [
        lambda copy: min(max(copy.day, copy.drops[0]), copy.drops[-1]),
        lambda copy: copy.drops[0],
        lambda copy: copy.drops[-1],
    ]
    found += [_at_random(seed) for seed in range(number - len(found))]
    return found[:number]


def _at_random(seed: int) -> Plan:
    draw = random.Random(seed)
    late = draw.choice((0.1, 0.5, 0.9))
    return lambda copy: draw.choice(copy.drops) if draw.random() < late else copy.drops[-1 if seed % 3 == 0 else 0]


@dataclass(frozen=True)
class World:
    """A log under a plan; `mark` stands before the names of its people and events."""

    mark: str
    log: int
    sent: tuple[tuple[Copy, date], ...]

    def records(self, drop: date) -> Iterator[Record]:
        for copy, day in self.sent:
            if day == drop:
                names = {name: copy.record[name] and self.mark + copy.record[name] for name in ("id", "who", "device")}
                yield copy.record | names


def worlds(shop: Shop, *, num_logs: int, num_plans: int) -> list[World]:
    """Every log under every plan."""
    found = []
    for log in range(num_logs):
        copies = random_log(log, shop)
        for number, plan in enumerate(plans(num_plans)):
            sent = tuple((copy, plan(copy)) for copy in copies)
            found.append(World(f"{log}.{number}-", log, sent))
    return found


# -- what must become of a log, in plain Python


@dataclass(frozen=True)
class Fate:
    """Of one event: what is kept of it, and its place in a session."""

    at: datetime
    dt: date
    landed: date
    who: str | None
    device: str | None
    what: str
    item: str | None
    cost: float | None
    bot_rule: str | None
    session_id: str
    position: int
    login: str | None
    session_dt: date


def fates(world: World, shop: Shop) -> dict[str, Fate]:
    """The definition of clean and sessionize: one copy of each event wins, visitors' streams are cut."""
    kept = _kept(world.sent)
    streams: dict[str, list[tuple[Record, date]]] = {}
    for record, landed in sorted(kept, key=lambda pair: (pair[0]["at"], pair[0]["id"])):
        streams.setdefault(record["device"] or record["who"], []).append((record, landed))
    found = {}
    for stream in streams.values():
        per_hour = Counter(_hour(record, shop) for record, _ in stream)
        for session in _cut(stream):
            first = session[0][0]
            login = next((record["who"] for record, _ in session if record["who"]), None)
            for position, (record, landed) in enumerate(session, 1):
                fast = per_hour[_hour(record, shop)] > BOT_EVENTS_PER_HOUR
                rule = "agent" if "user_agent" in record["extra"] else "rate" if fast else None
                kept_of_it = (record[name] for name in ("who", "device", "what", "item", "cost"))
                place = (rule, first["id"], position, login, shop.day_of(first["at"]))
                found[record["id"]] = Fate(record["at"], shop.day_of(record["at"]), landed, *kept_of_it, *place)
    return found


def _hour(record: Record, shop: Shop) -> tuple[datetime, date]:
    """The hour in UTC; a shop's midnight may cut it."""
    return record["at"].replace(minute=0), shop.day_of(record["at"])


def _kept(sent: Iterable[tuple[Copy, date]]) -> list[tuple[Record, date]]:
    """The smallest copy of each event, and the first drop that brought it."""
    best: dict[str, tuple[Any, date, Record]] = {}
    for copy, drop in sent:
        record = copy.record
        if record["got"] and record["at"] > record["got"] + timedelta(minutes=SKEW_MINUTES):
            continue  # its clock is ahead: it is rejected
        content = (record[name] for name in ("got", "at", "who", "device", "what", "item", "cost", "campaign"))
        rank = tuple((value is None, value) for value in content)
        if record["id"] not in best or (rank, drop) < best[record["id"]][:2]:
            best[record["id"]] = (rank, drop, record)
    return [(record, drop) for _, drop, record in best.values()]


def _cut(stream: list[tuple[Record, date]]) -> list[list[tuple[Record, date]]]:
    sessions: list[list[tuple[Record, date]]] = []
    login = None
    for event, landed in stream:
        open_ = sessions[-1] if sessions else []
        if (
            not open_
            or event["at"] - open_[-1][0]["at"] > GAP
            or event["at"] - open_[0][0]["at"] > LONGEST
            or len(open_) == MAX_EVENTS
            or (login and event["who"] and event["who"] != login)
        ):
            sessions.append([])
            login = None
        sessions[-1].append((event, landed))
        login = login or event["who"]
    return sessions
