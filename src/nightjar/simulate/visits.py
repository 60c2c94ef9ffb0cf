"""Who visits on a day, and which items each visit goes through."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date, timedelta

import numpy as np

from nightjar.settings import Simulate
from nightjar.simulate import clock
from nightjar.simulate.catalogue import SUCCESSION, Catalogue
from nightjar.simulate.noise import Bits, Bools, Floats, Ints, Noise, Stream
from nightjar.simulate.people import RING_ITEMS, TASTE_WEIGHTS, People, Population

MAX_VISITS_A_DAY = 6
MEAN_VIEWS = 7.0
MAX_VIEWS = 30
MAX_LATE_DAYS = 3
MAX_FOLLOW_UP_DAYS = 7
RETURN_SHARE = 0.1  # of visits that end in an order
REVIEW_SHARE = 0.2
#: Where the next viewed item comes from: the style's ring, the person's long project, or taste.
AFTER_SUCCESSION, AFTER_THREAD = 0.5, 0.2
#: Where a visit's first item comes from when not from taste.
FIRST_THREAD = 0.65
#: Places by which a person's project moves on between two average visits.
THREAD_STRIDE = 1.0
THREAD_WIDTH = 4
CAMPAIGN_EVERY_DAYS, CAMPAIGN_FIRST_DAY, CAMPAIGN_DAYS = 28, 7, 14
NO_CAMPAIGN = -1


@dataclass(frozen=True)
class Visits:
    """Visits that start on one day, one entry each; `person` is the row in the chunk of people."""

    person: Ints
    key: Bits
    start: Floats  # fraction of the day
    length: Ints  # item views
    buys: Bools
    treated: Bools
    late_days: Ints  # 0: every record arrives at once
    follow_up_days: Ints  # when something bought is returned or reviewed; 0: never
    returns: Bools

    def __len__(self) -> int:
        return len(self.person)

    def where(self, mask: Bools) -> Visits:
        return Visits(**{f.name: getattr(self, f.name)[mask] for f in fields(self)})


def campaign_of(day: int) -> int:
    """The coupon campaign that runs on a day, or NO_CAMPAIGN."""
    since = day - CAMPAIGN_FIRST_DAY
    running = since >= 0 and since % CAMPAIGN_EVERY_DAYS < CAMPAIGN_DAYS
    return since // CAMPAIGN_EVERY_DAYS if running else NO_CAMPAIGN


class Behaviour:
    """How the people of a shop behave on a day; pure, and each call stands alone."""

    def __init__(self, conf: Simulate, catalogue: Catalogue, population: Population, noise: Noise) -> None:
        self._conf = conf
        self._catalogue = catalogue
        self._population = population
        self._noise = noise
        self._first = date.fromisoformat(conf.start)
        self.ring_items = catalogue.expensive(RING_ITEMS)

    def rate(self, people: People, day: int) -> Floats:
        """Expected visits of each person on a day."""
        return np.asarray(np.where(people.present(day), self.rate_while_present(people, day), 0.0))

    def rate_while_present(self, people: People, day: int) -> Floats:
        """Expected visits of each person on a day, if the person has not left."""
        factor = clock.weekday_factor(self._first + timedelta(days=day))
        rate = self._conf.sessions_per_person_day * factor * people.activity
        return np.asarray(np.minimum(rate, MAX_VISITS_A_DAY / 2))

    def order_probability(self, people: People, treated: Bools) -> Floats:
        """Probability that a visit ends in an order."""
        return np.asarray(people.buying + np.where(treated, people.uplift, 0.0))

    def visits(self, people: People, day: int) -> Visits:
        """Visits that start on the day, by person and start."""
        noise, counts = self._noise, self._counts(people, day)
        person = np.repeat(np.arange(len(people)), counts)
        ordinal = np.arange(len(person)) - np.repeat(np.cumsum(counts) - counts, counts)
        key = noise.bits(Stream.VISIT_KEY, people.index[person], day, ordinal)
        # Visits of one person take turns over the day, so that they rarely run into each other.
        turn = (ordinal + noise.uniform(Stream.VISIT_START, key)) / counts[person]
        treated = self.treated(people, day)
        buys = noise.uniform(Stream.VISIT_BUYS, key) < self.order_probability(people, treated)[person]
        follow_up_days, returns = self._follow_ups(key, buys, people.in_ring[person])
        return Visits(
            person=person,
            key=key,
            start=clock.on_the_daily_curve(turn),
            length=self._lengths(key),
            buys=buys,
            treated=treated[person],
            late_days=self._late_days(key),
            follow_up_days=follow_up_days,
            returns=returns,
        )

    def treated(self, people: People, day: int) -> Bools:
        """Who holds a coupon on the day."""
        campaign = campaign_of(day)
        if campaign == NO_CAMPAIGN:
            return np.zeros(len(people), dtype=np.bool_)
        return self._population.treated(people.index, campaign)

    def thread_place(self, people: People, day: int) -> Ints:
        """Place on the style's ring that each person's long project has reached: tonight's visits start near it."""
        pace = THREAD_STRIDE * self._conf.sessions_per_person_day * people.activity
        return np.asarray(people.thread + (pace * day).astype(np.int64))

    def walk(self, people: People, visits: Visits, day: int) -> Ints:
        """Items of each visit in order of view, shape (visits, MAX_VIEWS); -1 after the last."""
        items = np.full((len(visits), MAX_VIEWS), -1, dtype=np.int64)
        order = np.argsort(-visits.length, kind="stable")
        place = self.thread_place(people, day)
        on_sale = self._catalogue.on_sale(day)
        for step in range(int(visits.length.max(initial=0))):
            rows = order[: int(np.count_nonzero(visits.length > step))]
            last = items[rows, step - 1] if step else None
            items[rows, step] = self._next(
                people, visits.person[rows], visits.key[rows], place, last, step, on_sale, day
            )
        ring = np.flatnonzero(people.in_ring[visits.person])
        wanted = self._noise.below(
            len(self.ring_items), Stream.STEP_ITEM, visits.key[ring][:, None], np.arange(MAX_VIEWS), 1
        )
        items[ring] = np.where(items[ring] >= 0, self.ring_items[wanted], -1)
        return items

    def _next(
        self,
        people: People,
        person: Ints,
        key: Bits,
        place: Ints,
        last: Ints | None,
        step: int,
        on_sale: Bools,
        day: int,
    ) -> Ints:
        noise, style = self._noise, people.style[person]
        item = self._by_taste(people.favourites[person], key, step, day)
        route = noise.uniform(Stream.STEP_ROUTE, key, step)
        rank = noise.uniform(Stream.STEP_RANK, key, step)
        ahead = place[person] + (rank * THREAD_WIDTH).astype(np.int64)
        threaded = self._catalogue.ring_items[style, ahead % self._catalogue.num_items]
        if last is None:
            chosen, alternative = route < FIRST_THREAD, threaded
        else:
            steps = 1 + np.searchsorted(np.cumsum(SUCCESSION)[:-1], rank, side="right")
            follows = route < AFTER_SUCCESSION
            chosen = route < AFTER_SUCCESSION + AFTER_THREAD
            alternative = np.where(follows, self._catalogue.successor(style, last, steps), threaded)
        # What is not on sale cannot be viewed: taste decides instead.
        return np.asarray(np.where(chosen & on_sale[alternative], alternative, item))

    def _by_taste(self, favourites: Ints, key: Bits, step: int, day: int) -> Ints:
        which = self._noise.uniform(Stream.STEP_CATEGORY, key, step)
        rank = np.searchsorted(np.cumsum(TASTE_WEIGHTS), which, side="right")
        rest = (which - TASTE_WEIGHTS.sum()) / (1.0 - TASTE_WEIGHTS.sum()) * self._catalogue.num_categories
        favourite = favourites[np.arange(len(key)), np.minimum(rank, 2)]
        category = np.where(rank < 3, favourite, np.clip(rest.astype(np.int64), 0, self._catalogue.num_categories - 1))
        return self._catalogue.draw(day, category, self._noise.uniform(Stream.STEP_ITEM, key, step, 0))

    def _counts(self, people: People, day: int) -> Ints:
        """Poisson by inversion, cut at MAX_VISITS_A_DAY."""
        rate = self.rate(people, day)
        uniform = self._noise.uniform(Stream.VISIT_COUNT, people.index, day)
        term = np.exp(-rate)
        below, counts = term.copy(), np.zeros(len(people), dtype=np.int64)
        for count in range(1, MAX_VISITS_A_DAY + 1):
            counts += uniform >= below
            term = term * rate / count
            below += term
        return counts

    def _lengths(self, key: Bits) -> Ints:
        geometric = self._noise.exponential(Stream.VISIT_LENGTH, key) / -np.log1p(-1.0 / MEAN_VIEWS)
        return np.asarray(np.minimum(1 + geometric.astype(np.int64), MAX_VIEWS))

    def _late_days(self, key: Bits) -> Ints:
        # A late visit loses the network at a uniform moment, so half of its records are late on average.
        late = self._noise.uniform(Stream.VISIT_LATE, key, 0) < 2.0 * self._conf.late_share
        return np.asarray(np.where(late, 1 + self._noise.below(MAX_LATE_DAYS, Stream.VISIT_LATE, key, 1), 0))

    def _follow_ups(self, key: Bits, buys: Bools, in_ring: Bools) -> tuple[Ints, Bools]:
        draw = self._noise.uniform(Stream.VISIT_FOLLOW_UP, key, 0)
        returns = draw < np.where(in_ring, 0.9, RETURN_SHARE)
        any_follow_up = buys & (returns | (draw < RETURN_SHARE + REVIEW_SHARE))
        days = 1 + self._noise.below(MAX_FOLLOW_UP_DAYS, Stream.VISIT_FOLLOW_UP, key, 1)
        return np.asarray(np.where(any_follow_up, days, 0)), np.asarray(returns)
