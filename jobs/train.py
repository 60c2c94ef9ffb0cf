"""Histories to a candidate model, when the policy says that one is due.

Reads `sequences` and `vocabulary` as of `holdout_days` before the night. Writes a run with a new
version of the shop's registered model to MLflow; the alias `champion` is not touched. `train.force` asks for it, and
`--when` says when else: `due`, without a champion or with one older than `train.max_age_days`; `missing`, without one
only; `drift`, also with one older than `train.drift_age_days`; `now`.
Safe to run twice: data and settings that were trained before give the version of then. Safe to kill:
workers keep a checkpoint beside the result manifest. If one of them dies, all are started again from it, up to
`train.max_restarts` times; if the job dies, the next run of the night goes on from it.

Started with `--worker PLAN` by torchrun, here, on other hosts or in tasks of a Spark cluster (`train.launcher`), the
same file is one process of the training.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import date, timedelta
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import torch

from nightjar import settings
from nightjar.contracts import SEQUENCES, VOCABULARY, BadInput, Partition
from nightjar.learn.checkpoint import Checkpoint, Progress, fingerprint_of, save_model
from nightjar.learn.dataset import Census, TrainingSet
from nightjar.learn.layout import gathered
from nightjar.learn.loop import train
from nightjar.learn.models import build
from nightjar.learn.parallel import TORCHRUN_ENVIRONMENT, Group, end_process, process_group
from nightjar.learn.recipe import settled
from nightjar.learn.vocabulary import Vocabulary
from nightjar.stores.environment import describe
from nightjar.stores.files import write_json
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Entry, Lake
from nightjar.stores.tracking import REQUIREMENTS, ModelVersion, Tracking

#: Settings that say when, where or how safely to train; they change no weight.
NOT_IN_FINGERPRINT = {
    "processes",
    "max_age_days",
    "drift_age_days",
    "checkpoint_every_steps",
    "launcher",
    "max_restarts",
    "sharding",
    "recompute",
    "compile",
    "force",
}


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, tracking = Lake(job.home.lake), Tracking(job.home, job.shop)
    past = args.sequences.on(args.sequences.day - timedelta(days=job.conf.sequences.holdout_days))
    entries = {table.name: lake.entry(past.of(table)) for table in (SEQUENCES, VOCABULARY)}
    folder = job.result(args.sequences.day, "train").with_suffix("")
    fingerprint = fingerprint_of(
        job.conf.model.model_dump(mode="json"),
        job.conf.train.model_dump(mode="json", exclude=NOT_IN_FINGERPRINT),
        [(str(entry.partition), entry.content_hash) for entry in entries.values()],
    )
    same = tracking.find(fingerprint)
    if same is not None and not job.conf.train.force:
        shutil.rmtree(folder, ignore_errors=True)
        return not_trained(f"version {same.version} was trained with the same data and settings", same)
    reason = why_due(job.conf.train, tracking.champion(), past.day, args.when)
    if reason is None:
        return not_trained(WHY_NOT[args.when].format(**job.conf.train.model_dump()))
    plan = planned(job, entries, folder, fingerprint)
    census = training_set(plan, *plan_settings(plan)).census()
    if not census.num_targets:
        return not_trained("nobody has two known items in the training window")
    job.log.info("training, because %s: %s", reason, asdict(census))
    outcome, version = recorded_training(job, tracking, plan, entries, census, past)
    shutil.rmtree(folder)
    return {
        "rows_in": census.num_users,
        "rows_out": outcome["num_targets"],
        "rows_rejected": census.num_unknown,
        "trained": True,
        "reason": reason,
        "model_version": version.version,
        "mlflow_page": tracking.page(version.run_id),
        "val_ndcg@10": outcome["best_ndcg"],
        "epochs": outcome["epoch"],
        "restarts": outcome["restarts"],
        "targets_per_second": outcome["targets_per_second"],
    }


# -- policy


WHENS = ("due", "missing", "drift", "now")

#: What is said where there is no reason to train.
WHY_NOT = {
    "due": "the champion is at most {max_age_days} days old",
    "missing": "there is a champion; the DAG training keeps it young",
    "drift": "the champion is at most {drift_age_days} days old: it has seen what drifted",
}


def why_due(conf: settings.Train, champion: ModelVersion | None, as_of: date, when: str) -> str | None:
    """The reason to train with data up to `as_of`; None when there is none."""
    if conf.force:
        return "train.force asks for it"
    if champion is None:
        return "there is no champion"
    age_days = (as_of - champion.as_of).days
    if when == "now":
        return "it was asked for"
    if when == "drift" and age_days > conf.drift_age_days:
        return f"the night drifted, and the champion is {age_days} days old"
    if when == "due" and age_days > conf.max_age_days:
        return f"the champion is {age_days} days old"
    return None


def not_trained(reason: str, version: ModelVersion | None = None) -> dict[str, Any]:
    number = version and version.version
    counts = {"rows_in": 0, "rows_out": 0, "rows_rejected": 0}
    return {**counts, "trained": False, "reason": reason, "model_version": number}


# -- the launcher


def planned(job: Job, entries: dict[str, Entry], folder: Path, fingerprint: str) -> dict[str, Any]:
    """Everything the workers need, written where they find it; leftovers of another training go."""
    path = folder / "plan.json"
    if path.exists() and json.loads(path.read_text(encoding="utf-8"))["fingerprint"] != fingerprint:
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, files = Vocabulary.from_files(entries[VOCABULARY.name].files), list(entries[SEQUENCES.name].files)
    vocabulary.save(folder / "vocabulary.json")
    model, train = settled_settings(job, files, vocabulary)
    plan = {
        "folder": str(folder),
        "fingerprint": fingerprint,
        "files": files,
        "model": model.model_dump(mode="json"),
        "train": train.model_dump(mode="json"),
    }
    write_json(path, plan)
    return plan


def plan_vocabulary(plan: dict[str, Any]) -> Vocabulary:
    return Vocabulary.load(Path(plan["folder"]) / "vocabulary.json")


def settled_settings(job: Job, files: list[str], vocabulary: Vocabulary) -> tuple[settings.Model, settings.Train]:
    """The job's, with a value in the place of each "auto"; says which."""
    model, train = settled(job.conf.model, job.conf.train, files, vocabulary)
    for key in (*job.conf.model.derived, *job.conf.train.derived):
        job.log.info("%s = %s, from the size of the data", key, (model.model_dump() | train.model_dump())[key])
    return model, train


