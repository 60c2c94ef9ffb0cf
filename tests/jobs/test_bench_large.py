"""The benchmark of large models, with the large model's settings at a small width."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from jobs.bench.large import flops_per_entry

from nightjar.learn.models import build
from nightjar.settings import load_conf, repository

LARGE = repository() / "conf" / "models" / "hstu-large.toml"
SMALL = ["model.width=16", "model.num_blocks=2", "model.max_length=16", "train.num_negatives=8"]


def test_the_large_model_has_a_hundred_million_weights_beside_its_items() -> None:
    conf = load_conf(files=[LARGE])
    with torch.device("meta"):
        model = build(conf.model, 1000)
    assert sum(p.numel() for p in model.parameters()) - model.item_table().numel() >= 100_000_000
    assert (conf.train.recompute, conf.train.compile, conf.train.model_precision) == (True, True, "bfloat16")


def test_operations_by_hand() -> None:
    conf = load_conf(files=[LARGE], sets=SMALL)
    # 6 per weight, 12 * 2 blocks * 16 entries * 16 wide, 6 * (8 negatives and the target) * 16 wide.
    assert flops_per_entry(conf, num_weights=1000, num_items=200) == 6000 + 6144 + 864


def test_it_runs_and_says_what_a_step_costs(tmp_path: Path) -> None:
    options = ["--conf", str(LARGE), "--steps", "2", "--items", "200", "--set", " ".join(SMALL)]
    done = subprocess.run(
        [sys.executable, "-m", "jobs.bench.large", *options],
        cwd=repository(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    line = json.loads(done.stdout.splitlines()[-1])
    assert line["steps"] == 2
    assert line["first_loss"] == pytest.approx(math.log(200), abs=0.3)  # what the sample estimates: one of all items
    assert line["entries_per_second"] == pytest.approx(2 * 16 / line["seconds_per_step"], rel=0.05)
    assert 0 < line["share_of_matmul"] < 1
    assert line["peak_gib"] > 0
