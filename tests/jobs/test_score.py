"""Nights of scoring: Spark, a registered model, the gate and the lake."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from tests.jobs import night

from nightjar.contracts import DATA_QUALITY, RECOMMENDATIONS, BadInput, GateFailed, Kind
from nightjar.stores.home import Home
from nightjar.stores.lake import Entry, Lake
from nightjar.stores.ledgers import read_rows
from nightjar.stores.tracking import Tracking

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

AT = night.partition(RECOMMENDATIONS)

#: Two items fell silent; 22 are left.
SILENT = ("i03", "i20")


def run(home: Home, *sets: str) -> dict[str, Any]:
    score = night.module("score")
    counts: dict[str, Any] = score.main(argparse.Namespace(recommendations=AT), night.job(home, "score", *sets))
    return counts


def fill(home: Home) -> night.Histories:
    """40 people with a history, 10 without, and one who bought all but three of the available items."""
    past, _ = night.walks(40, seed=2)
    past |= {f"{number:016x}": [] for number in range(100, 110)}
    past[f"{200:016x}"] = [(item, Kind.PURCHASE) for item in night.RING if item not in ("i05", "i06", "i07")]
    night.fill(Lake(home.lake), past, {}, day=night.DAY, silent=SILENT)
    return past


def published(home: Home) -> tuple[Entry, dict[str, list[dict[str, Any]]]]:
    entry = Lake(home.lake).entry(AT)
    lists: dict[str, list[dict[str, Any]]] = {}
    for file in entry.files:
        for row in pq.ParquetFile(file).read().to_pylist():
            lists.setdefault(row["user_id"], []).append(row)
    return entry, {user: sorted(rows, key=lambda row: row["rank"]) for user, rows in lists.items()}


@pytest.mark.slow
def test_a_night_with_a_champion(spark: SparkSession, home: Home, tmp_path: Path) -> None:
    past = fill(home)
    version = night.register(home, tmp_path / "model", past, steps=60)
    Tracking(home, night.SHOP).promote(version)
    counts = run(home)
    entry, lists = published(home)

    assert set(lists) == set(past)
    short = f"{200:016x}"
    assert {len(rows) for user, rows in lists.items() if user != short} == {5}
    assert {row["item_id"] for row in lists.pop(short)} == {"i05", "i06", "i07"}
    for user, rows in lists.items():
        bought = {item for item, kind in past[user] if kind is Kind.PURCHASE}
        assert not {row["item_id"] for row in rows} & (bought | set(SILENT))
        strategy, model = ("model", version.version) if past[user] else ("popular", "2001-01-15")
        assert {(row["strategy"], row["model_version"]) for row in rows} == {(strategy, model)}
    assert counts == {
        "rows_in": 51,
        "rows_out": 50 * 5 + 3,
        "rows_rejected": 0,
        "users": 51,
        "users_short": 1,
        "fallback_share": round(10 / 51, 6),
        "items_covered": len({row["item_id"] for rows in lists.values() for row in rows} | {"i05", "i06", "i07"}),
        "rules_not_met": 0,
        "model_name": "nightjar_synthetic",
        "model_version": version.version,
    }
    assert entry.num_rows == 253
    assert entry.facts["num_candidates"] == 22
    assert all(row["success"] for row in read_rows(Lake(home.lake), DATA_QUALITY, AT.of(DATA_QUALITY)))

    assert run(home) == counts
    assert published(home)[0].content_hash == entry.content_hash, "the same champion gives the same rows"


def test_a_night_without_a_champion_serves_what_is_popular(spark: SparkSession, home: Home) -> None:
    past = fill(home)
    counts = run(home, "gate.max_fallback_share=0.5")
    _, lists = published(home)
    assert set(lists) == set(past)
    assert counts["fallback_share"] == 1.0
    assert counts["model_version"] is None
    # num_recent 5 at positions 5, 11, 17, 23, then 4 at 4; earlier items have more events.
    nobody = lists[f"{100:016x}"]
    assert [row["item_id"] for row in nobody] == ["i05", "i11", "i17", "i23", "i04"]
    assert {(row["strategy"], row["model_name"]) for row in nobody} == {("popular", "popularity")}


def test_a_night_that_the_gate_stops_stays_invisible(spark: SparkSession, home: Home, tmp_path: Path) -> None:
    past = fill(home)
    Tracking(home, night.SHOP).promote(night.register(home, tmp_path / "model", past, steps=0))
    with pytest.raises(GateFailed, match=r"fallback_share: observed 0\.19"):
        run(home, "gate.max_fallback_share=0.1")
    assert not Lake(home.lake).has(AT)


def test_a_night_without_sequences_says_what_to_do(spark: SparkSession, home: Home) -> None:
    with pytest.raises(BadInput, match=r"no partition synthetic/.*dt=2001-01-15.*\n  next: make nightly"):
        run(home)


def test_a_night_under_rules_says_what_became_of_each(spark: SparkSession, home: Home, tmp_path: Path) -> None:
    past = fill(home)
    missing = sum(("i09", Kind.PURCHASE) in entries for entries in past.values())
    rules = tmp_path / "rules.toml"
    rules.write_text(
        '[every_surface]\ndeny_items = ["i04", "nothing"]\n'
        '[surfaces.home]\npins = [{ item = "i09", rank = 2 }]\n'
        "[surfaces.email]\nk = 2\n"
    )
    counts = run(home, f"score.rules={rules}", "gate.max_fallback_share=1.0")
    entry, _ = published(home)
    rows = [row for file in entry.files for row in pq.ParquetFile(file).read().to_pylist()]
    assert {row["surface"] for row in rows} == {"home", "email"}
    assert "i04" not in {row["item_id"] for row in rows}
    second = [row["item_id"] for row in rows if row["surface"] == "home" and row["rank"] == 2]
    assert second.count("i09") == 51 - missing, "who bought it must not get it"
    found = {
        row["expectation"]: (row["success"], row["observed"])
        for row in read_rows(Lake(home.lake), DATA_QUALITY, AT.of(DATA_QUALITY))
        if row["expectation"].startswith("rule ")
    }
    assert found == {
        "rule email/deny_items": (False, "no item of tonight's catalogue is nothing"),
        "rule home/deny_items": (False, "no item of tonight's catalogue is nothing"),
        "rule home/pin i09 at 2": (False, f"{missing} of 51 people must not get it"),
    }
    assert counts["rules_not_met"] == 3
    # Nobody is due more than two rows of every surface.
    assert (entry.facts["num_candidates"], entry.facts["least_candidates"]) == (22, 2)
