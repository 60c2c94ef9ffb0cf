"""What the shop sells: items, how popular each is on a day, and which item leads to which.

Popularity within a category is a power law times a slow wave of each item's own period, times a
launch boost. Successions come from `NUM_STYLES` rings: for every style all items stand in one
circle, and a person of that style goes from an item to one of the next few on the circle. The last
item alone does not tell the style, earlier items do: that is what a sequence model can learn and a
last-item Markov chain cannot.
"""

from __future__ import annotations

import json
from functools import cached_property

import numpy as np

from nightjar.settings import Simulate
from nightjar.simulate.noise import Bools, Floats, Ints, Noise, Stream

NUM_STYLES = 4
#: Probabilities of the next places on the ring, the nearest first.
SUCCESSION = np.array([0.3, 0.25, 0.2, 0.15, 0.1])
ITEMS_PER_CATEGORY = 50
PERMANENT_SHARE = 0.85  # of items on sale from the first day, and of items never taken off sale
LAUNCH_MEAN_DAYS = 60.0
END_MEAN_DAYS = 240.0
PROMOTION_SHARE = 0.08  # of items, each week anew
PROMOTION_FACTOR = 0.85
NEVER = np.iinfo(np.int64).max

_SHELVES_KEPT = 10
_POWER = 0.9
_DRIFT_HEIGHT = 0.9
_PERIOD_DAYS = (30.0, 90.0)
_NOUNS = (
    "Lamp", "Kettle", "Backpack", "Jacket", "Notebook", "Headphones", "Blender", "Trainers", "Scarf", "Desk",
    "Puzzle", "Tent", "Mug", "Watch", "Keyboard", "Pillow", "Bicycle", "Camera", "Drill", "Planter",
    "Skillet", "Raincoat", "Speaker", "Armchair",
)  # fmt: skip
_COLOURS = ("red", "blue", "green", "black", "white", "grey", "ochre", "olive", "grün", 'dark "ink"')
_TRAITS = ("light", "classic", "compact", "folding", "pro", "mini", "large", "eco", "warm", "quiet")
_SYLLABLES = ("ka", "lo", "mi", "ver", "nor", "tis", "ro", "be", "san", "dal", "fen", "gru")


