"""A child process and everything below it: how long it took and how much memory all of it held at once."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from nightjar.contracts import BadInput
from nightjar.settings import repository

_SECONDS_BETWEEN_SAMPLES = 0.2
#: Of a core. While its pages are added up, a process waits for new ones.
_MAX_SAMPLING_SHARE = 0.02


@dataclass(frozen=True)
class Watched:
    """A child that ended well."""

    seconds: float  # from nothing to its exit: the start of Python and of Java included
    peak_gib: float  # largest sum over the whole tree; shared pages count once
    said: dict[str, Any]  # the last line on its standard output


def watched(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> Watched:
    """Run a command in the checkout to its end; its output stays in `folder`.

    Raises:
        BadInput: it failed; carries the end of what it said.
    """
    folder.mkdir(parents=True, exist_ok=True)
    out, err = folder / "stdout.txt", folder / "stderr.txt"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        started = time.perf_counter()
        child = subprocess.Popen(
            command, cwd=repository(), env={**os.environ, **(environment or {})}, stdout=stdout, stderr=stderr
        )
        try:
            peak = _peak_bytes(child)
        except BaseException:
            _kill(child)
            raise
        seconds = time.perf_counter() - started
    if child.returncode:
        tail = "\n  ".join(err.read_text(errors="replace").strip().splitlines()[-12:])
        raise BadInput(f"{' '.join(command[:4])} … ended with {child.returncode}:\n  {tail}", f"less {err}")
    lines = out.read_text(encoding="utf-8").strip().splitlines()
    return Watched(seconds, peak / 2**30, json.loads(lines[-1]))


def _peak_bytes(child: subprocess.Popen[bytes]) -> int:
    process, peak = psutil.Process(child.pid), 0
    pause = _SECONDS_BETWEEN_SAMPLES
    while True:
        with suppress(subprocess.TimeoutExpired):
            child.wait(pause)
            return peak
        began = time.process_time()
        peak = max(peak, _tree_bytes(process))
        pause = max(_SECONDS_BETWEEN_SAMPLES, (time.process_time() - began) / _MAX_SAMPLING_SHARE)


def _tree_bytes(process: psutil.Process) -> int:
    """Resident memory of the whole tree, pages that a fork shares with its parent once.

    Only forks are asked what they hold alone: to tell takes 50 ms of a core per GiB, too much for a Java heap.
    """
    total, programs = 0, {}
    with suppress(psutil.Error):  # processes end while we look
        for one in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                programs[one.pid] = one.exe()
                is_fork = programs.get(one.ppid()) == one.exe()
                total += one.memory_full_info().uss if is_fork else one.memory_info().rss
    return total


def _kill(child: subprocess.Popen[bytes]) -> None:
    with suppress(psutil.Error):
        for one in (*psutil.Process(child.pid).children(recursive=True), psutil.Process(child.pid)):
            with suppress(psutil.Error):
                one.kill()
    child.wait()
