"""Which copy of an event stays, against its definition in plain Python."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.prep.small_log import DAY, NOON, Row, arrow, by_id, chosen, content, event, rows_of

from nightjar.contracts import EVENTS
from nightjar.prep.duplicates import winners

TOMORROW = DAY + timedelta(days=1)


def decided(rows: Sequence[Row], is_new: Sequence[bool]) -> dict[str, tuple[Row, bool, int, int]]:
    """event_id -> (row, conflict, collapsed, day that brought it), by the code."""
    events = arrow(EVENTS, rows)
    won = winners(events, np.array(is_new, bool))
    columns = (rows_of(events.take(won.rows)), won.conflict, won.num_collapsed, won.brought)
    found = {row["event_id"]: (row, bool(c), int(n), int(b)) for row, c, n, b in zip(*columns, strict=True)}
    assert len(found) == len(won.rows)
    return found


_COPY = st.builds(
    lambda name, minutes, received, landed, change, attributes: event(
        name,
        minutes,
        received_at=received,
        landed=landed,
        attributes=attributes,
        **change,
    ),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from([0, 0, -1]),
    st.sampled_from([None, NOON, NOON + timedelta(seconds=1)]),
    st.sampled_from([DAY - timedelta(days=1), DAY, TOMORROW]),
    # The same text in either of two columns: contents that differ by the place of a null only.
    st.sampled_from([{}, {"surface": "home"}, {"campaign": "home"}, {"price": 2.5}, {"query": "Z"}, {"query": "é"}]),
    st.sampled_from([None, {}, {"a": "1", "b": None}, {"b": None, "a": "1"}, {"a": "2"}]),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(_COPY, st.booleans()), max_size=12))
def test_winners_equal_the_definition(drawn: list[tuple[Row, bool]]) -> None:
    rows, is_new = [row for row, _ in drawn], [new for _, new in drawn]
    found = decided(rows, is_new)
    groups = by_id(rows)
    assert set(found) == set(groups)
    for name, copies in groups.items():
        row, conflict, num_collapsed, brought = found[name]
        new = [row for row, is_new in drawn if is_new and row["event_id"] == name]
        best = chosen(copies)
        assert (content(row), row["received_at"], row["landed"]) == (content(best), best["received_at"], best["landed"])
        assert conflict == (len({content(copy) for copy in copies}) > 1)
        # The winner is one of the equal best copies: if both a stored and a new one are best, the first.
        first = next((copy, is_new) for copy, is_new in drawn if copy["event_id"] == name and same(copy, best))
        assert num_collapsed == len(new) - first[1]
        assert brought == max(((row["landed"] - date(1970, 1, 1)).days for row in new), default=-1)


def same(left: Row, right: Row) -> bool:
    return all(left[name] == right[name] for name in EVENTS.names if name != "bot_rule")


def test_the_order_by_hand() -> None:
    """Each pair: the winner, and a copy that loses for one reason only."""
    late = NOON + timedelta(hours=1)
    pairs: list[tuple[Row, Row]] = [
        ({"received_at": NOON, "price": 9.0}, {"received_at": late, "price": 1.0}),
        ({"received_at": late, "price": 9.0}, {"received_at": None, "price": 1.0}),  # received who knows when
        ({"event_ts": NOON, "user_id": "z"}, {"event_ts": late, "user_id": "a"}),
        ({"price": 1.0}, {"price": 2.0}),
        ({"price": 1.0}, {"price": None}),
        ({"query": "Z"}, {"query": "a"}),  # by bytes, not as dictionaries of words do
        ({"query": "z"}, {"query": "é"}),
        ({"attributes": {"a": "1", "b": "9"}}, {"attributes": {"b": "1", "a": "2"}}),
        ({"landed": DAY, "bot_rule": "rate"}, {"landed": TOMORROW}),
    ]
    for winner, loser in pairs:
        rows = [event("e", **loser), event("e", **winner)]
        for order in (rows, rows[::-1]):
            assert same(decided(order, [True, True])["e"][0], rows[1]), (winner, loser)


def test_neither_order_nor_split_changes_the_winners() -> None:
    draw = random.Random(4)
    rows = []
    for number in range(80):
        landed = date(2001, 1, 14 + draw.randrange(3))
        received = draw.choice((None, NOON, NOON + timedelta(seconds=1)))
        row = event(f"e{number % 10}", draw.choice((0, 0, 0, -1)), landed=landed, received_at=received)
        row |= draw.choice(({}, {"surface": "home"}, {"campaign": "home"}, {"price": 2.5}))
        rows.append(row | {"attributes": draw.choice(({}, {"a": "1", "b": "2"}))})

    def merged(drops: Sequence[Sequence[Row]]) -> list[Row]:
        """Drops merged one after the other into what is stored."""
        stored: list[Row] = []
        for drop in drops:
            found = decided([*stored, *drop], [False] * len(stored) + [True] * len(drop))
            stored = [row for row, *_ in found.values()]
        return sorted(stored, key=lambda row: str(row["event_id"]))

    expected = sorted((chosen(copies) for copies in by_id(rows).values()), key=lambda row: str(row["event_id"]))
    assert len(expected) == 10
    for num_drops in (1, 2, 3):
        shuffled = draw.sample(rows, len(rows))
        assert merged([shuffled[n::num_drops] for n in range(num_drops)]) == expected
    by_day = [[row for row in rows if row["landed"].day == day] for day in (14, 15, 16)]
    for order in permutations(by_day):
        assert merged(order) == expected


def test_conflicts_are_contents_that_differ() -> None:
    late, early = NOON + timedelta(hours=1), NOON
    rows = [
        event("same", received_at=early, landed=TOMORROW, bot_rule="rate"),
        event("same", received_at=late),  # what differs is how it got here and what was made of it
        event("conflict", received_at=late, price=1.0),
        event("conflict", received_at=early, price=2.0),
        event("never", received_at=None, price=1.0),
        event("never", received_at=late, price=2.0),
        event("nulls", surface="home"),
        event("nulls", campaign="home"),
        event("third", price=1.0),
        event("third", price=1.0),
        event("third", price=3.0),
        event("order", attributes={"a": "1", "b": "2"}),
        event("order", attributes={"b": "2", "a": "1"}),  # a map has no order
        event("alone"),
    ]
    found = decided(rows, [True] * len(rows))
    assert (found["conflict"][0]["price"], found["never"][0]["price"]) == (2.0, 2.0)
    assert {name for name, (_, conflict, *_) in found.items() if conflict} == {"conflict", "never", "nulls", "third"}
    collapsed = {name: num for name, (_, _, num, _) in found.items() if num}
    assert collapsed == {"same": 1, "conflict": 1, "never": 1, "nulls": 1, "third": 2, "order": 1}


@pytest.mark.parametrize("stored", [True, False])
def test_every_drop_is_told_about_its_own(stored: bool) -> None:
    """The stored copy wins: the new ones are collapsed, all of them, and the latest drop answers."""
    rows = [event("e", received_at=NOON), event("e", landed=DAY), event("e", landed=TOMORROW)]
    row, conflict, num_collapsed, brought = decided(rows, [not stored, True, True])["e"]
    assert (row["received_at"], conflict, num_collapsed) == (NOON, False, 2)
    assert brought == (TOMORROW - date(1970, 1, 1)).days
    assert decided(rows, [False] * 3)["e"][1:] == (False, 0, -1)


def test_of_equal_copies_the_first_stays() -> None:
    """In `land` that is the stored one."""
    assert winners(arrow(EVENTS, [event("e")] * 3), np.array([False, True, True])).num_collapsed.tolist() == [2]
    assert winners(arrow(EVENTS, [event("e")] * 3), np.array([True, False, True])).num_collapsed.tolist() == [1]


def test_nothing_wins_nothing() -> None:
    won = winners(arrow(EVENTS, []), np.zeros(0, bool))
    assert [len(column) for column in (won.rows, won.conflict, won.num_collapsed, won.brought)] == [0, 0, 0, 0]
