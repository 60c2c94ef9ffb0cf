"""Formulas against the paper's published figures, chances against lives that were lived, the fit against the truth."""

from __future__ import annotations

import doctest
import math

import numpy as np
import pytest
from scipy.integrate import dblquad
from scipy.stats import beta, gamma

from nightjar.predict import bgnbd
from nightjar.predict.bgnbd import BgNbd, Buyers

#: Table 2 of the paper: CDNOW, 2,357 people, time in weeks.
CDNOW = BgNbd(r=0.243, alpha=4.414, a=0.793, b=2.426)


def one(x: float, last: float, age: float) -> Buyers:
    return Buyers(np.array([x]), np.array([last]), np.array([age]))


def lives(model: BgNbd, size: int, seed: int, age: float, more: float) -> tuple[Buyers, np.ndarray, np.ndarray]:
    """People who live by the model's own story, purchase by purchase: what is seen, who is alive, who buys later."""
    random = np.random.default_rng(seed)
    x, last, alive, buys = (np.zeros(size) for _ in range(4))
    for person in range(size):
        rate, leaves = random.gamma(model.r, 1 / model.alpha), random.beta(model.a, model.b)
        at, gone = 0.0, False
        while not gone:
            at += random.exponential(1 / rate) if rate > 1e-12 else math.inf
            if at > age:
                alive[person], buys[person] = 1, at <= age + more
                break
            x[person], last[person] = x[person] + 1, at
            gone = random.random() < leaves
    return Buyers(x, last, np.full(size, age)), alive, buys


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(bgnbd).failed == 0


def test_the_papers_customer() -> None:
    """Its spreadsheet's first customer: 2 repeat purchases, the last in week 30.43, watched for 38.86 weeks."""
    assert CDNOW.expected_purchases(one(2, 30.43, 38.86), 39)[0] == pytest.approx(1.226, abs=5e-4)


@pytest.mark.parametrize(
    ("weeks", "expected"),
    [(0.1429, 0.0078), (1.0, 0.0532), (3.0, 0.1506), (31.8571, 1.0405), (32.0, 1.0437), (78.0, 1.8576)],
)
def test_the_papers_curve_of_purchases_from_the_first_on(weeks: float, expected: float) -> None:
    # The spreadsheet's own r is .2426: the three digits of the table move the curve by a six-hundredth.
    assert CDNOW.expected_purchases(one(0, 0, 0), weeks)[0] == pytest.approx(expected, rel=2e-3, abs=1e-4)


@pytest.mark.parametrize(("x", "last", "age"), [(0, 0.0, 5.0), (1, 3.0, 5.0), (3, 2.5, 6.0)])
def test_the_likelihood_is_the_integral_over_rates_and_chances(x: int, last: float, age: float) -> None:
    """Equation 3 of the paper, before anything is solved."""
    model = BgNbd(r=1.5, alpha=2.0, a=1.5, b=2.5)

    def density(leaves: float, rate: float) -> float:
        stays = (1 - leaves) ** x * rate**x * math.exp(-rate * age)
        left = leaves * (1 - leaves) ** (x - 1) * rate**x * math.exp(-rate * last) if x else 0.0
        prior = gamma.pdf(rate, model.r, scale=1 / model.alpha) * beta.pdf(leaves, model.a, model.b)
        return (stays + left) * prior

    integral, _ = dblquad(density, 0, 30, 0, 1)
    assert model.log_likelihood(one(x, last, age))[0] == pytest.approx(math.log(integral), abs=1e-5)


def test_chances_are_those_of_lives_that_were_lived() -> None:
    model = BgNbd(r=1.0, alpha=3.0, a=0.8, b=2.0)
    people, alive, buys = lives(model, 20_000, seed=1, age=20.0, more=4.0)
    for said, happened in ((model.alive(people), alive), (model.buys_within(people, 4.0), buys)):
        order = np.argsort(said)
        for group in np.array_split(order, 8):
            spread = math.sqrt(max(said[group].mean() * (1 - said[group].mean()), 1e-4) / len(group))
            assert happened[group].mean() == pytest.approx(said[group].mean(), abs=4 * spread)


def test_the_fit_finds_the_numbers_again() -> None:
    people, _, _ = lives(CDNOW, 20_000, seed=2, age=39.0, more=1.0)
    found = bgnbd.fit(people)
    assert found.r == pytest.approx(CDNOW.r, rel=0.1)
    assert found.alpha == pytest.approx(CDNOW.alpha, rel=0.15)
    assert found.a / (found.a + found.b) == pytest.approx(CDNOW.a / (CDNOW.a + CDNOW.b), rel=0.1)
    best, true = (model.log_likelihood(people).sum() for model in (found, CDNOW))
    assert true <= best < true + 10, "four numbers gain a few nats over the truth"


def test_nobody_teaches_nothing() -> None:
    with pytest.raises(ValueError, match="nobody"):
        bgnbd.fit(Buyers(*[np.empty(0)] * 3))
