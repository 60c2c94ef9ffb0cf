"""Who buys with a coupon that they claimed. What the coupon caused is another question: `nightjar.predict.uplift`."""

from __future__ import annotations

import pyarrow as pa

from nightjar.predict.task import Binary, Costs, Floats, Rule, by_levels, everybody, numbers


def _claimed_before(features: pa.Table) -> Floats:
    return by_levels(numbers(features, "num_coupons"), numbers(features, "num_orders"))


COUPON = Binary(
    name="coupon_use",
    doc="Buys by a coupon that was claimed, in the next `labels.horizon_days`.",
    label="coupon_used_next",
    window_days=lambda labels: labels.horizon_days,
    serves=everybody,
    rule=Rule("most coupons claimed so far, then the most orders", _claimed_before),
    metric="average_precision",
    costs=Costs(false_positive=1.0, false_negative=2.0),
)
