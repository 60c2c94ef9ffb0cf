"""Visits become tracker records: funnels, searches, coupons, log-ins, times of sending and arrival."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import date, timedelta
from enum import IntEnum

import numpy as np

from nightjar.settings import Simulate
from nightjar.simulate import clock
from nightjar.simulate.catalogue import Catalogue
from nightjar.simulate.noise import Bits, Bools, Floats, Ints, Noise, Stream
from nightjar.simulate.people import MINI_PROGRAM, WEB, People, Population
from nightjar.simulate.visits import MAX_VIEWS, NO_CAMPAIGN, Visits, campaign_of

NOBODY = -1
NOTHING = -1

#: A visit never lasts longer, nor has a longer silence within: the 30 minutes of a session are never reached.
MAX_VISIT_MS = 2 * clock.HOUR_MS
MAX_GAP_MS = 25 * 60_000
MAX_DELAY_MS = 60_000
_MEDIAN_GAP_MS = 25_000.0
_GAP_SIGMA = 1.1
_MEAN_DELAY_MS = 1_500.0
_ORDER_LINE_MS = 3

SEARCH_SHARE = 0.13  # of views
CART_SHARE = 0.08  # of views in visits that end without an order
CART_SHARE_BUYING = 0.2
UNCART_SHARE = 0.2  # of carted items that are not ordered
BANNER_SHARE = 0.8  # of visits while a campaign runs
CLICK_SHARE, CLICK_SHARE_TREATED = 0.2, 0.35  # of banners
COUPON_FACTOR = 0.9  # of the price, in orders of visits in which the coupon was claimed
HOME_PLATFORM_SHARE = 0.75
SECOND_BROWSER_SHARE = 0.2
LOGIN_FROM_START, LOGIN_MIDWAY = 0.72, 0.18  # of visits outside the apps; the rest stays anonymous
LOGIN_FROM_START_APP = 0.95


class Type(IntEnum):
    """What the tracker calls what happened; `TYPE_TEXTS` are the words in the log."""

    PAGE_VIEW = 0
    SEARCH = 1
    ADD_TO_CART = 2
    REMOVE_FROM_CART = 3
    ORDER = 4
    REFUND = 5
    REVIEW = 6
    COUPON_CLAIM = 7
    BANNER_CLICK = 8
    BANNER_VIEW = 9


TYPE_TEXTS = tuple(kind.name.lower() for kind in Type)
SURFACES = ("item", "search", "checkout", "home", "email", "account")
_ITEM, _SEARCH, _CHECKOUT, _HOME, _EMAIL, _ACCOUNT = range(len(SURFACES))


@dataclass(frozen=True)
class Records:
    """Tracker records as columns. `item`, `query` hold item numbers, `person` the person's; -1 is none."""

    id_high: Bits
    id_low: Bits
    type: Ints
    ts: Ints  # ms since 1970 UTC
    received: Ints
    person: Ints
    device: Bits
    platform: Ints
    agent: Ints
    item: Ints
    price: Floats
    quantity: Ints
    query: Ints
    surface: Ints
    campaign: Ints  # twice the campaign, plus 1 for its coupon; -1 is none
    order: Bits  # 0 is none
    address: Bits

    def __len__(self) -> int:
        return len(self.id_high)

    def take(self, selection: Bools | Ints) -> Records:
        return Records(**{f.name: getattr(self, f.name)[selection] for f in fields(self)})

    @staticmethod
    def concat(parts: list[Records]) -> Records:
        return Records(**{f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Records)})


@dataclass(frozen=True)
class _Actions:
    """One entry per record: row of the visit, place within it, what and with which item."""

    visit: Ints
    place: Ints
    type: Ints
    item: Ints
    step: Ints

    @staticmethod
    def of(kind: Type, visit: Ints, place: Ints, item: Ints | None = None, step: Ints | None = None) -> _Actions:
        nothing = np.full(len(visit), NOTHING, dtype=np.int64)
        types = np.full(len(visit), int(kind), dtype=np.int64)
        return _Actions(visit, place, types, nothing if item is None else item, nothing if step is None else step)

    @staticmethod
    def in_order(parts: list[_Actions]) -> _Actions:
        columns = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(_Actions)}
        order = np.lexsort((columns["place"], columns["visit"]))
        return _Actions(**{name: column[order] for name, column in columns.items()})


