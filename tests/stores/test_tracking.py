"""Against a real MLflow on SQLite in a home of its own."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from nightjar import settings
from nightjar.contracts import BadInput
from nightjar.stores.home import Home
from nightjar.stores.tracking import ModelVersion, Tracking, digest_of

DAY = date(2001, 1, 15)


def saved(folder: Path, *, seed: int = 1) -> Path:
    """A small trained model's files."""
    import torch

    from nightjar.learn.checkpoint import save_model
    from nightjar.learn.models import build
    from nightjar.learn.vocabulary import Vocabulary

    conf = settings.Model(name="sasrec", width=8, num_blocks=1, num_heads=1, max_length=4, dropout=0.1)
    vocabulary = Vocabulary(("owl", "nightjar", "bat"))
    torch.manual_seed(seed)
    save_model(folder, build(conf, vocabulary.size), conf, vocabulary)
    return folder


def logged(tracking: Tracking, folder: Path, *, fingerprint: str = "f1") -> ModelVersion:
    with tracking.start_run("night") as run_id:
        return tracking.log_model(
            run_id, folder, as_of=DAY, fingerprint=fingerprint, input_example={"item_ids": [["owl", "bat"]]}
        )


def test_nothing_is_known_and_nothing_is_created_before_the_first_run(home: Home) -> None:
    tracking = Tracking(home, "owls")
    assert tracking.champion() is None
    assert tracking.find("f1") is None
    assert not home.mlflow.exists()


