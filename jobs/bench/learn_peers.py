"""One measurement of RecTools' or RecBole's SASRec; the last line on standard output is the result as JSON.

Runs in the peer's own environment, so besides it only the standard library is imported. Timed is what the peer does
for a batch: drawing it, the step, and what its trainer does around that. A target is a next item that is learned;
padding is none.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import suppress
from typing import Any

from jobs.bench.learn_shared import Clock, Enough, histories, parsed, targets_per_step


def rectools(people: list[list[str]], args: argparse.Namespace) -> dict[str, Any]:
    """`rate`: some steps of an epoch; `quality`: whole epochs, each with NDCG@10; `score`: top 20 for everybody."""
    import pandas as pd
    from pytorch_lightning import Callback, Trainer
    from rectools import Columns
    from rectools.dataset import Dataset
    from rectools.models import SASRecModel

    train = [items[:-2] for items in people]
    rows = [(user, item, place) for user, items in enumerate(train) for place, item in enumerate(items)]
    frame = pd.DataFrame(rows, columns=[Columns.User, Columns.Item, "place"])
    frame[Columns.Weight] = 1.0
    frame[Columns.Datetime] = pd.Timestamp("2001-01-15") + pd.to_timedelta(frame.pop("place"), unit="min")
    dataset = Dataset.construct(frame)
    clock = Clock(args.steps if args.what == "rate" else None)
    epochs: list[dict[str, float]] = []

    class Watch(Callback):  # type: ignore[misc,unused-ignore]
        def on_train_epoch_start(self, trainer: Any, module: Any) -> None:
            clock.skip()

        def on_train_batch_end(self, trainer: Any, module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
            clock.step(int((batch["y"] != 0).sum()))

        def on_train_epoch_end(self, trainer: Any, module: Any) -> None:
            if args.what == "quality":
                ndcg = _rectools_ndcg(module, people, args.length)
                epochs.append({"seconds": clock.seconds, "ndcg": ndcg})
                print(f"epoch {len(epochs)}: {clock.seconds:.0f} s, NDCG@10 {ndcg:.4f}", file=sys.stderr, flush=True)
                trainer.should_stop = _stale(epochs) >= args.patience or clock.seconds >= 60 * args.minutes
            clock.skip()

    def trainer() -> Any:
        return Trainer(
            accelerator="cpu",
            devices=1,
            max_epochs=args.epochs,
            limit_train_batches=1 if args.what == "score" else None,
            callbacks=[Watch()],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    model = SASRecModel(
        n_blocks=args.blocks,
        n_heads=1,
        n_factors=args.width,
        dropout_rate=args.dropout,
        session_max_len=args.length,
        loss=args.loss,
        n_negatives=args.negatives,
        lr=args.learning_rate,
        batch_size=args.batch_users,
        epochs=args.epochs,
        get_trainer_func=trainer,
    )
    try:
        model.fit(dataset)
    except Enough:
        return clock.said()
    if args.what == "score":
        started = time.perf_counter()
        model.recommend(users=list(range(len(people))), dataset=dataset, k=20, filter_viewed=True)
        return {"users_per_second": len(people) / (time.perf_counter() - started)}
    return {**clock.said(), "epochs": epochs, "ended_by_itself": bool(epochs) and _stale(epochs) >= args.patience}


def _stale(epochs: list[dict[str, float]]) -> int:
    """Epochs since the best one."""
    ndcgs = [epoch["ndcg"] for epoch in epochs]
    return len(ndcgs) - 1 - ndcgs.index(max(ndcgs))


def _rectools_ndcg(module: Any, people: list[list[str]], length: int) -> float:
    """Mean NDCG@10 of everybody's last item but one among all items; ties and unknown items count against it."""
    import torch

    # A dictionary: it drops people with one training item, and with them items that nobody else has.
    to_internal = {str(item): int(place) for item, place in module.data_preparator.item_id_map.to_internal.items()}
    module.eval()
    gains = 0.0
    with torch.no_grad():
        items_VD = module.torch_model.item_model.get_all_embeddings()
        for start in range(0, len(people), 256):
            known = [items for items in people[start : start + 256] if items[-2] in to_internal]
            histories = [[to_internal[item] for item in items[:-2] if item in to_internal][-length:] for items in known]
            x_BL = torch.tensor([[0] * (length - len(history)) + history for history in histories])
            targets_B = torch.tensor([to_internal[items[-2]] for items in known])
            states_BD = module.torch_model.encode_sessions({"x": x_BL}, items_VD)[:, -1]
            scores_BV = states_BD @ items_VD.T
            scores_BV[:, 0] = -torch.inf
            ranks_B = (scores_BV >= scores_BV.gather(1, targets_B[:, None])).sum(1).double()
            gains += float(torch.where(ranks_B <= 10, 1 / torch.log2(1 + ranks_B), 0.0).sum())
    module.train()
    return gains / len(people)


def recbole(people: list[list[str]], args: argparse.Namespace) -> dict[str, Any]:
    """`rate` only. A sample is one target with its padded history, so a batch holds as many as ours does on average."""
    import numpy as np
    import torch

    # RecBole 1.2.1 was written for older releases of both.
    for name, type_ in {"bool": bool, "int": int, "float": float, "object": object, "unicode": str}.items():
        setattr(np, name, getattr(np, name, None) or type_)
    from recbole.config import Config
    from recbole.data import create_dataset, data_preparation
    from recbole.model.sequential_recommender import SASRec
    from recbole.utils import init_seed

    folder = args.scratch / "people"
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["user_id:token\titem_id:token\ttimestamp:float"]
    lines += [f"{user}\t{item}\t{place}" for user, items in enumerate(people) for place, item in enumerate(items)]
    (folder / "people.inter").write_text("\n".join(lines) + "\n")
    settings = {
        "data_path": str(args.scratch),
        "load_col": {"inter": ["user_id", "item_id", "timestamp"]},
        "MAX_ITEM_LIST_LENGTH": args.length,
        "hidden_size": args.width,
        "inner_size": 4 * args.width,
        "n_layers": args.blocks,
        "n_heads": 1,
        "hidden_dropout_prob": args.dropout,
        "attn_dropout_prob": args.dropout,
        "loss_type": "CE",
        "train_neg_sample_args": None,
        "train_batch_size": targets_per_step(people, args),
        "learning_rate": args.learning_rate,
        "eval_args": {"split": {"LS": "valid_and_test"}, "order": "TO", "group_by": "user", "mode": "full"},
        "use_gpu": False,
        "show_progress": False,
        "checkpoint_dir": str(args.scratch / "saved"),
        "log_wandb": False,
    }
    config = Config(model="SASRec", dataset="people", config_dict=settings)
    init_seed(1, reproducibility=False)
    dataset = create_dataset(config)
    train, _, _ = data_preparation(config, dataset)
    model = SASRec(config, train.dataset)
    optimizer = torch.optim.Adam(model.parameters(), lr=args.learning_rate)
    clock = Clock(args.steps)
    with suppress(Enough):
        while True:
            for samples in train:
                optimizer.zero_grad()
                loss = model.calculate_loss(samples)
                loss.backward()
                optimizer.step()
                clock.step(len(samples))
    return clock.said()


PEERS = {"rectools": rectools, "recbole": recbole}


def main() -> None:
    args = parsed(__doc__, sorted(PEERS))
    import torch

    torch.set_num_threads(args.cores)
    torch.manual_seed(1)
    print(json.dumps(PEERS[args.contender](histories(args.data), args)))


if __name__ == "__main__":
    main()
