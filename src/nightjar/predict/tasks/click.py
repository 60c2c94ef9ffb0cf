"""Who clicks on what the shop shows, of those who are shown anything."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from nightjar.predict.task import Binary, Costs, Floats, Rule, by_levels, everybody, numbers


def _clicked_before(features: pa.Table) -> Floats:
    shares_B = np.nan_to_num(numbers(features, "click_share"), nan=0.0)
    return by_levels(shares_B, numbers(features, "num_sessions_28d"))


CLICK = Binary(
    name="click",
    doc="Clicks a banner or an ad in the next `labels.horizon_days`, if shown one.",
    label="clicked_next",
    judged_where="shown_next",
    window_days=lambda labels: labels.horizon_days,
    serves=everybody,
    rule=Rule("largest share of clicks per impression so far, then the most visits of four weeks", _clicked_before),
    metric="auroc",
    costs=Costs(false_positive=1.0, false_negative=4.0),
)
