"""Whom a coupon moves to buy, learned from campaigns that drew whom to offer one: see `predict.trial_treated`."""

from __future__ import annotations

from nightjar.predict.task import Uplift, everybody

UPLIFT = Uplift(
    name="coupon_uplift",
    doc="How much more likely a person is to buy within `labels.horizon_days` of being offered a coupon.",
    serves=everybody,
)
