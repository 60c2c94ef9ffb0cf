"""What a night's tables look like in numbers: one row per day, and no identifier in it.

A table is read once: one pass aggregates every measure, nulls and values outside their list included,
and another reads the key columns, which the first had no need of. Everything else is plain Python on
a few numbers per day: shares, and comparisons with earlier days. The gate judges these rows and the
lake keeps them: tomorrow they are the history.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date, datetime, time
from functools import reduce
from itertools import pairwise
from operator import or_
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from nightjar.contracts import (
    BOT_RULES,
    CATEGORY_CODES,
    EVENTS,
    IDENTITY,
    ITEM_KINDS,
    LABELS,
    RECOMMENDATIONS,
    SEQUENCES,
    SESSION_EVENTS,
    SESSIONS,
    USER_FEATURES,
    ApartRule,
    IdKind,
    Kind,
    Platform,
    Table,
)
from nightjar.contracts.features import SHARE, windowed
from nightjar.contracts.published import FALLBACKS
from nightjar.quality.history import (
    Facts,
    earlier_days,
    filled_ratio,
    largest_gap,
    ratio_to_median,
    rise_over_median,
    same_kind,
)
from nightjar.quality.suites import listed_values
from nightjar.settings import Gate

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

#: Columns of events whose nulls mean something.
NULLABLE_EVENT_COLUMNS = ("user_id", "device_id", "item_id", "price", "received_at")
#: Columns that name people: losing a part of them is worse than the rise of a null share shows.
IDENTITY_COLUMNS = ("user_id", "device_id")
KIND_SHARES = tuple(f"share_{kind}" for kind in Kind)
#: What cleaning said of a day's drop; a later night that only adds late events to the day cannot say it again.
_OF_THE_DROP = ("quarantined_share", "unknown_kind_rows", "duplicate_share", "conflict_share", "repaired_share")

#: A day counts as complete when this share of its events has been received.
_COMPLETE_SHARE = 0.999
#: Receipts are counted by quarters of an hour, in which every time zone's days begin.
_QUARTER_SECONDS, _QUARTERS_A_DAY = 900, 96
#: Receipts longer after their day are counted as this long: a clock gone wrong must not make groups without end.
_MAX_RECEIPT_DAYS = 60
#: Share of true labels among those that are not null -> the label.
LABEL_RATES = {
    "churn_rate": "churned",
    "purchase_rate": "purchased_next",
    "cart_rate": "carted_next",
    "cart_conversion_rate": "cart_converted",
    "shown_rate": "shown_next",
    "click_rate": "clicked_next",
    "coupon_claim_rate": "coupon_claimed_next",
    "coupon_use_rate": "coupon_used_next",
}

Trailing = Iterable[Mapping[str, object]]


def events_facts(
    frame: DataFrame,
    counts: Mapping[date, Mapping[str, int]],
    trailing: Trailing,
    *,
    gate: Gate,
    time_zone: str,
) -> list[Facts]:
    """Facts of each day of `frame`.

    Args:
        frame: events of one day, or of several when history is landed at once.
        counts: what cleaning did to each day's drop: `rows_read`, `rows_quarantined`,
            `rows_unknown_kind`, `rows_duplicate`, `rows_conflict`, `rows_repaired`. A past day that only
            late events rewrite has no drop of its own and may be absent: what was said of it stays.
        trailing: facts of earlier days, as the lake keeps them.
        time_zone: the shop's, which cuts days.
    """
    known = {str(entry["dt"]): dict(entry) for entry in trailing}
    zone = ZoneInfo(time_zone)
    days = [_event_shares(counted, receipts, zone) for counted, receipts in _counted_events(frame)]
    copies = _duplicate_keys(frame, EVENTS, days, gate)

    def compare(facts: Facts, earlier: list[Facts]) -> Facts:
        day = str(facts["dt"])
        drop = _shares_of_drop(counts.get(date.fromisoformat(day)), known.get(day, {}))
        whole = facts | copies[day] | drop
        return whole | _event_comparisons(whole, earlier)

    return _compared(days, known.values(), gate, compare)


def sessions_facts(
    frame: DataFrame, counts: Mapping[str, int], trailing: Trailing, *, gate: Gate, max_hours: int, max_events: int
) -> list[Facts]:
    """Facts of sessions.

    Args:
        counts: `events_in`, the events that had to find a session; over all days of `frame` together,
            as a session takes its events past midnight with it.
    """
    days = _measured(frame, SESSIONS, _session_measures(max_hours, max_events), gate)
    lost = counts["events_in"] - sum(_whole(facts, "num_events") for facts in days)

    def compare(facts: Facts, earlier: list[Facts]) -> Facts:
        alike = same_kind(facts, earlier)
        compared = {
            "filled_ratio_user_id": filled_ratio(facts, "null_share_user_id", alike),
            "bot_share_rise": rise_over_median(facts, "bot_share", alike),
        }
        return facts | {"events_lost": lost} | compared | _volume(facts, earlier)

    return _compared(days, trailing, gate, compare)


def session_events_facts(
    frame: DataFrame, of_sessions: Sequence[Facts], counts: Mapping[str, int], trailing: Trailing, *, gate: Gate
) -> list[Facts]:
    """Facts of session_events.

    Grouping by session would shuffle every event once more. Instead the sums of positions and of their
    squares are held against what the sessions' lengths make due: positions that count 1, 2, 3 in
    each session give both, and hardly anything else does.

    Args:
        of_sessions: what `sessions_facts` said of the same days.
        counts: `events_in` as for sessions.
    """
    due = {str(facts["dt"]): facts for facts in of_sessions}
    days = _measured(frame, SESSION_EVENTS, _session_event_measures(), gate)
    lost = counts["events_in"] - sum(_whole(facts, "num_rows") for facts in days)

    def compare(facts: Facts, earlier: list[Facts]) -> Facts:
        expected = due.get(str(facts["dt"]), {})
        off = sum(abs(_whole(expected, name) - _whole(facts, name)) for name in ("positions", "position_squares"))
        whole: Facts = {
            "events_lost": lost,
            "sessions_missing": _whole(expected, "num_rows") - _whole(facts, "num_sessions"),
            "positions_off": off,
        }
        return facts | whole | _volume(facts, earlier)

    return _compared(days, trailing, gate, compare)


def identity_facts(
    frame: DataFrame, before: DataFrame, totals: Facts, *, days: Iterable[date], gate: Gate
) -> list[Facts]:
    """Facts of identity, with totals as of each day: persons, the devices attached to them, shared devices and more.

    Args:
        frame: the rows of `days`.
        before: the latest earlier row of every member of `frame` that has one.
        totals: facts of the day before the first of `days`; empty when there is none.
        days: each gets a row of facts, also when nobody changed on it.
    """
    measured = {str(facts["dt"]): facts for facts in _measured(frame, IDENTITY, _identity_measures(), gate)}
    deltas = {row["dt"].isoformat(): row.asDict() for row in _identity_deltas(frame, before).collect()}
    nobody: Facts = dict.fromkeys((*_contract_measures(IDENTITY), "null_rows_dt"), 0)
    nobody |= {"num_rows": 0, "num_duplicate_keys": 0, "largest_person": 0, "largest_component": 0}
    nobody |= {"merged_shared_devices": 0, "strange_persons": 0}
    running = {name: int(totals.get(name) or 0) for name in _identity_totals()}
    found = []
    for day in sorted(day.isoformat() for day in days):
        delta = deltas.get(day, {})
        running = {name: total + int(delta.get(name) or 0) for name, total in running.items()}
        share = running["shared_devices"] / max(running["linked_devices"], 1)
        found.append({"dt": day} | measured.get(day, nobody) | running | {"shared_device_share": share})
    return found


def sequences_facts(
    frame: DataFrame, trailing: Trailing, *, gate: Gate, max_events: int, instant: datetime
) -> list[Facts]:
    """Facts of sequences as of `instant` (aware; the end of the day): nothing may lie at or after it."""
    days = _measured(frame, SEQUENCES, _sequence_measures(max_events, instant), gate)
    return _compared(days, trailing, gate, lambda facts, earlier: facts | _volume(facts, earlier))


def user_features_facts(frame: DataFrame, trailing: Trailing, *, gate: Gate) -> list[Facts]:
    """Facts of user_features."""
    days = _measured(frame, USER_FEATURES, _feature_measures(), gate)

    def compare(facts: Facts, earlier: list[Facts]) -> Facts:
        alike = same_kind(facts, earlier)
        return facts | {
            **_volume(facts, earlier),
            "activity_ratio": ratio_to_median(facts, "mean_events_7d", alike),
            "filled_ratio_top_category": filled_ratio(facts, "null_share_top_category", alike),
        }

    return _compared(days, trailing, gate, compare)


def labels_facts(frame: DataFrame, trailing: Trailing, *, gate: Gate) -> list[Facts]:
    """Facts of labels; rates are over the people whom a label concerns."""
    days = _measured(frame, LABELS, _label_measures(), gate)

    def compare(facts: Facts, earlier: list[Facts]) -> Facts:
        alike = same_kind(facts, earlier)
        # The rate of a label that concerned nobody is null: such a day is neither compared nor compared with.
        rises = [rise_over_median(facts, rate, alike) for rate in LABEL_RATES]
        return facts | {
            **_volume(facts, earlier),
            "label_rate_distance": max((abs(rise) for rise in rises if rise is not None), default=None),
            "revenue_ratio": ratio_to_median(facts, "mean_revenue", alike),
        }

    return _compared(days, trailing, gate, compare)


def recommendations_facts(
    frame: DataFrame, users: DataFrame, items: DataFrame, trailing: Trailing, *, gate: Gate, k: int = 0
) -> list[Facts]:
    """Facts of one day's recommendations, from two passes: one by person and one by item.

    Args:
        users: `user_id` of every eligible person; with a column `num_candidates` where filters leave
            somebody fewer than k items (otherwise everybody is due min(k, number of items)). With `surface`, `k` and
            `num_candidates`, a row per person and surface: the argument k is not asked then.
        items: `item_id` of everything that may be recommended.
    """
    of_items = _recommended_items(frame, items)
    of_lists = _recommended_lists(frame, users, _whole(of_items, "num_items"), k)
    if not of_lists["num_rows"]:
        return []
    shown, known = _whole(of_items, "num_items_shown"), _whole(of_items, "num_items")
    day: Facts = {**of_lists, **of_items, "coverage": shown / known if known else None}
    day.pop("num_items_shown")
    return _compared([day], trailing, gate, lambda facts, earlier: facts | _volume(facts, earlier))


def _contract_measures(table: Table) -> dict[str, Column]:
    """Rows that break the contract: nulls where none may be, values outside a closed list."""
    from pyspark.sql import functions as F

    nulls = {
        f"null_rows_{column.name}": F.count_if(F.col(column.name).isNull())
        for column in table.columns
        if not column.nullable and column.name != "dt"
    }
    values = {
        f"unlisted_rows_{name}": F.count_if(~F.col(name).isin(*values)) for name, values in listed_values(table).items()
    }
    return nulls | values


def _event_counts() -> dict[str, Column]:
    """Counts only, and the latest event: what adds up over groups. Names with _ are no facts yet."""
    from pyspark.sql import functions as F

    kind, rule = F.col("kind"), F.col("bot_rule")
    of_items, is_purchase = kind.isin(*ITEM_KINDS), kind == Kind.PURCHASE
    nulls = {name: F.col(name).isNull() for name in NULLABLE_EVENT_COLUMNS}
    nulls |= {"item_id": of_items & nulls["item_id"], "price": is_purchase & nulls["price"]}
    conditions = {
        "no_actor_rows": F.col("user_id").isNull() & F.col("device_id").isNull(),
        "_own": F.col("landed") == F.col("dt"),
        "_of_items": of_items,
        "_bots": rule.isNotNull(),
        **{f"_bots_{one.name}": rule == one.name for one in BOT_RULES},
        **{f"_kind_{one}": kind == one for one in Kind},
        **{f"_nulls_{name}": null for name, null in nulls.items()},
    }
    return {
        "num_rows": F.count(F.lit(1)),
        **_contract_measures(EVENTS),
        **{name: F.count_if(condition) for name, condition in conditions.items()},
        "_last_us": F.unix_micros(F.max("event_ts")),
    }


def _counted_events(frame: DataFrame) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Per day, oldest first: its counts, and the same counts for each quarter of an hour of receipt.

    Grouping by receipt, too, makes the day's histogram of receipts and leaves a few hundred rows a day;
    a percentile beside the counts would cost Spark its generated code for all of them.
    """
    from pyspark.sql import functions as F

    quarter = F.expr(f"unix_seconds(received_at) DIV {_QUARTER_SECONDS}")
    first, last = (F.unix_date("dt") + days for days in (-1, _MAX_RECEIPT_DAYS))
    bounded = F.greatest(F.least(quarter, last * _QUARTERS_A_DAY), first * _QUARTERS_A_DAY)
    grouped = frame.groupBy("dt", F.when(quarter.isNotNull(), bounded).alias("quarter")).agg(
        *(count.alias(name) for name, count in _event_counts().items())
    )
    by_day: dict[date | None, list[dict[str, Any]]] = {}
    for row in grouped.collect():
        by_day.setdefault(row["dt"], []).append(row.asDict())
    without_day = sum(row["num_rows"] for row in by_day.pop(None, []))
    counted = []
    for day, rows in sorted(by_day.items(), key=lambda item: str(item[0])):
        names = [name for name in rows[0] if name not in ("dt", "quarter", "_last_us")]
        total: dict[str, Any] = {name: sum(row[name] for row in rows) for name in names}
        latest = max((row["_last_us"] for row in rows if row["_last_us"] is not None), default=None)
        counted.append((total | {"dt": day, "null_rows_dt": without_day, "_last_us": latest}, rows))
    return counted


