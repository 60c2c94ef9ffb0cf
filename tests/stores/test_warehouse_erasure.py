"""People out of the warehouse, of mapping rows that wait, and of exports; on DuckDB and PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from tests.stores import nights
from tests.stores.nights import SHOP

from nightjar.contracts import USERS
from nightjar.stores.exports import export, forget
from nightjar.stores.home import Home
from nightjar.stores.users import forget_waiting, shop_ids_waiting, waiting_folder
from nightjar.stores.warehouse import DuckDbFile, Warehouse, erase, rollback, shop_ids

ADA = {"members": ["p-ada"], "shop_ids": ["ada"]}
NOBODY = {"members": ["p-none"], "shop_ids": []}
FIRST, SECOND = nights.days(2)


@pytest.fixture
def two(warehouse: Warehouse, tmp_path: Path) -> Warehouse:
    for day in (FIRST, SECOND):
        people = dict.fromkeys(nights.LISTS, 1)
        rows = {
            "user_features": nights.features(people, {}, day=day),
            "foretold": nights.foretold({"p-ada": 0.5, "p-bob": 0.5}, day=day),
            "decisions": nights.decisions({"p-ada": "act", "p-bob": "control"}, day=day),
        }
        nights.put(warehouse, nights.night(tmp_path / str(day), day=day, **rows))
    return warehouse


def names(rows: dict[str, list[tuple[Any, ...]]]) -> set[str]:
    return {value for table in rows.values() for row in table for value in row if isinstance(value, str)}


def test_a_persons_rows_go_and_no_others(two: Warehouse) -> None:
    before = nights.everything(two)
    seen: list[Any] = []
    erase(two, SHOP, [ADA, NOBODY], found=seen.append)
    after = nights.everything(two)
    own = {"ada", "p-ada"}
    for table, rows in before.items():
        assert after[table] == [row for row in rows if not own & {*row}], table
    assert not {text for text in names(after) if "ada" in text.split("|") or text in own}
    assert seen == [
        [
            {"recommendations": 6, "user_scores": 8, "decisions": 2, "crm_states": 2, "crm_gone": 0, "users": 1},
            {"users": 0},
        ]
    ]
    assert nights.current(two) == [row for row in nights.current(two) if row[1] != "ada"] != []
    rollback(two, SHOP, now=nights.at())
    assert {row[1] for row in nights.current(two)} == {"bob", "cy", "dee"}
    if isinstance(two, DuckDbFile):
        assert b"p-ada" not in two.path.read_bytes()
        assert {path.name for path in two.path.parent.glob("warehouse*")} == {
            "warehouse.duckdb",
            "warehouse.duckdb.lock",
        }
    again: list[Any] = []
    erase(two, SHOP, [ADA], found=again.append)
    assert sum(again[0][0].values()) == 0


def test_another_shops_person_of_that_name_stays(two: Warehouse, tmp_path: Path) -> None:
    night = nights.night(tmp_path / "other", users=nights.users(list(nights.LISTS), shop="bats"))
    rows = nights.recommendations(shop="bats")
    files = nights.write(tmp_path / "other", nights.RECOMMENDATIONS, rows, "bats")
    nights.put(two, nights.replace(nights.of_shop(night, "bats"), recommendations=files))
    erase(two, SHOP, [ADA], found=lambda _: None)
    left = nights.ask(two, "SELECT DISTINCT shop FROM recommendations WHERE user_id = 'ada'")
    assert left == [("bats",)]
    assert shop_ids(two, "bats", {"p-ada", "p-none"}) == {"p-ada": "ada"}
    assert shop_ids(two, SHOP, {"p-ada"}) == {}


def test_the_night_can_be_published_again(two: Warehouse, tmp_path: Path) -> None:
    """As the lake has it then: without her."""
    erase(two, SHOP, [ADA], found=lambda _: None)
    lists = {person: items for person, items in nights.LISTS.items() if person != "p-ada"}
    nights.put(two, nights.night(tmp_path / "again", lists, day=SECOND))
    assert {row[1] for row in nights.current(two)} == {"bob", "cy", "dee"}
    assert nights.ask(two, "SELECT user_id FROM crm_deletions") == []


def test_a_server_without_a_single_publication(server: str) -> None:
    from nightjar.stores.warehouse import Postgres, held_models

    with Postgres(server)._connected() as connection:
        connection.cursor().execute("CREATE SCHEMA untouched")
        connection.commit()
    untouched = Postgres(f"{server}&options=-csearch_path%3Duntouched")
    assert shop_ids(untouched, SHOP, {"p-ada"}) == {}
    assert held_models(untouched, SHOP, "nightjar_acme") == set()
    erase(untouched, SHOP, [ADA], found=lambda _: None)


def test_exports_that_name_the_person_go_whole(warehouse: Warehouse, tmp_path: Path) -> None:
    root = tmp_path / "exports"
    nights.put(warehouse, nights.night(tmp_path / "first"))
    for target in ("braze", "hubspot", "sfmc", "klaviyo"):
        export(warehouse, SHOP, target, root)
    assert forget(root, SHOP, {"ad", "bob ", "p-ada"}) == 0, "no person is called that"
    erase(warehouse, SHOP, [ADA], found=lambda _: None)
    assert forget(root, SHOP, {"ada"}) == 4
    assert [path for path in root.rglob("*") if path.is_file() and path.name != ".lock"] == []
    told = export(warehouse, SHOP, "braze", root)
    assert told is not None
    assert (told.num_changed, told.since) == (3, "")


def test_mapping_rows_that_wait(home: Home, tmp_path: Path) -> None:
    folder = waiting_folder(home, SHOP)
    nights.write(folder, USERS, nights.users(["p-ada", "p-bob"]), "one")
    nights.write(folder, USERS, nights.users(["p-ada"]), "two")
    (folder / "_of_a_killed_clean").mkdir()
    assert shop_ids_waiting(home, SHOP, {"p-ada", "p-cy"}) == {"p-ada": "ada"}
    forget_waiting(home, SHOP, {"p-ada"})
    (file,) = folder.glob("*.parquet")
    assert pq.read_table(file)["shop_id"].to_pylist() == ["bob"]
    assert file.stat().st_mode & 0o777 == 0o600
    assert {path.name for path in folder.iterdir()} == {file.name, ".lock"}
