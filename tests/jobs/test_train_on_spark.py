"""The training's processes as tasks of a standalone Spark cluster: the same worker, also when one of them is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from tests.jobs.spark_cluster import cluster
from tests.jobs.test_train import NIGHT, command, fill, ring, steps, wait_for

from nightjar.stores.home import Home

pytestmark = [pytest.mark.spark, pytest.mark.slow]


def workers_of(folder: Path) -> list[int]:
    """Process ids of this plan's workers, without the torchrun above each."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode().split("\0")
        except OSError:
            continue
        if str(folder / "plan.json") in words and "torch" not in " ".join(words[:4]):
            found.append(int(path.parent.name))
    return found


def test_two_tasks_train_as_two_processes_do_and_a_killed_one_is_replaced(home: Home, tmp_path: Path) -> None:
    fill(home, ring(300))
    folder = home.result("synthetic", NIGHT, "train").with_suffix("")
    small = ["train.processes=2", "train.epochs=12", "train.patience_epochs=12", "train.checkpoint_every_steps=3"]
    with cluster(tmp_path / "cluster", num_workers=2) as started:
        environment = started.environment | {"NIGHTJAR_HOME": str(home.root)}
        sets = [*small, "train.launcher='spark'", f"spark.master='{started.url}'", "spark.driver_memory_gib=1"]
        process = subprocess.Popen(command(*sets), env=environment, stderr=subprocess.PIPE, text=True)
        wait_for(lambda: steps(folder) >= 10 or process.poll() is not None, seconds=100_000)
        alive = workers_of(folder)
        if alive:
            os.kill(alive[0], signal.SIGKILL)
        log = process.communicate()[1]
        result = json.loads(home.result("synthetic", NIGHT, "train").read_text())
        assert process.returncode == 0, log[-4000:]
        assert len(alive) == 2, alive
        assert started.log().count("Registered app nightjar") == 1
    assert "attempt 2" in log
    assert result["counts"]["epochs"] == 12

    environment = os.environ | {"NIGHTJAR_HOME": str(home.root)}
    here = subprocess.run(
        command(*small, "train.force=true"), env=environment, capture_output=True, text=True, check=False
    )
    assert here.returncode == 0, here.stderr[-4000:]
    again = json.loads(home.result("synthetic", NIGHT, "train").read_text())
    assert again["counts"]["val_ndcg@10"] == pytest.approx(result["counts"]["val_ndcg@10"], abs=1e-3)
