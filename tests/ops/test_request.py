"""What `make nightly` accepts, and what it says about the rest, before anything starts."""

from __future__ import annotations

import argparse
from datetime import date
from pathlib import Path

import pytest
from jobs.ops import nightly

from nightjar.contracts import BadInput


def request(**typed: str) -> nightly.Request:
    plain = {"source": "synthetic", "raw": "", "day": "", "model": "sasrec", "set": ""}
    return nightly.Request.of(argparse.Namespace(**{**plain, **typed}))


def test_nothing_typed_is_the_synthetic_shops_night() -> None:
    assert request().conf() == {"source": "synthetic", "raw": None, "day": "2026-03-01", "model": "sasrec", "set": []}


def test_the_default_day_has_its_history() -> None:
    from nightjar.settings import load_source

    begin = date.fromisoformat(request().settings.simulate.start)
    assert (request().day - begin).days >= load_source("synthetic").history_days


def test_everything_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "raw logs").mkdir()
    monkeypatch.chdir(tmp_path)
    asked = request(
        source="retailrocket", raw="raw logs", day="2015-08-15", model="gru", set="train.epochs=3 score.k=5"
    )
    assert asked.conf() == {
        "source": "retailrocket",
        "raw": f"{tmp_path}/raw logs",
        "day": "2015-08-15",
        "model": "gru",
        "set": ["train.epochs=3", "score.k=5"],
    }
    assert asked.settings.train.epochs == 3


@pytest.mark.parametrize(
    ("typed", "problem"),
    [
        ({"source": "nowhere"}, "no source mapping"),
        ({"source": "retailrocket"}, "source retailrocket needs its raw logs"),
        ({"source": "retailrocket", "raw": "/nowhere"}, "RAW=/nowhere: there is no /nowhere"),
        ({"source": "retailrocket", "raw": "/"}, "source retailrocket needs a day"),
        ({"day": "2026-02-30"}, "DAY=2026-02-30 is no day"),
        ({"model": "bert"}, "MODEL=bert: there is no"),
        ({"set": "train.epoch=3"}, "unknown key train.epoch"),
        ({"set": "train.epochs"}, "--set train.epochs: no value"),
        ({"set": "train.epochs=-1"}, "train.epochs"),
    ],
)
def test_refused(typed: dict[str, str], problem: str) -> None:
    with pytest.raises(BadInput) as caught:
        request(**typed)
    assert problem in str(caught.value)
    assert caught.value.next_command