def _event_shares(counted: Mapping[str, Any], receipts: list[dict[str, Any]], zone: ZoneInfo) -> Facts:
    """A day's facts from its counts."""
    midnight = datetime.combine(counted["dt"], time(), zone).timestamp()
    among = dict.fromkeys(NULLABLE_EVENT_COLUMNS, counted["num_rows"])
    among |= {"item_id": counted["_of_items"], "price": counted[f"_kind_{Kind.PURCHASE}"]}
    last = counted["_last_us"]

    def complete_at(rows: str) -> float | None:
        quarter = _quarter_of_share(receipts, rows, _COMPLETE_SHARE)
        return None if quarter is None else ((quarter + 1) * _QUARTER_SECONDS - midnight) / 3600

    return {
        "dt": counted["dt"].isoformat(),
        **{name: count for name, count in counted.items() if not name.startswith("_") and name != "dt"},
        "bot_share": counted["_bots"] / counted["num_rows"],
        **{f"bot_share_{rule.name}": counted[f"_bots_{rule.name}"] / counted["num_rows"] for rule in BOT_RULES},
        **{f"null_share_{name}": _share(counted[f"_nulls_{name}"], among[name]) for name in NULLABLE_EVENT_COLUMNS},
        **{f"share_{kind}": counted[f"_kind_{kind}"] / counted["num_rows"] for kind in Kind},
        # Hours since the day's midnight in the shop's zone: a drop that breaks off shows here first.
        "last_event_hour": None if last is None else (last / 1e6 - midnight) / 3600,
        "complete_at_hours": complete_at("num_rows"),
        "drop_complete_at_hours": complete_at("_own"),
    }


