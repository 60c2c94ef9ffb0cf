"""Facts of small tables against numbers counted by hand."""

from datetime import UTC, date, datetime, timedelta

import pytest
from healthy import DAY, MIDNIGHT, ROWS, event, member, recommendation, sequence, session, session_event, table_frame

from nightjar.contracts import EVENTS, IDENTITY, RECOMMENDATIONS, SEQUENCES, SESSION_EVENTS, SESSIONS
from nightjar.quality.facts import (
    events_facts,
    identity_facts,
    recommendations_facts,
    sequences_facts,
    session_events_facts,
    sessions_facts,
)
from nightjar.settings import load_conf

pytestmark = pytest.mark.spark

GATE = load_conf().gate


def only(frame):
    (row,) = frame.collect()
    return row.asDict()


def some(facts, *names):
    return {name: facts[name] for name in names}


def facts_of_events(spark, rows, counts=None, trailing=(), zone="UTC"):
    return events_facts(table_frame(spark, EVENTS, rows), counts or {}, trailing, gate=GATE, time_zone=zone)


def test_events(spark):
    rows = [
        event(0, user_id=None),
        event(1, user_id=None, device_id=None),
        event(2, kind="search", item_id=None, query="red shoes"),
        event(3, kind="purchase", price=None),
        event(4, kind="purchase", received_at=None, bot_rule="rate"),
        event(4, kind="cart", item_id=None),
        event(1410),
        event(1411),
    ]
    counts = {DAY: {"rows_read": 20, "rows_quarantined": 5, "rows_unknown_kind": 2, "rows_duplicate": 1}}
    facts = only(facts_of_events(spark, rows, counts))
    assert some(facts, "num_rows", "num_duplicate_keys", "no_actor_rows", "unknown_kind_rows") == {
        "num_rows": 8,
        "num_duplicate_keys": 1,
        "no_actor_rows": 1,
        "unknown_kind_rows": 2,
    }
    assert some(facts, "quarantined_share", "duplicate_share", "conflict_share", "bot_share") == {
        "quarantined_share": 0.25,
        "duplicate_share": 0.05,
        "conflict_share": 0.0,
        "bot_share": 0.125,
    }
    # 7 rows need an item, 2 are purchases
    assert facts["null_share_item_id"] == pytest.approx(1 / 7)
    assert some(facts, "null_share_user_id", "null_share_device_id", "null_share_price", "null_share_received_at") == {
        "null_share_user_id": 0.25,
        "null_share_device_id": 0.125,
        "null_share_price": 0.5,
        "null_share_received_at": 0.125,
    }
    assert some(facts, "share_view", "share_purchase", "share_coupon") == {
        "share_view": 0.5,
        "share_purchase": 0.25,
        "share_coupon": 0.0,
    }
    assert facts["last_event_hour"] == pytest.approx(1411 / 60)
    assert facts["volume_ratio"] is None


def test_last_event_hour_counts_from_the_shops_midnight(spark):
    rows = [event(0, event_ts=datetime(2001, 1, 15, 4, 30, tzinfo=UTC))]  # 23:30 of the 14th in New York
    rows[0]["dt"] = date(2001, 1, 14)
    assert only(facts_of_events(spark, rows, zone="America/New_York"))["last_event_hour"] == 23.5


def test_days_of_one_frame_are_history_to_the_later_ones(spark):
    rows = [
        event(number, event_id=f"{back}-{number}", dt=DAY - timedelta(days=back))
        for back in range(8)
        for number in range(30 if back == 0 else 10)
    ]
    facts = {row["dt"]: row["volume_ratio"] for row in facts_of_events(spark, rows).collect()}
    assert facts[DAY] == 3.0
    assert facts[DAY - timedelta(days=1)] is None
    assert len(facts) == 8


def test_an_empty_frame_has_no_facts(spark):
    assert facts_of_events(spark, []).collect() == []


def test_facts_hold_nothing_but_numbers(spark):
    frame = facts_of_events(spark, ROWS["events"])
    assert {kind for name, kind in frame.dtypes if name != "dt"} == {"bigint", "double"}


