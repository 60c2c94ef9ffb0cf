"""Lists held against what people then did.

Hit rate and NDCG are means over active lists, those whose person touched any item in the window; relevant is
every item touched (Järvelin, Kekäläinen: Cumulated gain-based evaluation of IR techniques, 2002, with gains 0
and 1). Purchases and revenue are of all lists. Everything is kept as sums, and sums of squares, which add up
over groups and nights.

Legend: L lists, A active lists, C cutoffs, P people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.contracts import REALISED, Platform
from nightjar.contracts.published import ALL_PEOPLE
from nightjar.contracts.render import arrow_schema
from nightjar.monitor.acts import MICROS, Acts

#: What is read of `recommendations`, and of the night's `sequences`.
LIST_COLUMNS = ("user_id", "surface", "rank", "item_id", "strategy", "model_name", "model_version")
PEOPLE_COLUMNS = ("user_id", "num_events", "platforms")

SHOWN, POPULAR = "shown", "popular"
PUBLISHED, REPLAYED = "published", "replayed"

#: Entries up to which a history is called so; longer ones are long.
LENGTHS = ((0, "history: none"), (2, "history: 1 to 2"), (5, "history: 3 to 5"), (19, "history: 6 to 19"))
LONG = "history: 20 or more"

_GROUP = ("surface", "strategy", "model_name", "model_version")
_Z95 = 1.959964

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


class Outcomes(NamedTuple):
    """What became of lists, at each cutoff."""

    hits_CA: NDArray[np.bool_]
    ndcg_CA: Floats
    num_purchases_CA: Indices
    micros_CA: Indices


def lists_from(batches: Iterable[pa.RecordBatch]) -> pa.Table:
    """One row per list, from batches of `recommendations` with LIST_COLUMNS: that of its first item."""
    names = ["user_id", *_GROUP]
    return _texts(names, (batch.filter(pc.equal(batch.column("rank"), 1)).select(names) for batch in batches))


def with_segments(lists: pa.Table, people: Iterable[pa.RecordBatch]) -> pa.Table:
    """Lists with `length` and `platform` of their person's history; null where nothing is known.

    Args:
        people: batches of the night's `sequences` with PEOPLE_COLUMNS.
    """
    told = _texts(["user_id", "length", "platform"], map(_segments, people)).combine_chunks()
    places = pc.index_in(lists["user_id"], told["user_id"])
    return lists.append_column("length", told["length"].take(places)).append_column(
        "platform", told["platform"].take(places)
    )


def _texts(names: list[str], batches: Iterable[pa.RecordBatch]) -> pa.Table:
    """Columns of text, whether or not their files allow nulls; no batches, no rows."""
    schema = pa.schema([(name, pa.string()) for name in names])
    return pa.concat_tables([schema.empty_table(), *(pa.Table.from_batches([batch]).cast(schema) for batch in batches)])


def _segments(batch: pa.RecordBatch) -> pa.RecordBatch:
    words = pa.array([*(words for _, words in LENGTHS), LONG])
    places = np.searchsorted([limit for limit, _ in LENGTHS], np.asarray(batch.column("num_events")))
    platforms = pa.array([None, *(f"platform: {platform.value}" for platform in Platform)], pa.string())
    arrays = batch.column("platforms")
    some = pc.greater(pc.list_value_length(arrays), 0)
    # The latest entry stands last; of an empty row there is none.
    ends = np.asarray(arrays.offsets)[1:]
    codes = np.zeros(batch.num_rows, np.int64)
    filled = np.asarray(some.fill_null(False))
    codes[filled] = np.asarray(arrays.values)[ends[filled] - 1]
    columns = [batch.column("user_id"), words.take(pa.array(places)), platforms.take(pa.array(codes))]
    return pa.RecordBatch.from_arrays(columns, ["user_id", "length", "platform"])


class Judge:
    """Holds batches of ranked items against what the lists' people did.

    Memory is that of the lists and of the window's acts, whatever the number of rows.
    """

    def __init__(self, lists: pa.Table, acts: Acts, cutoffs: Sequence[int]) -> None:
        self.lists, self.acts, self.cutoffs = lists, acts, tuple(cutoffs)
        person_L = _index(lists["user_id"], acts.people)
        self.active = np.flatnonzero(person_L >= 0)
        self.person_A = person_L[self.active]
        self.surfaces = lists["surface"].combine_chunks().unique()
        self._list_of = np.full((len(self.surfaces) + 1, len(acts.people) + 1), -1, np.int64)
        surface_A = _index(lists["surface"], self.surfaces)[self.active]
        self._list_of[surface_A, self.person_A] = np.arange(len(self.active))

    @property
    def active_people(self) -> pa.Array:
        """Pseudonyms of those with a list who did anything: controls are needed for them alone."""
        return self.acts.people.take(pa.array(np.unique(self.person_A)))

    def outcomes(self, batches: Iterable[pa.RecordBatch]) -> Outcomes:
        """What became of these lists; a list that is missing is an empty one.

        Args:
            batches: user_id, surface, rank, item_id, in any order.
        """
        shape = (len(self.cutoffs), len(self.active))
        gains_CA = np.zeros(shape)
        hits_CA, bought_CA, micros_CA = (np.zeros(shape, np.int64) for _ in range(3))
        for batch in batches:
            list_, rank, place = self._met(batch)
            touched = self.acts.touched_A[place]
            for at, cutoff in enumerate(self.cutoffs):
                within = rank <= cutoff
                good = within & touched
                np.add.at(gains_CA[at], list_[good], 1 / np.log2(rank[good] + 1))
                np.add.at(hits_CA[at], list_[good], 1)
                np.add.at(bought_CA[at], list_[within], self.acts.num_purchases_A[place[within]])
                np.add.at(micros_CA[at], list_[within], self.acts.micros_A[place[within]])
        return Outcomes(hits_CA > 0, gains_CA / self._ideal(), bought_CA, micros_CA)

    def _met(self, batch: pa.RecordBatch) -> tuple[Indices, Indices, Indices]:
        """(active list, rank, place in the acts) of the rows whose person met the item."""
        person = _index(batch.column("user_id"), self.acts.people)
        list_ = self._list_of[_index(batch.column("surface"), self.surfaces), person]
        rows = np.flatnonzero((person >= 0) & (list_ >= 0))
        items = _index(batch.column("item_id").take(pa.array(rows)), self.acts.items)
        place = self.acts.find(person[rows], items)
        met = place >= 0
        return list_[rows][met], np.asarray(batch.column("rank"))[rows][met].astype(np.int64), place[met]

    def _ideal(self) -> Floats:
        """DCG of the best list possible; 1 where nothing was touched, whose gains are 0."""
        relevant_A = self.acts.num_touched_P[self.person_A]
        best = np.append(0.0, np.cumsum(1 / np.log2(np.arange(2, max(self.cutoffs) + 2))))
        ideal = [best[np.minimum(relevant_A, cutoff)] for cutoff in self.cutoffs]
        return np.where(np.array(ideal) > 0, ideal, 1.0).reshape(len(self.cutoffs), -1)

    def rows(self, shown: Outcomes, popular: Outcomes, *, day: date, origin: str, window_days: int) -> pa.Table:
        """Rows of `realised`: both kinds of list, every cutoff, every group and segment."""
        fixed = {"dt": day, "origin": origin, "window_days": window_days}
        found: list[dict[str, Any]] = []
        for divided in self._divisions():
            for kind, outcomes in ((SHOWN, shown), (POPULAR, popular)):
                for at, cutoff in enumerate(self.cutoffs):
                    sums = self._sums(outcomes, popular, at)
                    of_groups = {name: divided.summed(values).tolist() for name, values in sums.items()}
                    found += [
                        {**fixed, **keys, "list": kind, "k": cutoff, "num_lists": number}
                        | {name: values[group] for name, values in of_groups.items()}
                        for group, (keys, number) in enumerate(zip(divided.keys, divided.num_lists, strict=True))
                    ]
        money = ("revenue", "listed_revenue")
        rows = [row | {name: row.pop(f"{name}_micros") / MICROS for name in money} for row in found]
        table = pa.Table.from_pylist(rows, arrow_schema(REALISED))
        return table.sort_by([(name, "ascending") for name in REALISED.order])

    def _sums(self, outcomes: Outcomes, popular: Outcomes, at: int) -> dict[str, NDArray[Any]]:
        """Column -> its value for each active list."""
        acts, person_A = self.acts, self.person_A
        bought_A, micros_A, ndcg_A = acts.num_purchases_P[person_A], acts.micros_P[person_A], outcomes.ndcg_CA[at]
        return {
            "num_active": (acts.num_touched_P[person_A] > 0).astype(np.int64),
            "num_hits": outcomes.hits_CA[at].astype(np.int64),
            "ndcg_sum": ndcg_A,
            "ndcg_squares": ndcg_A**2,
            "ndcg_gain_squares": (ndcg_A - popular.ndcg_CA[at]) ** 2,
            "num_buyers": (bought_A > 0).astype(np.int64),
            "num_purchases": bought_A,
            "purchases_squares": bought_A.astype(np.float64) ** 2,
            "num_listed_purchases": outcomes.num_purchases_CA[at],
            "revenue_micros": micros_A,
            "revenue_squares": (micros_A / MICROS) ** 2,
            "listed_revenue_micros": outcomes.micros_CA[at],
            "num_unpriced": acts.num_unpriced_P[person_A],
        }

    def _divisions(self) -> Iterator[_Division]:
        """Everybody, then by length of history, then by platform; who is in no segment of a kind is left out."""
        for segment in (None, "length", "platform"):
            names = [*_GROUP, *([segment] if segment else [])]
            known = self.lists if segment is None else self.lists.filter(pc.is_valid(self.lists[segment]))
            code_L = np.full(self.lists.num_rows, -1, np.int64)
            keys, of_known = _numbered(known.select(names))
            code_L[np.asarray(self.lists[names[-1]].is_valid())] = of_known
            named = [
                {name: key[name] for name in _GROUP} | {"segment": key[segment] if segment else ALL_PEOPLE}
                for key in keys
            ]
            yield _Division(named, np.bincount(of_known, minlength=len(keys)).tolist(), code_L[self.active])


class _Division(NamedTuple):
    """Lists in groups."""

    keys: list[dict[str, str]]
    num_lists: list[int]
    group_A: Indices  #: of active lists; -1: in none

    def summed(self, values_A: NDArray[Any]) -> NDArray[Any]:
        """Sum of each group; whole numbers stay whole, and exact below 2**53."""
        inside = self.group_A >= 0
        sums = np.bincount(self.group_A[inside], weights=values_A[inside], minlength=len(self.keys))
        return sums.astype(values_A.dtype)


def _numbered(rows: pa.Table) -> tuple[list[dict[str, str]], Indices]:
    """(distinct rows in a total order, the place of each row among them)."""
    keys = rows.group_by(rows.column_names, use_threads=False).aggregate([])
    keys = keys.sort_by([(name, "ascending") for name in rows.column_names])
    joined = [pc.binary_join_element_wise(*table.columns, "\0") for table in (rows, keys)]
    return keys.to_pylist(), _index(*joined)


def _index(values: pa.Array | pa.ChunkedArray, among: pa.Array) -> Indices:
    """Place of each value; -1 where it is not there."""
    return np.asarray(pc.fill_null(pc.index_in(values, among), -1)).astype(np.int64)


# -- what sums say


@dataclass(frozen=True)
class Interval:
    """A mean with the bounds of its 95 % interval."""

    mean: float
    low: float
    high: float


def mean_interval(total: float, squares: float, number: int) -> Interval | None:
    """Of a mean, by the normal approximation; None of fewer than two."""
    if number < 2:
        return None
    mean = total / number
    return _around(mean, _variance(total, squares, number) / number)


def share_interval(hits: int, number: int) -> Interval | None:
    """Of a share, after Wilson (1927): it holds for few and for rare."""
    if number == 0:
        return None
    share, z2 = hits / number, _Z95**2
    middle = (share + z2 / (2 * number)) / (1 + z2 / number)
    half = _Z95 / (1 + z2 / number) * sqrt(share * (1 - share) / number + z2 / (4 * number**2))
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half))


def difference_interval(ours: tuple[float, float, int], theirs: tuple[float, float, int]) -> Interval | None:
    """Of a difference of two groups' means, each given as (sum, sum of squares, number), after Welch (1938)."""
    if min(ours[2], theirs[2]) < 2:
        return None
    mean = ours[0] / ours[2] - theirs[0] / theirs[2]
    return _around(mean, sum(_variance(*group) / group[2] for group in (ours, theirs)))


