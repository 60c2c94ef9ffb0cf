"""What every model must do; a new line in MODELS is tested by being there."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.learn.sequence_files import successions, write_sequences

from nightjar import settings
from nightjar.contracts import BadInput
from nightjar.learn.batch import Batch
from nightjar.learn.checkpoint import load_model, save_model
from nightjar.learn.debug import influence, overfit_one_batch
from nightjar.learn.histories import read_histories
from nightjar.learn.losses import full_softmax_loss
from nightjar.learn.models import MODELS, SequenceModel, build
from nightjar.learn.vocabulary import Vocabulary

RING = Vocabulary(tuple(f"i{number}" for number in range(500)))


def configured(name: str, **changes: object) -> settings.Model:
    values = {"name": name, "width": 32, "num_blocks": 2, "num_heads": 1, "max_length": 12, "dropout": 0.2, **changes}
    return settings.Model.model_validate(values)


@pytest.fixture(params=sorted(MODELS))
def conf(request: pytest.FixtureRequest) -> settings.Model:
    return configured(request.param)


@pytest.fixture
def model(conf: settings.Model) -> SequenceModel:
    torch.manual_seed(1)
    return build(conf, RING.size)


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    file = write_sequences(tmp_path / "part", successions(40, num_items=500, seed=1))
    (histories,) = read_histories([file], RING, max_length=12, rows_per_batch=100)
    return histories.batch(12)


def shaken(model: SequenceModel) -> SequenceModel:
    """Weights as after some training: fresh ones may be zero where a fault would hide."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return model.eval()


def last_states(model: SequenceModel, batch: Batch) -> torch.Tensor:
    with torch.no_grad():
        return model.encode(batch)[torch.arange(len(batch.lengths_B)), batch.lengths_B - 1]


def inputs_and_targets(batch: Batch) -> tuple[Batch, torch.Tensor]:
    inputs = Batch(batch.items_BL[:, :-1], batch.kinds_BL[:, :-1], batch.times_BL[:, :-1], batch.lengths_B - 1)
    real = torch.arange(inputs.items_BL.shape[1]) < inputs.lengths_B[:, None]
    return inputs, batch.items_BL[:, 1:][real]


def test_every_name_in_settings_is_a_model() -> None:
    assert sorted(MODELS) == sorted(settings.Model.model_fields["name"].annotation.__args__)


def test_shapes(model: SequenceModel, batch: Batch) -> None:
    assert model.encode(batch).shape == (40, 12, 32)
    assert model.item_table().shape == (501, 32)
    assert not model.item_table()[0].any()


def test_padding_changes_nothing(model: SequenceModel, batch: Batch) -> None:
    shaken(model)
    alone = [
        last_states(model, Batch(*(grid[row : row + 1, : int(length)] for grid in batch[:3]), length[None]))
        for row, length in enumerate(batch.lengths_B)
    ]
    torch.testing.assert_close(last_states(model, batch), torch.cat(alone), atol=1e-5, rtol=1e-5)
    assert (batch.lengths_B < 12).any()


def test_no_gradient_to_the_future_and_some_to_all_the_past(model: SequenceModel, batch: Batch) -> None:
    full = batch.items_BL[batch.lengths_B == 12]
    influence_PQ = influence(shaken(model), Batch(full, full, full, torch.full((len(full),), 12)))
    past = torch.tril(torch.ones(12, 12, dtype=torch.bool))
    assert not influence_PQ[~past].any()
    assert (influence_PQ[past] > 0).all()


def test_order_matters(model: SequenceModel) -> None:
    items = torch.tensor([[1, 2, 3, 4], [2, 3, 1, 4]])
    forwards, shuffled = last_states(shaken(model), Batch(items, items, items, torch.tensor([4, 4])))
    assert (forwards - shuffled).abs().max() > 1e-3


