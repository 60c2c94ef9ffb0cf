"""The best that anybody could foretell of simulated people: Bayes' rule on their habits and on their silence.

Known of a person are the habits that the simulator drew (how often they visit and buy, what a coupon adds) and, from
the log, the day L of the latest visit. Not known is what is drawn later or shows in no record: whether the person has
left, who will get a coupon, when visits fall.

A share c of people leaves, each day after joining on day J with chance h. Whoever visited on L was there on L, so the
odds that such a person is one who will leave are c (1 - h)^(L - J) to 1 - c. On a day d a person who is there makes
Poisson(v_d) visits. The chance of no event of rate e_d on the days D + 1 .. D + H after the instant D is, with
m_d = v_d for L < d <= D (nothing was seen) and m_d = e_d after it,

    N(D + H) / N(D),    N(x) = (1 - c) exp(-M(x)) + c (1 - h)^(L - J) E[exp(-M(min(x, leaving - 1)))]

with M(x) the sum of m_d over L < d <= x and the expectation over the geometric day of leaving. Every task is such a
chance, with an e_d of its own:

    churn       e_d = v_d, and the chance itself
    purchase    e_d = v_d b, 1 minus the chance; b is the chance that a visit ends in an order, with or without a coupon
    click       e_d = v_d s k over e_d = v_d s, 1 minus the chance each: who is shown a banner (s, of a visit while a
                campaign runs) clicks on one of them (k)
    coupon use  e_d = v_d s k b with a coupon, 0 without

Where a coupon matters the two cases are averaged by its propensity. Visits above MAX_VISITS_A_DAY, visits that cross
midnight, and records that the log loses are left out of account: their shares are below a hundredth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nightjar.settings import Simulate
from nightjar.simulate.noise import Floats, Ints
from nightjar.simulate.people import CHURN_MEAN_DAYS, People
from nightjar.simulate.records import BANNER_SHARE, CLICK_SHARE, CLICK_SHARE_TREATED
from nightjar.simulate.visits import NO_CAMPAIGN, Behaviour, campaign_of

#: Of those who will leave, on each day.
_HAZARD = 1.0 / CHURN_MEAN_DAYS

#: Expected events of each person on a day, if the person is there.
Rate = Callable[[int], Floats]


@dataclass(frozen=True)
class Chances:
    """Chances as of the end of a day, one entry per person; days count from the shop's first."""

    conf: Simulate
    behaviour: Behaviour
    people: People
    last: Ints  #: day of the latest visit, at most `day`
    day: int

    def churn(self, days: int) -> Floats:
        """No visit in so many days."""
        return self._none(self._visits, days)

    def purchase(self, days: int) -> Floats:
        """At least one order."""

        def orders(coupon: bool) -> Rate:
            return lambda day: self._visits(day) * self._buying(day, coupon)

        return self._averaged(lambda coupon: 1 - self._none(orders(coupon), days))

    def click(self, days: int) -> Floats:
        """At least one click of those who are shown a banner; NaN where hardly any banner is expected."""
        shown = self.shown(days)
        found: Floats = np.divide(self.clicked(days), shown, out=np.full(len(shown), np.nan), where=shown > 0)
        return found

    def clicked(self, days: int) -> Floats:
        """At least one click on a banner."""

        def clicks(coupon: bool) -> Rate:
            return lambda day: self._shown(day) * self._clicking(coupon)

        return self._averaged(lambda coupon: 1 - self._none(clicks(coupon), days))

    def shown(self, days: int) -> Floats:
        """At least one banner; exactly 0 while no campaign runs."""
        if all(campaign_of(self.day + 1 + day) == NO_CAMPAIGN for day in range(days)):
            return np.zeros(len(self.people))
        return 1 - self._none(self._shown, days)

    def coupon_use(self, days: int) -> Floats:
        """At least one order of a visit in which a coupon was claimed."""

        def uses(day: int) -> Floats:
            return self._shown(day) * self._clicking(True) * self._buying(day, True)

        return self._averaged(lambda coupon: 1 - self._none(uses, days) if coupon else np.zeros(len(self.people)))

    def _visits(self, day: int) -> Floats:
        return self.behaviour.rate_while_present(self.people, day)

    def _buying(self, day: int, coupon: bool) -> Floats:
        treated = np.full(len(self.people), coupon and campaign_of(day) != NO_CAMPAIGN)
        return self.behaviour.order_probability(self.people, treated)

    def _shown(self, day: int) -> Floats:
        """Expected visits with a banner."""
        share = np.where(self.people.in_ring, 1.0, BANNER_SHARE) * (campaign_of(day) != NO_CAMPAIGN)
        return np.asarray(self._visits(day) * share)

    def _clicking(self, coupon: bool) -> Floats:
        share = CLICK_SHARE_TREATED if coupon else CLICK_SHARE
        return np.where(self.people.in_ring, 1.0, share)

    def _averaged(self, chance: Callable[[bool], Floats]) -> Floats:
        """Over who gets a coupon; the fraud ring gets hold of each."""
        share = np.where(self.people.in_ring, 1.0, self.conf.coupon_share)
        return np.asarray(share * chance(True) + (1 - share) * chance(False))

    def _none(self, rate: Rate, days: int) -> Floats:
        """The chance of no such event in so many days, given the silence since the latest visit."""
        gone, leaver, stayer = self._whereabouts
        for day in range(self.day + 1, self.day + days + 1):
            quiet = np.exp(-rate(day))
            gone = gone + _HAZARD * leaver
            leaver = leaver * (1 - _HAZARD) * quiet
            stayer = stayer * quiet
        return np.asarray((gone + leaver + stayer) / self.silence)

    @property
    def silence(self) -> Floats:
        """The chance of no visit since the latest one, up to a factor that does not depend on habits."""
        return np.asarray(sum(self._whereabouts))

    @cached_property
    def _whereabouts(self) -> tuple[Floats, Floats, Floats]:
        """Shares of silent lives at the instant: of who has left, who will, and who stays; they add up to `silence`."""
        may_leave = np.where(self.people.in_ring, 0.0, self.conf.churn_share)
        leaver = may_leave * (1 - _HAZARD) ** np.maximum(self.last - self.people.joined, 0)
        stayer, gone = 1.0 - may_leave, np.zeros(len(self.people))
        for day in range(int(self.last.min(initial=self.day)) + 1, self.day + 1):
            after = day > self.last
            quiet = np.where(after, np.exp(-self._visits(day)), 1.0)
            gone = gone + np.where(after, _HAZARD * leaver, 0.0)
            leaver = leaver * np.where(after, 1 - _HAZARD, 1.0) * quiet
            stayer = stayer * quiet
        return gone, leaver, stayer