def _quarter_of_share(receipts: Iterable[Mapping[str, Any]], rows: str, share: float) -> int | None:
    """The quarter of an hour by which a share of the day's events had been received; null if none says when."""
    known = sorted((row["quarter"], row[rows]) for row in receipts if row["quarter"] is not None and row[rows])
    missing = share * sum(num for _, num in known)
    for quarter, num in known:
        missing -= num
        if missing <= 0:
            return int(quarter)
    return None


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _shares_of_drop(counts: Mapping[str, int] | None, before: Mapping[str, object]) -> Facts:
    if counts is None:
        return {name: before.get(name) for name in _OF_THE_DROP}  # type: ignore[misc]
    rows = max(counts["rows_read"], 1)
    return {
        "quarantined_share": counts.get("rows_quarantined", 0) / rows,
        "unknown_kind_rows": counts.get("rows_unknown_kind", 0),
        "duplicate_share": counts.get("rows_duplicate", 0) / rows,
        "conflict_share": counts.get("rows_conflict", 0) / rows,
        "repaired_share": counts.get("rows_repaired", 0) / rows,
    }


def _event_comparisons(facts: Facts, earlier: list[Facts]) -> Facts:
    alike = same_kind(facts, earlier)
    late = rise_over_median(facts, "last_event_hour", alike)
    shares = [f"null_share_{name}" for name in NULLABLE_EVENT_COLUMNS]
    return {
        **_volume(facts, earlier),
        **{f"{share}_rise": rise_over_median(facts, share, alike) for share in shares},
        **{f"filled_ratio_{name}": filled_ratio(facts, f"null_share_{name}", alike) for name in IDENTITY_COLUMNS},
        "kind_share_distance": largest_gap(facts, KIND_SHARES, alike),
        "silent_hours": None if late is None else -late,
        # Of the day's own drop: what later drops add makes every past day look slower than it was that night.
        "complete_later_hours": rise_over_median(facts, "drop_complete_at_hours", alike),
        "duplicate_share_rise": rise_over_median(facts, "duplicate_share", alike),
        "bot_share_rise": rise_over_median(facts, "bot_share", alike),
    }


