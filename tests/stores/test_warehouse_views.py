"""What BI and CRM tools read: the star, one row per person, and what changed."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.stores import nights
from tests.stores.nights import DAY, LISTS, SHOP, ask

from nightjar.stores.warehouse import Warehouse, publish, rollback
from nightjar.stores.warehouse.views import views

TODAY, TOMORROW, AFTER = nights.days(3)


def at(hour: int) -> datetime:
    return datetime(2001, 1, 20, hour)


def publish_at(hour: int, warehouse: Warehouse, folder: Path, lists: Any = LISTS, day: date = DAY, **rows: Any) -> None:
    moment = at(hour).replace(tzinfo=UTC)
    night = nights.night(folder / f"at-{hour}", lists, day=day, **rows)
    publish(warehouse, night, nights.conf(), now=nights.at(moment))


def roll_at(hour: int, warehouse: Warehouse, to: date) -> None:
    rollback(warehouse, SHOP, to.isoformat(), now=nights.at(at(hour).replace(tzinfo=UTC)))


def changed(warehouse: Warehouse) -> dict[str, int]:
    """Person -> hour of changed_at."""
    rows = ask(warehouse, "SELECT user_id, changed_at FROM crm_users WHERE shop = $1", SHOP)
    return {user: moment.hour for user, moment in rows}


def gone(warehouse: Warehouse) -> dict[str, int]:
    return {user: moment.hour for user, moment in ask(warehouse, "SELECT user_id, deleted_at FROM crm_deletions")}


def test_every_view_answers_and_explains_each_column(warehouse: Warehouse, tmp_path: Path) -> None:
    publish_at(1, warehouse, tmp_path)
    for view in views("duckdb"):
        names = [column.name for column, _ in view.columns]
        with warehouse.reader() as db:
            comments = nights.view_columns(db, view.name)
            assert list(comments) == names
            assert all(comments.values()), view.name
            db.query(f"SELECT {', '.join(names)} FROM {view.name}")


def test_the_star_joins_by_one_column_each(warehouse: Warehouse, tmp_path: Path) -> None:
    publish_at(1, warehouse, tmp_path)
    publish_at(2, warehouse, tmp_path, day=TOMORROW)
    rows = ask(
        warehouse,
        "SELECT n.dt, n.is_current, i.category, u.id_kind, count(*), count(DISTINCT f.row_key)"
        " FROM v_fact_recommendations f JOIN v_dim_items i ON i.item_key = f.item_key"
        " JOIN v_dim_users u ON u.user_key = f.user_key JOIN v_dim_nights n ON n.night_key = f.night_key"
        " GROUP BY 1, 2, 3, 4 ORDER BY 1",
    )
    assert rows == [(TODAY, False, "tea", "user", 12, 12), (TOMORROW, True, "tea", "user", 12, 12)]


def test_a_persons_row_says_everything_as_json(warehouse: Warehouse, tmp_path: Path) -> None:
    publish_at(1, warehouse, tmp_path)
    ((key, payload),) = ask(warehouse, "SELECT row_key, payload FROM crm_users WHERE user_id = 'ada'")
    assert key == "acme|ada"
    items = json.loads(payload)["recommendations"]
    assert [item["item_id"] for item in items] == ["i1", "i2", "i3"]
    assert items[0] == {
        "surface": "home",
        "rank": 1,
        "item_id": "i1",
        "title": "Title of i1",
        "category": "tea",
        "brand": None,
        "price": 2.5,
        "reason_code": "because_viewed",
    }


def test_changed_at_moves_only_when_the_content_moves(warehouse: Warehouse, tmp_path: Path) -> None:
    publish_at(1, warehouse, tmp_path)
    assert changed(warehouse) == dict.fromkeys(("ada", "bob", "cy", "dee"), 1)
    other_scores = [
        row | {"score": row["score"] / 2, "model_version": "8"} for row in nights.recommendations(day=TOMORROW)
    ]
    other_scores = [r | ({"model_version": "1"} if r["strategy"] == "popular" else {}) for r in other_scores]
    publish_at(2, warehouse, tmp_path, day=TOMORROW, recommendations=other_scores)
    assert set(changed(warehouse).values()) == {1}, "scores and versions are no content"
    swapped = LISTS | {"p-ada": ("i2", "i1", "i3")}
    publish_at(3, warehouse, tmp_path, swapped, day=AFTER)
    assert changed(warehouse) == {"ada": 3, "bob": 1, "cy": 1, "dee": 1}
    assert ask(warehouse, "SELECT user_id FROM crm_changed") == [("ada",)]
    dearer = [row | ({"price": 3.0} if row["item_id"] == "i4" else {}) for row in nights.items(day=AFTER)]
    publish_at(4, warehouse, tmp_path, swapped, day=AFTER, items=dearer)
    assert changed(warehouse) == {"ada": 3, "bob": 4, "cy": 1, "dee": 1}, "only bob is shown i4"


def test_who_leaves_is_told_until_they_come_back(warehouse: Warehouse, tmp_path: Path) -> None:
    publish_at(1, warehouse, tmp_path)
    without_bob = {person: items for person, items in LISTS.items() if person != "p-bob"}
    publish_at(2, warehouse, tmp_path, without_bob, day=TOMORROW)
    assert gone(warehouse) == {"bob": 2}
    publish_at(3, warehouse, tmp_path, day=AFTER)
    assert (gone(warehouse), changed(warehouse)["bob"]) == ({}, 3)


def test_a_rollback_is_news_for_those_whose_content_differs(warehouse: Warehouse, tmp_path: Path) -> None:
    """Back, back again and forward: changed_at never steps back, and always tells who must be synced."""
    eve = {person: items for person, items in LISTS.items() if person != "p-dee"} | {"p-eve": ("i1", "i2", "i3")}
    publish_at(1, warehouse, tmp_path)
    publish_at(2, warehouse, tmp_path, LISTS | {"p-ada": ("i3", "i2", "i1")}, day=TOMORROW)
    publish_at(3, warehouse, tmp_path, eve | {"p-bob": ("i5", "i4", "i3")}, day=AFTER)
    assert changed(warehouse) == {"ada": 3, "bob": 3, "cy": 1, "eve": 3}
    assert gone(warehouse) == {"dee": 3}

    roll_at(4, warehouse, TOMORROW)
    assert changed(warehouse) == {"ada": 4, "bob": 4, "cy": 1, "dee": 4}
    assert gone(warehouse) == {"eve": 4}
    roll_at(5, warehouse, TODAY)
    assert changed(warehouse) == {"ada": 5, "bob": 4, "cy": 1, "dee": 4}
    assert gone(warehouse) == {"eve": 4}
    roll_at(6, warehouse, AFTER)
    assert changed(warehouse) == {"ada": 5, "bob": 6, "cy": 1, "eve": 6}
    assert gone(warehouse) == {"dee": 6}
    publish_at(7, warehouse, tmp_path, eve, day=AFTER)
    assert changed(warehouse) == {"ada": 5, "bob": 7, "cy": 1, "eve": 6}
    assert gone(warehouse) == {"dee": 6}


def test_shops_have_their_own_people(warehouse: Warehouse, tmp_path: Path) -> None:
    publish_at(1, warehouse, tmp_path)
    other = nights.night(
        tmp_path / "zoo",
        {"p-ada": ("i1", "i2", "i3")},
        recommendations=nights.recommendations({"p-ada": ("i1", "i2", "i3")}, shop="zoo"),
        users=nights.users(["p-ada"], shop="zoo"),
        promotions=[],
        data_quality=[],
    )
    nights.put(warehouse, nights.of_shop(other, "zoo"))
    assert changed(warehouse) == dict.fromkeys(("ada", "bob", "cy", "dee"), 1)
    assert ask(warehouse, "SELECT user_id FROM crm_users WHERE shop = 'zoo'") == [("ada",)]
    assert gone(warehouse) == {}


@pytest.mark.parametrize("dialect", ["snowflake", "bigquery"])
def test_other_dialects_have_the_same_views(dialect: str) -> None:
    assert [view.name for view in views(dialect)] == [view.name for view in views("duckdb")]