def plan_settings(plan: dict[str, Any]) -> tuple[settings.Train, settings.Model]:
    return settings.Train.model_validate(plan["train"]), settings.Model.model_validate(plan["model"])


def training_set(plan: dict[str, Any], conf: settings.Train, model: settings.Model) -> TrainingSet:
    return TrainingSet(plan["files"], plan_vocabulary(plan), conf, max_length=model.max_length)


def recorded_training(
    job: Job, tracking: Tracking, plan: dict[str, Any], entries: dict[str, Entry], census: Census, past: Partition
) -> tuple[dict[str, Any], ModelVersion]:
    """Train in child processes and keep everything about it in MLflow; a failed training is a FAILED run."""
    folder, processes = Path(plan["folder"]), num_processes(job)
    with tracking.start_run(f"train {past.day}", {"as_of": past.day.isoformat(), "night": job.run_id}) as run_id:
        for section in ("model", "train"):
            tracking.log_params(run_id, {f"{section}.{key}": value for key, value in plan[section].items()})
        tracking.log_dict(run_id, job.conf.dump(), "config.json")
        tables = {
            name: asdict(entry) | {"num_rows": entry.num_rows, "content_hash": entry.content_hash}
            for name, entry in entries.items()
        }
        tracking.log_dict(run_id, {"tables": tables, "census": asdict(census)}, "data.json")
        gpus = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        facts = {**describe(REQUIREMENTS), "processes": processes, "gpus": gpus, "seed": job.conf.train.seed}
        tracking.log_dict(run_id, facts, "environment.json")
        try:
            launch(job, folder, processes)
        finally:
            tracking.log_steps(run_id, logged_steps(folder / "metrics.jsonl"))
        outcome = json.loads((folder / "outcome.json").read_text(encoding="utf-8"))
        examples = list(plan_vocabulary(plan).items[:3])
        version = tracking.log_model(
            run_id,
            folder / "model",
            as_of=past.day,
            fingerprint=plan["fingerprint"],
            input_example={"item_ids": [examples, examples[:1]]},
        )
    return outcome, version


