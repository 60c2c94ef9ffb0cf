"""A PostgreSQL of one's own from the binaries of this machine, for tests and benchmarks: started, used, deleted."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightjar.contracts import BadInput


@dataclass(frozen=True)
class Server:
    """A running server on a Unix socket."""

    uri: str  # of an empty database
    data: Path

    @property
    def pid(self) -> int:
        """Of the process that all others of the server descend from."""
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])


def binaries() -> Path:
    """The folder with initdb and pg_ctl, of the newest version that is installed.

    Raises:
        BadInput: there is none.
    """
    found = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    on_path = shutil.which("initdb")
    found += [Path(on_path).resolve().parent] if on_path else []
    if not found:
        raise BadInput(
            "no PostgreSQL: initdb is neither on PATH nor below /usr/lib/postgresql", "apt-cache policy postgresql"
        )
    return max(found, key=lambda path: path.parent.name.zfill(4))


@contextmanager
def running(*options: str) -> Iterator[Server]:
    """A started server with its own data, deleted afterwards.

    Args:
        options: settings such as `fsync=off`; the server's defaults otherwise.

    Raises:
        BadInput: there is no PostgreSQL, or nobody who may start it.
    """
    folder, who = binaries(), _other_user()
    place = Path(tempfile.mkdtemp(prefix="nightjar-pg-"))
    if who:
        os.chown(place, who["user"], who["group"])
    data = place / "data"

    def call(*argv: str) -> None:
        # The server inherits the descriptors: a pipe that it keeps open would never end.
        subprocess.run(argv, check=True, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **who)

    settings = ("listen_addresses=''", f"unix_socket_directories={place}", *options)
    try:
        call(f"{folder}/initdb", "-D", f"{data}", "-U", "nightjar", "-A", "trust", "-E", "UTF8", "--no-sync")
        said = " ".join(f"-c {setting}" for setting in settings)
        call(f"{folder}/pg_ctl", "-D", f"{data}", "-w", "-l", f"{place}/log", "-o", said, "start")
        yield Server(f"postgresql://nightjar@/postgres?host={place}", data)
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
    raise BadInput("PostgreSQL does not start as root, and there is neither a user postgres nor nobody", "id nobody")
