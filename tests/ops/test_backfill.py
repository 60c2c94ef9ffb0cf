"""Nights that are made up for are the nights that would have been."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from pathlib import Path

import pytest
from jobs.ops import backfill
from jobs.ops.airflow_api import Busy
from jobs.ops.services import Running, api, start_airflow, stop
from tests.ops.whole_nights import (
    SHOP,
    by_command_lines,
    command,
    environment,
    free_port,
    lake_contents,
    manifests,
    warehouse_contents,
)

from nightjar.contracts import BadInput
from nightjar.stores.home import Home


def live(test: Callable[..., None]) -> Callable[..., None]:
    """A test of whole nights, see `make test-live`."""
    return pytest.mark.live(pytest.mark.slow(pytest.mark.spark(test)))


def asked(**typed: str) -> backfill.Backfill:
    plain = {"source": SHOP, "raw": "", "first": "2026-02-10", "last": "2026-02-23", "model": "sasrec", "set": ""}
    return backfill.Backfill.of(argparse.Namespace(**{**plain, "again": "", **typed}))


def test_airflow_is_asked_for_the_mornings_after() -> None:
    """Over the night on which clocks change."""
    body = asked(first="2026-03-27", last="2026-03-28", set="train.epochs=3").body(2)
    assert (body["from_date"], body["to_date"]) == ("2026-03-28T00:00:00+01:00", "2026-03-29T23:59:59.999999+02:00")
    assert body["dag_run_conf"] == {"source": SHOP, "raw": None, "model": "sasrec", "set": ["train.epochs=3"]}
    assert (body["reprocess_behavior"], body["max_active_runs"]) == ("none", 2)


def test_mornings_are_the_shops_own(tmp_path: Path) -> None:
    mornings = asked(source="tmall", raw=str(tmp_path), first="2015-10-24", last="2015-10-25").mornings
    assert [moment.isoformat() for moment in mornings] == [
        "2015-10-25T00:00:00+08:00",
        "2015-10-26T23:59:59.999999+08:00",
    ]


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ({"first": ""}, "a backfill needs its first and its last day"),
        ({"first": "2026-02-24"}, "FROM=2026-02-24 is after TO=2026-02-23"),
        ({"last": "soon"}, "DAY=soon is no day"),
        ({"again": "yes"}, "AGAIN=yes is none of failed, all"),
        ({"source": "nowhere"}, "no source mapping"),
    ],
)
def test_what_is_refused(typed: dict[str, str], problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        asked(**typed)


class Locked:
    """An Airflow whose database is locked so many times."""

    def __init__(self, times: int) -> None:
        self.times, self.asked = times, 0

    def call(self, method: str, path: str, body: object = None) -> dict[str, list[object]]:
        if method == "GET":
            return {"backfills": []}
        self.asked += 1
        if self.asked <= self.times:
            raise Busy("Airflow refuses POST /backfills: 503 Database is locked", "make ui")
        return {"backfills": []}


def test_a_database_that_is_locked_is_asked_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(backfill, "_PAUSE_SECONDS", 0)
    twice, forever = Locked(2), Locked(99)
    backfill._ask(twice, asked(), 2)  # type: ignore[arg-type]
    assert twice.asked == 3
    assert capsys.readouterr().out.count("trying again") == 2
    with pytest.raises(Busy, match="locked"):
        backfill._ask(forever, asked(), 2)  # type: ignore[arg-type]


FIRST = date(2026, 2, 14)
NIGHTS = [FIRST + timedelta(days=number) for number in range(int(os.environ.get("NIGHTJAR_TEST_NIGHTS") or 3))]


@live
def test_a_backfill_equals_its_nights_one_by_one(tmp_path: Path) -> None:
    """Two runs at a time through Airflow, and one by one by hand: table for table, in the lake and in the warehouse."""
    one_by_one, made_up = Home(tmp_path / "one by one"), Home(tmp_path / "made up")
    first, last = NIGHTS[0].isoformat(), NIGHTS[-1].isoformat()
    with ThreadPoolExecutor(1) as beside:  # either waits for Java most of the time
        by_hand = beside.submit(by_command_lines, one_by_one, NIGHTS)
        command("backfill", made_up, "--from", first, "--to", last, "--at-once", "2")
        by_hand.result()

    expected, found = lake_contents(one_by_one), lake_contents(made_up)
    assert {name for name, _ in expected} >= {"events", "sessions", "sequences", "recommendations", "promotions"}
    assert found.keys() == expected.keys()
    assert [key for key in expected if found[key] != expected[key]] == []
    expected_rows, found_rows = warehouse_contents(one_by_one), warehouse_contents(made_up)
    assert found_rows.keys() == expected_rows.keys()
    assert [name for name in expected_rows if found_rows[name] != expected_rows[name]] == []
    assert len(expected_rows["publish_log"]) == len(NIGHTS)


@pytest.fixture
def airflow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Home, Running]]:
    home = Home(tmp_path / "home")
    for name, value in environment(home).items():
        monkeypatch.setenv(name, value)
    running = start_airflow(home, port=free_port(), scheduled=False, source=SHOP, raw="")
    yield home, running
    stop(home, running)


@live
def test_a_cleared_task_runs_alone_and_changes_nothing_else(airflow: tuple[Home, Running]) -> None:
    from jobs.ops.nightly import Request, watch
    from tests.ops.whole_nights import SMALL

    home, running = airflow
    connection = api(home, running)
    connection.unpause("nightly")
    typed = argparse.Namespace(source=SHOP, raw="", day=FIRST.isoformat(), model="sasrec", set=SMALL)
    connection.trigger("nightly", "night", Request.of(typed).conf())
    assert watch(home, running, connection, "night") == "success"
    before, tables, said = lake_contents(home), warehouse_contents(home), manifests(home, FIRST)

    for task, again in (("features", ["features"]), ("publish", ["publish"])):
        body = {"task_ids": [task], "dag_run_id": "night", "dry_run": False, "only_failed": False}
        connection.call("POST", "/dags/nightly/clearTaskInstances", body)
        assert watch(home, running, connection, "night") == "success"
        tries = {one["task_id"]: one["try_number"] for one in connection.tasks("nightly", "night")}
        assert tries[task] == 2
        assert [name for name, number in tries.items() if number == 2 and name in again] == again
        assert lake_contents(home) == before
    after = warehouse_contents(home)
    assert [name for name in tables if after[name] != tables[name]] == []
    assert manifests(home, FIRST)["features"]["counts"] == said["features"]["counts"]
    assert manifests(home, FIRST)["publish"]["counts"] != {}