class Catalogue:
    """All items of a shop; arrays are indexed by item, 0 to `num_items` - 1. Memory: about 200 bytes an item."""

    def __init__(self, conf: Simulate, noise: Noise) -> None:
        self.num_items = conf.num_items
        self.num_categories = min(conf.num_items, max(4, conf.num_items // ITEMS_PER_CATEGORY))
        self._noise = noise
        item = np.arange(conf.num_items, dtype=np.int64)
        # The first items take one category each, so that none is empty, and stay on sale for good.
        self._stays = item < self.num_categories
        self.category = np.where(self._stays, item, noise.below(self.num_categories, Stream.ITEM_CATEGORY, item))
        self.brand = noise.below(max(3, self.num_categories * 2), Stream.ITEM_BRAND, item)
        self.list_price = np.round(np.exp(3.2 + 0.9 * noise.normal(Stream.ITEM_PRICE, item)) + 1.0, 2)
        self.launch = self._launches(item)
        self.end = self._ends(item)
        self._weight = self._power_law(noise.uniform(Stream.ITEM_POPULARITY, item))
        low, high = _PERIOD_DAYS
        self._period = low + (high - low) * noise.uniform(Stream.ITEM_DRIFT, item, 0)
        self._phase = noise.uniform(Stream.ITEM_DRIFT, item, 1)
        # ring_items[style, place] and its inverse ring_place[style, item]
        self.ring_items = np.stack(
            [np.argsort(noise.bits(Stream.RING_ORDER, item, style)) for style in range(NUM_STYLES)]
        )
        self.ring_place = np.argsort(self.ring_items, axis=1)
        self._by_category = np.argsort(self.category, kind="stable")
        self._category_begin = np.searchsorted(self.category[self._by_category], np.arange(self.num_categories + 1))
        self._shelves: dict[int, Floats] = {}

    def on_sale(self, day: int) -> Bools:
        """Days count from the shop's first day, 0."""
        return np.asarray((self.launch <= day) & (day < self.end))

    def popularity(self, day: int) -> Floats:
        """Relative weight of each item among its category's on a day; 0 while not on sale."""
        wave = np.exp(_DRIFT_HEIGHT * np.sin(2.0 * np.pi * (day / self._period + self._phase)))
        age = np.maximum(day - self.launch, 0).astype(np.float64)
        boost = 1.0 + np.where(self.launch > 0, 3.0 * np.exp(-age / 10.0), 0.0)
        return np.asarray(np.where(self.on_sale(day), self._weight * wave * boost, 0.0))

    def draw(self, day: int, category: Ints, uniform: Floats) -> Ints:
        """One item on sale of each category, by popularity."""
        shelf = self._cumulative(day)
        low, high = shelf[self._category_begin[category]], shelf[self._category_begin[category + 1]]
        place = np.searchsorted(shelf, low + uniform * (high - low), side="right") - 1
        return np.asarray(self._by_category[np.clip(place, 0, self.num_items - 1)])

    def successor(self, style: Ints, item: Ints, step: Ints) -> Ints:
        """The item `step` places further on the style's ring."""
        return np.asarray(self.ring_items[style, (self.ring_place[style, item] + step) % self.num_items])

    def price(self, day: int, item: Ints) -> Floats:
        """Price of one piece; a few items are cheaper for a week (a week begins every seventh day from day 0)."""
        promoted = self._noise.uniform(Stream.ITEM_PROMOTION, item, day // 7) < PROMOTION_SHARE
        return np.asarray(np.round(self.list_price[item] * np.where(promoted, PROMOTION_FACTOR, 1.0), 2))

    def expensive(self, count: int) -> Ints:
        """The dearest items that are always on sale: what a fraud ring is after."""
        always = np.flatnonzero((self.launch == 0) & (self.end == NEVER))
        return np.asarray(always[np.argsort(-self.list_price[always], kind="stable")][:count])

    @cached_property
    def skus(self) -> list[str]:
        return [f"I{item:06d}" for item in range(self.num_items)]

    @cached_property
    def fragments(self) -> list[str]:
        """Each item's constant members of a raw record's `product`, as JSON text without braces."""
        titles = [json.dumps(title, ensure_ascii=False) for title in self._titles()]
        columns = (self.skus, titles, self.category.tolist(), self.brand.tolist())
        return [
            f'"sku":"{sku}","title":{title},"category":"c{category:03d}","brand":"{_brand(brand)}"'
            for sku, title, category, brand in zip(*columns, strict=True)
        ]

    @cached_property
    def queries(self) -> list[str]:
        """What people type when they look for the item, as JSON text."""
        nouns = [_NOUNS[category % len(_NOUNS)].lower() for category in self.category.tolist()]
        return [
            json.dumps(f"{_brand(brand)} {noun}" if brand % 2 else noun)
            for brand, noun in zip(self.brand.tolist(), nouns, strict=True)
        ]

    def _titles(self) -> list[str]:
        item = np.arange(self.num_items, dtype=np.int64)
        colour = self._noise.below(len(_COLOURS), Stream.ITEM_WORD, item, 0).tolist()
        trait = self._noise.below(len(_TRAITS), Stream.ITEM_WORD, item, 1).tolist()
        nouns = [_NOUNS[category % len(_NOUNS)] for category in self.category.tolist()]
        brands = [_brand(brand) for brand in self.brand.tolist()]
        return [f"{b} {n} {_TRAITS[t]}, {_COLOURS[c]}" for b, n, t, c in zip(brands, nouns, trait, colour, strict=True)]

    def _launches(self, item: Ints) -> Ints:
        new = self._noise.uniform(Stream.ITEM_LAUNCH, item, 0) >= PERMANENT_SHARE
        wait = 1 + (self._noise.exponential(Stream.ITEM_LAUNCH, item, 1) * LAUNCH_MEAN_DAYS).astype(np.int64)
        return np.asarray(np.where(new & ~self._stays, wait, 0))

    def _ends(self, item: Ints) -> Ints:
        leaves = self._noise.uniform(Stream.ITEM_END, item, 0) >= PERMANENT_SHARE
        stay = 14 + (self._noise.exponential(Stream.ITEM_END, item, 1) * END_MEAN_DAYS).astype(np.int64)
        return np.asarray(np.where(leaves & ~self._stays, self.launch + stay, NEVER))

    def _power_law(self, uniform: Floats) -> Floats:
        rank = np.empty(self.num_items)
        order = np.lexsort((uniform, self.category))
        first = np.searchsorted(self.category[order], self.category[order])
        rank[order] = np.arange(self.num_items) - first
        return np.asarray((rank + 2.0) ** -_POWER)

    def _cumulative(self, day: int) -> Floats:
        # A drop looks at its own day and the seven before, once per chunk of people.
        if day not in self._shelves:
            if len(self._shelves) >= _SHELVES_KEPT:
                del self._shelves[next(iter(self._shelves))]
            weights = self.popularity(day)[self._by_category]
            self._shelves[day] = np.concatenate([[0.0], np.cumsum(weights)])
        return self._shelves[day]


def _brand(brand: int) -> str:
    size = len(_SYLLABLES)
    return (
        _SYLLABLES[brand % size] + _SYLLABLES[brand // size % size] + _SYLLABLES[brand // size**2 % size]
    ).capitalize()
