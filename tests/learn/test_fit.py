"""Real trainings on rings of items, whose next item is known."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tests.learn.sequence_files import successions
from tests.learn.train_once import CONF

from nightjar import settings
from nightjar.learn.fit import AskedSet, fit, vocabulary_of
from nightjar.learn.parallel import Group
from nightjar.learn.protocols import Cases, leave_one_out
from nightjar.learn.public_data import sequence_rows
from nightjar.learn.vocabulary import Vocabulary

ALONE = Group(torch.device("cpu"))
MODEL = settings.Model(name="gru", width=16, num_blocks=1, num_heads=1, max_length=8, dropout=0.0)


def lists(*rows: list[str]) -> pa.ListArray:
    return pa.array(rows, pa.list_(pa.string()))


def nothing(step: int, metrics: dict[str, float]) -> None:
    pass


def test_the_vocabulary_is_ordered_by_count_then_name() -> None:
    assert vocabulary_of(lists(["b", "a"], ["c", "a", "b"])).items == ("a", "b", "c")


@pytest.mark.parametrize("world", [1, 2])
def test_every_known_question_is_asked_once(tmp_path: Path, world: int) -> None:
    pq.write_table(sequence_rows(lists(["a", "b"])), tmp_path / "rows")
    data = AskedSet([tmp_path / "rows"], Vocabulary(("a", "b", "c")), CONF, max_length=2)
    data.asked = Cases(lists(["a"], ["x"], ["a", "b", "c"], ["b", "x"]), pa.array(["b", "a", "x", "c"]))
    found = [batch for rank in range(world) for batch in data.validation(rank=rank, world=world)]
    pairs = [
        (items[:length].tolist(), target)
        for batch, targets in found
        for items, length, target in zip(batch.items_BL, batch.lengths_B.tolist(), targets.tolist(), strict=True)
    ]
    assert sorted(pairs) == [([1], 2), ([2], 3)]


def test_a_fit_learns_and_says_which_epoch_stays(tmp_path: Path) -> None:
    split = leave_one_out(lists(*successions(200, num_items=40, seed=1)))
    conf = CONF.model_copy(update={"epochs": 25, "patience_epochs": 25})
    logged: list[dict[str, float]] = []

    def log(step: int, metrics: dict[str, float]) -> None:
        logged.append(metrics)

    loaded, progress = fit(split.fitted, split.valid, MODEL, conf, folder=tmp_path, group=ALONE, log=log)
    scores = [metrics["val_ndcg@10"] for metrics in logged if "val_ndcg@10" in metrics]
    assert len(scores) == 25
    assert progress.best_epoch == scores.index(max(scores)) + 1
    assert max(scores) > 0.8
    assert loaded.vocabulary.size == 40
    again, after = fit(split.refitted, None, MODEL, conf, folder=tmp_path, group=ALONE, log=nothing)
    assert after.best_ndcg is None
    assert after.epoch == 25
    assert after.num_targets > progress.num_targets
    assert not again.model.training
