"""Programs that crawl the shop: half of them say so in their user agent, half only by their pace."""

from __future__ import annotations

from datetime import date, timedelta

import numpy as np

from nightjar.settings import Simulate
from nightjar.simulate import clock
from nightjar.simulate.catalogue import Catalogue
from nightjar.simulate.noise import Bools, Ints, Noise, Stream
from nightjar.simulate.people import WEB
from nightjar.simulate.records import NOBODY, NOTHING, Records, Type

HONEST_SHARE_OF_DAYS, HONEST_PAGES = 0.6, (30, 120)
#: A silent bot takes all its pages within one clock hour, more than any person could read.
SILENT_SHARE_OF_DAYS, SILENT_PAGES, SILENT_SPAN_MS = 0.15, (350, 600), 40 * 60_000
AGENT_OFFSET = 1_000_000  # agents of bots; smaller ones are people's


class Crawlers:
    def __init__(self, conf: Simulate, catalogue: Catalogue, noise: Noise) -> None:
        share = conf.bot_share
        # `bot_share` is of all actors, people and bots together.
        self.num_bots = round(conf.num_people * share / (1.0 - share)) if share < 1.0 else conf.num_people
        self._catalogue = catalogue
        self._noise = noise
        self._first = date.fromisoformat(conf.start)

    def is_honest(self, bot: Ints) -> Bools:
        return np.asarray(bot % 2 == 0)

    def records(self, bots: Ints, day: int) -> Records:
        """What these bots fetch on a day; everything arrives on the same day."""
        pages = self._pages(bots, day)
        bot = np.repeat(bots, pages)
        nth = np.arange(len(bot)) - np.repeat(np.cumsum(pages) - pages, pages)
        ts = self._times(bot, nth, np.repeat(pages, pages), day)
        on_sale = np.flatnonzero(self._catalogue.on_sale(day))
        item = on_sale[self._noise.below(len(on_sale), Stream.BOT_ITEM, bot, day, nth)]
        nothing = np.full(len(bot), NOTHING, dtype=np.int64)
        none = np.zeros(len(bot), dtype=np.uint64)
        return Records(
            id_high=self._noise.bits(Stream.BOT, bot, day, nth, 0),
            id_low=self._noise.bits(Stream.BOT, bot, day, nth, 1),
            type=np.full(len(bot), int(Type.PAGE_VIEW), dtype=np.int64),
            ts=ts,
            received=ts + 120,
            person=np.full(len(bot), NOBODY, dtype=np.int64),
            device=self._noise.bits(Stream.BOT, bot),
            platform=np.full(len(bot), WEB, dtype=np.int64),
            agent=np.where(self.is_honest(bot), AGENT_OFFSET + bot, bot % 1000),
            item=item,
            price=self._catalogue.price(day, item),
            quantity=np.ones(len(bot), dtype=np.int64),
            query=nothing,
            surface=np.zeros(len(bot), dtype=np.int64),
            campaign=nothing,
            order=none,
            address=none,
        )

    def _pages(self, bots: Ints, day: int) -> Ints:
        honest = self.is_honest(bots)
        active = self._noise.uniform(Stream.BOT, bots, day, 0) < np.where(
            honest, HONEST_SHARE_OF_DAYS, SILENT_SHARE_OF_DAYS
        )
        low = np.where(honest, HONEST_PAGES[0], SILENT_PAGES[0])
        high = np.where(honest, HONEST_PAGES[1], SILENT_PAGES[1])
        pages = low + (self._noise.uniform(Stream.BOT, bots, day, 1) * (high - low)).astype(np.int64)
        return np.asarray(np.where(active, pages, 0))

    def _times(self, bot: Ints, nth: Ints, pages: Ints, day: int) -> Ints:
        # Hours 0 to 21 of the day, so that no page falls behind midnight, not even in spring.
        hour = self._noise.below(22, Stream.BOT, bot, day, 2)
        begin = clock.midnight(self._first + timedelta(days=day)) + hour * clock.HOUR_MS
        span = np.where(self.is_honest(bot), 90_000 * pages // 60, SILENT_SPAN_MS)
        return np.asarray(
            begin + nth * span // np.maximum(pages, 1) + self._noise.below(400, Stream.BOT, bot, day, 3, nth)
        )
