"""Where people stand by recency, frequency and spend: published, shown and taken back with the night."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import nights
import pytest
from nights import DAY, ask, put

from nightjar.contracts import GateFailed
from nightjar.stores.warehouse import Night, Warehouse, rollback

TODAY, TOMORROW = nights.days(2)

#: Ada came last; Bob and Cy never bought.
DAYS_AGO = {"p-ada": 0, "p-bob": 1, "p-cy": 2, "p-dee": 7, "p-eve": 30}
SPEND = {"p-ada": 5.0, "p-dee": 80.0, "p-eve": 20.0}
SCORES = "SELECT score_name, user_id, observed, score, band FROM v_user_scores_current ORDER BY 1, 2"


def scored(folder: Path, *, day: date = DAY, spend: dict[str, float] = SPEND) -> Night:
    return nights.night(
        folder, day=day, user_features=nights.features(DAYS_AGO, spend, day=day), users=nights.users(list(DAYS_AGO))
    )


def test_a_score_is_the_share_of_the_others_who_did_worse(warehouse: Warehouse, tmp_path: Path) -> None:
    put(warehouse, scored(tmp_path))
    assert ask(warehouse, SCORES) == [
        *(("frequency", user, 1.0, 0.0, 1) for user in ("ada", "bob", "cy", "dee", "eve")),
        ("monetary", "ada", 5.0, 0.5, 3),
        ("monetary", "bob", 0.0, 0.0, 1),
        ("monetary", "cy", 0.0, 0.0, 1),
        ("monetary", "dee", 80.0, 1.0, 5),
        ("monetary", "eve", 20.0, 0.75, 4),
        ("recency", "ada", 0.0, 1.0, 5),
        ("recency", "bob", 24.0, 0.75, 4),
        ("recency", "cy", 48.0, 0.5, 3),
        ("recency", "dee", 168.0, 0.25, 2),
        ("recency", "eve", 720.0, 0.0, 1),
    ]


def test_one_column_names_a_row_and_one_joins_the_people(warehouse: Warehouse, tmp_path: Path) -> None:
    put(warehouse, scored(tmp_path))
    rows = ask(
        warehouse,
        "SELECT s.row_key, u.id_kind FROM v_user_scores_current s JOIN v_dim_users u ON u.user_key = s.user_key"
        " WHERE s.score_name = 'recency' ORDER BY 1 LIMIT 1",
    )
    assert rows == [("acme|2001-01-15|recency|ada", "user")]


def test_the_pointer_moves_scores_and_lists_together(warehouse: Warehouse, tmp_path: Path) -> None:
    spend = "SELECT sum(observed) FROM v_user_scores_current WHERE score_name = 'monetary'"
    put(warehouse, scored(tmp_path / "today"))
    put(warehouse, scored(tmp_path / "tomorrow", day=TOMORROW, spend={"p-ada": 1.0}))
    assert ask(warehouse, spend) == [(1.0,)]
    rollback(warehouse, nights.SHOP, TODAY.isoformat(), now=nights.at())
    assert ask(warehouse, spend) == [(105.0,)]


def test_other_scores_alone_are_published_and_the_same_are_not(warehouse: Warehouse, tmp_path: Path) -> None:
    put(warehouse, nights.night(tmp_path / "without"))
    assert ask(warehouse, SCORES) == []
    first = put(warehouse, scored(tmp_path / "first"))
    again = put(warehouse, scored(tmp_path / "again"))
    assert (first.published, again.published) == (True, False)
    assert put(warehouse, scored(tmp_path / "other", spend={})).published
    assert len(ask(warehouse, SCORES)) == 3 * len(DAYS_AGO)


def test_whoever_the_mapping_does_not_know_stops_the_night(warehouse: Warehouse, tmp_path: Path) -> None:
    put(warehouse, nights.night(tmp_path / "today"))
    nobody_mapped_eve = nights.features(DAYS_AGO, SPEND, day=TOMORROW)
    with pytest.raises(GateFailed, match="scored_unknown_users: 3 scores of unknown people"):
        put(warehouse, nights.night(tmp_path / "tomorrow", day=TOMORROW, user_features=nobody_mapped_eve))
    assert ask(warehouse, "SELECT dt FROM publish_current") == [(TODAY,)]
