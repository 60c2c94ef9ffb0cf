"""That rare signals add up to a suspicion, as planted and as a simulated shop with a fraud ring has it."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.predict.people import DAY, features, rows_of
from tests.predict.ring import Suspects, links, simulated

from nightjar.contracts import FORETOLD, IDENTITY, BadInput
from nightjar.predict import anomaly
from nightjar.predict.accounts import with_accounts
from nightjar.predict.anomaly import Tail, rarities
from nightjar.predict.decisions import decide
from nightjar.predict.metrics import average_precision
from nightjar.predict.task import ACCOUNTS, SURPRISE
from nightjar.predict.tasks import load
from nightjar.predict.tasks.fraud import FRAUD
from nightjar.settings import load_conf

CONF = load_conf()
NOBODY = rows_of(IDENTITY, 0, {})


def read(people: pa.Table, accounts: pa.Table | None = None) -> pa.Table:
    """Rows as the detector reads them, without an encoder."""
    shared = with_accounts(people, links([]) if accounts is None else accounts, NOBODY)
    return shared.append_column(SURPRISE, pa.nulls(people.num_rows, pa.float64()))


# -- tails


def test_a_share_is_of_those_with_at_least_as_much() -> None:
    tail = Tail.of(np.array([3.0, 1.0, 2.0, 2.0, np.nan]))
    assert tail.share(np.array([3.0, 2.0, 1.5, 1.0, 99.0, np.nan])).tolist() == [0.25, 0.75, 1.0, 1.0, 0.25, 1.0]
    assert Tail.of(np.array([np.nan])).share(np.array([5.0])).tolist() == [1.0]


def test_a_large_shop_is_kept_small_and_never_more_suspicious_for_it() -> None:
    values_B = np.random.default_rng(1).lognormal(size=50_000)
    tail = Tail.of(values_B)
    assert len(tail.values) <= 2 * anomaly.MAX_KEPT
    asked_B = np.random.default_rng(2).lognormal(size=1000)
    exact_B = np.array([(values_B >= value).mean() for value in asked_B])
    said_B = tail.share(asked_B)
    assert (said_B >= np.maximum(exact_B, 1 / 50_000) - 1e-12).all()
    assert np.abs(said_B - exact_B).max() < 0.002


# -- accounts


def test_the_most_logins_on_one_device() -> None:
    pairs = [("phone", "ann"), ("laptop", "ann"), ("laptop", "bob"), ("laptop", "eve"), ("till", "eve")]
    people = features(5, user_id=["ann", "bob", "eve", "laptop", "who"])
    assert with_accounts(people, links(pairs), NOBODY).column(ACCOUNTS).to_pylist() == [3, 3, 3, 3, 0]


def test_logins_that_became_one_person_still_count_one_by_one() -> None:
    """A shop may let logins of a household merge: the person then has all of them."""
    members = rows_of(
        IDENTITY,
        3,
        {
            "member_id": ["bob", "bob", "laptop"],
            "person_id": ["bob", "ann", "ann"],
            "dt": [DAY, DAY.replace(day=DAY.day + 1), DAY],
        },
    )
    shared = with_accounts(features(2, user_id=["ann", "bob"]), links([("laptop", "ann"), ("laptop", "bob")]), members)
    assert shared.column(ACCOUNTS).to_pylist() == [2, 0]


# -- the detector on planted people


def planted(num_people: int = 1000) -> pa.Table:
    """Person 0 returns what nobody returns, person 1 is the quietest of all."""
    random = np.random.default_rng(3)
    returned = random.exponential(10, num_people)
    returned[:2] = 500.0, 0.0
    purchases = random.integers(1, 9, num_people)
    return features(
        num_people,
        num_orders=purchases,
        num_purchases=purchases,
        num_items_bought=purchases,
        num_events=purchases * 10,
        num_items=purchases * 5,
        returned_value=returned,
    )


def test_the_unusual_stands_first_with_its_reason_and_the_quiet_have_none() -> None:
    people = read(planted())
    found = anomaly.fit(FRAUD, people)
    assert found is not None
    told = found.foretell(people, np.zeros(0))
    assert told.probability_B.argmax() == 0
    assert told.probability_B[0] == pytest.approx(0.999)
    assert (told.decile_B[0], told.flagged_B[0]) == (10, True)
    assert told.reasons_B[0].as_py() == ["returned_value"]
    assert told.reasons_B[1].as_py() == []
    assert told.flagged_B.mean() == pytest.approx(FRAUD.flagged_share, abs=0.001)
    assert (told.contender, found.reads) == ("anomaly", "accounts")


def test_rarity_is_minus_the_logarithm_of_the_share() -> None:
    people = read(planted())
    found = anomaly.fit(FRAUD, people)
    assert found is not None
    rows_BS = rarities(FRAUD, found.tails, people)
    assert rows_BS[0, list(found.tails).index("returned_value")] == pytest.approx(math.log(1000))
    assert (rows_BS[:, list(found.tails).index(SURPRISE)] == 0).all(), "without an encoder nothing is surprising"


def test_written_and_read_again_it_says_the_same(tmp_path: Path) -> None:
    people = read(planted())
    found = anomaly.fit(FRAUD, people)
    assert found is not None
    found.save(tmp_path)
    again = load(tmp_path)
    assert again == found
    np.testing.assert_array_equal(
        again.foretell(people, np.zeros(0)).probability_B, found.foretell(people, np.zeros(0)).probability_B
    )
    text = (tmp_path / "task.json").read_text().replace(f'"{ACCOUNTS}"', '"of_old"')
    (tmp_path / "task.json").write_text(text)
    with pytest.raises(BadInput, match="other signals"):
        load(tmp_path)


def test_few_people_have_no_tails() -> None:
    assert anomaly.fit(FRAUD, read(planted(anomaly.MIN_PEOPLE - 1))) is None


# -- the simulated shop


@cache
def shop(seed: int) -> Suspects:
    suspects = simulated(2000, seed)
    ordered_B = FRAUD.serves(suspects.features, CONF.labels)
    return Suspects(suspects.features.filter(pa.array(ordered_B)), suspects.links, suspects.guilty_B[ordered_B])


def scored(suspects: Suspects, people: pa.Table) -> tuple[float, float]:
    """Average precision of the detector and of the rule."""
    found = anomaly.fit(FRAUD, people)
    assert found is not None
    ours_B = found.foretell(people, np.zeros(0)).probability_B
    theirs_B = FRAUD.rule.score(people)
    return average_precision(suspects.guilty_B, ours_B), average_precision(suspects.guilty_B, theirs_B)


SEEDS = (1, 2)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_ring_is_found_as_the_rule_finds_it(seed: int) -> None:
    """Nobody else shares a device there: the rule alone knows everything."""
    suspects = shop(seed)
    assert suspects.guilty_B.sum() == CONF.simulate.fraud_ring_people
    ours, theirs = scored(suspects, read(suspects.features, suspects.links))
    assert theirs == 1.0
    assert ours > 0.95


@pytest.mark.parametrize("seed", SEEDS)
def test_where_honest_people_share_devices_too_the_rule_accuses_them(seed: int) -> None:
    """A library's computer that twenty people use, and a hundred families of three: as in towns, not as simulated."""
    suspects = shop(seed)
    honest = suspects.features.filter(pa.array(suspects.guilty_B == 0)).column("user_id").to_pylist()
    shared = [("library", user) for user in honest[:40:2]]
    shared += [(f"family {place // 3}", user) for place, user in enumerate(honest[100:400])]
    accounts = pa.concat_tables([suspects.links, links(shared)])
    ours, theirs = scored(suspects, read(suspects.features, accounts))
    assert theirs < 0.6
    assert ours > 0.95