def _session_measures(max_hours: int, max_events: int) -> dict[str, Column]:
    from pyspark.sql import functions as F

    seconds = F.col("end_ts").cast("double") - F.col("start_ts").cast("double")
    parts = F.col("num_views") + F.col("num_searches") + F.col("num_carts") + F.col("num_purchases")
    length = F.col("num_events").cast("long")
    rule = F.col("bot_rule")
    return {
        # A sketch, 2 % off: people are counted to see trends, and an exact count would shuffle them all.
        "num_visitors": F.approx_count_distinct("visitor_id", 0.02),
        "num_events": F.coalesce(F.sum(length), F.lit(0)),
        "positions": F.sum(F.expr("num_events * (num_events + 1L) DIV 2")),
        "position_squares": F.sum(F.expr("num_events * (num_events + 1L) * (2L * num_events + 1L) DIV 6")),
        "events_per_session": F.avg("num_events"),
        "max_events_per_session": F.max("num_events"),
        "null_share_user_id": F.avg(F.col("user_id").isNull().cast("double")),
        "empty_sessions": F.count_if(F.col("num_events") < 1),
        "share_at_cap": F.avg(((F.col("num_events") >= max_events) | (seconds >= max_hours * 3600)).cast("double")),
        "overlong_sessions": F.count_if(seconds > max_hours * 3600),
        "negative_durations": F.count_if(seconds < 0),
        "impossible_counts": F.count_if((parts > F.col("num_events")) | (F.col("num_items") > F.col("num_events"))),
        "negative_revenues": F.count_if((F.col("revenue") < 0) | F.isnan("revenue")),
        "bot_flags_off": F.count_if(F.col("is_bot") != rule.isNotNull()),
        "bot_share": F.avg(F.col("is_bot").cast("double")),
        **{
            f"bot_share_{one.name}": F.avg(F.coalesce(rule == one.name, F.lit(False)).cast("double"))
            for one in BOT_RULES
        },
    }


