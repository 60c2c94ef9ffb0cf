"""A Spark standalone cluster on this machine, from the classes that the pyspark package brings along."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pyspark

from nightjar.settings import repository

SPARK_HOME = Path(pyspark.__file__).parent
_SPARK_CLASS = SPARK_HOME / "bin" / "spark-class"
_HEAP_MB = 512


@dataclass
class Cluster:
    """A master and workers of one core each; every process and file of it lies below `root`."""

    root: Path
    url: str = ""
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def environment(self) -> dict[str, str]:
        """For daemons and for drivers. The package stands in for an installation on each of the hosts."""
        return os.environ | {
            "SPARK_HOME": str(SPARK_HOME),
            "SPARK_CONF_DIR": str(self.root / "conf"),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_LOCAL_DIRS": str(self.root / "local"),
            "SPARK_DAEMON_MEMORY": "128m",
            "SPARK_DAEMON_JAVA_OPTS": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
            "PYTHONPATH": str(repository() / "src"),
            "PYSPARK_PYTHON": sys.executable,
        }

    def log(self) -> str:
        """What the master said so far."""
        path = self.root / "master.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def start_master(self) -> subprocess.Popen[bytes]:
        (self.root / "conf").mkdir(parents=True)
        (self.root / "conf" / "spark-defaults.conf").write_text(
            f"spark.executor.memory {_HEAP_MB}m\n"
            "spark.executor.extraJavaOptions -XX:TieredStopAtLevel=1 -XX:+UseSerialGC\n"
        )
        process = self._start("master", "org.apache.spark.deploy.master.Master", "--webui-port", "0")
        wait_for(lambda: "Starting Spark master at" in self.log(), process)
        found = re.search(r"Starting Spark master at (spark://\S+)", self.log())
        assert found
        self.url = found.group(1)
        return process

    def start_worker(self) -> None:
        known = self.log().count("Registering worker ")
        name = f"worker{len(self.workers)}"
        arguments = ("--webui-port", "0", "--cores", "1", "--memory", f"{_HEAP_MB}m", "--work-dir")
        process = self._start(
            name, "org.apache.spark.deploy.worker.Worker", *arguments, str(self.root / name), self.url
        )
        self.workers.append(process)
        wait_for(lambda: self.log().count("Registering worker ") > known, process)

    def busy_worker(self) -> subprocess.Popen[bytes] | None:
        """A worker whose executor has Python at work."""
        for worker in self.workers:
            names = [child.name() for child in _family(worker.pid)]
            if any(name.startswith("python") for name in names):
                return worker
        return None

    def kill_worker(self, worker: subprocess.Popen[bytes]) -> int:
        """SIGKILL for a worker, its executor and the executor's Python; returns how many processes that were."""
        family = [psutil.Process(worker.pid), *_family(worker.pid)]
        for process in family:
            process.send_signal(signal.SIGKILL)
        worker.wait(timeout=60)
        self.workers.remove(worker)
        return len(family)

    def _start(self, name: str, *argv: str) -> subprocess.Popen[bytes]:
        command = [str(_SPARK_CLASS), argv[0], "--host", "127.0.0.1", "--port", "0", *argv[1:]]
        with (self.root / f"{name}.log").open("wb") as log:
            return subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)


def _family(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


@contextmanager
def cluster(root: Path, num_workers: int) -> Iterator[Cluster]:
    """Start a cluster on free local ports, and leave no process of it behind."""
    started = Cluster(root)
    master = started.start_master()
    try:
        for _ in range(num_workers):
            started.start_worker()
        yield started
    finally:
        for process in [*started.workers, master]:
            for member in [*_family(process.pid), process]:
                member.kill()
            process.wait(timeout=60)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes], *, seconds: float = 180) -> None:
    """Wait until something holds while a process lives."""
    until = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, f"{process.args} ended with {process.returncode}"
        assert time.monotonic() < until, f"{process.args} is not there after {seconds} s"
        time.sleep(0.05)
