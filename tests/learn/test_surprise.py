"""How surprising a history is, beside the definition in plain words."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
import torch

from nightjar.learn.histories import Histories
from nightjar.learn.models import SequenceModel, build
from nightjar.learn.surprise import surprise
from nightjar.settings import load_conf

NUM_ITEMS = 40


def histories(*items: list[int]) -> Histories:
    flat = np.array([item for each in items for item in each], np.int64)
    offsets = np.cumsum([0, *(len(each) for each in items)])
    return Histories(pa.array([f"p{n}" for n in range(len(items))]), flat, flat * 0 + 1, flat * 0 + 9, offsets, 0)


@pytest.fixture
def model() -> SequenceModel:
    torch.manual_seed(1)
    conf = load_conf().model.model_copy(update={"width": 16, "max_length": 6, "dropout": 0.0})
    model = build(conf, NUM_ITEMS)
    with torch.no_grad():
        for weights in model.parameters():
            weights.add_(torch.randn_like(weights) * 0.3)
    return model.eval()


def by_hand(model: SequenceModel, items: list[int]) -> float:
    """-ln of the softmax over all items, at each entry but the first."""
    batch = histories(items).batch(model.conf.max_length)
    with torch.no_grad():
        scores_LV = (model.encode(batch)[0] @ model.as_scored(model.item_table()).T)[:, 1:]
    chances_LV = torch.softmax(scores_LV, dim=1)
    kept = batch.items_BL[0].tolist()
    return float(np.mean([-np.log(chances_LV[place, item - 1].item()) for place, item in enumerate(kept[1:])]))


def test_it_is_the_mean_of_the_definition_and_padding_changes_nothing(model: SequenceModel) -> None:
    people = [[3, 7, 9], [5], [], [1, 2, 3, 4, 5, 6, 7, 8], [40, 40]]
    found_B = surprise(model, histories(*people), seed=1, batch_people=2)
    for place in (0, 3, 4):
        assert found_B[place] == pytest.approx(by_hand(model, people[place]), rel=1e-5)
    assert np.isnan(found_B[[1, 2]]).all()


def test_of_a_sample_of_items_it_is_about_the_same_and_repeats_itself(model: SequenceModel) -> None:
    random = np.random.default_rng(2)
    people = histories(*(random.integers(1, NUM_ITEMS + 1, 6).tolist() for _ in range(200)))
    whole_B = surprise(model, people, seed=1)
    some_B = surprise(model, people, seed=1, max_candidates=30)
    np.testing.assert_array_equal(some_B, surprise(model, people, seed=1, max_candidates=30))
    assert np.corrcoef(whole_B, some_B)[0, 1] > 0.95
    assert abs(some_B.mean() - whole_B.mean()) < 0.2
    assert (some_B >= 0).all()


def test_nobody_at_all(model: SequenceModel) -> None:
    assert surprise(model, histories(), seed=1).shape == (0,)
    assert np.isnan(surprise(model, histories([1], []), seed=1)).all()
