"""The job as the night starts it: a past night's scores and decisions, and what people did since."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.jobs.test_publish import SOURCE
from tests.predict.people import rows_of

from nightjar.contracts import (
    DECISIONS,
    FORETOLD,
    LABELS,
    REALISED_CALIBRATION,
    REALISED_DECISIONS,
    REALISED_SCORES,
    USER_FEATURES,
    Table,
)
from nightjar.settings import load_conf, repository
from nightjar.stores.files import write_json
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake
from nightjar.stores.ledgers import read_rows

NIGHT = date(2001, 3, 15)
CONF = load_conf()
JUDGED = CONF.labels.judged_on(NIGHT)
PEOPLE = 400


def stage(home: Home, table: Table, num_rows: int, **columns: Any) -> None:
    lake = Lake(home.lake)
    rows = rows_of(table, num_rows, {"dt": [JUDGED] * num_rows, **columns})
    lake.commit([lake.stage_arrow(rows, table, "acme", "test", days=[JUDGED])])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "acme.toml"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def judged(home: Home) -> Home:
    """Probabilities that are right on the web and twice too high in the app; acting sells half of an order of 10."""
    rng = np.random.default_rng(2)
    right = rng.random(PEOPLE) / 2
    web = np.arange(PEOPLE) % 2 == 0
    arms = np.where(np.arange(PEOPLE) % 4 < 3, "act", "control").tolist()
    bought = rng.random(PEOPLE) < right
    revenue = 10.0 * bought + np.where(np.array(arms) == "act", 5.0, 0.0)
    stage(home, USER_FEATURES, PEOPLE, last_platform=np.where(web, "web", "app").tolist())
    stage(
        home,
        FORETOLD,
        PEOPLE,
        score_name=["purchase"] * PEOPLE,
        probability=np.where(web, right, 2 * right),
        decile=[5] * PEOPLE,
        contender=["combined"] * PEOPLE,
        model_version=["3"] * PEOPLE,
    )
    stage(
        home,
        DECISIONS,
        PEOPLE,
        decision=["promotion"] * PEOPLE,
        arm=arms,
        rank=list(range(1, PEOPLE + 1)),
        expected_value=[2.0] * PEOPLE,
        score_name=["purchase"] * PEOPLE,
    )
    stage(home, LABELS, PEOPLE, purchased_next=bought, revenue_next=revenue)
    write_json(home.result("acme", JUDGED, "publish"), {"status": "done"})
    return home


def run(source: Path, *more: str) -> dict[str, Any]:
    script = repository() / "jobs" / "realise_scores.py"
    argv = [sys.executable, str(script), "--source", str(source), "--user_features", f"acme/user_features/dt={NIGHT}"]
    done = subprocess.run([*argv, *more], capture_output=True, text=True, env=dict(os.environ), timeout=300)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(Home.from_environment().result("acme", NIGHT, "realise_scores").read_text())
    return dict(said["counts"])


def rows(home: Home, table: Table) -> list[dict[str, Any]]:
    return read_rows(Lake(home.lake), table, table.at("acme", JUDGED))


def test_a_past_night_is_judged(judged: Home, source: Path) -> None:
    counts = run(source)
    assert (counts["night"], counts["rows_in"]) == (JUDGED.isoformat(), PEOPLE)
    by_segment = {row["segment"]: row for row in rows(judged, REALISED_SCORES)}
    web, app = by_segment["platform: web"], by_segment["platform: app"]
    assert web["foretold_sum"] == pytest.approx(web["num_positives"], rel=0.2)
    assert app["foretold_sum"] == pytest.approx(2 * app["num_positives"], rel=0.25)
    assert app["ece"] - app["ece_by_chance"] > 0.1 > web["ece"]
    assert counts["scores"]["purchase"]["auroc"] == by_segment["(all)"]["auroc"] > 0.6
    assert sum(row["num_people"] for row in rows(judged, REALISED_CALIBRATION)) == PEOPLE
    act, control = rows(judged, REALISED_DECISIONS)
    assert (act["num_people"], control["num_people"], act["outcome"]) == (300, 100, "purchased_next")
    assert act["revenue_difference_low"] < 5 < act["revenue_difference_high"]
    assert act["revenue_difference_low"] > 2
    assert act["realised_value"] == pytest.approx(CONF.decisions.margin * act["revenue_difference"])
    assert counts["decisions"]["promotion"]["expected_value"] == 600.0


def test_again_it_says_the_same(judged: Home, source: Path) -> None:
    tables = (REALISED_SCORES, REALISED_CALIBRATION, REALISED_DECISIONS)
    counts = run(source)
    before = [rows(judged, table) for table in tables]
    assert run(source) == counts
    assert [rows(judged, table) for table in tables] == before


def test_decisions_that_nobody_saw_are_not_judged_and_scores_are(judged: Home, source: Path) -> None:
    judged.result("acme", JUDGED, "publish").unlink()
    assert run(source)["decisions"] == {}
    assert rows(judged, REALISED_DECISIONS) == []
    assert rows(judged, REALISED_SCORES)


def test_a_night_that_foretold_nothing_is_left_out(home: Home, source: Path) -> None:
    counts = run(source)
    assert (counts["rows_out"], counts["reason"]) == (0, "it has no foretold and no labels and no user_features")
    assert rows(home, REALISED_SCORES) == []


def test_nobody_is_named(judged: Home, source: Path) -> None:
    said = json.dumps(run(source))
    people = {f"{row:016x}" for row in range(PEOPLE)}
    told = json.dumps([rows(judged, table) for table in (REALISED_SCORES, REALISED_DECISIONS)], default=str)
    assert not [person for person in people if person in said + told]
