"""The warehouse: what BI and CRM tools read, one complete night at a time."""

from __future__ import annotations

from nightjar.settings import Publish
from nightjar.stores.home import Home
from nightjar.stores.touched import Outside
from nightjar.stores.warehouse import cloud
from nightjar.stores.warehouse.connection import Warehouse
from nightjar.stores.warehouse.duckdb_file import DuckDbFile
from nightjar.stores.warehouse.erasure import erase, shop_ids
from nightjar.stores.warehouse.postgres import Postgres
from nightjar.stores.warehouse.publication import MartDay, Night, Publication, publish
from nightjar.stores.warehouse.queries import Recommended, held_models, history, sample
from nightjar.stores.warehouse.rollback import LATEST, Rollback, rollback
from nightjar.stores.warehouse.schema import WAREHOUSE_DAYS
from nightjar.stores.warehouse.views import views

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
    "erase",
    "held_models",
    "history",
    "open_warehouse",
    "publish",
    "rollback",
    "sample",
    "shop_ids",
    "what_readers_see",
]


def what_readers_see(target: str) -> list[Outside]:
    """Views and analysis tables as lineage names them, by the kind of warehouse: its address may hold a password."""
    shown = [
        Outside(target, view.name, view.doc, tuple(column for column, _ in view.columns)) for view in views(target)
    ]
    return [*shown, *(Outside(target, table.name, table.doc, table.columns) for table in WAREHOUSE_DAYS)]


def open_warehouse(conf: Publish, home: Home) -> Warehouse:
    """The configured target; opens nothing yet.

    Raises:
        BadInput: a server is configured and NIGHTJAR_WAREHOUSE_URI is missing or of another form.
    """
    if conf.target == "duckdb":
        return DuckDbFile(home.warehouse)
    if conf.target == "postgres":
        return Postgres.from_environment()
    return cloud.from_environment(conf.target)
