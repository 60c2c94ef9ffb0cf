from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from nightjar import settings
from nightjar.contracts import BadInput
from nightjar.learn.checkpoint import Checkpoint, Progress, fingerprint_of, load_model, save_model
from nightjar.learn.models import build
from nightjar.learn.vocabulary import Vocabulary

CONF = settings.Model(name="sasrec", width=8, num_blocks=1, num_heads=1, max_length=4, dropout=0.1)
ABC = Vocabulary(("a", "b", "c"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_model(tmp_path / "model", build(CONF, ABC.size), CONF, ABC)
    return tmp_path / "model"


def test_another_vocabulary_is_refused(folder: Path) -> None:
    Vocabulary(("a", "c", "b")).save(folder / "vocabulary.json")
    with pytest.raises(BadInput, match="not the vocabulary"):
        load_model(folder)


@pytest.mark.parametrize("name", ["weights.safetensors", "model.json", "vocabulary.json"])
def test_missing_and_truncated_files_are_refused(folder: Path, name: str) -> None:
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match="no usable model"):
        load_model(folder)
    (folder / name).unlink()
    with pytest.raises(BadInput, match="no usable model"):
        load_model(folder)


def test_weights_of_another_shape_are_refused(folder: Path) -> None:
    record = json.loads((folder / "model.json").read_text())
    record["model"]["width"] = 16
    (folder / "model.json").write_text(json.dumps(record))
    with pytest.raises(BadInput, match="no usable model"):
        load_model(folder)


def trained() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    model = torch.nn.Linear(3, 2)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model(torch.ones(3)).square().sum().backward()
    optimizer.step()
    return model, optimizer


def test_a_checkpoint_holds_weights_optimizer_progress_and_best(tmp_path: Path) -> None:
    model, optimizer = trained()
    best = {"weight": torch.full((2, 3), 7.0)}
    progress = Progress(epoch=2, step=5, num_steps=25, epoch_loss=0.1 + 0.2, best_ndcg=0.25, best_epoch=1)
    Checkpoint.of(progress, model, optimizer, best).write(tmp_path / "c.safetensors", "mine")  # type: ignore[arg-type]
    read = Checkpoint.read(tmp_path / "c.safetensors", "mine")
    assert read is not None
    assert read.progress == progress
    assert torch.equal(read.best["weight"], best["weight"])
    other, other_optimizer = trained()
    read.restore(other, other_optimizer)  # type: ignore[arg-type]
    for ours, theirs in ((model, other), (optimizer, other_optimizer)):
        torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=0, atol=0)


def test_no_damaged_or_foreign_checkpoint_is_continued(tmp_path: Path) -> None:
    model, optimizer = trained()
    path = tmp_path / "deep" / "c.safetensors"
    assert Checkpoint.read(path, "mine") is None
    Checkpoint.of(Progress(), model, optimizer, {}).write(path, "mine")  # type: ignore[arg-type]
    assert Checkpoint.read(path, "other settings") is None
    path.write_bytes(path.read_bytes()[:-20])
    assert Checkpoint.read(path, "mine") is None


def test_a_write_that_dies_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, optimizer = trained()
    path = tmp_path / "c.safetensors"
    Checkpoint.of(Progress(epoch=1), model, optimizer, {}).write(path, "mine")  # type: ignore[arg-type]

    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("nightjar.learn.checkpoint.save_file", no_space)
    with pytest.raises(OSError, match="No space"):
        Checkpoint.of(Progress(epoch=2), model, optimizer, {}).write(path, "mine")  # type: ignore[arg-type]
    read = Checkpoint.read(path, "mine")
    assert read is not None
    assert read.progress.epoch == 1


def test_fingerprints_tell_values_apart() -> None:
    assert fingerprint_of({"a": 1, "b": 2}) == fingerprint_of({"b": 2, "a": 1})
    assert fingerprint_of({"a": 1}, "x") != fingerprint_of({"a": 1}, "y")
