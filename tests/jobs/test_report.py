"""The job as the night starts it, over a lake, ledgers and a warehouse of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from http.server import HTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.monitor.example import DECISION, RESULTS
from tests.stores.test_post import Hook, serving

from nightjar.contracts import (
    DATA_QUALITY,
    DECISIONS,
    EVENTS,
    FORETOLD,
    ITEMS,
    PROMOTIONS,
    REALISED_CALIBRATION,
    REALISED_DECISIONS,
    REALISED_SCORES,
    RECOMMENDATIONS,
    SEQUENCES,
    SESSIONS,
    USERS,
    Table,
)
from nightjar.contracts.render import arrow_schema
from nightjar.monitor.night import JOBS
from nightjar.settings import Model, load_conf, repository
from nightjar.stores.files import write_json
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake
from nightjar.stores.tracking import Tracking

DAY = date(2001, 1, 15)
NOON = datetime(2001, 1, 15, 12, tzinfo=UTC)
NIGHT = "acme/recommendations/dt=2001-01-15"
SETTINGS = ("score.k=2", "gate.trailing_days=2", "gate.min_overlap_yesterday=0", "gate.max_fallback_share=1.0")
NUMBERS: dict[str, Any] = dict.fromkeys(("num_events", "num_recent"), 1)
NUMBERS |= dict.fromkeys(("price_bucket", "num_purchases", "first_seen", "last_seen"), 0)
NUMBERS |= {"recent_by_platform": [1, 0, 0, 0, 0, 0]}
ARRAYS: dict[str, list[Any]] = {
    name: []
    for name in ("item_ids", "kinds", "event_ts", "platforms", "session_ordinals", "price_buckets", "category_codes")
}
PEOPLE = ("fbm1k3vq0zj7w2ha", "c2wq9x4n8s6t5r0e")

SOURCE = """
doc = "A shop for tests."
format = "csv"
layout = "single"
time_zone = "UTC"
[events]
event_id = "id"
event_ts = "ts"
kind = "kind"
platform = "'web'"
user_id = "user"
[kinds]
view = "view"
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "acme.toml"
    path.write_text(SOURCE)
    return path


def run(job: str, source: Path, *more: str) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """Start a job; returns the process and its result manifest."""
    script = repository() / "jobs" / f"{job}.py"
    argv = [sys.executable, str(script), "--source", str(source), "--recommendations", NIGHT, "--run", "night-1"]
    argv += [part for setting in SETTINGS for part in ("--set", setting)] + list(more)
    done = subprocess.run(argv, capture_output=True, text=True, env=dict(os.environ), timeout=120)
    return done, json.loads(Home.from_environment().result("acme", DAY, job).read_text())


def fill(home: Home, table: Table, rows: list[dict[str, Any]], facts: dict[str, Any] | None = None) -> None:
    lake = Lake(home.lake)
    staged = lake.stage_arrow(pa.Table.from_pylist(rows, arrow_schema(table)), table, "acme", "night-1")
    lake.commit([staged], facts={(table.name, rows[0]["dt"]): facts or {}})


def recommended(person: str, rank: int, item: str, day: date = DAY) -> dict[str, Any]:
    return {
        "row_key": f"acme|{day}|home|{person}|{rank}",
        "shop": "acme",
        "dt": day,
        "surface": "home",
        "user_id": person,
        "rank": rank,
        "item_id": item,
        "score": 1 / rank,
        "strategy": "popular",
        "reason_code": "popular_now",
        "model_name": "popularity",
        "model_version": "1",
    }


def event(person: str, number: int, day: date) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "event_ts": NOON,
        "dt": day,
        "landed": day,
        "user_id": person,
        "platform": "web",
        "kind": "view",
        "item_id": "i1",
    }


