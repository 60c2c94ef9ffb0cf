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

Legend: B people of a batch, N items of the catalogue.
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

from nightjar.learn import metrics
from nightjar.learn.baselines import Indices, Markov
from nightjar.learn.histories import COLUMNS, Histories, histories_from_arrow, open_parquet
from nightjar.learn.metrics import Floats, Interval
from nightjar.score import rank, rules
from nightjar.score.catalogue import Catalogue
from nightjar.score.model import CatalogueModel

#: Cells of people x items ranked at once: 32 MiB of scores, about ten times that at the peak.
CELLS = 2**23

#: Rows of `sequences` looked up in the holdout at once.
READ_ROWS = 2**16

#: Lists are compared with the catalogue at this length.
COVERAGE_AT = 10


class People(NamedTuple):
    """Rows of `sequences`, as they are and in the catalogue's vocabulary (whole)."""

    rows: pa.RecordBatch
    histories: Histories


#: Scores of every item for each person, float32; minus infinity where the scorer knows nothing.
Scorer = Callable[[People], NDArray[np.float32]]


@dataclass
class Evaluation:
    """Ranks of every scorer on the same people, and who was left out."""

    ranks: dict[str, Floats]
    coverage: dict[str, float]  #: share of the catalogue that stands in at least one list
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
        return means | {f"coverage@{COVERAGE_AT}": self.coverage[scorer]}

    def at_cutoffs(self, scorer: str) -> dict[str, float]:
        """Means over people of HR, NDCG and MRR at every length of a list; 0 without people."""
        values = metrics.at_cutoffs(self.ranks[scorer])
        return {name: float(value.mean()) if len(value) else 0.0 for name, value in values.items()}

    def intervals(self, scorer: str, *, seed: int) -> dict[str, Interval]:
        values = metrics.per_user(self.ranks[scorer])
        return {name: metrics.bootstrap(value, seed=seed) for name, value in values.items() if len(value)}

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
    for rows in _read_rows(sequences):
        where = pc.index_in(rows.column("user_id"), ahead.column("user_id"))
        chosen = pc.and_(pc.is_valid(where), pc.greater(pc.list_value_length(rows.column("item_ids")), 0))
        rows, items = rows.filter(chosen), ahead.column("item_ids").take(where.filter(chosen))
        num_found += rows.num_rows
        for start in range(0, rows.num_rows, judge.batch_users):
            judge.batch(rows.slice(start, judge.batch_users), items.slice(start, judge.batch_users))
    return judge.evaluation(num_without_history=ahead.num_rows - num_found)


class _Judge:
    def __init__(
        self, scorers: Mapping[str, Scorer], catalogue: Catalogue, exclude: rules.Policy, hidden_targets: bool
    ) -> None:
        self.scorers, self.catalogue, self.exclude = scorers, catalogue, exclude
        self.skipped: rules.Policy = "none" if hidden_targets else exclude
        self.batch_users = max(1, CELLS // max(catalogue.size, 1))
        self.ranks: dict[str, list[Floats]] = {name: [] for name in scorers}
        self.listed_N = {name: np.zeros(catalogue.size, np.bool_) for name in scorers}
        self.num_unseen = self.num_without_target = 0

    def batch(self, rows: pa.RecordBatch, ahead: pa.ListArray) -> None:
        """Rank the targets of these people; `ahead` holds the items of their holdout rows."""
        whole = histories_from_arrow(rows, self.catalogue.vocabulary, max_length=rules.WHOLE)
        targets_B = next_items(ahead, self.catalogue, rules.excluded(self.skipped, whole))
        judged = np.flatnonzero(targets_B != NO_TARGET)
        self.num_without_target += len(targets_B) - len(judged)
        self.num_unseen += int((targets_B == UNSEEN).sum())
        people = People(rows.take(pa.array(judged)), whole.take(judged))
        for name in self.scorers:
            self._rank(name, people, targets_B[judged])

    def _rank(self, name: str, people: People, targets_B: Indices) -> None:
        seen_B = targets_B != UNSEEN
        ranks_B = np.full(len(targets_B), metrics.MISS)
        if self.catalogue.size and len(targets_B):
            scores_BN = self.scorers[name](people)
            rank.rule_out(torch.from_numpy(scores_BN), rules.excluded(self.exclude, people.histories))
            ranks_B[seen_B] = metrics.ranks(scores_BN[seen_B], targets_B[seen_B])
            listed = rank.best(scores_BN, COVERAGE_AT)
            self.listed_N[name][listed[listed != rank.NONE]] = True
        self.ranks[name].append(ranks_B)

    def evaluation(self, *, num_without_history: int) -> Evaluation:
        return Evaluation(
            ranks={name: np.concatenate([np.empty(0), *parts]) for name, parts in self.ranks.items()},
            coverage={name: float(mask.mean()) if len(mask) else 0.0 for name, mask in self.listed_N.items()},
            num_unseen_targets=self.num_unseen,
            num_without_history=num_without_history,
            num_without_target=self.num_without_target,
        )


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
    return lambda people: catalogue.popularity.scores(_last(people.histories))


def markov_scorer(catalogue: Catalogue, sequences: Sequence[str | Path]) -> Scorer:
    """Last-item Markov, fitted on the training histories (the files of `sequences`)."""
    markov = Markov(_pairs(sequences, catalogue), catalogue.popularity)
    return lambda people: markov.scores(_last(people.histories))


def model_scorer(model: CatalogueModel, catalogue: Catalogue) -> Scorer:
    """The model where it can read something of the person, else popularity, as `recommend` serves."""

    @torch.inference_mode()
    def scores(people: People) -> NDArray[np.float32]:
        histories = model.read(people.rows)
        scores_BN = catalogue.popularity.scores(_last(people.histories))
        readable = np.flatnonzero(histories.lengths)
        if len(readable):
            by_model = model.states(histories.take(readable)) @ model.items_ND.T
            by_model[:, ~model.known_N] = -torch.inf
            scores_BN[readable] = by_model.numpy()
        return scores_BN

    return scores


def _last(histories: Histories) -> Indices:
    """Position of each person's last item; -1 for people without."""
    last = np.full(len(histories), -1, np.int64)
    some = histories.lengths > 0
    last[some] = histories.items[histories.offsets[1:][some] - 1] - 1
    return last


def _pairs(files: Sequence[str | Path], catalogue: Catalogue) -> Iterator[tuple[Indices, Indices]]:
    """(item, the item right after it), as positions, batch by batch."""
    for rows in _read_rows(files):
        histories = histories_from_arrow(rows, catalogue.vocabulary, max_length=rules.WHOLE)
        owners = np.repeat(np.arange(len(histories)), histories.lengths)
        same = owners[1:] == owners[:-1]
        yield histories.items[:-1][same] - 1, histories.items[1:][same] - 1


# -- reading


def _read_rows(files: Sequence[str | Path]) -> Iterator[pa.RecordBatch]:
    for file in files:
        with open_parquet(file) as parquet:
            yield from parquet.iter_batches(batch_size=READ_ROWS, columns=list(COLUMNS))


def _read_holdout(files: Sequence[str | Path]) -> pa.RecordBatch:
    """Who touched what after the day: `user_id` and `item_ids`."""
    schema = pa.schema([("user_id", pa.string()), ("item_ids", pa.list_(pa.string()))])
    tables = [pq.ParquetFile(file).read(columns=schema.names).select(schema.names).cast(schema) for file in files]
    rows = pa.concat_tables([schema.empty_table(), *tables])
    columns = [rows.column(name).combine_chunks() for name in schema.names]
    return pa.RecordBatch.from_arrays(columns, schema=schema)
