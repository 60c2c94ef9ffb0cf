"""Whom a treatment moves: learners of uplift, and the rule that chooses one or keeps the model of responses.

A model of responses ranks by what treated people do; it also finds those who would have done it anyway. Uplift learners
predict the difference. That is harder: they often lose, so one serves only where it wins beyond chance.

How outcomes are fitted is an argument. `logistic` is here; boosted trees come from the caller.

Legend: B people, D features.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from nightjar.learn.metrics import Interval
from nightjar.predict import qini
from nightjar.predict.metrics import Floats
from nightjar.predict.qini import Trial

Kind = Literal["response", "t", "x"]


class Part(Protocol):
    """A fitted mean of the outcome (or of an effect), given features."""

    def predict(self, features_BD: Floats) -> Floats:
        """One number per person."""
        ...

    def as_dict(self) -> dict[str, Any]:
        """What JSON can hold, with a `kind` that names its reader."""
        ...


#: From features, outcomes and weights (mean 1) to a part.
Fit = Callable[[Floats, Floats, Floats], Part]

#: Back from JSON, by `kind`.
Readers = Mapping[str, Callable[[dict[str, Any]], Part]]


@dataclass(frozen=True)
class Logistic:
    """Chance of the outcome: sigmoid of a constant and weights on standardised features."""

    means: tuple[float, ...]
    scales: tuple[float, ...]
    weights: tuple[float, ...]
    constant: float

    def predict(self, features_BD: Floats) -> Floats:
        from scipy.special import expit

        standard_BD = (features_BD - np.array(self.means)) / np.array(self.scales)
        chance_B: Floats = expit(standard_BD @ np.array(self.weights) + self.constant)
        return chance_B

    def as_dict(self) -> dict[str, Any]:
        return {"kind": "logistic"} | asdict(self)


def read_logistic(saved: dict[str, Any]) -> Logistic:
    """The part that `Logistic.as_dict` saved."""
    return Logistic(tuple(saved["means"]), tuple(saved["scales"]), tuple(saved["weights"]), saved["constant"])


def logistic(l2: float = 10.0) -> Fit:
    """Fits logistic regression with a penalty of l2 / 2 times the sum of squared weights; outcomes are 0 or 1.

    Ridge for log-odds: le Cessie and van Houwelingen 1992, https://doi.org/10.2307/2347628. An arm in which all did the
    same gets a constant chance, half a person short of certain.
    """

    def fit(features_BD: Floats, outcome_B: Floats, weights_B: Floats) -> Logistic:
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        scaler = StandardScaler().fit(features_BD, sample_weight=weights_B)
        means, scales = tuple(scaler.mean_.tolist()), tuple(scaler.scale_.tolist())
        if outcome_B.min() == outcome_B.max():
            odds = (outcome_B.sum() + 0.5) / (len(outcome_B) - outcome_B.sum() + 0.5)
            return Logistic(means, scales, (0.0,) * len(means), float(np.log(odds)))
        found = LogisticRegression(C=1 / l2, max_iter=1000).fit(
            scaler.transform(features_BD), outcome_B == 1, sample_weight=weights_B
        )
        return Logistic(means, scales, tuple(found.coef_[0].tolist()), float(found.intercept_[0]))

    return fit


_READERS: Readers = {"logistic": read_logistic}


@dataclass(frozen=True)
class Model:
    """A ranking of people for treatment, made of parts.

    `response`: (treated,). `t`: (treated, control). `x`: (effect among the treated, effect among the control), mixed by
    the share of people treated.
    """

    kind: Kind
    parts: tuple[Part, ...]
    treated_share: float

    def score(self, features_BD: Floats) -> Floats:
        """Predicted uplift in outcomes per person; of a response model the outcome if treated."""
        means = [part.predict(features_BD) for part in self.parts]
        if self.kind == "response":
            return means[0]
        if self.kind == "t":
            return means[0] - means[1]
        # Effects among the treated rest on the control's model of outcomes, and the larger arm has the better model.
        return (1 - self.treated_share) * means[0] + self.treated_share * means[1]

    def as_dict(self) -> dict[str, Any]:
        """What JSON can hold; `read_model` reads it."""
        parts = [part.as_dict() for part in self.parts]
        return {"kind": self.kind, "parts": parts, "treated_share": self.treated_share}


def read_model(saved: dict[str, Any], readers: Readers | None = None) -> Model:
    """The model that `Model.as_dict` saved; `readers` adds kinds of parts that the caller fits."""
    known = {**_READERS, **(readers or {})}
    return Model(saved["kind"], tuple(known[part["kind"]](part) for part in saved["parts"]), saved["treated_share"])


#: From features and a trial to a model.
Learner = Callable[[Floats, Trial], Model]


def _arm(fit: Fit, features_BD: Floats, people: Trial, treated: bool, outcome_B: Floats | None = None) -> Part:
    """A part of one arm, weighted so that the arm stands for everybody."""
    chosen = people.treated == treated
    weights_B = people.weights[chosen]
    outcome_B = people.outcome if outcome_B is None else outcome_B
    return fit(features_BD[chosen], outcome_B[chosen], weights_B / weights_B.mean())


def _share(people: Trial) -> float:
    return float(people.treated.mean())


def response(fit: Fit) -> Learner:
    """The baseline: what treated people do. Radcliffe 2007 tells why it is not what treatment changes."""
    return lambda features_BD, people: Model("response", (_arm(fit, features_BD, people, True),), _share(people))


def t_learner(fit_treated: Fit, fit_control: Fit | None = None) -> Learner:
    """Outcomes of the treated less outcomes of the others, a model each.

    The T-learner of Kuenzel et al., "Metalearners for estimating heterogeneous treatment effects", 2019,
    https://doi.org/10.1073/pnas.1804597116.

    Args:
        fit_control: for an arm that carries less, such as fewer trees; the same as the treated's where it is not given.
    """

    def learn(features_BD: Floats, people: Trial) -> Model:
        fits = ((fit_treated, True), (fit_control or fit_treated, False))
        return Model("t", tuple(_arm(fit, features_BD, people, arm) for fit, arm in fits), _share(people))

    return learn


def x_learner(fit: Fit, fit_effect: Fit) -> Learner:
    """Each arm's outcomes against the other arm's model, fitted once more: the X-learner of Kuenzel et al. 2019.

    Args:
        fit_effect: fits numbers of either sign, not chances.
    """

    def learn(features_BD: Floats, people: Trial) -> Model:
        with_B, without_B = (_arm(fit, features_BD, people, arm).predict(features_BD) for arm in (True, False))
        effect_B = np.where(people.treated, people.outcome - without_B, with_B - people.outcome)
        parts = tuple(_arm(fit_effect, features_BD, people, arm, effect_B) for arm in (True, False))
        return Model("x", parts, _share(people))

    return learn


def cross_fitted(
    learner: Learner, features_BD: Floats, people: Trial, *, seed: int, num_folds: int = 5, num_repeats: int = 3
) -> Floats:
    """Each person's mean score by models that never saw this person, over `num_repeats` ways to cut the folds.

    Folds hold the arms in equal shares and, within them, those with an outcome; a seed gives all learners the same
    folds. Chernozhukov et al., "Double/debiased machine learning", 2018, https://doi.org/10.1111/ectj.12097.
    """
    from sklearn.model_selection import RepeatedStratifiedKFold

    strata_B = 2 * people.treated + (people.outcome != 0)
    folds = RepeatedStratifiedKFold(n_splits=num_folds, n_repeats=num_repeats, random_state=seed)
    scores_B = np.zeros(len(strata_B))
    for seen, unseen in folds.split(features_BD, strata_B):
        scores_B[unseen] += learner(features_BD[seen], people.of(seen)).score(features_BD[unseen])
    return scores_B / num_repeats


class Choice(NamedTuple):
    """Which learner serves, and why: Qini coefficients and their differences to the baseline's, by learner."""

    name: str
    qini: dict[str, Interval]
    difference: dict[str, Interval]


