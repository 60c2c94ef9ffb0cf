"""Whom an e-mail moves: the randomised campaign of Hillstrom's MineThatData challenge, an arm at a time."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jobs.ops.scores.parts import Where
from jobs.ops.scores.uplifts import told

from nightjar.predict import uplift
from nightjar.predict.boosted import boosted
from nightjar.predict.metrics import Floats
from nightjar.predict.qini import Trial, trial
from nightjar.predict.uplift import Learner, logistic

#: Below the folder of data sets.
FILE = "hillstrom/hillstrom.csv.gz"

ARMS = {"women": "Womens E-Mail", "men": "Mens E-Mail"}

BASELINE = "response"


def read(path: Path, arm: str) -> tuple[Floats, Trial]:
    """Who got the arm's e-mail or none, with equal chances, and whether they visited in the two weeks after."""
    with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["segment"] in (ARMS[arm], "No E-Mail")]
    numbers = np.array(
        [[float(row[name]) for name in ("recency", "history", "mens", "womens", "newbie")] for row in rows]
    )
    groups = [
        [float(row["zip_code"] == name) for name in ("Rural", "Urban")]
        + [float(row["channel"] == name) for name in ("Phone", "Web", "Multichannel")]
        for row in rows
    ]
    crossed = np.column_stack([np.log1p(numbers[:, 1]), numbers[:, 2] * numbers[:, 3]])
    treated = np.array([row["segment"] == ARMS[arm] for row in rows])
    visit = np.array([float(row["visit"]) for row in rows])
    return np.hstack([numbers, np.array(groups), crossed]), trial(treated, visit, 0.5)


def learners() -> dict[str, Learner]:
    """The model of responses and what is held against it; the smaller effects get fewer trees."""
    outcome, control, effect = boosted("binary", 80), boosted("binary", 50), boosted("regression", 50)
    return {
        BASELINE: uplift.response(outcome),
        "t-logistic": uplift.t_learner(logistic(l2=10.0)),
        "t-trees": uplift.t_learner(outcome, control),
        "x-trees": uplift.x_learner(outcome, effect),
    }


def measure(
    where: Where, *, num_resamples: int = 1000, contenders: Mapping[str, Learner] | None = None
) -> dict[str, Any]:
    """Both arms: scores by models that never saw the person, held against each other by Qini."""
    found = {}
    for arm in ARMS:
        features_BD, people = read(where.data / FILE, arm)
        scores = {}
        for name, learner in (contenders or learners()).items():
            where.say(f"{arm}'s e-mail: {name}")
            scores[name] = uplift.cross_fitted(learner, features_BD, people, seed=0)
        found[arm] = told(scores, people, baseline=BASELINE, num_resamples=num_resamples)
    return found


def headline(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Of each arm who serves, its Qini and what it is ahead by."""
    said = {}
    for arm, one in numbers.items():
        serving = one["serving"]
        said[arm] = {
            "serving": serving,
            "qini": one["learners"][serving]["qini"][0],
            "ahead": one["learners"][serving].get("ahead"),
        }
    return said