def _variance(total: float, squares: float, number: int) -> float:
    return max(0.0, (squares - total**2 / number) / (number - 1))


def _around(mean: float, variance: float) -> Interval:
    half = _Z95 * sqrt(variance)
    return Interval(mean, mean - half, mean + half)


#: What a hold-out is compared in: name -> (sum, its squares), of all lists; a share is its own square.
EFFECTS = {
    "buyer_share": ("num_buyers", "num_buyers"),
    "purchases_per_list": ("num_purchases", "purchases_squares"),
    "revenue_per_list": ("revenue", "revenue_squares"),
}


def effects(rows: Iterable[Mapping[str, Any]]) -> dict[str, Interval]:
    """What the model's lists do: those who see them less those who were drawn to see none.

    Args:
        rows: of `realised`; several nights may stand together.
    """
    chosen = [row for row in rows if row["segment"] == ALL_PEOPLE and row["list"] == SHOWN]
    k = max((row["k"] for row in chosen), default=0)
    arms = {arm: [row for row in chosen if row["strategy"] == arm and row["k"] == k] for arm in ("model", "held_out")}

    def summed(arm: str, names: tuple[str, str]) -> tuple[float, float, int]:
        total, squares = (float(sum(row[name] for row in arms[arm])) for name in names)
        return total, squares, sum(row["num_lists"] for row in arms[arm])

    found = {
        name: difference_interval(summed("model", columns), summed("held_out", columns))
        for name, columns in EFFECTS.items()
    }
    return {name: interval for name, interval in found.items() if interval is not None}


