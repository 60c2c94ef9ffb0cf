"""That reasons are what raised a score: without them it falls, by more than without as many other columns.

The test of comprehensiveness of DeYoung et al. 2020, https://arxiv.org/abs/1911.03429, with a column's median for its
removal, on people whose outcomes follow from columns that are known.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import expit, logit
from tests.predict.people import features, labels

from nightjar.predict import anomaly
from nightjar.predict.bundle import Fitted
from nightjar.predict.fitting import Rows, fit
from nightjar.predict.task import ACCOUNTS, SURPRISE
from nightjar.predict.tasks.fraud import FRAUD
from nightjar.predict.tasks.purchase import PURCHASE

#: What decides, and by how much a standard deviation of it moves the log-odds; and what only looks as if it did.
DECIDE = {
    "num_views": 1.2,
    "num_carts": 1.0,
    "spend": 0.8,
    "num_searches": -0.8,
    "session_seconds_mean": 0.6,
    "num_coupons": -0.6,
}
NOISE = ("num_clicks", "num_reviews", "num_favourites", "num_devices", "num_queries", "tenure_days")

#: By how much more the log-odds must fall without the reasons than without as many random other columns, on average.
MARGIN = 0.5


def people(num_people: int, seed: int) -> Rows:
    random = np.random.default_rng(seed)
    columns = {name: random.integers(0, 20, num_people) for name in (*DECIDE, *NOISE)}
    standard = {name: (columns[name] - 9.5) / 5.8 for name in DECIDE}
    log_odds_B = -0.5 + sum(DECIDE[name] * standard[name] for name in DECIDE)
    rows = features(num_people, **columns)
    told = labels(num_people, purchased_next=random.random(num_people) < expit(log_odds_B))
    return Rows(rows, told, np.full(num_people, 0.5))


def without(rows: pa.Table, named: list[list[str]]) -> pa.Table:
    """Each person's named columns at the median of all."""
    for name in sorted({column for columns in named for column in columns}):
        values = rows.column(name).to_numpy()
        mine_B = np.array([name in columns for columns in named])
        kept = np.where(mine_B, np.median(values), values).astype(values.dtype)
        rows = rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), pa.array(kept))
    return rows


def others(named: list[list[str]], pool: list[str], seed: int) -> list[list[str]]:
    """As many columns of each person that are no reasons, drawn at random."""
    random = np.random.default_rng(seed)
    return [random.choice(sorted(set(pool) - set(columns)), len(columns), replace=False).tolist() for columns in named]


@pytest.fixture(scope="module")
def fitted() -> Fitted:
    found = fit(
        PURCHASE,
        people(3000, 1),
        people(1500, 2),
        tuning_share=0.25,
        sensitive=(),
        min_positives=30,
        seed=1,
        threads=1,
    )
    assert found is not None
    assert found[1].promoted, found[1].reason
    return found[0]


def test_without_its_reasons_a_probability_falls_more_than_without_other_columns(fitted: Fitted) -> None:
    asked = people(600, 3)
    said_B = fitted.probabilities(asked.features, asked.encoder_B)
    named = fitted.reasons(asked.features).to_pylist()
    assert all(named)

    def fall(columns: list[list[str]]) -> float:
        less_B = fitted.probabilities(without(asked.features, columns), asked.encoder_B)
        return float((logit(said_B) - logit(less_B)).mean())

    by_chance = [fall(others(named, [*DECIDE, *NOISE], seed)) for seed in range(3)]
    assert fall(named) > max(by_chance) + MARGIN
    # Whom everything true speaks against still has a column that speaks for them; half would be chance.
    assert np.mean([name in DECIDE for columns in named for name in columns]) > 0.75


def test_without_its_reasons_a_suspicion_falls_more_than_without_other_signals() -> None:
    random = np.random.default_rng(4)
    num_people = 2000
    columns = {
        name: random.integers(1, 30, num_people)
        for name in ("num_purchases", "num_returns", "num_orders", "num_coupons", "num_items_bought", "num_items")
    }
    rows = features(
        num_people,
        **columns,
        num_events=random.integers(30, 300, num_people),
        returned_value=random.exponential(50, num_people),
    )
    rows = rows.append_column(ACCOUNTS, pa.array(1 + random.geometric(0.7, num_people)))
    rows = rows.append_column(SURPRISE, pa.array(random.normal(5, 1, num_people)))
    found = anomaly.fit(FRAUD, rows)
    assert found is not None
    rarities_BS = anomaly.rarities(FRAUD, found.tails, rows)
    names = list(found.tails)
    named = found.foretell(rows, np.zeros(0)).reasons_B.to_pylist()
    some = [place for place, signals in enumerate(named) if signals]
    assert len(some) > num_people / 4

    def fall(signals: list[list[str]]) -> float:
        typical_S = np.median(rarities_BS, axis=0)
        lost = [
            sum(rarities_BS[place, names.index(one)] - typical_S[names.index(one)] for one in signals[place])
            for place in some
        ]
        return float(np.mean(lost))

    assert fall(named) > fall(others(named, names, 1)) + 1.5
