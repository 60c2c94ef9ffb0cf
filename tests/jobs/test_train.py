"""The job as a command, on a small shop's lake, with real workers and a real MLflow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from nightjar.contracts import SEQUENCES, VOCABULARY, Table
from nightjar.contracts.render import arrow_schema
from nightjar.learn.checkpoint import load_model
from nightjar.settings import repository
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake
from nightjar.stores.tracking import Tracking

NIGHT, PAST = date(2001, 1, 15), date(2001, 1, 12)  # holdout_days = 3
START = int(datetime(2001, 1, 1, 19, tzinfo=UTC).timestamp())
SMALL = ["model.width=16", "model.num_blocks=1", "train.epochs=4", "train.batch_users=32", "train.learning_rate=0.01"]
RING = [f"i{number}" for number in range(40)]


def ring(num_users: int) -> list[list[str]]:
    """Histories that walk round a ring of items; one item of each is unknown to the vocabulary."""
    random = np.random.default_rng(1)
    starts, lengths = random.integers(0, 40, num_users), random.integers(2, 10, num_users)
    walks = [[RING[(s + n) % 40] for n in range(length)] for s, length in zip(starts, lengths, strict=True)]
    return [["nobody", *walk] for walk in walks]


def write(home: Home, table: Table, rows: list[dict[str, Any]], day: date) -> None:
    lake = Lake(home.lake)
    arrow = pa.Table.from_pylist([{**row, "dt": day} for row in rows], arrow_schema(table))
    lake.commit([lake.stage_arrow(arrow, table, "synthetic", "test", days=[day])])


def fill(home: Home, histories: Sequence[Sequence[str]], *, day: date = PAST) -> None:
    write(
        home,
        SEQUENCES,
        [
            {
                "user_id": f"{number:016x}",
                "item_ids": list(items),
                "event_ts": [START + 60 * place for place in range(len(items))],
                "num_events": len(items),
                "last_platform": "web",
                **dict.fromkeys(
                    ("kinds", "platforms", "session_ordinals", "price_buckets", "category_codes"), [1] * len(items)
                ),
            }
            for number, items in enumerate(histories)
        ],
        day,
    )
    words = [{"item_id": item, "item_index": place + 1, "num_events": 9} for place, item in enumerate(RING)]
    write(home, VOCABULARY, words, day)


def command(*sets: str, night: date = NIGHT, more: Sequence[str] = ()) -> list[str]:
    job = [sys.executable, str(repository() / "jobs" / "train.py"), "--source", "synthetic"]
    flags = [flag for setting in (*SMALL, *sets) for flag in ("--set", setting)]
    return [*job, "--sequences", f"synthetic/sequences/dt={night}", *flags, *more]


def environment(home: Home) -> dict[str, str]:
    return os.environ | {"NIGHTJAR_HOME": str(home.root), "PYTHONPATH": str(repository() / "src")}


def train(
    home: Home, *sets: str, night: date = NIGHT, more: Sequence[str] = (), manifest: str = "train"
) -> tuple[int, dict[str, Any], str]:
    """Exit code, result manifest and standard error."""
    argv = command(*sets, night=night, more=more)
    done = subprocess.run(argv, env=environment(home), capture_output=True, text=True, timeout=300, check=False)
    return done.returncode, json.loads(home.result("synthetic", night, manifest).read_text()), done.stderr


@pytest.mark.slow
def test_a_night_trains_once_and_logs_everything(home: Home) -> None:
    fill(home, ring(300))
    code, result, log = train(home)
    assert code == 0, log
    counts = result["counts"]
    assert counts["trained"] is True
    assert (counts["rows_in"], counts["rows_rejected"], counts["model_version"]) == (300, 300, "1")
    assert counts["reason"] == "there is no champion"
    assert counts["epochs"] == 4
    assert 0.3 < counts["val_ndcg@10"] <= 1
    assert counts["targets_per_second"] > 0
    assert "epoch 4: loss" in log
    assert not home.result("synthetic", NIGHT, "train").with_suffix("").exists(), "the checkpoint folder stays"

    tracking = Tracking(home, "synthetic")
    version = tracking.version("1")
    assert version.as_of == PAST
    assert counts["mlflow_page"] == f"experiments/1/runs/{version.run_id}"
    assert tracking.champion() is None
    loaded = load_model(tracking.download(version))
    assert loaded.vocabulary.items == tuple(RING)
    check_run(tracking, version.run_id, home)

    code, again, _ = train(home)
    assert code == 0
    assert again["counts"]["trained"] is False
    assert again["counts"]["model_version"] == "1"
    assert "same data and settings" in again["counts"]["reason"]

    tracking.promote(version)
    check_policy(home)


def check_run(tracking: Tracking, run_id: str, home: Home) -> None:
    client = tracking._client()
    run = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["model.width"] == "16"
    losses = sorted((metric.step, metric.value) for metric in client.get_metric_history(run_id, "loss"))
    assert [step for step, _ in losses] == list(range(1, len(losses) + 1))
    assert losses[0][1] == pytest.approx(np.log(40), abs=0.2)
    assert len(client.get_metric_history(run_id, "val_ndcg_10")) == 4
    files = {path.name: path for path in (home.mlflow / "artifacts" / run_id / "artifacts").iterdir()}
    data = json.loads(files["data.json"].read_text())
    assert data["tables"]["sequences"]["partition"] == f"synthetic/sequences/dt={PAST}"
    assert data["tables"]["sequences"]["num_rows"] == 300
    assert len(data["tables"]["sequences"]["content_hash"]) == 32
    assert json.loads(files["config.json"].read_text())["train"]["epochs"] == 4
    assert {"torch", "mlflow"} <= set(json.loads(files["environment.json"].read_text())["packages"])


def check_policy(home: Home) -> None:
    """Other nights' data, with a champion as of PAST."""
    later, much_later = date(2001, 1, 22), date(2001, 1, 23)
    fill(home, ring(20), day=date(2001, 1, 19))
    fill(home, ring(20), day=date(2001, 1, 20))
    code, result, _ = train(home, night=later)  # 7 days old
    assert (code, result["counts"]["trained"]) == (0, False)
    assert result["counts"]["reason"] == "the champion is at most 7 days old"
    assert result["counts"]["model_version"] is None
    _, result, _ = train(home, night=much_later, more=("--when", "missing"))
    assert result["counts"]["reason"] == "there is a champion; the DAG training keeps it young"
    young = "train.drift_age_days=8"
    _, result, _ = train(home, young, night=much_later, more=("--when", "drift"))
    assert result["counts"]["reason"] == "the champion is at most 8 days old: it has seen what drifted"
    code, result, _ = train(home, night=much_later)  # 8 days old
    assert (code, result["counts"]["trained"], result["counts"]["model_version"]) == (0, True, "2")
    assert result["counts"]["reason"] == "the champion is 8 days old"
    asked = {"drift": "the night drifted, and the champion is 7 days old", "now": "it was asked for"}
    for rate, (when, reason) in enumerate(asked.items(), start=1):
        more = ("--when", when, "--prefix", "training-")
        code, beside, _ = train(
            home, f"train.learning_rate=0.0{rate}", night=later, more=more, manifest="training-train"
        )
        assert (code, beside["counts"]["trained"], beside["counts"]["reason"]) == (0, True, reason)
    assert not json.loads(home.result("synthetic", later, "train").read_text())["counts"]["trained"], "the night's own"


