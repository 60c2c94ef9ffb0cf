"""Histories in, recommendations out, batch by batch.

Legend: B people, K items for each, M candidates of each, L entries, D width, N items of the catalogue, E named items.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray

from nightjar.contracts import RECOMMENDATIONS, Platform
from nightjar.contracts.published import STRATEGIES
from nightjar.contracts.render import arrow_schema
from nightjar.learn.checkpoint import load_model
from nightjar.learn.histories import WHOLE, Histories, histories_from_arrow
from nightjar.score import fallback, rerank, rules
from nightjar.score.catalogue import Catalogue
from nightjar.score.explain import NAMED, REASONS, explain
from nightjar.score.fallback import Fallback
from nightjar.score.held_out import held_out
from nightjar.score.model import CatalogueModel
from nightjar.score.rank import NONE, Ranking
from nightjar.score.rulebook import Rulebook, Rules, plain_rules, resolve
from nightjar.settings import Score

#: Digits of written scores: stable diffs across machines.
DIGITS = 6

_SCHEMA = arrow_schema(RECOMMENDATIONS)

#: Where an item comes from; places in `STRATEGIES` are `Lists.sources_BK`.
_BY_MODEL, _BY_CATEGORY, _BY_PLATFORM, _BY_POPULARITY, _HELD_OUT = range(len(STRATEGIES))

#: What a rule did to a row; places in this list are `Lists.rules_BK`.
RULES = ("", "pinned", "cap_given_way")
_PINNED, _CAP_GAVE_WAY = 1, 2

#: `REASONS` of `explain`, then those of what no history explains.
_REASON_CODES = (*REASONS, fallback.CATEGORY_REASON, fallback.PLATFORM_REASON, fallback.REASON, "chosen_by_shop")
_OF_CATEGORY, _OF_PLATFORM, _OF_POPULARITY, _OF_SHOP = range(len(REASONS), len(_REASON_CODES))

#: The reason of each strategy; the model's own are found item by item.
_REASON_OF = np.array([0, _OF_CATEGORY, _OF_PLATFORM, _OF_POPULARITY, _OF_POPULARITY])

_NOTHING = np.empty(0, np.int64)

#: Candidates beside the places of a list where caps may rule some out, as a multiple of the places.
_CANDIDATES_PER_PLACE = 5


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
    rulebook: Rulebook | None = None
    facts: pa.Table | None = None  #: the shop's own numbers of items, as the rules need them

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        torch.set_num_threads(1)  # Spark runs one worker per core; more threads would fight for them
        catalogue = Catalogue.read(self.item_files)
        return Recommender(self.night, catalogue, self.champion, self.rules(catalogue)).recommend(batches)

    def rules(self, catalogue: Catalogue) -> list[Rules]:
        """Each surface's rules tonight."""
        return night_rules(self.night, catalogue, self.rulebook, self.facts)


def night_rules(night: Night, catalogue: Catalogue, rulebook: Rulebook | None, facts: pa.Table | None) -> list[Rules]:
    """Each surface's rules as they hold on the night's day; without a rulebook one surface without any."""
    if rulebook is None:
        return [plain_rules(night.conf, catalogue)]
    available_N = catalogue.available(night.day_end, night.conf.available_within_days)
    return resolve(rulebook, facts, catalogue, night.conf, available_N=available_N, day=night.day)


class People(NamedTuple):
    """A batch of people: their whole histories in the catalogue's vocabulary, and what the model reads of them."""

    whole: Histories
    read: Histories | None
    platforms_B: list[str | None]  #: where each was last; None unknown

    def part(self, start: int, length: int) -> People:
        chosen = np.arange(start, min(start + length, len(self.whole)))
        platforms_B = self.platforms_B[start : start + length]
        return People(self.whole.take(chosen), self.read and self.read.take(chosen), platforms_B)


