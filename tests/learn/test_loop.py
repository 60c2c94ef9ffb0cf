from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests.learn import train_once
from tests.learn.sequence_files import successions, write_sequences

from nightjar import settings
from nightjar.contracts import BadInput
from nightjar.learn.batch import Batch
from nightjar.learn.checkpoint import Checkpoint
from nightjar.learn.dataset import TrainingSet
from nightjar.learn.loop import train
from nightjar.learn.models import SequenceModel, build
from nightjar.learn.parallel import Group
from nightjar.learn.validation import validation_ndcg

SCRIPT = Path(train_once.__file__)
ALONE = Group(torch.device("cpu"))
Logged = list[tuple[int, dict[str, float]]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = successions(182, num_items=40, seed=1)
    write_sequences(tmp_path / "part-0.parquet", rows[:90], row_group_size=40)
    write_sequences(tmp_path / "part-1.parquet", rows[90:], first_user=90, row_group_size=40)
    return tmp_path


def run_training(folder: Path, **changes: object) -> tuple[SequenceModel, Logged, list[int]]:
    """A training in this process; what it logged, and at which steps it saved."""
    conf = train_once.CONF.model_copy(update=changes)
    data = TrainingSet(sorted(folder.glob("part-*")), train_once.RING, conf, max_length=8)
    model_conf = settings.Model(name="gru", width=16, num_blocks=1, num_heads=1, max_length=8, dropout=0.0)
    torch.manual_seed(1)
    model = build(model_conf, train_once.RING.size)
    logged: Logged = []
    saved: list[int] = []

    def log(step: int, metrics: dict[str, float]) -> None:
        logged.append((step, metrics))

    def save(checkpoint: Checkpoint) -> None:
        saved.append(checkpoint.progress.num_steps)

    train(model, data, conf, group=ALONE, log=log, save=save)
    return model, logged, saved


def test_learns_the_ring_and_reports_it(folder: Path) -> None:
    _, logged, saved = run_training(folder, epochs=20, validation_share=0.2, patience_epochs=20)
    epochs = [metrics for _, metrics in logged if "epoch" in metrics]
    assert [metrics["epoch"] for metrics in epochs] == list(range(1, 21))
    assert epochs[0]["epoch_loss"] > 3.0  # ln 40 is 3.7
    assert epochs[-1]["epoch_loss"] < 0.3
    assert epochs[-1]["val_ndcg@10"] > 0.95
    steps = [step for step, metrics in logged if "loss" in metrics]
    assert steps == list(range(1, len(steps) + 1))
    per_epoch = len(steps) // 20
    ends = [per_epoch * epoch for epoch in range(1, 21)]
    between = [end - per_epoch + step for end in ends for step in range(4, per_epoch + 1, 4)]
    assert sorted(saved) == sorted(ends + between)


def test_stops_when_validation_no_longer_rises_and_keeps_the_best_weights(folder: Path) -> None:
    model, logged, _ = run_training(folder, epochs=50, validation_share=0.2, patience_epochs=2, learning_rate=0.3)
    ndcgs = [metrics["val_ndcg@10"] for _, metrics in logged if "epoch" in metrics]
    best = ndcgs.index(max(ndcgs))
    assert len(ndcgs) == best + 1 + 2 < 50
    conf = train_once.CONF.model_copy(update={"validation_share": 0.2})
    data = TrainingSet(sorted(folder.glob("part-*")), train_once.RING, conf, max_length=8)
    again = validation_ndcg(model, data.validation(rank=0, world=1), ALONE)
    assert again == pytest.approx(max(ndcgs), abs=1e-9)
    assert again != pytest.approx(ndcgs[-1], abs=1e-4)


def test_without_validation_users_every_epoch_runs(folder: Path) -> None:
    _, logged, _ = run_training(folder, epochs=5, validation_share=0.0, patience_epochs=1)
    epochs = [metrics for _, metrics in logged if "epoch" in metrics]
    assert len(epochs) == 5
    assert all("val_ndcg@10" not in metrics for metrics in epochs)


def test_one_user_trains(tmp_path: Path) -> None:
    write_sequences(tmp_path / "part-0.parquet", [["i1", "i2", "i3"]])
    _, logged, _ = run_training(tmp_path, validation_share=0.0, epochs=30)
    assert [metrics["loss"] for _, metrics in logged if "loss" in metrics][-1] < 1.0


def test_a_loss_that_is_no_number_stops_with_advice(folder: Path) -> None:
    with pytest.raises(BadInput, match=r"loss became (nan|inf) at step[\s\S]*learning_rate"):
        run_training(folder, learning_rate=1e30, epochs=5)


def start(folder: Path, changes: dict[str, object], launcher: list[str] | None = None) -> int:
    command = [sys.executable, *(launcher or []), str(SCRIPT), str(folder), json.dumps(changes)]
    root = SCRIPT.parents[2]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{root}:{root / 'src'}", "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, env=environment, timeout=300, check=False).returncode


