"""Who buys within `labels.horizon_days`."""

from __future__ import annotations

import pyarrow as pa

from nightjar.predict.task import Binary, Costs, Floats, Rule, by_levels, everybody, numbers, recency


def _bought_lately_and_often(features: pa.Table) -> Floats:
    return by_levels(recency(features, "hours_since_last_purchase"), numbers(features, "num_orders"))


PURCHASE = Binary(
    name="purchase",
    doc="Buys something in the next `labels.horizon_days`.",
    label="purchased_next",
    window_days=lambda labels: labels.horizon_days,
    serves=everybody,
    rule=Rule("latest purchase first, then the most orders", _bought_lately_and_often),
    metric="auroc",
    costs=Costs(false_positive=1.0, false_negative=3.0),
)
