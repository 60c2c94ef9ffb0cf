"""Where pseudonyms wait with the shop's ids until publishing takes them into the warehouse."""

from __future__ import annotations

import io
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nightjar.stores.files import write_atomically
from nightjar.stores.home import Home
from nightjar.stores.warehouse.connection import turn


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


def shop_ids_waiting(home: Home, shop: str, pseudonyms: Collection[str]) -> dict[str, str]:
    """Pseudonym -> the shop's id, of those whose mapping rows wait."""
    import pyarrow.parquet as pq

    found: dict[str, str] = {}
    for file in sorted(waiting_folder(home, shop).glob("*.parquet")):
        rows = pq.read_table(file, columns=["pseudonym", "shop_id"], partitioning=None).to_pylist()
        found |= {row["pseudonym"]: row["shop_id"] for row in rows if row["pseudonym"] in pseudonyms}
    return found


def forget_waiting(home: Home, shop: str, pseudonyms: Collection[str]) -> None:
    """Take people out of the mapping rows that wait; a file without others goes."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    folder, gone = waiting_folder(home, shop), pa.array(sorted(pseudonyms), pa.string())
    with turn(folder / ".lock"):  # a publisher lists, merges and deletes them
        for file in sorted(folder.glob("*.parquet")):
            rows = pq.read_table(file, partitioning=None)
            left = rows.filter(pc.invert(pc.is_in(rows["pseudonym"], value_set=gone)))
            if not len(left):
                file.unlink()
            elif len(left) < len(rows):
                content = io.BytesIO()
                pq.write_table(left, content)
                write_atomically(file, content.getvalue(), mode=0o600)
        for leftover in folder.glob("_*"):  # of a clean that was killed
            shutil.rmtree(leftover)
