"""Where pseudonyms wait with the shop's ids until publishing takes them into the warehouse."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from nightjar.stores.home import Home

if TYPE_CHECKING:
    from pyspark.sql import DataFrame


def waiting_folder(home: Home, shop: str) -> Path:
    """Below `secrets/`, readable by the owner only: the lake itself never holds a shop's id."""
    folder = home.secrets / "users" / shop
    for path in (home.secrets, home.secrets / "users", folder):
        path.mkdir(exist_ok=True, parents=True, mode=0o700)
    return folder


def stage_users(users: DataFrame, home: Home, shop: str) -> None:
    """Add rows of the `users` contract to those that wait; whole files appear by rename."""
    folder = waiting_folder(home, shop)
    name = uuid.uuid4().hex[:12]
    temporary = folder / f"_{name}"
    try:
        users.coalesce(1).write.parquet(str(temporary))
        for number, path in enumerate(sorted(temporary.glob("*.parquet"))):
            path.chmod(0o600)
            path.rename(folder / f"{name}-{number}.parquet")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
