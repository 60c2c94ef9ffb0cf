"""The cost of diversity against NDCG computed from the rows that are written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.score.small_shop import DAY, DAY_END, SCORE, item_rows, night, random_histories, sequence_rows

from nightjar.contracts import HOLDOUT
from nightjar.contracts.render import arrow_schema
from nightjar.score.catalogue import Catalogue
from nightjar.score.cost import diversity_costs
from nightjar.score.recommend import Champion, Recommender
from nightjar.score.rulebook import Rulebook, resolve

NAMES = [f"i{number:02d}" for number in range(30)]
CATALOGUE = Catalogue.from_items(item_rows(*((name, 1, 1, 3) for name in NAMES)))


def test_the_cost_is_of_the_rows_that_are_written(champion: Callable[..., Champion], tmp_path: Path) -> None:
    model = champion(NAMES)
    histories, later = random_histories(80, NAMES, seed=1), random_histories(80, NAMES, seed=2, longest=3)
    pq.write_table(pa.Table.from_batches([sequence_rows(histories)]), tmp_path / "sequences.parquet")
    ahead = pa.Table.from_batches([sequence_rows(later).select(arrow_schema(HOLDOUT).names)])
    pq.write_table(ahead, tmp_path / "holdout.parquet")
    surfaces = {"home": {"diversity": {"method": "mmr", "weight": 0.7}}, "plain": {}}
    rulebook = Rulebook.model_validate({"surfaces": surfaces})
    available = CATALOGUE.available(DAY_END, 30)
    rules = resolve(rulebook, None, CATALOGUE, SCORE, available_N=available, day=DAY)
    files = {"sequences": [tmp_path / "sequences.parquet"], "holdout": [tmp_path / "holdout.parquet"]}
    (cost,) = diversity_costs(night(), CATALOGUE, model, rules, seed=1, **files)

    ranks: dict[tuple[object, object, object], int] = {}
    for batch in Recommender(night(), CATALOGUE, model, rules).recommend([sequence_rows(histories)]):
        for row in batch.to_pylist():
            ranks[row["surface"], row["user_id"], row["item_id"]] = row["rank"]
    gains: dict[str, list[float]] = {"home": [], "plain": []}
    for user, text in histories.items():
        bought = {entry.split(":")[1] for entry in text.split() if entry.startswith("P")}
        left = [entry.split(":")[1] for entry in later[user].split() if entry.split(":")[1] not in bought]
        if text and left:
            for surface, found in gains.items():
                rank = ranks.get((surface, user, left[0]))
                found.append(1 / np.log2(1 + rank) if rank else 0.0)
    assert (cost.surface, cost.k, cost.num_users) == ("home", 5, len(gains["home"]))
    assert cost.ndcg == pytest.approx(np.mean(gains["home"]))
    assert cost.ndcg_without == pytest.approx(np.mean(gains["plain"]))
    assert cost.difference.mean == pytest.approx(cost.ndcg - cost.ndcg_without)
    assert cost.ndcg != cost.ndcg_without, "or nothing was mixed"
    assert str(cost).startswith(f"diversity on home: NDCG@5 {cost.ndcg:.4f}, {cost.ndcg_without:.4f} without it (")


def test_nothing_is_computed_where_nothing_is_mixed(champion: Callable[..., Champion]) -> None:
    rules = resolve(
        Rulebook.model_validate({"surfaces": {"home": {}}}),
        None,
        CATALOGUE,
        SCORE,
        available_N=CATALOGUE.available(DAY_END, 30),
        day=DAY,
    )
    assert diversity_costs(night(), CATALOGUE, champion(NAMES), rules, sequences=[], holdout=[], seed=1) == []
