"""Facts of small tables against numbers counted by hand."""

import json
from datetime import UTC, date, datetime, timedelta

import pytest
from tests.quality.healthy import (
    DAY,
    MIDNIGHT,
    ROWS,
    event,
    label,
    member,
    recommendation,
    sequence,
    session,
    session_event,
    table_frame,
    user_features,
)

from nightjar.contracts import (
    EVENTS,
    IDENTITY,
    LABELS,
    RECOMMENDATIONS,
    SEQUENCES,
    SESSION_EVENTS,
    SESSIONS,
    USER_FEATURES,
)
from nightjar.quality.facts import (
    LABEL_RATES,
    events_facts,
    identity_facts,
    labels_facts,
    recommendations_facts,
    sequences_facts,
    session_events_facts,
    sessions_facts,
    user_features_facts,
)
from nightjar.settings import load_conf

pytestmark = pytest.mark.spark

GATE = load_conf().gate


def only(rows):
    (row,) = rows
    return row


def some(facts, *names):
    return {name: facts[name] for name in names}


def of_the_contract(facts):
    """Rows with nulls where none may be, or with values outside a closed list."""
    return {name: num for name, num in facts.items() if name.startswith(("null_rows_", "unlisted_rows_")) and num}


def beyond_the_contract(facts):
    return {name: value for name, value in facts.items() if not name.startswith(("null_rows_", "unlisted_rows_"))}


def facts_of_events(spark, rows, counts=None, trailing=(), zone="UTC", **gate):
    frame = table_frame(spark, EVENTS, rows, nullable=True)
    return events_facts(frame, counts or {}, trailing, gate=GATE.model_copy(update=gate), time_zone=zone)


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
    assert some(facts, "bot_share_rate", "bot_share_agent") == {"bot_share_rate": 0.125, "bot_share_agent": 0.0}
    assert of_the_contract(facts) == {}
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


def test_nulls_and_values_outside_the_contract_are_counted(spark):
    rows = [event(0, kind="dance", bot_rule="hunch"), event(1, kind=None, platform="fax"), event(2, platform=None)]
    facts = facts_of_events(spark, [*rows, event(3), event(4, dt=None, landed=None)])
    assert of_the_contract(only(facts)) == {
        "null_rows_kind": 1,
        "null_rows_platform": 1,
        "null_rows_dt": 1,
        "unlisted_rows_kind": 1,
        "unlisted_rows_platform": 1,
        "unlisted_rows_bot_rule": 1,
    }
    assert only(facts)["num_rows"] == 4


def test_hours_count_from_the_shops_midnight(spark):
    # 23:30 of the 14th in New York, received at 23:35 there
    at = datetime(2001, 1, 15, 4, 30, tzinfo=UTC)
    rows = [event(0, event_ts=at, received_at=at + timedelta(minutes=5), dt=date(2001, 1, 14))]
    facts = only(facts_of_events(spark, rows, zone="America/New_York"))
    assert some(facts, "last_event_hour", "complete_at_hours") == {"last_event_hour": 23.5, "complete_at_hours": 23.75}


def test_a_day_is_complete_when_999_of_1000_events_were_received(spark):
    """1000 events within the first hour but for one; two more and it takes until they are there, too."""
    received = {0: MIDNIGHT + timedelta(hours=30)}
    rows = [event(n, received_at=received.get(n, MIDNIGHT + timedelta(seconds=3 * n))) for n in range(1000)]
    facts = only(facts_of_events(spark, rows))
    assert facts["complete_at_hours"] == 1.0  # by quarters of an hour: the last of 999 came at 0:49:57
    late = [
        event(1000 + n, received_at=MIDNIGHT + timedelta(hours=52, minutes=n), landed=DAY + timedelta(2))
        for n in (1, 2)
    ]
    facts = only(facts_of_events(spark, [*rows, *late]))
    # The drop of the day itself was complete when it was: that is what nights are compared by.
    assert some(facts, "complete_at_hours", "drop_complete_at_hours") == {
        "complete_at_hours": 52.25,
        "drop_complete_at_hours": 1.0,
    }


def test_completeness_without_receipts_is_unknown_and_mad_clocks_are_bounded(spark):
    facts = only(facts_of_events(spark, [event(n, received_at=None) for n in range(3)]))
    assert facts["complete_at_hours"] is None
    far = [
        event(0, received_at=datetime(2040, 1, 1, tzinfo=UTC)),
        event(1, received_at=datetime(1970, 1, 1, tzinfo=UTC)),
    ]
    assert only(facts_of_events(spark, far))["complete_at_hours"] == 60 * 24 + 0.25


