"""What the shop claims about itself is found again in its logs."""

from __future__ import annotations

import itertools
import json
from collections import Counter, defaultdict
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from nightjar.settings import Simulate, load_conf
from nightjar.simulate import Shop
from nightjar.simulate.clock import TIME_ZONE
from nightjar.simulate.people import CHURN_MEAN_DAYS

START = date(2001, 1, 15)
EVERYBODY = np.arange(2000)


def conf(**changes: Any) -> Simulate:
    spotless = {"duplicate_share": 0.0, "late_share": 0.0, "malformed_share": 0.0, "bot_share": 0.0}
    size = {"num_people": len(EVERYBODY), "num_items": 400, "start": START.isoformat()}
    return load_conf().simulate.model_copy(update=size | spotless | changes)


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop(conf())


@pytest.fixture(scope="module")
def log(shop: Shop) -> list[list[dict[str, Any]]]:
    """Logged-in records of four weeks, a list per day."""
    days = (shop.drop(START + timedelta(days=number)) for number in range(28))
    return [[r for r in map(json.loads, lines) if r["actor"]["user_id"]] for lines in days]


def person(record: dict[str, Any]) -> int:
    return int(record["actor"]["user_id"][1:])


def item(record: dict[str, Any]) -> int:
    return int(record["product"]["sku"][1:])


def views(day: list[dict[str, Any]]) -> dict[int, list[int]]:
    """Items each person views on a day, in order."""
    by_person: dict[int, list[int]] = defaultdict(list)
    for record in day:
        if record["type"] == "page_view":
            by_person[person(record)].append(item(record))
    return by_person


def test_the_planted_next_item_beats_markov_and_markov_beats_popularity(
    shop: Shop, log: list[list[dict[str, Any]]], capsys: pytest.CaptureFixture[str]
) -> None:
    popular, follows = Counter[int](), defaultdict[int, Counter[int]](Counter)
    for day in log[:27]:
        for items in views(day).values():
            popular.update(items)
            for before, after in itertools.pairwise(items):
                follows[before][after] += 1
    top = [item for item, _ in popular.most_common(10)]
    ring = set(shop.truth.fraud_ring().user_ids)
    hits = Counter[str]()
    pairs = [
        (who, before, after)
        for who, items in views(log[27]).items()
        for before, after in itertools.pairwise(items)
        if f"u{who:06d}" not in ring
    ][:1500]
    for who, before, after in pairs:
        markov = [item for item, _ in follows[before].most_common(10)]
        hits["popularity"] += after in top
        hits["markov"] += after in [*markov, *top][:10]
        truth = shop.truth.next_item_probabilities(who, before, START + timedelta(days=27))
        hits["truth"] += after in np.argsort(-truth)[:10]
    rate = {name: count / len(pairs) for name, count in hits.items()}
    with capsys.disabled():
        print(f"\nHR@10 of the next view in a visit, {len(pairs)} views: {rate}")
    assert rate["truth"] > rate["markov"] + 0.15
    assert rate["markov"] > rate["popularity"] + 0.1


def test_next_item_probabilities_are_those_of_the_log(shop: Shop, log: list[list[dict[str, Any]]]) -> None:
    """Calibration: the mean probability of what was viewed next equals the mean it claims, sum of squares."""
    claimed, found, number = 0.0, 0.0, 20
    ring = shop.truth.fraud_ring().user_ids
    for who, items in views(log[number]).items():
        if f"u{who:06d}" in ring:
            continue
        for before, after in itertools.pairwise(items):
            truth = shop.truth.next_item_probabilities(who, before, START + timedelta(days=number))
            assert truth.sum() == pytest.approx(1.0)
            claimed += float((truth**2).sum())
            found += float(truth[after])
    # A few pairs span two visits or midnight, where the log does not follow `before`.
    assert found == pytest.approx(claimed, rel=0.1)


