"""Rows for items that a model has not learned: what it learned of items that are described alike.

A new item has words, a category and a brand before anybody has touched it. Its row is the mean of the rows of
the known items nearest to it in these, weighted by how near they are: the nearest-neighbour mapping from
attributes to factors of Gantner et al. 2010 (https://doi.org/10.1109/ICDM.2010.129). A mean of unlike rows is short,
so where scores are dot products an uncertain item scores low.

Legend: N items of the catalogue, U of them unknown to the model, D width, F features.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from nightjar.score.catalogue import Catalogue

#: Neighbours less alike than this say nothing; two items that share one of three rare words are at about a third.
_LEAST_SIMILARITY = 0.2

#: Similarities held at a time if none were zero: 200 MiB.
_CELLS = 2**24

#: Of more unknown items the most popular ones get a row: of 100,000 items 10,000 take four seconds of one core.
_MOST_ITEMS = 20_000

_WORD = re.compile(r"\w+")


def described_rows(
    catalogue: Catalogue, items_ND: Tensor, known_N: Tensor, neighbours: int
) -> tuple[NDArray[np.int64], Tensor]:
    """Positions of unknown items that resemble known ones, ascending, and their rows.

    Similarity is the cosine of TF-IDF weights of the title's words, the category and the brand; of equally
    similar items the more popular one counts first. Prices are left out: a tenth of the catalogue shares each
    decile, which would make every pair a little similar and the search ten times as long.

    Args:
        neighbours: known items that a row is made of, at most.
    """
    known, unknown = (torch.nonzero(which)[:, 0].numpy() for which in (known_N, ~known_N))
    if not neighbours or not len(known):
        return np.empty(0, np.int64), items_ND[:0]
    words = {place: said for place, said in zip(unknown.tolist(), _words(catalogue, unknown), strict=True) if said}
    described = np.array(list(words), np.int64)
    if not len(described):
        return described, items_ND[:0]
    # The first of equals in this order is taken.
    known = known[np.argsort(-catalogue.popularity.scores_N[known], kind="stable")]
    if len(described) > _MOST_ITEMS:
        popular = np.argsort(-catalogue.popularity.scores_N[described], kind="stable")
        described = np.sort(described[popular[:_MOST_ITEMS]])
    features_NF = _features([*_words(catalogue, known), *(words[place] for place in described.tolist())])
    ours_FK, theirs_UF = features_NF[: len(known)].T.tocsr(), features_NF[len(known) :]
    rows_UD, total_U = torch.zeros(len(described), items_ND.shape[1]), np.zeros(len(described), np.float32)
    at_once = max(1, _CELLS // len(known))
    for start in range(0, len(described), at_once):
        found = _nearest(theirs_UF[start : start + at_once] @ ours_FK, neighbours)
        rows, weights = torch.from_numpy(start + found.rows), torch.from_numpy(found.weights)
        rows_UD.index_add_(0, rows, weights[:, None] * items_ND[known[found.places]])
        np.add.at(total_U, start + found.rows, found.weights)
    some_U = total_U > 0
    return described[some_U], rows_UD[some_U] / torch.from_numpy(total_U[some_U])[:, None]


class _Nearest(NamedTuple):
    """Pairs of an unknown item, by row, and a known one, by place."""

    rows: NDArray[np.int64]
    places: NDArray[np.int64]
    weights: NDArray[np.float32]


def _nearest(alike_UK: csr_matrix, neighbours: int) -> _Nearest:
    """The most similar known items of each row; of equals the first."""
    rows = np.repeat(np.arange(alike_UK.shape[0]), np.diff(alike_UK.indptr))
    enough = alike_UK.data >= _LEAST_SIMILARITY
    rows, places, weights = rows[enough], alike_UK.indices[enough].astype(np.int64), alike_UK.data[enough]
    order = np.lexsort((places, -weights, rows))
    rows, places, weights = rows[order], places[order], weights[order]
    kept = np.arange(len(rows)) - np.searchsorted(rows, rows) < neighbours
    return _Nearest(rows[kept], places[kept], weights[kept].astype(np.float32))


def _words(catalogue: Catalogue, positions: NDArray[np.int64]) -> list[list[str]]:
    """What is known of each item, if anything. No word of a title has a colon, so none is taken for a category."""
    titles = catalogue.titles.take(positions).to_pylist()
    facts = zip(titles, catalogue.categories[positions].tolist(), catalogue.brands[positions].tolist(), strict=True)
    found = []
    for title, category, brand in facts:
        words = _WORD.findall((title or "").lower())
        words += [f"category:{category}"] if category >= 0 else []
        words += [f"brand:{brand}"] if brand >= 0 else []
        found.append(words)
    return found


def _features(words: list[list[str]]) -> csr_matrix:
    """TF-IDF of each item, of length one."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # half a second, and only nights with new items need it

    return TfidfVectorizer(analyzer=list, sublinear_tf=True).fit_transform(words).tocsr()
