"""The parts of the report that need a lake, on planted people: what was planted is in the numbers and on the page."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from jobs._people import Instant
from jobs.ops.scores import contest, logs, page, pictures, simulator
from jobs.ops.scores.chain import SYNTHETIC, Chain
from jobs.ops.scores.simulator import Campaign, World
from tests.learn.sequence_files import START, successions, write_sequences
from tests.predict.people import features, labels, rows_of
from tests.predict.ring import simulated

from nightjar.contracts import EVENTS, IDENTITY
from nightjar.learn.checkpoint import LoadedModel
from nightjar.learn.dataset import concatenated
from nightjar.learn.histories import WHOLE, read_histories
from nightjar.learn.models import build
from nightjar.learn.vocabulary import Vocabulary
from nightjar.predict.accounts import with_accounts
from nightjar.predict.qini import trial
from nightjar.predict.task import SURPRISE
from nightjar.predict.tasks import CHURN, CLICK, PURCHASE
from nightjar.settings import Conf, load_conf, repository
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake

DAYS = [date(2001, 1, 15) + timedelta(days=14 * number) for number in range(3)]
ITEMS = Vocabulary(tuple(f"i{number}" for number in range(20)))
PEOPLE = 900


def quiet(_: str) -> None:
    return None


def conf() -> Conf:
    small = ["model.width=16", "model.num_heads=1", "model.num_blocks=1", "model.max_length=8", "model.dropout=0.0"]
    return load_conf(
        files=[repository() / "conf" / "models" / "sasrec.toml"],
        sets=[*small, "predict.epochs=2", "predict.head_rate=0.02"],
    )


def instant(day: date, folder: Path) -> Instant:
    """Who was silent for long leaves; who ordered often buys, with chance."""
    random = np.random.default_rng(day.toordinal())
    hours, num_orders = random.uniform(0, 600, PEOPLE), random.integers(0, 6, PEOPLE)
    leaves = random.random(PEOPLE) < 1 / (1 + np.exp((200 - hours) / 40))
    buys = random.random(PEOPLE) < (1 + num_orders) / 8
    known = features(
        PEOPLE,
        hours_since_last_event=hours,
        num_orders=num_orders.astype(np.int32),
        hours_since_last_purchase=random.uniform(0, 99, PEOPLE),
        last_platform=["web", "app"] * (PEOPLE // 2),
        num_sessions_28d=random.integers(0, 9, PEOPLE).astype(np.int32),
        tenure_days=np.full(PEOPLE, 70, np.int32),
    )
    told = labels(PEOPLE, churn_eligible=[True] * PEOPLE, churned=leaves, purchased_next=buys)
    rows = successions(PEOPLE, num_items=20, seed=day.toordinal(), longest=8)
    file = write_sequences(folder / f"{day}.parquet", rows)
    (histories,) = read_histories([file], ITEMS, max_length=WHOLE, rows_per_batch=PEOPLE)
    return Instant(day, known, told, histories, START + 86_400)


class Planted(Chain):
    """A chain whose lake nobody needs: its encoder has fresh weights."""

    def encoder(self) -> LoadedModel | None:
        torch.manual_seed(0)
        settled = conf().model.model_copy(update={"max_length": 8, "dropout": 0.0})
        return LoadedModel(build(settled, ITEMS.size), settled, ITEMS)


@pytest.fixture(scope="module")
def instants(tmp_path_factory: pytest.TempPathFactory) -> list[Instant]:
    folder = tmp_path_factory.mktemp("people")
    return [instant(day, folder) for day in DAYS]


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    return Planted(SYNTHETIC, None, tuple(DAYS), (), Home(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="module")
def found(instants: Sequence[Instant], chain: Planted) -> dict[str, Any]:
    """Churn beside the chance that was planted, purchases beside BG/NBD, clicks that nobody could make."""

    def best(rows: pa.Table, task: object) -> dict[str, np.ndarray]:
        hours = rows.column("hours_since_last_event").to_numpy()
        known = 1 / (1 + np.exp((200 - hours) / 40))
        of_most = np.where(np.arange(len(known)) % 3, known, np.nan)
        return {"log": of_most, "habits": of_most} if task is CHURN else {}

    *known, later = instants
    tasks, stated = (CHURN, PURCHASE, CLICK), conf()
    baselines = {"bg/nbd": logs.baseline(stated.labels)}
    return contest.measured(tasks, known, later, chain.encoder(), stated.predict, quiet, best=best, baselines=baselines)


def test_the_contest_finds_what_was_planted(found: dict[str, Any]) -> None:
    assert (found["judged"], found["learned"]) == ("2001-02-12", ["2001-01-15", "2001-01-29"])
    assert found["tasks"]["click"] == {"not_judged": "fewer than 30 of the rarer outcome to learn from"}
    churn, purchase = found["tasks"]["churn"], found["tasks"]["purchase"]
    assert list(churn["contenders"]) == ["rule", "trees", "encoder", "combined", "bg/nbd"]
    assert churn["serving"] == "rule", "the planted truth is the rule itself"
    assert churn["contenders"]["rule"]["ahead"] == [0, 0, 0]
    assert 0.9 < churn["bayes"]["log"]["share"][0] <= churn["bayes"]["log"]["share"][2] < 1.1
    assert churn["bayes"]["log"]["people"] == 600
    mean, high = churn["contenders"]["rule"]["ece_by_chance"]
    assert 0 < mean < high
    assert "bayes" not in purchase
    assert purchase["contenders"]["trees"]["ahead"][1] > 0.05
    low, point, high = (purchase["contenders"]["trees"]["auroc"][place] for place in (1, 0, 2))
    assert low < point < high
    assert set(churn["slices"]) >= {"platform app", "platform web"}
    assert sum(one["people"] for name, one in churn["slices"].items() if name.startswith("platform")) == PEOPLE
    assert len(purchase["contenders"]["rule"]["gain"]) == 20
    json.dumps(found, allow_nan=False)


def test_what_serves_is_calibrated_on_those_who_judged_it(found: dict[str, Any], instants: Sequence[Instant]) -> None:
    for name in ("churn", "purchase"):
        served = found["tasks"][name]["as_served"]
        assert 0 < served["ece"] < 2 * served["ece_by_chance"][1]
    assert found["tasks"]["purchase"]["as_served"]["contender"] != "rule"
    assert "as_served" not in found["tasks"]["click"]
    *known, later = instants
    assert contest.as_served((CHURN,), known[:1], later, None, conf().predict, seed=1) == {}
    # Twice as many leave at the two later instants: who is calibrated on the first of them knows the second.
    leaves = labels(PEOPLE, churn_eligible=[True] * PEOPLE, churned=[True] * (PEOPLE // 2) + [False] * (PEOPLE // 2))
    moved = [known[0], *(one._replace(labels=leaves) for one in (known[1], later))]
    rare = np.arange(PEOPLE) % 4 == 0
    moved[0] = known[0]._replace(labels=labels(PEOPLE, churn_eligible=[True] * PEOPLE, churned=rare))
    told = contest.as_served((CHURN,), moved[:2], moved[2], None, conf().predict, seed=1)["churn"]
    assert told["ece"] <= told["ece_by_chance"][1]


def test_an_encoder_stays_as_it_was(instants: Sequence[Instant], chain: Planted) -> None:
    *known, later = instants
    encoder = chain.encoder()
    assert encoder is not None
    before = {name: weight.clone() for name, weight in encoder.model.state_dict().items()}
    contest.hold((CHURN,), known, later, encoder, conf().predict, seed=1)
    assert all(torch.equal(before[name], weight) for name, weight in encoder.model.state_dict().items())


def test_the_ring_that_was_planted_is_recovered() -> None:
    shop = simulated(num_people=800, seed=3)
    people = with_accounts(shop.features, shop.links, rows_of(IDENTITY, 0, {}))
    surprise = pa.nulls(people.num_rows, pa.float64())
    told = simulator.recovered(people.append_column(SURPRISE, surprise), shop.guilty_B == 1, num_resamples=50)
    assert told["guilty"] == shop.guilty_B.sum()
    assert told["scores"]["fraud"]["auroc"][0] > 0.95
    assert told["scores"]["fraud"]["share"] == pytest.approx(2 * told["scores"]["fraud"]["auroc"][0] - 1, abs=1e-5)
    assert 0 < told["scores"]["fraud"]["among_shown"] <= told["shown"]
    nobody = simulator.recovered(people.append_column(SURPRISE, surprise), shop.guilty_B > 1)
    assert "not_measured" in nobody


def test_without_an_encoder_trees_stand_alone(instants: Sequence[Instant]) -> None:
    *known, later = instants
    alone = contest.measured((PURCHASE,), known, later, None, conf().predict, quiet)
    assert alone["with_encoder"] is False
    one = alone["tasks"]["purchase"]
    assert (list(one["contenders"]), one["best"], one["serving"]) == (["rule", "trees"], "trees", "trees")
    assert page.contest_bars(alone) == ["the gate promoted no recommender: trees stand alone."]


def test_the_way_to_the_best_score() -> None:
    assert contest.share(0.5, 0.8) == 0
    assert contest.share(0.725, 0.75) == pytest.approx(0.9)


def test_what_bgnbd_reads_of_people() -> None:
    rows = features(
        4,
        num_orders=np.array([0, 1, 3, 3], np.int32),
        tenure_days=np.array([70, 70, 70, 70], np.int32),
        hours_since_last_purchase=pa.array([None, 70 * 24.0, 7 * 24.0, 70 * 24.0]),
    )
    read = logs.buyers(rows)
    assert read.repeats.tolist() == [0, 0, 2, 0], "orders of the first day are one"
    assert read.last.tolist() == [0, 0, 9, 0]
    assert read.age.tolist() == [0, 10, 10, 10]


def test_pre_training_is_held_against_fresh_weights(
    instants: Sequence[Instant], chain: Planted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulator, "LABEL_SHARES", {0.1: 2, 1.0: 1})
    *known, later = instants
    numbers = simulator.transfer(chain, known, later, conf(), quiet)
    assert set(numbers) == {"churn", "purchase"}
    assert [(one["labels"], one["draws"]) for one in numbers["churn"].values()] == [(180, 2), (1800, 1)]
    for one in numbers["purchase"].values():
        gap = one["pre-trained"][0] - one["from scratch"][0]
        assert one["ahead"][0] == pytest.approx(gap, abs=1e-5)
        assert one["ahead"][1] <= one["ahead"][0] <= one["ahead"][2]


def test_a_share_of_people_is_the_same_at_every_instant(instants: Sequence[Instant]) -> None:
    some = simulator.of_share(instants, 0.1, seed=1)
    names = [one.features.column("user_id").to_pylist() for one in some]
    assert names[0] == names[1] == some[0].labels.column("user_id").to_pylist()
    assert 60 < len(names[0]) < 120
    assert len(some[0].histories) == len(names[0])
    assert some[0].features.num_rows != simulator.of_share(instants, 0.1, seed=2)[0].features.num_rows
    assert simulator.of_share(instants, 1.0, seed=1)[0].features.num_rows == PEOPLE


def test_means_over_draws_by_hand() -> None:
    y = np.array([0, 1] * 50)
    right, wrong = y.astype(float), 1.0 - y
    ours, theirs, gap = simulator.means_of(y, [right, wrong], [wrong])
    assert (ours, theirs, gap) == ([0.5, 0.5, 0.5], [0, 0, 0], [0.5, 0.5, 0.5])


def test_seeds_and_instants(instants: Sequence[Instant], chain: Planted) -> None:
    first, second, third = instants
    told = simulator.stability(chain, ((first,), (first, second)), (second, third), conf(), quiet)
    assert list(told["churn"]) == ["2001-01-29", "2001-02-12", "all"]
    areas = told["churn"]["2001-02-12"]["auroc"]
    assert len(areas) == 3
    assert told["churn"]["2001-02-12"]["mean"] == pytest.approx(np.mean(areas), abs=1e-5)
    assert told["churn"]["all"]["mean"] > 0.8


def test_people_of_the_lake_are_found_in_the_simulator(home: Home) -> None:
    stated = load_conf(sets=["simulate.num_people=50"])
    world = World.of(stated, home)
    assert world.places(pa.table({"user_id": [world.names[7].as_py(), "nobody", world.names[0].as_py()]})).tolist() == [
        7,
        -1,
        0,
    ]
    assert [world.eve(number) for number in (0, 1)] == [date(2026, 1, 7), date(2026, 2, 4)]


def planted_campaign(home: Home) -> tuple[World, Lake, list[Instant]]:
    """Orders in the lake as the truth has them in the mean, so that the true uplift is worth something."""
    stated = load_conf(sets=["simulate.num_people=3000"])
    world, lake = World.of(stated, home), Lake(home.lake)
    index = np.arange(3000)
    instants = []
    for campaign in simulator.CAMPAIGNS:
        truth = world.shop.truth.coupon(campaign, index)
        random = np.random.default_rng(campaign)
        wanted = random.poisson(np.where(truth.treated, truth.orders_with, truth.orders_without))
        for day in range(14):
            some = index[wanted > day]
            names = world.names.take(pa.array(some))
            on = truth.first + timedelta(days=day)
            told = {"user_id": names, "kind": ["purchase"] * len(some), "order_id": [f"{day}-{n}" for n in some]}
            lines = rows_of(EVENTS, len(some), {**told, "dt": [on] * len(some)})
            twice = pa.concat_tables([lines] * 2)  # two lines of one order
            lake.commit([lake.stage_arrow(twice, EVENTS, SYNTHETIC, "test", days=[on])])
        rows = features(
            3000,
            user_id=world.names.to_pylist(),
            num_sessions_28d=(world.shop.truth.people(index).activity * 20).astype(np.int32),
        )
        instants.append(Instant(world.eve(campaign), rows, labels(3000), concatenated([]), START))
    return world, lake, instants


def test_what_a_coupon_does_is_judged_beside_the_truth(home: Home) -> None:
    world, lake, instants = planted_campaign(home)
    one = simulator.drawn(world, lake, instants[0], simulator.CAMPAIGNS[0])
    assert isinstance(one, Campaign)
    assert one.features.num_rows == 3000 - len(world.shop.truth.fraud_ring().user_ids)
    assert one.people.outcome.max() > 1
    numbers = simulator.coupon(world, lake, instants, load_conf(), quiet, num_resamples=60)
    assert numbers["truth"]["qini"][1] > 0
    learner = numbers["learners"]["t-trees"]
    assert learner["rank_correlation"] > 0.2
    assert learner["share_of_truth"] == pytest.approx(learner["qini"][0] / numbers["truth"]["qini"][0], abs=1e-3)
    assert numbers["rates"][0] > numbers["rates"][1]


def test_nights_are_when_windows_are_over(tmp_path: Path) -> None:
    chain = Chain("retailrocket", tmp_path, logs.RETAILROCKET.instants, logs.RETAILROCKET.sets, Home(tmp_path))
    assert "sequences.holdout_days=28" in chain.settings
    assert chain.nights[-1] == logs.RETAILROCKET.instants[-1] + timedelta(days=28)
    steps = list(chain.steps())
    assert [job for job, _, _ in steps] == [
        *("clean", "sessionize", "identity", "sequences", "features", "train", "evaluate"),
        *("sequences", "features") * 2,
    ]
    assert steps[0][2] == chain.nights[-1], "the log is landed once"


@pytest.mark.parametrize("log", [logs.RETAILROCKET, logs.ONLINE_RETAIL])
def test_windows_that_are_learned_from_end_before_people_are_judged(log: logs.Log, tmp_path: Path) -> None:
    chain = Chain(log.shop, tmp_path, log.instants, log.sets, Home(tmp_path))
    assert max(chain.nights[:-1]) <= log.instants[-1]


def test_the_simulators_windows_end_before_people_are_judged() -> None:
    stated = load_conf(sets=["simulate.num_people=10"])
    world = World(simulator.Shop(stated.simulate), pa.array([], pa.string()))
    eves = [world.eve(campaign) for campaign in simulator.CAMPAIGNS]
    assert all(later - earlier >= timedelta(days=stated.labels.longest_days) for earlier, later in pairwise(eves))


def test_the_page_and_its_pictures(found: dict[str, Any], tmp_path: Path) -> None:
    uplift = {
        "people": 100,
        "treated": 30,
        "rates": [0.5, 0.4],
        "depth": [0, 1],
        "baseline": "response",
        "serving": "response",
        "learners": {
            "response": {"qini": [0.1, 0, 0.2], "gain": [0, 0.1], "share_of_truth": 0.5, "rank_correlation": 0.4},
            "t-trees": {
                "qini": [0.1, 0, 0.2],
                "gain": [0, 0.1],
                "ahead": [0, -0.1, 0.1],
                "share_of_truth": 0.5,
                "rank_correlation": 0.4,
            },
        },
        "truth": {"qini": [0.2, 0.1, 0.3], "gain": [0, 0.1]},
    }
    arms = {"labels": 90, "draws": 1, "pre-trained": [0.7, 0.6, 0.8], "from scratch": [0.6, 0.5, 0.7]}
    numbers = {
        "people": PEOPLE,
        "contest": found,
        "fraud": {
            "people": 90,
            "guilty": 6,
            "shown": 9,
            "scores": {name: {"auroc": [0.9, 0.8, 0.95], "share": 0.8, "among_shown": 5} for name in ("rule", "fraud")},
        },
        "coupon": uplift,
        "transfer": {"churn": {"0.01": {**arms, "ahead": [0.1, -0.05, 0.2]}, "1": {**arms, "ahead": [0.1, 0.05, 0.2]}}},
        "stability": {"churn": {"2001-02-12": {"mean": 0.8, "std": 0.01}, "all": {"mean": 0.8, "std": 0.01}}},
    }
    on = {"date": "2001-01-15", "seconds": 9.0}
    on["environment"] = {
        "commit": "abc",
        "dirty": False,
        "cores": 2,
        "processor": "a processor",
        "memory_gib": 8.0,
        "packages": {"numpy": "2"},
    }
    parts = {
        "simulator": {"on": on, "numbers": numbers},
        "online_retail": {
            "on": on,
            "numbers": {"windows": {"horizon_days": 28, "churn_days": 110}, "contest": found},
        },
    }
    text = page.rendered(parts)
    falls, _, rest = text.partition("## The simulated shop")
    assert "click could not be judged: fewer than 30" in falls
    assert "churn: nothing beats the rule beyond chance" in falls
    assert "no learner of uplift beats" in falls
    assert "the fraud ring: 80% of the way" in falls
    assert "| fraud | 0.9000 (0.8000 to 0.9500) | 80.0% | 5 of 6 |" in rest
    assert "churn, 1% of the labels: pre-training is not shown to help" in falls
    assert "100% of the labels" not in falls
    assert "RetailRocket: not measured." in falls
    assert "% of its distance from a coin's" in rest
    assert "| bg/nbd |" in rest
    older = {**parts, "simulator": {"on": on, "numbers": {k: v for k, v in numbers.items() if k != "fraud"}}}
    assert "the fraud ring: not measured, the part was measured before this was asked" in page.rendered(older)
    pictures.draw(parts, tmp_path)
    drawn = {path.name for path in tmp_path.iterdir()}
    assert {f"images/{name}" for name in drawn} == drawn_by(text)
    assert "as said" in (tmp_path / "scores-calibration-simulator.svg").read_text()


def test_a_part_that_judged_nothing_has_no_picture(tmp_path: Path) -> None:
    nothing = {"judged": "2001-02-12", "learned": ["2001-01-15"], "with_encoder": True}
    nothing["tasks"] = {"cart_conversion": {"not_judged": "fewer than 30 of the rarer outcome to learn from"}}
    windows = {"horizon_days": 28, "churn_days": 14}
    numbers = {"windows": windows, "contest": nothing}
    (tmp_path / "scores-calibration-retailrocket.svg").write_text("of a run before")
    pictures.draw({"retailrocket": {"numbers": numbers}}, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert drawn_by("\n".join(page.SECTIONS["retailrocket"](numbers))) == set()


def test_both_together_are_held_against_each_alone(found: dict[str, Any]) -> None:
    purchase = json.loads(json.dumps(found["tasks"]["purchase"]))
    purchase["contenders"]["combined"]["auroc"][0] = 0.5
    told = page.contest_bars({**found, "tasks": {"purchase": purchase}})
    better = max(("trees", "encoder"), key=lambda name: purchase["contenders"][name]["auroc"][0])
    assert f"purchase: trees and encoder together have auroc 0.5000, {better} alone" in told[0]


def drawn_by(text: str) -> set[str]:
    return set(re.findall(r"\]\((images/[^)]+)\)", text))


def test_a_trial_of_counts() -> None:
    told = simulator.uplifts.told(
        {"response": np.arange(40.0), "t": -np.arange(40.0)},
        trial(np.arange(40) % 2 == 0, np.arange(40.0), 0.5),
        baseline="response",
        num_resamples=20,
    )
    assert told["people"] == 40
    assert told["rates"] == [19.0, 20.0]
    assert told["learners"]["t"]["ahead"][0] == pytest.approx(
        told["learners"]["t"]["qini"][0] - told["learners"]["response"]["qini"][0], abs=1e-4
    )
