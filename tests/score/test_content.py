"""Rows of items that nobody has touched yet, by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from tests.score.small_shop import item_rows, night, save_small_model, sequence_rows
from torch import Tensor

from nightjar.learn.checkpoint import load_model
from nightjar.score import content
from nightjar.score.catalogue import Catalogue
from nightjar.score.content import described_rows
from nightjar.score.model import CatalogueModel
from nightjar.score.recommend import Champion, Recommender

#: Item -> title, category, brand. In order of their ids, as a catalogue has them.
ITEMS = {
    "a1": ("red mug", "mugs", None),
    "a2": ("blue mug", "mugs", None),
    "b1": ("garden hose", "garden", "acme"),
    "n1": ("red mug large", "mugs", None),
    "n2": ("watering can", "garden", "acme"),
    "n3": (None, None, None),
    "n4": ("unheard of", None, None),
}
KNOWN = torch.tensor([True, True, True, False, False, False, False])


def described(*, popular: dict[str, int] | None = None, items: dict[str, tuple[str | None, ...]] = ITEMS) -> Catalogue:
    rows = item_rows(*((name, (popular or {}).get(name, 1), 5, 1) for name in items))
    for place, column in enumerate(("title", "category", "brand")):
        values = pa.array([facts[place] for facts in items.values()], pa.string())
        rows = rows.set_column(rows.schema.get_field_index(column), rows.schema.field(column), values)
    return Catalogue.from_items(rows)


def rows_of(catalogue: Catalogue, known: Tensor = KNOWN, *, neighbours: int = 2) -> dict[str, list[float]]:
    table = torch.zeros(len(known), 3)
    table[:3] = torch.eye(3)
    positions, rows = described_rows(catalogue, table, known, neighbours)
    assert np.all(np.diff(positions) > 0)
    names = catalogue.item_ids.to_pylist()
    return {names[position]: row for position, row in zip(positions.tolist(), rows.tolist(), strict=True)}


def test_a_new_item_is_the_mean_of_what_is_described_alike() -> None:
    found = rows_of(described())
    assert set(found) == {"n1", "n2"}, "nothing is known of n3, and nothing resembles n4"
    assert found["n1"][0] > found["n1"][1] > 0, "a red mug more than a blue one"
    assert found["n1"][2] == 0
    assert found["n1"][0] + found["n1"][1] == pytest.approx(1)
    assert found["n2"] == pytest.approx([0, 0, 1])


def test_of_equally_similar_items_the_more_popular_one_counts() -> None:
    items = dict.fromkeys(("a1", "a2", "a3", "n1"), (None, "mugs", None))
    known = torch.tensor([True, True, True, False])
    for best in range(3):
        found = rows_of(described(popular={f"a{best + 1}": 9}, items=items), known, neighbours=1)
        assert found["n1"] == [float(place == best) for place in range(3)]


def test_of_too_many_new_items_the_popular_ones_get_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_MOST_ITEMS", 1)
    assert set(rows_of(described(popular={"n1": 9}))) == {"n1"}
    assert set(rows_of(described(popular={"n2": 9}))) == {"n2"}


def test_no_neighbours_no_rows() -> None:
    assert rows_of(described(), neighbours=0) == {}
    assert rows_of(described(), torch.zeros(7, dtype=torch.bool)) == {}
    assert rows_of(described(), torch.ones(7, dtype=torch.bool)) == {}


@pytest.mark.parametrize("neighbours", [0, 2])
def test_a_list_has_a_new_item_beside_its_like(champion: Callable[..., Champion], neighbours: int) -> None:
    """Whoever is offered mugs is offered the new mug, in front of the garden; the model still says so by itself."""
    catalogue = described()
    model = champion(["a1", "a2", "b1"])
    tonight = night(content_neighbours=neighbours, exclude="none", k=7)
    rows = Recommender(tonight, catalogue, model).recommend([sequence_rows({"ann": "V:a1 V:a2"})])
    table = pa.Table.from_batches(rows)
    strategies = dict(zip(table["item_id"].to_pylist(), table["strategy"].to_pylist(), strict=True))
    assert len(strategies) == 7
    assert {strategies[name] for name in ("a1", "a2", "b1")} == {"model"}
    assert strategies["n1"] == strategies["n2"] == ("model" if neighbours else "popular")
    assert strategies["n3"] == "popular"
    scores = dict(zip(table["item_id"].to_pylist(), table["score"].to_pylist(), strict=True))
    if neighbours:
        assert scores["n2"] == pytest.approx(scores["b1"], abs=1e-5)
        assert min(scores["a1"], scores["a2"]) <= scores["n1"] <= max(scores["a1"], scores["a2"])


def test_cosines_stay_cosines(tmp_path: Path) -> None:
    save_small_model(tmp_path / "model", ["a1", "a2", "b1"], cosine_scale=16.0)
    read = CatalogueModel(load_model(tmp_path / "model"), described(), neighbours=2)
    lengths = read.items_ND[read.scored_N].norm(dim=1)
    torch.testing.assert_close(lengths, torch.ones(5))
