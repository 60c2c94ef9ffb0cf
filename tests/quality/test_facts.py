"""Facts of small tables against numbers counted by hand."""

from datetime import UTC, date, datetime, timedelta

import pytest
from healthy import (
    DAY,
    MIDNIGHT,
    ROWS,
    event,
    label,
    recommendation,
    sequence,
    session,
    session_event,
    table_frame,
    user_features,
)

from nightjar.contracts import EVENTS, LABELS, RECOMMENDATIONS, SEQUENCES, SESSION_EVENTS, SESSIONS, USER_FEATURES
from nightjar.quality.facts import (
    LABEL_RATES,
    events_facts,
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
    ]
    instant = datetime(2001, 1, 16, tzinfo=UTC)
    frame = table_frame(spark, SEQUENCES, rows)
    facts = only(sequences_facts(frame, [], gate=GATE, max_events=3, instant=instant))
    assert facts == {
        "dt": DAY,
        "num_rows": 12,
        "num_duplicate_keys": 1,
        "unequal_lengths": 1,
        "overlong_rows": 0,
        "short_counts": 1,
        "unsorted_rows": 2,
        "rows_after_instant": 1,
        "rows_with_nulls": 1,
        "rows_with_unknown_codes": 1,
        "empty_share": pytest.approx(1 / 12),
        "mean_length": pytest.approx(33 / 12),
        "volume_ratio": None,
    }
    assert only(sequences_facts(frame, [], gate=GATE, max_events=2, instant=instant))["overlong_rows"] == 11


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
    assert facts == {
        "dt": DAY,
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
    assert only(labels_facts(table_frame(spark, LABELS, ROWS["labels"]), [], gate=GATE)) == {
        "dt": DAY,
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
