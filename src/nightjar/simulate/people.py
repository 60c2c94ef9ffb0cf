"""Who visits the shop: tastes, habits, devices, and how each answers a coupon."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nightjar.settings import Simulate
from nightjar.simulate.catalogue import NEVER, NUM_STYLES, Catalogue
from nightjar.simulate.noise import Bits, Bools, Floats, Ints, Noise, Stream

WEB, IOS, ANDROID, MINI_PROGRAM = range(4)
PLATFORMS = ("web", "ios", "android", "mini_program")
#: Weights of a person's three favourite categories; what is left goes to all categories alike.
TASTE_WEIGHTS = np.array([0.5, 0.25, 0.15])
JOIN_LATER_SHARE = 0.2
JOIN_MEAN_DAYS = 45.0
#: A person who will churn leaves each day after joining with probability 1 / this.
CHURN_MEAN_DAYS = 60.0
ACTIVITY_SIGMA = 1.0
MAX_ACTIVITY = 12.0
#: Probability that a visit ends in an order, without coupon: evenly between these.
LEAST_BUYING, MOST_BUYING = 0.05, 0.17
RING_ITEMS = 5
RING_ACTIVITY = 1.4
#: The uplift of a coupon on the probability that a visit ends in an order is MAX_UPLIFT x sensitivity squared.
MAX_UPLIFT = 0.24

_HOME_SHARES = np.cumsum([0.45, 0.2, 0.2, 0.15])


@dataclass(frozen=True)
class People:
    """A chunk of people; arrays have one entry per person. Days count from the shop's first, 0.

    `favourites` has shape (people, 3), best first.
    """

    index: Ints
    joined: Ints
    churned: Ints  # the first day without the person; NEVER for most
    activity: Floats  # visits relative to the average person
    favourites: Ints
    style: Ints
    thread: Ints  # place on the style's ring where the person's long project began
    home: Ints
    buying: Floats  # probability that a visit ends in an order, without coupon
    uplift: Floats  # what a coupon adds to it
    agent: Ints
    address: Bits
    in_ring: Bools

    def __len__(self) -> int:
        return len(self.index)

    def present(self, day: int) -> Bools:
        return np.asarray((self.joined <= day) & (day < self.churned))


class Population:
    """Everybody, drawn chunk by chunk: a person's row never depends on the chunk it is drawn in."""

    def __init__(self, conf: Simulate, catalogue: Catalogue, noise: Noise) -> None:
        self._conf = conf
        self._catalogue = catalogue
        self._noise = noise
        self.fraud_ring = self._ring_members()

    def people(self, index: Ints) -> People:
        noise, in_ring = self._noise, np.isin(index, self.fraud_ring)
        joined = self._joined(index)
        sensitivity = noise.uniform(Stream.PERSON_UPLIFT, index)
        address = noise.bits(Stream.PERSON_ADDRESS, index)
        return People(
            index=index,
            joined=np.where(in_ring, 0, joined),
            churned=np.where(in_ring, NEVER, self._churned(index, joined)),
            activity=np.where(in_ring, RING_ACTIVITY, self._activity(index)),
            favourites=self._favourites(index),
            style=noise.below(NUM_STYLES, Stream.PERSON_STYLE, index),
            thread=noise.below(self._catalogue.num_items, Stream.PERSON_THREAD, index, 0),
            home=np.searchsorted(_HOME_SHARES, noise.uniform(Stream.PERSON_PLATFORM, index), side="right"),
            buying=np.where(in_ring, 0.6, self._buying(index)),
            uplift=np.where(in_ring, 0.0, MAX_UPLIFT * sensitivity**2),
            agent=noise.below(1000, Stream.PERSON_AGENT, index),
            address=np.where(in_ring, noise.bits(Stream.FRAUD, self.ring_group(index), 1), address),
            in_ring=in_ring,
        )

    def device(self, index: Ints, platform: Ints, second: Bools) -> Bits:
        """Device of a person on a platform; ring members of one group share theirs, `second` is a second browser."""
        own = self._noise.bits(Stream.DEVICE, index, platform * 2 + second)
        shared = self._noise.bits(Stream.FRAUD, self.ring_group(index), 2 + platform)
        return np.asarray(np.where(np.isin(index, self.fraud_ring), shared, own))

    def treated(self, index: Ints, campaign: int) -> Bools:
        """Coupon treatment: an independent coin per person and campaign, the propensity is `coupon_share`.

        The fraud ring gets hold of every coupon, so it is no part of the experiment.
        """
        coin = self._noise.uniform(Stream.TREATMENT, index, campaign) < self._conf.coupon_share
        return np.asarray(coin | np.isin(index, self.fraud_ring))

    def ring_group(self, index: Ints) -> Ints:
        """Households of the fraud ring: six people each."""
        return np.asarray(np.searchsorted(self.fraud_ring, index) // 6)

    def _ring_members(self) -> Ints:
        wanted, members, draw = min(self._conf.fraud_ring_people, self._conf.num_people), set[int](), 0
        while len(members) < wanted:
            members.add(int(self._noise.below(self._conf.num_people, Stream.FRAUD, draw, 0)[0]))
            draw += 1
        return np.array(sorted(members), dtype=np.int64)

    def _joined(self, index: Ints) -> Ints:
        later = self._noise.uniform(Stream.PERSON_JOIN, index, 0) < JOIN_LATER_SHARE
        wait = 1 + (self._noise.exponential(Stream.PERSON_JOIN, index, 1) * JOIN_MEAN_DAYS).astype(np.int64)
        return np.asarray(np.where(later, wait, 0))

    def _churned(self, index: Ints, joined: Ints) -> Ints:
        churns = self._noise.uniform(Stream.PERSON_CHURN, index, 0) < self._conf.churn_share
        # floor(exponential / rate) is geometric: the daily hazard is constant, 1 - exp(-rate).
        rate = -np.log1p(-1.0 / CHURN_MEAN_DAYS)
        stay = 1 + (self._noise.exponential(Stream.PERSON_CHURN, index, 1) / rate).astype(np.int64)
        return np.asarray(np.where(churns, joined + stay, NEVER))

    def _activity(self, index: Ints) -> Floats:
        draws = self._noise.normal(Stream.PERSON_ACTIVITY, index)
        return np.minimum(np.exp(ACTIVITY_SIGMA * draws - ACTIVITY_SIGMA**2 / 2.0), MAX_ACTIVITY)

    def _buying(self, index: Ints) -> Floats:
        return LEAST_BUYING + (MOST_BUYING - LEAST_BUYING) * self._noise.uniform(Stream.PERSON_BUYING, index)

    def _favourites(self, index: Ints) -> Ints:
        num = self._catalogue.num_categories
        return np.stack([self._noise.below(num, Stream.PERSON_TASTE, index, rank) for rank in range(3)], axis=1)
