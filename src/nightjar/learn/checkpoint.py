"""Models and interrupted trainings as files, without pickle: safetensors and JSON.

A model is a folder:
    weights.safetensors   every parameter
    model.json            [model] as configured, number of items, digest of the vocabulary
    vocabulary.json       the items in index order

An interrupted training is one safetensors file with a JSON record in its header, so that a single
rename replaces the old one by the new one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_model as load_weights
from safetensors.torch import save_file
from torch import Tensor

from nightjar import settings
from nightjar.contracts import BadInput
from nightjar.learn.layout import gathered, like
from nightjar.learn.models import SequenceModel, build
from nightjar.learn.parallel import Group
from nightjar.learn.vocabulary import Vocabulary

WEIGHTS, MODEL, VOCABULARY = "weights.safetensors", "model.json", "vocabulary.json"


class LoadedModel(NamedTuple):
    model: SequenceModel
    conf: settings.Model
    vocabulary: Vocabulary


def save_model(
    folder: Path,
    model: SequenceModel | Mapping[str, Tensor],
    conf: settings.Model,
    vocabulary: Vocabulary,
) -> None:
    """Write the model's three files into `folder`, creating it; a model may be given by its whole weights."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = model.state_dict() if isinstance(model, SequenceModel) else model
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}, folder / WEIGHTS)
    record = {"model": conf.model_dump(mode="json"), "num_items": vocabulary.size, "vocabulary": vocabulary.digest}
    (folder / MODEL).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    vocabulary.save(folder / VOCABULARY)


def load_model(folder: Path) -> LoadedModel:
    """Read what `save_model` wrote, in eval mode on the CPU.

    Raises:
        BadInput: a file is missing or broken, or the vocabulary is not the one of the training.
    """
    try:
        record = json.loads((folder / MODEL).read_text(encoding="utf-8"))
        vocabulary = Vocabulary.load(folder / VOCABULARY)
        conf = settings.Model.model_validate(record["model"])
        _check_vocabulary(folder, record["vocabulary"], vocabulary)
        model = build(conf, vocabulary.size)
        load_weights(model, folder / WEIGHTS)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise BadInput(f"{folder} holds no usable model: {error}", "train again with --set train.force=true") from error
    model.eval()
    return LoadedModel(model, conf, vocabulary)


def _check_vocabulary(folder: Path, expected: str, vocabulary: Vocabulary) -> None:
    if vocabulary.digest != expected:
        raise BadInput(
            f"{folder / VOCABULARY} is not the vocabulary that the model was trained with"
            f" (digest {vocabulary.digest[:12]}, the model's {expected[:12]})",
            "train again with --set train.force=true",
        )


@dataclass(frozen=True)
class Progress:
    """How far a training is; what it needs beside tensors to go on."""

    epoch: int = 0
    step: int = 0  # of this epoch, done
    num_steps: int = 0  # over all epochs
    num_targets: int = 0  # trained over all epochs
    epoch_loss: float = 0.0  # sum over the targets of this epoch
    epoch_targets: int = 0
    best_ndcg: float | None = None
    best_epoch: int = 0  # counted from 1; 0: none yet
    stale_epochs: int = 0  # since the best one

    def after_step(self, loss: float, num_targets: int) -> Progress:
        return replace(
            self,
            step=self.step + 1,
            num_steps=self.num_steps + 1,
            num_targets=self.num_targets + num_targets,
            epoch_loss=self.epoch_loss + loss * num_targets,
            epoch_targets=self.epoch_targets + num_targets,
        )

    def after_epoch(self, ndcg: float | None) -> Progress:
        """The next epoch's beginning. Without validation the latest epoch is the best."""
        started = replace(self, epoch=self.epoch + 1, step=0, epoch_loss=0.0, epoch_targets=0)
        if ndcg is None:
            return replace(started, best_epoch=started.epoch)
        if self.best_ndcg is None or ndcg > self.best_ndcg:
            return replace(started, best_ndcg=ndcg, best_epoch=started.epoch, stale_epochs=0)
        return replace(started, stale_epochs=self.stale_epochs + 1)

    def epoch_metrics(self, ndcg: float | None) -> dict[str, float]:
        metrics = {"epoch": self.epoch + 1.0, "epoch_loss": self.epoch_loss / max(1, self.epoch_targets)}
        metrics["epoch_targets"] = float(self.epoch_targets)
        return metrics if ndcg is None else {**metrics, "val_ndcg@10": ndcg}


