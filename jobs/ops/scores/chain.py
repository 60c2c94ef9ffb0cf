"""A lake with all that a contest needs, made by the night's own jobs: people as of instants, with what became of them.

The log is landed in one go, as a shop's first night does. Then, for each instant, the night on which its windows are
over: `sequences`, whose training day is that instant, and `features`, which leaves the instant's features and its
labels. The recommender is trained on the oldest instant, so that its encoder knows of nothing that is judged.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from jobs._people import Cases, Instant, read_instant
from jobs.ops.scores.parts import Say
from jobs.ops.warm import WarmJobs

from nightjar.contracts import USER_FEATURES, BadInput
from nightjar.learn.checkpoint import LoadedModel, load_model
from nightjar.settings import Conf, Source, load_conf, load_source, repository
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake
from nightjar.stores.tracking import Tracking

MODEL = repository() / "conf" / "models" / "sasrec.toml"

#: The synthetic shop writes its own drops.
SYNTHETIC = "synthetic"


@dataclass(frozen=True)
class Chain:
    """Which instants of which shop; oldest first."""

    shop: str
    raw: Path | None  #: None for the synthetic shop
    instants: tuple[date, ...]
    sets: tuple[str, ...]
    home: Home
    history_days: int = 0  #: of the log before the last night, where the shop's mapping says less

    @property
    def mapping(self) -> str:
        """The shop's mapping, or one of the same name that looks back further."""
        return str(self.home.root / f"{self.shop}.toml") if self.history_days else self.shop

    @property
    def source(self) -> Source:
        return load_source(self.mapping)

    @property
    def conf(self) -> Conf:
        return load_conf(files=[MODEL], source=self.source, sets=list(self.settings))

    @property
    def settings(self) -> tuple[str, ...]:
        """What was asked for, and a training window that ends when the windows of labels begin."""
        stated = load_conf(files=[MODEL], source=load_source(self.shop), sets=list(self.sets))
        return (*self.sets, f"sequences.holdout_days={stated.labels.longest_days}")

    @property
    def nights(self) -> list[date]:
        """When the windows of each instant are over."""
        return [day + timedelta(days=self.conf.labels.longest_days) for day in self.instants]

    @property
    def lake(self) -> Lake:
        return Lake(self.home.lake)

    def steps(self) -> Iterator[tuple[str, str, date]]:
        """Job, flag and day, in order."""
        last = self.nights[-1]
        if self.shop == SYNTHETIC:
            yield "simulate", "events", last
        yield from (("clean", "events", last), ("sessionize", "events", last), ("identity", "identity", last))
        for number, night in enumerate(self.nights):
            yield "sequences", "sequences", night
            yield "features", "user_features", night
            if not number:
                yield from (("train", "sequences", night), ("evaluate", "sequences", night))

    def run(self, say: Say) -> dict[str, float]:
        """Build the lake anew; returns the seconds of the jobs.

        Raises:
            BadInput: a job failed.
        """
        shutil.rmtree(self.home.root, ignore_errors=True)
        logs = self.home.root / "logs"
        logs.mkdir(parents=True)
        if self.history_days:
            lines = [
                f'extends = "{self.shop}"',
                'doc = "The same, further back."',
                f"history_days = {self.history_days}",
            ]
            Path(self.mapping).write_text("\n".join(lines) + "\n", encoding="utf-8")
        roots = os.pathsep.join([str(repository() / "src"), str(repository())])
        environ = {**os.environ, "NIGHTJAR_HOME": str(self.home.root), "PYTHONPATH": roots}
        seconds: dict[str, float] = {}
        with WarmJobs(environ) as jobs:
            for job, flag, day in self.steps():
                say(f"{self.shop} {day}: {job}")
                log = logs / f"{day}-{job}.log"
                code = jobs.run(self._arguments(job, flag, day), log)
                path = self.home.result(self.shop, day, job)
                said: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
                if code:
                    raise BadInput(f"{job} of {day} failed: {said.get('error') or 'it left no result'}", f"less {log}")
                seconds[job] = round(seconds.get(job, 0.0) + said["seconds"], 1)
        return seconds

    def _arguments(self, job: str, flag: str, day: date) -> list[str]:
        argv = [str(repository() / "jobs" / f"{job}.py"), "--source", self.mapping, "--run", "scores"]
        argv += [f"--{flag}", f"{self.shop}/{flag}/dt={day}", "--conf", str(MODEL)]
        argv += [part for one in self.settings for part in ("--set", one)]
        if job in ("simulate", "clean"):
            argv += ["--raw", str(self.raw or self.home.raw / self.shop)]
        return argv

    def encoder(self) -> LoadedModel | None:
        """The champion, with weights of its own each time; None where the gate promoted nobody."""
        tracking = Tracking(self.home, self.shop)
        champion = tracking.champion()
        return None if champion is None else load_model(tracking.download(champion))

    def read(self) -> list[Instant]:
        """Everybody with labels as of each instant."""
        encoder, source, cases = self.encoder(), self.source, Cases.of(self.home, self.conf)
        parts = [USER_FEATURES.at(self.shop, day) for day in self.instants]
        return [read_instant(source, self.lake, at, encoder and encoder.vocabulary, cases=cases) for at in parts]
