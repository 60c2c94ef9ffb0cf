"""Whom to act on tonight: offers under a budget, lists under a cap, each with a control group kept aside.

A score says what a person will do; a decision says what to do about it, and what that is worth. Each decision here is a
value: which score it reads, who comes into question, and what acting on them is expected to bring. People are ranked by
that per unit of cost, and taken as long as budget and cap allow.

The control group is drawn before anybody is ranked, by a hash of person and decision, so that it is the same people
every night and no choice leans on it. Control people who rank as high as those who are acted on stand in the table as
`control`: the difference between the arms is what acting did.

Legend: B people with the decision's score.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from math import ceil, floor
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.contracts import DECISIONS, BadInput
from nightjar.contracts.published import ACT, CONTROL
from nightjar.contracts.render import arrow_schema
from nightjar.learn.draws import lots
from nightjar.predict.task import numbers
from nightjar.settings import Decisions

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Whole = NDArray[np.int64]

#: What the scores are called. The last but one is there only where a trial tells what coupons change.
CHURN, PURCHASE, CART = "churn", "purchase", "cart_conversion"
UPLIFT, FRAUD, FRAUD_CASE = "coupon_uplift", "fraud", "fraud_case"

#: Money is counted in hundredths, because sums of fractions of them round.
_HUNDREDTHS = 100


class Scored(NamedTuple):
    """Everybody with one score, row for row beside their features."""

    score_name: str
    told: pa.Table  #: rows of `foretold`
    features: pa.Table  #: rows of `user_features`
    order_value: float  #: mean of the shop, for those who have never bought

    @property
    def probability_B(self) -> Floats:
        found: Floats = self.told.column("probability").to_numpy()
        return found

    @property
    def flagged_B(self) -> Flags:
        found: Flags = self.told.column("flagged").to_numpy()
        return found

    @property
    def order_value_B(self) -> Floats:
        """What one order of theirs is worth, in the shop's currency."""
        own_B = numbers(self.features, "order_value_mean")
        return np.where(np.isnan(own_B), self.order_value, own_B)


class Judged(NamedTuple):
    """Of each person whether acting comes into question, what it is expected to bring, and what it costs."""

    asked_B: Flags
    value_B: Floats
    cost_B: Floats


@dataclass(frozen=True)
class Decision:
    """A value, like a task: `decide` knows none by name."""

    name: str
    scores: tuple[str, ...]  #: of `foretold`; the first that is there decides
    judge: Callable[[Scored, Decisions], Judged]
    offer: Callable[[Decisions], str]
    most: Callable[[Decisions], int]  #: people to act on, at most
    outcome: str | None  #: column of `labels` that acting is meant to move
    budget: Callable[[Decisions], float] | None = None  #: what all offers together may cost; None: they cost nothing
    keeps_aside: bool = True  #: a control group; a suspicion of fraud is looked at, whoever it is


class Outcome(NamedTuple):
    """What became of a decision; `unmet` says why nobody is acted on, and is empty where somebody is."""

    score_name: str
    acted: int
    control: int
    left_out: int  #: came into question, beyond budget or cap
    cost: float
    unmet: str


def decide(
    told: pa.Table, features: pa.Table, conf: Decisions, *, shop: str, day: date
) -> tuple[pa.Table, dict[str, Outcome]]:
    """Rows of `decisions`, and what became of each decision that is wanted, by name.

    Args:
        told: the night's `foretold`.
        features: the night's `user_features`.

    Raises:
        BadInput: a decision is wanted that there is not, or somebody has a score and no features.
    """
    schema, rows, outcomes = arrow_schema(DECISIONS), [], dict[str, Outcome]()
    for decision in named(conf.wanted):
        there = set(pc.unique(told.column("score_name")).to_pylist())
        score_name = next((name for name in decision.scores if name in there), None)
        if score_name is None:
            names = " or ".join(decision.scores)
            outcomes[decision.name] = Outcome("", 0, 0, 0, 0.0, f"nothing foretells {names} tonight")
            continue
        people = _scored(told, features, score_name)
        chosen, outcomes[decision.name] = _decided(decision, people, conf)
        rows.append(_rows(decision, people, chosen, conf, shop, day).cast(schema))
    return pa.concat_tables([schema.empty_table(), *rows]), outcomes


def _scored(told: pa.Table, features: pa.Table, score_name: str) -> Scored:
    mine = told.filter(pc.equal(told.column("score_name"), score_name)).combine_chunks()
    places = pc.index_in(mine.column("user_id"), features.column("user_id").combine_chunks())
    if places.null_count:
        raise BadInput(
            f"{places.null_count} people have a score {score_name} and no features of the same night",
            "run features and score_people of the night again",
        )
    known_B = numbers(features, "order_value_mean")
    known_B = known_B[~np.isnan(known_B)]
    return Scored(score_name, mine, features.take(places), float(known_B.mean()) if len(known_B) else 0.0)