@dataclass(frozen=True)
class Checkpoint:
    """An interrupted training. Random generators are not in it: they are functions of `Progress`."""

    progress: Progress
    #: `model.<name>`, `optimizer.<parameter number>.<name>` and, where weights are averaged, `average.<name>`
    tensors: dict[str, Tensor]
    best: dict[str, Tensor]  #: weights of the best epoch; empty before the first has ended

    @classmethod
    def of(
        cls,
        progress: Progress,
        model: SequenceModel,
        optimizer: torch.optim.Optimizer,
        best: dict[str, Tensor],
        average: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> Checkpoint:
        """The live tensors, not copies: write them before the next step."""
        tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
        for number, values in optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{number}.{name}": tensor for name, tensor in values.items()}
        tensors |= {f"average.{name}": tensor for name, tensor in average.items()}
        return cls(progress, tensors, best)

    @property
    def average(self) -> dict[str, Tensor]:
        """The averaged weights; empty where none were kept."""
        prefix = "average."
        return {name.removeprefix(prefix): t for name, t in self.tensors.items() if name.startswith(prefix)}

    def restore(self, model: SequenceModel, optimizer: torch.optim.Optimizer) -> None:
        """Put weights and optimizer state back, as they lie in this process; without tensors nothing changes."""
        if not self.tensors:
            return
        weights: dict[str, Tensor] = {}
        state: dict[int, dict[str, Tensor]] = {}
        for name, tensor in self.tensors.items():
            owner, _, rest = name.partition(".")
            if owner == "model":
                weights[rest] = tensor
            elif owner == "optimizer":
                number, _, key = rest.partition(".")
                state.setdefault(int(number), {})[key] = tensor
        lying = model.state_dict()
        model.load_state_dict({name: like(tensor, lying[name]) for name, tensor in weights.items()})
        for place, parameter in enumerate(model.parameters()):
            moments = state.get(place, {})
            moments |= {name: like(tensor, parameter) for name, tensor in moments.items() if name != "step"}
        optimizer.load_state_dict({**optimizer.state_dict(), "state": state})

    def gathered(self, group: Group) -> Checkpoint:
        """Whole on the first rank, where the model is split over the processes; every rank must call it."""
        return replace(self, tensors=gathered(self.tensors, group), best=gathered(self.best, group))

    def write(self, path: Path, fingerprint: str) -> None:
        """Replace the file in one step; a reader or a crash sees the old or the new one, whole."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.tensors.items()}
        tensors |= {f"best.{name}": tensor.detach().cpu().contiguous() for name, tensor in self.best.items()}
        record = {"progress": json.dumps(asdict(self.progress)), "fingerprint": fingerprint}
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        save_file(tensors, temporary, metadata=record)
        with open(temporary, "rb") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)

    @classmethod
    def read(cls, path: Path, fingerprint: str) -> Checkpoint | None:
        """The checkpoint, or None if there is none, it is damaged, or it belongs to another training.

        Args:
            fingerprint: names data and settings; weights of other ones must not be continued.
        """
        try:
            with safe_open(path, framework="pt") as file:
                record: dict[str, Any] = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        except (OSError, SafetensorError):
            return None
        if record.get("fingerprint") != fingerprint:
            return None
        best = {name.removeprefix("best."): t for name, t in tensors.items() if name.startswith("best.")}
        others = {name: tensor for name, tensor in tensors.items() if not name.startswith("best.")}
        return cls(Progress(**json.loads(record["progress"])), others, best)


def fingerprint_of(*values: object) -> str:
    """SHA-256 of JSON values, in hex."""
    return hashlib.sha256(json.dumps(values, sort_keys=True, default=str).encode()).hexdigest()
