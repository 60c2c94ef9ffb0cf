"""From what nights have left behind to scores of everybody: both jobs as the night starts them, on a planted lake."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.jobs.night import register, sequences_of
from tests.jobs.test_publish import SOURCE
from tests.predict.people import rows_of

from nightjar.contracts import (
    FORETOLD,
    IDENTITY_LINKS,
    LABELS,
    PROMOTIONS,
    SEQUENCES,
    SESSION_EVENTS,
    USER_FEATURES,
    Kind,
    Table,
)
from nightjar.contracts.render import arrow_schema
from nightjar.prep.pseudonyms import pseudonyms
from nightjar.settings import load_conf, repository
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake
from nightjar.stores.ledgers import read_rows, record
from nightjar.stores.secrets import pseudonym_key
from nightjar.stores.tracking import Tracking

NIGHT = date(2001, 3, 15)
LABELLED = load_conf().labels
JUDGED = LABELLED.judged_on(NIGHT)
LEARNED = LABELLED.learned_from(NIGHT, date(2000, 1, 1))
PEOPLE = 600


def stage(lake: Lake, table: Table, day: date, rows: pa.Table) -> None:
    lake.commit([lake.stage_arrow(rows, table, "acme", "test", days=[day])])


def fill(lake: Lake, day: date) -> None:
    """Who was silent for long leaves, with chance; who bought often buys."""
    random = np.random.default_rng(day.toordinal())
    hours, orders = random.uniform(0, 600, PEOPLE), random.integers(0, 6, PEOPLE)
    leaves = random.random(PEOPLE) < 1 / (1 + np.exp((200 - hours) / 40))
    buys = random.random(PEOPLE) < (1 + orders) / 8
    days = {"dt": [day] * PEOPLE}
    features = {"hours_since_last_event": hours, "num_orders": orders.astype(np.int32)}
    # The rule of purchases looks at the latest one: here it says nothing, and models must find the number of orders.
    features["hours_since_last_purchase"] = random.uniform(0, 99, PEOPLE)
    stage(lake, USER_FEATURES, day, rows_of(USER_FEATURES, PEOPLE, {**days, **features}))
    stage(lake, SEQUENCES, day, arrow_schema(SEQUENCES).empty_table())
    eligible = hours <= 24 * LABELLED.churn_days
    said = {
        "churn_eligible": eligible,
        "churned": pa.array(leaves, mask=~eligible),
        "purchased_next": buys,
        "observed_until": [day + timedelta(days=LABELLED.longest_days)] * PEOPLE,
    }
    stage(lake, LABELS, day, rows_of(LABELS, PEOPLE, {**days, **said}))


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "acme.toml"
    path.write_text(SOURCE)
    return path


@pytest.fixture
def lake(home: Home) -> Lake:
    lake = Lake(home.lake)
    for day in (NIGHT, JUDGED, *LEARNED):
        fill(lake, day)
    stage(lake, SESSION_EVENTS, min(LEARNED) - timedelta(days=30), arrow_schema(SESSION_EVENTS).empty_table())
    return lake


def test_a_list_of_cases_is_learned_from(home: Home, source: Path, tmp_path: Path) -> None:
    """Fraudsters claim many coupons, and are found one after the other. The rule looks at returns: no help here."""
    random = np.random.default_rng(7)
    is_fraud = np.arange(PEOPLE) < 200
    span = (JUDGED - min(LEARNED)).days + LABELLED.longest_days
    found_on = [min(LEARNED) + timedelta(days=int(day)) for day in random.integers(1, span, 200)]
    listed = tmp_path / "cases.csv"
    rows = [f"login-{number},{day},chargeback" for number, day in enumerate(found_on)]
    listed.write_text("\n".join(["user_id,found_on,how", *rows, "somebody-else,2001-01-01,chargeback"]))
    logins = pa.array([f"login-{number}" for number in range(PEOPLE)])
    named = {"user_id": pseudonyms(pseudonym_key(home), "user", logins)[1]}
    lake = Lake(home.lake)
    for day in (NIGHT, JUDGED, *LEARNED):
        features = {
            "num_orders": np.ones(PEOPLE, np.int32),
            "num_coupons": np.where(is_fraud, random.integers(3, 9, PEOPLE), random.integers(0, 5, PEOPLE)).astype(
                "i4"
            ),
            "returned_value": random.uniform(0, 99, PEOPLE),
        }
        said = {"observed_until": [day + timedelta(days=LABELLED.longest_days)] * PEOPLE}
        stage(lake, USER_FEATURES, day, rows_of(USER_FEATURES, PEOPLE, {**named, "dt": [day] * PEOPLE, **features}))
        stage(lake, LABELS, day, rows_of(LABELS, PEOPLE, {**named, "dt": [day] * PEOPLE, **said}))
        stage(lake, SEQUENCES, day, arrow_schema(SEQUENCES).empty_table())
    stage(lake, SESSION_EVENTS, min(LEARNED) - timedelta(days=30), arrow_schema(SESSION_EVENTS).empty_table())

    without = run("train_scores", source, "--set", 'predict.tasks=["fraud_case"]')
    assert without["waiting"] == {"fraud_case": "no list of cases: predict.cases names none"}
    conf = tmp_path / "cases.toml"
    conf.write_text(f'[predict]\ntasks = ["fraud_case"]\ncases = "{listed}"\n')
    learned = run("train_scores", source, "--conf", str(conf))
    assert learned["tasks"]["fraud_case"]["promoted"] is True
    assert "login-" not in learned["log"]

    assert run("score_people", source, "--conf", str(conf))["rows_out"] == PEOPLE
    told = pa.concat_tables([pq.ParquetFile(file).read() for file in lake.files(FORETOLD.at("acme", NIGHT))])
    chance = dict(zip(told.column("user_id").to_pylist(), told.column("probability").to_pylist(), strict=True))
    by_person = np.array([chance[name] for name in named["user_id"].to_pylist()])
    assert by_person[is_fraud].mean() > 2 * by_person[~is_fraud].mean()

    listed.write_text("user_id,found_on\nlogin-1,soon\n")
    script = repository() / "jobs" / "train_scores.py"
    argv = [sys.executable, str(script), "--source", str(source), "--user_features", f"acme/user_features/dt={NIGHT}"]
    again = ["--conf", str(conf), "--set", "predict.force=true"]
    done = subprocess.run([*argv, *again], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "is no list of cases" in done.stderr
    assert "login-1" not in done.stderr


def run(job: str, source: Path, *more: str) -> dict[str, Any]:
    script = repository() / "jobs" / f"{job}.py"
    argv = [sys.executable, str(script), "--source", str(source), "--user_features", f"acme/user_features/dt={NIGHT}"]
    done = subprocess.run([*argv, *more], capture_output=True, text=True, env=dict(os.environ), timeout=300)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(Home.from_environment().result("acme", NIGHT, job).read_text())["counts"]
    return said | {"log": done.stderr}


def test_what_was_learned_is_foretold_of_everybody_who_is_asked_about(home: Home, lake: Lake, source: Path) -> None:
    learned = run("train_scores", source)
    assert learned["tasks"]["purchase"]["promoted"] is True
    assert learned["contest"]["purchase"]["trees"]["ahead_of_rule"][1] > 0.1
    assert learned["tasks"]["churn"]["serving"] == "rule"  # the planted truth is the rule itself
    assert "click" not in learned["tasks"]  # nobody was shown anything
    decided = {row["model_name"]: row for row in read_rows(lake, PROMOTIONS, PROMOTIONS.at("acme", NIGHT))}
    assert decided["nightjar_acme_purchase"]["decision"] == "promoted"
    assert decided["nightjar_acme_churn"]["decision"] == "kept"

    told = run("score_people", source)
    assert told["without_champion"] == ["cart_conversion", "click", "coupon_uplift", "coupon_use", "next_category"]
    files = lake.files(FORETOLD.at("acme", NIGHT))
    rows = pa.concat_tables([pq.ParquetFile(file).read() for file in files]).to_pylist()
    features = [pq.ParquetFile(file).read() for file in lake.files(USER_FEATURES.at("acme", NIGHT))]
    known = {row["user_id"]: row for row in pa.concat_tables(features).to_pylist()}
    by_task = {name: [row for row in rows if row["score_name"] == name] for name in ("churn", "purchase")}
    assert len(by_task["purchase"]) == PEOPLE
    asked = {name for name, row in known.items() if row["hours_since_last_event"] <= 24 * LABELLED.churn_days}
    assert {row["user_id"] for row in by_task["churn"]} == asked
    probabilities = {row["user_id"]: row["probability"] for row in by_task["purchase"]}
    often = np.mean([probabilities[name] for name, row in known.items() if row["num_orders"] == 5])
    never = np.mean([probabilities[name] for name, row in known.items() if row["num_orders"] == 0])
    assert (never, often) == pytest.approx((1 / 8, 6 / 8), abs=0.15)
    likely = [row for row in by_task["purchase"] if row["decile"] == 10]
    assert all("num_orders" in row["reasons"] for row in likely)
    assert {row["contender"] for row in by_task["churn"]} == {"rule"}


def test_days_that_the_lake_lacks_are_replaced_by_earlier_ones(home: Home, source: Path) -> None:
    """A week and a day after a shop's first night: its instants lie a day before those that settings name."""
    lake = Lake(home.lake)
    log_begins = LEARNED[-1] - timedelta(days=8)
    stage(lake, SESSION_EVENTS, log_begins, arrow_schema(SESSION_EVENTS).empty_table())
    for day in (NIGHT, JUDGED, *(day - timedelta(days=1) for day in LEARNED), LEARNED[-1] - timedelta(days=8)):
        fill(lake, day)
    learned = run("train_scores", source, "--set", 'predict.tasks=["purchase"]')
    assert learned["tasks"]["purchase"]["promoted"] is True
    days = " ".join(str(day - timedelta(days=1)) for day in LEARNED)
    assert f"people of {JUDGED} judge what is learned from {days}, trees\n" in learned["log"]