class Lists(NamedTuple):
    """The lists of a batch on one surface; `NONE` stands where a list ends early."""

    items_BK: NDArray[np.int64]  #: positions in the catalogue
    scores_BK: NDArray[np.float64]
    sources_BK: NDArray[np.int64]  #: places in `STRATEGIES`
    rules_BK: NDArray[np.int64]  #: places in `RULES`
    evidence_BKE: NDArray[np.int64]  #: indices into the model's vocabulary; 0 without evidence
    reasons_BK: NDArray[np.int64]  #: indices into `_REASON_CODES`

    @classmethod
    def empty(cls, num_people: int, k: int) -> Lists:
        shape = (num_people, k)
        none, zeros = np.full(shape, NONE, np.int64), np.zeros(shape, np.int64)
        return cls(none, np.zeros(shape), zeros, zeros.copy(), np.zeros((*shape, NAMED), np.int64), zeros.copy())

    @property
    def filled_BK(self) -> NDArray[np.bool_]:
        filled_BK: NDArray[np.bool_] = self.items_BK != NONE
        return filled_BK


class _Surface:
    """One surface's rules with what ranks under them."""

    def __init__(
        self, rules: Rules, catalogue: Catalogue, available_N: NDArray[np.bool_], model: CatalogueModel | None
    ) -> None:
        self.rules = rules
        shown_N = available_N & rules.allowed_N
        self.fallback = Fallback(catalogue, shown_N)
        self.ranking = Ranking(model.items_ND, torch.from_numpy(shown_N) & model.scored_N) if model else None

    @property
    def num_candidates(self) -> int:
        """How many of the model's best the list is chosen from."""
        k, diversity = self.rules.k, self.rules.diversity
        most = k * _CANDIDATES_PER_PLACE if self.rules.caps else k
        return max(most, diversity.pool) if diversity else most


