"""Both warehouses, by the same tests: a real DuckDB file and a real PostgreSQL."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from tests.stores import nights
from tests.stores.nights import CHANGED, DAY, LISTS, POINTS, SHOP, ask, current, everything, expected, put

from nightjar.contracts import (
    CART_ABANDONMENT,
    DAILY_KPIS,
    DECISION_PATHS,
    DECISION_TIMES,
    DECISION_TRANSITIONS,
    FUNNELS,
    MARTS,
    USERS,
    BadInput,
    GateFailed,
    Partition,
    Table,
)
from nightjar.settings import repository
from nightjar.stores.warehouse import DuckDbFile, Night, Postgres, Warehouse, history, publish, sample
from nightjar.stores.warehouse.schema import statements

# -- what readers see


def test_readers_see_the_shops_own_ids_and_the_items(warehouse: Warehouse, tmp_path: Path) -> None:
    publication = put(warehouse, nights.night(tmp_path))

    best = "SELECT * FROM v_recommendations_current WHERE user_id IN ('ada', 'dee') AND rank = 1 ORDER BY user_id"
    rows = ask(warehouse, best)
    pid = publication.publish_id
    assert [row[:11] for row in rows] == [
        ("acme|2001-01-15|home|ada|1", "acme", DAY, "home", "ada", 1, "i1", 0.875, "model", "because_viewed", "i4"),
        ("acme|2001-01-15|home|dee|1", "acme", DAY, "home", "dee", 1, "i1", 0.875, "popular", "popular_now", None),
    ]
    assert [row[11:] for row in rows] == [
        (None, None, None, "nightjar_acme", "7", "Title of i1", "tea", None, 2.5, pid),
        (None, None, None, "popularity", "1", "Title of i1", "tea", None, 2.5, pid),
    ]
    assert current(warehouse) == expected(LISTS)


def test_the_log_says_what_was_published(warehouse: Warehouse, tmp_path: Path) -> None:
    night = nights.night(tmp_path)
    zone = timezone(timedelta(hours=9))
    publication = publish(warehouse, night, nights.conf(), now=nights.at(datetime(2001, 1, 16, 4, tzinfo=zone)))

    (row,) = history(warehouse, SHOP)
    assert row["published_at"] == datetime(2001, 1, 15, 19)  # UTC
    assert (row["publish_id"], row["previous_publish_id"]) == (publication.publish_id, None)
    assert (row["num_rows"], row["num_users"], row["fallback_share"]) == (12, 4, 0.25)
    assert (row["model_name"], row["model_version"]) == ("nightjar_acme", "7")
    assert row["num_bytes"] == sum(Path(file).stat().st_size for file in (*night.recommendations, *night.items))
    assert json.loads(row["audits"]) == publication.audits
    assert publication.audits["fallback_share"] == 0.25
    assert publication.audits["overlap_yesterday"] is None
    assert ask(warehouse, "SELECT dt, num_rows, hours_old > 200000 FROM v_freshness") == [(DAY, 12, True)]
    assert ask(warehouse, "SELECT first_seen FROM items WHERE item_id = 'i1'") == [(datetime(2001, 1, 1, 8),)]


def test_waiting_people_are_merged_and_their_files_go(warehouse: Warehouse, tmp_path: Path) -> None:
    publication = put(warehouse, nights.night(tmp_path))
    assert publication.new_users == 4
    assert ask(warehouse, "SELECT pseudonym, shop_id FROM users ORDER BY 1")[0] == ("p-ada", "ada")
    assert list((tmp_path / "users").glob("*.parquet")) == []


def test_shops_do_not_touch_each_other(warehouse: Warehouse, tmp_path: Path) -> None:
    put(warehouse, nights.night(tmp_path))
    other = nights.night(
        tmp_path / "other",
        recommendations=nights.recommendations(shop="zoo"),
        users=nights.users(list(LISTS), shop="zoo"),
        promotions=[],
        data_quality=[],
    )
    put(warehouse, nights.of_shop(other, "zoo"))
    assert ask(warehouse, "SELECT shop, count(*) FROM v_recommendations_current GROUP BY 1 ORDER BY 1") == [
        ("acme", 12),
        ("zoo", 12),
    ]


def test_sample_shows_people_with_history_first_and_reasons(warehouse: Warehouse, tmp_path: Path) -> None:
    put(warehouse, nights.night(tmp_path))
    rows = sample(warehouse, SHOP, DAY, num_users=3, num_items=2)
    assert {row.user_id for row in rows} == {"ada", "bob", "cy"}
    assert [row.rank for row in rows] == [1, 2] * 3
    ada = next(row for row in rows if row.user_id == "ada")
    assert asdict(ada) == {
        "user_id": "ada",
        "surface": "home",
        "rank": 1,
        "item_id": "i1",
        "title": "Title of i1",
        "score": 0.875,
        "strategy": "model",
        "reason_code": "because_viewed",
        "evidence_item_id": "i4",
        "evidence_title": "Title of i4",
    }
    assert sample(warehouse, SHOP, DAY, num_users=3, num_items=2) == rows


# -- again, and again with a difference


def test_the_same_rows_again_change_nothing(warehouse: Warehouse, tmp_path: Path) -> None:
    night = nights.night(tmp_path)
    first = put(warehouse, night)
    before = everything(warehouse)
    again = put(warehouse, nights.shuffled(night, tmp_path / "shuffled"))
    assert (again.published, again.publish_id, again.num_rows) == (False, first.publish_id, 12)
    assert everything(warehouse) == before
    if isinstance(warehouse, DuckDbFile):
        file = warehouse.path.stat()
        put(warehouse, night)
        after = warehouse.path.stat()
        assert (after.st_ino, after.st_mtime_ns) == (file.st_ino, file.st_mtime_ns)


def test_rows_in_any_order_are_audited_and_published_alike(warehouse: Warehouse, tmp_path: Path) -> None:
    """Lists lie one after the other as scoring leaves them; other orders cost a sort, and nothing else."""
    put(warehouse, nights.shuffled(nights.night(tmp_path), tmp_path / "shuffled"))
    assert current(warehouse) == expected(LISTS)
    two_surfaces = nights.recommendations() + [
        row | {"surface": "cart", "row_key": f"{row['row_key']}c"} for row in nights.recommendations()
    ]
    mixed = sorted(two_surfaces, key=lambda row: (row["rank"], row["user_id"], row["surface"]))
    assert put(warehouse, nights.night(tmp_path / "mixed", recommendations=mixed)).num_rows == 24
    assert current(warehouse).count((DAY, "ada", "i1")) == 2
    twice = nights.night(tmp_path / "twice", recommendations=[row | {"item_id": "i1"} for row in mixed])
    with pytest.raises(GateFailed, match="repeated_items: 16 items twice"):
        put(warehouse, twice)


def test_other_rows_replace_the_night_and_name_their_predecessor(warehouse: Warehouse, tmp_path: Path) -> None:
    first = put(warehouse, nights.night(tmp_path))
    second = put(warehouse, nights.night(tmp_path / "again", CHANGED))
    assert second.published
    assert current(warehouse) == expected(CHANGED)
    log = history(warehouse, SHOP)
    assert [row["publish_id"] for row in log] == [second.publish_id, first.publish_id]  # though the clock stood still
    assert log[0]["previous_publish_id"] == first.publish_id
    assert ask(warehouse, "SELECT count(*) FROM recommendations") == [(12,)]
    third = put(warehouse, nights.night(tmp_path / "back"))  # the first content again is news, too
    assert (third.published, current(warehouse)) == (True, expected(LISTS))


def test_ledgers_and_people_that_wait_are_merged_beside_unchanged_rows(warehouse: Warehouse, tmp_path: Path) -> None:
    night = nights.night(tmp_path)
    put(warehouse, night)
    nights.write(tmp_path / "users", USERS, nights.users(["p-eve"]))
    more = nights.write(tmp_path, nights.PROMOTIONS, nights.promotions() + nights.promotions("d2"), "more")
    again = put(warehouse, replace(night, promotions=more))
    assert (again.published, again.new_users) == (False, 1)
    assert ask(warehouse, "SELECT decision_id FROM promotions ORDER BY 1") == [("d1",), ("d2",)]
    assert ask(warehouse, "SELECT count(*) FROM publish_log") == [(1,)]
    assert ask(warehouse, "SELECT shop_id FROM users WHERE pseudonym = 'p-eve'") == [("eve",)]
    assert list((tmp_path / "users").glob("*.parquet")) == []


def test_a_past_night_does_not_hide_a_later_one_and_old_nights_go(warehouse: Warehouse, tmp_path: Path) -> None:
    days = nights.days(5)
    for day in (days[1], days[2], days[3], days[4], days[0]):
        put(warehouse, nights.night(tmp_path, day=day))
    assert current(warehouse) == expected(LISTS, days[4])
    kept = [days[0], days[2], days[3], days[4]]  # the latest three, and the one just published
    for table in ("recommendations", "items"):
        assert ask(warehouse, f"SELECT DISTINCT dt FROM {table} ORDER BY 1") == [(day,) for day in kept]
    assert ask(warehouse, "SELECT count(*) FROM publish_log") == [(5,)]
    assert put(warehouse, nights.night(tmp_path, day=days[1])).published  # forgotten rows are published anew


# -- audits


def _rows(change: Callable[[dict[str, Any]], dict[str, Any] | None]) -> Callable[[Path], Night]:
    def broken(folder: Path) -> Night:
        changed = [change(row) for row in nights.recommendations(CHANGED)]
        return nights.night(folder, CHANGED, recommendations=[row for row in changed if row is not None])

    return broken


def _on(person: str, position: int, /, **columns: Any) -> Callable[[Path], Night]:
    return _rows(lambda row: row | columns if (row["user_id"], row["rank"]) == (person, position) else row)


def _with(**rows: nights.Rows) -> Callable[[Path], Night]:
    return lambda folder: nights.night(folder, CHANGED, **rows)


def _without(person: str, rank: int | None = None) -> Callable[[Path], Night]:
    return _rows(lambda row: None if row["user_id"] == person and rank in (None, row["rank"]) else row)


_OTHER_ADA = [{"shop": SHOP, "pseudonym": "p-ada", "shop_id": "ada2", "id_kind": "user"}]
_TWO_BOBS = [{"shop": SHOP, "pseudonym": "p-eve", "shop_id": "bob", "id_kind": "device"}]
_EVE = CHANGED | {"p-eve": ("i1", "i2", "i3")}

BROKEN: dict[str, Callable[[Path], Night]] = {
    "rows: 12 rows, allowed 13 to 13": lambda folder: replace(nights.night(folder, CHANGED), num_rows=13),
    "rows: 0 rows, allowed 1 to 1": lambda folder: nights.night(folder, {}),
    "foreign_rows: 1 rows of another shop or day": _on("p-bob", 2, dt=date(2001, 1, 14)),
    "rows_per_user: 1 lists without 3 rows": _without("p-bob", 3),
    "missing_users: 1 eligible people without a list": _without("p-cy"),
    "repeated_items: 1 items twice in one list": _on("p-bob", 2, item_id="i2"),
    "ranks: 2 rows whose rank is not their place": _on("p-bob", 2, rank=4),
    "infinite_scores: 1 scores that are no finite number, allowed 0 to 0": _on("p-bob", 2, score=float("nan")),
    "infinite_scores: 1 scores that are no finite number": _on("p-bob", 3, score=float("-inf")),
    "rising_scores: 1 scores above the rank before": _on("p-bob", 2, score=0.9),
    "unknown_users: 1 people who are not eligible": _with(sequences=nights.sequences(["p-ada", "p-bob", "p-dee"])),
    "unmapped_users: 1 people without the shop's own id": lambda folder: nights.night(
        folder, _EVE, users=nights.users(["p-ada"])
    ),
    "contradicting_users: 1 pseudonyms that stand for two ids": _with(users=_OTHER_ADA),
    "ambiguous_users: 1 ids of the shop that stand for two people": lambda folder: nights.night(
        folder, _EVE, users=_TWO_BOBS
    ),
    "unknown_items: 4 rows whose item is not in items": _with(items=nights.items(("i1", "i3", "i4", "i5"))),
    "champions: 2 models that scored, allowed 0 to 1": _on("p-bob", 2, model_version="8"),
    "fallback_share: 0.75 of people served by the fallback, allowed 0 to 0.5": _rows(
        lambda row: row | {"strategy": "popular"} if row["user_id"] != "p-ada" else row
    ),
}


@pytest.mark.parametrize("sentence", BROKEN)
def test_a_failed_audit_is_named_and_changes_nothing(published: Warehouse, tmp_path: Path, sentence: str) -> None:
    before = everything(published)
    broken = BROKEN[sentence](tmp_path)
    with pytest.raises(GateFailed) as caught:
        put(published, broken)
    assert [failed for failed in caught.value.failed if failed.startswith(sentence)], caught.value.failed
    assert everything(published) == before
    assert current(published) == expected(LISTS)


def test_after_a_failed_audit_the_people_still_wait_and_a_mended_night_goes_out(
    warehouse: Warehouse, tmp_path: Path
) -> None:
    night = nights.night(tmp_path)
    with pytest.raises(GateFailed, match=r"gate stopped acme/recommendations/dt=2001-01-15: failed .* rows: 12"):
        put(warehouse, replace(night, num_rows=1))
    assert len(list(night.new_users.glob("*.parquet"))) == 1
    assert put(warehouse, night).published
    assert current(warehouse) == expected(LISTS)


def test_overlap_with_the_night_before_has_a_band(warehouse: Warehouse, tmp_path: Path) -> None:
    today, tomorrow, after = nights.days(3)
    put(warehouse, nights.night(tmp_path, day=today))
    # Of ada's three items one stays, of bob's and cy's all: (1/3 + 1 + 1) / 3, and dee is new.
    lists = {"p-ada": ("i1", "i4", "i5"), "p-bob": LISTS["p-bob"], "p-cy": LISTS["p-cy"], "p-eve": ("i1", "i2", "i3")}
    night = nights.night(tmp_path, lists, day=tomorrow)
    for bound in ("gate.max_overlap_yesterday=0.7", "gate.min_overlap_yesterday=0.8"):
        with pytest.raises(GateFailed, match=r"overlap_yesterday: 0\.777778 of a list"):
            put(warehouse, night, bound)
    assert put(warehouse, night, "gate.max_overlap_yesterday=0.78").audits["overlap_yesterday"] == 0.777778
    later = after + timedelta(days=1)  # the night before it is missing: nothing to compare with
    assert put(warehouse, nights.night(tmp_path, day=later), "gate.max_overlap_yesterday=0.0").published


def test_small_catalogues_and_exclusions_shorten_lists(warehouse: Warehouse, tmp_path: Path) -> None:
    two = {person: items[:2] for person, items in LISTS.items()}
    night = nights.night(tmp_path, two, sequences=nights.sequences(list(two), history=["i3", "i3", "i4", "i5"]))
    with pytest.raises(GateFailed, match="rows_per_user: 4 lists without 3 rows"):
        put(warehouse, night)
    with pytest.raises(GateFailed, match="rows_per_user: 4 lists without 1 rows"):
        put(warehouse, night, 'score.exclude="seen"', "score.k=1")
    assert put(warehouse, night, 'score.exclude="seen"').published  # five items less three seen are two
    fewer = {person: items[:1] for person, items in LISTS.items()}
    assert put(warehouse, replace(nights.night(tmp_path / "one", fewer), num_candidates=1)).published


# -- killed, and together


def seen_tonight(warehouse: Warehouse, point: str) -> bool:
    done = POINTS[point][isinstance(warehouse, Postgres)]
    if done is None:
        pytest.skip(f"this warehouse does not pass {point}")
    return done


def test_the_kill_matrix_page_lists_every_point() -> None:
    page = (repository() / "docs" / "kill-matrix.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|([^|]*)\|", page, re.MULTILINE)
    words = {"before": False, "tonight": True, "": None}
    assert {point: tuple(words[cell.strip()] for cell in cells) for point, *cells in rows} == POINTS


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_readers_see_a_whole_night_and_the_next_run_mends(
    warehouse: Warehouse, tmp_path: Path, point: str
) -> None:
    done = seen_tonight(warehouse, point)
    put(warehouse, nights.night(tmp_path / "first"))
    night = nights.night(tmp_path / "second", CHANGED | {"p-eve": ("i1", "i2", "i3")})
    file = nights.saved(night, tmp_path / "night.json")
    killed = subprocess.run(nights.argv(warehouse, file, point), capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr

    lists = CHANGED | {"p-eve": ("i1", "i2", "i3")} if done else LISTS
    assert current(warehouse) == expected(lists)
    assert len(list(night.new_users.glob("*.parquet"))) == 1  # deleted only after the commit

    mended = json.loads(subprocess.run(nights.argv(warehouse, file), capture_output=True, text=True, check=True).stdout)
    assert mended["published"] is not done
    assert current(warehouse) == expected(CHANGED | {"p-eve": ("i1", "i2", "i3")})
    assert ask(warehouse, "SELECT count(*) FROM publish_log") == [(2,)]
    assert list(night.new_users.glob("*.parquet")) == []
    if isinstance(warehouse, DuckDbFile):
        left = sorted(path.name for path in tmp_path.glob("warehouse*"))
        assert left == ["warehouse.duckdb", "warehouse.duckdb.lock"]


def test_two_at_once_publish_once(warehouse: Warehouse, tmp_path: Path) -> None:
    file = nights.saved(nights.night(tmp_path), tmp_path / "night.json")
    both = [subprocess.Popen(nights.argv(warehouse, file), stdout=subprocess.PIPE, text=True) for _ in range(2)]
    results = [json.loads(process.communicate()[0]) for process in both]
    assert sorted(result["published"] for result in results) == [False, True]
    assert results[0]["publish_id"] == results[1]["publish_id"]
    assert ask(warehouse, "SELECT count(*) FROM publish_log") == [(1,)]
    assert current(warehouse) == expected(LISTS)


_POLL = """
import sys
from pathlib import Path
from nightjar.settings import repository
from nightjar.stores.warehouse import DuckDbFile, Postgres
target, stop = sys.argv[1], Path(sys.argv[2])
warehouse = Postgres(target) if target.startswith("postgresql") else DuckDbFile(Path(target))
view = "SELECT dt, count(*), count(DISTINCT publish_id), min(item_id) FROM v_recommendations_current GROUP BY dt"
seen, last, polls = [], False, 0
while not last:
    last = stop.exists()
    with warehouse.reader() as db:
        rows = db.query(view)
    if seen[-1:] != [rows]:
        seen.append(rows)
    if not polls:
        print("polled", flush=True)
    polls += 1