def num_processes(job: Job) -> int:
    """As configured, but on this machine never more than GPUs where there are any."""
    wanted, gpus = job.conf.train.processes, torch.cuda.device_count()
    if gpus and wanted > gpus and job.conf.train.launcher == "torchrun":
        job.log.warning("train.processes = %d, but there are %d GPUs: one process each", wanted, gpus)
        return gpus
    return wanted


def launch(job: Job, folder: Path, processes: int) -> None:
    """Run the workers to their end, wherever they are to run.

    Raises:
        BadInput: a worker says that running again would change nothing.
        RuntimeError: the workers died too often; their checkpoint stays for the next run.
    """
    problem, outcome = folder / "problem.json", folder / "outcome.json"
    for leftover in (problem, outcome):
        leftover.unlink(missing_ok=True)
    (launch_in_spark if job.conf.train.launcher == "spark" else launch_here)(job, folder, processes)
    if problem.exists():
        raise BadInput(**json.loads(problem.read_text(encoding="utf-8")))
    if not outcome.exists():
        raise RuntimeError(f"the training's processes ended without a result; their checkpoint stays in {folder}")


def launch_here(job: Job, folder: Path, processes: int) -> None:
    """Processes of this machine, started by torchrun; when one dies, it starts all of them again."""
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    torchrun += ["--max-restarts", str(job.conf.train.max_restarts)]
    command = [*torchrun, str(Path(__file__).resolve()), "--worker", str(folder / "plan.json")]
    threads = max(1, len(os.sched_getaffinity(0)) // processes)
    environment = {
        "OMP_NUM_THREADS": str(threads),
        "GLOO_SOCKET_IFNAME": "lo",  # workers of one machine must find each other also where its name does not resolve
        **TORCHRUN_ENVIRONMENT,
        **os.environ,
    }
    job.log.info("%d processes with %s threads each", processes, environment["OMP_NUM_THREADS"])
    with children(command, environment) as process:
        code = process.wait()
    if code:
        job.log.error("torchrun ended with code %d", code)


def launch_in_spark(job: Job, folder: Path, processes: int) -> None:
    """A process per task of a barrier stage; all hosts must see the lake and NIGHTJAR_HOME under the same paths.

    TorchDistributor ends well whatever becomes of its processes (pyspark 4.3 drops torchrun's exit code), so that
    the result is looked for, and without one the stage is run again.
    """
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException
    from pyspark.ml.torch.distributor import TorchDistributor

    spark = job.spark()
    has_gpus = float(spark.sparkContext.getConf().get("spark.task.resource.gpu.amount", "0") or 0) > 0
    distributor = TorchDistributor(num_processes=processes, local_mode=False, use_gpu=has_gpus)
    command = str(Path(__file__).resolve()), "--worker", str(folder / "plan.json")
    try:
        for attempt in range(job.conf.train.max_restarts + 1):
            job.log.info("%d processes on %s, attempt %d", processes, spark.sparkContext.master, attempt + 1)
            try:
                distributor.run(*command)
            except (PySparkException, Py4JError) as error:
                job.log.error("the stage failed: %s", str(error)[:500])
            if (folder / "outcome.json").exists() or (folder / "problem.json").exists():
                return
    finally:
        spark.stop()


@contextmanager
def children(command: list[str], environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process group that does not outlive us, whichever way we go: SIGTERM, an error, SIGKILL."""
    process = subprocess.Popen(command, env=environment, start_new_session=True, preexec_fn=_die_with_parent)

    def stop(number: int, _: FrameType | None) -> None:
        raise SystemExit(f"stopped by {signal.Signals(number).name}")

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield process
    finally:
        signal.signal(signal.SIGTERM, before)
        _end_group(process)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """Ask politely, then insist: torchrun passes SIGTERM on to its workers, which may hang."""
    for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        if process.poll() is not None:
            return
        os.killpg(process.pid, number)
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue


def _die_with_parent() -> None:
    """Linux: torchrun gets SIGTERM when this job is killed outright, so a retry never meets old workers."""
    parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
    ctypes.CDLL(None).prctl(parent_death_signal, signal.SIGTERM)


def logged_steps(path: Path) -> Iterator[tuple[int, dict[str, float]]]:
    """What the first worker logged. A kill may leave half a line; a resume repeats steps, the later ones count."""
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            continue
        yield record["step"], record["metrics"]


# -- one worker


def work(plan_file: Path) -> NoReturn:
    """One process of the training; the first one writes.

    A problem that starting again cannot solve is no failure to torchrun, which would start again: it is left
    in a file for the launcher, and whoever finds it there has nothing to do.
    """
    plan = json.loads(plan_file.read_text(encoding="utf-8"))
    folder = Path(plan["folder"])
    problem = folder / "problem.json"
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    if not problem.exists():
        try:
            with process_group() as group:
                train_as(group, plan, folder)
        except BadInput as error:
            write_json(problem, {"problem": error.problem, "next_command": error.next_command})
    end_process()


def train_as(group: Group, plan: dict[str, Any], folder: Path) -> None:
    conf, model_conf = plan_settings(plan)
    vocabulary, path = plan_vocabulary(plan), folder / "checkpoint.safetensors"
    torch.manual_seed(conf.seed)
    model = build(model_conf, vocabulary.size)
    resume = Checkpoint.read(path, plan["fingerprint"])
    progress = resume.progress if resume else Progress()
    if not group.agrees_on(progress.epoch, progress.step):
        raise BadInput(f"{folder} is not the same folder for all processes", "give all hosts one NIGHTJAR_HOME")
    report = Report(folder / "metrics.jsonl", progress)

    def save(checkpoint: Checkpoint) -> None:
        if group.rank == 0:
            checkpoint.write(path, plan["fingerprint"])

    def log(step: int, metrics: dict[str, float]) -> None:
        if group.rank == 0:
            report(step, metrics)

    data = training_set(plan, conf, model_conf)
    progress = train(model, data, conf, group=group, log=log, save=save, resume=resume)
    weights = gathered(model.state_dict(), group)
    if group.rank == 0:
        save_model(folder / "model", weights, model_conf, vocabulary)
        restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
        facts = {"restarts": restarts, "targets_per_second": report.speed(progress)}
        write_json(folder / "outcome.json", {**asdict(progress), **facts})


class Report:
    """The first worker's log: a JSON line per step, a line for people per epoch."""

    def __init__(self, path: Path, begun: Progress) -> None:
        self.path, self.begun = path, begun
        self.num_targets, self.started = begun.num_targets - begun.epoch_targets, time.monotonic()
        if begun.num_steps:
            logging.info("resumed at epoch %d, step %d", begun.epoch + 1, begun.step)
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")  # ends a line that a kill cut short

    def __call__(self, step: int, metrics: dict[str, float]) -> None:
        if "epoch" in metrics:
            self.num_targets += int(metrics["epoch_targets"])
            speed = self._per_second(self.num_targets)
            ndcg = f"{metrics['val_ndcg@10']:.4f}" if "val_ndcg@10" in metrics else "none"
            text = "epoch %d: loss %.4f, validation ndcg@10 %s, %.0f targets/s"
            logging.info(text, metrics["epoch"], metrics["epoch_loss"], ndcg, speed)
            metrics = {**metrics, "targets_per_second": speed}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, "metrics": metrics}) + "\n")

    def speed(self, progress: Progress) -> float:
        """Targets per second of this process's life, validation and checkpoints included."""
        return round(self._per_second(progress.num_targets), 1)

    def _per_second(self, num_targets: int) -> float:
        return (num_targets - self.begun.num_targets) / max(1e-9, time.monotonic() - self.started)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(Path(sys.argv[2]))
    else:
        parser = arguments(__doc__, sequences="the night: shop/sequences/dt=DAY")
        parser.add_argument("--when", choices=WHENS, default="due", help="what is reason enough (default: due)")
        run("train", parser, main)