def choose(
    learners: Mapping[str, Learner],
    features_BD: Floats,
    people: Trial,
    *,
    baseline: str,
    seed: int,
    num_folds: int = 5,
    num_repeats: int = 3,
    num_resamples: int = 1000,
) -> Choice:
    """The learner of the highest cross-fitted Qini if it beats the baseline beyond chance, else the baseline.

    Intervals of Qini are of 95 %; those of differences hold together with 95 % (Bonferroni 1936: each of 1 - 0.05 over
    their number), since the best of several is looked at. Qini is Radcliffe's of 2007, `nightjar.predict.qini`.

    Args:
        baseline: the name among `learners` that serves unless it is beaten.
    """
    scores = {
        name: cross_fitted(learner, features_BD, people, seed=seed, num_folds=num_folds, num_repeats=num_repeats)
        for name, learner in learners.items()
    }
    return chosen(scores, people, baseline=baseline, seed=seed, num_resamples=num_resamples)


def chosen(
    scores: Mapping[str, Floats], people: Trial, *, baseline: str, seed: int, num_resamples: int = 1000
) -> Choice:
    """What `choose` decides, from scores of people whom no model saw."""
    rest = [name for name in scores if name != baseline]
    found = {
        name: qini.bootstrap(qini.qini, score_B, people, seed=seed, num_resamples=num_resamples)
        for name, score_B in scores.items()
    }
    difference = {
        name: qini.paired_bootstrap(
            qini.qini,
            scores[name],
            scores[baseline],
            people,
            seed=seed,
            num_resamples=num_resamples,
            level=1 - 0.05 / len(rest),
        )
        for name in rest
    }
    best = max(rest, key=lambda name: found[name].mean, default=baseline)
    return Choice(best if best in difference and difference[best].low > 0 else baseline, found, difference)
