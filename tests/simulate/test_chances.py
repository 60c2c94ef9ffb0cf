"""Chances, of known habits and of what a log shows, against what people then do and against formulas by hand."""

from __future__ import annotations

import math
from datetime import date, timedelta

import numpy as np
import pytest

from nightjar.predict.metrics import auroc
from nightjar.settings import load_conf
from nightjar.simulate import Shop
from nightjar.simulate.clock import weekday_factor
from nightjar.simulate.people import ACTIVITY_SIGMA, CHURN_MEAN_DAYS

CONF = load_conf(sets=["simulate.num_people=6000", "simulate.churn_share=0.5"]).simulate
FIRST = date.fromisoformat(CONF.start)
#: The eve of a campaign.
DAY, HORIZON, CHURN = 62, 7, 14


@pytest.fixture(scope="module")
def lives() -> dict[str, np.ndarray]:
    """Of everybody seen by the end of the day: the latest visit, and what follows."""
    shop = Shop(CONF)
    index = np.arange(CONF.num_people)
    people, behaviour = shop.truth.people(index), shop._behaviour
    last = np.full(len(index), -1)
    found = {name: np.zeros(len(index), bool) for name in ("visits", "buys", "shown", "clicks", "uses")}
    for day in range(DAY + CHURN + 1):
        visits = behaviour.visits(people, day)
        if day <= DAY:
            last[visits.person] = day
            continue
        found["visits"][visits.person] = True
        if day <= DAY + HORIZON:
            claimed, clicked, shown = shop._tracker._banners(people, visits, day)
            chosen = {"buys": visits.buys, "shown": shown, "clicks": clicked, "uses": claimed & visits.buys}
            for name, which in chosen.items():
                found[name][visits.person[which]] = True
    seen = last >= DAY - CHURN
    chances = shop.truth.chances(index[seen], last[seen], FIRST + timedelta(days=DAY))
    said = {
        "churn": chances.churn(CHURN),
        "purchase": chances.purchase(HORIZON),
        "click": chances.click(HORIZON),
        "coupon use": chances.coupon_use(HORIZON),
    }
    foreseen = shop.truth.foreseen(index[seen], FIRST + timedelta(days=DAY))
    said |= {
        "churn foreseen": foreseen.churn(CHURN),
        "purchase foreseen": foreseen.purchase(HORIZON),
        "click foreseen": foreseen.click(HORIZON),
        "coupon use foreseen": foreseen.coupon_use(HORIZON),
    }
    happened = {name: one[seen] for name, one in found.items()}
    counts = {"num_visits": foreseen.seen.visits_P, "num_orders": foreseen.seen.orders_P}
    return {"last": last[seen], "activity": people.activity[seen], **counts, **said, **happened}


@pytest.mark.parametrize("knowing", ["", " foreseen"])
@pytest.mark.parametrize(
    ("task", "outcome", "asked"),
    [("churn", "visits", None), ("purchase", "buys", None), ("click", "clicks", "shown"), ("coupon use", "uses", None)],
)
def test_what_is_said_happens_as_often(
    lives: dict[str, np.ndarray], task: str, outcome: str, asked: str | None, knowing: str
) -> None:
    said, happened = lives[task + knowing], lives[outcome] if task != "churn" else ~lives[outcome]
    if asked is not None:
        said, happened = said[lives[asked]], happened[lives[asked]]
    assert 0 < happened.sum() < len(happened)
    for group in np.array_split(np.argsort(said), 6):
        spread = math.sqrt((said[group] * (1 - said[group])).sum()) / len(group)
        assert happened[group].mean() == pytest.approx(said[group].mean(), abs=4 * spread + 0.01)


def test_knowing_the_habits_beats_counting_the_days(lives: dict[str, np.ndarray]) -> None:
    gone = ~lives["visits"]
    best = auroc(gone, lives["churn"])
    assert best > auroc(gone, (DAY - lives["last"]).astype(float)) + 0.02
    assert best > auroc(gone, -lives["activity"]) + 0.02


@pytest.mark.parametrize(("task", "outcome"), [("churn", "visits"), ("purchase", "buys"), ("coupon use", "uses")])
def test_what_a_log_shows_tells_less_than_habits_and_more_than_one_count(
    lives: dict[str, np.ndarray], task: str, outcome: str
) -> None:
    happened = lives[outcome] if task != "churn" else ~lives[outcome]
    sign = -1 if task == "churn" else 1
    counts = [auroc(happened, sign * lives[name].astype(float)) for name in ("num_visits", "num_orders", "last")]
    assert max(counts) < auroc(happened, lives[f"{task} foreseen"]) < auroc(happened, lives[task])


def test_habits_from_counts_by_a_sum_over_a_finer_grid() -> None:
    """One person, whose posterior is worked out with nothing shared but the prior's parameters."""
    shop, day = Shop(CONF.model_copy(update={"churn_share": 0.0})), 20
    index = np.flatnonzero(shop.truth.people(np.arange(300)).joined == 0)
    foreseen = shop.truth.foreseen(index, FIRST + timedelta(days=day))
    person = int(np.argmax(foreseen.seen.visits_P == 4))
    assert foreseen.seen.visits_P[person] == 4
    activity = np.exp(np.linspace(-6, 3, 20001))
    rates = [CONF.sessions_per_person_day * weekday_factor(FIRST + timedelta(days=number)) for number in range(day + 8)]
    prior = np.exp(-((np.log(activity) + ACTIVITY_SIGMA**2 / 2) ** 2) / (2 * ACTIVITY_SIGMA**2))
    weights = prior * activity**4 * np.exp(-activity * sum(rates[: day + 1]))
    expected = np.average(np.exp(-activity * sum(rates[day + 1 :])), weights=weights)
    assert foreseen.churn(7)[person] == pytest.approx(expected, rel=2e-3)


def test_one_silent_day_by_hand() -> None:
    """Joined and seen on day 0, silent on day 1, asked for day 2: there, or left on day 1, or left on day 2."""
    shop = Shop(CONF)
    index = np.flatnonzero(shop.truth.people(np.arange(200)).joined == 0)[:1]
    people = shop.truth.people(index)
    one, two = (shop._behaviour.rate_while_present(people, day)[0] for day in (1, 2))
    share, hazard = CONF.churn_share, 1 / CHURN_MEAN_DAYS
    stays = (1 - share) + share * (1 - hazard)
    silent = stays * math.exp(-one) + share * hazard
    still = (1 - share) + share * (1 - hazard) ** 2
    both = still * math.exp(-one - two) + share * (1 - hazard) * hazard * math.exp(-one) + share * hazard
    found = shop.truth.chances(index, np.array([0]), FIRST + timedelta(days=1)).churn(1)
    assert found[0] == pytest.approx(both / silent)


def test_no_campaign_no_click() -> None:
    shop = Shop(CONF)
    index = np.arange(10)
    eve = FIRST + timedelta(days=22)
    chances = shop.truth.chances(index, np.full(10, 22), eve)
    assert np.isnan(chances.click(7)).all()
    assert chances.coupon_use(7).max() < 1e-12
