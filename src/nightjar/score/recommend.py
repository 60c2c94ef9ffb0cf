"""Histories in, recommendations out, batch by batch.

Legend: B people, K items for each, L entries, D width, N items of the catalogue.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from nightjar.contracts import RECOMMENDATIONS
from nightjar.contracts.render import arrow_schema
from nightjar.learn.checkpoint import load_model
from nightjar.learn.histories import histories_from_arrow
from nightjar.score import fallback, rules
from nightjar.score.catalogue import Catalogue
from nightjar.score.explain import REASONS, explain
from nightjar.score.fallback import Fallback
from nightjar.score.held_out import STRATEGY, held_out
from nightjar.score.model import CatalogueModel
from nightjar.score.rank import NONE, top_k
from nightjar.settings import Score

#: Digits of written scores: stable diffs across machines.
DIGITS = 6

_SCHEMA = arrow_schema(RECOMMENDATIONS)


class Champion(NamedTuple):
    """Which model scores; `folder` holds its files."""

    name: str
    version: str
    folder: Path


@dataclass(frozen=True)
class Night:
    """What is the same for every person of a night."""

    shop: str
    day: date
    day_end: datetime  #: the instant at which the shop's day ends
    conf: Score


@dataclass(frozen=True)
class ScoringTask:
    """What a Spark worker needs, small enough to travel: `mapInArrow(task, schema)`.

    Each call reads the items' Parquet files and the model's folder once, from the local disk.
    """

    night: Night
    item_files: tuple[str, ...]
    champion: Champion | None

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        torch.set_num_threads(1)  # Spark runs one worker per core; more threads would fight for them
        catalogue = Catalogue.read(self.item_files)
        return Recommender(self.night, catalogue, self.champion).recommend(batches)


class Lists(NamedTuple):
    """The lists of a batch; `NONE` stands where a list ends early."""

    items_BK: NDArray[np.int64]  #: positions in the catalogue
    scores_BK: NDArray[np.float64]
    by_model_BK: NDArray[np.bool_]
    evidence_BK: NDArray[np.int64]  #: indices into the model's vocabulary; 0 without evidence
    reasons_BK: NDArray[np.int64]  #: indices into `REASONS`; 0 for the fallback's
    held_out_B: NDArray[np.bool_]  #: drawn to see no model, although it knows them


class Recommender:
    """One list per person: the champion's, and the fallback where the champion has nothing to say.

    A list has exactly k distinct items unless fewer are available to that person. The champion's
    come first; what is missing is filled up by the fallback. People without an entry that the model
    knows, and everybody when there is no champion, get the fallback alone.
    """

    def __init__(self, night: Night, catalogue: Catalogue, champion: Champion | None) -> None:
        self.night, self.catalogue, self.champion = night, catalogue, champion
        available_N = catalogue.available(night.day_end, night.conf.available_within_days)
        self.fallback = Fallback(catalogue, available_N)
        self.model = CatalogueModel(load_model(champion.folder), catalogue) if champion else None
        if self.model:
            self.candidates_N = torch.from_numpy(available_N) & self.model.known_N

    def recommend(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Rows of `sequences` to rows of `recommendations`, each person once, in the order they come.

        Memory is that of `[score] batch_users` people whatever the number of people: their entries
        as embeddings (B x L x D floats) or their scores of a chunk of items (see `rank.top_k`),
        never people x items.
        """
        for rows in batches:
            for start in range(0, rows.num_rows, self.night.conf.batch_users):
                part = rows.slice(start, self.night.conf.batch_users)
                yield self._rows(part.column("user_id"), self.lists(part))

    def lists(self, rows: pa.RecordBatch) -> Lists:
        """The lists of these people, in their order."""
        whole = histories_from_arrow(rows, self.catalogue.vocabulary, max_length=rules.WHOLE)
        excluded = rules.excluded(self.night.conf.exclude, whole)
        lists = self._empty(rows.num_rows)
        if self.model is not None:
            self._fill_by_model(lists, self.model, rows, excluded)
        self._fill_up(lists, excluded)
        return lists

    def _empty(self, num_people: int) -> Lists:
        shape = (num_people, self.night.conf.k)
        return Lists(
            np.full(shape, NONE, np.int64),
            np.zeros(shape, np.float64),
            np.zeros(shape, np.bool_),
            np.zeros(shape, np.int64),
            np.zeros(shape, np.int64),
            np.zeros(num_people, np.bool_),
        )

    @torch.inference_mode()
    def _fill_by_model(self, lists: Lists, model: CatalogueModel, rows: pa.RecordBatch, excluded: rules.Pairs) -> None:
        histories = model.read(rows)
        conf = self.night.conf
        drawn_B = held_out(rows.column("user_id"), conf.held_out_share, conf.held_out_salt)
        lists.held_out_B[:] = drawn_B & (histories.lengths > 0)
        people = np.flatnonzero((histories.lengths > 0) & ~drawn_B)
        if len(people) == 0 or self.catalogue.size == 0:
            return
        readable = histories.take(people)
        scores_BK, items_BK = top_k(
            model.states(readable),
            model.items_ND,
            excluded=_of(people, excluded, len(histories)),
            available=self.candidates_N,
            k=self.night.conf.k,
        )
        # Gaps get the last item's embedding, and lose what it explains.
        evidence_BK, reasons_BK = explain(
            readable.batch(model.conf.max_length), model.items_ND[items_BK], model.table_VD
        )
        found_BK = items_BK.numpy() != NONE
        lists.items_BK[people] = items_BK.numpy()
        lists.scores_BK[people] = np.where(found_BK, scores_BK.double().numpy(), 0.0)
        lists.by_model_BK[people] = found_BK
        lists.evidence_BK[people] = evidence_BK * found_BK
        lists.reasons_BK[people] = reasons_BK * found_BK

    def _fill_up(self, lists: Lists, excluded: rules.Pairs) -> None:
        """The fallback behind the model's items, with scores that keep falling."""
        by_row = np.argsort(excluded.rows, kind="stable")
        bounds = np.searchsorted(excluded.rows[by_row], np.arange(len(lists.items_BK) + 1))
        for row in np.flatnonzero((lists.items_BK == NONE).any(axis=1)):
            num_model = int(lists.by_model_BK[row].sum())
            ruled_out = excluded.items[by_row[bounds[row] : bounds[row + 1]]]
            without = np.union1d(ruled_out, lists.items_BK[row, :num_model])
            filled = self.fallback.first(self.night.conf.k - num_model, without=without)
            places = slice(num_model, num_model + len(filled))
            lists.items_BK[row, places] = filled
            if num_model == 0:
                lists.scores_BK[row, places] = self.fallback.num_recent[filled]
            else:  # popularity is no model score: only the order is meant
                lists.scores_BK[row, places] = lists.scores_BK[row, num_model - 1] - np.arange(1, len(filled) + 1)

    def _rows(self, user_ids: pa.Array, lists: Lists) -> pa.RecordBatch:
        row, column = np.nonzero(lists.items_BK != NONE)
        by_model = lists.by_model_BK[row, column]
        model = self.champion or Champion("", "", Path())
        day, num_rows = self.night.day.isoformat(), len(row)
        users, ranks = user_ids.take(pa.array(row)), pa.array(column + 1, pa.int32())
        fixed = [pa.scalar(self.night.shop), pa.scalar(day), pa.scalar(self.night.conf.surface)]
        columns = {
            "row_key": pc.binary_join_element_wise(*fixed, users, ranks.cast(pa.string()), "|"),
            "shop": pa.repeat(self.night.shop, num_rows),
            "dt": pa.repeat(pa.scalar(self.night.day, pa.date32()), num_rows),
            "surface": pa.repeat(self.night.conf.surface, num_rows),
            "user_id": users,
            "rank": ranks,
            "item_id": self.catalogue.vocabulary.decode(lists.items_BK[row, column] + 1),
            "score": pa.array(np.round(lists.scores_BK[row, column], DIGITS)),
            "strategy": pc.if_else(
                pa.array(by_model), "model", _choose(lists.held_out_B[row], STRATEGY, fallback.STRATEGY)
            ),
            "reason_code": self._reasons(lists.reasons_BK[row, column]),
            "evidence_item_id": self._evidence(lists.evidence_BK[row, column]),
            "model_name": _choose(by_model, model.name, fallback.NAME),
            "model_version": _choose(by_model, model.version, day),
        }
        return pa.RecordBatch.from_arrays([columns[name] for name in _SCHEMA.names], schema=_SCHEMA)

    def _reasons(self, reasons: NDArray[np.int64]) -> pa.Array:
        return pa.array((fallback.REASON, *REASONS[1:])).take(pa.array(reasons))

    def _evidence(self, indices: NDArray[np.int64]) -> pa.Array:
        if self.model is None:
            return pa.nulls(len(indices), pa.string())
        names = self.model.vocabulary.decode(np.maximum(indices, 1))
        return pc.if_else(pa.array(indices > 0), names, pa.scalar(None, pa.string()))


def _of(people: NDArray[np.int64], pairs: rules.Pairs, num_people: int) -> rules.Pairs:
    """The pairs of these people, their rows numbered from 0 in the same order."""
    row_of = np.full(num_people, NONE, np.int64)
    row_of[people] = np.arange(len(people))
    rows = row_of[pairs.rows]
    return rules.Pairs(rows[rows != NONE], pairs.items[rows != NONE])


def _choose(which: NDArray[np.bool_], yes: str, no: str) -> pa.Array:
    return pc.if_else(pa.array(which), pa.scalar(yes), pa.scalar(no))
