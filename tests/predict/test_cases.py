"""Which people a shop's own list makes cases of, as of an instant."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
from tests.predict.people import DAY, labels

from nightjar.contracts import IDENTITY, BadInput
from nightjar.contracts.render import arrow_schema
from nightjar.predict.cases import CASES, read_cases, with_cases
from nightjar.predict.task import CONFIRMED
from nightjar.predict.tasks.fraud_case import FRAUD_CASE

NOBODY = arrow_schema(IDENTITY).empty_table()


def cases(**days: date) -> pa.Table:
    return pa.table({"user_id": list(days), "found_on": list(days.values())}, schema=CASES)


def after(days: int) -> date:
    return DAY + timedelta(days=days)


def test_found_within_the_window_after_the_instant() -> None:
    rows = labels(6, user_id=list("abcdef"), dt=[DAY] * 6)
    listed = cases(a=after(1), b=after(28), c=after(29), d=after(0), e=after(-9), z=after(3))
    told = with_cases(rows, listed, NOBODY, window_days=28)
    assert told.column(CONFIRMED).to_pylist() == [True, True, False, None, None, False]
    assert FRAUD_CASE.outcomes(told).tolist()[:3] == [1, 1, 0]


def test_who_was_found_before_is_no_news_when_found_again() -> None:
    rows = labels(1, user_id=["a"], dt=[DAY])
    listed = pa.concat_tables([cases(a=after(3)), cases(a=after(-3))])
    assert with_cases(rows, listed, NOBODY, window_days=28).column(CONFIRMED).to_pylist() == [None]


def test_without_a_list_nobody_can_say() -> None:
    told = with_cases(labels(2), CASES.empty_table(), NOBODY, window_days=28)
    assert told.column(CONFIRMED).to_pylist() == [None, None]
    assert told.column(CONFIRMED).type == pa.bool_()


def test_a_login_counts_for_its_person() -> None:
    members = pa.table(
        {"member_id": ["login", "login"], "person_id": ["before", "a"], "dt": [after(-2), after(-1)]},
    )
    rows = labels(2, user_id=["a", "login"], dt=[DAY] * 2)
    told = with_cases(rows, cases(login=after(2)), members, window_days=28)
    assert told.column(CONFIRMED).to_pylist() == [True, False]


def test_a_list_is_read(tmp_path: Path) -> None:
    file = tmp_path / "cases.csv"
    file.write_text('found_on,how,user_id\n2001-02-03,"a, b",007\n2001-02-04,,Zoë\n')
    assert read_cases(file).to_pylist() == [
        {"user_id": "007", "found_on": date(2001, 2, 3)},
        {"user_id": "Zoë", "found_on": date(2001, 2, 4)},
    ]


@pytest.mark.parametrize(
    "text",
    ["", "user_id\nada\n", "user_id,found_on\nada,yesterday\n", "user_id,found_on\nada,\n", "user_id,found_on\nada\n"],
)
def test_what_is_no_list_is_refused_without_its_people(text: str, tmp_path: Path) -> None:
    file = tmp_path / "cases.csv"
    file.write_text(text)
    with pytest.raises(BadInput, match="is no list of cases") as refused:
        read_cases(file)
    assert "ada" not in str(refused.value)


def test_a_list_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="is no list of cases"):
        read_cases(tmp_path / "nothing.csv")
