"""What is known of each person at an instant, in one pass over their events.

Events are shuffled once, by person, and sorted by visit; every column is an aggregate of that
stream, or arithmetic on a few arrays that it collects. Sums of money are decimal and folds run over
sorted arrays, so neither the order of rows nor their partitions can move a digit.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from nightjar.contracts import USER_FEATURES, Kind, Platform
from nightjar.contracts.features import FUNNEL, NIGHT_ENDS_HOUR, PLURALS, TASTE_KINDS, transition, windowed
from nightjar.prep.instants import end_of, is_known, of_people
from nightjar.prep.purchases import MONEY, amount, cart_history, is_kind, open_cart, order, total
from nightjar.settings import Features

_SECOND, _HOUR = 1_000_000, 3_600_000_000  # in microseconds
_LATEST = ("event_ts", "event_id")

Columns = dict[str, Column]


def user_features_from(
    session_events: DataFrame, items: DataFrame, *, as_of: date, time_zone: str, features: Features
) -> DataFrame:
    """One row per person with a known event in the history window, as of the end of `as_of`.

    Args:
        session_events: `user_id` is the person; may hold bots and later events, which are left out here,
            so that the instant is kept in one place.
        items: the items table as of the same day.
        time_zone: the shop's, which cuts days.
    """
    known = of_people(session_events, time_zone).where(is_known(as_of, features.history_days))
    facts = items.select("item_id", "category", "brand", F.nullif("price_bucket", F.lit(0)).alias("price_bucket"))
    steps = with_steps(known.join(facts, "item_id", "left"))
    groups = (_counts(as_of), _ages(), _rhythm(time_zone), _ways(), _money(as_of, features), _tastes())
    aggregates = {name: column for group in groups for name, column in group.items()}
    people = steps.groupBy("user_id").agg(*_named(aggregates))
    sorted_once = people.withColumns(_sorted_arrays())
    derived = _ages_until(as_of, time_zone) | _intervals() | _shares() | _price_levels() | _leanings()
    rows = sorted_once.withColumns(_active_days(as_of) | _visit_means()).withColumns(derived)
    return rows.withColumn("dt", F.lit(as_of)).select(*_as_promised())


def with_steps(events: DataFrame) -> DataFrame:
    """Add what each event is within its visit.

    `opens`: it is the visit's first; `pause`: microseconds since the one before, null for the first;
    `before`: kind of the latest earlier event of the visit that is a step of the funnel.
    """
    by_visit = Window.partitionBy("user_id").orderBy("session_id", "event_ts", "event_id")
    earlier = by_visit.rowsBetween(Window.unboundedPreceding, -1)
    same_visit = F.coalesce(F.lag("session_id").over(by_visit) == F.col("session_id"), F.lit(False))
    step = F.last(F.when(is_kind(*FUNNEL), F.struct("session_id", "kind")), ignorenulls=True).over(earlier)
    pause = F.unix_micros("event_ts") - F.unix_micros(F.lag("event_ts").over(by_visit))
    return events.withColumns(
        {
            "opens": ~same_visit,
            "pause": F.when(same_visit, pause),
            "before": F.when(step["session_id"] == F.col("session_id"), step["kind"]),
        }
    )


# -- aggregates of one person's events; names with an underscore are intermediate


def _counts(as_of: date) -> Columns:
    counted = {"num_events": F.lit(True), "num_sessions": F.col("opens")}
    counted |= {f"num_{PLURALS[kind]}": is_kind(kind) for kind in Kind}
    return {
        name: F.count_if(condition & _within(as_of, days))
        for stem, condition in counted.items()
        for name, days in windowed(stem).items()
    }


def _ages() -> Columns:
    latest = {"event": F.lit(True), "session": F.col("opens")}
    latest |= {kind.value: is_kind(kind) for kind in (Kind.VIEW, Kind.CART, Kind.PURCHASE)}
    return {f"_last_{what}": F.max(F.when(condition, F.col("event_ts"))) for what, condition in latest.items()}


def _rhythm(time_zone: str) -> Columns:
    is_weekend = F.dayofweek("day").isin(1, 7)  # 1 is Sunday
    is_night = F.hour(F.from_utc_timestamp("event_ts", time_zone)) < NIGHT_ENDS_HOUR
    return {
        "_days": F.collect_set("day"),
        "_pauses": F.collect_list("pause"),
        "_last_pause": F.max_by("pause", F.when(F.col("pause").isNotNull(), F.struct(*_LATEST))),
        "_begins": F.collect_list(F.when(F.col("opens"), F.unix_micros("event_ts"))),
        "_num_weekend": F.count_if(is_weekend),
        "_num_night": F.count_if(is_night),
    }


def _ways() -> Columns:
    ways = {
        transition(before, after): F.count_if((F.col("before") == before.value) & is_kind(after))
        for before in FUNNEL
        for after in FUNNEL
    }
    ways |= {
        f"_entries_{platform}": F.count_if(F.col("opens") & (F.col("platform") == platform.value))
        for platform in Platform
    }
    return ways | {
        "_sessions_cart": _num_distinct(F.when(is_kind(Kind.CART), F.col("session_id"))),
        "_sessions_purchase": _num_distinct(F.when(is_kind(Kind.PURCHASE), F.col("session_id"))),
        "last_platform": F.max_by("platform", F.struct(*_LATEST)),
        "num_platforms": _num_distinct(F.col("platform")),
        "num_devices": _num_distinct(F.col("device_id")),
        "num_queries": _num_distinct(F.col("query")),
        "num_campaigns": _num_distinct(F.col("campaign")),
    }


def _money(as_of: date, features: Features) -> Columns:
    money: Columns = {}
    for stem, kind in (("viewed", Kind.VIEW), ("bought", Kind.PURCHASE)):
        price = F.when(is_kind(kind), F.col("price"))
        bucket = F.when(is_kind(kind), F.col("price_bucket"))
        money |= {
            f"_{stem}_total": F.sum(price.cast(MONEY)).cast("double"),
            f"_{stem}_num": F.count(price),
            f"{stem}_price_min": F.min(price),
            f"{stem}_price_max": F.max(price),
            f"{stem}_price_bucket_mean": F.try_divide(F.sum(bucket), F.count(bucket)),
        }
    bought = is_kind(Kind.PURCHASE)
    spend = {name: total(F.when(bought & _within(as_of, days), amount())) for name, days in windowed("spend").items()}
    return (
        money
        | spend
        | {
            "num_orders": _num_distinct(F.when(bought, order())),
            "returned_value": total(F.when(is_kind(Kind.RETURN), amount())),
            "_cart": cart_history(as_of, features.open_cart_days),
        }
    )


def _tastes() -> Columns:
    of_taste = is_kind(*TASTE_KINDS)
    return {
        "num_items": _num_distinct(F.col("item_id")),
        "num_items_bought": _num_distinct(F.when(is_kind(Kind.PURCHASE), F.col("item_id"))),
        "_categories": F.collect_list(F.when(of_taste, F.col("category"))),
        "_brands": F.collect_list(F.when(of_taste, F.col("brand"))),
    }


def _within(as_of: date, days: int | None) -> Column:
    return F.lit(True) if days is None else F.col("day") > F.lit(as_of - timedelta(days=days))


def _num_distinct(values: Column) -> Column:
    # Sets instead of COUNT(DISTINCT): several of those would multiply the rows, once per column.
    return F.size(F.collect_set(values))


# -- arithmetic on one person's aggregates


def _sorted_arrays() -> Columns:
    begins = F.sort_array("_begins")
    num_pauses = F.size("_begins") - 1
    return {
        "_pauses": F.sort_array("_pauses"),
        "_gaps": F.zip_with(
            F.slice(begins, F.lit(1), num_pauses), F.slice(begins, F.lit(2), num_pauses), lambda one, next_: next_ - one
        ),
        "_open": open_cart(F.col("_cart")),
        "_categories": _tally(F.col("_categories")),
        "_brands": _tally(F.col("_brands")),
    }


def _ages_until(as_of: date, time_zone: str) -> Columns:
    instant = F.unix_micros(end_of(as_of, time_zone))
    whats = ("event", "session", "view", "cart", "purchase")
    ages = {f"hours_since_last_{what}": (instant - F.unix_micros(f"_last_{what}")) / F.lit(_HOUR) for what in whats}
    return ages | {"tenure_days": F.datediff(F.lit(as_of), F.array_min("_days"))}


def _active_days(as_of: date) -> Columns:
    def since(days: int | None) -> Callable[[Column], Column]:
        return lambda day: F.lit(True) if days is None else day > F.lit(as_of - timedelta(days=days))

    return {name: F.size(F.filter("_days", since(days))) for name, days in windowed("num_active_days").items()}


def _visit_means() -> Columns:
    return {
        "session_seconds_mean": _sum("_pauses") / F.col("num_sessions") / F.lit(_SECOND),
        "session_events_mean": F.col("num_events") / F.col("num_sessions"),
    }


def _intervals() -> Columns:
    gaps_in_order, last_gap = F.col("_gaps"), F.try_element_at("_gaps", F.lit(-1))
    return _statistics("event_gap_seconds", F.col("_pauses"), F.col("_last_pause"), _SECOND) | _statistics(
        "session_gap_hours", F.sort_array(gaps_in_order), last_gap, _HOUR
    )


def _statistics(stem: str, ascending: Column, last: Column, unit: int) -> Columns:
    """Mean, median, deviation and latest of intervals in microseconds, in `unit` microseconds."""
    num = F.size(ascending)
    mean = F.try_divide(F.aggregate(ascending, F.lit(0).cast("long"), lambda total, gap: total + gap), num)
    squares = F.aggregate(
        ascending, F.lit(0.0), lambda total, gap: total + (gap.cast("double") - mean) * (gap.cast("double") - mean)
    )
    # Of an even number the mean of the two in the middle, which are one and the same of an odd number.
    below, above = (F.get(ascending, F.floor(place / 2).cast("int")) for place in (num - 1, num))
    scaled = {
        "mean": mean,
        "median": (below + above) / 2,
        "std": F.when(num > 0, F.sqrt(F.try_divide(squares, num))),
        "last": last,
    }
    return {f"{stem}_{name}": value / F.lit(unit) for name, value in scaled.items()}


def _shares() -> Columns:
    shares = {
        f"share_sessions_with_{what}": _part(f"_sessions_{what}", "num_sessions") for what in ("cart", "purchase")
    }
    shares |= {f"share_entries_{platform}": _part(f"_entries_{platform}", "num_sessions") for platform in Platform}
    return shares | {
        "weekend_share": _part("_num_weekend", "num_events"),
        "night_share": _part("_num_night", "num_events"),
        # A click whose impression was not logged must not make more than all of them.
        "click_share": F.when(
            F.col("num_impressions") > 0, F.least(F.lit(1.0), _part("num_clicks", "num_impressions"))
        ),
    }


def _price_levels() -> Columns:
    return {
        "viewed_price_mean": _part("_viewed_total", "_viewed_num"),
        "bought_price_mean": _part("_bought_total", "_bought_num"),
        "order_value_mean": _part("spend", "num_orders"),
        "num_open_cart_items": F.size("_open"),
        "open_cart_value": F.aggregate(
            "_open",
            F.lit(0).cast("decimal(38,6)"),
            lambda total, entry: (total + F.coalesce(entry["amount"], F.lit(0))).cast("decimal(38,6)"),
        ).cast("double"),
    }


def _leanings() -> Columns:
    leanings: Columns = {}
    for noun, plural in (("category", "categories"), ("brand", "brands")):
        tally = F.col(f"_{plural}")
        num = F.aggregate(tally, F.lit(0), lambda total, entry: total - entry["minus"])
        top = F.try_element_at(tally, F.lit(1))
        leanings |= {
            f"num_{plural}": F.size(tally),
            f"top_{noun}": top["name"],
            f"top_{noun}_share": F.try_divide(-top["minus"], num),
            f"{noun}_entropy": F.when(F.size(tally) > 0, _entropy(tally, num)),
        }
    return leanings


def _tally(names: Column) -> Column:
    """Distinct names with minus their count, the most frequent first, ties by name."""
    return F.sort_array(
        F.transform(
            F.array_distinct(names),
            lambda name: F.struct(
                (-F.size(F.filter(names, lambda other: other == name))).alias("minus"), name.alias("name")
            ),
        )
    )


def _entropy(tally: Column, num: Column) -> Column:
    def add(total: Column, entry: Column) -> Column:
        share = -entry["minus"] / num
        return total - share * F.ln(share)

    return F.aggregate(tally, F.lit(0.0), add)


def _sum(name: str) -> Column:
    return F.aggregate(name, F.lit(0).cast("long"), lambda total, value: total + value)


def _part(name: str, whole: str) -> Column:
    return F.try_divide(F.col(name), F.col(whole)).cast("double")


def _named(columns: Columns) -> list[Column]:
    return [column.alias(name) for name, column in columns.items()]


def _as_promised() -> list[Column]:
    """The contract's columns; Spark counts in longs, the contract in ints."""
    return [
        F.col(c.name).cast("int").alias(c.name) if c.type == "int" else F.col(c.name) for c in USER_FEATURES.columns
    ]
