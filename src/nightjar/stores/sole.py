"""One copy of a job at a time, per shop and day.

An orchestrator that has lost sight of a job starts it again: its scheduler or the process that watched the job was
killed, and the job itself was not. The second copy must neither run beside the first nor wait for hours behind it.
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

#: A copy that somebody still watches ends, or is ended by who watches it, within this time or not soon.
PATIENCE_SECONDS = 600.0

#: Between two looks.
_PAUSE_SECONDS = 0.2


class Busy(RuntimeError):
    """Another copy of the job is running and belongs to somebody else."""


@contextmanager
def sole(path: Path, run_id: str, log: logging.Logger, *, patience_seconds: float | None = None) -> Iterator[None]:
    """Hold the lock file while the job runs; a killed process gives it back.

    A holder of the same run whose own starter is gone is ended, with everything below it: nobody reads its exit code
    any more. Any other holder is waited for.

    Args:
        path: the lock file; stays, empty while nobody holds it.
        run_id: the orchestrator's run, the same for every attempt of a task.

    Raises:
        Busy: the holder was still there after `patience_seconds` (default: PATIENCE_SECONDS).
    """
    patience_seconds = PATIENCE_SECONDS if patience_seconds is None else patience_seconds
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        _take(file, run_id, log, patience_seconds)
        _say(file, {"run_id": run_id, **_top()})
        try:
            yield
        finally:
            _say(file, {})


@contextmanager
def in_shop(path: Path, log: logging.Logger, *, alone: bool, patience_seconds: float | None = None) -> Iterator[None]:
    """Work on a shop's tables beside other jobs, or alone: what nobody else may read or write meanwhile.

    Raises:
        Busy: the others were still at it after `patience_seconds` (default: PATIENCE_SECONDS).
    """
    deadline = time.monotonic() + (PATIENCE_SECONDS if patience_seconds is None else patience_seconds)
    told = False
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(file, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                break
            others = "jobs are at work on this shop" if alone else "people are being erased from this shop"
            if time.monotonic() > deadline:
                raise Busy(others)
            if not told:
                log.warning("%s: waiting", others)
                told = True
            time.sleep(_PAUSE_SECONDS)
        yield


def _take(file: IO[str], run_id: str, log: logging.Logger, patience_seconds: float) -> None:
    deadline = time.monotonic() + patience_seconds
    told = False
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        holder = _holder(file)
        if holder.get("run_id") == run_id and _is_orphan(holder):
            log.warning("an earlier attempt of this run outlived its starter: ending it")
            _end(holder["pid"])
            continue
        if not told:
            log.warning("another copy of this job is running: waiting up to %.0f s", patience_seconds)
            told = True
        if time.monotonic() > deadline:
            raise Busy(
                f"run {holder.get('run_id', '?')} is at this job for the same day, process {holder.get('pid', '?')}"
            )
        time.sleep(_PAUSE_SECONDS)


def _say(file: IO[str], holder: dict[str, Any]) -> None:
    file.seek(0)
    file.truncate()
    file.write(json.dumps(holder) if holder else "")
    file.flush()


def _holder(file: IO[str]) -> dict[str, Any]:
    file.seek(0)
    try:
        said: dict[str, Any] = json.loads(file.read())
    except ValueError:  # it has the lock and has not yet said so, or is about to give it back
        return {}
    return said


def _top() -> dict[str, Any]:
    """The process that whoever started the job knows, the JVM above a Spark driver; and who that was."""
    import psutil

    top = psutil.Process(os.getppid() if "PYSPARK_GATEWAY_PORT" in os.environ else os.getpid())
    starter = top.parent()
    return {"pid": top.pid, "created": top.create_time(), "starter": starter.pid if starter else None}


def _is_orphan(holder: dict[str, Any]) -> bool:
    """Whether the holder's top process was given to another parent since, which happens when its own has died."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        top = psutil.Process(holder["pid"])
        return bool(top.create_time() == holder["created"] and top.ppid() != holder["starter"])
    return False


def _end(pid: int, patience_seconds: float = 10) -> None:
    """End a process and everything below it: Spark's Python and torchrun's workers outlive a killed parent."""
    import psutil

    with suppress(psutil.NoSuchProcess):
        top = psutil.Process(pid)
        family = [*top.children(recursive=True), top]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.terminate()
        for member in psutil.wait_procs(family, timeout=patience_seconds)[1]:
            with suppress(psutil.NoSuchProcess):
                member.kill()
