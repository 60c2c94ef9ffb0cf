"""What became of those whom a night's decisions acted on, beside those whom a draw kept aside.

Legend: B people of one decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.contracts import REALISED_DECISIONS
from nightjar.contracts.published import ACT, CONTROL
from nightjar.contracts.render import arrow_schema
from nightjar.monitor.realised import Interval, difference_interval

Floats = NDArray[np.float64]

#: What is added up of the rows of an arm, over nights too.
_SUMS = (
    *("num_people", "num_answered", "num_positives"),
    *("revenue", "revenue_squares", "expected_value", "cost", "margin_revenue", "margin_revenue_squares"),
)


def realised_decisions(
    decided: pa.Table,
    labels: pa.Table,
    outcomes: Mapping[str, str | None],
    *,
    day: date,
    window_days: int,
    margin: float,
) -> pa.Table:
    """Rows of `realised_decisions`.

    Args:
        decided: the night's `decisions`.
        labels: `labels` of the same instant, whose horizon is over.
        outcomes: decision -> the column of labels that it is meant to move; decisions that are missing are left out.
        window_days: the horizon of purchases.
        margin: share of a price that is left to the shop.
    """
    found: list[dict[str, Any]] = []
    for decision in sorted(set(pc.unique(decided.column("decision")).to_pylist()) & outcomes.keys()):
        mine = decided.filter(pc.equal(decided.column("decision"), decision)).combine_chunks()
        outcome = outcomes[decision]
        fixed = {"dt": day, "decision": decision, "score_name": mine["score_name"][0].as_py(), "outcome": outcome}
        fixed |= {"window_days": window_days, "margin": margin}
        rows = [fixed | {"arm": arm} | row for arm in (ACT, CONTROL) if (row := _arm(mine, arm, labels, outcome))]
        found += [row | (_differences(rows) if row["arm"] == ACT else {}) for row in rows]
    table = pa.Table.from_pylist(found, arrow_schema(REALISED_DECISIONS))
    return table.sort_by([(name, "ascending") for name in REALISED_DECISIONS.order])


def _arm(decided: pa.Table, arm: str, labels: pa.Table, outcome: str | None) -> dict[str, Any]:
    """Sums over the people of one arm of whom the labels tell; nothing where the arm is empty."""
    rows = decided.filter(pc.equal(decided.column("arm"), arm))
    if not rows.num_rows:
        return {}
    places = pc.index_in(rows.column("user_id"), labels.column("user_id").combine_chunks())
    rows, met = rows.filter(pc.is_valid(places)), labels.take(pc.drop_null(places))
    revenue_B = _numbers(met, "revenue_next")
    came_true = _numbers(met, outcome) if outcome else np.full(met.num_rows, np.nan)
    answered_B = ~np.isnan(came_true)
    return {
        "num_people": met.num_rows,
        "num_answered": int(answered_B.sum()),
        "num_positives": int(came_true[answered_B].sum()),
        "revenue": float(revenue_B.sum()),
        "revenue_squares": float((revenue_B**2).sum()),
        "expected_value": float(rows.column("expected_value").to_numpy().sum()),
        "cost": float(rows.column("cost").to_numpy().sum()),
    }


def _numbers(labels: pa.Table, name: str) -> Floats:
    column = labels.column(name)
    found: Floats = (
        (column.cast(pa.int8()) if pa.types.is_boolean(column.type) else column).cast(pa.float64()).to_numpy()
    )
    return found


@dataclass(frozen=True)
class Arms:
    """One decision over one night or several: sums of both arms, and what they say."""

    num_people: int  #: acted on
    num_control: int
    expected_value: float  #: a person acted on
    outcome: Interval | None  #: difference of shares; None where an arm has fewer than two
    revenue: Interval | None  #: difference a person
    value: Interval | None  #: margin on it, less the mean cost


def compared(rows: Iterable[Mapping[str, Any]]) -> Arms | None:
    """The arms of one decision; None where nobody was acted on.

    Args:
        rows: of `realised_decisions`, of one decision; several nights may stand together.
    """
    sums = {arm: dict.fromkeys(_SUMS, 0.0) for arm in (ACT, CONTROL)}
    for row in rows:
        told = {
            **row,
            "margin_revenue": row["margin"] * row["revenue"],
            "margin_revenue_squares": row["margin"] ** 2 * row["revenue_squares"],
        }
        for name in _SUMS:
            sums[row["arm"]][name] += told[name]
    act, control = sums[ACT], sums[CONTROL]
    if not act["num_people"]:
        return None
    cost = act["cost"] / act["num_people"]

    def difference(total: str, squares: str, number: str) -> Interval | None:
        ours, theirs = ((arm[total], arm[squares], int(arm[number])) for arm in (act, control))
        return difference_interval(ours, theirs)

    worth = difference("margin_revenue", "margin_revenue_squares", "num_people")
    return Arms(
        int(act["num_people"]),
        int(control["num_people"]),
        act["expected_value"] / act["num_people"],
        difference("num_positives", "num_positives", "num_answered"),
        difference("revenue", "revenue_squares", "num_people"),
        worth and Interval(worth.mean - cost, worth.low - cost, worth.high - cost),
    )


def _differences(rows: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The columns that compare the arms."""
    arms = compared(rows)
    if arms is None:
        return {}
    named = {
        "outcome_difference": arms.outcome,
        "revenue_difference": arms.revenue,
        "realised_value": arms.value,
    }
    return {
        f"{name}{bound}": value
        for name, one in named.items()
        if one is not None
        for bound, value in (("", one.mean), ("_low", one.low), ("_high", one.high))
    }
