"""Trains a small model on files, as the job's workers do: for tests that kill it or start it twice over.

python tests/learn/train_once.py FOLDER '{"dropout": 0.3, "kill_at": 19, "loss": "bce"}'

Reads FOLDER/part-*.parquet, keeps FOLDER/checkpoint.safetensors, writes FOLDER/weights.safetensors.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from nightjar import settings
from nightjar.learn.checkpoint import Checkpoint
from nightjar.learn.dataset import TrainingSet
from nightjar.learn.loop import train
from nightjar.learn.models import build
from nightjar.learn.parallel import process_group
from nightjar.learn.vocabulary import Vocabulary

RING = Vocabulary(tuple(f"i{number}" for number in range(40)))
CONF = settings.load_conf().train.model_copy(
    update={"batch_users": 16, "epochs": 3, "checkpoint_every_steps": 4, "learning_rate": 0.01}
)


def training_set(folder: Path, conf: settings.Train = CONF) -> TrainingSet:
    return TrainingSet(sorted(folder.glob("part-*.parquet")), RING, conf, max_length=8, rows_in_memory=100)


def main(folder: Path, *, dropout: float = 0.0, kill_at: int | None = None, **changes: object) -> None:
    """`changes` are of `[train]`."""
    torch.set_num_threads(1)
    conf = CONF.model_copy(update=changes)
    model = settings.Model(name="sasrec", width=16, num_blocks=1, num_heads=2, max_length=8, dropout=dropout)
    path = folder / "checkpoint.safetensors"
    with process_group() as group:
        torch.manual_seed(conf.seed + group.rank)  # ranks begin with other weights; the first one's count
        trained = build(model, RING.size)

        def log(step: int, metrics: dict[str, float]) -> None:
            if step == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

        def save(checkpoint: Checkpoint) -> None:
            if group.rank == 0:
                checkpoint.write(path, "test")

        resume = Checkpoint.read(path, "test")
        train(trained, training_set(folder, conf), conf, group=group, log=log, save=save, resume=resume)
        if group.rank == 0:
            save_file(trained.state_dict(), folder / "weights.safetensors")


if __name__ == "__main__":
    main(Path(sys.argv[1]), **json.loads(sys.argv[2]))
