"""The warehouse: what BI and CRM tools read, in DuckDB or PostgreSQL, one complete night at a time."""

from __future__ import annotations

from nightjar.contracts import BadInput
from nightjar.settings import Publish
from nightjar.stores.home import Home
from nightjar.stores.warehouse.connection import Warehouse
from nightjar.stores.warehouse.duckdb_file import DuckDbFile
from nightjar.stores.warehouse.postgres import Postgres
from nightjar.stores.warehouse.publication import MartDay, Night, Publication, publish
from nightjar.stores.warehouse.queries import Recommended, history, sample
from nightjar.stores.warehouse.rollback import LATEST, Rollback, rollback

__all__ = [
    "LATEST",
    "DuckDbFile",
    "MartDay",
    "Night",
    "Postgres",
    "Publication",
    "Recommended",
    "Rollback",
    "Warehouse",
    "history",
    "open_warehouse",
    "publish",
    "rollback",
    "sample",
]


def open_warehouse(conf: Publish, home: Home) -> Warehouse:
    """The configured target; opens nothing yet.

    Raises:
        BadInput: PostgreSQL is configured and NIGHTJAR_WAREHOUSE_URI is missing or no URI.
    """
    if conf.target == "duckdb":
        return DuckDbFile(home.warehouse)
    if conf.target == "postgres":
        return Postgres.from_environment()
    raise BadInput(f"no such warehouse {conf.target}", "--set publish.target=duckdb")
