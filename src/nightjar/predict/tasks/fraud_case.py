"""Whom the shop will find out to deceive it, learned from those whom it did: where it keeps a list of cases."""

from __future__ import annotations

import pyarrow as pa

from nightjar.predict.task import CONFIRMED, Binary, Costs, Floats, Rule, by_levels, numbers, ordered


def _returns_then_coupons(features: pa.Table) -> Floats:
    return by_levels(numbers(features, "returned_value"), numbers(features, "num_coupons"))


FRAUD_CASE = Binary(
    name="fraud_case",
    doc="Is confirmed as a case of fraud in the next `labels.longest_days`, by the list that `predict.cases` names.",
    label=CONFIRMED,
    window_days=lambda labels: labels.longest_days,
    serves=ordered,
    rule=Rule("the most returned first, then the most coupons", _returns_then_coupons),
    metric="average_precision",
    costs=Costs(false_positive=1.0, false_negative=20.0),  # a look at an account against what it takes
)
