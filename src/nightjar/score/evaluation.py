"""How scorers are judged: full ranking of the next item, on a later window, as people are served.

Protocol, for a window that begins after day A (`dt=A`):

- People: everyone with at least one entry in `sequences` as of A and a target in `holdout` of A.
- History: the row of `sequences` as of A; each model reads the latest entries that it knows, at most its
  own `max_length`. Nothing later than A is read.
- Target: the first entry of the person's `holdout` row whose item `[score] exclude` would not hide from
  them; with `hidden_targets`, as public protocols have it, the first entry whatever it is, and a hidden one is
  a miss. An entry whose item is not in the catalogue is a target too.
- Candidates: every item of the catalogue, `items` as of A, except what `[score] exclude` hides from
  the person. Availability is not applied: it would hide the misses of items that come back.
- Rank: 1 plus the other candidates that score at least as high as the target, in float32.
- Misses: a target outside of the catalogue is a miss for everybody, one that a model's vocabulary lacks
  is a miss for that model. Both stay in the denominator; `unseen_target_share` counts the former.
- A person in whose history the model knows nothing is ranked by popularity, because that is
  what they would be served.
- All scorers rank the very same rows with the same exclusions.

Slices: people with little or much history, by the whole row of `sequences`; targets of the tail, by the items'
events up to A; the platform of the latest event, where the rows have one.

Legend: B people of a batch, N items of the catalogue, K places of a list.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from nightjar.contracts import Platform
from nightjar.learn import metrics
from nightjar.learn.baselines import Cooccurrence, Entries, Indices, ItemKnn, Markov, Popularity, popularity_order
from nightjar.learn.histories import COLUMNS, WHOLE, Histories, histories_from_arrow, open_parquet
from nightjar.learn.metrics import Floats, Interval
from nightjar.score import rank, rules
from nightjar.score.catalogue import Catalogue
from nightjar.score.model import CatalogueModel

#: Cells of people x items ranked at once: 32 MiB of scores, about ten times that at the peak.
CELLS = 2**23

#: Column of `sequences` that slices and the platforms' popularity read where it is there.
_LAST_PLATFORM = "last_platform"

#: Rows of `sequences` looked up in the holdout at once.
READ_ROWS = 2**16

#: Length of the lists whose coverage, diversity, novelty and bias are told.
LIST_LENGTH = 10

#: Events up to which an item is new.
NEW = 5

#: Slices on which strategies for the cold are held against each other.
ONE_ENTRY, NEW_ITEMS = "one entry", f"new items: up to {NEW} events"
COLD_SLICES = (ONE_ENTRY, NEW_ITEMS)

#: Entries up to which a person is cold, up to which a history is short, and from which on it is long.
COLD, SHORT, LONG = 2, 5, 20


class People(NamedTuple):
    """Rows of `sequences`, as they are and in the catalogue's vocabulary (whole)."""

    rows: pa.RecordBatch
    histories: Histories


#: Scores of every item for each person, float32; minus infinity where the scorer knows nothing.
Scorer = Callable[[People], NDArray[np.float32]]


class Judged(NamedTuple):
    """What is known of the people judged, in the order of their ranks."""

    history_lengths_B: Indices  #: entries, whole
    targets_B: Indices  #: position of the target, `UNSEEN` outside of the catalogue
    platforms_B: Indices  #: `Platform.code` of the latest event; 0 unknown


@dataclass
class Lists:
    """What one scorer's lists of `LIST_LENGTH` hold."""

    shown_N: Indices  #: in how many lists each item stands
    diversity: list[Floats]  #: of each list, batch by batch


