"""Whose orders a person should look at: accounts that share devices, return what they buy, live on coupons.

Shops rarely keep labels of fraud, so nothing is learned from any: see `nightjar.predict.anomaly`. Addresses would say
more, and never enter the lake: they name people.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from nightjar.predict.task import ACCOUNTS, SURPRISE, Anomaly, Floats, Rule, Signal, by_levels, numbers, ordered

#: Purchases or orders that are added to everybody's: one return of one purchase says little.
_SOME = 5


def _accounts_then_returns(features: pa.Table) -> Floats:
    return by_levels(numbers(features, ACCOUNTS), numbers(features, "returned_value"))


def _per(part: str, whole: str, more: int = 0) -> Signal:
    def quotient(features: pa.Table) -> Floats:
        wholes_B = numbers(features, whole) + more
        shares_B = np.full(len(wholes_B), np.nan)
        np.divide(numbers(features, part), wholes_B, out=shares_B, where=wholes_B > 0)
        return shares_B

    return Signal(f"{part} / {f'({whole} + {more})' if more else whole}", quotient)


FRAUD = Anomaly(
    name="fraud",
    doc="Orders unlike those of other people, in the ways of fraud.",
    signals={
        ACCOUNTS: Signal("logins seen on one of their devices, the most", lambda rows: numbers(rows, ACCOUNTS)),
        "returned_value": Signal("returned_value", lambda rows: numbers(rows, "returned_value")),
        "returns_per_purchase": _per("num_returns", "num_purchases", _SOME),
        "coupons_per_order": _per("num_coupons", "num_orders", _SOME),
        "purchases_per_item": _per("num_purchases", "num_items_bought"),
        "events_per_item": _per("num_events", "num_items"),
        SURPRISE: Signal("mean surprise at each entry of the history", lambda rows: numbers(rows, SURPRISE)),
        # Who goes round in the same few items surprises less than anybody: the simulated ring does.
        "monotony": Signal("minus that", lambda rows: -numbers(rows, SURPRISE)),
    },
    serves=ordered,
    rule=Rule("most accounts on one device first, then the most returned", _accounts_then_returns),
    flagged_share=0.01,
)