def taken_weights(folder: Path) -> dict[str, torch.Tensor]:
    """What a training left; the folder is as before it."""
    weights = load_file(folder / "weights.safetensors")
    (folder / "weights.safetensors").unlink()
    (folder / "checkpoint.safetensors").unlink()
    return weights


#: Dense gradients and one-step optimizer; gradients of rows, negatives by name, an optimizer that skips rows.
LOSSES = [{"loss": "softmax"}, {"loss": "sampled_softmax", "num_negatives": 8, "negatives_from": "popularity"}]


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss["loss"])
def test_a_killed_training_ends_with_the_same_bits_as_one_left_alone(folder: Path, loss: dict[str, object]) -> None:
    """Killed behind the second checkpoint of an epoch, so that steps are lost and done again, dropout and all."""
    training = {"dropout": 0.3, **loss}
    train_once.main(folder, **training)  # type: ignore[arg-type]
    undisturbed = taken_weights(folder)
    assert start(folder, {**training, "kill_at": 19}) == -signal.SIGKILL
    checkpoint = Checkpoint.read(folder / "checkpoint.safetensors", "test")
    assert checkpoint is not None
    assert checkpoint.progress.step > 0, "the kill fell on an epoch's end: nothing to prove"
    assert checkpoint.progress.num_steps < 19
    assert start(folder, training) == 0
    resumed = load_file(folder / "weights.safetensors")
    assert sorted(resumed) == sorted(undisturbed)
    for name, tensor in undisturbed.items():
        assert torch.equal(resumed[name], tensor), name


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: loss["loss"])
def test_two_processes_agree_with_one(folder: Path, loss: dict[str, object]) -> None:
    """Same global batches, shares of unequal size, some of them empty."""
    training = {"batch_users": 2, "epochs": 1, **loss}
    conf = train_once.CONF.model_copy(update=training)
    batches = train_once.training_set(folder, conf).batches(0, rank=1, world=2)
    assert {0, 1} <= {len(examples.inputs.lengths_B) for examples in batches}
    train_once.main(folder, **training)  # type: ignore[arg-type]
    alone = taken_weights(folder)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    assert start(folder, training, launcher) == 0
    together = load_file(folder / "weights.safetensors")
    for name, tensor in alone.items():
        torch.testing.assert_close(together[name], tensor, atol=1e-4, rtol=1e-3, msg=name)


@pytest.mark.parametrize("loss", ["softmax", "sampled_softmax", "gbce", "bce"])
def test_every_loss_learns_the_ring(folder: Path, loss: str) -> None:
    _, logged, _ = run_training(
        folder, loss=loss, num_negatives=20, epochs=15, validation_share=0.2, patience_epochs=15
    )
    # Half of the items are known not to be next; gBCE of as many negatives as half of the catalogue learns slowest.
    assert max(metrics.get("val_ndcg@10", 0) for _, metrics in logged) > (0.5 if loss == "gbce" else 0.9)


def test_negatives_leave_untouched_items_alone(tmp_path: Path) -> None:
    """Three of 40 items occur and one negative is drawn per step: few rows change, where a full softmax moves all."""
    write_sequences(tmp_path / "part-0.parquet", [["i1", "i2", "i3"]])
    torch.manual_seed(1)
    conf = settings.Model(name="gru", width=16, num_blocks=1, num_heads=1, max_length=8, dropout=0.0)
    before = build(conf, 40).item_table().detach()
    changed = []
    for loss in ("softmax", "sampled_softmax"):
        after, _, _ = run_training(tmp_path, loss=loss, num_negatives=1, epochs=2, validation_share=0.0)
        changed.append(int((after.item_table() != before).any(dim=1).sum()))
    assert changed[0] == 40
    assert changed[1] <= 3 + 2


def test_what_it_learned_is_the_succession(folder: Path) -> None:
    """A model that only knows what is popular cannot pass: on the ring all items are."""
    model, _, _ = run_training(folder, epochs=20, validation_share=0.0)
    items = torch.tensor([[1, 2, 3], [38, 39, 40]])
    with torch.no_grad():
        states = model.eval().encode(Batch(items, items, items, torch.tensor([3, 3])))
    assert (states[:, -1] @ model.item_table()[1:].T).argmax(1).tolist() == [3, 0]  # i3 after i2, i0 after i39