def session(person: str, day: date) -> dict[str, Any]:
    counts = ("num_events", "num_views", "num_searches", "num_carts", "num_purchases", "num_items")
    whole = {"start_ts": NOON, "end_ts": NOON, "revenue": 0.0, "platform": "web", "is_bot": False}
    return {
        "session_id": f"e1-{person}",
        "visitor_id": person,
        "user_id": person,
        "dt": day,
        **dict.fromkeys(counts, 1),
        **whole,
    }


@pytest.fixture
def night(home: Home) -> Home:
    """Two people with two items each, the same first item as yesterday; a decision and two verdicts."""
    before = DAY - timedelta(days=1)
    fill(home, RECOMMENDATIONS, [recommended(PEOPLE[0], 1, "i2", before)])
    rows = [recommended(person, rank, item) for person in PEOPLE for rank, item in ((1, "i1"), (2, "i2"))]
    fill(home, RECOMMENDATIONS, rows, {"num_candidates": 8})
    titles = {"i1": "Tea", "i2": None}
    fill(home, ITEMS, [{"item_id": item, "dt": DAY, "title": title, **NUMBERS} for item, title in titles.items()])
    fill(
        home,
        SEQUENCES,
        [{"user_id": person, "dt": DAY, "num_events": 0, "last_platform": "web", **ARRAYS} for person in PEOPLE],
    )
    for day, num_events in ((before, 5), (DAY, 7)):
        fill(home, EVENTS, [event(PEOPLE[0], number, day) for number in range(num_events)])
        fill(home, SESSIONS, [session(person, day) for person in PEOPLE])
    verdict = {"shop": "acme", "dt": DAY, "severity": "warn"}
    fill(
        home,
        DATA_QUALITY,
        [
            verdict | {"table_name": "events", "expectation": "bot_share", "success": False, "observed": "0.61"},
            verdict | {"table_name": "events", "expectation": "num_rows", "success": True, "observed": "7"},
        ],
    )
    decision = {"shop": "acme", "dt": DAY, "decision_id": "d1", "decided_at": NOON, "model_name": "nightjar_acme"}
    fill(home, PROMOTIONS, [DECISION | decision])
    for job in set(JOBS) - {"simulate", "publish"}:
        path = home.result("acme", DAY, job)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(RESULTS[job]))
    waiting = home.secrets / "users" / "acme"
    waiting.mkdir(parents=True)
    mapping = [{"shop": "acme", "pseudonym": p, "shop_id": f"shop-{p}", "id_kind": "user"} for p in PEOPLE]
    pq.write_table(pa.Table.from_pylist(mapping, arrow_schema(USERS)), waiting / "tonight.parquet")
    (home.docs / "acme").mkdir(parents=True)
    (home.docs / "acme" / "index.html").write_text("<p>verdicts</p>")
    return home


def test_a_whole_night(night: Home, source: Path) -> None:
    published, _ = run("publish", source)
    assert published.returncode == 0, published.stderr
    done, result = run("report", source)
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout.splitlines()[-1])
    assert counts == result["counts"]
    assert {name: counts[name] for name in ("rows_in", "rows_out", "rows_rejected", "verdict")} == {
        "rows_in": 4,
        "rows_out": 1,
        "rows_rejected": 0,
        "verdict": "warn",
    }
    assert counts["notices"] == [
        "events: expectation bot_share warns, observed 0.61",
        "There is no champion yet: everybody gets what is popular",
    ]
    page = (night.reports / "acme" / "2001-01-15.html").read_text()
    for expected in (
        "Published 4 recommendations for 2 people.",
        "<b>Events: 7</b>",
        "2001-01-14: 5",
        "<b>Sessions: 2</b>",
        "2 different items in 2 lists, of 8 available",
        "Candidate, version 4",
        "no. 1",
        'href="../../docs/acme/index.html"',
    ):
        assert expected in page
    assert (night.reports / "acme" / "../../docs/acme/index.html").resolve().is_file()


