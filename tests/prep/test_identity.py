"""Persons against graphs worked out by hand, a union-find in plain Python, and the simulated shop's truth."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from math import comb
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from nightjar.contracts import IDENTITY, IDENTITY_LINKS, SESSIONS, Table
from nightjar.contracts.render import arrow_schema
from nightjar.prep.components import components
from nightjar.prep.identity import as_of, assignments, edges_from, fresh_links, of_persons, surroundings
from nightjar.settings import Identity, load_conf
from nightjar.simulate import Shop

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark

MONDAY = date(2001, 1, 15)
ONE = Identity(max_logins_per_device=1, max_component_members=50)
TWO = Identity(max_logins_per_device=2, max_component_members=6)

#: (visitor, login or None, day counted from Monday, is it a bot's)
Session = tuple[str, str | None, int, bool]
#: (day, member) -> (person, component, members of it, rule)
Rows = dict[tuple[int, str], tuple[str, str, int, str | None]]


def seen(visitor: str, user: str | None, day: int, *, is_bot: bool = False) -> Session:
    return (visitor, user, day, is_bot)


def frame(spark: SparkSession, sessions: Iterable[Session]) -> DataFrame:
    schema = pa.schema([arrow_schema(SESSIONS).field(name) for name in ("visitor_id", "user_id", "dt", "is_bot")])
    rows = [(visitor, user, MONDAY + timedelta(days=day), is_bot) for visitor, user, day, is_bot in sessions]
    return local(spark, rows, schema)


def local(spark: SparkSession, rows: Sequence[Any], schema: pa.Schema) -> DataFrame:
    return spark.createDataFrame(
        pa.table([list(column) for column in zip(*rows, strict=True)] or [[]] * len(schema), schema)
    )


class Tables:
    """identity and its links as a lake would keep them, a set of rows per day."""

    def __init__(self, spark: SparkSession, rules: Identity) -> None:
        self.spark = spark
        self.rules = rules
        self.links: dict[date, list[Any]] = {}
        self.rows: dict[date, list[Any]] = {}

    def rebuild(self, sessions: Iterable[Session], since: int) -> None:
        """What a night does whose first changed day of sessions is `since`, given all sessions so far."""
        first = MONDAY + timedelta(days=since)
        for table in (self.links, self.rows):
            for day in [day for day in table if day >= first]:
                del table[day]
        links, rows = self._frame(self.links, IDENTITY_LINKS), self._frame(self.rows, IDENTITY)
        edges = edges_from(frame(self.spark, [session for session in sessions if session[2] >= since]))
        fresh = fresh_links(edges, links).persist()
        near, before = surroundings(fresh, links, rows)
        before.persist()
        for table, found in ((self.rows, assignments(fresh, near, before, self.rules)), (self.links, fresh)):
            for row in found.collect():
                table.setdefault(row["dt"], []).append(tuple(row))
        fresh.unpersist()
        before.unpersist()

    def _frame(self, table: dict[date, list[Any]], contract: Table) -> DataFrame:
        return local(self.spark, [row for rows in table.values() for row in rows], arrow_schema(contract))

    def found(self) -> Rows:
        rows = [dict(zip(IDENTITY.names, row, strict=True)) for rows in self.rows.values() for row in rows]
        state = ("person_id", "component_id", "num_members", "apart_rule")
        found = {((row["dt"] - MONDAY).days, row["member_id"]): tuple(row[name] for name in state) for row in rows}
        assert len(found) == len(rows), "a member has two rows on a day"
        return found  # type: ignore[return-value]

    def frame(self) -> DataFrame:
        return self._frame(self.rows, IDENTITY)


def whole(spark: SparkSession, sessions: list[Session], rules: Identity) -> Tables:
    tables = Tables(spark, rules)
    tables.rebuild(sessions, 0)
    return tables


# -- by hand: a shop of small stories whose members never meet

ATTACHED = [
    seen("phone", None, 0),  # before anybody knew whose it is
    seen("phone", "ann", 1),
    seen("laptop", "ann", 2),
    seen("laptop", "ann", 3),  # nothing new
    seen("ann", "ann", 3),  # no device
]
SWITCHED = [seen("tablet", "bea", 0), seen("tablet", "cid", 2), seen("tablet", None, 3), seen("desk", "bea", 1)]
AT_ONCE = [seen("till", "dee", 1), seen("till", "eli", 1)]
ROBOT = [seen("crawler", "fay", 0, is_bot=True)]
CHAIN = [*(seen(f"c{n}", f"k{n}", 0) for n in range(3)), seen("c0", "k1", 1), seen("c1", "k2", 2)]
CYCLE = [seen(f"r{n}", f"z{(n + shift) % 3}", 0) for n in range(3) for shift in (0, 1)]
#: Eight members by the third day; the device "g4" is of one login alone.
GIANT = [*(seen(f"g{n}", login, 0) for n in range(2) for login in (f"l{n}", f"l{n + 1}")), seen("g4", "l2", 1)]
GIANT += [seen("g2", "l2", 2), seen("g2", "l3", 2)]
KIOSK = [seen("kiosk", f"v{n}", n) for n in range(4)] + [seen("home", "v0", 0), seen("work", "v1", 1)]

STORIES = [*ATTACHED, *SWITCHED, *AT_ONCE, *ROBOT, *CHAIN, *CYCLE, *GIANT, *KIOSK]


@pytest.fixture(scope="module")
def one(spark: SparkSession) -> Tables:
    return whole(spark, STORIES, ONE)


@pytest.fixture(scope="module")
def two(spark: SparkSession) -> Tables:
    return whole(spark, STORIES, TWO)


def of(tables: Tables, sessions: list[Session]) -> Rows:
    members = {name for visitor, user, _, _ in sessions for name in (visitor, user) if name}
    return {key: row for key, row in tables.found().items() if key[1] in members}


def test_devices_attach_to_their_login(one: Tables, two: Tables) -> None:
    expected = {
        (1, "phone"): ("ann", "ann", 2, None),
        (1, "ann"): ("ann", "ann", 2, None),
        (2, "laptop"): ("ann", "ann", 3, None),
    }
    assert of(one, ATTACHED) == of(two, ATTACHED) == expected


def test_a_second_login_makes_a_device_shared_from_its_day_on(one: Tables, two: Tables) -> None:
    assert of(one, SWITCHED) == {
        (0, "tablet"): ("bea", "bea", 2, None),
        (0, "bea"): ("bea", "bea", 2, None),
        (1, "desk"): ("bea", "bea", 3, None),
        (2, "tablet"): ("tablet", "tablet", 1, "shared"),
        (2, "cid"): ("cid", "cid", 1, None),
    }
    assert of(two, SWITCHED)[2, "cid"] == ("bea", "bea", 4, None)


def test_two_logins_at_once_never_had_the_device(one: Tables) -> None:
    assert of(one, AT_ONCE) == {
        (1, "till"): ("till", "till", 1, "shared"),
        (1, "dee"): ("dee", "dee", 1, None),
        (1, "eli"): ("eli", "eli", 1, None),
    }


def test_bots_link_nobody(one: Tables) -> None:
    assert of(one, ROBOT) == {}


def test_a_chain_merges_link_by_link(two: Tables) -> None:
    rows = of(two, CHAIN)
    assert {key: row[0] for key, row in rows.items()} == {
        **{(0, f"{kind}{n}"): f"k{n}" for kind in "ck" for n in range(3)},
        (1, "k1"): "k0",
        (1, "c1"): "k0",
        (2, "k2"): "k0",
        (2, "c2"): "k0",
    }
    assert rows[2, "k2"] == ("k0", "k0", 6, None)


def test_a_cycle_is_one_person(two: Tables) -> None:
    assert of(two, CYCLE) == {(0, f"{kind}{n}"): ("z0", "z0", 6, None) for kind in "rz" for n in range(3)}


def test_a_crowd_is_broken_up(two: Tables) -> None:
    rows = of(two, GIANT)
    assert rows[0, "l2"] == ("l0", "l0", 5, None)
    assert rows[1, "g4"] == ("l0", "l0", 6, None)
    assert {key[1]: row for key, row in rows.items() if key[0] == 2} == {
        **{f"l{n}": (f"l{n}", "l0", 8, "large") for n in range(4)},
        **{f"g{n}": (f"g{n}", "l0", 8, "large") for n in range(3)},
        "g4": ("l2", "l0", 8, "large"),
    }


def test_a_login_of_many_devices_is_no_crowd(spark: SparkSession) -> None:
    tables = whole(spark, [seen(f"d{n}", "ann", 0) for n in range(9)], TWO)
    assert {row[0] for row in tables.found().values()} == {"ann"}
    assert {row[2:] for row in tables.found().values()} == {(10, None)}


def test_the_login_too_many_takes_a_person_apart_again(two: Tables) -> None:
    rows = of(two, KIOSK)
    assert rows[1, "v1"] == ("v0", "v0", 5, None)
    assert {key[1]: row for key, row in rows.items() if key[0] == 2} == {
        "kiosk": ("kiosk", "kiosk", 1, "shared"),
        "v1": ("v1", "v1", 2, None),
        "work": ("v1", "v1", 2, None),
        "v2": ("v2", "v2", 1, None),
    }
    assert rows[3, "v3"] == ("v3", "v3", 1, None)


# -- asking


def test_an_assignment_is_dated_back_and_asked_as_of_a_day(spark: SparkSession, one: Tables) -> None:
    asked = [("phone", None), ("phone", "ann"), ("tablet", None), ("tablet", "cid"), ("ann", "ann"), ("new", None)]
    visits = spark.createDataFrame(
        [(*who, n) for n, who in enumerate(asked)], "visitor_id STRING, user_id STRING, n INT"
    )
    people = {}
    for day in range(4):
        found = of_persons(visits, as_of(one.frame(), MONDAY + timedelta(days=day)))
        assert found.columns == visits.columns
        people[day] = [row["user_id"] for row in found.orderBy("n").collect()]
    assert people == {
        0: ["phone", "ann", "bea", "cid", "ann", "new"],
        1: ["ann", "ann", "bea", "cid", "ann", "new"],
        2: ["ann", "ann", "tablet", "cid", "ann", "new"],
        3: ["ann", "ann", "tablet", "cid", "ann", "new"],
    }


# -- against plain Python


def find(parents: dict[str, str], node: str) -> str:
    while parents[node] != node:
        node = parents[node]
    return node


def states_on(sessions: Iterable[Session], day: int, rules: Identity) -> dict[str, tuple[str, str, int, str | None]]:
    """The definition: everything that is known by the end of the day, at once."""
    logins = defaultdict[str, set[str]](set)
    for visitor, user, began, is_bot in sessions:
        if user and visitor != user and not is_bot and began <= day:
            logins[visitor].add(user)
    users = {user for of_device in logins.values() for user in of_device}
    parents = {name: name for name in (*logins, *users)}
    shared = {device for device in logins if len(logins[device]) > rules.max_logins_per_device}
    for device in logins.keys() - shared:
        for user in logins[device]:
            parents[find(parents, user)] = find(parents, device)
    members = defaultdict[str, set[str]](set)
    for name in parents:
        members[find(parents, name)].add(name)
    states: dict[str, tuple[str, str, int, str | None]] = {}
    for group in members.values():
        num, component = len(group), min(group & users, default=min(group))
        is_large = num > rules.max_component_members and len(group & users) > 1
        for name in group:
            if name in shared:
                states[name] = (name, name, 1, "shared")
            elif not is_large:
                states[name] = (component, component, num, None)
            elif name in logins and len(logins[name]) == 1:
                states[name] = (min(logins[name]), component, num, "large")
            else:
                states[name] = (name, component, num, "large")
    return states


def reference(sessions: list[Session], num_days: int, rules: Identity) -> Rows:
    rows: Rows = {}
    yesterday: dict[str, tuple[str, str, int, str | None]] = {}
    for day in range(num_days):
        today = states_on(sessions, day, rules)
        for name, (person, component, num, rule) in today.items():
            if name not in yesterday or (person, component, rule) != (*yesterday[name][:2], yesterday[name][3]):
                rows[day, name] = (person, component, num, rule)
        yesterday = today
    return rows


NUM_DAYS = 5


def random_sessions(seed: int) -> list[Session]:
    """Many small worlds of different density, one long chain, and a ring over all days."""
    draw = random.Random(seed)
    found = []
    for world in range(60):
        num_devices, num_logins = draw.randrange(1, 9), draw.randrange(1, 7)
        for _ in range(draw.randrange(2, 16)):
            device, login = f"w{world}-d{draw.randrange(num_devices)}", f"w{world}-u{draw.randrange(num_logins)}"
            user = draw.choice((login, login, login, None))
            found.append(
                seen(draw.choice((device,) * 9 + (login,)), user, draw.randrange(NUM_DAYS), is_bot=draw.random() < 0.1)
            )
    chain = [
        seen(f"chain-d{n}", f"chain-u{n + shift}", draw.randrange(NUM_DAYS)) for n in range(40) for shift in (0, 1)
    ]
    ring = [
        seen(f"ring-d{n}", f"ring-u{(n + shift) % 9}", draw.randrange(NUM_DAYS)) for n in range(9) for shift in (0, 1)
    ]
    return [*found, *chain, *ring]


@pytest.mark.slow
@pytest.mark.parametrize("rules", [ONE, TWO], ids=["one login", "two logins"])
def test_any_nights_give_the_rows_of_the_definition(spark: SparkSession, rules: Identity) -> None:
    """All at once, day by day with late sessions, and with sessions that a later night takes back."""
    sessions = random_sessions(seed=rules.max_logins_per_device)
    expected = reference(sessions, NUM_DAYS, rules)
    rules_met = {row[3] for row in expected.values()}
    assert rules_met == {None, "shared"} if rules is ONE else {None, "shared", "large"}
    assert whole(spark, sessions, rules).found() == expected

    draw = random.Random(17)
    wrong = [seen(*session[:2], session[2], is_bot=False) for session in random_sessions(seed=99)[:40]]
    arrives = {session: min(NUM_DAYS - 1, session[2] + draw.choice((0, 0, 0, 1, 2))) for session in sessions}
    tables, stored = Tables(spark, rules), set[Session]()
    for night in range(NUM_DAYS):
        now = {session for session in sessions if arrives[session] <= night}
        if night in (1, 2):
            now |= {session for session in wrong if session[2] <= night}
        changed = now ^ stored
        tables.rebuild(now, min(session[2] for session in changed))
        stored = now
        assert tables.found() == reference(sorted(now, key=str), night + 1, rules), f"after night {night}"
    assert tables.found() == expected


@pytest.mark.parametrize("seed", range(3))
def test_components_equal_union_find(spark: SparkSession, seed: int) -> None:
    draw = random.Random(seed)
    names = [f"{draw.randrange(16**6):06x}" for _ in range(400)]
    pairs = [(draw.choice(names), draw.choice(names)) for _ in range((120, 220, 500)[seed])]
    pairs += list(pairwise(draw.sample(names, 100))) + pairs[:9] + [(name, name) for name in names[:5]]
    parents = {name: name for pair in pairs for name in pair}
    for upper, lower in pairs:
        parents[find(parents, upper)] = find(parents, lower)
    smallest: dict[str, str] = {}
    for name in sorted(parents):
        smallest.setdefault(find(parents, name), name)
    met = {name for upper, lower in pairs if upper != lower for name in (upper, lower)}
    found = components(spark.createDataFrame(pairs, "upper STRING, lower STRING")).collect()
    assert {row["node"]: row["component"] for row in found} == {name: smallest[find(parents, name)] for name in met}
    assert len(found) == len(met)


def test_components_of_nothing(spark: SparkSession) -> None:
    assert components(spark.createDataFrame([], "upper STRING, lower STRING")).collect() == []


# -- against the simulated shop

NUM_PEOPLE, SIMULATED_DAYS = 600, 21


def visits_of(shop: Shop) -> Iterator[Session]:
    """The log's sessions: silence and a change of login end one, and its login is that of all of it."""
    moments = set()
    for number in range(SIMULATED_DAYS):
        for chunk in shop.chunks(MONDAY + timedelta(days=number)):
            for line in chunk.lines:
                try:
                    record = json.loads(line)
                    at = datetime.fromtimestamp(int(record["ts"]) / 1000, UTC)
                except ValueError:
                    try:
                        at = datetime.fromisoformat(record["ts"]).astimezone(UTC)
                    except ValueError:
                        continue
                if record["actor"]["device_id"]:
                    moments.add((record["actor"]["device_id"], at, record["actor"]["user_id"]))
    login, began, last, before = None, None, None, None
    for device, at, user in sorted(moments, key=lambda moment: (*moment[:2], str(moment[2]))):
        silent = last is not None and at - last > timedelta(minutes=30)
        if device != before or silent or (user and login and user != login):
            if before:
                yield seen(before, login, (began.date() - MONDAY).days)
            login, began = None, at
        login, last, before = login or user, at, device
    yield seen(before, login, (began.date() - MONDAY).days)