def test_a_drop_received_later_than_usual_shows(spark):
    usual = [
        {"dt": str(DAY - timedelta(days=back)), "num_rows": 9, "drop_complete_at_hours": 24.5, "duplicate_share": 0.01}
        for back in range(1, 15)
    ]
    rows = [event(n, received_at=MIDNIGHT + timedelta(hours=28, minutes=20)) for n in range(9)]
    counts = {DAY: {"rows_read": 20, "rows_duplicate": 11}}
    facts = only(facts_of_events(spark, rows, counts, usual))
    assert some(facts, "complete_later_hours", "duplicate_share_rise") == {
        "complete_later_hours": 4.0,
        "duplicate_share_rise": 0.54,
    }


def test_a_past_day_keeps_what_its_own_night_said_of_its_drop(spark):
    """Late events rewrite the day; its share of duplicates is the history that later nights are compared with."""
    yesterday = DAY - timedelta(days=1)
    said = {"dt": str(yesterday), "num_rows": 7, "duplicate_share": 0.3, "quarantined_share": 0.2}
    facts = only(facts_of_events(spark, [event(0, dt=yesterday)], {}, [said]))
    assert some(facts, "duplicate_share", "quarantined_share", "conflict_share", "num_rows") == {
        "duplicate_share": 0.3,
        "quarantined_share": 0.2,
        "conflict_share": None,
        "num_rows": 1,
    }


def test_keys_of_large_days_are_sampled(spark):
    rows = [event(n) for n in range(1000)]
    twice = [*rows, *rows]
    assert only(facts_of_events(spark, twice))["num_duplicate_keys"] == 1000
    found = only(facts_of_events(spark, twice, key_rows=250))["num_duplicate_keys"]
    assert 80 < found < 170  # every eighth of 1000 keys
    assert only(facts_of_events(spark, rows, key_rows=10))["num_duplicate_keys"] == 0


def test_days_of_one_frame_are_history_to_the_later_ones(spark):
    rows = [
        event(number, event_id=f"{back}-{number}", dt=DAY - timedelta(days=back))
        for back in range(8)
        for number in range(30 if back == 0 else 10)
    ]
    facts = {row["dt"]: row["volume_ratio"] for row in facts_of_events(spark, rows)}
    assert facts[str(DAY)] == 3.0
    assert facts[str(DAY - timedelta(days=1))] is None
    assert len(facts) == 8


def test_an_empty_frame_has_no_facts(spark):
    assert facts_of_events(spark, []) == []


def test_facts_hold_nothing_but_numbers(spark):
    facts = only(facts_of_events(spark, ROWS["events"], {DAY: {"rows_read": 20}}))
    assert facts.pop("dt") == "2001-01-15"
    assert {type(value) for value in facts.values() if value is not None} == {int, float}
    assert json.loads(json.dumps(facts)) == facts


def test_sessions(spark):
    rows = [
        session(0),
        session(0, user_id="personnumber0007", visitor_id="devicenumber0007"),
        session(1, end_ts=MIDNIGHT, num_events=0, num_views=0, num_searches=0, num_carts=0, num_items=0, user_id=None),
        session(2, end_ts=MIDNIGHT + timedelta(hours=27), num_items=5, bot_rule="crawl"),
        session(3, num_events=5000, revenue=-1.0, is_bot=True, bot_rule="rate"),
    ]
    frame = table_frame(spark, SESSIONS, rows)
    facts = only(sessions_facts(frame, {"events_in": 5020}, [], gate=GATE, max_hours=24, max_events=5000))
    required = [column.name for column in SESSIONS.columns if not column.nullable]
    assert facts == dict.fromkeys(
        [f"null_rows_{name}" for name in required] + ["unlisted_rows_platform", "unlisted_rows_bot_rule"], 0
    ) | {
        "dt": "2001-01-15",
        "num_rows": 5,
        "num_duplicate_keys": 1,
        "num_visitors": 5,
        "num_events": 5012,
        "positions": 10 + 10 + 10 + 5000 * 5001 // 2,
        "position_squares": 30 + 30 + 30 + 5000 * 5001 * 10001 // 6,
        "null_share_user_id": 0.2,
        "events_per_session": 1002.4,
        "max_events_per_session": 5000,
        "empty_sessions": 1,
        "share_at_cap": 0.4,
        "overlong_sessions": 1,
        "negative_durations": 1,
        "impossible_counts": 1,
        "negative_revenues": 1,
        "bot_flags_off": 1,
        "bot_share": 0.2,
        "bot_share_agent": 0.0,
        "bot_share_rate": 0.2,
        "bot_share_metronome": 0.0,
        "bot_share_crawl": 0.2,
        "bot_share_rise": None,
        "filled_ratio_user_id": None,
        "events_lost": 8,
        "volume_ratio": None,
    }


