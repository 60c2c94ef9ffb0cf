"""Reasons against a plain definition of leaving one out, and what deleting the named items does to the scores."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from tests.score.small_shop import MODEL, item_rows, random_histories, sequence_rows

from nightjar.contracts import Kind
from nightjar.learn.batch import Batch
from nightjar.learn.checkpoint import load_model, save_model
from nightjar.learn.histories import Histories
from nightjar.learn.models import build
from nightjar.learn.vocabulary import Vocabulary
from nightjar.score.catalogue import Catalogue
from nightjar.score.explain import LEAST_SHARE, REASONS, explain, latest_items, without
from nightjar.score.model import CatalogueModel
from nightjar.score.recommend import Champion

NAMES = [f"i{number:02d}" for number in range(30)]
CATALOGUE = Catalogue.from_items(item_rows(*((name, 1, 1, 1) for name in NAMES)))


def read(model: CatalogueModel, **texts: str) -> Histories:
    return model.read(sequence_rows(texts))


def named(
    model: CatalogueModel, histories: Histories, positions: list[list[int]], tried: int = 8
) -> list[list[list[str]]]:
    """Names of the evidence of each recommended position."""
    states = model.states(histories)
    found = explain(model, histories, states, model.items_ND[torch.tensor(positions)], tried=tried)
    return [[[NAMES[i - 1] for i in items if i] for items in row] for row in found.evidence_BKE.tolist()]


def plain_effects(model: CatalogueModel, items: list[int], target: int) -> dict[int, float]:
    """What the target's score loses without each distinct item, one history at a time."""

    def score(history: list[int]) -> float:
        if not history:
            return 0.0
        row = torch.tensor([history])
        with torch.no_grad():
            state = model.model.encode(Batch(row, torch.ones_like(row), row * 0, torch.tensor([len(history)])))[0, -1]
        return float(state.double() @ model.items_ND[target].double())

    return {item: score(items) - score([other for other in items if other != item]) for item in set(items)}


@pytest.mark.parametrize("name", ["sasrec", "gru"])
def test_the_first_named_item_is_the_one_whose_loss_costs_most(champion: Callable[..., Champion], name: str) -> None:
    model = CatalogueModel(load_model(champion(NAMES, name=name).folder), CATALOGUE)
    texts = {user: text for user, text in random_histories(30, NAMES, seed=4, longest=9).items() if text}
    histories = read(model, **texts)
    positions = np.random.default_rng(5).integers(0, 30, (len(histories), 4))
    found = named(model, histories, positions.tolist())
    for person in range(len(histories)):
        items = histories.items[histories.offsets[person] : histories.offsets[person + 1]].tolist()
        for place, target in enumerate(positions[person]):
            effects = plain_effects(model, items, int(target))
            first, *further = (NAMES.index(item) + 1 for item in found[person][place])
            assert effects[first] == pytest.approx(max(effects.values()), abs=1e-4)
            for item in further:
                assert effects[item] > LEAST_SHARE * effects[first] - 1e-4
                assert effects[item] > -1e-4


def test_only_the_latest_distinct_items_are_tried(champion: Callable[..., Champion]) -> None:
    model = CatalogueModel(load_model(champion(NAMES).folder), CATALOGUE)
    histories = read(model, u="V:i01 V:i02 V:i03 V:i02")
    assert latest_items(histories, 2).items_BM.tolist() == [[3, 4]]
    assert latest_items(histories, 9).items_BM.tolist() == [[3, 4, 2]]
    for items in named(model, histories, [list(range(20))], tried=2)[0]:
        assert set(items) <= {"i02", "i03"}


def test_of_long_histories_fewer_items_are_tried(champion: Callable[..., Champion]) -> None:
    model = CatalogueModel(load_model(champion(NAMES).folder), CATALOGUE)
    histories = read(model, long="V:i01 V:i02 V:i03 V:i04 V:i05 V:i06", short="V:i01 V:i02")
    states, targets = model.states(histories), model.items_ND[torch.tensor([list(range(20))] * 2)]
    long, short = explain(model, histories, states, targets, tried=5, entries=12).evidence_BKE
    assert set(np.unique(long)) <= {0, 6, 7}, "two times six entries"
    assert set(np.unique(short)) <= {0, 2, 3}
    two, _ = explain(model, histories, states, targets, tried=5, entries=1).evidence_BKE
    assert set(np.unique(two)) <= {0, 6, 7}, "two whatever the length"


