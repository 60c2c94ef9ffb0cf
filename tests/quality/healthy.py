"""One healthy day of every gated table, small enough to read, and what breaks it."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from nightjar.contracts import (
    CART_ABANDONMENT,
    DAILY_KPIS,
    DECISION_PATHS,
    DECISION_TIMES,
    DECISION_TRANSITIONS,
    EVENTS,
    FUNNELS,
    IDENTITY,
    LABELS,
    RECOMMENDATIONS,
    SEQUENCES,
    SESSION_EVENTS,
    SESSIONS,
    TABLES,
    USER_FEATURES,
    Table,
)
from nightjar.contracts.render import spark_ddl
from nightjar.quality.history import Facts

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAY = date(2001, 1, 15)  # a Monday
MIDNIGHT = datetime(2001, 1, 15, tzinfo=UTC)

Row = dict[str, Any]


def event(number: int, **changes: Any) -> Row:
    """Event `number` of the day: a view at minute `number` by one of ten people."""
    row = dict.fromkeys(EVENTS.names) | {
        "event_id": f"event-{number:04}",
        "event_ts": MIDNIGHT + timedelta(minutes=number),
        "received_at": MIDNIGHT + timedelta(minutes=number, seconds=5),
        "dt": DAY,
        "landed": DAY,
        "user_id": f"personnumber{number % 10:04}",
        "device_id": f"devicenumber{number % 10:04}",
        "platform": "web",
        "kind": "view",
        "item_id": f"item-{number % 5}",
        "price": 2.5,
    }
    return row | changes


def session(number: int, **changes: Any) -> Row:
    start = MIDNIGHT + timedelta(hours=number)
    row = {
        "session_id": f"event-{number:04}",
        "visitor_id": f"devicenumber{number:04}",
        "user_id": f"personnumber{number:04}",
        "dt": DAY,
        "start_ts": start,
        "end_ts": start + timedelta(minutes=10),
        "num_events": 4,
        "num_views": 2,
        "num_searches": 1,
        "num_carts": 1,
        "num_purchases": 0,
        "num_items": 2,
        "revenue": 0.0,
        "platform": "app",
        "campaign": None,
        "bot_rule": None,
        "is_bot": False,
    }
    return row | changes


def session_event(number: int, position: int, **changes: Any) -> Row:
    row = {name: value for name, value in event(number).items() if name in SESSION_EVENTS.names}
    row = dict.fromkeys(SESSION_EVENTS.names) | row | {"session_id": f"event-{number + 1 - position:04}"}
    names = {"visitor_id": "devicenumber0001", "user_id": "personnumber0001"}
    return row | names | {"position": position, "logged_in": True, "is_bot": False} | changes


def member(number: int, **changes: Any) -> Row:
    """A device of its own login; device `number` is of person `number`."""
    row = {
        "member_id": f"devicenumber{number:04}",
        "id_kind": "device",
        "person_id": f"personnumber{number:04}",
        "dt": DAY,
        "component_id": f"personnumber{number:04}",
        "num_members": 2,
        "apart_rule": None,
    }
    return row | changes


def sequence(number: int, **changes: Any) -> Row:
    row = {
        "user_id": f"personnumber{number:04}",
        "dt": DAY,
        "item_ids": ["a", "b", "a"],
        "kinds": [1, 3, 4],
        "event_ts": [979_500_000, 979_500_060, 979_500_120],
        "platforms": [1, 1, 2],
        "session_ordinals": [1, 1, 2],
        "price_buckets": [0, 10, 5],
        "category_codes": [0, 4095, 1],
        "num_events": 3,
        "last_platform": "app",
    }
    return row | changes


def user_features(number: int, **changes: Any) -> Row:
    """A person with two views today and nothing else."""
    row: Row = {
        column.name: None if column.nullable else 0.0 if column.type == "double" else 0
        for column in USER_FEATURES.columns
    }
    row |= {"user_id": f"personnumber{number:04}", "dt": DAY, "last_platform": "web", "top_category": "shoes"}
    for stem, count in (("events", 2), ("views", 2), ("sessions", 1), ("active_days", 1)):
        row |= dict.fromkeys((f"num_{stem}", *(f"num_{stem}_{days}d" for days in (1, 7, 28))), count)
    row |= {"hours_since_last_event": 1.0, "hours_since_last_session": 1.5, "share_entries_web": 1.0}
    return row | changes


def label(number: int, **changes: Any) -> Row:
    """A person who stays, and buys nothing."""
    row: Row = dict.fromkeys(LABELS.names) | {
        column.name: False for column in LABELS.columns if column.type == "boolean"
    }
    row |= {"user_id": f"personnumber{number:04}", "dt": DAY, "observed_until": DAY + timedelta(days=14)}
    row |= {"churn_eligible": True, "num_purchases_next": 0, "num_orders_next": 0, "revenue_next": 0.0}
    return row | {"cart_converted": None} | changes


def recommendation(person: int, rank: int, **changes: Any) -> Row:
    user_id = f"personnumber{person:04}"
    row = {
        "row_key": f"shop|{DAY}|home|{user_id}|{rank}",
        "shop": "shop",
        "dt": DAY,
        "surface": "home",
        "user_id": user_id,
        "rank": rank,
        "item_id": f"item-{rank}",
        "score": 1.0 / rank,
        "strategy": "model",
        "reason_code": "because_viewed",
        "evidence_item_id": None,
        "evidence_2_item_id": None,
        "evidence_3_item_id": None,
        "rule": None,
        "model_name": "nightjar_shop",
        "model_version": "1",
    }
    return row | changes


def mart(table: Table, platform: str = "(all)", **changes: Any) -> Row:
    """A row of an analysis table that counts nothing, besides the changes."""
    nothing = {"long": 0, "int": 0, "double": 0.0}
    row: Row = {column.name: None if column.nullable else nothing.get(column.type) for column in table.columns}
    row |= {name: "(all)" for name in ("category", "campaign") if name in row}
    assert not set(changes) - set(row), changes
    return row | {"dt": DAY, "platform": platform} | changes


def everywhere(table: Table, **changes: Any) -> list[Row]:
    """The same on the web and, as nobody came elsewhere, on all platforms."""
    return [mart(table, platform, **changes) for platform in ("(all)", "web")]


#: Two sessions of two people, view>cart and view>cart>purchase, and one of a bot.
_KPIS = {
    "num_visitors": 2,
    "num_new_visitors": 1,
    "num_returning_visitors": 1,
    "num_persons": 2,
    "num_logged_in_persons": 1,
    "num_sessions": 2,
    "num_sessions_with_cart": 2,
    "num_sessions_with_purchase": 1,
    "num_events": 5,
    "num_views": 2,
    "num_carts": 2,
    "num_purchases": 1,
    "num_orders": 1,
    "num_pieces": 1,
    "revenue": 9.5,
    "num_bot_sessions": 1,
    "num_bot_events": 3,
}
_FUNNEL = {"num_sessions": 2, "num_viewed": 2, "num_carted": 2, "num_bought": 1, "num_viewed_carted": 2}
_FUNNEL |= {"num_viewed_carted_bought": 1, "num_lost_after_cart": 1}
_STEPS = (("(start)", "view", 2, 2), ("view", "cart", 2, 2), ("cart", "purchase", 1, 2), ("cart", "(end)", 1, 2))
_STEPS += (("purchase", "(end)", 1, 1),)
_MINUTES = {"p25": 1.0, "median": 1.0, "p75": 1.0, "p90": 2.0}
_TIMES = {"num_bought_items": 1, "num_viewed_items": 1, "num_sessions": 1, "num_first_sessions": 1}
_TIMES |= {
    f"{name}_{which}": value
    for name in ("minutes_from_view", "minutes_from_start")
    for which, value in _MINUTES.items()
}
_TIMES |= {f"sessions_before_{which}": 0.0 for which in _MINUTES}
_CARTS = {
    "num_carts": 2,
    "num_lines": 2,
    "num_bought": 1,
    "num_abandoned": 1,
    "value_abandoned": 5.0,
    "value_left": 5.0,
}

MART_ROWS: dict[str, list[Row]] = {
    DAILY_KPIS.name: everywhere(DAILY_KPIS, **_KPIS),
    FUNNELS.name: [
        row | {"campaign": campaign} for row in everywhere(FUNNELS, **_FUNNEL) for campaign in ("(all)", "(none)")
    ],
    DECISION_TRANSITIONS.name: [
        row
        for before, after, count, leaving in _STEPS
        for row in everywhere(
            DECISION_TRANSITIONS, from_kind=before, to_kind=after, num_transitions=count, num_from=leaving
        )
    ],
    DECISION_PATHS.name: [
        row
        for path, bought in (("view>cart", 0), ("view>cart>purchase", 1))
        for row in everywhere(
            DECISION_PATHS, path=path, num_paths=1, num_sessions=1, num_bought=bought, num_all_sessions=2
        )
    ],
    DECISION_TIMES.name: everywhere(DECISION_TIMES, **_TIMES),
    CART_ABANDONMENT.name: [
        row | {"category": category} for row in everywhere(CART_ABANDONMENT, **_CARTS) for category in ("(all)", "tea")
    ],
}

_NO_HISTORY = {name: [] for name in SEQUENCES.names if SEQUENCES.column(name).type.startswith("array")} | {
    "num_events": 0
}

ROWS: dict[str, list[Row]] = {
    EVENTS.name: [event(number) for number in range(20)],
    SESSIONS.name: [session(number) for number in range(5)],
    SESSION_EVENTS.name: [session_event(number, number + 1) for number in range(3)],
    IDENTITY.name: [
        *(member(number) for number in range(3)),
        *(member(number, member_id=f"personnumber{number:04}", id_kind="user") for number in range(3)),
    ],
    SEQUENCES.name: [*(sequence(number) for number in range(3)), sequence(3, **_NO_HISTORY)],
    USER_FEATURES.name: [user_features(number) for number in range(4)],
    LABELS.name: [
        *(label(number) for number in range(3)),
        label(3, churned=True),
        label(4, churn_eligible=False, churned=None),
        label(
            5,
            purchased_next=True,
            num_purchases_next=2,
            num_orders_next=1,
            revenue_next=7.5,
            next_category="shoes",
            cart_eligible=True,
            cart_converted=True,
        ),
    ],
    RECOMMENDATIONS.name: [recommendation(person, rank) for person in range(3) for rank in (1, 2, 3)],
    **MART_ROWS,
}

#: For every rule on meaning, a value that breaks it; those of the contract follow from it.
_VIOLATIONS: dict[str, dict[str, float]] = {
    EVENTS.name: {
        "num_duplicate_keys": 1,
        "quarantined_share": 0.051,
        "unknown_kind_rows": 1,
        "no_actor_rows": 1,
        "volume_ratio": 10.0,
        "null_share_user_id_rise": 0.5,
        "null_share_device_id_rise": 0.5,
        "null_share_item_id_rise": 0.16,
        "null_share_price_rise": 0.16,
        "null_share_received_at_rise": 1.0,
        "filled_ratio_user_id": 0.5,
        "filled_ratio_device_id": 0.59,
        "duplicate_share": 0.11,
        "duplicate_share_rise": 0.051,
        "conflict_share": 0.002,
        "repaired_share": 0.06,
        "bot_share": 0.51,
        "bot_share_rise": 0.21,
        "kind_share_distance": 0.21,
        "silent_hours": 6.5,
        "complete_later_hours": 3.25,
    },
    SESSIONS.name: {
        "num_duplicate_keys": 1,
        "events_lost": -1,
        "empty_sessions": 1,
        "negative_durations": 1,
        "overlong_sessions": 1,
        "impossible_counts": 1,
        "negative_revenues": 1,
        "max_events_per_session": 5001,
        "share_at_cap": 0.02,
        "bot_flags_off": 1,
        "bot_share": 0.9,
        "bot_share_rise": 0.3,
        "filled_ratio_user_id": 0.5,
        "volume_ratio": 0.1,
    },
    SESSION_EVENTS.name: {
        "num_duplicate_keys": 1,
        "events_lost": 1,
        "sessions_missing": 1,
        "positions_off": 1,
        "volume_ratio": 5.5,
    },
    IDENTITY.name: {
        "num_duplicate_keys": 1,
        "merged_shared_devices": 1,
        "strange_persons": 1,
        "shared_device_share": 0.21,
        "broken_components": 1,
        "largest_person": 1001,
    },
    SEQUENCES.name: {
        "num_duplicate_keys": 1,
        "unequal_lengths": 1,
        "overlong_rows": 1,
        "short_counts": 1,
        "unsorted_rows": 1,
        "rows_with_ordinal_gaps": 1,
        "rows_after_instant": 1,
        "rows_with_nulls": 1,
        "rows_with_unknown_codes": 1,
        "volume_ratio": 0.19,
    },
    USER_FEATURES.name: {
        "num_duplicate_keys": 1,
        "negative_rows": 1,
        "rows_not_finite": 1,
        "rows_with_shares_above_1": 1,
        "rows_with_broken_windows": 1,
        "rows_without_events": 1,
        "rows_after_instant": 1,
        "activity_ratio": 0.1,
        "filled_ratio_top_category": 0.5,
        "volume_ratio": 0.1,
    },
    LABELS.name: {
        "num_duplicate_keys": 1,
        "rows_not_observed": 1,
        "contradictory_rows": 1,
        "rows_not_finite": 1,
        "label_rate_distance": 0.21,
        "revenue_ratio": 6.0,
        "volume_ratio": 0.1,
    },
    RECOMMENDATIONS.name: {
        "num_duplicate_keys": 1,
        "users_missing": 1,
        "users_not_eligible": 1,
        "users_with_wrong_count": 1,
        "users_with_rank_gaps": 1,
        "users_with_repeats": 1,
        "users_with_rising_scores": 1,
        "scores_not_finite": 1,
        "unknown_item_rows": 1,
        "fallback_share": 0.6,
        "volume_ratio": 0.1,
    },
    **{
        name: {"num_duplicate_keys": 1, "impossible_rows": 1, "unreconciled_rows": 2, "broken_totals": 1}
        for name in MART_ROWS
        if name != DECISION_PATHS.name
    },
    DECISION_PATHS.name: {"num_duplicate_keys": 1, "impossible_rows": 1, "unreconciled_rows": 2},
}
_VIOLATIONS[DAILY_KPIS.name] |= {"revenue_ratio": 6.0}


def _contract_violations(table: Table) -> dict[str, float]:
    names = [f"null_rows_{column.name}" for column in table.columns if not column.nullable]
    return dict.fromkeys([*names, *(f"unlisted_rows_{name}" for name in table.names if name in LISTED)], 1)


#: Columns with a closed list of values.
LISTED = (
    "kind",
    "platform",
    "bot_rule",
    "last_platform",
    "id_kind",
    "apart_rule",
    "strategy",
    "reason_code",
    "rule",
    "from_kind",
    "to_kind",
)

VIOLATIONS = {name: _contract_violations(TABLES[name]) | broken for name, broken in _VIOLATIONS.items()}


def table_frame(spark: SparkSession, table: Table, rows: list[Row], *, nullable: bool = False) -> DataFrame:
    """Rows as a frame of the contract; `nullable` forgets NOT NULL, so that a test can break it."""
    ddl = spark_ddl(table).replace(" NOT NULL", "") if nullable else spark_ddl(table)
    return spark.createDataFrame([tuple(row[name] for name in table.names) for row in rows], ddl)


def day_facts(facts: Facts, day: date = DAY) -> list[Facts]:
    return [{"dt": day.isoformat(), **facts}]
