"""Where pseudonyms wait with the shop's ids until publishing takes them into the warehouse."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nightjar.stores.home import Home


def waiting_folder(home: Home, shop: str) -> Path:
    """Below `secrets/`, readable by the owner only: the lake itself never holds a shop's id."""
    folder = home.secrets / "users" / shop
    for path in (home.secrets, home.secrets / "users", folder):
        path.mkdir(exist_ok=True, parents=True, mode=0o700)
    return folder


@contextmanager
def users_folder(home: Home, shop: str) -> Iterator[Path]:
    """Where a job's tasks write rows of the `users` contract; what is not kept by then is deleted."""
    folder = waiting_folder(home, shop) / f"_{uuid.uuid4().hex[:12]}"
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def keep_users(folder: Path, files: Iterable[str]) -> None:
    """Add files of `users_folder` to those that wait; each appears whole, by rename."""
    for file in map(Path, files):
        file.chmod(0o600)
        file.rename(folder.parent / f"{folder.name.strip('_')}-{file.name}")
