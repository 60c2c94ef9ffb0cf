"""From a log with a trial in it to whom a coupon moves, or to silence."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.predict.people import DAY, features, rows_of

from nightjar.contracts import IDENTITY, SESSION_EVENTS, Kind
from nightjar.predict import effects
from nightjar.predict.effects import CONTENDER
from nightjar.predict.exposure import Arms, acts, met, once
from nightjar.predict.qini import Trial, trial
from nightjar.predict.tasks import load
from nightjar.predict.tasks.uplift import UPLIFT

ARMS = Arms("coupon-(.*)", "brand-(.*)")
NOBODY = rows_of(IDENTITY, 0, {})
HOUR = 3600
MIDNIGHT = int(datetime(2001, 1, 15, tzinfo=UTC).timestamp())


# -- who met a trial


def log(*events: tuple[float, str, str, str | None, dict[str, Any]]) -> pa.Table:
    """(hours after midnight, login, kind, campaign, more) to acts; everybody has a device of their own."""
    rows: list[dict[str, Any]] = []
    for hours, user, kind, campaign, more in events:
        row = {"visitor_id": f"{user}'s", "user_id": user, "is_bot": False, "kind": kind, "campaign": campaign}
        at = datetime.fromtimestamp(MIDNIGHT + hours * HOUR, UTC)
        rows.append(row | {"event_ts": at} | more)
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    table = rows_of(SESSION_EVENTS, len(rows), columns)
    names = ["visitor_id", "user_id", "is_bot", "event_ts", "kind", "campaign"]
    return acts(table.select(names).combine_chunks().to_batches(), ARMS)


def people(done: pa.Table, members: pa.Table = NOBODY) -> dict[str, tuple[bool, bool]]:
    """Login -> treated, bought; of a window from 10:00 to 20:00 with five hours to buy."""
    rows = met(done, members, since=MIDNIGHT + 10 * HOUR, until=MIDNIGHT + 20 * HOUR, horizon=5 * HOUR).to_pylist()
    return {row["user_id"]: (row["treated"], row["bought"]) for row in rows if not row["user_id"].endswith("'s")}


def shown(hours: float, user: str, campaign: str, **more: Any) -> tuple[float, str, str, str | None, dict[str, Any]]:
    return hours, user, Kind.IMPRESSION.value, campaign, more


def buys(hours: float, user: str, **more: Any) -> tuple[float, str, str, str | None, dict[str, Any]]:
    return hours, user, Kind.PURCHASE.value, None, more


def test_arms_are_told_by_what_was_shown_and_purchases_count_from_then_on() -> None:
    done = log(
        shown(11, "ann", "coupon-01"),
        buys(11.5, "ann"),
        shown(11, "bob", "brand-01"),
        buys(10.5, "bob"),  # before
        shown(12, "cid", "brand-01"),
        buys(17.1, "cid"),  # too late
        shown(12, "dot", "coupon-01"),
        shown(15, "dot", "coupon-01"),  # the first time counts
        buys(17.5, "dot"),
        shown(12, "eve", "summer"),
        buys(13, "eve"),
    )
    assert people(done) == {"ann": (True, True), "bob": (False, False), "cid": (False, False), "dot": (True, False)}


def test_who_met_it_before_or_both_arms_or_is_a_machine_says_nothing() -> None:
    done = log(
        shown(9, "ann", "coupon-01"),
        shown(11, "ann", "coupon-01"),
        shown(11, "bob", "brand-01"),
        shown(12, "bob", "coupon-01"),
        shown(11, "bot", "coupon-01", is_bot=True),
        shown(9, "cid", "brand-01"),
        shown(11, "cid", "coupon-02"),  # another trial, another lot
        shown(10, "dot", "coupon-01"),  # at the instant itself: features know of it
        shown(20, "eve", "brand-01"),
    )
    assert people(done) == {"cid": (True, False), "eve": (False, False)}


def test_a_visitor_who_logs_in_to_buy_has_bought() -> None:
    device = {"visitor_id": "phone", "user_id": None}
    done = log(shown(11, "x", "coupon-01", **device), buys(12, "ann", visitor_id="phone"))
    rows = met(done, NOBODY, since=MIDNIGHT, until=MIDNIGHT + 20 * HOUR, horizon=5 * HOUR).to_pylist()
    assert [(row["user_id"], row["treated"], row["bought"]) for row in rows] == [("phone", True, True)]


def test_who_was_known_by_then_is_one_person() -> None:
    members = rows_of(IDENTITY, 1, {"member_id": ["phone"], "person_id": ["ann"], "dt": [DAY]})
    done = log(shown(11, "x", "brand-01", visitor_id="phone", user_id=None), buys(12, "ann"))
    assert people(done, members) == {"ann": (False, True)}


def test_everybody_stands_once_with_their_latest_trial() -> None:
    rows = pa.table({"user_id": ["ann", "bob", "ann", "cid"], "trial": ["1", "1", "2", "2"]})
    assert once(rows).to_pydict() == {"user_id": ["bob", "ann", "cid"], "trial": ["1", "2", "2"]}


# -- whom it moves


def tried(num_people: int, seed: int, *, moved_by: float) -> tuple[pa.Table, Trial, np.ndarray]:
    """Who views much buys much anyway; a coupon moves those who view little."""
    random = np.random.default_rng(seed)
    views = random.integers(0, 30, num_people)
    treated = random.random(num_people) < 0.3
    effect_B = moved_by * (views < 10)
    bought = random.random(num_people) < 0.05 + 0.025 * views + treated * effect_B
    table = features(num_people, num_views=views, num_searches=random.integers(0, 10, num_people))
    return table, trial(treated, bought.astype(float), 0.3), effect_B


def test_an_effect_that_is_not_the_response_is_found_and_served(tmp_path: Path) -> None:
    table, people, effect_B = tried(4000, 1, moved_by=0.35)
    found = effects.fit(UPLIFT, table, people, sensitive=(), min_positives=30, seed=1)
    assert found is not None
    effect, verdict = found
    assert (verdict.winner, verdict.promoted) == (CONTENDER, True)
    assert verdict.contenders[CONTENDER].ahead_of_rule.low > 0
    effect.save(tmp_path)
    again = load(tmp_path)
    assert again == effect
    told = again.foretell(table, np.zeros(0))
    assert ((told.probability_B >= 0) & (told.probability_B <= 1)).all()
    moved, unmoved = told.probability_B[effect_B > 0].mean(), told.probability_B[effect_B == 0].mean()
    assert moved == pytest.approx(0.35, abs=0.1)
    assert unmoved < 0.1
    named = [reasons for reasons, mine in zip(told.reasons_B.to_pylist(), effect_B, strict=True) if mine]
    assert np.mean([reasons[:1] == ["num_views"] for reasons in named]) > 0.9


def test_an_effect_alike_for_all_is_no_reason_to_choose_and_nothing_is_said(tmp_path: Path) -> None:
    table, people, _ = tried(4000, 2, moved_by=0.0)
    found = effects.fit(UPLIFT, table, people, sensitive=(), min_positives=30, seed=1)
    assert found is not None
    effect, verdict = found
    assert (verdict.winner, verdict.promoted) == ("nothing", False)
    assert "ahead of the model of responses by" in verdict.reason
    effect.save(tmp_path)
    assert load(tmp_path).silent


def test_an_arm_that_hardly_buys_decides_nothing() -> None:
    table, people, _ = tried(80, 3, moved_by=0.3)
    assert effects.fit(UPLIFT, table, people, sensitive=(), min_positives=30, seed=1) is None
