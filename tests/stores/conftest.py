"""Warehouses to publish to: DuckDB files, and schemas of one PostgreSQL server."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.stores import nights, postgres_server

from nightjar.stores.warehouse import DuckDbFile, Postgres, Warehouse

_SCHEMAS = itertools.count()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with postgres_server.running("fsync=off") as running:
        yield running.uri


@pytest.fixture(params=["duckdb", "postgres"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    return empty(request, tmp_path)


@pytest.fixture(params=["duckdb", "postgres"], scope="module")
def published(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Warehouse:
    """One with a night in it, for tests that must leave it as it is."""
    folder = tmp_path_factory.mktemp("published")
    made = empty(request, folder)
    nights.put(made, nights.night(folder))
    return made


def empty(request: pytest.FixtureRequest, folder: Path) -> Warehouse:
    """PostgreSQL gives every test a schema of its own."""
    if request.param == "duckdb":
        return DuckDbFile(folder / "warehouse.duckdb")
    server = request.getfixturevalue("server")
    schema = f"test_{next(_SCHEMAS)}"
    with Postgres(server)._connected() as connection:
        connection.cursor().execute(f"CREATE SCHEMA {schema}")
        connection.commit()
    return Postgres(f"{server}&options=-csearch_path%3D{schema}")