for rows in seen:
    print("; ".join(f"{day} {count} {ids} {item}" for day, count, ids, item in rows))
"""


def test_readers_meanwhile_see_whole_nights_only(warehouse: Warehouse, tmp_path: Path) -> None:
    """A reader in another process polls while two nights and a re-publication arrive."""
    today, tomorrow = nights.days(2)
    put(warehouse, nights.night(tmp_path, day=today))
    stop = tmp_path / "stop"
    target = nights.argv(warehouse, stop)[2]
    poller = subprocess.Popen([sys.executable, "-c", _POLL, target, str(stop)], stdout=subprocess.PIPE, text=True)
    assert poller.stdout is not None
    assert poller.stdout.readline() == "polled\n"
    more = dict.fromkeys(LISTS, ("i2", "i3", "i4"))
    put(warehouse, nights.night(tmp_path, more, day=today))
    put(warehouse, nights.night(tmp_path, LISTS | {"p-eve": ("i1", "i2", "i3")}, day=tomorrow))
    put(warehouse, nights.night(tmp_path, more, day=tomorrow))
    stop.touch()
    seen = [line for line in poller.communicate()[0].splitlines() if line != "polled"]
    assert poller.returncode == 0
    order = [f"{today} 12 1 i1", f"{today} 12 1 i2", f"{tomorrow} 15 1 i1", f"{tomorrow} 12 1 i2"]
    assert (seen[0], seen[-1]) == (order[0], order[-1])
    assert set(seen) <= set(order)  # nothing half, nothing mixed
    assert seen == sorted(seen, key=order.index)


def test_threads_of_one_process_take_turns(warehouse: Warehouse, tmp_path: Path) -> None:
    days = nights.days(3)
    made = [nights.night(tmp_path / str(day), day=day) for day in days]
    workers = [threading.Thread(target=put, args=(warehouse, night)) for night in made]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert current(warehouse) == expected(LISTS, days[-1])
    assert ask(warehouse, "SELECT count(*) FROM publish_log") == [(3,)]


# -- analysis tables

TOMORROW = DAY + timedelta(days=1)


def with_marts(folder: Path, *days: date, num_sessions: int = 4, night: Night | None = None) -> Night:
    return replace(night or nights.night(folder), marts=nights.marts(folder, *days, num_sessions=num_sessions))


def sessions_told(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return ask(warehouse, "SELECT dt, num_sessions FROM v_daily_kpis WHERE platform = '(all)' ORDER BY dt")


#: Per table: numbers of a row, and the ratios that readers see of it.
RATIOS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    DAILY_KPIS.name: (
        {
            "num_visitors": 4,
            "num_new_visitors": 3,
            "num_persons": 5,
            "num_logged_in_persons": 1,
            "num_sessions": 8,
            "num_bounces": 2,
            "num_sessions_with_cart": 4,
            "num_sessions_with_purchase": 1,
            "num_orders": 3,
            "revenue": 12.0,
            "num_pieces": 4,
            "num_returned_pieces": 6,
            "num_bot_sessions": 2,
        },
        {
            "new_visitor_share": 0.75,
            "login_share": 0.2,
            "bounce_share": 0.25,
            "cart_rate": 0.5,
            "conversion_rate": 0.125,
            "average_order_value": 4.0,
            "revenue_per_session": 1.5,
            "return_rate": 1.5,
            "bot_share": 0.2,
        },
    ),
    FUNNELS.name: (
        {"num_sessions": 8, "num_viewed": 8, "num_bought": 1, "num_viewed_carted": 2, "num_viewed_carted_bought": 1},
        {"cart_rate": 0.25, "checkout_rate": 0.5, "conversion_rate": 0.125},
    ),
    DECISION_TRANSITIONS.name: ({"num_transitions": 1, "num_from": 4}, {"transition_share": 0.25}),
    DECISION_PATHS.name: (
        {"num_sessions": 2, "num_bought": 1, "num_all_sessions": 8},
        {"session_share": 0.25, "conversion_rate": 0.5},
    ),
    DECISION_TIMES.name: (
        {"num_bought_items": 4, "num_viewed_items": 3, "num_sessions": 2, "num_first_sessions": 1},
        {"viewed_share": 0.75, "first_session_share": 0.5},
    ),
    CART_ABANDONMENT.name: (
        {"num_lines": 6, "num_bought": 1, "num_removed": 2, "num_abandoned": 3, "num_recovered": 1},
        {"abandonment_rate": 0.75, "recovery_rate": pytest.approx(1 / 3)},
    ),
}


@pytest.mark.parametrize("table", MARTS, ids=lambda table: table.name)
def test_views_derive_every_ratio_and_divide_by_no_zero(warehouse: Warehouse, tmp_path: Path, table: Table) -> None:
    numbers, ratios = RATIOS[table.name]
    rows = [row | numbers for row in nights.mart_rows(table)]
    nothing = nights.mart_rows(table, day=TOMORROW, num_sessions=0)
    days = [nights.mart(tmp_path, table, rows), nights.mart(tmp_path, table, nothing, day=TOMORROW)]
    assert put(warehouse, replace(nights.night(tmp_path), marts=days)).mart_days == 2
    view = f"v_{table.name}"
    assert set(ratios) == {ratio.name for ratio in table.ratios}
    with warehouse.reader() as db:
        columns = nights.view_columns(db, view)
        assert list(columns) == ["shop", *table.names, *ratios]
        assert all(columns.values()), "every column is explained"
        today, tomorrow = db.query(f"SELECT {', '.join(ratios)} FROM {view} WHERE platform = 'web' ORDER BY dt")
        assert dict(zip(ratios, today, strict=True)) == ratios
        assert set(tomorrow) == {None}
        (stored,) = db.query(f"SELECT {', '.join(table.names)} FROM {view} WHERE platform = 'web' AND dt = $1", DAY)
    assert dict(zip(table.names, stored, strict=True)) == rows[1]


def test_the_same_days_again_change_nothing(warehouse: Warehouse, tmp_path: Path) -> None:
    night = with_marts(tmp_path, DAY, TOMORROW)
    first = put(warehouse, night)
    assert (first.mart_days, first.audits["funnels_rows"]) == (12, 4)
    assert sessions_told(warehouse) == [(DAY, 4), (TOMORROW, 4)]
    before = everything(warehouse)
    again = put(warehouse, night)
    assert (again.published, again.mart_days, again.audits) == (False, 0, {})
    assert everything(warehouse) == before
    if isinstance(warehouse, DuckDbFile):
        file = warehouse.path.stat()
        put(warehouse, night)
        assert (warehouse.path.stat().st_ino, warehouse.path.stat().st_mtime_ns) == (file.st_ino, file.st_mtime_ns)


def test_a_changed_day_is_replaced_beside_unchanged_recommendations(warehouse: Warehouse, tmp_path: Path) -> None:
    first = put(warehouse, with_marts(tmp_path, DAY, TOMORROW))
    before = everything(warehouse)
    rows = [row | {"num_sessions": 9} for row in nights.mart_rows(DAILY_KPIS)]
    changed = [nights.mart(tmp_path, DAILY_KPIS, rows), nights.mart(tmp_path, FUNNELS, [], day=TOMORROW)]
    second = put(warehouse, replace(nights.night(tmp_path), marts=changed))
    assert (second.published, second.publish_id, second.mart_days) == (False, first.publish_id, 2)
    assert second.audits["daily_kpis_rows"] == 2
    after = everything(warehouse)
    assert sessions_told(warehouse) == [(DAY, 9), (TOMORROW, 4)]
    assert ask(warehouse, "SELECT DISTINCT dt FROM v_funnels") == [(DAY,)]
    emptied = "SELECT num_rows FROM published_marts WHERE table_name = 'funnels' AND dt = $1"
    assert ask(warehouse, emptied, TOMORROW) == [(0,)]
    touched = {name for name in after if after[name] != before[name]}
    assert touched == {"daily_kpis", "funnels", "published_marts"}


def test_analysis_tables_keep_every_day(warehouse: Warehouse, tmp_path: Path) -> None:
    days = nights.days(5)
    for number, day in enumerate(days, 1):
        put(warehouse, with_marts(tmp_path, *days[:number], night=nights.night(tmp_path, day=day)))
    assert ask(warehouse, "SELECT count(DISTINCT dt) FROM recommendations") == [(3,)]
    for table in MARTS:
        assert ask(warehouse, f"SELECT count(DISTINCT dt), count(*) FROM {table.name}") == [(5, 10)]


def test_shops_keep_their_own_days(warehouse: Warehouse, tmp_path: Path) -> None:
    put(warehouse, with_marts(tmp_path, DAY))
    other = nights.night(
        tmp_path / "other",
        recommendations=nights.recommendations(shop="zoo"),
        users=nights.users(list(LISTS), shop="zoo"),
        promotions=[],
        data_quality=[],
    )
    marts = [
        replace(m, partition=Partition("zoo", m.partition.table, DAY))
        for m in nights.marts(tmp_path, DAY, num_sessions=7)
    ]
    put(warehouse, replace(nights.of_shop(other, "zoo"), marts=marts))
    told = "SELECT shop, num_sessions FROM v_daily_kpis WHERE platform = 'web' ORDER BY shop"
    assert ask(warehouse, told) == [("acme", 4), ("zoo", 7)]


def _broken_mart(table: Table, *rows: dict[str, Any], num_rows: int | None = None) -> Callable[[Path], Night]:
    def broken(folder: Path) -> Night:
        made = [row | change for row, change in itertools.zip_longest(nights.mart_rows(table), rows, fillvalue={})]
        days = [nights.mart(folder, one, nights.mart_rows(one)) for one in MARTS if one != table]
        wrong = nights.mart(folder, table, made)
        days.append(wrong if num_rows is None else replace(wrong, num_rows=num_rows))
        return replace(nights.night(folder, CHANGED), marts=days)

    return broken


BROKEN_MARTS: dict[str, Callable[[Path], Night]] = {
    "funnels_rows: 2 rows, allowed 3 to 3": _broken_mart(FUNNELS, num_rows=3),
    "daily_kpis_foreign_rows: 1 rows of another day": _broken_mart(DAILY_KPIS, {}, {"dt": TOMORROW}),
    "decision_paths_repeated_rows: 1 rows of the same day": _broken_mart(DECISION_PATHS, {}, {"platform": "(all)"}),
    "decision_times_days_without_all: 1 days without a row for (all)": _broken_mart(
        DECISION_TIMES, {"platform": "app"}
    ),
    "daily_kpis_broken_totals: 1 days whose platforms": _broken_mart(DAILY_KPIS, {"num_bot_sessions": 1}),
    "funnels_rising_steps: 1 rows that grow": _broken_mart(FUNNELS, {}, {"num_viewed": 5}),
    "funnels_other_sessions: 2 days and platforms": _broken_mart(FUNNELS, {"num_sessions": 5}, {"num_sessions": 3}),
    "cart_abandonment_lost_lines: 1 rows whose items": _broken_mart(CART_ABANDONMENT, {}, {"num_open": 1}),
}


@pytest.mark.parametrize("sentence", BROKEN_MARTS)
def test_a_failed_audit_of_an_analysis_table_stops_the_night(
    published: Warehouse, tmp_path: Path, sentence: str
) -> None:
    before = everything(published)
    with pytest.raises(GateFailed) as caught:
        put(published, BROKEN_MARTS[sentence](tmp_path))
    assert [failed for failed in caught.value.failed if failed.startswith(sentence)], caught.value.failed
    assert everything(published) == before


@pytest.mark.parametrize("point", ["replaced", "published"])
def test_killed_before_the_commit_the_analysis_tables_are_as_they_were(
    warehouse: Warehouse, tmp_path: Path, point: str
) -> None:
    put(warehouse, with_marts(tmp_path, DAY))
    night = with_marts(tmp_path, DAY, num_sessions=6, night=nights.night(tmp_path / "second", CHANGED))
    file = nights.saved(night, tmp_path / "night.json")
    killed = subprocess.run(nights.argv(warehouse, file, point), capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    done = seen_tonight(warehouse, point)
    assert (sessions_told(warehouse), current(warehouse)) == (
        ([(DAY, 6)], expected(CHANGED)) if done else ([(DAY, 4)], expected(LISTS))
    )
    mended = json.loads(subprocess.run(nights.argv(warehouse, file), capture_output=True, text=True, check=True).stdout)
    assert mended["mart_days"] == (0 if done else 2)  # only daily_kpis and funnels tell of sessions
    assert sessions_told(warehouse) == [(DAY, 6)]


# -- definitions


@pytest.mark.parametrize("dialect", ["duckdb", "postgres", "snowflake", "bigquery"])
def test_ddl(dialect: str, golden: Callable[[str, str], None]) -> None:
    golden(f"{dialect}.sql", ";\n\n".join(statements(dialect)) + ";\n")


def test_tables_of_another_version_are_named(warehouse: Warehouse, tmp_path: Path) -> None:
    put(warehouse, nights.night(tmp_path))
    with warehouse.writer(SHOP, lambda _: None) as db:
        db.execute("DROP VIEW v_recommendations_current")
        db.execute("ALTER TABLE items DROP COLUMN num_recent CASCADE")
        db.execute("UPDATE warehouse_schema SET fingerprint = 'older'")
        db.changed = True
    with pytest.raises(BadInput, match="table items has columns shop, item_id"):
        put(warehouse, nights.night(tmp_path))


def test_lost_views_come_back_with_a_new_version(warehouse: Warehouse, tmp_path: Path) -> None:
    put(warehouse, nights.night(tmp_path))
    with warehouse.writer(SHOP, lambda _: None) as db:
        db.execute("DROP VIEW v_recommendations_current")
        db.execute("UPDATE warehouse_schema SET fingerprint = 'older'")
        db.changed = True
    put(warehouse, nights.night(tmp_path / "changed", CHANGED))
    assert current(warehouse) == expected(CHANGED)
