"""The erasure, ended by SIGKILL at a named point: python killed_erase.py POINT [ARGUMENT ...]."""

from __future__ import annotations

import functools
import os
import signal
import sys

from nightjar.settings import repository
from nightjar.stores.job import arguments, run


def _main(point: str, *argv: str) -> None:
    sys.path.insert(0, str(repository() / "jobs"))
    import erase

    def passing(name: str) -> None:
        if name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.argv = ["erase.py", *argv]
    run("erase", arguments("", erasures=""), functools.partial(erase.main, passing=passing), alone=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