def people_scored(home: Home) -> None:
    """Churn foretold of both people, the model's contest days ago, a judged night; a coupon for one of them."""
    judged = load_conf().labels.judged_on(DAY)
    told = {"dt": DAY, "score_name": "churn", "decile": 5, "contender": "trees", "model_version": "2", "reasons": []}
    fill(
        home,
        FORETOLD,
        [
            told | {"user_id": p, "probability": x, "flagged": x > 0.5}
            for p, x in zip(PEOPLE, (0.25, 0.75), strict=True)
        ],
    )
    contest = {
        "rule": {"auroc": 0.71, "ece": 0.03, "ahead_of_rule": [0.0, 0.0, 0.0]},
        "trees": {"auroc": 0.74, "ece": 0.02, "ahead_of_rule": [0.03, 0.01, 0.05]},
    }
    learned = {
        "shop": "acme",
        "model_name": "nightjar_acme_churn",
        "decision": "promoted",
        "reason": "trees: auroc 0.7400",
        "metrics": json.dumps(contest),
        "rule": json.dumps({"metric": "auroc", "rule": "longest silent first", "costs": {}}),
    }
    days_ago = DAY - timedelta(days=5)
    older = {"dt": days_ago, "decision_id": "s1", "decided_at": NOON - timedelta(days=5), "candidate_version": "2"}
    fill(home, PROMOTIONS, [learned | older])
    # Another task's decision of tonight, later than the recommender's own.
    other = learned | {"model_name": "nightjar_acme_click", "candidate_version": "1"}
    recommender = {"shop": "acme", "dt": DAY, "decision_id": "d1", "decided_at": NOON, "model_name": "nightjar_acme"}
    tonight = {"dt": DAY, "decision_id": "s2", "decided_at": NOON + timedelta(hours=1)}
    fill(home, PROMOTIONS, [DECISION | recommender, other | tonight])
    score = {"dt": judged, "score_name": "churn", "contender": "trees", "model_version": "1", "window_days": 14}
    score |= {"num_foretold": 90, "num_people": 80, "num_positives": 20, "foretold_sum": 24.0, "auroc": 0.7125}
    score |= {"ece": 0.06, "ece_by_chance": 0.05, "ece_by_chance_high": 0.09, "lift_first_decile": 1.9}
    fill(home, REALISED_SCORES, [score | {"segment": name} for name in ("(all)", "platform: web")])
    group = {"dt": judged, "score_name": "churn", "contender": "trees", "model_version": "1", "bin": 1}
    fill(home, REALISED_CALIBRATION, [group | {"num_people": 80, "num_positives": 20, "foretold_sum": 24.0}])
    arm = {"dt": judged, "decision": "coupon", "score_name": "purchase", "outcome": "purchased_next", "margin": 0.5}
    arm |= {"window_days": 7, "num_people": 10, "num_answered": 10, "num_positives": 4, "revenue_squares": 900.0}
    arms = [
        arm | {"arm": "act", "revenue": 80.0, "expected_value": 30.0, "cost": 10.0},
        arm | {"arm": "control", "revenue": 40.0, "expected_value": 20.0, "cost": 0.0},
    ]
    fill(home, REALISED_DECISIONS, arms)
    chosen = {
        "row_key": "acme|2001-01-15|coupon|x",
        "shop": "acme",
        "dt": DAY,
        "decision": "coupon",
        "user_id": PEOPLE[0],
        "arm": "act",
        "rank": 1,
        "offer": "coupon",
        "expected_value": 4.5,
        "cost": 1.0,
        "score_name": "purchase",
        "score": 0.5,
        "reasons": "[]",
    }
    counts = {"score_name": "purchase", "acted": 1, "control": 0, "left_out": 1, "cost": 1.0, "unmet": ""}
    said = {"decisions": {"coupon": counts}, "unmet": {"cart_reminder": "nothing foretells cart_conversion tonight"}}
    fill(home, DECISIONS, [chosen], said)


