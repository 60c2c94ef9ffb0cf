"""One measurement of our SASRec, or of what the machine could do; the last line on standard output is the result.

Timed is the trainer that a night runs, on Parquet files as a night writes them: reading, batches and the step.

Legend: N = targets of a step, B = people, V = items, D = width, K = items to return.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jobs.bench.learn_shared import Clock, Enough, histories, parsed, targets_per_step

from nightjar import settings
from nightjar.learn.checkpoint import Checkpoint, LoadedModel
from nightjar.learn.dataset import TrainingSet
from nightjar.learn.histories import read_histories
from nightjar.learn.loop import train
from nightjar.learn.models import SequenceModel, build
from nightjar.learn.parallel import Group
from nightjar.learn.vocabulary import Vocabulary
from nightjar.score.catalogue import Catalogue
from nightjar.score.model import CatalogueModel
from nightjar.score.rank import Ranking
from nightjar.score.rules import Pairs

_PEOPLE_AT_ONCE = 1024
_K = 20


def recipe(args: argparse.Namespace) -> settings.Conf:
    """The peers' architecture and batch; everything else as a night has it."""
    model = {"name": "sasrec", "width": args.width, "num_blocks": args.blocks, "num_heads": 1, "dropout": args.dropout}
    training = {
        "epochs": args.epochs,
        "patience_epochs": args.patience,
        "loss": args.loss,
        "num_negatives": args.negatives,
        "precision": args.precision,
        "batch_users": args.batch_users,
        "learning_rate": args.learning_rate,
        "validation_share": 1.0,
        "checkpoint_every_steps": 2**31,
    }
    values = {f"model.{key}": value for key, value in {**model, "max_length": args.length}.items()}
    values |= {f"train.{key}": value for key, value in training.items()}
    return settings.load_conf(sets=[f"{key}={json.dumps(value)}" for key, value in values.items()])


def write_people(people: list[list[str]], file: Path, *, without_last: int) -> Path:
    """As a `sequences` file; kinds and times are made up, the model reads neither."""
    kept = [items[: len(items) - without_last] for items in people]
    columns = {
        "user_id": pa.array([f"{number:016x}" for number in range(len(kept))]),
        "item_ids": pa.array(kept, pa.list_(pa.string())),
        "kinds": pa.array([[1] * len(items) for items in kept], pa.list_(pa.int32())),
        "event_ts": pa.array([list(range(len(items))) for items in kept], pa.list_(pa.int64())),
    }
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), file)
    return file


def vocabulary_of(people: list[list[str]]) -> Vocabulary:
    return Vocabulary(tuple(sorted({item for items in people for item in items[:-1]})))


def ours(people: list[list[str]], args: argparse.Namespace) -> dict[str, Any]:
    """`rate`: some steps; `quality`: whole epochs, each with NDCG@10; `score`: top 20 for everybody."""
    conf, vocabulary = recipe(args), vocabulary_of(people)
    file = write_people(people, args.scratch / "people.parquet", without_last=1)
    torch.manual_seed(conf.train.seed)
    model = build(conf.model, vocabulary.size)
    if args.what == "score":
        return score(LoadedModel(model, conf.model, vocabulary), people, args)
    data = TrainingSet([file], vocabulary, conf.train, max_length=args.length)
    return timed_training(model, data, conf.train, args.steps if args.what == "rate" else None)


def timed_training(
    model: SequenceModel, data: TrainingSet, conf: settings.Train, max_steps: int | None
) -> dict[str, Any]:
    """Targets per second over all steps but the first; with each epoch's NDCG@10, without the time that took."""
    # Batches of later epochs are others, but hold as many targets to a few in a hundred.
    per_step = [len(examples.targets_N) for examples in data.batches(0, rank=0, world=1)]
    clock, epochs = Clock(max_steps), []

    def log(step: int, metrics: dict[str, float]) -> None:
        if "epoch" in metrics:
            epochs.append({"seconds": clock.seconds, "ndcg": metrics["val_ndcg@10"]})
            clock.skip()
        else:
            clock.step(per_step[clock.steps % len(per_step)])

    def save(checkpoint: Checkpoint) -> None:
        clock.skip()

    with suppress(Enough):
        train(model, data, conf, group=Group(torch.device("cpu")), log=log, save=save)
    return {**clock.said(), "epochs": epochs}


