"""Back to an earlier night and forward again: one pointer, one row of the log."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.stores import nights
from tests.stores.nights import DAY, LISTS, SHOP, ask, current, everything, expected, put

from nightjar.contracts import BadInput
from nightjar.stores.warehouse import DuckDbFile, Rollback, Warehouse, history, rollback

TODAY, TOMORROW, AFTER = nights.days(3)
OTHER = LISTS | {"p-ada": ("i5", "i4", "i3")}
LATER = datetime(2001, 1, 18, 9, tzinfo=UTC)


@pytest.fixture
def two_nights(warehouse: Warehouse, tmp_path: Path) -> Warehouse:
    put(warehouse, nights.night(tmp_path, day=TODAY))
    put(warehouse, nights.night(tmp_path, OTHER, day=TOMORROW))
    return warehouse


def back(warehouse: Warehouse, to: str = "") -> Rollback:
    return rollback(warehouse, SHOP, to, now=nights.at(LATER), run_id="by hand")


def test_back_to_the_night_before_and_forward_again(two_nights: Warehouse) -> None:
    first, second = (row["publish_id"] for row in reversed(history(two_nights, SHOP)))
    assert back(two_nights) == Rollback(True, TODAY, first, TOMORROW, (TOMORROW, TODAY))
    assert current(two_nights) == expected(LISTS, TODAY)
    assert ask(two_nights, "SELECT dt, publish_id, moved_at FROM v_freshness") == [
        (TODAY, first, datetime(2001, 1, 18, 9))
    ]
    assert back(two_nights, "latest") == Rollback(True, TOMORROW, second, TODAY, (TOMORROW, TODAY))
    assert current(two_nights) == expected(OTHER, TOMORROW)


def test_every_move_is_logged_with_what_readers_saw_before(two_nights: Warehouse) -> None:
    back(two_nights)
    move, second, first = history(two_nights, SHOP)
    assert (move["action"], second["action"]) == ("rolled_back", "published")
    assert (move["dt"], move["partition_name"]) == (TODAY, "acme/recommendations/dt=2001-01-15")
    assert (move["restored_publish_id"], move["previous_publish_id"]) == (first["publish_id"], second["publish_id"])
    assert (move["run_id"], move["published_at"]) == ("by hand", datetime(2001, 1, 18, 9))
    for column in ("content_hash", "inputs", "num_rows", "num_users", "model_version"):
        assert move[column] == first[column]
    assert set(json.loads(first["inputs"])) == {
        f"acme/{table}/dt=2001-01-15" for table in ("recommendations", "items", "sequences")
    }


def test_nothing_but_the_pointer_and_the_log_is_touched(two_nights: Warehouse) -> None:
    before = everything(two_nights)
    back(two_nights)
    after = everything(two_nights)
    assert {name for name in after if after[name] != before[name]} == {"publish_current", "publish_log"}


def test_by_name_of_a_night_or_of_a_publication(two_nights: Warehouse) -> None:
    second, first = (row["publish_id"] for row in history(two_nights, SHOP))
    assert back(two_nights, first).day == TODAY
    assert back(two_nights, TOMORROW.isoformat()).publish_id == second


def test_where_readers_are_already_nothing_happens(two_nights: Warehouse) -> None:
    before = everything(two_nights)
    inode = two_nights.path.stat().st_ino if isinstance(two_nights, DuckDbFile) else None
    assert not back(two_nights, "latest").moved
    assert everything(two_nights) == before
    if isinstance(two_nights, DuckDbFile):
        assert two_nights.path.stat().st_ino == inode


@pytest.mark.parametrize("to", ["2001-01-01", "no such night"])
def test_a_night_that_is_not_held_is_answered_with_those_that_are(two_nights: Warehouse, to: str) -> None:
    with pytest.raises(BadInput, match=f"holds no night {to}; it holds 2001-01-16, 2001-01-15"):
        back(two_nights, to)
    back(two_nights)
    with pytest.raises(BadInput, match="no night before 2001-01-15"):
        back(two_nights)
    assert current(two_nights) == expected(LISTS, TODAY)


def test_without_a_publication_there_is_nothing_to_roll_back(warehouse: Warehouse) -> None:
    with pytest.raises(BadInput, match=r"nothing of acme is published[\s\S]*make nightly SOURCE=acme"):
        back(warehouse)


def test_the_same_rows_again_leave_readers_where_they_were_sent(two_nights: Warehouse, tmp_path: Path) -> None:
    back(two_nights)
    assert not put(two_nights, nights.night(tmp_path, OTHER, day=TOMORROW)).published
    assert current(two_nights) == expected(LISTS, TODAY)
    put(two_nights, nights.night(tmp_path, LISTS, day=TOMORROW))  # mended: it shows itself
    assert current(two_nights) == expected(LISTS, TOMORROW)


def test_the_next_night_shows_itself_and_keeps_the_one_that_was_restored(two_nights: Warehouse, tmp_path: Path) -> None:
    back(two_nights)
    put(two_nights, nights.night(tmp_path, OTHER, day=AFTER))
    assert current(two_nights) == expected(OTHER, AFTER)
    # To what readers saw before, and not to the night that somebody rolled back from.
    assert (back(two_nights).day, back(two_nights, "latest").day) == (TODAY, AFTER)
    put(two_nights, nights.night(tmp_path, LISTS, day=AFTER), "publish.keep_nights=1")
    assert back(two_nights, "latest").held == (AFTER,)


def test_there_is_always_a_night_to_go_back_to(two_nights: Warehouse, tmp_path: Path) -> None:
    back(two_nights)
    put(two_nights, nights.night(tmp_path, OTHER, day=AFTER), "publish.keep_nights=1")
    assert back(two_nights).held == (AFTER, TODAY)


@pytest.mark.parametrize("point", ["replaced", "committed", "published"])
def test_killed_anywhere_readers_see_one_night_or_the_other(two_nights: Warehouse, tmp_path: Path, point: str) -> None:
    killed = subprocess.run(nights.rollback_argv(two_nights, DAY.isoformat(), point), capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    done = point == "published" or (point == "committed" and not isinstance(two_nights, DuckDbFile))
    assert current(two_nights) == (expected(LISTS, TODAY) if done else expected(OTHER, TOMORROW))
    assert back(two_nights, DAY.isoformat()).moved is not done
    assert current(two_nights) == expected(LISTS, TODAY)
