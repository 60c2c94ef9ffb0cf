"""`bench-learn` end to end on a small file: what its lines say, and how ratios are made of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs.bench import learn
from jobs.bench.learn_shared import Clock, Enough, histories
from jobs.ops import setup

from nightjar.settings import repository

RATIOS = ["rate_vs_rectools_softmax", "rate_vs_rectools_sampled", "rate_vs_recbole", "time_to_quality_vs_rectools"]


def people(file: Path) -> Path:
    """300 walks round a ring of 60 items."""
    random = np.random.default_rng(1)
    walks = [(start + np.arange(length)) % 60 for start, length in random.integers([0, 4], [60, 12], (300, 2))]
    file.write_text("".join(f"{user} {' '.join(map(str, walk))}\n" for user, walk in enumerate(walks)))
    return file


def test_all_contenders_on_the_same_small_file(tmp_path: Path) -> None:
    options = ["--data", str(people(tmp_path / "ring.txt")), "--steps", "4", "--epochs", "2", "--cores", "1"]
    command = [sys.executable, "-m", "jobs.bench.learn", *options, "--precision", "float32"]
    environment = {**os.environ, "NIGHTJAR_HOME": str(tmp_path / "home")}
    done = subprocess.run(command, cwd=repository(), env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    floor, *lines, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert (floor["step"], floor["num_items"], floor["operations_per_target"]) == ("floor", 60, 6 * 60 * 64)
    assert floor["users_per_second"] > 0
    ours = {(line["what"], line["loss"]): line for line in lines if line["step"] == "ours"}
    assert sorted(ours) == [
        *(("quality", "softmax"), ("rate", "sampled_softmax")),
        *(("rate", "softmax"), ("score", "softmax")),
    ]
    assert ours["rate", "softmax"]["steps"] == 7
    assert len(ours["quality", "softmax"]["epochs"]) == 2
    assert ours["quality", "softmax"]["epochs"][1]["ndcg"] > 0
    score = ours["score", "softmax"]["users_per_second"]
    assert last["score_vs_floor"] == pytest.approx(score / floor["users_per_second"], abs=0.001)
    assert last["peak_gib"] > 0
    for name, peer in (("rectools", setup.RECTOOLS), ("recbole", setup.RECBOLE)):
        theirs = [line for line in lines if line["step"] == name]
        assert all(("skipped" in line) != setup.is_complete(peer) for line in theirs), name
        for ratio in RATIOS:
            assert name not in ratio or setup.is_complete(peer) or last[ratio] is None
    kept = json.loads((tmp_path / "home" / "bench" / "results" / "learn.json").read_text())
    assert kept["comparison"] == last


def quality(step: str, run: int, *epochs: tuple[float, float]) -> dict[str, Any]:
    said = [{"seconds": seconds, "ndcg": ndcg} for seconds, ndcg in epochs]
    return {"step": step, "what": "quality", "loss": "softmax", "run": run, "epochs": said}


def test_time_to_quality_is_ours_until_their_best() -> None:
    theirs = quality("rectools", 1, (100.0, 0.02), (200.0, 0.05), (300.0, 0.04))
    assert learn.time_to_quality([theirs, quality("ours", 1, (5.0, 0.04), (10.0, 0.05), (15.0, 0.06))]) == 0.05
    assert learn.time_to_quality([theirs, quality("ours", 1, (5.0, 0.04), (10.0, 0.049))]) is None
    assert learn.time_to_quality([quality("ours", 1, (5.0, 0.04))]) is None


def test_the_clock_leaves_out_the_first_steps_and_what_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps of 1, 1, 1, 2 and 3 seconds with a pause of 50 before the last."""
    times = iter([0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0, 5.0, 5.0, 55.0, 58.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(times))
    clock = Clock(2)
    for _ in range(4):
        clock.step(10)
    clock.skip()
    with pytest.raises(Enough):
        clock.step(30)
    assert clock.said() == {"targets_per_second": 40 / 5, "steps": 5, "seconds": 5.0}


def test_people_with_too_few_items_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "people.txt").write_text("1 a b c d\n2 a b c\n3 d c b a e\n")
    assert histories(tmp_path / "people.txt") == [["a", "b", "c", "d"], ["d", "c", "b", "a", "e"]]
