"""What a training step of a large model costs: entries per second, share of this machine's own matrix product, memory.

Trains, by the trainer itself, on invented histories of full length. The share (model FLOPs utilisation) counts the
products that the model needs, forward and backward, and none that `train.recompute` does again, over the best rate that
square products of the same type reach here. Works on a CPU too, where two steps take a minute. Several GPUs: torchrun
--nproc-per-node N -m jobs.bench.large --set "train.sharding=full". The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from nightjar import settings
from nightjar.contracts import BadInput
from nightjar.learn.checkpoint import Checkpoint
from nightjar.learn.dataset import TrainingSet
from nightjar.learn.loop import train
from nightjar.learn.models import build
from nightjar.learn.parallel import Group, process_group
from nightjar.learn.vocabulary import Vocabulary

#: Steps that are not counted: the first ones compile and fill the allocator.
WARMUP = 2

_START = 979585200  # 2001-01-15T19:00Z


def invented_histories(folder: Path, num_people: int, num_entries: int, vocabulary: Vocabulary) -> Path:
    """`sequences` of uniform items, an hour between entries; nothing to learn but how long it takes."""
    random = np.random.default_rng(1)
    offsets = pa.array(np.arange(num_people + 1, dtype=np.int32) * num_entries)
    total = num_people * num_entries

    def lists(values: np.ndarray | pa.Array) -> pa.ListArray:
        return pa.ListArray.from_arrays(offsets, values)

    columns = {
        "user_id": pa.array([f"{number:016x}" for number in range(num_people)]),
        "item_ids": lists(vocabulary.decode(random.integers(1, vocabulary.size + 1, total))),
        "kinds": lists(random.integers(1, 4, total, dtype=np.int32)),
        "event_ts": lists(_START + 3600 * (np.arange(total, dtype=np.int64) % num_entries)),
    }
    path = folder / "sequences.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=4096)
    return path


def flops_per_entry(conf: settings.Conf, num_weights: int, num_items: int) -> float:
    """Multiplications and additions for one entry and its target, forward and backward.

    Each weight of a product takes part in 2 forward and 4 backward; attention over L entries in 4 L D per block and
    twice that; the loss scores one row per candidate.
    """
    model, loss = conf.model, conf.train
    candidates = num_items if loss.loss == "softmax" else loss.num_negatives + 1
    return 6.0 * num_weights + 12.0 * model.num_blocks * model.max_length * model.width + 6.0 * candidates * model.width


def matmul_peak(device: torch.device, type_: torch.dtype) -> float:
    """FLOP per second of the best of ten square products."""
    size = 8192 if device.type == "cuda" else 1024
    left, right = (torch.randn(size, size, device=device, dtype=type_) for _ in range(2))
    best = 0.0
    for _ in range(10):
        _wait(device)
        begun = time.perf_counter()
        left @ right
        _wait(device)
        best = max(best, 2.0 * size**3 / (time.perf_counter() - begun))
    return best


def measure(conf: settings.Conf, group: Group, *, steps: int, num_items: int) -> dict[str, object]:
    vocabulary = Vocabulary(tuple(f"i{number}" for number in range(num_items)))
    torch.manual_seed(conf.train.seed)
    model = build(conf.model, num_items)
    num_weights = sum(p.numel() for p in model.parameters()) - model.item_table().numel()
    at: list[float] = []
    losses: list[float] = []

    def log(step: int, metrics: dict[str, float]) -> None:
        if "epoch" not in metrics:
            at.append(time.perf_counter())
            losses.append(metrics["loss"])

    with tempfile.TemporaryDirectory(prefix="nightjar-large-") as folder:
        num_people = (steps + WARMUP) * conf.train.batch_users
        file = invented_histories(Path(folder), num_people, conf.model.max_length + 1, vocabulary)
        changes = {"epochs": 1, "validation_share": 0.0, "pretrain_epochs": 0, "checkpoint_every_steps": 10**9}
        train_conf = conf.train.model_copy(update=changes)
        data = TrainingSet([file], vocabulary, train_conf, max_length=conf.model.max_length)
        train(model, data, train_conf, group=group, log=log, save=_keep_nothing)
    seconds = median(np.diff(at[WARMUP - 1 :]).tolist())
    entries = conf.train.batch_users * conf.model.max_length / seconds
    precision = torch.bfloat16 if conf.train.model_precision == "bfloat16" else torch.float32
    peak, needed = matmul_peak(group.device, precision), flops_per_entry(conf, num_weights, num_items)
    on_gpu = group.device.type == "cuda"
    used = torch.cuda.max_memory_allocated() if on_gpu else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {
        "device": torch.cuda.get_device_name() if on_gpu else "cpu",
        "processes": group.world,
        "threads": torch.get_num_threads(),
        "weights_beside_items": num_weights,
        "steps": len(at) - WARMUP,
        "seconds_per_step": round(seconds, 4),
        "entries_per_second": round(entries, 1),
        "tflops": round(entries * needed / group.world / 1e12, 4),
        "matmul_tflops": round(peak / 1e12, 4),
        "share_of_matmul": round(entries * needed / group.world / peak, 4),
        "peak_gib": round(used / 2**30, 2),
        "first_loss": round(losses[0], 4),
        "last_loss": round(losses[-1], 4),
        "load": [round(load, 1) for load in os.getloadavg()],
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _keep_nothing(checkpoint: Checkpoint) -> None:
    """A benchmark is begun again."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--conf", default="conf/models/hstu-large.toml", help="settings: a file like conf/models/*.toml"
    )
    parser.add_argument("--steps", type=int, default=0, help="measured ones (default: 20 on a GPU, 2 on a CPU)")
    parser.add_argument("--items", type=int, default=100_000, help="of the invented catalogue")
    parser.add_argument("--set", default="", help='changes to the settings, "section.key=value ..."')
    args = parser.parse_args()
    try:
        with process_group() as group:
            on_gpu = group.device.type == "cuda"
            # A step of a few histories is enough to see that it works, and what a processor can take.
            small = [] if on_gpu else ["train.batch_users=2", "train.compile=false"]
            conf = settings.load_conf(files=[Path(args.conf)], sets=[*small, *args.set.split()])
            steps = args.steps or (20 if on_gpu else 2)
            found = measure(conf, group, steps=steps, num_items=args.items)
            if group.rank == 0:
                print(json.dumps(found), flush=True)
    except BadInput as error:
        sys.exit(f"bench-large: {error}")


if __name__ == "__main__":
    main()