def _session_event_measures() -> dict[str, Column]:
    from pyspark.sql import functions as F

    position = F.col("position").cast("long")
    return {
        "num_sessions": F.count_if(position == 1),
        "positions": F.sum(position),
        "position_squares": F.sum(position * position),
    }


def _identity_measures() -> dict[str, Column]:
    from pyspark.sql import functions as F

    rule = F.col("apart_rule")
    return {
        "largest_person": F.coalesce(F.max(F.when(rule.isNull(), F.col("num_members"))), F.lit(0)),
        "largest_component": F.max("num_members"),
        "merged_shared_devices": F.count_if((rule == ApartRule.SHARED) & (F.col("person_id") != F.col("member_id"))),
        "strange_persons": F.count_if(rule.isNull() & (F.col("person_id") != F.col("component_id"))),
    }


def _identity_totals() -> dict[str, Column]:
    """What a member counts as; whatever there is one of has one member that stands for it."""
    from pyspark.sql import functions as F

    rule, is_own = F.col("apart_rule"), F.col("person_id") == F.col("member_id")
    is_device = F.col("id_kind") == IdKind.DEVICE
    return {
        "linked_devices": is_device,
        "linked_logins": ~is_device,
        "persons": is_own & ~is_device,
        "attached_devices": is_device & ~is_own,
        "shared_devices": rule.eqNullSafe(ApartRule.SHARED.value),
        "broken_components": rule.eqNullSafe(ApartRule.LARGE.value) & (F.col("member_id") == F.col("component_id")),
    }