@dataclass
class Evaluation:
    """Ranks of every scorer on the same people, their lists, and who was left out."""

    catalogue: Catalogue
    ranks: dict[str, Floats]
    lists: dict[str, Lists]
    judged: Judged
    num_unseen_targets: int = 0
    num_without_history: int = 0  #: people of the holdout that had no entry before it
    num_without_target: int = 0  #: people who only came back to what is hidden from them

    @property
    def num_users(self) -> int:
        return max(map(len, self.ranks.values()), default=0)

    @property
    def unseen_target_share(self) -> float:
        return self.num_unseen_targets / self.num_users if self.num_users else 0.0

    def means(self, scorer: str) -> dict[str, float]:
        """Means over people by metric name, and the coverage; 0 without people."""
        values = metrics.per_user(self.ranks[scorer])
        means = {name: float(value.mean()) if len(value) else 0.0 for name, value in values.items()}
        return means | {f"coverage@{LIST_LENGTH}": metrics.coverage(self.lists[scorer].shown_N)}

    def at_cutoffs(self, scorer: str) -> dict[str, float]:
        """Means over people of HR, NDCG and MRR at every length of a list; 0 without people."""
        values = metrics.at_cutoffs(self.ranks[scorer])
        return {name: float(value.mean()) if len(value) else 0.0 for name, value in values.items()}

    def intervals(self, scorer: str, *, seed: int) -> dict[str, Interval]:
        values = metrics.per_user(self.ranks[scorer])
        return {name: metrics.bootstrap(value, seed=seed) for name, value in values.items() if len(value)}

    def beside_accuracy(self, scorer: str) -> dict[str, float]:
        """Of the lists as a whole; `diversity` only where the catalogue has categories."""
        shown_N, events_N = self.lists[scorer].shown_N, self.catalogue.num_events
        found = {
            "coverage": metrics.coverage(shown_N),
            "gini": metrics.gini(shown_N),
            "novelty": metrics.novelty(shown_N, events_N),
            "popularity_lift": metrics.popularity_lift(shown_N, events_N),
            "personalisation": metrics.personalisation(shown_N, self.num_users),
        }
        diversity = np.concatenate([np.empty(0), *self.lists[scorer].diversity])
        diversity = diversity[~np.isnan(diversity)]
        if len(diversity):
            found["diversity"] = float(diversity.mean())
        return {f"{name}@{LIST_LENGTH}": value for name, value in found.items()}

    def slices(self) -> dict[str, NDArray[np.bool_]]:
        """Who belongs to which slice; people may be in several, slices without people are left out."""
        lengths_B, targets_B, platforms_B = self.judged
        tail_N = metrics.in_the_tail(self.catalogue.num_events)
        found = {
            ONE_ENTRY: lengths_B == 1,
            f"cold: up to {COLD} entries": lengths_B <= COLD,
            f"short history: up to {SHORT}": lengths_B <= SHORT,
            f"long history: from {LONG}": lengths_B >= LONG,
            NEW_ITEMS: np.append(self.catalogue.num_events <= NEW, False)[targets_B],
            "tail items": np.append(tail_N, False)[targets_B],  # UNSEEN, -1, is in no slice of items
            "head items": np.append(~tail_N, False)[targets_B],
        }
        found |= {f"platform {platform.value}": platforms_B == platform.code for platform in Platform}
        return {name: chosen_B for name, chosen_B in found.items() if chosen_B.any()}

    def by_slice(self, scorer: str, *, seed: int) -> dict[str, dict[str, Interval]]:
        """Slice -> metric -> mean with its interval."""
        values = metrics.per_user(self.ranks[scorer])
        return {
            name: {metric: metrics.bootstrap(value[chosen_B], seed=seed) for metric, value in values.items()}
            for name, chosen_B in self.slices().items()
        }

    def differences(self, ours: str, theirs: str, *, seed: int) -> dict[str, Interval]:
        """Paired differences, ours minus theirs."""
        left, right = metrics.per_user(self.ranks[ours]), metrics.per_user(self.ranks[theirs])
        return {
            name: metrics.bootstrap_difference(left[name], right[name], seed=seed) for name in left if len(left[name])
        }


