"""A job that SIGKILL ends at a named point: python killed_job.py POINT JOB [ARGUMENT ...].

Points: `staged`, every file is written and the gate has not begun; `entries`, all that is missing is the
snapshot which makes the files visible; `committed`, they are visible and nobody has said so yet.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
from collections.abc import Callable, Iterable
from typing import Any

from nightjar.settings import repository
from nightjar.stores.lake import Lake, Staged


def _end(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _after(method: Callable[..., Any]) -> Callable[..., Any]:
    def ends(*args: Any, **named: Any) -> None:
        method(*args, **named)
        _end()

    return ends


def _main(point: str, job: str, *argv: str) -> None:
    commit = Lake.commit

    def in_the_nights_commit(lake: Lake, staged: Iterable[Staged], **facts: Any) -> int:
        chosen = list(staged)
        if any(part.table.name in ("events", "session_events") for part in chosen):  # not the gate's own ledger
            Lake._apply = _end if point == "entries" else _after(Lake._apply)
        return commit(lake, chosen, **facts)

    if point == "staged":
        Lake.stage_buckets = _after(Lake.stage_buckets)
    else:
        Lake.commit = in_the_nights_commit
    sys.argv = [f"{job}.py", *argv]
    sys.path.insert(0, str(repository() / "jobs"))
    runpy.run_path(str(repository() / "jobs" / f"{job}.py"), run_name="__main__")


if __name__ == "__main__":
    _main(*sys.argv[1:])