@pytest.mark.parametrize("seed", SEEDS)
def test_a_ring_with_devices_of_its_own_is_hidden_from_the_rule_and_not_from_the_sum(seed: int) -> None:
    suspects = shop(seed)
    people = read(suspects.features)
    only_accounts_B = people.column(ACCOUNTS).to_numpy().astype(np.float64)
    assert average_precision(suspects.guilty_B, only_accounts_B) < 0.05
    assert scored(suspects, people)[0] > 0.9


@pytest.mark.parametrize("seed", SEEDS)
def test_the_first_fifteen_of_the_queue_of_reviews_hold_the_ring_of_twelve(seed: int) -> None:
    suspects = shop(seed)
    people = read(suspects.features, suspects.links)
    found = anomaly.fit(replace(FRAUD, flagged_share=0.05), people)
    assert found is not None
    told = found.foretell(people, np.zeros(0))
    rows = {
        "user_id": people.column("user_id"),
        "score_name": ["fraud"] * people.num_rows,
        "probability": told.probability_B,
        "flagged": told.flagged_B,
        "decile": told.decile_B.astype(np.int32),
        "reasons": told.reasons_B,
    }
    spent = suspects.features.set_column(
        suspects.features.schema.get_field_index("spend"), "spend", pa.array(np.full(people.num_rows, 9.0))
    )
    conf = CONF.decisions.model_copy(update={"wanted": ("fraud_review",), "review_most": 15})
    queue, _ = decide(rows_of(FORETOLD, people.num_rows, rows), spent, conf, shop="acme", day=DAY)
    guilty = set(people.filter(pa.array(suspects.guilty_B == 1)).column("user_id").to_pylist())
    assert len(guilty & set(queue.column("user_id").to_pylist())) >= 11