def test_loss_at_start_is_near_ln_v(model: SequenceModel, batch: Batch) -> None:
    inputs, targets = inputs_and_targets(batch)
    with torch.no_grad():
        states = model.eval().encode(inputs)
        real = torch.arange(states.shape[1]) < inputs.lengths_B[:, None]
        loss = full_softmax_loss(states[real], model.item_table(), targets) / len(targets)
    assert loss.item() == pytest.approx(math.log(500), abs=0.1)


def test_overfits_one_batch(conf: settings.Model, batch: Batch) -> None:
    torch.manual_seed(1)
    model = build(conf.model_copy(update={"dropout": 0.0}), RING.size)
    losses = overfit_one_batch(model, *inputs_and_targets(batch), steps=150, learning_rate=0.01)
    assert losses[0] > 6.0
    assert losses[-1] < 0.1


def test_save_and_load_give_the_same_bits(
    model: SequenceModel, conf: settings.Model, batch: Batch, tmp_path: Path
) -> None:
    save_model(tmp_path / "model", shaken(model), conf, RING)
    loaded = load_model(tmp_path / "model")
    assert not loaded.model.training
    assert loaded.conf == conf
    assert loaded.vocabulary == RING
    assert torch.equal(last_states(loaded.model, batch), last_states(model, batch))
    assert torch.equal(loaded.model.item_table(), model.item_table())
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == [
        "model.json",
        "vocabulary.json",
        "weights.safetensors",
    ]


def test_a_history_without_entries_gives_numbers(model: SequenceModel) -> None:
    empty = torch.zeros(2, 1, dtype=torch.int64)
    assert torch.isfinite(model.eval().encode(Batch(empty, empty, empty, torch.tensor([0, 0])))).all()


def test_settings_that_cannot_be_built_are_refused() -> None:
    with pytest.raises(BadInput, match="cannot be shared by 3 heads"):
        build(configured("sasrec", num_heads=3), 5)
    with pytest.raises(BadInput, match="gru has no heads"):
        build(configured("gru", num_heads=2), 5)


def test_sasrec_attends_with_several_heads(batch: Batch) -> None:
    """The same weights, but other heads: other states."""
    one, four = build(configured("sasrec"), RING.size), build(configured("sasrec", num_heads=4), RING.size)
    shaken(one)
    four.load_state_dict(one.state_dict())
    assert (last_states(one, batch) - last_states(four.eval(), batch)).abs().max() > 1e-3


def test_sasrec_block_equals_the_formula() -> None:
    """softmax(Q K' / sqrt(d)) V with a causal mask, written out."""
    torch.manual_seed(1)
    block = shaken(build(configured("sasrec", width=8, num_heads=1), 5)).blocks[0]  # type: ignore[index]
    states = torch.randn(2, 5, 8)
    q, k, v = (states @ block.qkv.weight.T).split(8, dim=-1)
    scores = q @ k.transpose(1, 2) / np.sqrt(8)
    scores[:, ~torch.tril(torch.ones(5, 5, dtype=torch.bool))] = -math.inf
    expected = scores.softmax(-1) @ v @ block.attended.weight.T + block.attended.bias
    torch.testing.assert_close(block.attend(states), expected, atol=1e-5, rtol=1e-5)


