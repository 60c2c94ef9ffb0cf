"""A night in which something is killed during every step ends as one that nobody touched.

docs/kill-matrix.md has the table. A night per kind of victim: at each of its steps that kind of process gets SIGKILL
while the step's job holds its lock, which is when it works.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path

import psutil
import pytest
from jobs.ops import services
from jobs.ops.airflow_api import AirflowApi
from jobs.ops.nightly import Request
from tests.ops.whole_nights import SHOP, SMALL, command, environment, free_port, lake_contents, warehouse_contents

from nightjar.stores.home import Home

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.spark]

DAY = date(2026, 2, 14)
SPARK = ("clean", "sessionize", "identity", "sequences", "features", "marts", "score")
PEOPLE = ("train_scores", "score_people", "decide", "realise_scores")
PYTHON = ("simulate", "train", "evaluate", "realise", "watch", "publish", "report", *PEOPLE)

MAX_SECONDS = 3600  # of one night


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("undisturbed"))
    command("nightly", home, "--day", DAY.isoformat())
    return home


class Night:
    """A night that is under way, and the processes that make it."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.running = services.start_airflow(home, port=free_port(), scheduled=False, source=SHOP, raw="")
        self.connection: AirflowApi = services.api(home, self.running)

    def begin(self) -> None:
        typed = argparse.Namespace(source=SHOP, raw="", day=DAY.isoformat(), model="sasrec", set=SMALL)
        self.connection.unpause("nightly")
        self.connection.trigger("nightly", "night", Request.of(typed).conf())

    @property
    def state(self) -> str:
        with suppress(OSError):  # the API server may be gone for a moment
            return self.connection.run_state("nightly", "night")
        return "unknown"

    def job(self, name: str) -> psutil.Process | None:
        """The job's top process, while it works."""
        lock = self.home.runs / SHOP / DAY.isoformat() / f"{name}.lock"
        with suppress(OSError, ValueError, psutil.NoSuchProcess):
            holder = json.loads(lock.read_text())
            process = psutil.Process(holder["pid"])
            if process.create_time() == holder["created"] and process.status() != psutil.STATUS_ZOMBIE:
                return process
        return None

    def survivors(self) -> list[list[str]]:
        """Jobs that still run."""
        found = []
        for pid in services.processes_with(self.running.token):
            with suppress(psutil.NoSuchProcess):
                argv = psutil.Process(pid).cmdline()
                if any("/jobs/" in part and part.endswith(".py") for part in argv):
                    found.append(argv)
        return found

    def restart(self, component: str) -> None:
        """What an init system does."""
        variables = services.environment(self.home, self.running, source=SHOP, raw="")
        services._spawn_airflow(self.home, self.running, component, variables)


def kill(process: psutil.Process | None) -> bool:
    if process is None:
        return False
    with suppress(psutil.NoSuchProcess):
        os.kill(process.pid, signal.SIGKILL)
        return True
    return False


def the_task(night: Night, top: psutil.Process) -> bool:
    """Airflow's process of the task, above the job."""
    return kill(top.parent())


def the_driver(night: Night, top: psutil.Process) -> bool:
    """The JVM of a Spark job, the Python of any other."""
    return kill(top)


def a_worker(night: Night, top: psutil.Process) -> bool:
    """What works below the driver: Spark's Python, torchrun's ranks; the driver where there is none."""
    below = top.children(recursive=True)
    return kill(below[-1]) if below else kill(top)


def the_scheduler(night: Night, top: psutil.Process) -> bool:
    """The scheduler, and started again at once, while the task that it had started goes on."""
    done = kill(psutil.Process(night.running.processes["scheduler"]))
    night.restart("scheduler")
    return done


VICTIMS = {"scheduler": the_scheduler, "task": the_task, "driver": the_driver, "worker": a_worker}


@pytest.fixture
def night(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Night]:
    home = Home(tmp_path / "home")
    for name, value in environment(home).items():
        monkeypatch.setenv(name, value)
    one = Night(home)
    yield one
    services.stop(home, one.running)


@pytest.mark.parametrize("victim", VICTIMS)
def test_killed_at_every_step_a_night_ends_the_same(victim: str, night: Night, undisturbed: Home) -> None:
    killed = during_every_step(night, VICTIMS[victim])
    assert sorted(killed) == sorted({*SPARK, *PYTHON})
    assert night.survivors() == []
    expected, found = lake_contents(undisturbed), lake_contents(night.home)
    assert found.keys() == expected.keys()
    assert [key for key in expected if found[key] != expected[key]] == []
    expected_rows, found_rows = warehouse_contents(undisturbed), warehouse_contents(night.home)
    assert [name for name in expected_rows if found_rows[name] != expected_rows[name]] == []


def during_every_step(night: Night, strike: Callable[[Night, psutil.Process], bool]) -> set[str]:
    """Run the night; returns the steps during which something was killed."""
    night.begin()
    killed: set[str] = set()
    deadline = time.monotonic() + MAX_SECONDS
    while night.state not in ("success", "failed"):
        assert time.monotonic() < deadline
        for name in {*SPARK, *PYTHON} - killed:
            top = night.job(name)
            if top is not None and strike(night, top):
                killed.add(name)
                print(f"{name}: killed", flush=True)
        time.sleep(0.1)
    assert night.state == "success", [
        (one["task_id"], one["state"], one["try_number"]) for one in night.connection.tasks("nightly", "night")
    ]
    return killed