class _Chosen(NamedTuple):
    """Places among the people, best first, and per place the arm, the value and the price in hundredths."""

    people: NDArray[np.intp]
    acts: Flags
    value: Floats
    price: Whole


def _decided(decision: Decision, people: Scored, conf: Decisions) -> tuple[_Chosen, Outcome]:
    judged = decision.judge(people, conf)
    user_ids = people.told.column("user_id")
    salt = f"{conf.control_salt}\0{decision.name}"
    aside_B = lots(user_ids, salt) < (conf.control_share if decision.keeps_aside else 0.0)
    order = best_first(judged, lots(user_ids, f"{salt}\0ties"))
    price, aside = hundredths(judged.cost_B[order]), aside_B[order]
    budget = decision.budget(conf) if decision.budget else None
    acts = affordable(price, ~aside, decision.most(conf), budget)
    refused = int((~aside & ~acts).sum())
    # Where not everybody is taken, the control group ends where those end who are: the arms must be alike.
    last = np.flatnonzero(acts)[-1] if acts.any() else -1
    kept = np.flatnonzero(acts | (aside & (np.arange(len(order)) < (last if refused else len(order)))))
    kept = kept if acts.any() else kept[:0]
    chosen = _Chosen(order[kept], acts[kept], judged.value_B[order][kept], np.where(acts, price, 0)[kept])
    unmet = "" if acts.any() else _why(len(order), int(aside.sum()), price, budget)
    counts = (int(chosen.acts.sum()), int((~chosen.acts).sum()), refused)
    return chosen, Outcome(people.score_name, *counts, int(chosen.price.sum()) / _HUNDREDTHS, unmet)


def _why(num_asked: int, num_aside: int, price: Whole, budget: float | None) -> str:
    if num_asked == 0:
        return "nobody comes into question"
    if num_asked == num_aside:
        return "everybody who comes into question is in the control group"
    return f"the budget of {budget:g} pays no single offer, the cheapest costs {price.min() / _HUNDREDTHS:g}"


def best_first(judged: Judged, ties_B: Floats) -> NDArray[np.intp]:
    """Places of those who come into question, by value per cost, then by value, ties by lot.

    What costs nothing is worth more per cost than anything that does.
    """
    density_B = np.divide(
        judged.value_B, judged.cost_B, out=np.full(len(judged.cost_B), np.inf), where=judged.cost_B > 0
    )
    asked = np.flatnonzero(judged.asked_B)
    found: NDArray[np.intp] = asked[np.lexsort((ties_B[asked], -judged.value_B[asked], -density_B[asked]))]
    return found


def affordable(price: Whole, may: Flags, most: int, budget: float | None) -> Flags:
    """Who is taken, best first: whoever still fits the budget, until `most` are.

    The greedy answer to the knapsack of Dantzig, "Discrete-Variable Extremum Problems", 1957,
    https://doi.org/10.1287/opre.5.2.266: the best there is where all prices are equal.

    Args:
        price: in hundredths.
        budget: of all together, in whole units of money; None for no bound.

    >>> affordable(np.array([200, 300, 100]), np.array([True, True, True]), 9, 3.0).tolist()
    [True, False, True]
    """
    taken = np.zeros(len(price), np.bool_)
    left = _exactly(budget, floor) if budget is not None else int(price.sum())
    num_left = most
    for place in np.flatnonzero(may):
        if num_left == 0:
            break
        if price[place] <= left:
            taken[place], num_left, left = True, num_left - 1, left - int(price[place])
    return taken


def hundredths(cost: Floats) -> Whole:
    """Rounded up, as a budget is rounded down: no sum of prices exceeds it.

    >>> hundredths(np.array([0.29, 0.291])).tolist()
    [29, 30]
    """
    amounts, places = np.unique(cost, return_inverse=True)
    found: Whole = np.array([_exactly(float(one), ceil) for one in amounts], np.int64)[places.reshape(-1)]
    return found


def _exactly(amount: float, towards: Callable[[Fraction], int]) -> int:
    """As it is written: 0.29 are 29 hundredths, though the nearest double lies beside."""
    return towards(Fraction(repr(amount)) * _HUNDREDTHS)


