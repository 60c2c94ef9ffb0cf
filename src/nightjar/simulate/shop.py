"""The synthetic shop: drops of raw lines, day by day, and the truth behind them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from nightjar.contracts import BadInput
from nightjar.settings import Simulate
from nightjar.simulate import clock
from nightjar.simulate.bots import Crawlers
from nightjar.simulate.catalogue import Catalogue
from nightjar.simulate.dirt import Dirt
from nightjar.simulate.noise import Bools, Ints, Noise
from nightjar.simulate.people import People, Population
from nightjar.simulate.records import Records, Tracker
from nightjar.simulate.truth import Truth
from nightjar.simulate.visits import MAX_FOLLOW_UP_DAYS, Behaviour, Visits

#: People drawn at once: memory of a drop is about 100 MB whatever the shop's size (items come on top).
PEOPLE_PER_CHUNK = 32_768
BOTS_PER_CHUNK = 256


@dataclass(frozen=True)
class Chunk:
    """Some lines of a drop, and how many are clean, duplicates, conflicts, malformed, late or a bot's."""

    lines: list[str]
    counts: Counter[str]


class Shop:
    """One shop, fully described by its settings: equal settings give equal bytes.

    Every day stands alone: a drop is computed from the seed, never from earlier drops.
    """

    def __init__(self, conf: Simulate) -> None:
        noise = Noise(conf.seed)
        self.conf = conf
        self.first = _first_day(conf)
        self._catalogue = Catalogue(conf, noise)
        self._population = Population(conf, self._catalogue, noise)
        self._behaviour = Behaviour(conf, self._catalogue, self._population, noise)
        self._tracker = Tracker(conf, self._catalogue, self._population, noise)
        self._crawlers = Crawlers(conf, self._catalogue, noise)
        self._dirt = Dirt(conf, self._catalogue, noise)
        self.truth = Truth(conf, self._catalogue, self._population, self._behaviour)

    def drop(self, day: date) -> Iterator[str]:
        """Raw lines that arrive on the day, without line ends; grouped by chunks of people, then by arrival.

        Raises:
            BadInput: the day is before the shop's first day.
        """
        for chunk in self.chunks(day):
            yield from chunk.lines

    def chunks(self, day: date) -> Iterator[Chunk]:
        """The same lines with their counts."""
        number = self.day_number(day)
        for index in _chunks_of(self.conf.num_people, PEOPLE_PER_CHUNK):
            yield self._chunk(self._arriving(self._population.people(index), number), number, "people")
        for bots in _chunks_of(self._crawlers.num_bots, BOTS_PER_CHUNK):
            yield self._chunk(self._crawlers.records(bots, number), number, "bots")

    def day_number(self, day: date) -> int:
        """Days since the shop's first day."""
        number = (day - self.first).days
        if number < 0:
            raise BadInput(
                f"{day} is before the synthetic shop's first day {self.first}",
                f"choose a day from {self.first} on, or add --set simulate.start='\"{day}\"'",
            )
        return number

    def _chunk(self, records: Records, day: int, actors: str) -> Chunk:
        lines, counts = self._dirt.lines(records)
        late = (
            int(np.count_nonzero(records.ts < clock.midnight(self._date(day)) - 2 * 60_000))
            if actors == "people"
            else 0
        )
        return Chunk(lines, Counter(counts | {"late": late, actors: len(records)}))

    def _arriving(self, people: People, day: int) -> Records:
        """Clean records of these people that arrive on the day, whenever their visits began."""
        parts = []
        for began in range(max(0, day - MAX_FOLLOW_UP_DAYS), day + 1):
            visits = self._behaviour.visits(people, began)
            sending = visits.where(self._may_arrive(visits, day - began))
            parts.append(self._tracker.records(people, sending, self._behaviour.walk(people, sending, began), began))
            if began < day:
                due = visits.where(visits.follow_up_days == day - began)
                parts.append(
                    self._tracker.follow_ups(people, due, self._behaviour.walk(people, due, began), began, day)
                )
        records = Records.concat(parts)
        begin, end = clock.midnight(self._date(day)), clock.midnight(self._date(day + 1))
        return records.take((begin <= records.received) & (records.received < end))

    def _may_arrive(self, visits: Visits, days_later: int) -> Bools:
        """Visits that may have records in the drop so many days after their beginning."""
        if days_later == 0:
            return np.ones(len(visits), dtype=np.bool_)
        late = visits.late_days == days_later
        return np.asarray(late | self._tracker.may_cross_midnight(visits)) if days_later == 1 else late

    def _date(self, day: int) -> date:
        return self.first + timedelta(days=day)


def _first_day(conf: Simulate) -> date:
    try:
        return date.fromisoformat(conf.start)
    except ValueError as error:
        raise BadInput(f"simulate.start is no day: {conf.start}", "write it as YYYY-MM-DD in conf/base.toml") from error


def _chunks_of(total: int, size: int) -> Iterator[Ints]:
    for begin in range(0, total, size):
        yield np.arange(begin, min(begin + size, total), dtype=np.int64)
