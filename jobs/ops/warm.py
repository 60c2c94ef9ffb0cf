"""Jobs one after the other in one process of their own, so that Spark starts once.

A night gives each job a process, and each process starts a JVM and compiles what it runs anew. Where many nights are
replayed that is most of the time. What a job reads and writes is the same either way; what a manifest says of memory
and processor time is of the process, and here of everything before too.
"""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TextIO


class WarmJobs:
    """The process; end it by leaving the block."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)
        self._process: subprocess.Popen[str] | None = None

    def run(self, argv: Sequence[str], log: Path) -> int:
        """Run a job's script with its arguments; returns its exit code. A process that died is started anew."""
        if self._process is None or self._process.poll() is not None:
            command = [sys.executable, "-m", "jobs.ops.warm"]
            self._process = subprocess.Popen(
                command, env=self._environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with suppress(BrokenPipeError):  # it died: told below
            print(json.dumps({"argv": list(argv), "log": str(log)}), file=self._process.stdin, flush=True)
        answer = self._process.stdout.readline()
        return int(answer) if answer else self._process.wait()

    def __enter__(self) -> WarmJobs:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.communicate()  # the end of its input is the end of it


def _serve(requests: TextIO) -> None:
    # Jobs print; the answers must not be among it.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    for line in requests:
        request = json.loads(line)
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        code = _run(request["argv"])
        print(code, file=answers, flush=True)


def _run(argv: list[str]) -> int:
    """The script as if Python had been started with it."""
    sys.argv, folder = argv, str(Path(argv[0]).parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # jobs find each other beside them
    try:
        runpy.run_path(argv[0], run_name="__main__")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        _forget_frames()
    return 0


def _forget_frames() -> None:
    """What the job cached would have gone with its process."""
    if "pyspark.sql" in sys.modules:
        from pyspark.sql import SparkSession

        if (spark := SparkSession.getActiveSession()) is not None:
            spark.catalog.clearCache()


if __name__ == "__main__":
    _serve(sys.stdin)