@pytest.mark.slow
def test_a_killed_job_leaves_no_worker_and_the_next_run_resumes(home: Home) -> None:
    fill(home, ring(300))
    folder = home.result("synthetic", NIGHT, "train").with_suffix("")
    slow = ["train.epochs=40", "train.patience_epochs=40", "train.checkpoint_every_steps=3"]
    for number in (signal.SIGTERM, signal.SIGKILL):
        process = subprocess.Popen(command(*slow), env=environment(home), stderr=subprocess.DEVNULL)
        before = steps(folder)
        wait_for(lambda before=before: steps(folder) >= before + 5)
        process.send_signal(number)
        assert process.wait(60) == (2 if number == signal.SIGTERM else -number)
        wait_for(lambda: not workers_of(folder))
    assert (folder / "checkpoint.safetensors").exists()
    done = steps(folder)
    code, result, log = train(home, *slow, "train.force=true", "train.processes=1")
    assert "resumed at epoch" in log
    assert code == 0, log
    assert result["counts"]["epochs"] == 40
    assert done >= 10


def steps(folder: Path) -> int:
    file = folder / "metrics.jsonl"
    return file.read_text().count("\n") if file.exists() else 0


def workers_of(folder: Path) -> list[str]:
    """Command lines of running workers of this plan."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
        if str(folder / "plan.json") in line:
            found.append(line)
    return found


def wait_for(condition: Any, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def test_no_data_is_bad_input(home: Home) -> None:
    code, result, log = train(home)
    assert (code, result["failure"]) == (1, "bad_data")
    assert f"no partition synthetic/sequences/dt={PAST}" in log
    fill(home, ring(3))
    for file in Lake(home.lake).files(SEQUENCES.at("synthetic", PAST)):
        Path(file).unlink()
    code, result, log = train(home)
    assert (code, result["failure"]) == (1, "bad_data")
    assert "cannot read" in log


@pytest.mark.parametrize("histories", [[], [["i1"]], [["nobody", "i1", "stranger"]]])
def test_nothing_to_learn_from_is_said(home: Home, histories: list[list[str]]) -> None:
    fill(home, histories)
    code, result, log = train(home)
    assert code == 0, log
    assert result["counts"]["trained"] is False
    assert result["counts"]["reason"] == "nobody has two known items in the training window"


def test_one_user_is_enough(home: Home) -> None:
    fill(home, [["i1", "i2", "i3"]])
    code, result, log = train(home, "train.validation_share=0.0")
    assert code == 0, log
    assert result["counts"]["rows_out"] == 2 * 4  # two targets, four epochs
    assert result["counts"]["val_ndcg@10"] is None


def test_a_loss_that_explodes_is_not_retried(home: Home) -> None:
    fill(home, ring(100))
    code, result, log = train(home, "train.learning_rate=1e30")
    assert (code, result["failure"]) == (1, "bad_data"), log
    assert "lower train.learning_rate" in result["error"]
    tracking = Tracking(home, "synthetic")
    (run,) = tracking._client().search_runs([tracking._experiment()])
    assert run.info.status == "FAILED"