def recommender(home: Home, lake: Lake, as_of: date) -> None:
    """One that served from then on."""
    histories = {"a": [("i01", Kind.VIEW), ("i02", Kind.VIEW)]}
    version = register(home, home.root / f"model-{as_of}", histories, steps=1, as_of=as_of, shop="acme")
    tracking = Tracking(home, "acme")
    tracking.promote(version)
    row = dict.fromkeys(PROMOTIONS.names, "") | {"shop": "acme", "dt": as_of, "decided_at": datetime.now(UTC)}
    row |= {"decision_id": str(as_of), "model_name": tracking.name, "candidate_version": version.version}
    record(lake, PROMOTIONS, PROMOTIONS.at("acme", as_of), [row | {"decision": "promoted"}], "test")


def test_an_encoder_that_has_seen_the_outcomes_has_no_part_in_the_contest(home: Home, lake: Lake, source: Path) -> None:
    one = ("--set", 'predict.tasks=["purchase"]', "--set", "predict.epochs=4")
    recommender(home, lake, NIGHT - timedelta(days=3))
    assert run("train_scores", source, *one)["contest"]["purchase"].keys() == {"rule", "trees"}
    assert not list((home.mlflow).rglob("heads.safetensors"))
    recommender(home, lake, JUDGED)
    for day in (JUDGED, *LEARNED):
        rows = [pq.ParquetFile(file).read() for file in lake.files(USER_FEATURES.at("acme", day))]
        orders = {row["user_id"]: row["num_orders"] for row in pa.concat_tables(rows).to_pylist()}
        bought = {user: [("i01", Kind.PURCHASE)] * number for user, number in orders.items() if number}
        stage(lake, SEQUENCES, day, sequences_of(bought, day))
    learned = run("train_scores", source, *one, "--set", "predict.force=true")
    assert learned["contest"]["purchase"].keys() == {"rule", "trees", "encoder", "combined"}
    assert list((home.mlflow).rglob("heads.safetensors"))


