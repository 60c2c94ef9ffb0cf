"""What became of past nights: published day by day with a later night, kept for good, read by views with ratios."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.stores import nights
from tests.stores.nights import DAY, ask, put

from nightjar.contracts import (
    JUDGED,
    REALISED,
    REALISED_CALIBRATION,
    REALISED_DECISIONS,
    REALISED_SCORES,
    GateFailed,
    Table,
)
from nightjar.settings import repository
from nightjar.stores.warehouse import Night, Warehouse

TOMORROW = nights.days(2)[1]

CHURN = {"score_name": "churn", "contender": "trees", "model_version": "4", "segment": "(all)"}
SCORE = CHURN | {"num_foretold": 120, "num_people": 100, "num_positives": 20, "foretold_sum": 25.0, "auroc": 0.75}
GROUP = {"score_name": "churn", "model_version": "4", "bin": 1, "num_people": 10, "num_positives": 1, "foretold_sum": 2}
COUPON = {"decision": "coupon", "score_name": "purchase", "outcome": "purchased_next", "window_days": 7, "margin": 0.3}
ARMS = (
    COUPON
    | {"arm": "act", "num_people": 400, "num_answered": 400, "num_positives": 90, "expected_value": 1240.0}
    | {"realised_value": 1.42, "realised_value_low": -0.35, "realised_value_high": 3.19},
    COUPON | {"arm": "control", "num_people": 44, "num_answered": 44, "num_positives": 8, "revenue": 88.0},
)


def judged(folder: Path, **rows: tuple[Mapping[str, Any], ...]) -> Night:
    """Tomorrow's night, which brings what became of today's."""
    told: dict[str, tuple[Mapping[str, Any], ...]] = {
        "realised": ({"origin": "published", "list": "shown", "k": 5, "num_lists": 4, "num_buyers": 1},),
        "realised_scores": (SCORE,),
        "realised_calibration": (GROUP,),
        "realised_decisions": ARMS,
    }
    days = [nights.mart(folder, table, nights.judged_rows(table, *(told | rows)[table.name])) for table in JUDGED]
    return replace(nights.night(folder, day=TOMORROW), marts=days)


def test_views_divide_what_the_tables_add_up(warehouse: Warehouse, tmp_path: Path) -> None:
    assert put(warehouse, judged(tmp_path)).mart_days == len(JUDGED)
    scores = "SELECT shop, dt, auroc, mean_foretold, observed_rate, average_precision FROM v_realised_scores"
    assert ask(warehouse, scores) == [("acme", DAY, 0.75, 0.25, 0.2, None)]
    assert ask(warehouse, "SELECT bin, mean_foretold, observed_rate FROM v_realised_calibration") == [(1, 0.2, 0.1)]
    arms = "SELECT arm, outcome_rate, expected_value_per_person, realised_value FROM v_realised_decisions ORDER BY arm"
    assert ask(warehouse, arms) == [("act", 0.225, 3.1, 1.42), ("control", 8 / 44, 0.0, None)]
    assert ask(warehouse, "SELECT buyer_share, hit_rate FROM v_realised") == [(0.25, None)]


@pytest.mark.parametrize("table", JUDGED, ids=lambda table: table.name)
def test_every_column_is_explained(warehouse: Warehouse, tmp_path: Path, table: Table) -> None:
    put(warehouse, judged(tmp_path))
    with warehouse.reader() as db:
        columns = nights.view_columns(db, f"v_{table.name}")
    assert list(columns) == ["shop", *table.names, *(ratio.name for ratio in table.ratios)]
    assert all(columns.values())


def test_a_changed_day_is_replaced_and_outlives_its_night(warehouse: Warehouse, tmp_path: Path) -> None:
    put(warehouse, judged(tmp_path / "first"))
    assert put(warehouse, judged(tmp_path / "first")).mart_days == 0
    late = SCORE | {"num_positives": 30}
    assert put(warehouse, judged(tmp_path / "late", realised_scores=(late,))).mart_days == 1
    for number, day in enumerate(nights.days(7)[2:]):
        put(warehouse, nights.night(tmp_path / str(number), day=day))
    assert ask(warehouse, "SELECT count(*) FROM recommendations WHERE dt = $1", TOMORROW) == [(0,)]
    assert ask(warehouse, "SELECT dt, num_positives FROM realised_scores") == [(DAY, 30)]


BROKEN: dict[str, tuple[Table, tuple[Mapping[str, Any], ...]]] = {
    "realised_scores_impossible_rows: 1 rows that count": (REALISED_SCORES, (SCORE | {"num_positives": 101},)),
    "realised_scores_impossible_rows: 1": (REALISED_SCORES, (SCORE | {"foretold_sum": float("nan")},)),
    "realised_scores_repeated_rows: 1 rows of the same day": (REALISED_SCORES, (SCORE, SCORE)),
    "realised_scores_foreign_rows: 1 rows of another day": (REALISED_SCORES, (SCORE | {"dt": TOMORROW},)),
    "realised_calibration_impossible_rows: 1": (REALISED_CALIBRATION, (GROUP | {"foretold_sum": 11.0},)),
    "realised_decisions_impossible_rows: 1": (REALISED_DECISIONS, (ARMS[0] | {"num_answered": 401},)),
    "realised_decisions_impossible_rows: 1 rows": (REALISED_DECISIONS, (ARMS[0] | {"arm": "both"},)),
    "realised_repeated_rows: 1": (REALISED, ({"k": 5}, {"k": 5})),
}


@pytest.mark.parametrize("said", BROKEN)
def test_what_cannot_be_stops_the_night(warehouse: Warehouse, tmp_path: Path, said: str) -> None:
    table, rows = BROKEN[said]
    with pytest.raises(GateFailed) as caught:
        put(warehouse, judged(tmp_path, **{table.name: rows}))
    assert [failed for failed in caught.value.failed if failed.startswith(said)], caught.value.failed


def test_the_readmes_second_question_has_the_readmes_answer(warehouse: Warehouse, tmp_path: Path) -> None:
    page = (repository() / "README.md").read_text(encoding="utf-8")
    (question,) = re.findall(r"^    SELECT dt, num_people.*?;\n", page, re.DOTALL | re.MULTILINE)
    begin = page.index(question)
    head, row = re.findall(r"^    │ (.+) │$", page[begin : page.index("per person, in", begin)], re.MULTILINE)
    put(warehouse, judged(tmp_path))
    with warehouse.reader() as db:
        (found,) = db.query(question.strip().removesuffix(";"))
    assert [str(value) for value in found] == [cell.strip() for cell in row.split("│")]
    named = ("dt", "num_people", "expected", "realised", "at_least", "at_most")
    assert tuple(cell.strip() for cell in head.split("│")) == named