def of_session_events(spark, positions, lengths, events_in=None):
    """Facts of sessions with these positions each, beside sessions of these lengths."""
    names = [f"{number}-{place}" for number, places in enumerate(positions) for place in range(len(places))]
    flat = [position for places in positions for position in places]
    rows = [session_event(0, position, event_id=name) for name, position in zip(names, flat, strict=True)]
    events_in = len(rows) if events_in is None else events_in
    sessions = table_frame(spark, SESSIONS, [session(n, num_events=length) for n, length in enumerate(lengths)])
    due = sessions_facts(sessions, {"events_in": events_in}, [], gate=GATE, max_hours=24, max_events=5000)
    frame = table_frame(spark, SESSION_EVENTS, rows)
    return only(session_events_facts(frame, due, {"events_in": events_in}, [], gate=GATE))


WHOLE = ("events_lost", "sessions_missing", "positions_off")


def test_session_events(spark):
    facts = of_session_events(spark, [[1, 2, 3], [1], [2, 1]], [3, 1, 2])
    assert some(facts, *WHOLE) == dict.fromkeys(WHOLE, 0)
    assert some(facts, "num_rows", "num_sessions", "num_duplicate_keys") == {
        "num_rows": 6,
        "num_sessions": 3,
        "num_duplicate_keys": 0,
    }
    assert of_the_contract(facts) == {}


@pytest.mark.parametrize(
    ("positions", "broken"),
    [
        ([[1, 2, 4], [1]], {"positions_off": 1 + 7}),  # a gap
        ([[1, 2, 2], [1]], {"positions_off": 1 + 5}),  # one place taken twice
        ([[1, 2, 3], [2]], {"positions_off": 1 + 3, "sessions_missing": 1}),
        ([[0, 3, 3], [1]], {"positions_off": 4, "sessions_missing": 1}),  # the same sum: the squares differ
        ([[1, 2, 3], []], {"positions_off": 1 + 1, "sessions_missing": 1, "events_lost": 1}),
        ([[1, 2, 3], [1, 2]], {"positions_off": 2 + 4, "events_lost": -1}),
    ],
)
def test_positions_that_do_not_count_up(spark, positions, broken):
    facts = of_session_events(spark, positions, [3, 1], events_in=4)
    assert some(facts, *WHOLE) == dict.fromkeys(WHOLE, 0) | broken


