"""Spark's master and worker as compose.yaml has them: who has the secret is served, at the addresses that were said."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from jobs.ops.services import spark_home
from tests.docker.deployment import SCRIPTS
from tests.docker.servers import Servers, deployed

from nightjar.settings import repository

pytestmark = [pytest.mark.slow, pytest.mark.spark]

#: A job in small: our session, a function of the package in the executors' Python.
JOB = """
import pyarrow as pa
from nightjar.settings import load_conf
from nightjar.stores.spark import session

def texts(batches):
    from nightjar.prep import texts
    for batch in batches:
        yield batch.append_column("room", pa.array([texts.__name__] * batch.num_rows))

spark = session("nightjar small", load_conf().spark)
rows = spark.range(1000).repartition(4).mapInArrow(texts, "id LONG, room STRING").groupBy("room").count().collect()
print("ANSWER", rows[0].room, rows[0]["count"], spark.conf.get("spark.driver.host"), spark.sparkContext.master)
"""


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    small = {"SPARK_WORKER_MEMORY": "1g", "NIGHTJAR_EXECUTOR_MEMORY": "512m"}
    with deployed(tmp_path_factory.mktemp("deployed"), "spark-worker", pseudonym_key="ab" * 32, **small) as started:
        yield started


def test_a_job_with_the_secret_runs_on_the_worker(servers: Servers, tmp_path: Path) -> None:
    """Started as the scheduler's container starts it, by the images' entry point."""
    job, scheduler = tmp_path / "job.py", servers.address["scheduler"]
    job.write_text(JOB, encoding="utf-8")
    jobs = repository() / ".envs" / "jobs" / "bin"
    environment = servers.environment("scheduler") | {"PYSPARK_PYTHON": str(jobs / "python")}
    environment["AIRFLOW_HOME"] = str(tmp_path)
    master = f"spark://{servers.address['spark-master']}:7077"
    argv = [sys.executable, str(SCRIPTS / "service.py"), str(jobs / "spark-submit"), "--master", master, str(job)]
    done = subprocess.run(argv, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    (answer,) = (line for line in done.stdout.splitlines() if line.startswith("ANSWER"))
    assert answer == f"ANSWER nightjar.prep.texts 1000 {scheduler} {master}"
    assert "Registered app nightjar small" in servers.service_log("spark-master").read_text(errors="replace")


def test_a_worker_without_the_secret_is_refused(servers: Servers, tmp_path: Path) -> None:
    address, master = servers.address["spark-worker"], servers.address["spark-master"]
    argv = [f"{spark_home()}/bin/spark-class", "org.apache.spark.deploy.worker.Worker", "--host", address]
    argv += ["--work-dir", str(tmp_path), f"spark://{master}:7077"]
    environment = servers.environment("spark-worker") | {"SPARK_CONF_DIR": str(tmp_path), "SPARK_HOME": spark_home()}
    master_log, log = servers.service_log("spark-master"), tmp_path / "log"
    known = master_log.read_text(errors="replace").count("Registering worker ")
    assert known == 1
    with log.open("wb") as output, subprocess.Popen(argv, env=environment, stdout=output, stderr=output) as process:
        refused = waited(lambda: "Failed to connect" in log.read_text(errors="replace"))
        process.kill()
    assert refused, log.read_text(errors="replace")[-2000:]
    assert master_log.read_text(errors="replace").count("Registering worker ") == known


def test_the_secret_stands_in_no_command_line(servers: Servers) -> None:
    secret = (servers.secrets / "spark_secret").read_text(encoding="utf-8")
    for process in servers.running.processes.values():
        assert secret.encode() not in Path(f"/proc/{process}/cmdline").read_bytes()
    assert os.stat(servers.root / "spark" / "spark-master" / "spark-defaults.conf").st_mode & 0o077 == 0


def waited(holds: Callable[[], bool], seconds: float = 300) -> bool:
    until = time.monotonic() + seconds
    while not holds() and time.monotonic() < until:
        time.sleep(0.5)
    return holds()