def evaluate(
    scorers: Mapping[str, Scorer],
    catalogue: Catalogue,
    *,
    sequences: Sequence[str | Path],
    holdout: Sequence[str | Path],
    exclude: rules.Policy,
    hidden_targets: bool = False,
) -> Evaluation:
    """Judge scorers by the protocol above, reading Parquet files of `sequences` and `holdout`.

    Memory: `CELLS` cells of people x items, `READ_ROWS` histories, and the holdout's item lists,
    which are as long as the window; never all people x items.
    """
    judge = _Judge(scorers, catalogue, exclude, hidden_targets)
    ahead = _read_holdout(holdout)
    num_found = 0
    for rows, items in _asked(sequences, ahead):
        num_found += rows.num_rows
        for start in range(0, rows.num_rows, judge.batch_users):
            judge.batch(rows.slice(start, judge.batch_users), items.slice(start, judge.batch_users))
    return judge.evaluation(num_without_history=ahead.num_rows - num_found)


def evaluate_newcomers(
    scorers: Mapping[str, Scorer],
    catalogue: Catalogue,
    *,
    sequences: Sequence[str | Path],
    holdout: Sequence[str | Path],
) -> Evaluation:
    """The same protocol for the people of the holdout whom `evaluate` leaves out: nothing is known of them."""
    judge = _Judge(scorers, catalogue, "none", hidden_targets=False)
    ahead = _read_holdout(holdout)
    known = [rows.column("user_id").cast(pa.string()) for rows, _ in _asked(sequences, ahead)]
    new = ahead.filter(pc.invert(pc.is_in(ahead.column("user_id"), pa.chunked_array(known, pa.string()))))
    new = new.filter(pc.greater(pc.list_value_length(new.column("item_ids")), 0))
    histories = pa.ListArray.from_arrays(pa.array(np.zeros(new.num_rows + 1, np.int32)), pa.array([], pa.string()))
    codes = pa.ListArray.from_arrays(pa.array(np.zeros(new.num_rows + 1, np.int32)), pa.array([], pa.int64()))
    columns = [new.column("user_id"), histories, codes, codes, _last_platforms(sequences, new.column("user_id"))]
    rows = pa.RecordBatch.from_arrays(columns, names=[*COLUMNS, _LAST_PLATFORM])
    for start in range(0, rows.num_rows, judge.batch_users):
        part = slice(start, start + judge.batch_users)
        judge.batch(rows[part], new.column("item_ids")[part])
    return judge.evaluation(num_without_history=0)


def asked(
    sequences: Sequence[str | Path], holdout: Sequence[str | Path]
) -> Iterator[tuple[pa.RecordBatch, pa.ListArray]]:
    """Rows of `sequences` of people with a history and a holdout row, and the items of the latter."""
    return _asked(sequences, _read_holdout(holdout))


def _asked(sequences: Sequence[str | Path], ahead: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, pa.ListArray]]:
    for rows in _read_rows(sequences):
        where = pc.index_in(rows.column("user_id"), ahead.column("user_id"))
        chosen = pc.and_(pc.is_valid(where), pc.greater(pc.list_value_length(rows.column("item_ids")), 0))
        yield rows.filter(chosen), ahead.column("item_ids").take(where.filter(chosen))