def test_session_events_of_a_day_without_sessions(spark):
    facts = of_session_events(spark, [[1]], [])
    assert facts["sessions_missing"] == -1
    assert facts["positions_off"] == 2


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
    seen = identity_facts(frame, known, totals, days=days, gate=GATE)
    found = {date.fromisoformat(str(facts["dt"])): facts for facts in seen}
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
        sequence(14, kinds=[1, 3, 13]),
        sequence(15, session_ordinals=[1, 2, 1]),
        sequence(16, num_events=2),
        sequence(17, session_ordinals=[1, 3, 3]),
    ]
    instant = datetime(2001, 1, 16, tzinfo=UTC)
    frame = table_frame(spark, SEQUENCES, rows)
    facts = only(sequences_facts(frame, [], gate=GATE, max_events=3, instant=instant))
    assert of_the_contract(facts) == {}
    assert beyond_the_contract(facts) == {
        "dt": "2001-01-15",
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


def test_user_features(spark):
    rows = [
        *ROWS["user_features"],
        user_features(3),
        user_features(10, spend=-0.01),
        user_features(11, num_uncarts=-1),
        user_features(12, order_value_mean=float("nan")),
        user_features(13, viewed_price_mean=float("inf")),
        user_features(14, click_share=1.01),
        user_features(15, num_events_1d=3, num_events_7d=3),
        user_features(16, spend_28d=0.01),
        user_features(17, num_events=0, num_events_28d=0, num_events_7d=0, num_events_1d=0),
        user_features(18, hours_since_last_event=0.0),
        user_features(19, num_purchases_28d=1, num_purchases=1, top_category=None),
    ]
    facts = only(user_features_facts(table_frame(spark, USER_FEATURES, rows), [], gate=GATE))
    assert of_the_contract(facts) == {}
    assert beyond_the_contract(facts) == {
        "dt": "2001-01-15",
        "num_rows": 15,
        "num_duplicate_keys": 1,
        "negative_rows": 2,
        "rows_not_finite": 2,
        "rows_with_shares_above_1": 1,
        "rows_with_broken_windows": 4,  # of 15 and 16, and of 10 and 11 whose shorter windows say 0
        "rows_without_events": 1,
        "rows_after_instant": 1,
        "mean_events_7d": pytest.approx(29 / 15),
        "active_share_7d": pytest.approx(14 / 15),
        "buyers_share_28d": pytest.approx(1 / 15),
        "mean_spend_28d": pytest.approx(0.01 / 15),
        "null_share_top_category": pytest.approx(1 / 15),
        "volume_ratio": None,
        "activity_ratio": None,
        "filled_ratio_top_category": None,
    }


def test_user_features_beside_the_days_before(spark):
    rows = [user_features(number, top_category=None) for number in range(2)]
    past = {"num_rows": 4, "mean_events_7d": 8.0, "null_share_top_category": 0.2}
    trailing = [past | {"dt": str(DAY - timedelta(days=back))} for back in range(1, 9)]
    facts = only(user_features_facts(table_frame(spark, USER_FEATURES, rows), trailing, gate=GATE))
    assert some(facts, "volume_ratio", "activity_ratio", "filled_ratio_top_category") == {
        "volume_ratio": 0.5,
        "activity_ratio": 0.25,
        "filled_ratio_top_category": 0.0,
    }


BUYER = {"purchased_next": True, "num_purchases_next": 2, "num_orders_next": 1, "revenue_next": 7.5}


def test_labels(spark):
    facts = only(labels_facts(table_frame(spark, LABELS, ROWS["labels"]), [], gate=GATE))
    assert of_the_contract(facts) == {}
    assert beyond_the_contract(facts) == {
        "dt": "2001-01-15",
        "num_rows": 6,
        "num_duplicate_keys": 0,
        "rows_not_observed": 0,
        "contradictory_rows": 0,
        "rows_not_finite": 0,
        "churn_rate": 0.2,  # one of five eligible
        "purchase_rate": pytest.approx(1 / 6),
        "cart_rate": 0.0,
        "cart_conversion_rate": 1.0,
        "shown_rate": 0.0,
        "click_rate": 0.0,
        "coupon_claim_rate": 0.0,
        "coupon_use_rate": 0.0,
        "mean_revenue": 1.25,
        "volume_ratio": None,
        "label_rate_distance": None,
        "revenue_ratio": None,
    }


@pytest.mark.parametrize(
    "change",
    [
        {"purchased_next": True},
        BUYER | {"num_orders_next": 3},
        BUYER | {"num_orders_next": 0},
        BUYER | {"purchased_next": False},
        BUYER | {"revenue_next": -1.0},
        {"revenue_next": 1.0},
        {"next_category": "shoes"},
        {"cart_eligible": True, "cart_converted": True},
        {"coupon_used_next": True},
        {"cart_eligible": True},
        {"cart_converted": False},
        {"churn_eligible": False},
        {"observed_until": DAY},
    ],
)
def test_labels_that_contradict_each_other(spark, change):
    frame = table_frame(spark, LABELS, [*ROWS["labels"], label(9, **change)])
    assert only(labels_facts(frame, [], gate=GATE))["contradictory_rows"] == 1


def test_labels_that_are_not_observed(spark):
    horizon = {name: None for name in LABELS.names if name.endswith("_next")}
    rows = [label(1, **horizon), label(2, churned=None), label(3, churn_eligible=False, churned=None)]
    assert only(labels_facts(table_frame(spark, LABELS, rows), [], gate=GATE))["rows_not_observed"] == 2


def test_label_rates_beside_the_days_before(spark):
    """Of a label that concerned nobody the rate is null, not 0."""
    past = {"num_rows": 6, "mean_revenue": 2.5} | dict.fromkeys(LABEL_RATES, 0.0) | {"cart_conversion_rate": None}
    trailing = [past | {"dt": str(DAY - timedelta(days=back)), "purchase_rate": 0.4} for back in range(1, 9)]
    facts = only(labels_facts(table_frame(spark, LABELS, ROWS["labels"]), trailing, gate=GATE))
    assert facts["label_rate_distance"] == pytest.approx(0.4 - 1 / 6)
    assert facts["revenue_ratio"] == 0.5


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
