"""Row rules, duplicates and bots against plain-Python definitions."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from itertools import permutations
from typing import TYPE_CHECKING, Any

import pytest
from pyspark.sql import functions as F
from tests.prep.raw_log import CLEAN, SOURCE, VIOLATIONS, judged, raw_row
from tests.prep.small_log import DAY, NOON, Row, event, frame, plain

from nightjar.contracts import EVENTS, QUARANTINE, USERS
from nightjar.prep import clean
from nightjar.prep.pseudonyms import decrypted, pseudonym, with_key

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

KEY = bytes(range(32))


def dirt(seed: int, num_rows: int) -> list[tuple[Any, ...]]:
    """Good records, broken ones, repeated ones and identical broken ones, of three drops."""
    draw = random.Random(seed)
    rows = []
    for number in range(num_rows):
        change: Row = {"id": f"e{draw.randrange(num_rows)}", "landed": date(2001, 1, 14 + draw.randrange(3))}
        change["at"] = f"2001-01-{change['landed'].day}T{draw.randrange(10, 20)}:00:00Z"
        for bad, _ in draw.sample(list(VIOLATIONS.values()), draw.choice((0, 0, 0, 0, 1, 2))):
            change |= bad
        rows.append(raw_row(number // 2 if draw.random() < 0.3 else number, **change))
    return rows


def test_kept_duplicate_and_quarantined_add_up(spark: SparkSession) -> None:
    records = dirt(seed=3, num_rows=200)
    rows = clean.with_pseudonyms(judged(spark, records), KEY).persist()
    read = {row["landed"]: row.asDict() for row in clean.counts_by_drop(rows).collect()}
    winners = clean.merged(rows.where(clean.is_kept()), frame(spark, EVENTS, [])).persist()
    won = {row["landed"]: row.asDict() for row in clean.counts_of_winners(winners).collect()}
    rejected = clean.quarantined(rows, SOURCE, KEY).persist()
    counts = clean.reconcile(read, won, winners.count(), rejected.count())
    assert sum(drop["rows_read"] for drop in counts.values()) == 200
    for landed, drop in counts.items():
        assert drop["rows_read"] == sum(1 for row in records if row[0] == landed)
        assert drop["rows_read"] == drop["rows_kept"] + drop["rows_duplicate"] + drop["rows_quarantined"]
        assert min(drop.values()) >= 0
    # Independent counts of what was written.
    good = [
        row for row in rows.select("reasons", "event_id", "_shop_user_id", "user_id").collect() if not row["reasons"]
    ]
    assert winners.count() == len({row["event_id"] for row in good})
    assert {row["user_id"] for row in good} == {
        pseudonym(KEY, "user", row["_shop_user_id"]) if row["_shop_user_id"] else None for row in good
    }
    assert sum(clean.reasons(rows).values()) == sum(
        len(row["reasons"] or ()) for row in rows.select("reasons").collect()
    )
    keys = rejected.select("record_id", "copy", "dt")
    assert keys.distinct().count() == rejected.count() == 200 - len(good)
    assert rejected.columns == list(QUARANTINE.names)
    opened = with_key(rejected, KEY).select("dt", decrypted("raw").alias("text")).collect()
    assert sorted((row["dt"], row["text"]) for row in opened) == sorted(
        (r["landed"], r["raw"]) for r in rows.where(~clean.is_kept()).select("landed", "raw").collect()
    )
    with pytest.raises(AssertionError, match=r"read 200 rows"):
        clean.reconcile(read, won, winners.count() - 1, rejected.count())
    rows.unpersist()


def test_rejected_rows_of_no_day_are_filed_apart(spark: SparkSession) -> None:
    rows = [
        raw_row(0, landed=None, at="never"),
        raw_row(1, landed=None, what="dance"),
        raw_row(0, landed=None, at="never"),
    ]
    found = clean.quarantined(judged(spark, rows), SOURCE, KEY).select("dt", "copy", "reasons", "source").collect()
    assert sorted(map(tuple, found)) == [
        (clean.NO_DAY, 1, ["event_ts_unreadable"], "acme"),
        (clean.NO_DAY, 2, ["event_ts_unreadable"], "acme"),
        (DAY, 1, ["kind_unknown"], "acme"),
    ]


# -- duplicates


def copies(seed: int) -> list[Row]:
    """Ten event ids, eight times each: equal, received again, in conflict, landed on three days."""
    draw = random.Random(seed)
    rows = []
    for number in range(80):
        landed = date(2001, 1, 14 + draw.randrange(3))
        at = draw.choice((0, 0, 0, -1))
        row = event(
            f"e{number % 10}", at, landed=landed, received_at=draw.choice((None, NOON, NOON + timedelta(seconds=1)))
        )
        # The same text in either of two columns: contents that differ by the place of a null only.
        row |= draw.choice(({}, {"surface": "home"}, {"campaign": "home"}, {"price": 2.5}))
        rows.append(row | {"attributes": draw.choice(({}, {"a": "1", "b": "2"}, {"b": "2", "a": "1"}))})
    return rows


def winners(spark: SparkSession, drops: list[list[Row]]) -> list[Row]:
    """Drops merged one after the other into what is stored."""
    stored = frame(spark, EVENTS, [])
    for drop in drops:
        stored = clean.merged(frame(spark, EVENTS, drop), stored).select(*EVENTS.names)
    return sorted(plain(stored.collect()), key=lambda row: row["event_id"])


def test_neither_order_nor_split_changes_the_winners(spark: SparkSession) -> None:
    rows = copies(seed=4)
    expected = winners(spark, [rows])
    assert len(expected) == 10
    for row in expected:
        rivals = [other for other in rows if other["event_id"] == row["event_id"]]
        assert row in rivals
        assert row["received_at"] == min(other["received_at"] or datetime.max.replace(tzinfo=UTC) for other in rivals)
    draw = random.Random(5)
    for num_drops in (1, 2, 3):
        shuffled = draw.sample(rows, len(rows))
        assert winners(spark, [shuffled[n::num_drops] for n in range(num_drops)]) == expected
    by_day = [[row for row in rows if row["landed"].day == day] for day in (14, 15, 16)]
    for order in list(permutations(by_day))[1::2]:
        assert winners(spark, list(order)) == expected


def test_the_earliest_received_wins_and_conflicts_count(spark: SparkSession) -> None:
    late, early = NOON + timedelta(hours=1), NOON
    rows = [
        event("same", received_at=early),
        event("same", received_at=late),  # what differs is when it was received: no conflict
        event("conflict", received_at=late, price=1.0),
        event("conflict", received_at=early, price=2.0),
        event("never", received_at=None, price=1.0),
        event("never", received_at=late, price=2.0),
        event("nulls", surface="home"),
        event("nulls", campaign="home"),
        event("alone"),
    ]
    found = clean.merged(frame(spark, EVENTS, rows), frame(spark, EVENTS, []))
    by_id = {row["event_id"]: row for row in found.collect()}
    assert (by_id["conflict"]["price"], by_id["never"]["price"]) == (2.0, 2.0)
    assert {name for name, row in by_id.items() if row["_conflict"]} == {"conflict", "never", "nulls"}
    counts = [row.asDict() for row in clean.counts_of_winners(found).collect()]
    assert counts == [{"landed": DAY, "num_kept": 5, "num_collapsed": 4, "num_conflicts": 3}]


def test_conflicts_with_what_is_stored_count_for_the_drop_that_brings_them(spark: SparkSession) -> None:
    tomorrow = DAY + timedelta(days=1)
    stored = [event("a", price=1.0, received_at=NOON), event("b", price=1.0, received_at=NOON), event("old")]
    again = [
        event("a", price=2.0, landed=tomorrow),
        event("b", price=1.0, landed=tomorrow),
        event("new", landed=tomorrow),
    ]
    found = clean.merged(frame(spark, EVENTS, again), frame(spark, EVENTS, stored)).persist()
    won = {row["landed"]: row.asDict() for row in clean.counts_of_winners(found).collect()}
    read = {tomorrow: {"landed": tomorrow, "num_read": 3, "num_quarantined": 0, "unknown_kind_rows": 0}}
    counts = clean.reconcile(read, won, 1, 0)  # type: ignore[arg-type]
    assert (counts[tomorrow]["rows_kept"], counts[tomorrow]["rows_duplicate"], counts[tomorrow]["rows_conflict"]) == (
        1,
        2,
        1,
    )
    assert {row["event_id"]: row["landed"] for row in found.collect()} == {
        "a": DAY,
        "b": DAY,
        "old": DAY,
        "new": tomorrow,
    }


# -- bots and people


def test_bots_by_agent_and_by_rate(spark: SparkSession) -> None:
    agent = {"attributes": {"user_agent": "Mozilla (compatible; SomeBot/1.0)"}}
    rows = [
        *(event(f"three{n}", n, user_id="calm") for n in range(3)),
        *(event(f"four{n}", n, user_id="fast") for n in range(4)),
        *(event(f"split{n}", 58 + n, user_id="split") for n in range(4)),  # two in each clock hour
        *(
            event(f"device{n}", n, user_id=None, device_id="fast") for n in range(1)
        ),  # same actor text as the login: counts with it
        event("says", 0, user_id="honest", **agent),
        event("silent", 1, user_id="honest", attributes=None),
        event("other", 0, user_id="honest", attributes={"title": "robot vacuum"}),
        *(event(f"both{n}", n, user_id="both", **agent) for n in range(4)),
    ]
    found = clean.with_bot_rule(frame(spark, EVENTS, rows), CLEAN).select("event_id", "bot_rule").collect()
    rules: dict[str, set[str | None]] = {}
    for row in found:
        rules.setdefault(row["event_id"].rstrip("0123456789"), set()).add(row["bot_rule"])
    assert rules == {
        "three": {None},
        "four": {"rate"},
        "split": {None},
        "device": {"rate"},
        "says": {"agent"},
        "silent": {None},
        "other": {None},
        "both": {"agent"},
    }


def test_a_days_bots_depend_on_that_day_only(spark: SparkSession) -> None:
    """Kolkata's midnight cuts a UTC hour: the other half belongs to a day that tonight may not read."""
    rows = [event(f"e{n}", n, dt=DAY if n < 2 else DAY + timedelta(days=1)) for n in range(4)]
    found = clean.with_bot_rule(frame(spark, EVENTS, rows), CLEAN).select("bot_rule").distinct().collect()
    assert [row["bot_rule"] for row in found] == [None]


def test_users_map_pseudonyms_back_once(spark: SparkSession) -> None:
    rows = [raw_row(0), raw_row(1), raw_row(2, who="17", device="17"), raw_row(3, who=None, device="17")]
    kept = clean.with_pseudonyms(judged(spark, rows), KEY)
    found = clean.users_from(kept, "acme")
    assert sorted(found.columns) == sorted(USERS.names)
    assert sorted(
        tuple(row[name] for name in ("id_kind", "shop_id", "pseudonym", "shop")) for row in found.collect()
    ) == [
        ("device", "17", pseudonym(KEY, "device", "17"), "acme"),
        ("user", "17", pseudonym(KEY, "user", "17"), "acme"),
        ("user", "ann", pseudonym(KEY, "user", "ann"), "acme"),
    ]
    assert not {"ann", "17"} & {row[0] for row in kept.select(F.coalesce("user_id", "device_id")).collect()}
