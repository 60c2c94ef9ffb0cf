"""Two copies of a job, as an orchestrator that was killed leaves them: real processes, real signals."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from nightjar.stores.sole import Busy, sole

LOG = logging.getLogger("nightjar.test")

#: holds the lock, says so, and stays; its child is what torchrun's workers are to a training
HOLDER = """
import logging, subprocess, sys, time
from pathlib import Path
from nightjar.stores.sole import sole
with sole(Path(sys.argv[1]), sys.argv[2], logging.getLogger()):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    Path(sys.argv[1] + ".held").write_text(str(child.pid))
    time.sleep(float(sys.argv[3]))
"""

#: starts a holder, as Airflow's task does, and stays until it is killed
STARTER = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", *sys.argv[1:]])
time.sleep(600)
"""


def wait_for(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Callable[..., tuple[psutil.Process, psutil.Process, psutil.Process]]]:
    started = []

    def start(run: str, seconds: float = 600) -> tuple[psutil.Process, psutil.Process, psutil.Process]:
        lock = tmp_path / "train.lock"
        argv = [sys.executable, "-c", STARTER, HOLDER, str(lock), run, str(seconds)]
        starter = psutil.Process(subprocess.Popen(argv).pid)
        started.append(starter)
        wait_for((tmp_path / "train.lock.held").exists)
        wait_for(lambda: bool((tmp_path / "train.lock.held").read_text()))
        child = psutil.Process(int((tmp_path / "train.lock.held").read_text()))
        holder = psutil.Process(json.loads(lock.read_text())["pid"])
        started.extend([holder, child])
        return starter, holder, child

    yield start
    for process in started:
        if process.is_running():
            process.kill()


def gone(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_an_attempt_that_nobody_watches_is_ended_with_all_below_it(held: Callable[..., tuple], tmp_path: Path) -> None:
    starter, holder, child = held("night 1")
    os.kill(starter.pid, signal.SIGKILL)
    wait_for(lambda: holder.ppid() != starter.pid)
    with sole(tmp_path / "train.lock", "night 1", LOG, patience_seconds=30):
        assert gone(holder)
        assert gone(child)
        assert json.loads((tmp_path / "train.lock").read_text())["pid"] == os.getpid()
    assert (tmp_path / "train.lock").read_text() == ""


def test_an_attempt_that_is_watched_is_waited_for(held: Callable[..., tuple], tmp_path: Path) -> None:
    began = time.monotonic()
    held("night 1", seconds=2)
    with sole(tmp_path / "train.lock", "night 1", LOG, patience_seconds=30):
        assert time.monotonic() - began > 2
        assert json.loads((tmp_path / "train.lock").read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("watched", [True, False])
def test_somebody_elses_run_is_never_ended(watched: bool, held: Callable[..., tuple], tmp_path: Path) -> None:
    starter, holder, _ = held("by hand")
    if not watched:
        os.kill(starter.pid, signal.SIGKILL)
        wait_for(lambda: holder.ppid() != starter.pid)
    with (
        pytest.raises(Busy, match=f"run by hand is at this job for the same day, process {holder.pid}"),
        sole(tmp_path / "train.lock", "night 1", LOG, patience_seconds=1),
    ):
        pytest.fail("two copies at once")
    assert holder.is_running()


def test_a_killed_holder_gives_it_back(held: Callable[..., tuple], tmp_path: Path) -> None:
    _, holder, _ = held("by hand")
    os.kill(holder.pid, signal.SIGKILL)
    with sole(tmp_path / "train.lock", "night 1", LOG, patience_seconds=30):
        pass
