"""The search as a command, on a small shop's lake, with real trainings, a real study and a real MLflow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState
from tests.jobs.test_train import NIGHT, SMALL, fill, ring, wait_for

from nightjar.contracts import BadInput
from nightjar.settings import load_conf, load_tune, repository
from nightjar.stores.home import Home
from nightjar.stores.tracking import Tracking

SPACE = """
startup_trials = 2
warmup_epochs = 1
[space]
"train.learning_rate" = { low = 0.0001, high = 0.03, log = true }
"model.width" = { choices = [8, 16] }
"""


def command(folder: Path, trials: int, *more: str) -> list[str]:
    job = [sys.executable, str(repository() / "jobs" / "tune.py"), "--source", "synthetic"]
    flags = [
        flag
        for setting in (*SMALL, "train.validation_share=0.3", 'model.max_length="auto"')
        for flag in ("--set", setting)
    ]
    (folder / "space.toml").write_text(SPACE, encoding="utf-8")
    search = ["--trials", str(trials), "--space", str(folder / "space.toml"), *more]
    return [*job, "--sequences", f"synthetic/sequences/dt={NIGHT}", *search, *flags]


def environment(home: Home) -> dict[str, str]:
    paths = [str(repository() / "src"), os.environ.get("PYTHONPATH", "")]
    return os.environ | {"NIGHTJAR_HOME": str(home.root), "PYTHONPATH": os.pathsep.join(paths)}


def journal(home: Home) -> list[dict[str, Any]]:
    """What the processes wrote, one entry per change."""
    files = list((home.root / "tune" / "synthetic").glob("*.journal"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines() if line.endswith("}")]


def study_of(home: Home) -> optuna.Study:
    (file,) = (home.root / "tune" / "synthetic").glob("*.journal")
    return optuna.load_study(study_name=None, storage=JournalStorage(JournalFileBackend(str(file))))


def children(home: Home) -> dict[str, str]:
    """Trial -> how its run in MLflow ended; all of them below one run."""
    tracking = Tracking(home, "synthetic")
    runs = tracking._client().search_runs([tracking._experiment()])
    (parent,) = [run.info.run_id for run in runs if "study" in run.data.tags]
    below = [run for run in runs if run.info.run_id != parent]
    assert {run.data.tags["mlflow.parentRunId"] for run in below} == {parent}
    return {run.data.tags["trial"]: run.info.status for run in below}


@pytest.mark.slow
def test_a_search_is_killed_goes_on_in_two_processes_and_loses_no_trial(home: Home, tmp_path: Path) -> None:
    fill(home, ring(300))
    study = home.root / "tune" / "synthetic"
    process = subprocess.Popen(command(tmp_path, 5), env=environment(home), stderr=subprocess.PIPE, text=True)
    wait_for(lambda: sum("model.width" in json.dumps(entry) for entry in journal(home)) >= 2, seconds=100_000)
    process.send_signal(signal.SIGKILL)
    process.wait()
    both = [
        subprocess.Popen(
            command(tmp_path, 5, "--trial-batch", name), env=environment(home), stderr=subprocess.PIPE, text=True
        )
        for name in ("1", "2")
    ]
    said = [process.communicate()[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], "\n".join(text[-3000:] for text in said)
    assert all("max_length = 10, from the size of the data" in text for text in said)
    results = [json.loads(home.result("synthetic", NIGHT, f"tune-{name}").read_text()) for name in ("1", "2")]
    assert all(result["status"] == "done" for result in results)
    last = max((result["counts"] for result in results), key=lambda counts: counts["rows_out"])
    assert last["rows_out"] == 5
    assert 0 < last["val_ndcg@10"] <= 1

    trials = study_of(home).get_trials()
    assert [trial.state for trial in trials if not trial.state.is_finished()] == []
    (lost,) = [trial for trial in trials if trial.state == TrialState.FAIL]
    again = [trial for trial in trials if trial.number > lost.number and trial.params.items() >= lost.params.items()]
    assert len(again) == 1, "the lost trial was not done again with the same values"
    done = [tuple(trial.params.items()) for trial in trials if trial.number != lost.number]
    assert len(set(done)) == len(done) == 5, "a trial was done twice"
    runs = children(home)
    assert sorted(runs) == [str(trial.number) for trial in trials]
    assert runs[str(lost.number)] == "KILLED"

    (file,) = study.glob("*.toml")
    conf = load_conf(files=[file])
    assert conf.model.width == last["settings"]["model.width"]
    assert conf.train.learning_rate == last["settings"]["train.learning_rate"]

    once_more = subprocess.run(command(tmp_path, 5), env=environment(home), capture_output=True, text=True, check=False)
    assert once_more.returncode == 0, once_more.stderr[-3000:]
    assert json.loads(once_more.stdout.splitlines()[-1])["rows_out"] == 5
    assert len(study_of(home).get_trials()) == 6, "nothing was left to do"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("space = {}", "space"),
        ('[space]\n"train.learning_rat" = { low = 0.1, high = 0.2 }', "learning_rat"),
        ('[space]\n"train.epochs" = { low = 3, high = 2 }', "greater high"),
        ('[space]\n"train.learning_rate" = { low = 0.0, high = 0.2, log = true }', "above 0"),
        ('[space]\n"model.width" = { choices = [8], low = 1, high = 2 }', "choices"),
    ],
)
def test_a_space_that_fits_no_setting_is_refused(tmp_path: Path, text: str, word: str) -> None:
    file = tmp_path / "space.toml"
    file.write_text(f"startup_trials = 2\nwarmup_epochs = 1\n{text}\n", encoding="utf-8")
    with pytest.raises(BadInput, match=word):
        load_tune(file)