def test_churners_are_absent_from_their_day_on(shop: Shop, log: list[list[dict[str, Any]]]) -> None:
    gone = {who: shop.truth.churn_day(who) for who in EVERYBODY.tolist()}
    leavers = {who: leave for who, leave in gone.items() if leave is not None}
    assert len(leavers) / len(EVERYBODY) == pytest.approx(conf().churn_share, abs=0.03)
    seen = {person(record) for day in log[:7] for record in day}
    assert len(seen & {who for who, leave in leavers.items() if leave < START + timedelta(days=28)}) > 20
    for number, day in enumerate(log):
        for record in day:
            leave = leavers.get(person(record))
            began = datetime.fromisoformat(record["received"]).astimezone(TIME_ZONE) - timedelta(hours=2, minutes=2)
            assert leave is None or began.date() < leave, f"day {number}: {record}"


def test_the_churn_hazard_is_the_stated_one() -> None:
    people = Shop(conf(num_people=200_000, churn_share=1.0, fraud_ring_people=0)).truth.people(np.arange(200_000))
    stayed = people.churned - people.joined
    for day in (5, 60):
        at_risk, leaving = int((stayed >= day).sum()), int((stayed == day).sum())
        assert leaving / at_risk == pytest.approx(1 / CHURN_MEAN_DAYS, rel=0.12)


def test_the_coupon_s_uplift_is_recovered_by_a_difference_of_means(shop: Shop, log: list[list[dict[str, Any]]]) -> None:
    coupon = shop.truth.coupon(0, EVERYBODY)
    assert (coupon.first, coupon.last) == (START + timedelta(days=7), START + timedelta(days=20))
    orders = {(person(r), r["order"]["no"]) for day in log[7:21] for r in day if r["type"] == "order"}
    num = np.zeros(len(EVERYBODY))
    for who, _ in orders:
        num[who] += 1
    treated, control = coupon.treated & coupon.eligible, ~coupon.treated & coupon.eligible
    assert treated.sum() / coupon.eligible.sum() == pytest.approx(coupon.propensity, abs=0.04)
    found = num[treated].mean() - num[control].mean()
    error = np.sqrt(num[treated].var() / treated.sum() + num[control].var() / control.sum())
    truth = (coupon.orders_with - coupon.orders_without)[coupon.eligible].mean()
    assert abs(found - truth) < 2.5 * error
    assert found > 2.5 * error, "the effect is large enough to be seen"
    assert coupon.uplift[coupon.eligible].std() > 0.03, "and differs between people"


def test_only_the_treated_claim_the_coupon(shop: Shop, log: list[list[dict[str, Any]]]) -> None:
    coupon = shop.truth.coupon(0, EVERYBODY)
    claims = {
        person(r)
        for day in log
        for r in day
        if r["type"] == "coupon_claim" and r["page"]["campaign"] == coupon.campaign
    }
    assert len(claims) > 50
    assert claims <= set(np.flatnonzero(coupon.treated).tolist())


def test_the_fraud_ring_shares_devices_and_returns_what_it_buys(shop: Shop, log: list[list[dict[str, Any]]]) -> None:
    ring = shop.truth.fraud_ring()
    assert (len(ring.user_ids), len(ring.addresses), len(ring.skus)) == (12, 2, 5)
    people_of, bought, returned, with_coupon = defaultdict[str, set[str]](set), set(), set(), 0
    for record in (record for day in log for record in day):
        user = record["actor"]["user_id"]
        people_of[record["actor"]["device_id"]].add(user)
        if user in ring.user_ids and record["type"] in ("order", "refund"):
            assert record["product"]["sku"] in ring.skus
            assert record["order"]["ship_to"] in ring.addresses
            (bought if record["type"] == "order" else returned).add(record["order"]["no"])
            with_coupon += bool(record["page"]["campaign"])
    shared = {device for device, users in people_of.items() if len(users) > 1}
    assert shared == shared & set(ring.device_ids)
    assert len(shared) >= 4
    assert with_coupon > 10
    assert len(returned) > 0.6 * len(bought) > 10
