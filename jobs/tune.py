"""Settings that suit a shop's people, searched by training with many of them.

Reads what `train` reads for the night. Each trial trains with other values of the settings in `--space` and is worth
its best validation NDCG@10; one that is behind the median of the others after as many epochs is cut short.
Writes below NIGHTJAR_HOME/tune/SHOP a study (a journal of all trials) and its best settings, a file for `--conf`; to
MLflow a run of the study and below it one per trial. No model is registered.

Safe to run twice: data, settings and space name the study, and what it has is not done again; a larger `--trials` goes
on. Safe to kill: a trial whose process is gone is done again with the same values. Any number of processes may work on
a study at a time; `--trial-batch NAME` gives each a result manifest of its own, `tune-NAME.json`, as mapped tasks need.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import optuna
import psutil
import torch
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import FrozenTrial, Trial, TrialState

from nightjar import settings
from nightjar.contracts import SEQUENCES, VOCABULARY, BadInput
from nightjar.learn.checkpoint import Checkpoint, fingerprint_of
from nightjar.learn.dataset import TrainingSet
from nightjar.learn.loop import train
from nightjar.learn.models import build
from nightjar.learn.parallel import Group
from nightjar.learn.vocabulary import Vocabulary
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake
from nightjar.stores.tracking import Tracking
from train import NOT_IN_FINGERPRINT, settled_settings

#: What counts towards `--trials`: a failed trial is one that was lost, and is done again.
_COUNTED = (TrialState.RUNNING, TrialState.COMPLETE, TrialState.PRUNED)

SPACE = settings.repository() / "conf" / "tune.toml"


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, space = Lake(job.home.lake), settings.load_tune(args.space)
    past = args.sequences.on(args.sequences.day - timedelta(days=job.conf.sequences.holdout_days))
    entries = {table.name: lake.entry(past.of(table)) for table in (SEQUENCES, VOCABULARY)}
    vocabulary = Vocabulary.from_files(entries[VOCABULARY.name].files)
    files = list(entries[SEQUENCES.name].files)
    model_conf, conf = settled_settings(job, files, vocabulary)
    census = TrainingSet(files, vocabulary, conf, max_length=model_conf.max_length).census()
    if not census.num_validation_users:
        raise BadInput("there is nobody to judge a trial by", "raise train.validation_share")
    name = fingerprint_of(
        job.conf.model.model_dump(mode="json"),
        job.conf.train.model_dump(mode="json", exclude=NOT_IN_FINGERPRINT),
        space.model_dump(mode="json"),
        [(str(entry.partition), entry.content_hash) for entry in entries.values()],
    )[:16]
    search = Search(job, model_conf, conf, space, files, vocabulary, name)
    for trial in search.trials(args.trials):
        search.run(trial)
    done = search.finished()
    best = max((trial for trial in done if trial.state == TrialState.COMPLETE), key=worth, default=None)
    if best is None:
        raise BadInput(f"none of {len(done)} trials came to an end", "narrow the space, or ask for more trials")
    file = search.folder / f"{name}.toml"
    file.write_text(as_toml(best.params), encoding="utf-8")
    job.log.info("best of %d trials: ndcg@10 %.4f with %s", len(done), worth(best), best.params)
    return {
        "rows_in": census.num_users,
        "rows_out": len(done),
        "rows_rejected": sum(trial.state != TrialState.COMPLETE for trial in done),
        "val_ndcg@10": worth(best),
        "settings": best.params,
        "file": str(file),
    }


class Search:
    """One study: its journal, its run in MLflow, its trials."""

    def __init__(
        self,
        job: Job,
        model_conf: settings.Model,
        conf: settings.Train,
        space: settings.Tune,
        files: list[str],
        vocabulary: Vocabulary,
        name: str,
    ) -> None:
        """`model_conf`, `conf`: what the trials differ from."""
        self.job, self.model_conf, self.conf, self.space = job, model_conf, conf, space
        self.files, self.vocabulary = files, vocabulary
        self.folder = job.home.root / "tune" / job.shop
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tracking = Tracking(job.home, job.shop)
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        with self.alone():
            self.parent = self.tracking.shared_run(f"tune {name}", "study", name)
            self.study = optuna.create_study(
                study_name=name,
                storage=JournalStorage(JournalFileBackend(str(self.folder / f"{name}.journal"))),
                pruner=optuna.pruners.MedianPruner(space.startup_trials, n_warmup_steps=space.warmup_epochs),
                direction="maximize",
                load_if_exists=True,
            )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process at a time decides which trial is next."""
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def trials(self, wanted: int) -> Iterator[Trial]:
        """Trials for this process, until the study has `wanted`, those of other processes counted."""
        while True:
            with self.alone():
                self._take_back()
                if len(self.study.get_trials(deepcopy=False, states=_COUNTED)) >= wanted:
                    return
                # Drawn by the trial's number: a study that was cut short goes on as it would have gone.
                seed = self.job.conf.train.seed * 1_000_003 + len(self.study.get_trials(deepcopy=False))
                self.study.sampler = optuna.samplers.TPESampler(
                    n_startup_trials=self.space.startup_trials, seed=seed % 2**32
                )
                trial = self.study.ask()
                trial.set_user_attr("process", this_process())
            yield trial

    def run(self, trial: Trial) -> None:
        """Train with the trial's values; what cannot be trained, or not to the end, is worth nothing."""
        tags = {"mlflow.parentRunId": self.parent, "trial": str(trial.number)}
        with self.tracking.start_run(f"trial {trial.number}", tags) as run_id:
            trial.set_user_attr("run", run_id)
            chosen = {name: suggested(trial, name, knob) for name, knob in self.space.space.items()}
            self.tracking.log_params(run_id, chosen)
            try:
                value = self._trained(trial, run_id, chosen)
            except optuna.TrialPruned as reason:
                self.study.tell(trial, state=TrialState.PRUNED)
                self.job.log.info("trial %d: %s with %s", trial.number, reason, chosen)
                self.tracking.log_metrics(run_id, {"pruned": 1.0})
                return
            self.tracking.log_metrics(run_id, {"best_val_ndcg@10": value})
        self.study.tell(trial, value)
        self.job.log.info("trial %d: ndcg@10 %.4f with %s", trial.number, value, chosen)

    def finished(self) -> list[FrozenTrial]:
        """Trials that came to an end, also to an early one."""
        return self.study.get_trials(states=(TrialState.COMPLETE, TrialState.PRUNED))

    def _trained(self, trial: Trial, run_id: str, chosen: Mapping[str, Any]) -> float:
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

        def log(step: int, metrics: dict[str, float]) -> None:
            if "val_ndcg@10" not in metrics:
                return
            epoch = int(metrics["epoch"])
            self.tracking.log_metrics(run_id, metrics, step=epoch)
            trial.report(metrics["val_ndcg@10"], epoch)
            if trial.should_prune():
                raise optuna.TrialPruned(f"cut after epoch {epoch}, ndcg@10 {metrics['val_ndcg@10']:.4f}")

        try:
            model_conf = changed(self.model_conf, "model", chosen)
            conf = changed(self.conf, "train", chosen)
            data = TrainingSet(self.files, self.vocabulary, conf, max_length=model_conf.max_length)
            torch.manual_seed(conf.seed)
            model = build(model_conf, self.vocabulary.size)
            progress = train(model, data, conf, group=Group(device), log=log, save=_keep_nothing)
        except BadInput as error:
            raise optuna.TrialPruned(error.problem) from error
        assert progress.best_ndcg is not None, asdict(progress)
        return progress.best_ndcg

    def _take_back(self) -> None:
        """Have trials done again whose process is gone."""
        for trial in self.study.get_trials(states=(TrialState.RUNNING,)):
            if is_gone(trial.user_attrs.get("process", "")):
                self.study.tell(trial.number, state=TrialState.FAIL)
                self.study.enqueue_trial(trial.params)
                if "run" in trial.user_attrs:
                    self.tracking.end_lost_run(trial.user_attrs["run"])


