"""Learners of uplift on one trial, as numbers for the page: the gate's decision, and the curves behind it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jobs.ops.scores.parts import interval, rounded

from nightjar.predict import qini, uplift
from nightjar.predict.metrics import Floats
from nightjar.predict.qini import Trial

#: Depths at which a curve is kept for its picture.
_DEPTHS = np.linspace(0, 1, 51)


def told(scores: Mapping[str, Floats], people: Trial, *, baseline: str, num_resamples: int) -> dict[str, Any]:
    """Outcomes per person throughout; `ahead` is the paired difference to the baseline."""
    choice = uplift.chosen(scores, people, baseline=baseline, seed=0, num_resamples=num_resamples)
    found: dict[str, Any] = {}
    for name, scores_B in scores.items():
        curve = qini.qini_curve(scores_B, people)
        found[name] = {"qini": interval(choice.qini[name]), "gain": rounded(np.interp(_DEPTHS, *curve))}
        if name in choice.difference:
            found[name]["ahead"] = interval(choice.difference[name])
    arms = (people.treated, ~people.treated)
    rates = [float(np.average(people.outcome[arm], weights=people.weights[arm])) for arm in arms]
    return {
        "people": len(people.treated),
        "treated": int(people.treated.sum()),
        "rates": rounded(rates),
        "depth": rounded(_DEPTHS),
        "baseline": baseline,
        "serving": choice.name,
        "learners": found,
    }