def test_the_reason_is_the_strongest_thing_done_with_the_item(champion: Callable[..., Champion]) -> None:
    model = CatalogueModel(load_model(champion(NAMES).folder), CATALOGUE)
    histories = read(model, a="P:i02 V:i02", b="C:i02 V:i02", c="V:i02")
    found = explain(model, histories, model.states(histories), model.items_ND[torch.tensor([[3]] * 3)], tried=5)
    assert [REASONS[code] for code in found.codes_BK[:, 0]] == ["because_bought", "because_carted", "because_viewed"]
    assert found.evidence_BKE.tolist() == [[[3, 0, 0]]] * 3, "a history of one item has one reason"


def test_other_kinds_count_as_views() -> None:
    kinds = np.array([Kind.REVIEW.code, Kind.FAVOURITE.code])
    histories = Histories(pa.array(["u"]), np.array([7, 7]), kinds, np.zeros(2, np.int64), np.array([0, 2]), 0)
    assert latest_items(histories, 3).strengths_BM.tolist() == [[REASONS.index("because_viewed")]]


def test_leaving_out_takes_every_entry_of_the_item(champion: Callable[..., Champion]) -> None:
    model = CatalogueModel(load_model(champion(NAMES).folder), CATALOGUE)
    histories = read(model, a="V:i01 V:i02 C:i01", b="V:i05")
    shorter = without(histories, np.array([0, 1, 0]), np.array([2, 6, 3]))
    assert shorter.lengths.tolist() == [1, 0, 2]
    assert shorter.items.tolist() == [3, 2, 2]


# -- faithfulness, on a trained model

#: Means over people and recommendations, in standard deviations of a person's scores.
MARGIN = 0.3


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> CatalogueModel:
    """A model that has learned what follows what along a ring of items, in steps of one or seven."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    model = build(MODEL, len(NAMES))
    rng = np.random.default_rng(2)
    items_BL = torch.from_numpy(walks(rng, 256, MODEL.max_length + 1)) + 1
    inputs_BL = items_BL[:, :-1]
    batch = Batch(inputs_BL, inputs_BL * 0 + 1, inputs_BL * 0, torch.full((len(inputs_BL),), inputs_BL.shape[1]))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(80):
        logits_BLV = model.encode(batch) @ model.item_table().T
        loss = torch.nn.functional.cross_entropy(logits_BLV.flatten(0, 1), items_BL[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    folder: Path = tmp_path_factory.mktemp("trained")
    save_model(folder, model, MODEL, Vocabulary(tuple(NAMES)))
    return CatalogueModel(load_model(folder), CATALOGUE)


def walks(rng: np.random.Generator, num_people: int, length: int) -> np.ndarray:
    steps = rng.choice([1, 7], (num_people, length))
    return (rng.integers(0, 30, (num_people, 1)) + np.cumsum(steps, axis=1)) % 30


def test_deleting_the_named_items_costs_more_than_deleting_random_ones(trained: CatalogueModel) -> None:
    rng = np.random.default_rng(3)
    texts = {f"{user:016x}": " ".join(f"V:{NAMES[i]}" for i in walk) for user, walk in enumerate(walks(rng, 150, 8))}
    histories = read(trained, **texts)
    states = trained.states(histories)
    scores = states @ trained.items_ND.T
    positions = torch.topk(scores, 5).indices
    found = explain(trained, histories, states, trained.items_ND[positions], tried=5)
    spread = scores.std(dim=1).numpy()

    def loss(chosen_BK: np.ndarray) -> float:
        """Mean over people and recommendations of what the score loses without one item each."""
        total = 0.0
        for place in range(5):
            left = trained.states(without(histories, np.arange(len(histories)), chosen_BK[:, place]))
            lost = ((states - left) * trained.items_ND[positions[:, place]]).sum(dim=1).numpy()
            total += float((lost / spread).mean())
        return total / 5

    tried = latest_items(histories, 8).items_BM
    at_random = np.stack([[rng.choice(row[row > 0]) for _ in range(5)] for row in tried])
    ours, random = loss(found.evidence_BKE[:, :, 0]), loss(at_random)
    assert ours > random + MARGIN, f"named {ours:.2f}, random {random:.2f} standard deviations"
