"""What goes wrong between tracker and drop: re-sent, contradictory and malformed records."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from nightjar.settings import Simulate
from nightjar.simulate.catalogue import Catalogue
from nightjar.simulate.lines import render
from nightjar.simulate.noise import Bools, Noise, Stream
from nightjar.simulate.records import Records

#: Of re-sent records: the same id with another price.
CONFLICT_SHARE = 0.02
RESEND_MS = 10 * 60_000

_ACTOR = re.compile(r'"user_id":(?:"[^"]*"|null),"device_id":"[^"]*"')
_ID = re.compile(r'"id":"[^"]*"')
_TS = re.compile(r'"ts":(?:"[^"]*"|\d+)')
_SKU = re.compile(r'"sku":"[^"]*"')
_PRICE = re.compile(r'"price":[\d.]+')
_QUANTITY = re.compile(r'"qty":\d+')


def _cut(line: str) -> str:
    return line[: len(line) * 2 // 3]


#: Ways to break any record, then ways to break a record with a product.
_BREAK_ANY = (
    _cut,
    lambda line: _ACTOR.sub('"user_id":null,"device_id":null', line),
    lambda line: _ID.sub('"id":null', line),
    lambda line: _TS.sub('"ts":"2001-13-41T25:61:00"', line),
    lambda line: _TS.sub('"ts":4102444800000', line),  # the year 2100
    lambda line: _TS.sub('"ts":{"at":"noon"}', line),
)
_BREAK_PRODUCT = (
    *_BREAK_ANY,
    lambda line: _SKU.sub('"sku":null', line),
    lambda line: _PRICE.sub(lambda match: match[0].replace(":", ":-"), line),
    lambda line: _PRICE.sub('"price":"for free"', line),
    lambda line: _QUANTITY.sub('"qty":[1,2]', line),
)


class Dirt:
    """Adds to clean records; never changes or drops one, so a perfect cleaner gets all of them back."""

    def __init__(self, conf: Simulate, catalogue: Catalogue, noise: Noise) -> None:
        self._conf = conf
        self._catalogue = catalogue
        self._noise = noise

    def lines(self, records: Records) -> tuple[list[str], dict[str, int]]:
        """Lines of one chunk in order of arrival, and how many of each sort."""
        resent = self._noise.uniform(Stream.DUPLICATE, records.id_low, 0) < self._conf.duplicate_share
        conflicting = (
            resent & (self._noise.uniform(Stream.DUPLICATE, records.id_low, 1) < CONFLICT_SHARE) & (records.item >= 0)
        )
        broken = self._noise.uniform(Stream.MALFORMED, records.id_low, 0) < self._conf.malformed_share
        lines = render(records, self._catalogue)
        copies = [lines[place] for place in np.flatnonzero(resent & ~conflicting).tolist()]
        conflicts = self._conflicts(records.take(conflicting))
        malformed = self._malformed(records.take(broken))
        delay = 1 + (self._noise.uniform(Stream.DUPLICATE, records.id_low, 2) * RESEND_MS).astype(np.int64)
        again = records.received + delay
        arrival = np.concatenate([records.received, again[resent & ~conflicting], again[conflicting], again[broken]])
        everything = lines + copies + conflicts + malformed
        counts = {
            "clean": len(lines),
            "duplicates": len(copies),
            "conflicts": len(conflicts),
            "malformed": len(malformed),
        }
        return [everything[place] for place in np.argsort(arrival, kind="stable").tolist()], counts

    def _conflicts(self, records: Records) -> list[str]:
        return render(replace(records, price=np.round(records.price + 1.0, 2)), self._catalogue)

    def _malformed(self, records: Records) -> list[str]:
        """Broken records under ids of their own: the record they were made from arrives whole as well."""
        fresh = replace(records, id_high=self._noise.bits(Stream.MALFORMED, records.id_low, 1))
        which = self._noise.bits(Stream.MALFORMED, records.id_low, 2).tolist()
        has_product: Bools = records.item >= 0
        ways = [_BREAK_PRODUCT if product else _BREAK_ANY for product in has_product.tolist()]
        lines = render(fresh, self._catalogue)
        return [way[number % len(way)](line) for line, way, number in zip(lines, ways, which, strict=True)]