def with_columns(batch: Batch) -> Batch:
    """The batch with everything that `model.inputs` can name."""
    real = batch.items_BL > 0
    return batch._replace(
        platforms_BL=(1 + batch.items_BL % 6) * real,
        price_buckets_BL=(batch.items_BL % 11) * real,
        sessions_BL=(1 + torch.arange(batch.items_BL.shape[1]) // 3) * real,
        categories_BL=(batch.items_BL % 4) * real,
    )


@pytest.mark.parametrize("name", sorted(MODELS))
def test_inputs_are_switched_by_the_run(name: str, batch: Batch) -> None:
    """A model reads exactly the inputs that it is told to; a vector of an input that it knows changes its states."""
    full = with_columns(batch)
    changed = {
        "kind": full._replace(kinds_BL=full.kinds_BL.flip(1)),
        "gap": full._replace(times_BL=full.times_BL * 5),
        "platform": full._replace(platforms_BL=None),
        "price": full._replace(price_buckets_BL=full.price_buckets_BL.flip(1)),
        "category": full._replace(categories_BL=full.categories_BL.flip(1)),
    }
    for inputs in ([], ["price"], ["category", "gap", "kind", "platform", "price"]):
        model = shaken(build(configured(name, inputs=inputs), RING.size))
        states = last_states(model, full)
        for column, other in changed.items():
            assert bool((last_states(model, other) != states).any()) == (column in inputs), (inputs, column)


def test_a_time_bias_is_hstus_only(batch: Batch) -> None:
    with pytest.raises(BadInput, match="sasrec has no time bias"):
        build(configured("sasrec", time_bias=True), 5)
    later = batch._replace(times_BL=batch.times_BL * 3)
    for time_bias in (False, True):
        model = shaken(build(configured("hstu", time_bias=time_bias), RING.size))
        assert bool((last_states(model, later) != last_states(model, batch)).any()) == time_bias


def test_hstu_block_equals_the_formula() -> None:
    """norm(sum of SiLU(q k' + distance + age) / n v) * gate, one query at a time."""
    torch.manual_seed(1)
    conf = configured("hstu", width=8, num_heads=2, time_bias=True, max_length=6)
    block = shaken(build(conf, 5)).blocks[0]  # type: ignore[index]
    states, ages = torch.randn(1, 4, 8), torch.randint(0, 60, (1, 4, 4))
    u, v, q, k = torch.nn.functional.silu(block.uvqk(block.norm(states)))[0].split(8, dim=1)
    mixed = torch.zeros(4, 8)
    for head in range(2):
        part = slice(4 * head, 4 * head + 4)
        for query in range(4):
            for key in range(query + 1):
                bias = block.distances[head, query - key] + block.ages[head, ages[0, query, key]]
                weight = torch.nn.functional.silu(q[query, part] @ k[key, part] + bias) / 6
                mixed[query, part] += weight * v[key, part]
    expected = states + block.mixed(block.mixed_norm(mixed) * u)
    torch.testing.assert_close(block(states, ages), expected, atol=1e-5, rtol=1e-5)


def test_esasrec_block_equals_the_formula() -> None:
    torch.manual_seed(1)
    block = shaken(build(configured("esasrec", width=8), 5)).blocks[0]  # type: ignore[index]
    x = torch.randn(2, 5, 8)
    x = (first := x) + torch.sigmoid(block.attention_gate(x)) * block.attend(block.attention_norm(x))
    normed = block.feed_norm(x)
    swiglu = block.narrow(torch.nn.functional.silu(block.open(normed)) * block.widen(normed))
    torch.testing.assert_close(block(first), x + torch.sigmoid(block.feed_gate(x)) * swiglu, atol=1e-5, rtol=1e-5)


def test_an_lstm_starts_by_remembering() -> None:
    model = build(configured("lstm", num_blocks=1), 5)
    biases = dict(model.layers.named_parameters())["bias_ih_l0"].chunk(4)  # type: ignore[union-attr]
    assert [float(part.detach().mean()) for part in biases] == [0, 1, 0, 0]


@pytest.mark.parametrize("name", sorted(MODELS))
def test_scores_are_cosines_where_the_setting_says_so(name: str, batch: Batch) -> None:
    torch.manual_seed(1)
    model = shaken(build(configured(name, cosine_scale=16.0), RING.size))
    scores = last_states(model, batch) @ model.as_scored(model.item_table())[1:].T
    assert scores.abs().max() <= 16.001
    # An item's length says nothing: stretched rows score the same.
    with torch.no_grad():
        states, stretched = last_states(model, batch), model.item_table() * torch.rand(RING.size + 1, 1).add(0.1)
    torch.testing.assert_close(states @ model.as_scored(stretched)[1:].T, scores)
