"""Recomputed, compiled, in bfloat16, split over processes: the same training, laid out otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.learn import train_once
from tests.learn.sequence_files import successions, write_sequences
from tests.learn.test_loop import ALONE, LOSSES, TORCHRUN, start, taken_weights

from nightjar import settings
from nightjar.contracts import BadInput
from nightjar.learn.checkpoint import Checkpoint
from nightjar.learn.layout import Layout
from nightjar.learn.models import build


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = successions(182, num_items=40, seed=1)
    write_sequences(tmp_path / "part-0.parquet", rows[:90], row_group_size=40)
    write_sequences(tmp_path / "part-1.parquet", rows[90:], first_user=90, row_group_size=40)
    return tmp_path


def weights_after(folder: Path, model: str, **changes: object) -> dict[str, torch.Tensor]:
    train_once.main(folder, model=model, **{"epochs": 1, "dropout": 0.3, **changes})  # type: ignore[arg-type]
    return taken_weights(folder)


@pytest.mark.parametrize("model", ["sasrec", "esasrec", "hstu"])
def test_recomputing_changes_no_bit(folder: Path, model: str) -> None:
    """Dropout draws the same the second time, and weights keep their names."""
    plain, recomputed = weights_after(folder, model), weights_after(folder, model, recompute=True)
    assert sorted(plain) == sorted(recomputed)
    for name, tensor in plain.items():
        assert torch.equal(recomputed[name], tensor), name


def test_recomputing_keeps_less(folder: Path) -> None:
    """What a block computes on its way is not there when the backward pass begins."""
    kept = []
    for recompute in (False, True):
        conf = train_once.CONF.model_copy(update={"recompute": recompute})
        torch.manual_seed(1)
        model = build(train_once.model_conf("hstu", dropout=0.3), train_once.RING.size)
        Layout(model, conf, ALONE, by_rows=None)
        examples = next(train_once.training_set(folder).batches(0, rank=0, world=1))
        num_bytes = 0

        def count(tensor: torch.Tensor) -> torch.Tensor:
            nonlocal num_bytes
            num_bytes += tensor.numel() * tensor.element_size()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(count, lambda tensor: tensor):
            model.train().encode(examples.inputs)
        kept.append(num_bytes)
    assert kept[1] < kept[0] / 2


def test_products_in_bfloat16_are_rounded_in_training_only(folder: Path) -> None:
    conf = train_once.CONF.model_copy(update={"model_precision": "bfloat16"})
    torch.manual_seed(1)
    model = build(train_once.model_conf("hstu"), train_once.RING.size)
    for block in model.blocks:  # fresh ones are the identity
        torch.nn.init.normal_(block.mixed.weight)
    inputs = next(train_once.training_set(folder).batches(0, rank=0, world=1)).inputs
    exact = model.eval().encode(inputs)
    Layout(model, conf, ALONE, by_rows=None)
    assert torch.equal(model.eval().encode(inputs), exact)
    rounded = model.train().encode(inputs)
    assert rounded.dtype == torch.float32
    assert not torch.equal(rounded, exact)
    torch.testing.assert_close(rounded, exact, atol=0.1, rtol=0.1)


@pytest.mark.slow
def test_compiled_blocks_learn_the_same(folder: Path) -> None:
    plain = weights_after(folder, "hstu", dropout=0.0)
    compiled = weights_after(folder, "hstu", dropout=0.0, compile=True, recompute=True)
    for name, tensor in plain.items():
        torch.testing.assert_close(compiled[name], tensor, atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("wish", [{"recompute": True}, {"compile": True}, {"model_precision": "bfloat16"}])
def test_a_model_without_blocks_says_so(wish: dict[str, object]) -> None:
    conf = settings.Model(name="gru", width=16, num_blocks=1, num_heads=1, max_length=8, dropout=0.0)
    with pytest.raises(BadInput, match="model gru has no blocks"):
        Layout(build(conf, 40), train_once.CONF.model_copy(update=wish), ALONE, by_rows=None)


def agree(weights: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> None:
    assert sorted(weights) == sorted(others)
    for name, tensor in others.items():
        torch.testing.assert_close(weights[name], tensor, atol=1e-4, rtol=1e-3, msg=name)


#: Shares of unequal size, some of them empty, and an uneven number of validation batches.
UNEVEN = {"batch_users": 2, "epochs": 1, "validation_share": 0.3}


@pytest.mark.parametrize("loss", [*LOSSES, {"loss": "softmax", "average_decay": 0.9}], ids=str)
def test_split_weights_agree_with_whole_ones(folder: Path, loss: dict[str, object]) -> None:
    train_once.main(folder, **UNEVEN, **loss)  # type: ignore[arg-type]
    alone = taken_weights(folder)
    assert start(folder, {**UNEVEN, **loss, "sharding": "full"}, TORCHRUN) == 0
    agree(load_file(folder / "weights.safetensors"), alone)


def test_a_checkpoint_of_split_weights_goes_on_split_and_whole(folder: Path) -> None:
    """A process is killed: the others are started again and go on split; nobody is: one process goes on alone."""
    averaged: dict[str, object] = {**UNEVEN, "average_decay": 0.9}
    train_once.main(folder, **averaged)  # type: ignore[arg-type]
    alone = taken_weights(folder)
    killed = {**averaged, "sharding": "full", "recompute": True, "kill_at": 19}
    assert start(folder, {**killed, "kill_rank": 1}, [*TORCHRUN, "--max-restarts", "1"]) == 0
    assert (folder / "killed").exists()
    agree(taken_weights(folder), alone)
    assert start(folder, killed, TORCHRUN) != 0
    checkpoint = Checkpoint.read(folder / "checkpoint.safetensors", "test")
    assert checkpoint is not None
    assert 0 < checkpoint.progress.step < 19
    train_once.main(folder, **averaged)  # type: ignore[arg-type]
    agree(load_file(folder / "weights.safetensors"), alone)
