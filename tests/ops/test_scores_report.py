"""The command on planted data sets: what was planted is found, what is missing is said, nothing is invented."""

from __future__ import annotations

import csv
import gzip
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from jobs.ops import scores_report
from jobs.ops.scores import hillstrom, open_bandit, page
from jobs.ops.scores.parts import Where
from jobs.ops.scores_report import PARTS, Part

from nightjar.contracts import BadInput
from nightjar.predict import uplift
from nightjar.predict.uplift import logistic


def quiet(_: str) -> None:
    return None


def write(path: Path, columns: Mapping[str, Sequence[Any]]) -> None:
    path.parent.mkdir(parents=True)
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(columns)
        rows.writerows(zip(*columns.values(), strict=True))


def write_campaign(data: Path, size: int = 6000) -> None:
    """Long-standing customers visit anyway; the women's e-mail moves those who bought for women, the men's nobody."""
    random = np.random.default_rng(1)
    segment = random.choice(["Womens E-Mail", "Mens E-Mail", "No E-Mail"], size)
    womens, recency = random.integers(0, 2, size), random.integers(1, 13, size)
    chance = 0.5 * (recency < 4) + 0.1 + 0.3 * ((segment == "Womens E-Mail") & (womens == 1) & (recency >= 4))
    columns = {
        "recency": recency,
        "history": random.uniform(30, 500, size).round(2),
        "mens": random.integers(0, 2, size),
        "womens": womens,
        "newbie": random.integers(0, 2, size),
        "zip_code": random.choice(["Rural", "Urban", "Surburban"], size),
        "channel": random.choice(["Phone", "Web", "Multichannel"], size),
        "segment": segment,
        "visit": (random.random(size) < chance).astype(int),
    }
    write(data / hillstrom.FILE, columns)


def write_bandits(data: Path, size: int = 6000) -> None:
    """Item 3 is clicked one time in three, others hardly; the second log shows it half of the time."""
    random = np.random.default_rng(2)
    for file, favour in zip(open_bandit.FILES, (0.0, 0.5), strict=True):
        chances = np.full(open_bandit.NUM_ITEMS, (1 - favour) / open_bandit.NUM_ITEMS)
        chances[3] += favour
        item = random.choice(open_bandit.NUM_ITEMS, size, p=chances)
        columns = {
            "item_id": item,
            "position": random.integers(1, open_bandit.NUM_POSITIONS + 1, size),
            "click": (random.random(size) < np.where(item == 3, 0.33, 0.01)).astype(int),
            "propensity_score": chances[item],
        }
        write(data / file, columns)


def small_campaign(where: Where) -> dict[str, Any]:
    learners = {"response": uplift.response(logistic()), "t-logistic": uplift.t_learner(logistic())}
    return hillstrom.measure(where, num_resamples=100, contenders=learners)


SMALL = {
    "hillstrom": Part((hillstrom.FILE,), small_campaign, hillstrom.headline),
    "open_bandit": Part(open_bandit.FILES, lambda at: open_bandit.measure(at, num_resamples=100), open_bandit.headline),
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    write_campaign(folder)
    write_bandits(folder)
    return folder


def test_the_page_tells_what_was_planted(data: Path, tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    told = scores_report.report(data, list(SMALL), docs, tmp_path / "work", SMALL)
    assert told["not_measured"] == []
    assert told["hillstrom"]["women"]["serving"] == "t-logistic"
    assert told["hillstrom"]["women"]["ahead"][1] > 0
    assert told["hillstrom"]["men"]["serving"] == "response"
    estimate, low, high = told["open_bandit"]["bts from random, ips"]
    assert low < told["open_bandit"]["bts observed"] < high
    assert estimate == pytest.approx(0.5 * 0.33 + 0.5 * (0.33 + 33 * 0.01) / 34, abs=0.05)
    text = (docs / "scores.md").read_text()
    assert "| **t-logistic** |" in text
    assert "men: no learner beats the model of responses" in text
    assert "women: no learner" not in text
    assert "not shown to beat the one that was logged" not in text.partition("learnt on random on bts")[0]
    assert "t-logistic, serves" in (docs / "images" / "scores-qini-hillstrom.svg").read_text()


def test_the_policy_that_is_learnt_shows_the_item_that_is_clicked(data: Path) -> None:
    log = open_bandit.read(data / open_bandit.FILES[0])
    chances = open_bandit.following(open_bandit.rates(log))
    assert (chances.argmax(axis=1) == 3).all()
    found = open_bandit.measure(Where(data, data, quiet), num_resamples=50)
    for one in found["known"].values():
        assert one["dr"]["difference"][1] < 0 < one["dr"]["difference"][2]
    better = found["learnt"]["bts on random"]
    assert better["dr"]["value"][1] > better["logged"][2]


def test_what_is_missing_is_named_and_what_was_measured_before_is_kept(data: Path, tmp_path: Path) -> None:
    docs, work = tmp_path / "docs", tmp_path / "work"
    scores_report.report(data, ["open_bandit"], docs, work, SMALL)
    (data / hillstrom.FILE).unlink()
    told = scores_report.report(data, ["hillstrom"], docs, work, SMALL)
    assert told == {"not_measured": ["hillstrom"]}
    kept = json.loads((docs / "scores.json").read_text())
    assert "numbers" in kept["open_bandit"]
    assert "numbers" not in kept["hillstrom"]
    text = (docs / "scores.md").read_text()
    assert "Not measured: DATA has no hillstrom/hillstrom.csv.gz." in text
    assert "Hillstrom's e-mail campaign: not measured." in text


def test_every_part_has_a_section_a_title_and_a_bar() -> None:
    assert set(PARTS) == set(page.TITLES) == set(page.SECTIONS) == set(page.BARS)


def test_parts_are_named_in_order() -> None:
    assert scores_report.chosen("") == list(PARTS)
    assert scores_report.chosen("open_bandit,hillstrom") == [
        name for name in PARTS if name in ("hillstrom", "open_bandit")
    ]
    with pytest.raises(BadInput, match="ONLY names no parts: nothing"):
        scores_report.chosen("nothing,hillstrom")


def test_an_estimate_that_misses_the_truth_is_a_shortfall() -> None:
    off = {"ips": {"difference": [-2e-3, -3e-3, -1e-3]}, "snips": {"difference": [0, -1, 1]}}
    off["dr"] = off["snips"]
    said = page.BARS["open_bandit"]({"known": {"bts from random": off}, "learnt": {}})
    assert said == ["bts from random: IPS misses what the policy earned, beyond chance."]
