"""Repeat purchases from three numbers of a person: the beta-geometric/NBD model of Fader, Hardie and Lee, 2005.

"Counting your customers" the easy way, Marketing Science 24(2), https://doi.org/10.1287/mksc.1040.0098. While alive a
person buys at random with a rate of their own, gamma-distributed over people; after each purchase they leave for good
with a chance of their own, beta-distributed. Nothing else is known of anybody: what a model of behaviour is held
against where a log holds purchases only.

Time is in one unit throughout, the paper's is the week. Legend: B people.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import betaln, gammaln, hyp2f1

from nightjar.predict.metrics import Floats


class Buyers(NamedTuple):
    """What the model knows of people: everything counts from each one's first purchase."""

    repeats: Floats  #: purchases after the first one, x
    last: Floats  #: when the last of these was, t_x; 0 without any
    age: Floats  #: until when they were watched, T


class BgNbd(NamedTuple):
    """The four numbers of the model: rates ~ gamma(r, alpha), chances of leaving ~ beta(a, b)."""

    r: float
    alpha: float
    a: float
    b: float

    def log_likelihood(self, people: Buyers) -> Floats:
        """Of each person, in nats; equation 6 of the paper.

        >>> one = Buyers(np.array([0.0]), np.array([0.0]), np.array([2.0]))
        >>> BgNbd(1.0, 2.0, 1.0, 1.0).log_likelihood(one).round(6).tolist()  # ln((2 / 4) ** 1)
        [-0.693147]
        """
        x, last, age = people
        scale = gammaln(self.r + x) - gammaln(self.r) + self.r * np.log(self.alpha)
        stays = betaln(self.a, self.b + x) - betaln(self.a, self.b) - (self.r + x) * np.log(self.alpha + age)
        with np.errstate(divide="ignore"):
            leaves = (
                betaln(self.a + 1, self.b + np.maximum(x, 1) - 1)
                - betaln(self.a, self.b)
                - (self.r + x) * np.log(self.alpha + last)
                + np.where(x > 0, 0.0, -np.inf)
            )
        found: Floats = scale + np.logaddexp(stays, leaves)
        return found

    def alive(self, people: Buyers) -> Floats:
        """Chance that a person has not left by the end of being watched; 1 without a repeat purchase.

        >>> one = Buyers(np.array([1.0]), np.array([2.0]), np.array([2.0]))
        >>> BgNbd(1.0, 2.0, 1.0, 1.0).alive(one).tolist()  # bought just now: stays with chance 1 / 2
        [0.5]
        """
        x, last, age = people
        odds = self.a / (self.b + np.maximum(x, 1) - 1) * ((self.alpha + age) / (self.alpha + last)) ** (self.r + x)
        return np.where(x > 0, 1 / (1 + odds), 1.0)

    def buys_within(self, people: Buyers, time: float) -> Floats:
        """Chance of at least one purchase in the next `time`.

        Who is alive has a rate ~ gamma(r + x, alpha + T), so does not buy with chance
        ((alpha + T) / (alpha + T + time)) ** (r + x); who has left never does.
        """
        x, _, age = people
        silent = ((self.alpha + age) / (self.alpha + age + time)) ** (self.r + x)
        return self.alive(people) * (1 - silent)

    def expected_purchases(self, people: Buyers, time: float) -> Floats:
        """Expected purchases in the next `time`, given the past: equation 10 of the paper; NaN where a is 1."""
        x, _, age = people
        whole = self.a + self.b + x - 1
        ratio = time / (self.alpha + age + time)
        silent = ((self.alpha + age) / (self.alpha + age + time)) ** (self.r + x)
        with np.errstate(divide="ignore", invalid="ignore"):
            grown = whole / (self.a - 1) * (1 - silent * hyp2f1(self.r + x, self.b + x, whole, ratio))
        return np.asarray(grown * self.alive(people))


def fit(people: Buyers) -> BgNbd:
    """The numbers of greatest likelihood. Nobody is a ValueError."""
    if not len(people.repeats):
        raise ValueError("nobody to learn from")

    def loss(logs: Floats) -> float:
        found = float(-BgNbd(*np.exp(logs).tolist()).log_likelihood(people).mean())
        return found if np.isfinite(found) else 1e10

    # Beyond these the likelihood is flat to the last digit.
    start = np.log([1.0, max(float(people.age.mean()), 1e-3), 1.0, 2.0])
    found = minimize(loss, start, method="L-BFGS-B", bounds=[(-9.0, 9.0)] * 4, options={"maxiter": 2000})
    return BgNbd(*np.exp(found.x).tolist())
