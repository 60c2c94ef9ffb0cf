"""What only a server can get wrong: connections, and secrets in messages."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from jobs.ops.postgres import Server
from tests.stores import nights, postgres_server

from nightjar.contracts import BadInput
from nightjar.settings import Publish, repository
from nightjar.stores.home import Home
from nightjar.stores.warehouse import DuckDbFile, Postgres, open_warehouse

POSTGRES = Publish(target="postgres", keep_nights=3)


@pytest.mark.parametrize(
    ("uri", "problem"), [("", "is not set"), ("host=db password=hunter2", "is no postgresql:// URI")]
)
def test_a_missing_or_odd_uri_is_named_but_not_shown(
    home: Home, monkeypatch: pytest.MonkeyPatch, uri: str, problem: str
) -> None:
    monkeypatch.setenv("NIGHTJAR_WAREHOUSE_URI", uri)
    with pytest.raises(BadInput, match=problem) as caught:
        open_warehouse(POSTGRES, home)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("postgresql://u:hunter2@127.0.0.1:1/x", "Connection refused"),
        ("postgresql://u@127.0.0.1/x?hunter2=hunter2", "the URI cannot be read"),
    ],
)
def test_no_connection_is_an_environment_error_without_the_secret(
    tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch, uri: str, said: str
) -> None:
    monkeypatch.setenv("NIGHTJAR_WAREHOUSE_URI", uri)
    warehouse = open_warehouse(POSTGRES, home)
    with pytest.raises(ConnectionError, match=f"of NIGHTJAR_WAREHOUSE_URI: .*{said}") as caught:
        nights.put(warehouse, nights.night(tmp_path))
    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r} {warehouse!r}"
    assert caught.value.__suppress_context__


def test_the_default_is_a_file_below_home(home: Home) -> None:
    assert open_warehouse(Publish(target="duckdb", keep_nights=3), home) == DuckDbFile(home.root / "warehouse.duckdb")


@pytest.fixture(scope="module")
def durable() -> Iterator[Server]:
    """Unlike the other tests' server, one that waits for its disk."""
    with postgres_server.running() as server:
        yield server


@pytest.mark.parametrize("point", [point for point, (_, passes) in nights.POINTS.items() if passes is not None])
def test_the_server_killed_anywhere_readers_see_a_whole_night_and_the_next_run_mends(
    durable: Server, tmp_path: Path, point: str
) -> None:
    done = nights.POINTS[point][1]
    schema = f"killed_{point}"
    with Postgres(durable.uri)._connected() as connection:
        connection.cursor().execute(f"CREATE SCHEMA {schema}")
        connection.commit()
    warehouse = Postgres(f"{durable.uri}&options=-csearch_path%3D{schema}")
    nights.put(warehouse, nights.night(tmp_path / "first"))
    night = nights.night(tmp_path / "second", nights.CHANGED)
    file = nights.saved(night, tmp_path / "night.json")
    paths = os.pathsep.join(filter(None, (str(repository()), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": paths}
    killed = durable.pid
    argv = nights.argv(warehouse, file, point, killed)
    struck = subprocess.run(argv, env=environment, capture_output=True, text=True)
    # After its last statement a publisher may end well: nothing is left that could be lost.
    assert struck.returncode == 1 or done, struck.stderr
    assert not psutil.pid_exists(killed), struck.stderr
    assert len(list(night.new_users.glob("*.parquet"))) == (1 if struck.returncode else 0)

    durable.start()
    assert nights.current(warehouse) == nights.expected(nights.CHANGED if done else nights.LISTS)
    mended = subprocess.run(nights.argv(warehouse, file), capture_output=True, text=True, check=True)
    assert json.loads(mended.stdout)["published"] is not done
    assert nights.current(warehouse) == nights.expected(nights.CHANGED)
    assert nights.ask(warehouse, "SELECT count(*) FROM publish_log") == [(2,)]
    assert list(night.new_users.glob("*.parquet")) == []
