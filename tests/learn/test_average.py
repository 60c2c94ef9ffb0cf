"""Averages by hand, on a model of one weight."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nightjar.learn.average import Average


def model(value: float) -> nn.Linear:
    made = nn.Linear(1, 1, bias=False)
    return set_to(made, value)


def set_to(made: nn.Linear, value: float) -> nn.Linear:
    nn.init.constant_(made.weight, value)
    return made


def test_the_average_forgets_slowly_and_faster_at_first() -> None:
    line = model(0.0)
    average = Average(line, 0.5)
    average.update(set_to(line, 11.0), 1)  # keeps 1 / 11 of what was: 0
    assert average.weights["weight"].item() == pytest.approx(10.0)
    average.update(set_to(line, 20.0), 1000)  # keeps 1 / 2
    assert average.weights["weight"].item() == pytest.approx(15.0)


def test_the_model_has_its_own_weights_again_afterwards() -> None:
    line = model(1.0)
    average = Average(line, 0.9)
    average.update(set_to(line, 12.0), 1)
    with average.in_place_of_latest(line):
        assert line.weight.item() == pytest.approx(11.0)
    assert line.weight.item() == 12.0


def test_without_decay_the_latest_weights_stand() -> None:
    line = model(3.0)
    average = Average(line, 0.0)
    average.update(set_to(line, 4.0), 1)
    with average.in_place_of_latest(line):
        assert line.weight.item() == 4.0
    assert average.weights == {}


def test_an_interrupted_average_goes_on() -> None:
    line = model(1.0)
    average = Average(line, 0.5, {"weight": torch.full((1, 1), 7.0)})
    average.update(line, 1000)
    assert average.weights["weight"].item() == pytest.approx(4.0)