class Tracker:
    """Writes down what visits do; pure, and each call stands alone."""

    def __init__(self, conf: Simulate, catalogue: Catalogue, population: Population, noise: Noise) -> None:
        self._catalogue = catalogue
        self._population = population
        self._noise = noise
        self._first = date.fromisoformat(conf.start)

    def records(self, people: People, visits: Visits, items: Ints, day: int) -> Records:
        """All records of visits that start on `day`; each visit's in order of time."""
        if not len(visits):
            return self._empty()
        claimed, clicked, shown = self._banners(people, visits, day)
        actions = self._actions(visits, items, shown, clicked, claimed)
        first = np.searchsorted(actions.visit, np.arange(len(visits)))
        slot = np.arange(len(actions.visit)) - first[actions.visit]
        ts = self._times(visits, actions, slot, first, day)
        late = self._is_late(visits, actions.visit, slot)
        return self._columns(
            people, visits, actions, slot, ts, self._received(visits, actions.visit, slot, ts, late, day), claimed, day
        )

    def follow_ups(self, people: People, visits: Visits, items: Ints, bought: int, day: int) -> Records:
        """Refunds and reviews that people send on `day` for what they bought in visits of the day `bought`."""
        done = self.records(people, visits, items, bought)
        lines = done.take(done.type == Type.ORDER)
        # An order number is made of its visit's key, which leads back to the visit.
        by_order = np.argsort(visits.key)
        visit = by_order[np.searchsorted(visits.key[by_order], lines.order)]
        keep = people.churned[visits.person[visit]] > day
        lines, visit = lines.take(keep), visit[keep]
        key = self._noise.bits(Stream.FOLLOW_UP, lines.id_high, lines.id_low)
        at = clock.on_the_daily_curve(self._noise.uniform(Stream.FOLLOW_UP, visits.key[visit], 1))
        ts = clock.instants(self._first + timedelta(days=day), np.minimum(at, 0.999)) + np.arange(len(key)) % 50
        return replace(
            lines,
            id_high=self._noise.bits(Stream.EVENT_ID, key, 0),
            id_low=self._noise.bits(Stream.EVENT_ID, key, 1),
            type=np.where(visits.returns[visit], int(Type.REFUND), int(Type.REVIEW)),
            ts=ts,
            received=ts + 400,
            surface=np.full(len(key), _ACCOUNT, dtype=np.int64),
            campaign=np.full(len(key), NOTHING, dtype=np.int64),
        )

    def may_cross_midnight(self, visits: Visits) -> Bools:
        """Visits so late in the day that a record may arrive the day after."""
        # The day of the spring clock change has 23 hours.
        return np.asarray(visits.start > 1.0 - (MAX_VISIT_MS + MAX_DELAY_MS) / (23 * clock.HOUR_MS))

    def _banners(self, people: People, visits: Visits, day: int) -> tuple[Bools, Bools, Bools]:
        draw = self._noise.uniform
        ring = people.in_ring[visits.person]
        running = campaign_of(day) != NO_CAMPAIGN
        shown = running & ((draw(Stream.VISIT_COUPON, visits.key, 0) < BANNER_SHARE) | ring)
        clicks = np.where(visits.treated, CLICK_SHARE_TREATED, CLICK_SHARE)
        clicked = shown & ((draw(Stream.VISIT_COUPON, visits.key, 1) < clicks) | ring)
        return np.asarray(clicked & visits.treated), np.asarray(clicked), np.asarray(shown)

    def _actions(self, visits: Visits, items: Ints, shown: Bools, clicked: Bools, claimed: Bools) -> _Actions:
        draw = self._noise.uniform
        visit, step = np.nonzero(items >= 0)
        item, key, buys = items[visit, step], visits.key[visit], visits.buys[visit]
        searched = draw(Stream.STEP_SEARCH, key, step) < SEARCH_SHARE
        carted = draw(Stream.STEP_CART, key, step, 0) < np.where(buys, CART_SHARE_BUYING, CART_SHARE)
        carted |= buys & (step == visits.length[visit] - 1)
        uncarted = carted & ~buys & (draw(Stream.STEP_CART, key, step, 1) < UNCART_SHARE)
        ordered = carted & buys

        def at_steps(kind: Type, which: Bools, place: Ints) -> _Actions:
            return _Actions.of(kind, visit[which], place[which], item[which], step[which])

        def at_start(kind: Type, which: Bools, place: int) -> _Actions:
            rows = np.flatnonzero(which)
            return _Actions.of(kind, rows, np.full(len(rows), place, dtype=np.int64))

        return _Actions.in_order(
            [
                at_start(Type.BANNER_VIEW, shown, -3),
                at_start(Type.BANNER_CLICK, clicked, -2),
                at_start(Type.COUPON_CLAIM, claimed, -1),
                at_steps(Type.SEARCH, searched, 4 * step),
                at_steps(Type.PAGE_VIEW, np.ones(len(visit), dtype=np.bool_), 4 * step + 1),
                at_steps(Type.ADD_TO_CART, carted, 4 * step + 2),
                at_steps(Type.REMOVE_FROM_CART, uncarted, 4 * step + 3),
                at_steps(Type.ORDER, ordered, 4 * MAX_VIEWS + step),
            ]
        )

    def _times(self, visits: Visits, actions: _Actions, slot: Ints, first: Ints, day: int) -> Ints:
        key = visits.key[actions.visit]
        gap = _MEDIAN_GAP_MS * np.exp(_GAP_SIGMA * self._noise.normal(Stream.EVENT_GAP, key, slot))
        gap = np.clip(gap, 1_000.0, MAX_GAP_MS)
        same_order = np.zeros(len(slot), dtype=np.bool_)
        same_order[1:] = (actions.type[1:] == Type.ORDER) & (actions.type[:-1] == Type.ORDER)
        gap[same_order] = _ORDER_LINE_MS
        gap[first] = 0.0
        elapsed = np.cumsum(gap)
        elapsed -= elapsed[first][actions.visit]
        last = np.append(first[1:], len(slot)) - 1
        shrink = np.minimum(1.0, MAX_VISIT_MS / np.maximum(elapsed[last], 1.0))
        start = clock.instants(self._first + timedelta(days=day), visits.start)
        return np.asarray(start[actions.visit] + (elapsed * shrink[actions.visit]).astype(np.int64))

    def _is_late(self, visits: Visits, visit: Ints, slot: Ints) -> Bools:
        cut = self._noise.uniform(Stream.VISIT_LATE, visits.key, 2)
        num = np.bincount(visit, minlength=len(visits))
        return np.asarray((visits.late_days[visit] > 0) & ((slot + 0.5) / num[visit] >= cut[visit]))

    def _received(self, visits: Visits, visit: Ints, slot: Ints, ts: Ints, late: Bools, day: int) -> Ints:
        delay = self._noise.exponential(Stream.EVENT_DELAY, visits.key[visit], slot) * _MEAN_DELAY_MS + 150.0
        received = ts + np.minimum(delay, MAX_DELAY_MS).astype(np.int64)
        upload = np.minimum(self._noise.uniform(Stream.EVENT_DELAY, visits.key), 0.99)
        for days in np.unique(visits.late_days[visit[late]]).tolist():
            at = clock.instants(self._first + timedelta(days=day + days), upload)[visit] + 10 * slot
            received = np.where(late & (visits.late_days[visit] == days), np.maximum(at, received), received)
        return received

    def _columns(
        self,
        people: People,
        visits: Visits,
        actions: _Actions,
        slot: Ints,
        ts: Ints,
        received: Ints,
        claimed: Bools,
        day: int,
    ) -> Records:
        visit, item, step = actions.visit, actions.item, actions.step
        key = visits.key[visit]
        platform, device = self._devices(people, visits)
        order = actions.type == Type.ORDER
        searches = actions.type == Type.SEARCH
        with_item = (item >= 0) & ~searches
        price = self._catalogue.price(day, np.maximum(item, 0))
        price = np.where(order & claimed[visit], np.round(price * COUPON_FACTOR, 2), price)
        extra = self._noise.uniform(Stream.STEP_QUANTITY, key, np.maximum(step, 0))
        return Records(
            id_high=self._noise.bits(Stream.EVENT_ID, key, slot, 0),
            id_low=self._noise.bits(Stream.EVENT_ID, key, slot, 1),
            type=actions.type,
            ts=ts,
            received=received,
            person=np.where(
                self._logged_in(people, visits, platform, visit, slot), people.index[visits.person][visit], NOBODY
            ),
            device=device[visit],
            platform=platform[visit],
            agent=people.agent[visits.person][visit],
            item=np.where(with_item, item, NOTHING),
            price=np.where(with_item, price, np.nan),
            quantity=1 + (extra < 0.12).astype(np.int64) + (extra < 0.03),
            query=np.where(searches, item, NOTHING),
            surface=self._surfaces(key, actions.type),
            campaign=self._campaigns(visits, actions, claimed, day),
            order=np.where(order, key, np.uint64(0)),
            address=np.where(order, people.address[visits.person][visit], np.uint64(0)),
        )

    def _devices(self, people: People, visits: Visits) -> tuple[Ints, Bits]:
        draw = self._noise.uniform(Stream.VISIT_PLATFORM, visits.key, 0)
        other = self._noise.below(4, Stream.VISIT_PLATFORM, visits.key, 1)
        platform = np.where(draw < HOME_PLATFORM_SHARE, people.home[visits.person], other)
        second = (self._noise.uniform(Stream.VISIT_PLATFORM, visits.key, 2) < SECOND_BROWSER_SHARE) & (platform == WEB)
        return platform, self._population.device(people.index[visits.person], platform, second)

    def _logged_in(self, people: People, visits: Visits, platform: Ints, visit: Ints, slot: Ints) -> Bools:
        draw = self._noise.uniform(Stream.VISIT_LOGIN, visits.key, 0)
        in_app = (platform != WEB) & (platform != MINI_PROGRAM)
        from_start = (draw < np.where(in_app, LOGIN_FROM_START_APP, LOGIN_FROM_START)) | people.in_ring[visits.person]
        # Nobody orders anonymously: who buys has logged in by two thirds of the visit, before the last records.
        midway = (draw < LOGIN_FROM_START + LOGIN_MIDWAY) | visits.buys
        begins = self._noise.uniform(Stream.VISIT_LOGIN, visits.key, 1) * (2.0 / 3.0)
        begins = np.where(from_start, 0.0, np.where(midway, begins, np.inf))
        num = np.bincount(visit, minlength=len(visits))
        return np.asarray(slot >= np.where(np.isinf(begins), np.inf, np.floor(begins * num))[visit])

    def _surfaces(self, key: Bits, types: Ints) -> Ints:
        by_type = np.full(len(Type), _ITEM, dtype=np.int64)
        by_type[[Type.SEARCH, Type.ORDER]] = _SEARCH, _CHECKOUT
        mailed = self._noise.uniform(Stream.VISIT_COUPON, key, 2) < 0.2
        banner = types >= Type.COUPON_CLAIM
        return np.asarray(np.where(banner, np.where(mailed, _EMAIL, _HOME), by_type[types]))

    def _campaigns(self, visits: Visits, actions: _Actions, claimed: Bools, day: int) -> Ints:
        code = 2 * campaign_of(day) + visits.treated[actions.visit].astype(np.int64)
        attributed = (actions.type >= Type.COUPON_CLAIM) | ((actions.type == Type.ORDER) & claimed[actions.visit])
        return np.asarray(np.where(attributed, code, NOTHING))

    def _empty(self) -> Records:
        kinds = {"Bits": np.uint64, "Ints": np.int64, "Floats": np.float64}
        return Records(**{f.name: np.zeros(0, dtype=kinds[str(f.type)]) for f in fields(Records)})
