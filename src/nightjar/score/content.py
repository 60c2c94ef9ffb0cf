"""Rows for items that a model has not learned: what it learned of items that are described alike.

A new item has words, a category, a brand and a price before anybody has touched it. Its row is the mean of the rows of
the known items nearest to it in these, weighted by how near they are: the nearest-neighbour mapping from
attributes to factors of Gantner et al. 2010 (https://doi.org/10.1109/ICDM.2010.129). A mean of unlike rows is short,
so where scores are dot products an uncertain item scores low.

Legend: N items of the catalogue, U of them unknown to the model, D width, F features.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nightjar.score.rank import best

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from nightjar.score.catalogue import Catalogue

#: Neighbours less alike than this say nothing; two items that share one of three rare words are at about a third.
_LEAST_SIMILARITY = 0.2

#: Similarities held at a time: 64 MiB of float32.
_CELLS = 2**24

_WORD = re.compile(r"\w+")


def described_rows(
    catalogue: Catalogue, items_ND: Tensor, known_N: Tensor, neighbours: int
) -> tuple[NDArray[np.int64], Tensor]:
    """Positions of unknown items that resemble known ones, ascending, and their rows.

    Similarity is the cosine of TF-IDF weights of the title's words, the category, the brand and the price's
    decile; of equally similar items the more popular one counts first.

    Args:
        neighbours: known items that a row is made of, at most.
    """
    known, unknown = (torch.nonzero(which)[:, 0].numpy() for which in (known_N, ~known_N))
    described = unknown[[bool(words) for words in _words(catalogue, unknown)]] if len(unknown) else unknown
    if not len(described) or not len(known) or not neighbours:
        return np.empty(0, np.int64), items_ND[:0]
    # The first of equals in this order is taken.
    known = known[np.argsort(-catalogue.popularity.scores_N[known], kind="stable")]
    features_NF = _features(catalogue, np.concatenate([known, described]))
    ours_KF, theirs_UF = features_NF[: len(known)], features_NF[len(known) :]
    positions, rows = [], []
    at_once = max(1, _CELLS // len(known))
    for start in range(0, len(described), at_once):
        alike_UK = (theirs_UF[start : start + at_once] @ ours_KF.T).toarray().astype(np.float32)
        found_U, row_UD = _means(alike_UK, items_ND, known, neighbours)
        positions.append(described[start : start + at_once][found_U])
        rows.append(row_UD)
    return np.concatenate(positions), torch.cat(rows)


def _means(
    alike_UK: NDArray[np.float32], items_ND: Tensor, known: NDArray[np.int64], neighbours: int
) -> tuple[NDArray[np.bool_], Tensor]:
    nearest_UM = best(alike_UK, min(neighbours, len(known)))
    weights_UM = np.take_along_axis(alike_UK, nearest_UM, axis=1)
    weights_UM[weights_UM < _LEAST_SIMILARITY] = 0.0
    total_U1 = weights_UM.sum(axis=1, keepdims=True)
    found_U = total_U1[:, 0] > 0
    weights = torch.from_numpy(weights_UM[found_U] / total_U1[found_U])
    return found_U, torch.einsum("um,umd->ud", weights, items_ND[known[nearest_UM[found_U]]])


def _words(catalogue: Catalogue, positions: NDArray[np.int64]) -> list[list[str]]:
    """What is known of each item, if anything. No word of a title has a colon, so none is taken for a category."""
    titles = catalogue.titles.take(positions).to_pylist()
    facts = zip(
        titles,
        catalogue.categories[positions].tolist(),
        catalogue.brands[positions].tolist(),
        catalogue.price_buckets[positions].tolist(),
        strict=True,
    )
    found = []
    for title, category, brand, price in facts:
        words = _WORD.findall((title or "").lower())
        words += [f"category:{category}"] if category >= 0 else []
        words += [f"brand:{brand}"] if brand >= 0 else []
        found.append([*words, f"price:{price}"] if words and price else words)  # a price alone describes nothing
    return found


def _features(catalogue: Catalogue, positions: NDArray[np.int64]) -> csr_matrix:
    """TF-IDF of each item, of length one."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # half a second, and only nights with new items need it

    return TfidfVectorizer(analyzer=list, sublinear_tf=True).fit_transform(_words(catalogue, positions)).tocsr()
