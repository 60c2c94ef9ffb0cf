"""Money, orders and open carts: one definition for features and labels."""

from __future__ import annotations

from datetime import date, timedelta

from pyspark.sql import Column
from pyspark.sql import functions as F

from nightjar.contracts import Kind

#: Sums of doubles depend on the order of adding; sums of these do not.
MONEY = "decimal(28,6)"

_IN_CART = (Kind.CART, Kind.UNCART, Kind.PURCHASE)


def is_kind(*kinds: Kind) -> Column:
    return F.col("kind").isin(*[kind.value for kind in kinds])


def amount() -> Column:
    """Price x quantity, exact to millionths; null without a price. One piece where the quantity is unknown."""
    return (F.col("price") * F.coalesce("quantity", F.lit(1))).cast(MONEY)


def order() -> Column:
    """What makes purchases one order: its number, else the visit."""
    return F.coalesce("order_id", "session_id")


def total(money: Column) -> Column:
    """A sum of money, 0 of nothing."""
    return F.coalesce(F.sum(money).cast("double"), F.lit(0.0))


def cart_history(as_of: date, open_days: int) -> Column:
    """Aggregate: what happened to a person's cart in the last `open_days`, for `open_cart`; needs `day`."""
    concerns = is_kind(*_IN_CART) & F.col("item_id").isNotNull()
    recent = (F.col("day") <= F.lit(as_of)) & (F.col("day") > F.lit(as_of - timedelta(days=open_days)))
    return F.collect_list(
        F.when(concerns & recent, F.struct("item_id", "event_ts", "event_id", "kind", amount().alias("amount")))
    )


def open_cart(history: Column) -> Column:
    """Entries of items whose latest event is an addition to the cart, in order of item_id.

    Args:
        history: a column of `cart_history`.
    """
    by_item = F.sort_array(history)

    def stays(entry: Column, place: Column) -> Column:
        is_latest = F.coalesce(F.get(by_item, place + 1)["item_id"] != entry["item_id"], F.lit(True))
        return (entry["kind"] == Kind.CART.value) & is_latest

    return F.filter(by_item, stays)
