"""Which item to show: policies of clicks on the ZOZO Open Bandit logs, one uniformly random, one Thompson sampling.

The random log's own click rate is what the uniform policy earns, and so for the Thompson log: each log can be asked for
what the other one's policy earns, and the answer is known.
"""

from __future__ import annotations

import csv
import gzip
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jobs.ops.scores.parts import Where, interval, number, rounded
from numpy.typing import NDArray

from nightjar.learn.metrics import bootstrap
from nightjar.predict import policy
from nightjar.predict.metrics import Floats
from nightjar.predict.policy import Estimate
from nightjar.predict.uplift import logistic

#: Below the folder of data sets; the logging policy is the folder's name.
FILES = ("open_bandit/random/men.csv.gz", "open_bandit/bts/men.csv.gz")

NUM_ITEMS, NUM_POSITIONS = 34, 3

#: Of clicks per impression; and the share of impressions that stay uniformly random.
TEMPERATURE, EXPLORATION = 0.002, 0.2

#: Penalties of a reward model to choose from, by the folds' left-out rows.
_PENALTIES = (1.0, 10.0, 100.0, 1000.0)
_FOLDS = 5

#: Weights of a reward model above this count as this.
_MOST_WEIGHT = 10.0

Counts = NDArray[np.int64]


class Bandit(NamedTuple):
    """A log of one item per impression."""

    item: Counts
    position: Counts
    click: Floats
    propensity: Floats  #: chance with which this item was shown here

    def part(self, rows: slice) -> Bandit:
        return Bandit(self.item[rows], self.position[rows], self.click[rows], self.propensity[rows])

    def under(self, chances: Floats) -> policy.Log:
        """The log as another policy sees it, given its chances by position and item."""
        return policy.log(self.click, self.propensity, chances[self.position, self.item])


def read(path: Path) -> Bandit:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        rows = [
            (int(row["item_id"]), int(row["position"]) - 1, float(row["click"]), float(row["propensity_score"]))
            for row in csv.DictReader(file)
        ]
    item, position, click, propensity = zip(*rows, strict=True)
    return Bandit(np.array(item), np.array(position), np.array(click), np.array(propensity))


def rates(log: Bandit) -> Floats:
    """Click rates by position and item: a ridge on both, weighted to what a uniform policy would have logged.

    Its penalty is the one that foretells left-out rows best: with 46 clicks on 102 pairs, too weak a one makes rates
    of .02 from nothing, and a policy that follows them.
    """
    weights = np.minimum(1 / NUM_ITEMS / log.propensity, _MOST_WEIGHT)
    weights /= weights.mean()
    features = _one_hot(log.item, log.position)
    fold = np.arange(len(log.click)) % _FOLDS

    def loss(l2: float) -> float:
        total = 0.0
        for left_out in range(_FOLDS):
            seen, rest = fold != left_out, fold == left_out
            found = logistic(l2)(features[seen], log.click[seen], weights[seen]).predict(features[rest])
            total -= float(weights[rest] @ np.log(np.where(log.click[rest] == 1, found, 1 - found)))
        return total

    model = logistic(min(_PENALTIES, key=loss))(features, log.click, weights)
    position, item = (part.ravel() for part in np.indices((NUM_POSITIONS, NUM_ITEMS)))
    return model.predict(_one_hot(item, position)).reshape(NUM_POSITIONS, NUM_ITEMS)


def following(rates: Floats) -> Floats:
    """The policy that prefers items of higher rates, by position."""
    return policy.softmax_policy(rates, temperature=TEMPERATURE, exploration=EXPLORATION)


def _one_hot(item: Counts, position: Counts) -> Floats:
    return np.hstack([np.eye(NUM_ITEMS)[item], np.eye(NUM_POSITIONS)[position]])


def uniform_policy(_: Bandit) -> Floats:
    return np.full((NUM_POSITIONS, NUM_ITEMS), 1 / NUM_ITEMS)


def average_policy(log: Bandit) -> Floats:
    """A log's own policy as if it had stood still: each item's share of the impressions at a position.

    Thompson sampling moves from row to row; its average is what the log tells of it without its learning.
    """
    shown = np.zeros((NUM_POSITIONS, NUM_ITEMS))
    np.add.at(shown, (log.position, log.item), 1.0)
    found: Floats = shown / shown.sum(axis=1, keepdims=True)
    return found


#: What each log's own policy did.
_OWN = {"random": uniform_policy, "bts": average_policy}


def valued(log: Bandit, chances: Floats, predicted: Floats, num_resamples: int) -> dict[str, Any]:
    """A policy's clicks per impression by every estimator; `predicted` comes from rows that are not these."""
    rows = log.under(chances)
    expected_B = (predicted * chances).sum(axis=1)[log.position]
    settings: dict[str, Any] = {"seed": 1, "num_resamples": num_resamples}
    return {
        "ips": _told(policy.inverse_propensity(rows, **settings)),
        "snips": _told(policy.self_normalised(rows, **settings)),
        "dr": _told(policy.doubly_robust(rows, expected_B, predicted[log.position, log.item], **settings)),
    }


def _told(one: Estimate) -> dict[str, Any]:
    return {
        "value": interval(one.interval),
        "standard_error": number(one.standard_error),
        "effective_rows": number(one.effective_rows),
        "warnings": list(one.warnings),
    }


def _difference(estimate: Mapping[str, Any], clicks: Floats) -> list[float | None]:
    """The estimate less what the policy's own log saw, with the 95 % interval of two independent samples."""
    gap = estimate["value"][0] - float(clicks.mean())
    reach = 1.96 * math.hypot(estimate["standard_error"], float(clicks.std(ddof=1)) / math.sqrt(len(clicks)))
    return rounded((gap, gap - reach, gap + reach))


def measure(where: Where, *, num_resamples: int = 1000) -> dict[str, Any]:
    """Each log teaches a policy that the other one values, and is asked for what the other's policy earned."""
    logs = dict(zip(("random", "bts"), (read(where.data / name) for name in FILES), strict=True))
    found: dict[str, Any] = {"learnt": {}, "known": {}}
    for taught, judge in (("random", "bts"), ("bts", "random")):
        where.say(f"policies valued on the log {judge}")
        predicted = rates(logs[taught])
        judging, teaching = logs[judge], logs[taught]
        own = interval(bootstrap(judging.click, seed=1, num_resamples=num_resamples))
        found["learnt"][f"{taught} on {judge}"] = {
            "rows": len(judging.click),
            "logged": own,
            **valued(judging, following(predicted), predicted, num_resamples),
        }
        observed = bootstrap(teaching.click, seed=1, num_resamples=num_resamples)
        asked = valued(judging, _OWN[taught](teaching), predicted, num_resamples)
        for one in asked.values():
            one["difference"] = _difference(one, teaching.click)
        found["known"][f"{taught} from {judge}"] = {
            "rows": len(judging.click),
            "observed": interval(observed),
            **asked,
        }
    return found


def headline(numbers: Mapping[str, Any]) -> dict[str, Any]:
    learnt, known = numbers["learnt"]["random on bts"], numbers["known"]["bts from random"]
    return {
        "learnt on random, valued on bts": learnt["dr"]["value"],
        "bts from random, ips": known["ips"]["value"],
        "bts observed": known["observed"][0],
    }