def _rows(decision: Decision, people: Scored, chosen: _Chosen, conf: Decisions, shop: str, day: date) -> pa.Table:
    told = people.told.take(chosen.people)
    num_rows = len(chosen.people)
    offer = decision.offer(conf)
    user_ids = told.column("user_id").to_pylist()
    return pa.table(
        {
            "row_key": pa.array([f"{shop}|{day}|{decision.name}|{user}" for user in user_ids], pa.string()),
            "shop": pa.repeat(shop, num_rows),
            "dt": pa.repeat(day, num_rows),
            "decision": pa.repeat(decision.name, num_rows),
            "user_id": told.column("user_id"),
            "arm": pa.array(np.where(chosen.acts, ACT, CONTROL).tolist(), pa.string()),
            "rank": np.arange(1, num_rows + 1, dtype=np.int32),
            "offer": pa.array([offer if acts else None for acts in chosen.acts], pa.string()),
            "expected_value": chosen.value,
            "cost": chosen.price / _HUNDREDTHS,
            "score_name": pa.repeat(people.score_name, num_rows),
            "score": told.column("probability"),
            "reasons": pa.array(
                [json.dumps(each, separators=(",", ":")) for each in told.column("reasons").to_pylist()], pa.string()
            ),
        },
        schema=arrow_schema(DECISIONS),
    )


# -- the decisions


def _coupon(people: Scored, conf: Decisions) -> Judged:
    """The increment in margin less the offer's cost, where that is above 0.

    Of an uplift score the increment in chance is the score. Without one nobody knows it; then an offer is assumed to
    raise everybody's log-odds of buying by `coupon_log_odds`, which moves most those in the middle: who buys anyway and
    who never buys gets none.
    """
    from scipy.special import expit, logit

    more_B = people.probability_B
    if people.score_name != UPLIFT:
        more_B = expit(logit(more_B) + conf.coupon_log_odds) - more_B
    cost_B = np.full(len(more_B), conf.coupon_cost)
    value_B = more_B * conf.margin * people.order_value_B - cost_B
    return Judged(value_B > 0, value_B, cost_B)


def _free(asked_B: Flags, value_B: Floats) -> Judged:
    return Judged(asked_B & (value_B > 0), value_B, np.zeros(len(value_B)))


def _retention(people: Scored, conf: Decisions) -> Judged:
    """Of those flagged as leaving, the margin on what they spent in the history window, times the chance of it."""
    stake_B = conf.margin * numbers(people.features, "spend")
    return _free(people.flagged_B, people.probability_B * stake_B)


def _promotion(people: Scored, conf: Decisions) -> Judged:
    """Of those flagged as buying, the margin on an order of theirs, times the chance of it."""
    return _free(people.flagged_B, people.probability_B * conf.margin * people.order_value_B)


def _cart_reminder(people: Scored, conf: Decisions) -> Judged:
    """Of those with an open cart who are not flagged as buying it, its margin, times the chance that it is lost."""
    open_B = numbers(people.features, "num_open_cart_items") > 0
    cart_B = conf.margin * numbers(people.features, "open_cart_value")
    return _free(open_B & ~people.flagged_B, (1 - people.probability_B) * cart_B)


def _fraud_review(people: Scored, conf: Decisions) -> Judged:
    """Of those flagged, what they spent in the history window, times their score.

    That is the chance of a case where the shop keeps a list of them, else the share of people who are less conspicuous.
    """
    return _free(people.flagged_B, people.probability_B * numbers(people.features, "spend"))


DECIDED: dict[str, Decision] = {
    decision.name: decision
    for decision in (
        Decision(
            "coupon",
            (UPLIFT, PURCHASE),
            _coupon,
            offer=lambda conf: conf.coupon_offer,
            most=lambda conf: conf.coupon_most,
            outcome="purchased_next",
            budget=lambda conf: conf.coupon_budget,
        ),
        Decision(
            "retention",
            (CHURN,),
            _retention,
            lambda conf: conf.retention_offer,
            lambda conf: conf.retention_most,
            outcome="churned",
        ),
        Decision(
            "promotion",
            (PURCHASE,),
            _promotion,
            lambda conf: conf.promotion_offer,
            lambda conf: conf.promotion_most,
            outcome="purchased_next",
        ),
        Decision(
            "cart_reminder",
            (CART,),
            _cart_reminder,
            lambda conf: conf.cart_offer,
            lambda conf: conf.cart_most,
            outcome="cart_converted",
        ),
        Decision(
            "fraud_review",
            (FRAUD_CASE, FRAUD),
            _fraud_review,
            lambda _: "review",
            lambda conf: conf.review_most,
            outcome=None,
            keeps_aside=False,
        ),
    )
}


def named(names: Sequence[str]) -> list[Decision]:
    """Raises BadInput where one is no decision."""
    if unknown := sorted(set(names) - DECIDED.keys()):
        raise BadInput(
            f"no such decision: {', '.join(unknown)}",
            f"--set 'decisions.wanted={json.dumps(sorted(DECIDED))}', or fewer",
        )
    return [DECIDED[name] for name in names]


def report(outcomes: dict[str, Outcome]) -> dict[str, Any]:
    """What the night says of its decisions; `unmet` holds a sentence for each that acts on nobody."""
    return {
        "decisions": {name: one._asdict() for name, one in outcomes.items() if not one.unmet},
        "unmet": {name: one.unmet for name, one in outcomes.items() if one.unmet},
    }