def test_a_model_goes_in_and_comes_out(home: Home, tmp_path: Path) -> None:
    tracking, folder = Tracking(home, "owls"), saved(tmp_path / "trained")
    first = logged(tracking, folder)
    assert (first.name, first.version, first.as_of) == ("nightjar_owls", "1", DAY)
    assert first.digest == digest_of(folder)
    assert abs((datetime.now(UTC) - first.created).total_seconds()) < 60
    assert tracking.version("1") == first
    assert tracking.find("f1") == first
    assert tracking.find("f2") is None
    assert tracking.champion() is None, "logging promotes nothing"

    second = logged(tracking, saved(tmp_path / "again", seed=2), fingerprint="f2")
    assert second.version == "2"
    tracking.promote(first)
    tracking.promote(second)
    tracking.promote("2")
    assert tracking.champion() == second
    assert Tracking(home, "bats").champion() is None, "another shop's champion"
    with pytest.raises(BadInput, match="no version 3 of nightjar_owls"):
        tracking.version("3")

    downloaded = tracking.download(first)
    assert {path.name: path.read_bytes() for path in downloaded.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    assert downloaded.is_relative_to(home.mlflow), "local files are not copied"
    check_no_pickle(home)
    check_served_elsewhere(home, folder)

    (downloaded / "weights.safetensors").write_bytes(b"other")
    with pytest.raises(BadInput, match="have changed"):
        tracking.download("1")
    for path in downloaded.iterdir():
        path.unlink()
    downloaded.rmdir()
    with pytest.raises(BadInput, match="are gone"):
        tracking.download("1")


def check_no_pickle(home: Home) -> None:
    names = {path.name for path in (home.mlflow / "artifacts").rglob("*") if path.is_file()}
    assert {"weights.safetensors", "served_model.py", "MLmodel", "input_example.json"} <= names
    assert not {name for name in names if name.endswith((".pkl", ".pickle", ".pt", ".pth", ".bin", ".pyc"))}


def check_served_elsewhere(home: Home, folder: Path) -> None:
    """Another process without this checkout on its path gets the oracle's ranking."""
    import torch

    from nightjar.learn.batch import Batch
    from nightjar.learn.checkpoint import load_model

    code = (
        "import json, mlflow, pandas as pd, sys\n"
        f"mlflow.set_tracking_uri('sqlite:///{home.mlflow}/mlflow.db')\n"
        "model = mlflow.pyfunc.load_model('models:/nightjar_owls/1')\n"
        "found = model.predict(pd.DataFrame({'item_ids': [['moth', 'owl', 'bat'], ['moth'], []]}), params={'k': 2})\n"
        "print(json.dumps([found['item_ids'].tolist(), found['scores'].tolist()]))\n"
    )
    environment = {"PATH": "/usr/bin:/bin", "MLFLOW_DISABLE_TELEMETRY": "true"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=home.root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    items, scores = json.loads(done.stdout.strip().splitlines()[-1])
    loaded = load_model(folder)
    history = torch.tensor([[1, 3]])
    with torch.no_grad():
        state = loaded.model.encode(Batch(history, history, history, torch.tensor([2])))[0, 1]
        best = (loaded.model.item_table()[1:] @ state).sort(descending=True)
    assert items == [[("owl", "nightjar", "bat")[int(i)] for i in best.indices[:2]], [], []]
    assert scores[0] == pytest.approx(best.values[:2].tolist(), abs=1e-6)


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory) -> Tracking:
    """One database for several tests: making one takes seconds."""
    return Tracking(Home(tmp_path_factory.mktemp("home")), "owls")


def test_a_run_keeps_params_metrics_and_files(tracking: Tracking) -> None:
    with tracking.start_run("night", {"day": "2001-01-15"}) as run_id:
        tracking.log_params(run_id, {"model.width": 64, "train.seed": 1})
        tracking.log_steps(run_id, [(step, {"loss": 1.0 / step}) for step in range(1, 2502)])
        tracking.log_steps(run_id, [(7, {"val_ndcg@10": 0.5}), (7, {"val_ndcg@10": 0.25})])
        tracking.log_metrics(run_id, {"holdout/ndcg@10": 0.125})
        tracking.log_dict(run_id, {"deep": {"er": [1, 2]}}, "manifest.json")
    client = tracking._client()
    run: Any = client.get_run(run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params == {"model.width": "64", "train.seed": "1"}
    assert {"shop": "owls", "day": "2001-01-15"}.items() <= run.data.tags.items()
    history = sorted((metric.step, metric.value) for metric in client.get_metric_history(run_id, "loss"))
    assert history == [(step, 1.0 / step) for step in range(1, 2502)]
    assert run.data.metrics["val_ndcg_10"] == 0.25
    assert run.data.metrics["holdout/ndcg_10"] == 0.125
    file = next((tracking.folder / "artifacts").rglob("manifest.json"))
    assert json.loads(file.read_text()) == {"deep": {"er": [1, 2]}}


def test_a_run_that_raises_has_failed(tracking: Tracking) -> None:
    ids = []

    def fail() -> None:
        with tracking.start_run("night") as run_id:
            ids.append(run_id)
            raise RuntimeError("no power")

    with pytest.raises(RuntimeError, match="no power"):
        fail()
    assert tracking._client().get_run(ids[0]).info.status == "FAILED"


def test_torch_and_mlflow_are_not_imported_with_the_module() -> None:
    code = "import sys, nightjar.stores.tracking; print({'torch', 'mlflow', 'pandas'} & set(sys.modules))"
    root = Path(__file__).parents[2]
    environment = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(root / "src")}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.slow
def test_a_server_holds_what_the_file_would(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store, kept = tmp_path / "server.db", tmp_path / "kept"
    argv = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    argv += ["--backend-store-uri", f"sqlite:///{store}", "--artifacts-destination", kept.as_uri()]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as server:
        try:
            monkeypatch.setenv("NIGHTJAR_MLFLOW_URI", f"http://127.0.0.1:{port}")
            tracking, folder = Tracking(home, "owls"), saved(tmp_path / "trained")
            wait_for(port)
            assert tracking.champion() is None
            assert tracking.find("f1") is None
            version = logged(tracking, folder)
            tracking.promote(version)
            assert tracking.champion() == tracking.find("f1") == version
            copied = tracking.download(version)
            assert copied.is_relative_to(home.mlflow), "where executors of a cluster read it too"
            assert digest_of(copied) == version.digest
            assert tracking.download("1") == copied, "copied once"
            assert list(kept.rglob("weights.safetensors")), "the server keeps the files"
            assert not (home.mlflow / "mlflow.db").exists()
            (copied / "weights.safetensors").write_bytes(b"other")
            with pytest.raises(BadInput, match="have changed"):
                tracking.download(version)
        finally:
            server.terminate()


def wait_for(port: int, seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.2)
    raise AssertionError(f"nobody listens at {port} after {seconds} s")
