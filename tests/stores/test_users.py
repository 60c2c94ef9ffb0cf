"""The shop's ids wait where only the owner looks, and nothing half-written waits among them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.stores.nights import DAY

from nightjar.contracts import USERS
from nightjar.contracts.render import arrow_schema
from nightjar.stores.home import Home
from nightjar.stores.lake import write_part
from nightjar.stores.users import keep_users, users_folder, waiting_folder


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def users(*ids: str) -> pa.Table:
    rows = [{"shop": "acme", "pseudonym": f"p-{name}", "shop_id": name, "id_kind": "user"} for name in ids]
    return pa.Table.from_pylist(rows, arrow_schema(USERS))


def test_what_is_kept_waits_and_the_rest_is_gone(home: Home) -> None:
    with users_folder(home, "acme") as folder:
        waiting = waiting_folder(home, "acme")
        first, second, failed = (
            write_part(folder, USERS, DAY, bucket, users(name)) for bucket, name in enumerate(("ann", "bob", "eve"))
        )
        assert list(waiting.glob("*.parquet")) == []
        assert {mode(path) for path in (home.secrets, waiting.parent, waiting, folder)} == {0o700}
        keep_users(folder, [first.file, second.file])
        assert Path(failed.file).exists()
    assert not folder.exists()
    waits = sorted(waiting.iterdir())
    assert [path.suffix for path in waits] == [".parquet"] * 2
    assert {mode(path) for path in waits} == {0o600}
    found = [row for path in waits for row in pq.read_table(path).to_pylist()]
    assert sorted(row["shop_id"] for row in found) == ["ann", "bob"]


def test_runs_add_to_what_waits_and_shops_are_apart(home: Home) -> None:
    for shop, name in (("acme", "ann"), ("acme", "bob"), ("other", "eve")):
        with users_folder(home, shop) as folder:
            keep_users(folder, [write_part(folder, USERS, DAY, 0, users(name)).file])
    assert [len(list(waiting_folder(home, shop).iterdir())) for shop in ("acme", "other", "third")] == [2, 1, 0]


def test_a_run_that_fails_leaves_nobody(home: Home) -> None:
    def fail() -> None:
        with users_folder(home, "acme") as folder:
            write_part(folder, USERS, DAY, 0, users("ann"))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert list(waiting_folder(home, "acme").iterdir()) == []
