"""The command on small data whose answers are known."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from jobs.ops import quality
from tests.learn.sequence_files import successions, write_sequences

from nightjar.contracts import BadInput
from nightjar.settings import load_conf

SMALL = ["model.width=16", "model.num_blocks=1", "train.batch_users=32", "train.learning_rate=0.01", "train.epochs=12"]
KEYS = ["hr@10", "ndcg@10", "mrr@20", "p@20"]


def measured(
    data: Path, protocol: str, capsys: pytest.CaptureFixture[str], *, seeds: int, out: Path | None = None
) -> dict[str, float]:
    quality.measure(data, protocol, load_conf(sets=SMALL), num_seeds=seeds, num_folds=2, exclude=None, out=out)
    found: dict[str, float] = json.loads(capsys.readouterr().out.splitlines()[-1])
    return found


def test_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = successions(300, num_items=60, seed=1)
    (tmp_path / "people.txt").write_text("".join(f"{n} {' '.join(row)}\n" for n, row in enumerate(rows)))
    found = measured(tmp_path / "people.txt", "leave-one-out", capsys, seeds=2, out=tmp_path / "out")
    expected = [*KEYS, *(f"refit_{key}" for key in KEYS), "seconds", "epochs"]
    assert set(found) == {*expected, *(f"{key}_std" for key in expected), "seeds"}
    assert found["seeds"] == 2
    assert found["hr@10"] > 0.8, "a ring's next item is known"
    assert found["refit_hr@10"] > 0.8
    assert found["mrr@20"] <= found["ndcg@10"] <= found["hr@10"] <= found["p@20"]
    kept = json.loads((tmp_path / "out" / "quality.json").read_text())
    assert kept["line"] == found
    assert [seed[-1].keys() for seed in kept["seeds"]] == [{"epoch", "epoch_loss", "val_ndcg@10"}] * 2
    curves, lengths = ((tmp_path / "out" / name).read_text() for name in ("epochs.svg", "history.svg"))
    assert "seed 1" in curves
    assert "seed 2" in curves
    assert "item-knn" in lengths


def test_sessions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row for row in successions(300, num_items=60, seed=2) if len(row) > 1]
    pq.write_table(pa.table({"session": rows[:200]}), tmp_path / "train_sessions.parquet")
    asked = pa.table({"prefix": [row[:-1] for row in rows[200:]], "target": [row[-1] for row in rows[200:]]})
    pq.write_table(asked, tmp_path / "test.parquet")
    found = measured(tmp_path, "sessions", capsys, seeds=1)
    assert found["p@20"] > 0.8
    assert found["p@20_std"] == 0.0


def test_what_was_seen_is_no_candidate_under_leave_one_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everybody ends with what they began with: right answers that the protocol does not take."""
    rows = [[*row, row[0]] for row in successions(100, num_items=30, seed=3) if len(row) > 2]
    (tmp_path / "people.txt").write_text("".join(f"{n} {' '.join(row)}\n" for n, row in enumerate(rows)))
    assert measured(tmp_path / "people.txt", "leave-one-out", capsys, seeds=1)["p@20"] == 0.0


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot read"):
        quality.read(tmp_path / "nothing", "leave-one-out", 1)


def test_folds_of_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_sequences(tmp_path / "part-0.parquet", successions(200, num_items=40, seed=4))
    write_sequences(tmp_path / "part-1.parquet", successions(200, num_items=40, seed=5), first_user=200)
    quality.measure(tmp_path, "rolling", load_conf(sets=SMALL), num_seeds=1, num_folds=2, exclude=None)
    out = capsys.readouterr().out
    found = json.loads(out.splitlines()[-1])
    assert (found["seeds"], found["folds"]) == (1, 2)
    assert found["hr@10"] > 0.8
    assert out.count("seed 1: ") == 2
    assert out.count("item-knn") == 4  # two tables a fold
