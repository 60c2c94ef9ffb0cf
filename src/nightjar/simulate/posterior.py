"""The best that anybody could foretell of simulated people without being told their habits.

`nightjar.simulate.chances` knows each one's habits, which no log shows: whoever visited twice in a week visits often,
or was lucky. Bayes' rule says how likely each habit is, given how the simulator draws habits and what the person did:
the prior times the chance of that many visits, of that many orders among them without and with a coupon in hand, and of
the silence since. What is foretold is the mean of `Chances` over habits so weighted; no function of those counts ranks
people better, on average.

Habits lie on a grid: how often a person visits, how often a visit ends in an order, what a coupon adds to that. When a
person joined and who held which coupon are taken as known, the fraud ring with its habits, so the bound is not lower
than the truth for these; which items a person looks at moves with the pace of visits too (`Behaviour.thread_place`),
and is left out of account.

Legend: P people, A grid points of activity, K of buying and uplift together.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.special import logsumexp, xlogy
from scipy.stats import norm

from nightjar.settings import Simulate
from nightjar.simulate.chances import Chances
from nightjar.simulate.noise import Floats, Ints
from nightjar.simulate.people import ACTIVITY_SIGMA, LEAST_BUYING, MAX_ACTIVITY, MAX_UPLIFT, MOST_BUYING, People
from nightjar.simulate.visits import Behaviour

#: Steps of a sixteenth of the prior's standard deviation: finer than a hundred visits can tell.
_ACTIVITY_Z = np.arange(-4, 4, 1 / 16) + 1 / 32
_NUM_BUYING, _NUM_UPLIFT = 6, 6


class Seen(NamedTuple):
    """What a log shows of each person, counted up to a day; P entries each."""

    last_P: Ints  #: day of the latest visit, -1 without one
    visits_P: Ints
    orders_P: Ints
    treated_P: Ints  #: visits while a coupon was held
    treated_orders_P: Ints


def seen(behaviour: Behaviour, people: People, day: int) -> Seen:
    """Of the visits up to the end of `day`."""
    last_P = np.full(len(people), -1)
    counts_4P = np.zeros((4, len(people)), dtype=np.int64)
    for number in range(day + 1):
        visits = behaviour.visits(people, number)
        last_P[visits.person] = number
        chosen = (np.ones_like(visits.buys), visits.buys, visits.treated, visits.treated & visits.buys)
        for row, which in enumerate(chosen):
            counts_4P[row] += np.bincount(visits.person[which], minlength=len(people))
    return Seen(last_P, *counts_4P)


@dataclass(frozen=True)
class Foreseen:
    """Chances as of the end of a day, one entry per person who was seen by then; named as those of `Chances`."""

    conf: Simulate
    behaviour: Behaviour
    people: People
    seen: Seen
    day: int

    def churn(self, days: int) -> Floats:
        return self._mean(lambda chances: chances.churn(days)[None])

    def purchase(self, days: int) -> Floats:
        return self._mean(lambda chances: chances.purchase(days))

    def click(self, days: int) -> Floats:
        """The mean of who clicks over the mean of who is shown a banner; NaN where none is expected."""
        clicked_P = self._mean(lambda chances: chances.clicked(days)[None])
        shown_P = self._mean(lambda chances: chances.shown(days)[None])
        found_P: Floats = np.divide(clicked_P, shown_P, out=np.full(len(shown_P), np.nan), where=shown_P > 0)
        return found_P

    def coupon_use(self, days: int) -> Floats:
        return self._mean(lambda chances: chances.coupon_use(days))

    def _mean(self, of: Callable[[Chances], Floats]) -> Floats:
        """Over habits; `of` has shape (K, P), or (1, P) where only activity matters."""
        found_P = np.zeros(len(self.people))
        for chances, weights_P in zip(self._grid, self._by_activity_AP, strict=True):
            said_KP = of(chances)
            weighed_P = said_KP[0] if len(said_KP) == 1 else (self._by_buying_KP * said_KP).sum(axis=0)
            found_P += weights_P * weighed_P
        return found_P

    @cached_property
    def _grid(self) -> list[Chances]:
        """One for each activity; its people have K pairs of buying and uplift, the fraud ring its own."""
        ring_P = self.people.in_ring
        buying_K1, uplift_K1 = (one[:, None] for one in _buying_and_uplift())
        habits = {
            "buying": np.where(ring_P, self.people.buying, buying_K1),
            "uplift": np.where(ring_P, self.people.uplift, uplift_K1),
        }
        return [
            Chances(
                self.conf,
                self.behaviour,
                replace(self.people, activity=np.where(ring_P, self.people.activity, activity), **habits),
                self.seen.last_P,
                self.day,
            )
            for activity in _activities()
        ]

    @cached_property
    def _by_activity_AP(self) -> Floats:
        """Prior, times Poisson's chance of the visits from joining to the latest, times that of the silence since."""
        logs_AP = np.stack([self._log_chance(chances) for chances in self._grid])
        logs_AP += np.where(self.people.in_ring, 0.0, norm.logpdf(_ACTIVITY_Z)[:, None])
        return np.asarray(np.exp(logs_AP - logsumexp(logs_AP, axis=0)))

    def _log_chance(self, chances: Chances) -> Floats:
        rates_DP = np.stack([self.behaviour.rate_while_present(chances.people, day) for day in range(self.day + 1)])
        days_D1 = np.arange(self.day + 1)[:, None]
        there_DP = (days_D1 >= self.people.joined) & (days_D1 <= self.seen.last_P)
        expected_P = (rates_DP * there_DP).sum(axis=0)
        return np.asarray(xlogy(self.seen.visits_P, chances.people.activity) - expected_P + np.log(chances.silence))

    @cached_property
    def _by_buying_KP(self) -> Floats:
        """The grid is even in the prior, so the chance of the orders is all."""
        buying_K1, uplift_K1 = (one[:, None] for one in _buying_and_uplift())
        plain_P, orders_P = self.seen.visits_P - self.seen.treated_P, self.seen.orders_P - self.seen.treated_orders_P
        logs_KP = _binomial(orders_P, plain_P, buying_K1)
        logs_KP = logs_KP + _binomial(self.seen.treated_orders_P, self.seen.treated_P, buying_K1 + uplift_K1)
        return np.asarray(np.exp(logs_KP - logsumexp(logs_KP, axis=0)))


def _activities() -> Floats:
    return np.asarray(np.minimum(np.exp(ACTIVITY_SIGMA * _ACTIVITY_Z - ACTIVITY_SIGMA**2 / 2), MAX_ACTIVITY))


def _buying_and_uplift() -> tuple[Floats, Floats]:
    """Every pair of equally likely values, K of each."""
    buying = LEAST_BUYING + (MOST_BUYING - LEAST_BUYING) * _middles(_NUM_BUYING)
    uplift = MAX_UPLIFT * _middles(_NUM_UPLIFT) ** 2
    pairs_BU = np.meshgrid(buying, uplift, indexing="ij")
    return pairs_BU[0].ravel(), pairs_BU[1].ravel()


def _middles(num: int) -> Floats:
    """Of equal parts of 0 to 1."""
    return np.asarray((np.arange(num) + 0.5) / num)


def _binomial(successes: Ints, trials: Ints, share: Floats) -> Floats:
    """The logarithm, without the coefficient, which is the same for every share."""
    return np.asarray(successes * np.log(share) + (trials - successes) * np.log1p(-share))