def score(loaded: LoadedModel, people: list[list[str]], args: argparse.Namespace) -> dict[str, Any]:
    """Top 20 of the whole catalogue for everybody, without what they have: from the file to the lists, as a night."""
    file = write_people(people, args.scratch / "seen.parquet", without_last=2)
    # In the vocabulary's order, so that an item's position is its index minus one.
    names = pa.array(loaded.vocabulary.decode(np.arange(1, loaded.vocabulary.size + 1)))
    model = CatalogueModel(loaded, Catalogue.counted(names, names))
    ranking = Ranking(model.items_ND, torch.ones(len(names), dtype=torch.bool))

    def lists() -> Iterator[int]:
        chunks = read_histories([file], loaded.vocabulary, max_length=args.length, rows_per_batch=_PEOPLE_AT_ONCE)
        for chosen in chunks:
            seen = Pairs(np.repeat(np.arange(len(chosen)), chosen.lengths), chosen.items - 1)
            ranking.top(model.states(chosen), excluded=seen, k=_K)
            yield len(chosen)

    with torch.inference_mode():
        # The best of some passes, as the floor beside which it stands.
        return {"users_per_second": len(people) / seconds_of(lambda: sum(lists()), budget=10.0)}


def floor(people: list[list[str]], args: argparse.Namespace) -> dict[str, Any]:
    """What the products alone would take: of the loss per target, of a list per person; each type of number.

    A target costs three products with the table, 6 V D operations; the layers cost 36 D^2 per block, a
    sixtieth of that on 12,101 items. A list costs one product, 2 V D, and the selection of its K items.
    """
    num_items = vocabulary_of(people).size
    num_rows = targets_per_step(people, args)
    found: dict[str, Any] = {"num_items": num_items, "operations_per_target": 6 * num_items * args.width}
    found["bytes_of_logits_per_target"] = 4 * num_items
    for name in ("float32", "bfloat16"):
        type_ = getattr(torch, name)
        states_ND = torch.randn(num_rows, args.width).to(type_)
        items_VD = torch.randn(num_items, args.width).to(type_)
        logits_NV = torch.empty(num_rows, num_items, dtype=type_)
        products = (
            partial(torch.mm, states_ND, items_VD.T, out=logits_NV),
            partial(torch.mm, logits_NV, items_VD, out=torch.empty_like(states_ND)),
            partial(torch.mm, logits_NV.T, states_ND, out=torch.empty_like(items_VD)),
        )
        found[f"targets_per_second_{name}"] = num_rows / sum(map(seconds_of, products))
    states_BD, items_VD = torch.randn(_PEOPLE_AT_ONCE, args.width), torch.randn(num_items, args.width)
    found["users_per_second"] = _PEOPLE_AT_ONCE / seconds_of(lambda: torch.topk(states_BD @ items_VD.T, _K))
    return found


def seconds_of(work: Callable[[], object], budget: float = 2.0) -> float:
    """Of one run, the best of as many as fit in the budget of seconds: the floor is what is possible."""
    work()
    best, begun = float("inf"), time.perf_counter()
    while time.perf_counter() - begun < budget:
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best


CONTENDERS = {"ours": ours, "floor": floor}


def main() -> None:
    args = parsed(__doc__, sorted(CONTENDERS))
    torch.set_num_threads(args.cores)
    print(json.dumps(CONTENDERS[args.contender](histories(args.data), args)))


if __name__ == "__main__":
    main()