def test_the_simulated_shops_people_are_found(spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> None:
    changes = {"num_people": NUM_PEOPLE, "start": MONDAY.isoformat(), "malformed_share": 0.0}
    shop = Shop(load_conf().simulate.model_copy(update=changes))
    sessions = [session for session in visits_of(shop) if 0 <= session[2] < SIMULATED_DAYS]
    tables = whole(spark, sessions, load_conf().identity)
    asked = as_of(tables.frame(), MONDAY + timedelta(days=SIMULATED_DAYS)).collect()
    person_of = {row["member_id"]: row["person_id"] for row in asked}

    ring = shop.truth.fraud_ring()
    owner = {device: n for n in range(NUM_PEOPLE) for device in shop.truth.device_ids(n)}
    owner |= {f"u{n:06d}": n for n in range(NUM_PEOPLE)}
    owner |= {device: device for device in ring.device_ids}  # of six people each: nobody's
    members = {name for visitor, user, _, _ in sessions for name in (visitor, user) if name in owner}
    truth = Counter(owner[name] for name in members)
    claimed = Counter(person_of.get(name, name) for name in members)
    both = Counter((owner[name], person_of.get(name, name)) for name in members)
    true_pairs, claimed_pairs, right = (sum(comb(n, 2) for n in c.values()) for c in (truth, claimed, both))
    precision, recall = right / claimed_pairs, right / true_pairs
    with capsys.disabled():
        print(f"\nidentity: {len(members)} devices and logins, pairwise precision {precision:.4f}, recall {recall:.4f}")
    logins_of = defaultdict[str, set[str]](set)
    for visitor, user, _, _ in sessions:
        if user:
            logins_of[visitor].add(user)
    shared = {device for device in ring.device_ids if len(logins_of[device]) > 1}
    assert len(shared) >= 4
    assert {person_of[device] for device in shared} == shared
    # What is wrong are devices of the ring on which one of its people has been seen so far, and what is
    # missed are devices from which their person has not logged in yet.
    assert precision > 0.99
    assert recall > 0.9