def suggested(trial: Trial, name: str, knob: settings.Knob) -> Any:
    """The trial's value of one setting."""
    if knob.choices:
        return trial.suggest_categorical(name, list(knob.choices))
    assert knob.low is not None, name
    assert knob.high is not None, name
    if knob.whole:
        return trial.suggest_int(name, int(knob.low), int(knob.high), log=knob.log)
    return trial.suggest_float(name, knob.low, knob.high, log=knob.log)


def changed(section: Any, prefix: str, chosen: Mapping[str, Any]) -> Any:
    """A section of the settings with the chosen values, checked as if they had come from a file."""
    mine = {name.partition(".")[2]: value for name, value in chosen.items() if name.partition(".")[0] == prefix}
    try:
        return type(section).model_validate({**section.model_dump(mode="json"), **mine})
    except ValueError as error:
        raise BadInput(f"[{prefix}] does not allow {mine}: {error}", "mend the space, conf/tune.toml") from error


def worth(trial: FrozenTrial) -> float:
    assert trial.value is not None
    return trial.value


def as_toml(chosen: Mapping[str, Any]) -> str:
    """Settings by dotted name as a file for `--conf`."""
    sections: dict[str, list[str]] = {}
    for name, value in chosen.items():
        section, _, key = name.partition(".")
        sections.setdefault(section, []).append(f"{key} = {json.dumps(value)}")  # the same text in both languages
    return "\n".join(f"[{section}]\n" + "\n".join(lines) + "\n" for section, lines in sections.items())


def this_process() -> str:
    """Host, number and start of this process: numbers come again."""
    return f"{socket.gethostname()} {os.getpid()} {psutil.Process().create_time()}"


def is_gone(process: str) -> bool:
    """Whether a process of this host has ended; of another host's nothing is known."""
    host, number, started = process.split(" ") if process.count(" ") == 2 else ("", "0", "0")
    if host != socket.gethostname():
        return False
    try:
        return abs(psutil.Process(int(number)).create_time() - float(started)) > 1
    except psutil.NoSuchProcess:
        return True


def _keep_nothing(checkpoint: Checkpoint) -> None:
    """A trial that is cut short is begun again."""


def parser() -> argparse.ArgumentParser:
    found = arguments(__doc__, sequences="the night: shop/sequences/dt=DAY")
    found.add_argument("--trials", type=_number, default=20, help="of the study, over all processes and times (20)")
    found.add_argument("--space", type=Path, default=SPACE, help="what is searched (default: conf/tune.toml)")
    found.add_argument("--trial-batch", default="", metavar="NAME", help="one of several processes at a time")
    return found


def _number(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is no number from 1 up")
    return int(text)


def job_name(argv: list[str]) -> str:
    """`tune`, or `tune-NAME` of a batch: each has a result manifest."""
    batch = argparse.ArgumentParser(add_help=False)
    batch.add_argument("--trial-batch", default="")
    name = str(batch.parse_known_args(argv)[0].trial_batch)
    return f"tune-{name}" if name.isalnum() else "tune"


if __name__ == "__main__":
    run(job_name(sys.argv[1:]), parser(), main)