def test_sessions(spark):
    rows = [
        session(0),
        session(0, user_id="personnumber0007"),
        session(1, end_ts=MIDNIGHT, num_events=0, num_views=0, num_searches=0, num_carts=0, num_items=0),
        session(2, end_ts=MIDNIGHT + timedelta(hours=27), num_items=5),
        session(3, num_events=5000, revenue=-1.0, is_bot=True),
    ]
    frame = table_frame(spark, SESSIONS, rows)
    facts = only(sessions_facts(frame, {"events_in": 5020}, [], gate=GATE, max_hours=24, max_events=5000))
    assert facts == {
        "dt": DAY,
        "num_rows": 5,
        "num_duplicate_keys": 1,
        "num_users": 5,
        "num_events": 5012,
        "sessions_per_user": 1.0,
        "events_per_session": 1002.4,
        "max_events_per_session": 5000,
        "empty_sessions": 1,
        "share_at_cap": 0.4,
        "overlong_sessions": 1,
        "negative_durations": 1,
        "impossible_counts": 1,
        "negative_revenues": 1,
        "bot_share": 0.2,
        "events_lost": 8,
        "volume_ratio": None,
    }


def test_session_events(spark):
    rows = [
        *ROWS["session_events"],  # positions 1, 2, 3
        session_event(10, 1, session_id="gap"),
        session_event(11, 3, session_id="gap"),
        session_event(12, 1, session_id="twice"),
        session_event(13, 1, session_id="twice"),
    ]
    frame = table_frame(spark, SESSION_EVENTS, rows)
    facts = only(session_events_facts(frame, {"events_in": 9, "sessions": 4}, [], gate=GATE))
    assert some(facts, "num_rows", "num_sessions", "sessions_with_gaps", "events_lost", "sessions_missing") == {
        "num_rows": 7,
        "num_sessions": 4,
        "sessions_with_gaps": 2,
        "events_lost": 2,
        "sessions_missing": 0,
    }


def test_identity_counts_what_there_is_and_not_what_changed(spark):
    """Device 1 of person 1 gets a second login and is shared; persons 4 and 5 drown in a crowd."""
    before = [member(1, dt=DAY - timedelta(days=9)), member(2, dt=DAY - timedelta(days=9))]
    alone = {"person_id": "devicenumber0001", "component_id": "devicenumber0001", "num_members": 1}
    crowd = {"component_id": "personnumber0004", "num_members": 60, "apart_rule": "large"}
    rows = [
        member(1, **alone, apart_rule="shared"),
        member(1, member_id="personnumber0009", id_kind="user", person_id="personnumber0009", num_members=1)
        | {"component_id": "personnumber0009"},
        *(member(n, member_id=f"personnumber000{n}", id_kind="user", **crowd) for n in (4, 5)),
        member(4, **crowd),
        # no rule, yet not of its component; shared, yet somebody's; and twice
        member(6, component_id="devicenumber0006", num_members=3),
        member(7, apart_rule="shared"),
        member(7, apart_rule="shared"),
    ]
    totals = {"linked_devices": 2, "linked_logins": 2, "persons": 2, "attached_devices": 2, "shared_devices": 0}
    days = [DAY - timedelta(days=1), DAY, DAY + timedelta(days=1)]
    rows.append(member(2, person_id="personnumber0009", component_id="personnumber0009", dt=days[2]))
    frame, known = (table_frame(spark, IDENTITY, table) for table in (rows, before))
    found = {row["dt"]: row.asDict() for row in identity_facts(frame, known, totals, days=days).collect()}
    assert sorted(found) == days
    names = ("num_rows", "linked_devices", "linked_logins", "persons", "attached_devices", "shared_devices")
    assert some(found[days[0]], *names) == {"num_rows": 0, **totals}
    assert some(found[DAY], *names) == {
        "num_rows": 8,
        "linked_devices": 5,
        "linked_logins": 5,
        "persons": 5,
        "attached_devices": 4,
        "shared_devices": 2,
    }
    assert some(found[DAY], "broken_components", "shared_device_share", "largest_person", "largest_component") == {
        "broken_components": 1,
        "shared_device_share": 0.4,
        "largest_person": 3,
        "largest_component": 60,
    }
    assert some(found[DAY], "num_duplicate_keys", "merged_shared_devices", "strange_persons") == {
        "num_duplicate_keys": 1,
        "merged_shared_devices": 2,
        "strange_persons": 1,
    }
    assert some(found[days[2]], *names) == some(found[DAY], *names) | {"num_rows": 1}
    assert found[days[2]]["broken_components"] == 1


