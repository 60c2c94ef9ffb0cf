"""What became of each person strictly after an instant: what models learn to foretell."""

from __future__ import annotations

from datetime import date, timedelta

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightjar.contracts import LABELS, Kind
from nightjar.contracts.features import PASSIVE_KINDS
from nightjar.prep.instants import is_known, of_people
from nightjar.prep.purchases import amount, cart_history, is_kind, open_cart, order, total
from nightjar.settings import Features, Labels


def labels_from(
    session_events: DataFrame,
    items: DataFrame,
    *,
    as_of: date,
    observed_until: date,
    time_zone: str,
    features: Features,
    labels: Labels,
) -> DataFrame:
    """One row per person with features as of the end of `as_of`; a label whose horizon is not over is null.

    What lies before the instant decides who has a row, who is eligible, which items an open cart holds
    and which coupons were claimed; everything else is read off the days after it.

    Args:
        session_events: `user_id` is the person as known at the instant; may hold bots.
        items: the items table as of the last day observed: what was bought may be new.
        observed_until: the last shop's day that the log holds whole.
        features: for whom there are features, and when a cart is open.
    """
    events = of_people(session_events, time_zone).withColumns(
        {
            "known": is_known(as_of, features.history_days),
            "later": _ahead(as_of, labels.longest_days),
            "ahead": _ahead(as_of, labels.horizon_days),
        }
    )
    people = with_visitors(events.where(F.col("known") | F.col("later"))).groupBy("user_id")
    outcomes = people.agg(
        *_eligibility(as_of, features, labels), *_activity(as_of, labels), *_purchases(), *_responses()
    ).where("_has_features")
    categories = items.select(F.col("item_id").alias("_next_item"), F.col("category").alias("next_category"))
    rows = outcomes.withColumn("_open", open_cart(F.col("_cart"))).join(categories, "_next_item", "left")

    def is_over(days: int) -> Column:
        return F.lit(as_of + timedelta(days=days) <= observed_until)

    columns = {
        "dt": F.lit(as_of),
        "observed_until": F.lit(min(observed_until, as_of + timedelta(days=labels.longest_days))),
        "churned": F.when(is_over(labels.churn_days) & F.col("churn_eligible"), ~F.col("_active_later")),
        "cart_eligible": F.size("_open") > 0,
    }
    columns |= {name: F.when(is_over(labels.horizon_days), value) for name, value in _outcomes().items()}
    return rows.withColumns(columns).select(*LABELS.names)


def with_visitors(events: DataFrame) -> DataFrame:
    """Later events once for their person, and once for the visitor whose device it was.

    A visitor who was nobody's at the instant may log in later, and mostly does so to buy: without
    this, nobody anonymous ever would. Whoever already had a person has no row as a visitor.
    """
    whose = F.when(F.col("later"), F.array_distinct(F.array("user_id", "visitor_id"))).otherwise(F.array("user_id"))
    return events.withColumn("user_id", F.explode(whose))


def _ahead(as_of: date, days: int) -> Column:
    return (F.col("day") > F.lit(as_of)) & (F.col("day") <= F.lit(as_of + timedelta(days=days)))


# -- aggregates of one person's events; names with an underscore are intermediate


def _eligibility(as_of: date, features: Features, labels: Labels) -> list[Column]:
    recent = F.col("known") & (F.col("day") > F.lit(as_of - timedelta(days=labels.churn_days)))
    return [
        F.bool_or("known").alias("_has_features"),
        F.bool_or(recent & ~is_kind(*PASSIVE_KINDS)).alias("churn_eligible"),
        cart_history(as_of, features.open_cart_days).alias("_cart"),
    ]


def _activity(as_of: date, labels: Labels) -> list[Column]:
    active = _ahead(as_of, labels.churn_days) & ~is_kind(*PASSIVE_KINDS)
    return [F.bool_or(active).alias("_active_later")]


def _purchases() -> list[Column]:
    bought = F.col("ahead") & is_kind(Kind.PURCHASE)
    return [
        F.count_if(bought).cast("int").alias("_num_purchases"),
        F.size(F.collect_set(F.when(bought, order()))).alias("_num_orders"),
        total(F.when(bought, amount())).alias("_revenue"),
        F.collect_set(F.when(bought, F.col("item_id"))).alias("_bought"),
        F.min_by("item_id", F.when(bought, F.struct("event_ts", "event_id"))).alias("_next_item"),
    ]


def _responses() -> list[Column]:
    ahead, campaign = F.col("ahead"), F.struct("campaign", "event_ts")
    named = F.col("campaign").isNotNull()
    flags = {"carted": Kind.CART, "shown": Kind.IMPRESSION, "clicked": Kind.CLICK, "claimed": Kind.COUPON}
    claims = F.collect_list(F.when((F.col("known") | ahead) & named & is_kind(Kind.COUPON), campaign))
    uses = F.collect_list(F.when(ahead & named & is_kind(Kind.PURCHASE), campaign))
    return [
        *(F.bool_or(ahead & is_kind(kind)).alias(f"_{name}") for name, kind in flags.items()),
        claims.alias("_claims"),
        uses.alias("_uses"),
    ]


def _outcomes() -> dict[str, Column]:
    """The labels of the horizon, once it is over."""
    return {
        "purchased_next": F.col("_num_purchases") > 0,
        "num_purchases_next": F.col("_num_purchases"),
        "num_orders_next": F.col("_num_orders"),
        "revenue_next": F.col("_revenue"),
        "next_category": F.col("next_category"),
        "carted_next": F.col("_carted"),
        "cart_converted": F.when(F.size("_open") > 0, F.arrays_overlap("_open.item_id", "_bought")),
        "shown_next": F.col("_shown"),
        "clicked_next": F.col("_clicked"),
        "coupon_claimed_next": F.col("_claimed"),
        "coupon_used_next": _is_used(),
    }


def _is_used() -> Column:
    def had_claimed(use: Column) -> Column:
        return F.exists(
            "_claims", lambda claim: (claim["campaign"] == use["campaign"]) & (claim["event_ts"] <= use["event_ts"])
        )

    return F.exists("_uses", had_claimed)