def test_a_young_model_is_not_learned_again_and_force_learns_it(home: Home, lake: Lake, source: Path) -> None:
    one = ("--set", 'predict.tasks=["purchase"]')
    run("train_scores", source, *one)
    assert run("train_scores", source, *one)["reason"] == "every task has a model that is young enough"
    assert run("train_scores", source, *one, "--set", "predict.force=true")["tasks"]["purchase"]["promoted"] is True
    champion = Tracking(home, "acme", "purchase").champion()
    assert champion is not None
    assert (champion.version, champion.as_of) == ("2", JUDGED)


def test_an_attempt_that_was_killed_is_gone_on_with(home: Home, lake: Lake, source: Path) -> None:
    """Killed before a version was decided on, and before it served: the same versions, each decided on once."""
    two = ("--set", 'predict.tasks=["churn", "purchase"]')
    run("train_scores", source, *two)
    ledger = PROMOTIONS.at("acme", NIGHT)
    before = {row["decision_id"]: row["candidate_version"] for row in read_rows(lake, PROMOTIONS, ledger)}
    trackings = [Tracking(home, "acme", name) for name in ("churn", "purchase")]
    digests = [tracking.version("1").digest for tracking in trackings]
    assert list(before.values()) == ["1", "1"]
    for killed in (trackings, trackings[1:]):
        for tracking in killed:
            tracking._client().delete_registered_model_alias(tracking.name, "champion")
        run("train_scores", source, *two)
        assert [tracking.champion() for tracking in trackings] == [tracking.version("1") for tracking in trackings]
        assert [tracking.version("1").digest for tracking in trackings] == digests
        assert {row["decision_id"]: row["candidate_version"] for row in read_rows(lake, PROMOTIONS, ledger)} == before
        assert all(row["champion_version"] is None for row in read_rows(lake, PROMOTIONS, ledger))