class Recommender:
    """One list per person and surface: the champion's, and the fallback where the champion has nothing to say.

    A list has exactly k distinct items unless fewer may be shown to that person. The champion's
    come first; what is missing is filled up by the fallback. People without an entry that the model
    knows, and everybody when there is no champion, get the fallback alone: what is popular in the categories
    of their history, then on the platform where they were last. Rules choose and move; pins come last.
    People drawn by `[score] held_out_share` get what is popular although the champion knows them.
    """

    def __init__(
        self, night: Night, catalogue: Catalogue, champion: Champion | None, surfaces: Sequence[Rules] = ()
    ) -> None:
        self.night, self.catalogue, self.champion = night, catalogue, champion
        neighbours = night.conf.content_neighbours
        self.model = CatalogueModel(load_model(champion.folder), catalogue, neighbours=neighbours) if champion else None
        available_N = catalogue.available(night.day_end, night.conf.available_within_days)
        every = surfaces or [plain_rules(night.conf, catalogue)]
        self.surfaces = [_Surface(one, catalogue, available_N, self.model) for one in every]

    def recommend(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Rows of `sequences` to rows of `recommendations`, each person once per surface, in the order they come.

        Memory is that of `[score] batch_users` people whatever the number of people: their entries
        as embeddings (B x L x D floats) or their scores of a chunk of items (see `rank.Ranking`),
        never people x items.
        """
        for rows in batches:
            people = self.people(rows)
            for start in range(0, rows.num_rows, self.night.conf.batch_users):
                part = people.part(start, self.night.conf.batch_users)
                drawn_B = self._drawn(part)
                readable, states_BD = self._states(part, without_B=drawn_B)
                for surface in self.surfaces:
                    lists = self._listed(part, surface, readable, states_BD, drawn_B)
                    self._explain(lists, part, readable, states_BD)
                    yield self._rows(part.whole.user_ids, surface.rules.surface, lists)

    def items(self, people: People) -> Iterator[NDArray[np.int64]]:
        """items_BK of each surface, in the order of the surfaces; `NONE` where a list ends early.

        Nobody is held out: this is what the model would show to everybody.
        """
        nobody_B = np.zeros(len(people.whole), np.bool_)
        readable, states_BD = self._states(people, without_B=nobody_B)
        for surface in self.surfaces:
            yield self._listed(people, surface, readable, states_BD, nobody_B).items_BK

    def people(self, rows: pa.RecordBatch) -> People:
        """Histories of a record batch: looking ids up costs the vocabularies' size each time, so many at once."""
        whole = histories_from_arrow(rows, self.catalogue.vocabulary, max_length=WHOLE)
        platforms_B: list[str | None] = [None] * rows.num_rows
        if "last_platform" in rows.schema.names:
            platforms_B = rows.column("last_platform").to_pylist()
        return People(whole, self.model.read(rows) if self.model else None, platforms_B)

    def _drawn(self, people: People) -> NDArray[np.bool_]:
        """Who sees no model, of those whom it knows."""
        if people.read is None:
            return np.zeros(len(people.whole), np.bool_)
        conf = self.night.conf
        drawn_B = held_out(people.whole.user_ids, conf.held_out_share, conf.held_out_salt)
        return np.asarray(drawn_B & (people.read.lengths > 0))

    def _states(self, people: People, *, without_B: NDArray[np.bool_]) -> tuple[NDArray[np.int64], torch.Tensor]:
        """Whom the model can read something of and may be asked for, and their states."""
        if self.model is None or people.read is None or self.catalogue.size == 0:
            return np.empty(0, np.int64), torch.empty(0, 0)
        readable = np.flatnonzero((people.read.lengths > 0) & ~without_B)
        return readable, self.model.states(people.read.take(readable))

    def _listed(
        self,
        people: People,
        surface: _Surface,
        readable: NDArray[np.int64],
        states_BD: torch.Tensor,
        drawn_B: NDArray[np.bool_],
    ) -> Lists:
        excluded = self._excluded(people.whole, surface.rules)
        lists = Lists.empty(len(people.whole), surface.rules.k)
        lists.sources_BK[:] = np.where(drawn_B, _HELD_OUT, _BY_POPULARITY)[:, None]
        candidates_BM = np.full((len(people.whole), surface.num_candidates), NONE, np.int64)
        if len(readable):
            ours = _of(readable, excluded, len(people.whole))
            candidates_BM[readable] = self._choose(lists, people, surface, readable, states_BD, ours)
        self._fill_up(lists, people, excluded, surface, candidates_BM)
        if surface.rules.pins:
            lists = self._pin(lists, surface.rules, excluded)
        if surface.rules.pins or surface.rules.caps or surface.rules.diversity:
            lists.scores_BK[:] = rerank.falling(lists.scores_BK, lists.filled_BK)
        return lists

    def _excluded(self, whole: Histories, of: Rules) -> rules.Pairs:
        since = self.night.day_end - timedelta(days=of.no_repeat_days)
        bought_since = int(since.timestamp()) if of.no_repeat_days else None
        return rules.excluded(self.night.conf.exclude, whole, bought_since=bought_since)

    def _choose(
        self,
        lists: Lists,
        people: People,
        surface: _Surface,
        readable: NDArray[np.int64],
        states_BD: torch.Tensor,
        excluded: rules.Pairs,
    ) -> NDArray[np.int64]:
        """Put the model's items into the lists of those it can read; returns their candidates, best first."""
        assert surface.ranking is not None
        scores, items = surface.ranking.top(states_BD, excluded=excluded, k=surface.num_candidates)
        scores_BM, items_BM = scores.numpy(), items.numpy()
        k, found = surface.rules.k, items_BM
        if surface.rules.caps or surface.rules.diversity:
            taste = self._taste(surface.rules, people.whole.take(readable), scores_BM, items_BM)
            places_BK = rerank.choose(taste, items_BM, k, surface.rules.caps)
            chosen_BK = np.maximum(places_BK, 0)
            found = np.where(places_BK == NONE, NONE, np.take_along_axis(items_BM, chosen_BK, axis=1))
            scores_BM = np.take_along_axis(scores_BM, chosen_BK, axis=1)
        items_BK = found[:, :k]
        filled_BK = items_BK != NONE
        # Caps may leave no gap in the middle: a place stays empty only when all later ones do.
        lists.items_BK[readable] = items_BK
        lists.scores_BK[readable] = np.where(filled_BK, scores_BM[:, :k], 0.0)
        lists.sources_BK[readable] = np.where(filled_BK, _BY_MODEL, _BY_POPULARITY)
        return items_BM

    def _taste(
        self, of: Rules, whole: Histories, scores_BM: NDArray[np.float32], items_BM: NDArray[np.int64]
    ) -> rerank.Taste:
        if of.diversity is None:
            return rerank.Own(scores_BM)
        if of.diversity.method == "mmr":
            assert self.model is not None
            return rerank.Mmr(scores_BM, self.model.items_ND[items_BM].numpy(), of.diversity.weight)
        categories = np.append(self.catalogue.categories, -1)  # NONE, and padding, have none
        history_BL = whole.batch(WHOLE).items_BL.numpy() - 1
        return rerank.Calibration(scores_BM, categories[items_BM], categories[history_BL], of.diversity.weight)

    def _fill_up(
        self,
        lists: Lists,
        people: People,
        excluded: rules.Pairs,
        surface: _Surface,
        candidates_BM: NDArray[np.int64],
    ) -> None:
        """What is missing, person by person: the fallback, and where caps leave none of it, what they kept out."""
        whole, by_row = people.whole, np.argsort(excluded.rows, kind="stable")
        bounds = np.searchsorted(excluded.rows[by_row], np.arange(len(lists.items_BK) + 1))
        for row in np.flatnonzero((lists.items_BK == NONE).any(axis=1)).tolist():
            ruled_out = excluded.items[by_row[bounds[row] : bounds[row + 1]]]
            num_model = int(lists.filled_BK[row].sum())
            popular = surface.fallback
            if num_model == 0 and lists.sources_BK[row, 0] != _HELD_OUT:
                categories = self._categories(whole.items[whole.offsets[row] : whole.offsets[row + 1]] - 1)
                self._append_of(categories, lists, row, surface, ruled_out)
                popular = self._popular(surface, people.platforms_B[row])
            self._append(popular, lists, row, surface, ruled_out)
            if surface.rules.caps:
                self._give_way(lists, row, surface, ruled_out, candidates_BM[row])
            self._score(lists, row, num_model)

    def _categories(self, positions: NDArray[np.int64]) -> NDArray[np.int64]:
        categories = np.unique(self.catalogue.categories[positions])
        return categories[categories >= 0]

    def _popular(self, surface: _Surface, platform: str | None) -> Fallback:
        return surface.fallback.on(Platform(platform)) if platform else surface.fallback

    def _append_of(
        self, categories: NDArray[np.int64], lists: Lists, row: int, surface: _Surface, ruled_out: NDArray[np.int64]
    ) -> None:
        """The fallback's items of some categories, the first of the list."""
        more = (
            surface.fallback.first_of(categories, surface.rules.k, without=ruled_out) if len(categories) else _NOTHING
        )
        more = _within(surface.rules, more, _NOTHING)
        lists.items_BK[row, : len(more)] = more
        lists.sources_BK[row, : len(more)] = _BY_CATEGORY

    def _append(
        self, popular: Fallback, lists: Lists, row: int, surface: _Surface, ruled_out: NDArray[np.int64]
    ) -> None:
        """What is popular, behind what the list has."""
        having = lists.items_BK[row][lists.filled_BK[row]]
        missing, without = surface.rules.k - len(having), np.union1d(ruled_out, having)
        if missing == 0:
            return
        if surface.rules.caps:
            more = popular.within(surface.rules.caps, missing, having=having, without=without)
        else:
            more = popular.first(missing, without=without)
        places = slice(len(having), len(having) + len(more))
        lists.items_BK[row, places] = more
        if popular is not surface.fallback:
            lists.sources_BK[row, places] = _BY_PLATFORM

    def _give_way(
        self,
        lists: Lists,
        row: int,
        surface: _Surface,
        ruled_out: NDArray[np.int64],
        candidates_M: NDArray[np.int64],
    ) -> None:
        """Caps cannot be met by what is left: the model's candidates that they kept out, then the fallback's."""
        having = lists.items_BK[row][lists.filled_BK[row]]
        missing = surface.rules.k - len(having)
        ours = candidates_M[(candidates_M != NONE) & ~np.isin(candidates_M, having)][:missing]
        without = np.concatenate([ruled_out, having, ours])
        more = np.concatenate([ours, surface.fallback.first(missing - len(ours), without=without)])
        places = slice(len(having), len(having) + len(more))
        lists.items_BK[row, places] = more
        lists.sources_BK[row, places][: len(ours)] = _BY_MODEL
        lists.rules_BK[row, places] = _CAP_GAVE_WAY

    def _score(self, lists: Lists, row: int, num_model: int) -> None:
        """Scores that keep falling behind the model's."""
        places = slice(num_model, int(lists.filled_BK[row].sum()))
        filled = lists.items_BK[row, places]
        if num_model == 0:
            lists.scores_BK[row, places] = self.catalogue.num_recent[filled]
            lists.scores_BK[row] = rerank.falling(lists.scores_BK[row : row + 1], lists.filled_BK[row : row + 1])[0]
        else:  # popularity is no model score: only the order is meant
            lists.scores_BK[row, places] = lists.scores_BK[row, num_model - 1] - np.arange(1, len(filled) + 1)

    def _pin(self, lists: Lists, of: Rules, excluded: rules.Pairs) -> Lists:
        positions = np.array([pin.position for pin in of.pins])
        ruled_out = excluded.rows * self.catalogue.size + excluded.items
        people_B1 = np.arange(len(lists.items_BK))[:, None]
        may_show_BP = ~np.isin(people_B1 * self.catalogue.size + positions, ruled_out)
        order_BK, pins_BK = rerank.with_pins(lists.items_BK, of.pins, may_show_BP)
        pinned_BK, kept_BK = pins_BK != NONE, order_BK != NONE

        def moved(values_BK: NDArray[Any], pinned: Any, nothing: Any) -> NDArray[Any]:
            ours_BK = np.take_along_axis(values_BK, np.maximum(order_BK, 0), axis=1)
            return np.where(pinned_BK, pinned, np.where(kept_BK, ours_BK, nothing))

        lowest_B1 = np.where(lists.filled_BK, lists.scores_BK, np.inf).min(axis=1, keepdims=True)
        return Lists(
            moved(lists.items_BK, positions[pins_BK], NONE),
            moved(lists.scores_BK, np.where(np.isfinite(lowest_B1), lowest_B1, 0.0), 0.0),
            moved(lists.sources_BK, lists.sources_BK[:, :1], _BY_POPULARITY),
            moved(lists.rules_BK, _PINNED, 0),
            lists.evidence_BKE,
            lists.reasons_BK,
        )

    def _explain(self, lists: Lists, people: People, readable: NDArray[np.int64], states_BD: torch.Tensor) -> None:
        lists.reasons_BK[:] = _REASON_OF[lists.sources_BK]
        if len(readable):
            assert self.model is not None
            assert people.read is not None
            # Gaps get the last item's embedding, and lose what it explains.
            recommended_BKD = self.model.items_ND[lists.items_BK[readable]]
            read, conf = people.read.take(readable), self.night.conf
            why = explain(
                self.model,
                read,
                states_BD,
                recommended_BKD,
                tried=conf.explain_items,
                entries=conf.explain_entries,
            )
            ours_BK = (lists.sources_BK[readable] == _BY_MODEL) & (lists.rules_BK[readable] != _PINNED)
            lists.evidence_BKE[readable] = why.evidence_BKE * ours_BK[:, :, None]
            lists.reasons_BK[readable] = np.where(ours_BK, why.codes_BK, lists.reasons_BK[readable])
        lists.reasons_BK[lists.rules_BK == _PINNED] = _OF_SHOP

    def _rows(self, user_ids: pa.Array, surface: str, lists: Lists) -> pa.RecordBatch:
        row, column = np.nonzero(lists.filled_BK)
        sources, evidence = lists.sources_BK[row, column], lists.evidence_BKE[row, column]
        by_model = pa.array(sources == _BY_MODEL)
        model = self.champion or Champion("", "", Path())
        day, num_rows = self.night.day.isoformat(), len(row)
        users, ranks = user_ids.take(pa.array(row)), pa.array(column + 1, pa.int32())
        fixed = [pa.scalar(self.night.shop), pa.scalar(day), pa.scalar(surface)]
        columns = {
            "row_key": pc.binary_join_element_wise(*fixed, users, ranks.cast(pa.string()), "|"),
            "shop": pa.repeat(self.night.shop, num_rows),
            "dt": pa.repeat(pa.scalar(self.night.day, pa.date32()), num_rows),
            "surface": pa.repeat(surface, num_rows),
            "user_id": users,
            "rank": ranks,
            "item_id": self.catalogue.vocabulary.decode(lists.items_BK[row, column] + 1),
            "score": pa.array(np.round(lists.scores_BK[row, column], DIGITS)),
            "strategy": _words(STRATEGIES, sources),
            "reason_code": _words(_REASON_CODES, lists.reasons_BK[row, column]),
            "evidence_item_id": self._evidence(evidence[:, 0]),
            "evidence_2_item_id": self._evidence(evidence[:, 1]),
            "evidence_3_item_id": self._evidence(evidence[:, 2]),
            "rule": _words(RULES, lists.rules_BK[row, column], nothing=0),
            "model_name": pc.if_else(by_model, pa.scalar(model.name), pa.scalar(fallback.NAME)),
            "model_version": pc.if_else(by_model, pa.scalar(model.version), pa.scalar(day)),
        }
        return pa.RecordBatch.from_arrays([columns[name] for name in _SCHEMA.names], schema=_SCHEMA)

    def _evidence(self, indices: NDArray[np.int64]) -> pa.Array:
        if self.model is None:
            return pa.nulls(len(indices), pa.string())
        return self.model.vocabulary.decode_known(indices)


def _of(people: NDArray[np.int64], pairs: rules.Pairs, num_people: int) -> rules.Pairs:
    """The pairs of these people, their rows numbered from 0 in the same order."""
    row_of = np.full(num_people, NONE, np.int64)
    row_of[people] = np.arange(len(people))
    rows = row_of[pairs.rows]
    return rules.Pairs(rows[rows != NONE], pairs.items[rows != NONE])


def _within(of: Rules, items: NDArray[np.int64], having: NDArray[np.int64]) -> NDArray[np.int64]:
    """The items, in their order, as far as the caps have room for them."""
    for cap in of.caps:
        groups = cap.groups_N[items]
        before = np.array([(groups[:place] == group).sum() for place, group in enumerate(groups)], np.int64)
        before += (cap.groups_N[having][None] == groups[:, None]).sum(axis=1)
        items = items[(before < cap.at_most) | (groups < 0)]
    return items


def _words(words: tuple[str, ...], places: NDArray[np.int64], *, nothing: int | None = None) -> pa.Array:
    """The word at each place; null for the place that stands for nothing."""
    mask = None if nothing is None else places == nothing
    return pa.array(words).take(pa.array(places, mask=mask))
