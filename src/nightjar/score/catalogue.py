"""The items of a day by position: what every scorer ranks, whatever its own vocabulary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nightjar.contracts import ITEMS, Platform
from nightjar.contracts.render import arrow_schema
from nightjar.learn.baselines import Popularity, popularity_order
from nightjar.learn.vocabulary import Vocabulary

_NUMBERS = ("last_seen", "num_events", "num_recent", "price_bucket")
_COLUMNS = ("item_id", "title", "category", "brand", "price", *_NUMBERS, "recent_by_platform")


#: How many recent events a platform needs before its own popularity weighs as much as the shop's.
_PRIOR_EVENTS = 1_000


@dataclass(frozen=True)
class Catalogue:
    """Items in ascending order of their id; an item's position is its index in `vocabulary` minus one."""

    vocabulary: Vocabulary
    last_seen: NDArray[np.int64]  #: microseconds since 1970-01-01 UTC
    num_events: NDArray[np.int64]
    num_recent: NDArray[np.int64]
    categories: NDArray[np.int64]  #: place in `category_names`; -1 where the log gave none
    brands: NDArray[np.int64]  #: place in `brand_names`; -1 where the log gave none
    prices: NDArray[np.float64]  #: of one piece; NaN where the log gave none
    price_buckets: NDArray[np.int64]  #: 1 to 10; 0 without a price
    titles: pa.Array  #: null where the log gave none
    recent_by_platform: NDArray[np.int64]  #: num_recent on each platform, items x `Platform`
    category_names: tuple[str, ...] = ()
    brand_names: tuple[str, ...] = ()

    @classmethod
    def from_items(cls, items: pa.Table) -> Catalogue:
        """From rows of the `items` contract, in any order."""
        items = items.sort_by("item_id")
        last_seen, num_events, num_recent, price_buckets = (
            np.asarray(items[name].cast(pa.int64())) for name in _NUMBERS
        )
        vocabulary = Vocabulary(tuple(items["item_id"].to_pylist()))
        (categories, category_names), (brands, brand_names) = (_numbered(items[name]) for name in ("category", "brand"))
        prices = np.asarray(items["price"].cast(pa.float64()).fill_null(np.nan))
        titles = items["title"].combine_chunks()
        return cls(
            vocabulary,
            last_seen,
            num_events,
            num_recent,
            categories,
            brands,
            prices,
            price_buckets,
            titles,
            _on_platforms(items["recent_by_platform"].combine_chunks()),
            category_names,
            brand_names,
        )

    @classmethod
    def counted(cls, items: pa.Array, entries: pa.Array) -> Catalogue:
        """From names alone: popular is what occurs in `entries`, nothing else is known.

        Args:
            items: every item, also those that never occur; repeats are harmless.
        """
        vocabulary = Vocabulary(tuple(sorted(items.unique().to_pylist())))
        counts = np.bincount(vocabulary.encode(entries), minlength=vocabulary.size + 1)[1:].astype(np.int64)
        unknown, zeros = np.full(vocabulary.size, -1, np.int64), np.zeros(vocabulary.size, np.int64)
        prices, titles = np.full(vocabulary.size, np.nan), pa.nulls(vocabulary.size, pa.string())
        nowhere = np.zeros((vocabulary.size, len(Platform)), np.int64)
        return cls(vocabulary, zeros, counts, counts, unknown, unknown, prices, zeros, titles, nowhere)

    @classmethod
    def read(cls, files: Sequence[str | Path]) -> Catalogue:
        """From the Parquet files of an `items` partition; no files, no items."""
        schema = pa.schema([arrow_schema(ITEMS).field(name) for name in _COLUMNS])
        tables = [pq.ParquetFile(file).read(columns=list(_COLUMNS)).select(_COLUMNS).cast(schema) for file in files]
        return cls.from_items(pa.concat_tables([schema.empty_table(), *tables]))

    @property
    def size(self) -> int:
        return self.vocabulary.size

    @property
    def item_ids(self) -> pa.Array:
        return self.vocabulary.decode(np.arange(1, self.size + 1))

    @cached_property
    def popularity(self) -> Popularity:
        return Popularity(popularity_order(self.num_recent, self.num_events))

    def popularity_on(self, platform: Platform) -> Popularity | None:
        """What is popular there lately, leaning on what is popular at all where little happened there.

        None where nothing happened there lately, or nothing elsewhere: then it is what is popular at all.
        The share of the platform's recent events, estimated with `_PRIOR_EVENTS` events more that are spread as the
        shop's are; equal shares in the order of `popularity`.
        """
        there = self.recent_by_platform[:, platform.code - 1]
        if not 0 < there.sum() < self.recent_by_platform.sum():
            return None
        expected = there + _PRIOR_EVENTS * self.num_recent / max(int(self.num_recent.sum()), 1)
        order = self.popularity.order
        return Popularity(order[np.argsort(-expected[order], kind="stable")])

    def available(self, day_end: datetime, within_days: int) -> NDArray[np.bool_]:
        """Per position: whether the item was seen in the `within_days` days before `day_end`; 0 days: all are.

        Args:
            day_end: the instant at which the shop's day ends, with a time zone.
        """
        if within_days == 0:
            return np.ones(self.size, np.bool_)
        oldest = day_end - timedelta(days=within_days)
        return self.last_seen >= round(oldest.timestamp() * 1_000_000)


def _on_platforms(lists: pa.ListArray) -> NDArray[np.int64]:
    """Items x platforms; zeros where a list is shorter than there are platforms by now, or null."""
    lengths = np.asarray(pc.fill_null(pc.list_value_length(lists), 0)).astype(np.int64)
    rows = np.repeat(np.arange(len(lists)), lengths)
    places = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    counts = np.zeros((len(lists), len(Platform)), np.int64)
    counts[rows, places] = np.asarray(lists.flatten())
    return counts


def _numbered(words: pa.ChunkedArray) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Equal words, equal numbers from 0, with the word of each number; -1 for null."""
    encoded = words.combine_chunks().dictionary_encode()
    return np.asarray(encoded.indices.fill_null(-1)).astype(np.int64), tuple(encoded.dictionary.to_pylist())