def test_a_short_log_and_no_task_at_all_cost_nothing(home: Home, source: Path) -> None:
    fill(Lake(home.lake), NIGHT)
    learned = run("train_scores", source, "--set", 'predict.tasks=["churn", "purchase"]')
    assert "too short" in learned["reason"]
    assert learned["waiting"].keys() == {"churn", "purchase"}
    assert run("score_people", source)["rows_out"] == 0
    assert run("train_scores", source, "--set", "predict.tasks=[]")["reason"] == "no task is configured"


def test_what_has_no_labels_is_learned_on_the_first_night_and_not_judged(home: Home, source: Path) -> None:
    lake = Lake(home.lake)
    fill(lake, NIGHT)
    shared = {"device_id": ["till"] * 8, "user_id": [f"{user:016x}" for user in range(8)], "dt": [NIGHT] * 8}
    stage(lake, IDENTITY_LINKS, NIGHT, rows_of(IDENTITY_LINKS, 8, shared))
    one = ("--set", 'predict.tasks=["fraud", "churn"]')
    learned = run("train_scores", source, *one)
    assert learned["tasks"]["fraud"]["reason"].startswith("anomaly, not judged")
    assert learned["waiting"].keys() == {"churn"}
    run("score_people", source, *one)
    rows = pa.concat_tables(
        [pq.ParquetFile(file).read() for file in lake.files(FORETOLD.at("acme", NIGHT))]
    ).to_pylist()
    features = [pq.ParquetFile(file).read() for file in lake.files(USER_FEATURES.at("acme", NIGHT))]
    ordered = {row["user_id"] for row in pa.concat_tables(features).to_pylist() if row["num_orders"]}
    assert {row["user_id"] for row in rows} == ordered
    suspects = {row["user_id"] for row in rows if row["reasons"] == ["accounts_on_device"]}
    assert suspects == ordered & set(shared["user_id"])
    assert all(row["probability"] > 0.95 for row in rows if row["user_id"] in suspects)
    assert run("train_scores", source, *one)["waiting"].keys() == {"churn"}, "the other one is young"