def _identity_deltas(frame: DataFrame, before: DataFrame) -> DataFrame:
    """By how much each day's rows move the totals."""
    from pyspark.sql import Window
    from pyspark.sql import functions as F

    totals = {name: counts.cast("int") for name, counts in _identity_totals().items()}
    rows = frame.withColumn("is_new", F.lit(True)).unionByName(before.withColumn("is_new", F.lit(False)))
    counted = rows.select("dt", "member_id", "is_new", *(counts.alias(name) for name, counts in totals.items()))
    in_order = Window.partitionBy("member_id").orderBy("dt")
    moved = [(F.col(name) - F.lag(name, 1, 0).over(in_order)).alias(name) for name in totals]
    moves = counted.select("dt", "is_new", *moved).where("is_new")
    return moves.groupBy("dt").agg(*(F.sum(name).alias(name) for name in totals))


_ARRAYS = ("item_ids", "kinds", "event_ts", "platforms", "session_ordinals", "price_buckets", "category_codes")


def _sequence_measures(max_events: int, instant: datetime) -> dict[str, Column]:
    from pyspark.sql import functions as F

    length = F.size("item_ids")
    unequal, with_nulls = F.lit(False), F.lit(False)
    for name in _ARRAYS:
        unequal = unequal | (F.size(name) != length)
        with_nulls = with_nulls | F.exists(name, lambda element: element.isNull())
    unknown_codes = (
        _any_outside("kinds", 1, len(Kind))
        | _any_outside("platforms", 1, len(Platform))
        | _any_outside("price_buckets", 0, 10)
        | _any_outside("category_codes", 0, CATEGORY_CODES)
        | _any_outside("session_ordinals", 1, max_events)
    )
    # Sessions on two devices may interleave, so ordinals need not rise; but none is left out.
    num_sessions = F.size(F.array_distinct("session_ordinals"))
    return {
        "unequal_lengths": F.count_if(unequal),
        "overlong_rows": F.count_if(length > max_events),
        "short_counts": F.count_if(F.col("num_events") < length),
        "unsorted_rows": F.count_if(F.sort_array("event_ts") != F.col("event_ts")),
        "rows_with_ordinal_gaps": F.count_if(F.coalesce(F.array_max("session_ordinals"), F.lit(0)) != num_sessions),
        "rows_after_instant": F.count_if(F.array_max("event_ts") >= int(instant.timestamp())),
        "rows_with_nulls": F.count_if(with_nulls),
        "rows_with_unknown_codes": F.count_if(unknown_codes),
        "empty_share": F.avg((length == 0).cast("double")),
        "mean_length": F.avg(length),
    }


def _feature_measures() -> dict[str, Column]:
    from pyspark.sql import functions as F

    numbers = [column for column in USER_FEATURES.columns if column.type in ("int", "double")]
    doubles = [column.name for column in numbers if column.type == "double"]
    shares = [column.name for column in numbers if column.unit == SHARE]
    counts = [name.removesuffix("_1d") for name in USER_FEATURES.names if name.endswith("_1d")]
    grows = _any_of(
        F.col(shorter) > F.col(longer) for stem in counts for shorter, longer in pairwise(list(windowed(stem)))
    )
    return {
        "negative_rows": F.count_if(_any_of(F.col(column.name) < 0 for column in numbers)),
        "rows_not_finite": F.count_if(_any_of(F.isnan(name) | (F.abs(name) == float("inf")) for name in doubles)),
        "rows_with_shares_above_1": F.count_if(_any_of(F.col(name) > 1 for name in shares)),
        "rows_with_broken_windows": F.count_if(grows),
        "rows_without_events": F.count_if((F.col("num_events") < 1) | (F.col("num_sessions") < 1)),
        "rows_after_instant": F.count_if(F.col("hours_since_last_event") <= 0),
        "mean_events_7d": F.avg("num_events_7d"),
        "active_share_7d": F.avg((F.col("num_events_7d") > 0).cast("double")),
        "buyers_share_28d": F.avg((F.col("num_purchases_28d") > 0).cast("double")),
        "mean_spend_28d": F.avg("spend_28d"),
        "null_share_top_category": F.avg(F.isnull("top_category").cast("double")),
    }


