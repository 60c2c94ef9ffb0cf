"""Who leaves: nothing but being shown things for `labels.churn_days`."""

from __future__ import annotations

import pyarrow as pa

from nightjar.predict.task import Binary, Costs, Flags, Floats, Rule, by_levels, numbers, recency
from nightjar.settings import Labels


def _still_here(features: pa.Table, labels: Labels) -> Flags:
    found: Flags = numbers(features, "hours_since_last_event") <= 24 * labels.churn_days
    return found


def _silent_and_rare(features: pa.Table) -> Floats:
    return by_levels(-recency(features, "hours_since_last_event"), -numbers(features, "num_sessions_28d"))


CHURN = Binary(
    name="churn",
    doc="Does nothing in the next `labels.churn_days`.",
    label="churned",
    judged_where="churn_eligible",
    window_days=lambda labels: labels.churn_days,
    serves=_still_here,
    rule=Rule("longest silent first, then the fewest visits of four weeks", _silent_and_rare),
    metric="auroc",
    costs=Costs(false_positive=1.0, false_negative=5.0),  # a mail too many against a customer gone
)
