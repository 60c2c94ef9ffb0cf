"""Whose open cart becomes an order; one minus it is abandonment."""

from __future__ import annotations

import pyarrow as pa

from nightjar.predict.task import Binary, Costs, Flags, Floats, Rule, by_levels, numbers, recency
from nightjar.settings import Labels


def _with_an_open_cart(features: pa.Table, _: Labels) -> Flags:
    found: Flags = numbers(features, "num_open_cart_items") > 0
    return found


def _filled_lately(features: pa.Table) -> Floats:
    return by_levels(recency(features, "hours_since_last_cart"), numbers(features, "num_open_cart_items"))


CART = Binary(
    name="cart_conversion",
    doc="Buys an item of the open cart in the next `labels.horizon_days`.",
    label="cart_converted",
    judged_where="cart_eligible",
    window_days=lambda labels: labels.horizon_days,
    serves=_with_an_open_cart,
    rule=Rule("latest addition first, then the fullest cart", _filled_lately),
    metric="auroc",
    costs=Costs(false_positive=2.0, false_negative=1.0),  # reminding who buys anyway costs a discount
)
