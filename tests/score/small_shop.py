"""A small shop as Arrow rows, written as text, and a real model of it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import torch

from nightjar import settings
from nightjar.contracts import ITEMS, SEQUENCES, Kind
from nightjar.contracts.render import arrow_schema
from nightjar.learn import models
from nightjar.learn.checkpoint import save_model
from nightjar.learn.vocabulary import Vocabulary
from nightjar.score.recommend import Night

DAY = date(2001, 1, 15)
DAY_END = datetime(2001, 1, 16, tzinfo=UTC)

MODEL = settings.Model(name="sasrec", width=16, num_blocks=1, num_heads=1, max_length=8, dropout=0.0)
SCORE = settings.Score(
    k=5,
    surface="home",
    exclude="purchased",
    available_within_days=30,
    batch_users=7,
    popular_days=7,
    explain_items=5,
    explain_entries=100,
    rules="",
)

#: One entry of a history: item and kind; V, C and P for short.
Entry = tuple[str, Kind]
KINDS = {"V": Kind.VIEW, "C": Kind.CART, "P": Kind.PURCHASE}


def item_rows(*items: tuple[str, int, int, int]) -> pa.Table:
    """Items as (id, recent events, events, days since last seen)."""
    rows = [
        {
            "item_id": name,
            "dt": DAY,
            "price_bucket": 0,
            "first_seen": DAY_END - timedelta(days=60),
            "last_seen": DAY_END - timedelta(days=silent),
            "num_events": num_events,
            "num_recent": num_recent,
            "num_purchases": 0,
            "recent_by_platform": [num_recent, 0, 0, 0, 0, 0],  # the web is all there is
        }
        for name, num_recent, num_events, silent in items
    ]
    return pa.Table.from_pylist(rows, schema=arrow_schema(ITEMS))


def sequence_rows(histories: dict[str, str]) -> pa.RecordBatch:
    """Histories as text, `user: "V:i1 P:i2"`, an entry per hour."""
    rows = []
    for user, text in histories.items():
        entries = [entry.split(":") for entry in text.split()]
        n = len(entries)
        rows.append(
            {
                "user_id": user,
                "dt": DAY,
                "item_ids": [item for _, item in entries],
                "kinds": [KINDS[kind].code for kind, _ in entries],
                "event_ts": [979_500_000 + 3600 * hour for hour in range(n)],
                "platforms": [1] * n,
                "session_ordinals": [1] * n,
                "price_buckets": [0] * n,
                "category_codes": [0] * n,
                "num_events": n,
                "last_platform": "web",
            }
        )
    return pa.RecordBatch.from_pylist(rows, schema=arrow_schema(SEQUENCES))


def random_histories(num_users: int, names: Sequence[str], *, seed: int, longest: int = 12) -> dict[str, str]:
    rng = np.random.default_rng(seed)
    return {
        f"{user:016x}": " ".join(
            f"{rng.choice(['V', 'V', 'C', 'P'])}:{rng.choice(names)}" for _ in range(rng.integers(0, longest))
        )
        for user in range(num_users)
    }


def night(**changes: object) -> Night:
    return Night("synthetic", DAY, DAY_END, SCORE.model_copy(update=changes))


def save_small_model(
    folder: Path,
    items: Sequence[str],
    *,
    seed: int = 1,
    name: Literal["sasrec", "gru"] = "sasrec",
    cosine_scale: float = 0.0,
) -> None:
    """A real model with fresh weights, spread as training would: as they are, all items score within 0.1."""
    torch.manual_seed(seed)
    conf = MODEL.model_copy(update={"name": name, "cosine_scale": cosine_scale})
    model = models.build(conf, len(items))
    with torch.no_grad():
        model.item_table()[1:] *= 4
    save_model(folder, model, conf, Vocabulary(tuple(items)))
