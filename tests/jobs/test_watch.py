"""The job over a lake of its own: quiet nights, then one that differs."""

from __future__ import annotations

import argparse
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.jobs import night
from tests.predict.people import rows_of

from nightjar.contracts import DATA_QUALITY, EVENTS, FORETOLD, REALISED_SCORES, RECOMMENDATIONS, GateFailed
from nightjar.contracts.render import arrow_schema
from nightjar.settings import load_conf
from nightjar.stores.files import write_json
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake
from nightjar.stores.ledgers import read_rows
from nightjar.stores.tracking import Tracking

watch = night.module("watch")


def lists(day: date, *, start: int, score: float, reason: str = "because_viewed") -> pa.Table:
    rows = [
        {
            "row_key": f"{day}|{person}|{rank}",
            "shop": night.SHOP,
            "dt": day,
            "surface": "home",
            "user_id": f"{person:016x}",
            "rank": rank,
            "item_id": night.RING[(start + person + rank) % len(night.RING)],
            "score": score + person / 10 - rank,
            "strategy": "model",
            "reason_code": reason,
            "model_name": "m",
            "model_version": "7",
        }
        for person in range(40)
        for rank in (1, 2, 3)
    ]
    return pa.Table.from_pylist(rows, arrow_schema(RECOMMENDATIONS))


def event(day: date) -> pa.Table:
    schema = arrow_schema(EVENTS)
    row = {"event_id": str(day), "event_ts": 0, "dt": day, "landed": day, "platform": "web", "kind": "view"}
    return pa.Table.from_pylist([row], schema)


def facts(num_rows: int, view: float) -> dict[str, Any]:
    return {
        "num_rows": num_rows,
        "share_view": view,
        "share_purchase": 1 - view,
        "duplicate_share": 0.01,
        "quarantined_share": 0.01,
        "last_event_hour": 23.5,
    }


def commit(home: Home, day: date, rows: pa.Table, **known: Any) -> None:
    lake = Lake(home.lake)
    staged = [
        lake.stage_arrow(rows, RECOMMENDATIONS, night.SHOP, "test", days=[day]),
        lake.stage_arrow(event(day), EVENTS, night.SHOP, "test", days=[day]),
    ]
    lake.commit(staged, facts={("events", day): facts(**known), ("recommendations", day): {"num_candidates": 24}})


@pytest.fixture
def quiet(home: Home) -> Home:
    """Eight nights alike."""
    night.fill(Lake(home.lake), {}, {}, day=night.DAY)
    for back in range(8, 0, -1):
        day = night.DAY - timedelta(days=back)
        commit(home, day, lists(day, start=0, score=5.0), num_rows=1000, view=0.9)
    return home


def run(home: Home, *sets: str) -> dict[str, Any]:
    args = argparse.Namespace(recommendations=RECOMMENDATIONS.at(night.SHOP, night.DAY))
    counts: dict[str, Any] = watch.main(args, night.job(home, "watch", *sets))
    return counts


def failed(home: Home) -> dict[str, str]:
    rows = read_rows(Lake(home.lake), DATA_QUALITY, night.partition(DATA_QUALITY))
    return {f"{row['table_name']}: {row['expectation']}": row["severity"] for row in rows if not row["success"]}


def test_a_night_like_the_others(quiet: Home) -> None:
    commit(quiet, night.DAY, lists(night.DAY, start=0, score=5.0), num_rows=1010, view=0.89)
    counts = run(quiet)
    assert (counts["warnings"], counts["drifted"], failed(quiet)) == (0, [], {})
    assert counts["measures"]["recommendations: coverage"] == 1.0
    assert counts["measures"]["recommendations: drift of scores"] == pytest.approx(0.0)
    assert counts["measures"]["events: drift of kinds"] < 0.01
    assert run(quiet) == counts


def test_earlier_nights_are_as_they_said_themselves(quiet: Home) -> None:
    """Their lists are not read again: with what two of them told, the third is the only one that is."""
    commit(quiet, night.DAY, lists(night.DAY, start=0, score=5.0), num_rows=1000, view=0.9)
    before = run(quiet)
    for back in (1, 2):
        day = night.DAY - timedelta(days=back)
        sketch = before["sketch"] | {"reasons": {"popular_now": 1}}
        write_json(quiet.result(night.SHOP, day, "watch"), {"status": "done", "counts": {"sketch": sketch}})
    assert run(quiet)["measures"]["recommendations: drift of reasons"] > 1
    assert (
        run(quiet)["measures"]["recommendations: drift of scores"]
        == before["measures"]["recommendations: drift of scores"]
    )


def test_a_night_that_differs_warns(quiet: Home) -> None:
    commit(quiet, night.DAY, lists(night.DAY, start=0, score=50.0, reason="popular_now"), num_rows=5000, view=0.3)
    counts = run(quiet)
    assert failed(quiet) == dict.fromkeys(
        (
            "events: drift of kinds",
            "events: week over week",
            "recommendations: drift of reasons",
            "recommendations: drift of scores",
        ),
        "warn",
    )
    assert counts["warnings"] == 4
    assert counts["drifted"] == ["drift of kinds", "drift of reasons", "drift of scores"]


