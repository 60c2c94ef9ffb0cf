"""A night in a lake of one's own: items on a ring, people who walk along it, models that know or do not."""

from __future__ import annotations

import importlib
import logging
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch.nn.functional import cross_entropy

from nightjar import settings
from nightjar.contracts import HOLDOUT, ITEMS, SEQUENCES, Kind, Partition
from nightjar.contracts.render import arrow_schema
from nightjar.learn.batch import Batch
from nightjar.learn.checkpoint import save_model
from nightjar.learn.models import build
from nightjar.learn.vocabulary import Vocabulary
from nightjar.stores.files import write_json
from nightjar.stores.home import Home
from nightjar.stores.job import Job
from nightjar.stores.lake import Lake
from nightjar.stores.tracking import ModelVersion, Tracking

SHOP, DAY = "synthetic", date(2001, 1, 15)
PAST = DAY - timedelta(days=3)
NIGHT = SEQUENCES.at(SHOP, DAY)
RING = [f"i{number:02d}" for number in range(24)]
MODEL = settings.Model(name="sasrec", width=16, num_blocks=1, num_heads=1, max_length=8, dropout=0.0)

Histories = dict[str, list[tuple[str, Kind]]]


def module(name: str) -> ModuleType:
    """A job's module; jobs stand beside the package and find each other in their own folder."""
    folder = settings.repository() / "jobs"
    if str(folder) not in sys.path:
        sys.path.append(str(folder))
    return importlib.import_module(f"jobs.{name}")


def job(home: Home, name: str, *sets: str) -> Job:
    source = settings.load_source(SHOP)
    conf = settings.load_conf(source=source, sets=["promotion.min_users=20", "score.k=5", *sets])
    return Job(name, conf, source, home, "test", logging.getLogger(f"nightjar.{name}"))


def walks(num_people: int, *, seed: int) -> tuple[Histories, Histories]:
    """Each person looks at one item after another along the ring; what comes next is the holdout."""
    rng = np.random.default_rng(seed)
    past, ahead = {}, {}
    for number in range(num_people):
        start, length = int(rng.integers(len(RING))), int(rng.integers(3, 8))
        steps = [RING[(start + step) % len(RING)] for step in range(length + 2)]
        kinds = [Kind.PURCHASE if rng.random() < 0.2 else Kind.VIEW for _ in steps]
        entries = list(zip(steps, kinds, strict=True))
        past[f"{number:016x}"], ahead[f"{number:016x}"] = entries[:length], entries[length:]
    return past, ahead


def fill(lake: Lake, past: Histories, ahead: Histories, *, day: date = PAST, silent: tuple[str, ...] = ()) -> None:
    """Commit items, sequences and holdout as of a day."""
    later = sequences_of(ahead, day).select(arrow_schema(HOLDOUT).names)
    lake.commit(
        [
            lake.stage_arrow(_items(day, silent), ITEMS, SHOP, "test", days=[day]),
            lake.stage_arrow(sequences_of(past, day), SEQUENCES, SHOP, "test", days=[day]),
            lake.stage_arrow(later, HOLDOUT, SHOP, "test", days=[day]),
        ]
    )


def _items(day: date, silent: tuple[str, ...]) -> pa.Table:
    end = datetime(day.year, day.month, day.day, 23, tzinfo=UTC)  # midnight of the shop's zone
    rows = [
        {
            "item_id": name,
            "dt": day,
            "price_bucket": 0,
            "first_seen": end - timedelta(days=90),
            "last_seen": end - timedelta(days=31 if name in silent else 1),
            "num_events": 100 - number,
            "num_recent": number % 6,
            "num_purchases": 0,
            "recent_by_platform": [number % 6, 0, 0, 0, 0, 0],
        }
        for number, name in enumerate(RING)
    ]
    return pa.Table.from_pylist(rows, schema=arrow_schema(ITEMS))


def sequences_of(histories: Histories, day: date) -> pa.Table:
    rows = [
        {
            "user_id": user,
            "dt": day,
            "item_ids": [item for item, _ in entries],
            "kinds": [kind.code for _, kind in entries],
            "event_ts": [979_000_000 + 3600 * hour for hour in range(len(entries))],
            "platforms": [1] * len(entries),
            "session_ordinals": [1] * len(entries),
            "price_buckets": [0] * len(entries),
            "category_codes": [0] * len(entries),
            "num_events": len(entries),
            "last_platform": "web",
        }
        for user, entries in histories.items()
    ]
    return pa.Table.from_pylist(rows, schema=arrow_schema(SEQUENCES))


def register(
    home: Home, folder: Path, histories: Histories, *, steps: int, as_of: date = PAST, shop: str = SHOP
) -> ModelVersion:
    """Train on what follows what for some steps (0: fresh weights) and register the next version."""
    torch.manual_seed(steps)
    torch.set_num_threads(1)
    vocabulary, model = Vocabulary(tuple(reversed(RING))), build(MODEL, len(RING))
    longest = MODEL.max_length + 1  # one more than is read: the last is a target only
    items = [
        vocabulary.encode(pa.array([item for item, _ in entries[-longest:]], pa.string()))
        for entries in histories.values()
        if entries
    ]
    items_BL = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(row) for row in items], batch_first=True)
    inputs_BL, targets_BL = items_BL[:, :-1], items_BL[:, 1:]
    batch = Batch(inputs_BL, inputs_BL * 0 + 1, inputs_BL * 0, (inputs_BL > 0).sum(dim=1))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(steps):
        logits_BLV = model.encode(batch) @ model.item_table().T
        loss = cross_entropy(logits_BLV.flatten(0, 1), targets_BL.flatten(), ignore_index=0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    save_model(folder, model, MODEL, vocabulary)
    tracking = Tracking(home, shop)
    with tracking.start_run("train", {"as_of": as_of.isoformat()}) as run_id:
        return tracking.log_model(
            run_id, folder, as_of=as_of, fingerprint=folder.name, input_example={"item_ids": [["i01", "i02"]]}
        )


def trained(home: Home, version: ModelVersion | None, *, status: str = "done") -> None:
    """The manifest that the night's training leaves."""
    counts: dict[str, Any] = {"trained": version is not None}
    if version is not None:
        counts["model_version"] = version.version
    write_json(home.result(SHOP, DAY, "train"), {"job": "train", "run_id": "test", "status": status, "counts": counts})


def partition(table: Any) -> Partition:
    return Partition(SHOP, table.name, DAY)
