"""Real shops' logs, through their own mappings and the night's own jobs, to the contest of what they can tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import pyarrow as pa
from jobs.ops.scores import contest
from jobs.ops.scores.chain import Chain
from jobs.ops.scores.contest import Baseline
from jobs.ops.scores.parts import Where

from nightjar.predict import bgnbd
from nightjar.predict.bgnbd import Buyers
from nightjar.predict.fitting import Rows
from nightjar.predict.metrics import Floats
from nightjar.predict.task import Binary, numbers
from nightjar.predict.tasks.cart import CART
from nightjar.predict.tasks.churn import CHURN
from nightjar.predict.tasks.purchase import PURCHASE
from nightjar.settings import Labels
from nightjar.stores.home import Home

_WEEK_DAYS, _WEEK_HOURS = 7, 7 * 24


@dataclass(frozen=True)
class Log:
    """One shop's log: where it lies below DATA, what is asked of it, and as of which days, the judged one last."""

    shop: str
    path: str
    tasks: tuple[Binary, ...]
    instants: tuple[date, ...]
    sets: tuple[str, ...]
    bgnbd: bool  #: purchases only, so that the first event is the first purchase

    def measure(self, where: Where) -> dict[str, Any]:
        chain = Chain(self.shop, where.data / self.path, self.instants, self.sets, Home(where.work))
        seconds = chain.run(where.say)
        *known, later = chain.read()
        conf = chain.conf
        baselines = {"bg/nbd": baseline(conf.labels)} if self.bgnbd else {}
        found = contest.measured(
            self.tasks, known, later, chain.encoder(), conf.predict, where.say, baselines=baselines
        )
        windows = {"horizon_days": conf.labels.horizon_days, "churn_days": conf.labels.churn_days}
        return {"jobs": seconds, "windows": windows, "contest": found}


def buyers(features: pa.Table) -> Buyers:
    """What the model reads of people, in weeks; orders of the first day are one, who bought nothing has no age."""
    orders_B = numbers(features, "num_orders")
    age_B = np.where(orders_B > 0, numbers(features, "tenure_days") / _WEEK_DAYS, 0.0)
    since_B = np.nan_to_num(numbers(features, "hours_since_last_purchase"), nan=np.inf) / _WEEK_HOURS
    last_B = np.maximum(age_B - since_B, 0.0)
    return Buyers(np.where(last_B > 0, np.maximum(orders_B - 1, 0), 0.0), last_B, age_B)


def baseline(labels: Labels) -> Baseline:
    """The BG/NBD model of Fader, Hardie and Lee 2005, fitted to the people who are learned from."""

    def score(earlier: Rows, later: Rows, task: Binary) -> tuple[Floats, Floats]:
        model = bgnbd.fit(buyers(earlier.features))
        weeks = task.window_days(labels) / _WEEK_DAYS
        then_B, now_B = (model.buys_within(buyers(rows.features), weeks) for rows in (earlier, later))
        return (1 - then_B, 1 - now_B) if task is CHURN else (then_B, now_B)

    return score


#: Four months of people who all bought at last: rates are not the shop's, see the page. In a week some 45 of them buy
#: again, too few to learn from; in four about a hundred.
RETAILROCKET = Log(
    "retailrocket",
    "retailrocket/events.csv.gz",
    (PURCHASE, CART),
    (date(2015, 6, 25), date(2015, 7, 23), date(2015, 8, 20)),
    ("labels.horizon_days=28", "train.epochs=8"),
    bgnbd=False,
)

#: A year, in which three windows of 110 days find place, each on a day of trade; the first instant knows six weeks.
ONLINE_RETAIL = Log(
    "online_retail",
    "online_retail",
    (CHURN, PURCHASE),
    (date(2011, 1, 11), date(2011, 5, 1), date(2011, 8, 19)),
    ("train.epochs=8",),
    bgnbd=True,
)


def headline(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Of each task the best contender, its AUROC, and what it is ahead of the rule by."""
    return {name: best_of(one) for name, one in numbers["contest"]["tasks"].items() if "not_judged" not in one}


def best_of(one: Mapping[str, Any]) -> dict[str, Any]:
    best = one["contenders"][one["best"]]
    said = {"best": one["best"], "auroc": best["auroc"], "ahead": best["ahead"]}
    return said | ({"of_bayes": one["bayes"]["log"]["share"]} if "bayes" in one else {})