def _label_measures() -> dict[str, Column]:
    from pyspark.sql import functions as F

    bought = F.col("purchased_next")
    contradictions = (
        bought != (F.col("num_purchases_next") > 0),
        bought != (F.col("num_orders_next") > 0),
        F.col("num_orders_next") > F.col("num_purchases_next"),
        ~bought & ((F.col("revenue_next") != 0) | F.col("next_category").isNotNull()),
        ~bought & (F.col("cart_converted") | F.col("coupon_used_next")),
        F.col("revenue_next") < 0,
        F.col("churned").isNotNull() != F.col("churn_eligible"),
        F.col("cart_converted").isNotNull() != F.col("cart_eligible"),
        F.col("observed_until") <= F.col("dt"),
    )
    # The other labels of the horizon are null together.
    unobserved = bought.isNull() | (F.col("churn_eligible") & F.col("churned").isNull())
    rates = {rate: F.avg(F.col(label).cast("double")) for rate, label in LABEL_RATES.items()}
    return {
        "rows_not_observed": F.count_if(unobserved),
        "contradictory_rows": F.count_if(_any_of(contradictions)),
        "rows_not_finite": F.count_if(F.isnan("revenue_next") | (F.abs("revenue_next") == float("inf"))),
        **rates,
        "mean_revenue": F.avg("revenue_next"),
    }


def _any_of(conditions: Iterable[Column]) -> Column:
    """True where any condition is; one that is null is not."""
    from pyspark.sql import functions as F

    return reduce(or_, (F.coalesce(condition, F.lit(False)) for condition in conditions))


def _recommended_items(frame: DataFrame, items: DataFrame) -> Facts:
    """What is recommended against what may be, by item."""
    from pyspark.sql import functions as F

    shown = frame.groupBy("item_id").agg(F.count(F.lit(1)).alias("num_rows"))
    known = items.select("item_id", F.lit(True).alias("is_known")).distinct()
    row = shown.join(known, "item_id", "full").agg(
        F.count_if("is_known").alias("num_items"),
        F.count("num_rows").alias("num_items_shown"),
        F.coalesce(F.sum(F.when(F.col("is_known").isNull(), F.col("num_rows"))), F.lit(0)).alias("unknown_item_rows"),
    )
    return dict(row.collect()[0].asDict())


def _recommended_lists(frame: DataFrame, users: DataFrame, num_items: int, k: int) -> Facts:
    """What people are shown against what is due to them, by person and surface."""
    from pyspark.sql import functions as F

    if "surface" in users.columns:
        due = F.max(F.least("k", "num_candidates").cast("long")).alias("due")
        dues = users.groupBy("user_id", "surface").agg(due)
    else:
        candidates = F.col("num_candidates") if "num_candidates" in users.columns else F.lit(num_items)
        dues = users.groupBy("user_id").agg(F.least(F.lit(k), F.max(candidates)).alias("due"))
        dues = dues.crossJoin(frame.select("surface").distinct())
    pairs = dues.join(_recommendation_lists(frame), ["user_id", "surface"], "full")
    served = F.when(F.col("num_rows").isNotNull(), F.col("user_id"))
    by_popularity = F.count_distinct(F.when(F.col("is_fallback"), F.col("user_id")))
    row = pairs.agg(
        F.max("dt").alias("dt"),
        F.count_distinct("dt").alias("num_days"),
        F.coalesce(F.sum("num_rows"), F.lit(0)).alias("num_rows"),
        *(F.sum(name).alias(name) for name in _contract_measures(RECOMMENDATIONS)),
        F.sum("repeated_ranks").alias("num_duplicate_keys"),
        F.sum("not_finite").alias("scores_not_finite"),
        F.count_distinct(served).alias("num_users"),
        (by_popularity / F.count_distinct(served)).alias("fallback_share"),
        F.count_if(F.col("num_rows").isNull() & (F.col("due") > 0)).alias("users_missing"),
        F.count_if(F.col("due").isNull()).alias("users_not_eligible"),
        F.count_if(F.col("num_rows") != F.col("due")).alias("users_with_wrong_count"),
        F.count_if("rank_gap").alias("users_with_rank_gaps"),
        F.count_if("repeat").alias("users_with_repeats"),
        F.count_if("rising").alias("users_with_rising_scores"),
    )
    facts: dict[str, Any] = row.collect()[0].asDict()
    assert facts.pop("num_days") <= 1, "recommendations are judged a day at a time"
    return facts | {"dt": str(facts["dt"]), "null_rows_dt": 0}


