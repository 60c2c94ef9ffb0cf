"""clean and sessionize on a standalone cluster: the same tables as on one machine, also when a worker is lost."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.jobs.prep_nights import JOBS, Nights
from tests.jobs.spark_cluster import SPARK_HOME, Cluster, cluster
from tests.jobs.worlds import BERLIN

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.slow]

DAY = BERLIN.days[1]
NUM_EVENTS, NUM_PEOPLE, NUM_BUCKETS = 200_000, 3_000, 24


def write_log(raw: Path) -> None:
    """Two drops: visits of a few events, every fiftieth event sent twice and every hundredth a day late."""
    draw = random.Random(1)
    drops: dict[date, list[str]] = {day: [] for day in BERLIN.days[:2]}
    number = 0
    while number < NUM_EVENTS:
        device = f"d{draw.randrange(NUM_PEOPLE)}"
        at = BERLIN.instant(BERLIN.first, draw.randrange(2 * 22 * 60))
        for _ in range(draw.randrange(1, 12)):
            day = max(BERLIN.first, min(BERLIN.day_of(at), DAY))
            row = {
                "id": f"{number:x}",
                "at": at.isoformat(),
                "device": device,
                "what": "view",
                "item": f"i{number % 997}",
            }
            line = json.dumps(row | {"extra": {"title": f"Title of i{number % 997}"}})
            drops[DAY if draw.random() < 0.01 else day].append(line)
            if draw.random() < 0.02:
                drops[day].append(line)
            number += 1
            at += timedelta(seconds=draw.randrange(240))
    raw.mkdir()
    for day, lines in drops.items():
        for part in range(3):
            (raw / f"{day}-{part}.jsonl").write_text("\n".join(lines[part::3]) + "\n")


@pytest.fixture(scope="module")
def local(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Nights:
    """The night on local[2]."""
    assert spark.sparkContext.master == "local[2,2]"
    nights = Nights(tmp_path_factory.mktemp("local"), BERLIN.name, BERLIN.source)
    write_log(nights.raw)
    nights.night(spark, DAY, sets=[f"lake.buckets={NUM_BUCKETS}"])
    return nights


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with cluster(tmp_path_factory.mktemp("cluster"), num_workers=3) as started:
        yield started


def start(nights: Nights, cluster: Cluster, name: str, *, submit: bool) -> subprocess.Popen[str]:
    """The job as its own process: `python job.py`, or `spark-submit job.py` as the DAG starts it."""
    script = str(JOBS / f"{name}.py")
    sets = [f"lake.buckets={NUM_BUCKETS}", "spark.shuffle_partitions=3"]
    if submit:
        head = [str(SPARK_HOME / "bin" / "spark-submit"), "--master", cluster.url, "--driver-memory", "1g", script]
    else:
        head = [sys.executable, script]
        sets += [f"spark.master='{cluster.url}'", "spark.driver_memory_gib=1"]
    log = (nights.root / f"{name}.log").open("w")
    environment = cluster.environment | nights.environment
    return subprocess.Popen([*head, *nights.argv(name, DAY, *sets)], env=environment, stdout=log, stderr=log, text=True)


def finished(nights: Nights, name: str, process: subprocess.Popen[str]) -> str:
    """The log of a job that must succeed."""
    code = process.wait(timeout=900)
    log = (nights.root / f"{name}.log").read_text(errors="replace")
    assert code == 0, log[-4000:]
    assert nights.manifest(name, DAY)["status"] == "done"
    return log


def test_the_same_tables_as_on_one_machine(local: Nights, workers: Cluster, tmp_path: Path) -> None:
    nights = Nights(tmp_path, BERLIN.name, BERLIN.source, local.raw)
    finished(nights, "clean", start(nights, workers, "clean", submit=False))
    finished(nights, "sessionize", start(nights, workers, "sessionize", submit=True))
    assert nights.hashes() == local.hashes()
    said = workers.log()
    assert said.count("Registered app nightjar") == 2, "both jobs ran on the cluster"
    assert said.count("Launching executor") >= 6, "on all workers"


@pytest.mark.live
def test_a_worker_lost_in_the_middle(
    local: Nights, workers: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """SIGKILL for a worker and its executor while buckets are being written, in each of the jobs."""
    nights = Nights(tmp_path, BERLIN.name, BERLIN.source, local.raw)
    for name, table, submit in (("clean", "events", True), ("sessionize", "session_events", False)):
        before = workers.log().count("Removing worker")
        process = start(nights, workers, name, submit=submit)
        staged = nights.home.lake / nights.shop / table
        killed = kill_at_first_file(workers, process, lambda staged=staged: buckets_staged(staged))
        log = finished(nights, name, process)
        lost = [line for line in log.splitlines() if "Lost executor" in line]
        removed = [line for line in workers.log().splitlines() if "Removing worker" in line][before:]
        assert lost, log[-4000:]
        assert removed
        with capsys.disabled():
            print(f"\n  {name}: killed when {killed} of {NUM_BUCKETS} buckets were written")
            print(f"  driver: {lost[0]}\n  master: {removed[0]}")
        workers.start_worker()
    assert nights.hashes() == local.hashes()


def buckets_staged(folder: Path) -> set[str]:
    """Buckets of which some day's file is there."""
    return {file.name.split("-")[0] for file in folder.glob("*/*/*.parquet")}


def kill_at_first_file(cluster: Cluster, process: subprocess.Popen[str], staged: Callable[[], set[str]]) -> int:
    """Kill a worker once the first bucket is written; returns how many were by then."""
    while not staged():
        assert process.poll() is None, "the job ended before it wrote anything"
        time.sleep(0.005)
    worker = cluster.busy_worker()
    assert worker is not None
    num_killed = cluster.kill_worker(worker)
    num_staged = len(staged())
    assert num_killed >= 3, "the worker's launcher, its executor and Python"
    assert num_staged < NUM_BUCKETS, "too late: every bucket was written"
    return num_staged