def gain(rows: Iterable[Mapping[str, Any]]) -> Interval | None:
    """Mean NDCG of what was shown less that of the control, on the same active lists, at the longest cutoff."""
    chosen = [row for row in rows if row["segment"] == ALL_PEOPLE]
    k = max((row["k"] for row in chosen), default=0)
    shown, popular = ([row for row in chosen if row["k"] == k and row["list"] == kind] for kind in (SHOWN, POPULAR))
    total = sum(row["ndcg_sum"] for row in shown) - sum(row["ndcg_sum"] for row in popular)
    squares = sum(row["ndcg_gain_squares"] for row in shown)
    return mean_interval(total, squares, sum(row["num_active"] for row in shown))


#: What `overall` adds up.
_TOLD = (
    *("num_lists", "num_active", "num_hits", "ndcg_sum"),
    *("num_purchases", "num_listed_purchases", "revenue", "listed_revenue"),
)


def overall(rows: Iterable[Mapping[str, Any]], kind: str) -> dict[str, Any]:
    """Everybody's numbers at the longest cutoff; nothing where no list was judged."""
    chosen = [row for row in rows if row["segment"] == ALL_PEOPLE and row["list"] == kind]
    k = max((row["k"] for row in chosen), default=None)
    if k is None:
        return {}
    sums = {name: round(sum(row[name] for row in chosen if row["k"] == k), 6) for name in _TOLD}
    active = sums["num_active"]
    rates = {name: sums[part] / active if active else None for name, part in _RATES.items()}
    return {"k": k, **sums, **{name: rate if rate is None else round(rate, 6) for name, rate in rates.items()}}


_RATES = {"hit_rate": "num_hits", "ndcg": "ndcg_sum"}
