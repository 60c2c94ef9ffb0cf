"""A real PostgreSQL for the tests: the newest installed one, on a Unix socket of its own."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


def binaries() -> Path | None:
    """The folder with initdb and pg_ctl."""
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    on_path = shutil.which("initdb")
    found += [Path(on_path).resolve().parent] if on_path else []
    return max(found, key=lambda path: path.parent.name.zfill(4), default=None)


@contextmanager
def running() -> Iterator[str]:
    """A started server; yields the URI of an empty database and deletes everything afterwards."""
    folder = binaries()
    if folder is None:
        pytest.skip("no PostgreSQL: initdb is neither on PATH nor under /usr/lib/postgresql")
    place = Path(tempfile.mkdtemp(prefix="nightjar-pg-"))
    who = _other_user()
    if who:
        os.chown(place, who["user"], who["group"])
    data = place / "data"

    def call(*argv: str) -> None:
        # The server inherits the descriptors: a pipe that it keeps open would never end.
        subprocess.run(argv, check=True, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **who)

    try:
        call(f"{folder}/initdb", "-D", f"{data}", "-U", "nightjar", "-A", "trust", "-E", "UTF8", "--no-sync")
        options = f"-c listen_addresses='' -c fsync=off -c unix_socket_directories={place}"
        call(f"{folder}/pg_ctl", "-D", f"{data}", "-w", "-l", f"{place}/log", "-o", options, "start")
        yield f"postgresql://nightjar@/postgres?host={place}"
    finally:
        if (data / "postmaster.pid").exists():
            call(f"{folder}/pg_ctl", "-D", f"{data}", "-w", "-m", "immediate", "stop")
        shutil.rmtree(place, ignore_errors=True)


def _other_user() -> dict[str, Any]:
    """initdb refuses root; root therefore starts the server as somebody else."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    pytest.skip("PostgreSQL does not start as root, and there is neither a user postgres nor nobody")
