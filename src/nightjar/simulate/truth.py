"""What is true of a simulated shop and no log says outright; for tests, examples and evaluations."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from nightjar.settings import Simulate
from nightjar.simulate.catalogue import NEVER, SUCCESSION, Catalogue
from nightjar.simulate.chances import Chances
from nightjar.simulate.lines import address_id, campaign_id, device_id, user_id
from nightjar.simulate.noise import Bools, Floats, Ints
from nightjar.simulate.people import PLATFORMS, TASTE_WEIGHTS, WEB, People, Population
from nightjar.simulate.posterior import Foreseen, seen
from nightjar.simulate.visits import (
    AFTER_SUCCESSION,
    AFTER_THREAD,
    CAMPAIGN_DAYS,
    CAMPAIGN_EVERY_DAYS,
    CAMPAIGN_FIRST_DAY,
    FIRST_THREAD,
    THREAD_WIDTH,
    Behaviour,
)


@dataclass(frozen=True)
class CouponTruth:
    """A randomised coupon; arrays have one entry per asked person.

    Orders are counted over visits that begin from `first` to `last`. The fraud ring is not `eligible`:
    it holds every coupon, whatever the coin says.
    """

    campaign: str
    first: date
    last: date
    propensity: float
    eligible: Bools
    treated: Bools
    uplift: Floats  # on the probability that one visit ends in an order
    orders_without: Floats  # expected orders in the window without coupon
    orders_with: Floats


@dataclass(frozen=True)
class FraudRing:
    """People who share devices and addresses, buy the same items with coupons and return them."""

    user_ids: tuple[str, ...]
    device_ids: tuple[str, ...]
    addresses: tuple[str, ...]
    skus: tuple[str, ...]


class Truth:
    def __init__(self, conf: Simulate, catalogue: Catalogue, population: Population, behaviour: Behaviour) -> None:
        self._conf = conf
        self._catalogue = catalogue
        self._population = population
        self._behaviour = behaviour
        self._first = date.fromisoformat(conf.start)

    @property
    def skus(self) -> list[str]:
        """The shop's item ids; the place in this list is the item number."""
        return self._catalogue.skus

    def user_ids(self, index: Ints) -> list[str]:
        return [user_id(person) for person in index.tolist()]

    def device_ids(self, person: int) -> tuple[str, ...]:
        """Every device the person may visit from: one per platform, and a second browser.

        Those of the fraud ring are shared by six people each.
        """
        platform = np.append(np.arange(len(PLATFORMS)), WEB)
        second = np.arange(len(platform)) == len(PLATFORMS)
        devices = self._population.device(np.full(len(platform), person), platform, second)
        return tuple(device_id(device) for device in devices.tolist())

    def people(self, index: Ints) -> People:
        """Tastes, habits and fate of people by number, 0 to `num_people` - 1."""
        return self._population.people(index)

    def churn_day(self, person: int) -> date | None:
        """The first day on which the person no longer visits, or None.

        A share of `churn_share` leaves; each of these with a daily hazard of 1 / CHURN_MEAN_DAYS from joining on.
        """
        day = int(self._population.people(np.array([person])).churned[0])
        return None if day == NEVER else self._first + timedelta(days=day)

    def expected_visits(self, index: Ints, day: date) -> Floats:
        return self._behaviour.rate(self._population.people(index), self.day_number(day))

    def chances(self, index: Ints, last: Ints, day: date) -> Chances:
        """What becomes of people, given their habits and the latest day of a visit, counted from the shop's first."""
        return Chances(self._conf, self._behaviour, self._population.people(index), last, self.day_number(day))

    def foreseen(self, index: Ints, day: date) -> Foreseen:
        """The same, given what these people did up to the day instead of their habits; all were seen by then."""
        people, number = self._population.people(index), self.day_number(day)
        return Foreseen(self._conf, self._behaviour, people, seen(self._behaviour, people, number), number)

    def day_number(self, day: date) -> int:
        """Days from the shop's first."""
        return (day - self._first).days

    def coupon(self, campaign: int, index: Ints) -> CouponTruth:
        """Treatment and effect of a campaign, numbered from 0."""
        begin = CAMPAIGN_FIRST_DAY + campaign * CAMPAIGN_EVERY_DAYS
        people = self._population.people(index)
        visits = np.sum([self._behaviour.rate(people, day) for day in range(begin, begin + CAMPAIGN_DAYS)], axis=0)
        nobody, everybody = np.zeros(len(people), dtype=np.bool_), np.ones(len(people), dtype=np.bool_)
        return CouponTruth(
            campaign=campaign_id(2 * campaign + 1),
            first=self._first + timedelta(days=begin),
            last=self._first + timedelta(days=begin + CAMPAIGN_DAYS - 1),
            propensity=self._conf.coupon_share,
            eligible=~people.in_ring,
            treated=self._population.treated(index, campaign),
            uplift=people.uplift,
            orders_without=visits * self._behaviour.order_probability(people, nobody),
            orders_with=visits * self._behaviour.order_probability(people, everybody),
        )

    def fraud_ring(self) -> FraudRing:
        members = self._population.fraud_ring
        every = np.repeat(members, len(PLATFORMS))
        platform = np.tile(np.arange(len(PLATFORMS)), len(members))
        devices = self._population.device(every, platform, np.zeros(len(every), dtype=np.bool_))
        return FraudRing(
            user_ids=tuple(self.user_ids(members)),
            device_ids=tuple(sorted({device_id(device) for device in devices.tolist()})),
            addresses=tuple(sorted({address_id(a) for a in self._population.people(members).address.tolist()})),
            skus=tuple(self._catalogue.skus[item] for item in self._behaviour.ring_items.tolist()),
        )

    def next_item_probabilities(self, person: int, last: int | None, day: date) -> Floats:
        """Probability of each item to be the next one viewed, shape (num_items,).

        Args:
            person: number of a person outside the fraud ring.
            last: the item viewed just before in the same visit; None for the visit's first view.
            day: the day on which the visit begins.
        """
        people, number = self._population.people(np.array([person])), self.day_number(day)
        style = int(people.style[0])
        place = int(self._behaviour.thread_place(people, number)[0])
        planned = np.zeros(self._catalogue.num_items)
        thread = FIRST_THREAD if last is None else AFTER_THREAD
        self._add_ring(planned, style, place + np.arange(THREAD_WIDTH), np.full(THREAD_WIDTH, thread / THREAD_WIDTH))
        if last is not None:
            begin = int(self._catalogue.ring_place[style, last])
            self._add_ring(planned, style, begin + 1 + np.arange(len(SUCCESSION)), AFTER_SUCCESSION * SUCCESSION)
        planned[~self._catalogue.on_sale(number)] = 0.0
        return np.asarray(planned + (1.0 - planned.sum()) * self._by_taste(people.favourites[0], number))

    def _add_ring(self, into: Floats, style: int, places: Ints, probabilities: Floats) -> None:
        np.add.at(into, self._catalogue.ring_items[style, places % self._catalogue.num_items], probabilities)

    def _by_taste(self, favourites: Ints, day: int) -> Floats:
        num = self._catalogue.num_categories
        by_category = np.full(num, (1.0 - TASTE_WEIGHTS.sum()) / num)
        np.add.at(by_category, favourites, TASTE_WEIGHTS)
        weight = self._catalogue.popularity(day)
        total = np.bincount(self._catalogue.category, weights=weight, minlength=num)
        return np.asarray(by_category[self._catalogue.category] * weight / total[self._catalogue.category])