def test_what_people_will_do_and_what_came_of_it(night: Home, source: Path) -> None:
    people_scored(night)
    watched = {"shop": "acme", "dt": DAY, "severity": "warn", "table_name": "realised_scores"}
    observed = {"expectation": "level of churn", "success": False, "observed": "foretold 30 %, happened 25 %"}
    fill(night, DATA_QUALITY, [watched | observed])
    done, result = run("report", source)
    assert done.returncode == 0, done.stderr
    page = (night.reports / "acme" / "2001-01-15.html").read_text()
    text = " ".join(re.sub(r"<[^>]*>", " ", page).split())
    for expected in (
        "churn trees, version 2 2 50 % 1 2001-01-01 30 % 25 % 0.713 0.060",
        "trees ✓ serves 0.740 +0.030 +0.010 to +0.050 0.020",
        "trees: auroc 0.7400. Ahead in auroc, 95 % interval, same people.",
        "tenths of 80 people of 2001-01-01",
        "Lift of the first decile on 2001-01-01: 1.90 .",
        "platform: web 80 30 % 25 % 0.713 0.060",
        "coupon by purchase 1 0 1 1.00 of 500.00 4.50",
        "nobody: nothing foretells cart_conversion tonight",
        "coupon 1 night 10 10 3.00 +1.00 (",
        "! level of churn: foretold 30 %, happened 25 %",
        "Candidate, version 4",
    ):
        assert expected in text, expected
    assert "realised_scores: level of churn: foretold 30 %, happened 25 %" in result["counts"]["notices"]
    assert not [person for person in PEOPLE if person in page + done.stdout + done.stderr]


def test_names_nobody(night: Home, source: Path) -> None:
    run("publish", source)
    done, _ = run("report", source)
    page = (night.reports / "acme" / "2001-01-15.html").read_text()
    sequences = pq.ParquetFile(Lake(night.lake).files(SEQUENCES.at("acme", DAY))[0])
    people = sequences.read(columns=["user_id"]).column("user_id").to_pylist()
    assert len(people) == 2
    for person in people:
        assert person not in page + done.stdout + done.stderr


def test_overlap_is_known_when_the_night_was_published_before(night: Home, source: Path) -> None:
    """One of two items stood in the only list of yesterday that was published."""
    before = DAY - timedelta(days=1)
    fill(night, ITEMS, [{"item_id": "i2", "dt": before, "title": None, **NUMBERS}])
    fill(night, SEQUENCES, [{"user_id": PEOPLE[0], "dt": before, "num_events": 0, "last_platform": "web", **ARRAYS}])
    fill(night, RECOMMENDATIONS, [recommended(PEOPLE[0], 1, "i2", before)], {"num_candidates": 1})
    script = str(repository() / "jobs" / "publish.py")
    argv = [sys.executable, script, "--source", str(source), "--recommendations", NIGHT.replace("15", "14")]
    subprocess.run([*argv, "--set", "score.k=2", "--set", "gate.max_fallback_share=1.0"], check=True, timeout=120)
    for published in (True, False):
        _, result = run("publish", source)
        assert result["counts"]["published"] is published
        run("report", source)
        page = (night.reports / "acme" / "2001-01-15.html").read_text()
        assert "shares 50 % of its items with last night's" in " ".join(page.split()).replace("&#39;", "'")


