"""A PostgreSQL of one's own from the binaries of this machine, for tests and benchmarks: started, used, deleted."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from nightjar.contracts import BadInput


@dataclass(frozen=True)
class Server:
    """A running server on a Unix socket."""

    place: Path  #: everything that it writes
    options: tuple[str, ...]

    @property
    def uri(self) -> str:
        """Of an empty database."""
        return f"postgresql://nightjar@/postgres?host={self.place}"

    @property
    def data(self) -> Path:
        return self.place / "data"

    @property
    def pid(self) -> int:
        """Of the process that all others of the server descend from."""
        return int((self.data / "postmaster.pid").read_text().splitlines()[0])

    def start(self) -> None:
        """Returns when it answers; after a crash it has replayed its log by then."""
        said = " ".join(
            f"-c {one}" for one in ("listen_addresses=''", f"unix_socket_directories={self.place}", *self.options)
        )
        self._call("pg_ctl", "-D", f"{self.data}", "-w", "-l", f"{self.place}/log", "-o", said, "start")

    def stop(self) -> None:
        if (self.data / "postmaster.pid").exists():
            self._call("pg_ctl", "-D", f"{self.data}", "-w", "-m", "immediate", "stop")

    def kill(self) -> None:
        """SIGKILL to every process of it, as when its machine goes away."""
        kill_family(self.pid)

    def _call(self, program: str, *arguments: str) -> None:
        # The server inherits the descriptors: a pipe that it keeps open would never end.
        argv, quiet = [f"{binaries()}/{program}", *arguments], subprocess.DEVNULL
        subprocess.run(argv, check=True, cwd=self.place, stdout=quiet, stderr=quiet, **_other_user())

    @classmethod
    def made(cls, place: Path, options: tuple[str, ...]) -> Server:
        """One with an empty cluster, not yet started."""
        server = cls(place, options)
        server._call("initdb", "-D", f"{server.data}", "-U", "nightjar", "-A", "trust", "-E", "UTF8", "--no-sync")
        return server


def kill_family(pid: int) -> None:
    """SIGKILL to a process and everything below it; returns when they are gone."""
    top = psutil.Process(pid)
    top.suspend()  # or it starts a child between the listing and its death, and that one holds the data's lock
    family = [top, *top.children(recursive=True)]
    for member in family:
        with suppress(psutil.NoSuchProcess):
            member.kill()
    psutil.wait_procs(family, timeout=10)


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
    who = _other_user()
    place = Path(tempfile.mkdtemp(prefix="nightjar-pg-"))
    if who:
        os.chown(place, who["user"], who["group"])
    server: Server | None = None
    try:
        server = Server.made(place, options)
        server.start()
        yield server
    finally:
        if server is not None:
            server.stop()
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
