"""The job over a lake of its own: a night's lists, and what people did the day after."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.jobs import night

from nightjar.contracts import (
    IDENTITY,
    ITEMS,
    REALISED,
    RECOMMENDATIONS,
    SEQUENCES,
    SESSION_EVENTS,
    SESSIONS,
    Kind,
    Table,
)
from nightjar.contracts.render import arrow_schema
from nightjar.score.catalogue import Catalogue
from nightjar.score.recommend import Night, Recommender
from nightjar.stores.files import write_json
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake
from nightjar.stores.ledgers import read_rows

realise = night.module("realise")

NEXT = night.DAY + timedelta(days=1)
NOON = datetime(2001, 1, 16, 12, tzinfo=UTC)
SETS = ("realised.cutoffs=[2, 5]", "score.popular_days=7")


def stage(lake: Lake, table: Table, rows: list[dict[str, Any]], day: Any) -> Any:
    schema = arrow_schema(table)
    nothing: dict[str, Any] = {"string": "", "int": 0, "long": 0, "boolean": False, "double": 0.0, "timestamp": NOON}
    filled = [
        {c.name: nothing.get(c.type, day) for c in table.columns if not c.nullable} | {"dt": day} | row for row in rows
    ]
    return lake.stage_arrow(pa.Table.from_pylist(filled, schema), table, night.SHOP, "test", days=[day])


@pytest.fixture
def filled(home: Home) -> Home:
    """30 people along the ring, one of them known by two devices; lists by popularity; a day of visits after."""
    lake = Lake(home.lake)
    past, _ = night.walks(30, seed=3)
    night.fill(lake, past, {}, day=night.DAY)
    conf = night.job(home, "score").conf.score
    end = night.job(home, "score").source.end_of(night.DAY)
    catalogue = Catalogue.read(lake.files(night.partition(ITEMS)))
    recommender = Recommender(Night(night.SHOP, night.DAY, end, conf), catalogue, None)
    histories = [
        batch for file in lake.files(night.partition(SEQUENCES)) for batch in pq.ParquetFile(file).iter_batches()
    ]
    lists = pa.Table.from_batches(list(recommender.recommend(histories)))
    person, other, missed = sorted(past)[:3]
    top = {row["user_id"]: row["item_id"] for row in lists.to_pylist() if row["rank"] == 1}
    did = [
        {"event_id": "1", "visitor_id": "phone", "kind": Kind.VIEW.value, "item_id": top[person]},
        {
            "event_id": "2",
            "visitor_id": "phone",
            "kind": "purchase",
            "item_id": top[person],
            "price": 4.0,
            "quantity": 3,
        },
        {"event_id": "3", "visitor_id": "pc", "user_id": other, "kind": "view", "item_id": "i99"},
        {"event_id": "4", "visitor_id": "stranger", "kind": "view", "item_id": top[person]},
        {"event_id": "5", "visitor_id": missed, "kind": "view", "item_id": top[missed], "is_bot": True},
    ]
    lake.commit(
        [
            lake.stage_arrow(lists, RECOMMENDATIONS, night.SHOP, "test", days=[night.DAY]),
            stage(lake, IDENTITY, [{"member_id": "phone", "person_id": person}], night.DAY),
            stage(lake, SESSION_EVENTS, [{"event_ts": NOON, **row} for row in did], NEXT),
        ]
    )
    # What the next night finds out about the phone must not be known.
    lake.commit([stage(lake, IDENTITY, [{"member_id": "phone", "person_id": missed}], NEXT)])
    write_json(home.result(night.SHOP, night.DAY, "publish"), {"status": "done"})
    return home


def run(home: Home, *sets: str, replayed: bool = False) -> dict[str, Any]:
    args = argparse.Namespace(sessions=SESSIONS.at(night.SHOP, NEXT), replayed=replayed)
    counts: dict[str, Any] = realise.main(args, night.job(home, "realise", *SETS, *sets))
    return counts


def rows(home: Home) -> list[dict[str, Any]]:
    return read_rows(Lake(home.lake), REALISED, night.partition(REALISED))


def test_a_night_is_judged(filled: Home) -> None:
    counts = run(filled)
    assert {name: counts[name] for name in ("rows_in", "night", "active_people", "people_without_list")} == {
        "rows_in": 30,
        "night": "2001-01-15",
        "active_people": 2,
        "people_without_list": 1,
    }
    (row,) = (row for row in rows(filled) if (row["segment"], row["list"], row["k"]) == ("(all)", "shown", 5))
    assert (row["num_lists"], row["num_active"], row["num_hits"], row["ndcg_sum"]) == (30, 2, 1, 1.0)
    assert (row["num_purchases"], row["num_listed_purchases"], row["listed_revenue"]) == (1, 1, 12.0)
    assert (row["origin"], row["strategy"], row["model_name"]) == ("published", "popular", "popularity")
    # The lists were what is popular, so the control is the same.
    control = [row for row in rows(filled) if row["list"] == "popular"]
    shown = [row for row in rows(filled) if row["list"] == "shown"]
    assert [{**row, "list": ""} for row in control] == [{**row, "list": ""} for row in shown]
    assert counts["realised"]["shown"]["hit_rate"] == 0.5
    assert counts["held_out_effect"] == {}


def test_again_it_says_the_same_and_replays_stand_beside(filled: Home) -> None:
    run(filled)
    before = rows(filled)
    run(filled)
    assert rows(filled) == before
    run(filled, replayed=True)
    assert [row for row in rows(filled) if row["origin"] == "published"] == before
    assert len(rows(filled)) == 2 * len(before)


def test_a_night_that_nobody_saw_is_not_judged(filled: Home) -> None:
    filled.result(night.SHOP, night.DAY, "publish").unlink()
    counts = run(filled)
    assert (counts["rows_out"], counts["reason"]) == (0, "it was not published")
    assert rows(filled) == []
    assert run(filled, "realised.window_days=3")["reason"] == "it has no recommendations"