def test_a_warning_is_told_and_a_server_that_fails_costs_no_night(
    night: Home, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("publish", source)
    served = serving(HTTPServer(("127.0.0.1", 0), Hook))
    server = next(served)
    url = f"http://127.0.0.1:{server.server_address[1]}/secret-part"
    monkeypatch.setenv("NIGHTJAR_WEBHOOK_URL", url)
    done, result = run("report", source)
    assert (done.returncode, result["counts"]["told"]) == (0, ["webhook"]), done.stderr
    ((path, _, message),) = server.seen
    assert (path, message["shop"], message["verdict"]) == ("/secret-part", "acme", "warn")
    assert "! events: expectation bot_share warns, observed 0.61" in message["text"]
    assert not [person for person in PEOPLE if person in json.dumps(message)]
    monkeypatch.setenv("NIGHTJAR_WEBHOOK_URL", url.replace("secret-part", "broken"))
    done, result = run("report", source)
    assert (done.returncode, result["counts"]["told"]) == (0, [])
    assert "no digest by webhook, see NIGHTJAR_WEBHOOK_URL" in done.stderr
    assert "/broken" not in done.stderr
    assert run("report", source, "--set", "digest.when=bad")[1]["counts"]["told"] == []
    next(served, None)


def test_nothing_ran(home: Home, source: Path) -> None:
    done, result = run("report", source)
    assert (done.returncode, result["counts"]["verdict"]) == (0, "bad"), done.stderr
    page = (home.reports / "acme" / "2001-01-15.html").read_text()
    assert "Nothing was published: readers still see the last complete night." in page
    assert "No model was judged tonight." in page


def test_a_night_that_failed_is_told_with_the_step_the_reason_and_the_link(
    home: Home, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is there but the manifest of the step that stopped it."""
    said = {"job": "clean", "run_id": "manual", "status": "failed", "failure": "bad_data", "seconds": 3.0}
    write_json(home.result("acme", DAY, "clean"), said | {"error": "row_count: 3 rows, allowed 10 to 99\n  next: look"})
    served = serving(HTTPServer(("127.0.0.1", 0), Hook))
    server = next(served)
    monkeypatch.setenv("NIGHTJAR_WEBHOOK_URL", f"http://127.0.0.1:{server.server_address[1]}/hook")
    done, result = run("report", source, "--link", "http://airflow/dags/nightly/runs/r")
    assert (done.returncode, result["counts"]["told"]) == (0, ["webhook"]), done.stderr
    ((_, _, message),) = server.seen
    assert message["verdict"] == "bad"
    assert message["link"] == "http://airflow/dags/nightly/runs/r"
    assert "clean failed: row_count: 3 rows, allowed 10 to 99" in message["text"]
    page = home.report("acme", DAY)
    page.unlink()
    done, _ = run("report", source, "--late", "--prefix", "late-")
    assert done.returncode == 0, done.stderr
    message = server.seen[-1][2]
    assert message["text"].startswith("Nightjar acme 2001-01-15: late\nNot finished by its deadline; done so far:")
    assert (message["page"], page.exists()) == ("", False)
    next(served, None)


def test_a_broken_result_is_said(home: Home, source: Path) -> None:
    path = home.result("acme", DAY, "train")
    path.parent.mkdir(parents=True)
    path.write_text("{")
    done, result = run("report", source)
    assert done.returncode == 0
    assert f"train failed: {path} is no JSON" in result["counts"]["notices"]


def test_names_the_champion(night: Home, source: Path, tmp_path: Path) -> None:
    from nightjar.learn.checkpoint import save_model
    from nightjar.learn.models import build
    from nightjar.learn.vocabulary import Vocabulary

    conf = Model(name="sasrec", width=8, num_blocks=1, num_heads=1, max_length=4, dropout=0.0)
    vocabulary = Vocabulary(("i1", "i2"))
    save_model(tmp_path / "trained", build(conf, vocabulary.size), conf, vocabulary)
    tracking, example = Tracking(night, "acme"), {"item_ids": [["i1"]]}
    with tracking.start_run("night-1") as run_id:
        as_of = date(2001, 1, 12)
        logged = tracking.log_model(run_id, tmp_path / "trained", as_of=as_of, fingerprint="f", input_example=example)
    tracking.promote(logged)
    done, _ = run("report", source)
    assert done.returncode == 0, done.stderr
    page = (night.reports / "acme" / "2001-01-15.html").read_text()
    assert "Champion: nightjar_acme version 1, trained on what was known at the end of 2001-01-12." in page
    assert f"<code>{run_id}</code>" in page
