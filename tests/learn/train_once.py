"""Trains a small model on files, as the job's workers do: for tests that kill it or start it twice over.

python tests/learn/train_once.py FOLDER '{"dropout": 0.3, "kill_at": 19, "loss": "bce"}'

Reads FOLDER/part-*.parquet, keeps FOLDER/checkpoint.safetensors, writes FOLDER/weights.safetensors and, by each
process, FOLDER/consumed-RANK.jsonl: which people each step was trained on.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from nightjar import settings
from nightjar.learn.checkpoint import Checkpoint
from nightjar.learn.dataset import Examples, TrainingSet
from nightjar.learn.histories import Histories
from nightjar.learn.layout import gathered
from nightjar.learn.loop import train
from nightjar.learn.models import build
from nightjar.learn.parallel import end_process, process_group
from nightjar.learn.vocabulary import Vocabulary

RING = Vocabulary(tuple(f"i{number}" for number in range(40)))
CONF = settings.load_conf().train.model_copy(
    update={"batch_users": 16, "epochs": 3, "checkpoint_every_steps": 4, "learning_rate": 0.01}
)


class Witnessed(TrainingSet):
    """Writes down whom each step takes."""

    folder: Path | None = None
    after_kill = False

    def batches(self, epoch: int, *, rank: int, world: int, start: int = 0) -> Iterator[Examples]:
        for step, examples in enumerate(super().batches(epoch, rank=rank, world=world, start=start), start):
            if self.folder is not None:
                record = {"epoch": epoch, "step": step, "after_kill": self.after_kill, "people": self.taken}
                with (self.folder / f"consumed-{rank}.jsonl").open("a") as file:
                    file.write(json.dumps(record) + "\n")
            yield examples

    def _examples(
        self, buffer: Histories, people: np.ndarray, rank: int, world: int, chance: np.random.Generator
    ) -> Examples:
        self.taken = buffer.user_ids.take(people[rank::world]).to_pylist()
        return super()._examples(buffer, people, rank, world, chance)


def training_set(folder: Path, conf: settings.Train = CONF) -> Witnessed:
    return Witnessed(sorted(folder.glob("part-*.parquet")), RING, conf, max_length=8, rows_in_memory=100)


def model_conf(name: str = "sasrec", *, dropout: float = 0.0) -> settings.Model:
    conf = {"name": name, "width": 16, "num_blocks": 1, "num_heads": 2, "max_length": 8, "dropout": dropout}
    return settings.Model.model_validate(conf)


def main(
    folder: Path,
    *,
    model: str = "sasrec",
    dropout: float = 0.0,
    kill_at: int | None = None,
    kill_rank: int = 0,
    **changes: object,
) -> None:
    """`changes` are of `[train]`; a kill leaves FOLDER/killed and happens once."""
    torch.set_num_threads(1)
    conf = CONF.model_copy(update=changes)
    path = folder / "checkpoint.safetensors"
    with process_group() as group:
        torch.manual_seed(conf.seed + group.rank)  # ranks begin with other weights; the first one's count
        trained = build(model_conf(model, dropout=dropout), RING.size)

        def log(step: int, metrics: dict[str, float]) -> None:
            if (step, group.rank) == (kill_at, kill_rank) and not (folder / "killed").exists():
                (folder / "killed").touch()
                os.kill(os.getpid(), signal.SIGKILL)

        def save(checkpoint: Checkpoint) -> None:
            if group.rank == 0:
                checkpoint.write(path, "test")

        resume = Checkpoint.read(path, "test")
        data = training_set(folder, conf)
        data.folder, data.after_kill = folder, (folder / "killed").exists()
        train(trained, data, conf, group=group, log=log, save=save, resume=resume)
        weights = gathered(trained.state_dict(), group)
        if group.rank == 0:
            save_file(weights, folder / "weights.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), **json.loads(sys.argv[2]))
    end_process()