class _Judge:
    def __init__(
        self, scorers: Mapping[str, Scorer], catalogue: Catalogue, exclude: rules.Policy, hidden_targets: bool
    ) -> None:
        self.scorers, self.catalogue, self.exclude = scorers, catalogue, exclude
        self.skipped: rules.Policy = "none" if hidden_targets else exclude
        self.batch_users = max(1, CELLS // max(catalogue.size, 1))
        self.ranks: dict[str, list[Floats]] = {name: [] for name in scorers}
        self.lists = {name: Lists(np.zeros(catalogue.size, np.int64), []) for name in scorers}
        self.judged: list[Judged] = []
        self.num_unseen = self.num_without_target = 0

    def batch(self, rows: pa.RecordBatch, ahead: pa.ListArray) -> None:
        """Rank the targets of these people; `ahead` holds the items of their holdout rows."""
        whole = histories_from_arrow(rows, self.catalogue.vocabulary, max_length=WHOLE)
        targets_B = next_items(ahead, self.catalogue, rules.excluded(self.skipped, whole))
        judged = np.flatnonzero(targets_B != NO_TARGET)
        self.num_without_target += len(targets_B) - len(judged)
        self.num_unseen += int((targets_B == UNSEEN).sum())
        people = People(rows.take(pa.array(judged)), whole.take(judged))
        self.judged.append(Judged(people.histories.lengths, targets_B[judged], _platforms(people.rows)))
        for name in self.scorers:
            self._rank(name, people, targets_B[judged])

    def _rank(self, name: str, people: People, targets_B: Indices) -> None:
        seen_B = targets_B != UNSEEN
        ranks_B = np.full(len(targets_B), metrics.MISS)
        if self.catalogue.size and len(targets_B):
            scores_BN = self.scorers[name](people)
            rank.rule_out(torch.from_numpy(scores_BN), rules.excluded(self.exclude, people.histories))
            ranks_B[seen_B] = metrics.ranks(scores_BN[seen_B], targets_B[seen_B])
            self._list(name, rank.best(scores_BN, LIST_LENGTH))
        self.ranks[name].append(ranks_B)

    def _list(self, name: str, listed_BK: Indices) -> None:
        shown = listed_BK[listed_BK != rank.NONE]
        self.lists[name].shown_N += np.bincount(shown, minlength=self.catalogue.size)
        groups_BK = np.append(self.catalogue.categories, -1)[listed_BK]  # NONE, -1, has no category
        if (groups_BK >= 0).any():
            self.lists[name].diversity.append(metrics.diversity(groups_BK))

    def evaluation(self, *, num_without_history: int) -> Evaluation:
        return Evaluation(
            catalogue=self.catalogue,
            ranks={name: np.concatenate([np.empty(0), *parts]) for name, parts in self.ranks.items()},
            lists=self.lists,
            judged=Judged(*(np.concatenate([np.empty(0, np.int64), *parts]) for parts in self._judged_parts())),
            num_unseen_targets=self.num_unseen,
            num_without_history=num_without_history,
            num_without_target=self.num_without_target,
        )

    def _judged_parts(self) -> list[tuple[Indices, ...]]:
        """Each field of `Judged`, batch by batch."""
        return list(zip(*self.judged, strict=True)) or [()] * len(Judged._fields)


#: What `next_items` gives instead of a position.
UNSEEN, NO_TARGET = -1, -2


def next_items(ahead: pa.ListArray, catalogue: Catalogue, excluded: rules.Pairs) -> Indices:
    """Each person's target: the first item of the list that is not excluded, as a position.

    Returns:
        `UNSEEN` where that item is not in the catalogue, `NO_TARGET` where every item is excluded.
    """
    items = catalogue.vocabulary.encode(ahead.flatten())
    rows = np.repeat(np.arange(len(ahead)), np.asarray(pc.list_value_length(ahead)))
    stride = catalogue.size + 1
    hidden = np.isin(rows * stride + items, excluded.rows * stride + excluded.items + 1)
    with_target, first = np.unique(rows[~hidden], return_index=True)
    targets_B = np.full(len(ahead), NO_TARGET, np.int64)
    targets_B[with_target] = items[~hidden][first] - 1
    return targets_B


# -- scorers


def popularity_scorer(catalogue: Catalogue) -> Scorer:
    return lambda people: catalogue.popularity.scores(len(people.histories))


def window_scorer(catalogue: Catalogue) -> Scorer:
    """What was popular in the whole window: what popularity loses when it is not recent."""
    order = popularity_order(catalogue.num_events, catalogue.num_recent)
    return lambda people: Popularity(order).scores(len(people.histories))


def category_scorer(catalogue: Catalogue) -> Scorer:
    """What is popular in the categories of the history, then what is popular, as the fallback serves."""

    def scores(people: People) -> NDArray[np.float32]:
        histories = people.histories
        scores_BN = catalogue.popularity.scores(len(histories))
        num_groups = len(catalogue.category_names)
        touched_BC = np.zeros((len(histories), num_groups + 1), np.bool_)  # the last, -1, is no category
        rows = np.repeat(np.arange(len(histories)), histories.lengths)
        touched_BC[rows, catalogue.categories[histories.items - 1]] = True
        touched_BC[:, -1] = False
        scores_BN += np.float32(catalogue.size) * touched_BC[:, catalogue.categories]
        return scores_BN

    return scores


def platform_scorer(catalogue: Catalogue) -> Scorer:
    """What is popular on the platform where a person was last, as the fallback serves."""
    orders = [catalogue.popularity_on(platform) or catalogue.popularity for platform in Platform]
    scores_PN = np.stack([catalogue.popularity.scores_N, *(one.scores_N for one in orders)])  # code 0: not known
    return lambda people: scores_PN[_platforms(people.rows)]


#: The baselines that are fitted on histories, by name.
_FITTED: dict[str, type[Markov] | type[Cooccurrence] | type[ItemKnn]] = {
    "markov": Markov,
    "cooccurrence": Cooccurrence,
    "item-knn": ItemKnn,
}


def baseline_scorers(catalogue: Catalogue, sequences: Sequence[str | Path]) -> dict[str, Scorer]:
    """Popularity, and those that read the training histories (the files of `sequences`, a pass each)."""

    def fitted(baseline: type[Markov] | type[Cooccurrence] | type[ItemKnn]) -> Scorer:
        scorer = baseline(_training_entries(sequences, catalogue), catalogue.popularity)
        return lambda people: scorer.scores(_entries(people.histories))

    return {"popularity": popularity_scorer(catalogue)} | {name: fitted(kind) for name, kind in _FITTED.items()}


def model_scorer(model: CatalogueModel, catalogue: Catalogue) -> Scorer:
    """The model where it can read something of the person, else popularity, as `recommend` serves."""

    @torch.inference_mode()
    def scores(people: People) -> NDArray[np.float32]:
        histories = model.read(people.rows)
        scores_BN = catalogue.popularity.scores(len(histories))
        readable = np.flatnonzero(histories.lengths)
        if len(readable):
            by_model = model.states(histories.take(readable)) @ model.items_ND.T
            by_model[:, ~model.scored_N] = -torch.inf
            scores_BN[readable] = by_model.numpy()
        return scores_BN

    return scores


def _entries(histories: Histories) -> Entries:
    return Entries(np.repeat(np.arange(len(histories)), histories.lengths), histories.items - 1, len(histories))


def _training_entries(files: Sequence[str | Path], catalogue: Catalogue) -> Iterator[Entries]:
    for rows in _read_rows(files):
        yield _entries(histories_from_arrow(rows, catalogue.vocabulary, max_length=WHOLE))


# -- reading


def _read_rows(files: Sequence[str | Path]) -> Iterator[pa.RecordBatch]:
    for file in files:
        with open_parquet(file) as parquet:
            columns = [*COLUMNS, *({_LAST_PLATFORM} & set(parquet.schema_arrow.names))]
            yield from parquet.iter_batches(batch_size=READ_ROWS, columns=columns)


def _platforms(rows: pa.RecordBatch) -> Indices:
    """Platform code of each row's latest event; 0 where it is not known, or there is no such column."""
    if _LAST_PLATFORM not in rows.schema.names:
        return np.zeros(rows.num_rows, np.int64)
    places = pc.index_in(rows.column(_LAST_PLATFORM), pa.array([platform.value for platform in Platform]))
    return np.asarray(pc.fill_null(places, -1)).astype(np.int64) + 1


def _last_platforms(files: Sequence[str | Path], people: pa.Array) -> pa.Array:
    """Where these people were last, of those who only searched; null for others."""
    found = pa.nulls(len(people), pa.string())
    for rows in _read_rows(files):
        if _LAST_PLATFORM in rows.schema.names:
            where = pc.index_in(people, rows.column("user_id").cast(pa.string()))
            found = pc.coalesce(rows.column(_LAST_PLATFORM).take(where).cast(pa.string()), found)
    return found


def _read_holdout(files: Sequence[str | Path]) -> pa.RecordBatch:
    """Who touched what after the day: `user_id` and `item_ids`."""
    schema = pa.schema([("user_id", pa.string()), ("item_ids", pa.list_(pa.string()))])
    tables = [pq.ParquetFile(file).read(columns=schema.names).select(schema.names).cast(schema) for file in files]
    rows = pa.concat_tables([schema.empty_table(), *tables])
    columns = [rows.column(name).combine_chunks() for name in schema.names]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