def test_sequences(spark):
    rows = [
        *ROWS["sequences"],  # lengths 3, 3, 3, 0
        sequence(3),
        sequence(10, kinds=[1, 3]),
        sequence(11, event_ts=[979_500_060, 979_500_000, 979_500_120]),
        sequence(12, event_ts=[979_500_000, 979_500_060, 979_603_200]),  # midnight after the day
        sequence(13, item_ids=["a", None, "b"]),
        sequence(14, kinds=[1, 3, 11]),
        sequence(15, session_ordinals=[1, 2, 1]),
        sequence(16, num_events=2),
        sequence(17, session_ordinals=[1, 3, 3]),
    ]
    instant = datetime(2001, 1, 16, tzinfo=UTC)
    frame = table_frame(spark, SEQUENCES, rows)
    facts = only(sequences_facts(frame, [], gate=GATE, max_events=3, instant=instant))
    assert facts == {
        "dt": DAY,
        "num_rows": 13,
        "num_duplicate_keys": 1,
        "unequal_lengths": 1,
        "overlong_rows": 0,
        "short_counts": 1,
        "unsorted_rows": 1,
        "rows_with_ordinal_gaps": 1,
        "rows_after_instant": 1,
        "rows_with_nulls": 1,
        "rows_with_unknown_codes": 1,
        "empty_share": pytest.approx(1 / 13),
        "mean_length": pytest.approx(36 / 13),
        "volume_ratio": None,
    }
    assert only(sequences_facts(frame, [], gate=GATE, max_events=2, instant=instant))["overlong_rows"] == 12


def facts_of_recommendations(spark, rows, people=3, candidates=None, k=3):
    users = [(f"personnumber{person:04}",) for person in range(people)]
    ddl = "user_id STRING"
    if candidates is not None:
        users, ddl = [(*user, candidates) for user in users], "user_id STRING, num_candidates INT"
    items = spark.createDataFrame([(f"item-{number}",) for number in range(1, 5)], "item_id STRING")
    frame = table_frame(spark, RECOMMENDATIONS, rows)
    return only(recommendations_facts(frame, spark.createDataFrame(users, ddl), items, [], gate=GATE, k=k))


AUDITS = (
    "users_missing",
    "users_not_eligible",
    "users_with_wrong_count",
    "users_with_rank_gaps",
    "users_with_repeats",
    "users_with_rising_scores",
    "scores_not_finite",
    "unknown_item_rows",
)


def test_good_recommendations(spark):
    facts = facts_of_recommendations(spark, ROWS["recommendations"])
    assert some(facts, *AUDITS) == dict.fromkeys(AUDITS, 0)
    assert some(facts, "num_rows", "num_users", "num_items", "coverage", "fallback_share") == {
        "num_rows": 9,
        "num_users": 3,
        "num_items": 4,
        "coverage": 0.75,
        "fallback_share": 0.0,
    }


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        ({"rank": 4}, {"users_with_rank_gaps": 1}),
        ({"item_id": "item-1"}, {"users_with_repeats": 1}),
        ({"item_id": "item-9"}, {"unknown_item_rows": 1}),
        ({"score": 0.6}, {"users_with_rising_scores": 1}),
        ({"score": float("-inf")}, {"scores_not_finite": 1}),
        # one row of the third person now is a fourth person's, who is not eligible and starts at rank 3
        (
            {"user_id": "stranger"},
            {"users_not_eligible": 1, "users_with_wrong_count": 1, "users_with_rank_gaps": 1},
        ),
    ],
)
def test_broken_recommendations(spark, change, broken):
    rows = [*ROWS["recommendations"][:-1], ROWS["recommendations"][-1] | change]
    assert some(facts_of_recommendations(spark, rows), *AUDITS) == dict.fromkeys(AUDITS, 0) | broken


def test_nan_scores_are_not_finite(spark):
    rows = [*ROWS["recommendations"][:-1], ROWS["recommendations"][-1] | {"score": float("nan")}]
    assert facts_of_recommendations(spark, rows)["scores_not_finite"] == 1


def test_an_eligible_person_without_rows_is_missing(spark):
    assert facts_of_recommendations(spark, ROWS["recommendations"], people=4)["users_missing"] == 1


def test_fewer_rows_are_due_where_fewer_items_remain(spark):
    assert facts_of_recommendations(spark, ROWS["recommendations"], k=20)["users_with_wrong_count"] == 3
    facts = facts_of_recommendations(spark, ROWS["recommendations"], k=20, candidates=3)
    assert facts["users_with_wrong_count"] == 0


def test_fallback_share_counts_people_not_rows(spark):
    rows = ROWS["recommendations"] + [recommendation(3, 1, strategy="popular")]
    assert facts_of_recommendations(spark, rows, people=4)["fallback_share"] == 0.25