def _recommendation_lists(frame: DataFrame) -> DataFrame:
    """One row per person and surface: the number of rows, and whether ranks, items or scores are amiss."""
    from pyspark.sql import functions as F

    score = F.col("score")
    finite = ~F.isnan(score) & (F.abs(score) < float("inf"))
    lists = frame.groupBy("dt", "user_id", "surface").agg(
        F.count(F.lit(1)).alias("num_rows"),
        F.array_sort(F.collect_list(F.struct("rank", "score", "item_id"))).alias("ranked"),
        F.count_if(~F.coalesce(finite, F.lit(False))).alias("not_finite"),
        F.bool_or((F.col("rank") == 1) & F.col("strategy").isin(*FALLBACKS)).alias("is_fallback"),
        *(measure.alias(name) for name, measure in _contract_measures(RECOMMENDATIONS).items()),
    )
    ranks, scores, items = F.col("ranked.rank"), F.col("ranked.score"), F.col("ranked.item_id")
    following = F.slice(scores, F.lit(2), F.col("num_rows"))
    falls = F.zip_with(F.slice(scores, F.lit(1), F.col("num_rows") - 1), following, lambda a, b: a >= b)
    return lists.select(
        *(name for name in lists.columns if name != "ranked"),
        (F.col("num_rows") - F.size(F.array_distinct(ranks))).alias("repeated_ranks"),
        (ranks != F.sequence(F.lit(1), F.col("num_rows").cast("int"))).alias("rank_gap"),
        (F.size(F.array_distinct(items)) < F.col("num_rows")).alias("repeat"),
        (~F.forall(falls, lambda fall: fall)).alias("rising"),
    )


def _any_outside(name: str, low: int, high: int) -> Column:
    from pyspark.sql import functions as F

    return F.exists(name, lambda code: (code < low) | (code > high))


def _measured(frame: DataFrame, table: Table, measures: Mapping[str, Column], gate: Gate) -> list[Facts]:
    """Facts per day, oldest first, with what every contract asks for: rows, nulls, values, keys."""
    from pyspark.sql import functions as F

    every = {"num_rows": F.count(F.lit(1)), **_contract_measures(table), **measures}
    rows = frame.groupBy("dt").agg(*(measure.alias(name) for name, measure in every.items()))
    by_day = {row["dt"]: row.asDict() for row in rows.collect()}
    without_day = by_day.pop(None, {"num_rows": 0})["num_rows"]
    days: list[Facts] = [{**by_day[day], "dt": day.isoformat(), "null_rows_dt": without_day} for day in sorted(by_day)]
    copies = _duplicate_keys(frame, table, days, gate)
    return [facts | copies[str(facts["dt"])] for facts in days]


def _duplicate_keys(frame: DataFrame, table: Table, days: list[Facts], gate: Gate) -> dict[str, Facts]:
    """Per day, the rows whose key is taken, among the keys that are looked at.

    Uniqueness is the one check that must bring equal rows together. It shuffles eight bytes a row, the
    key's hash, and of a frame with more rows than `key_rows` every n-th hash only: a table that repeats
    itself does so in any such sample.
    """
    from pyspark.sql import functions as F

    key = F.xxhash64(*(name for name in table.key if name != "dt"))
    stride = -(-sum(_whole(facts, "num_rows") for facts in days) // gate.key_rows)
    keys = frame.select("dt", key.alias("key"))
    looked_at = keys if stride <= 1 else keys.where(F.pmod("key", F.lit(stride)) == 0)
    copies = looked_at.groupBy("dt", "key").agg((F.count(F.lit(1)) - 1).alias("copies"))
    found = copies.groupBy("dt").agg(F.sum("copies").alias("num")).collect()
    by_day = {str(row["dt"]): row["num"] for row in found}
    return {str(facts["dt"]): {"num_duplicate_keys": by_day.get(str(facts["dt"]), 0)} for facts in days}


def _compared(
    days: list[Facts], trailing: Trailing, gate: Gate, compare: Callable[[Facts, list[Facts]], Facts]
) -> list[Facts]:
    """Each day beside the days before it; days of the same frame are history to the later ones."""
    history = {str(entry["dt"]): dict(entry) for entry in trailing}
    compared = []
    for facts in days:
        done = compare(facts, earlier_days(facts, history.values(), gate))
        history[str(done["dt"])] = dict(done)
        compared.append(done)
    return compared


def _volume(facts: Facts, earlier: list[Facts]) -> Facts:
    return {"volume_ratio": ratio_to_median(facts, "num_rows", same_kind(facts, earlier))}


def _whole(facts: Facts, name: str) -> int:
    return int(facts.get(name) or 0)