def test_a_bound_may_stop_the_night(quiet: Home) -> None:
    commit(quiet, night.DAY, lists(night.DAY, start=0, score=5.0), num_rows=1000, view=0.3)
    with pytest.raises(GateFailed, match=r"drift of kinds: JS 0\.\d+, L-infinity 0\.600"):
        run(quiet, "watch.stop_population_stability=0.5")
    assert failed(quiet) == {"events: drift of kinds": "stop"}


def test_a_first_night_has_nothing_to_compare_with(home: Home) -> None:
    commit(home, night.DAY, lists(night.DAY, start=0, score=5.0), num_rows=1000, view=0.9)
    assert run(home)["warnings"] == 0


def commit_scores(home: Home, day: date, probabilities: Any, deciles: Any, version: str = "4") -> None:
    num_rows = len(probabilities)
    columns = {
        "dt": [day] * num_rows,
        "score_name": ["churn"] * num_rows,
        "probability": probabilities,
        "decile": deciles,
        "model_version": [version] * num_rows,
    }
    lake = Lake(home.lake)
    rows = rows_of(FORETOLD, num_rows, columns)
    lake.commit([lake.stage_arrow(rows, FORETOLD, night.SHOP, "test", days=[day])])


def test_scores_that_move_warn_unless_people_did(quiet: Home) -> None:
    rng = np.random.default_rng(1)
    for back in range(4, 0, -1):
        commit_scores(quiet, night.DAY - timedelta(days=back), rng.random(400) / 2, [3] * 400)
    commit_scores(quiet, night.DAY, 0.5 + rng.random(400) / 2, [8] * 400)
    commit(quiet, night.DAY, lists(night.DAY, start=0, score=5.0), num_rows=1000, view=0.9)
    counts = run(quiet)
    moved = {"foretold: deciles of churn": "warn", "foretold: probabilities of churn": "warn"}
    assert failed(quiet) == moved
    assert (counts["warnings"], counts["drifted"]) == (2, [])
    assert counts["measures"]["foretold: deciles of churn"] == 1.0

    told = {name: {**one, "probabilities": [0.75] * 101} for name, one in counts["foretold"].items()}
    for back in range(4, 0, -1):
        said = {"status": "done", "counts": {"sketch": counts["sketch"], "foretold": told}}
        write_json(quiet.result(night.SHOP, night.DAY - timedelta(days=back), "watch"), said)
    as_told = run(quiet)["measures"]["foretold: probabilities of churn"]
    assert as_told != counts["measures"]["foretold: probabilities of churn"], "earlier nights are as they said"

    commit(quiet, night.DAY, lists(night.DAY, start=0, score=5.0), num_rows=1000, view=0.3)
    run(quiet)
    assert failed(quiet) == {"events: drift of kinds": "warn"}


def test_a_past_score_that_did_not_happen_warns(quiet: Home) -> None:
    commit(quiet, night.DAY, lists(night.DAY, start=0, score=5.0), num_rows=1000, view=0.9)
    at = night.partition(REALISED_SCORES).on(load_conf().labels.judged_on(night.DAY))
    known = {"score_name": "churn", "segment": "(all)", "num_people": 1000, "num_positives": 100}
    known |= {"dt": at.day, "foretold_sum": 200.0, "ece": 0.1, "ece_by_chance": 0.012, "ece_by_chance_high": 0.02}
    rows = rows_of(REALISED_SCORES, 1, {name: [value] for name, value in known.items()})
    lake = Lake(quiet.lake)
    lake.commit([lake.stage_arrow(rows, REALISED_SCORES, night.SHOP, "test")])
    counts = run(quiet)
    assert failed(quiet) == {
        "realised_scores: calibration of churn": "warn",
        "realised_scores: level of churn": "warn",
    }
    assert counts["measures"]["realised_scores: calibration of churn"] == pytest.approx(0.088)
    assert run(quiet, "watch.max_calibration_error=0.1", "watch.max_level_ratio=3")["warnings"] == 0


def test_the_champions_run_shows_the_numbers(quiet: Home, tmp_path: Path) -> None:
    commit(quiet, night.DAY, lists(night.DAY, start=0, score=5.0), num_rows=5000, view=0.9)
    past, _ = night.walks(5, seed=1)
    version, tracking = night.register(quiet, tmp_path / "model", past, steps=0), Tracking(quiet, night.SHOP)
    tracking.promote(version)
    assert run(quiet)["warnings"] == 1
    metrics = tracking._client().get_run(version.run_id).data.metrics
    assert metrics["watch/warnings"] == 1.0
    assert metrics["watch/events/week over week"] == pytest.approx(4.0)
