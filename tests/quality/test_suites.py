import pytest
from tests.quality.healthy import LISTED, VIOLATIONS

from nightjar.contracts import TABLES
from nightjar.quality.suites import LISTED_VALUES, SUITES
from nightjar.settings import load_conf


@pytest.mark.parametrize("table", SUITES)
def test_suite_is_as_approved(table, golden):
    golden(f"{table}.json", SUITES[table](load_conf()).to_json())


@pytest.mark.parametrize("table", SUITES)
def test_every_rule_on_facts_has_a_violation(table):
    rules = {rule.name for rule in SUITES[table](load_conf()).rules if rule.on == "facts"}
    assert rules - {"num_rows"} == set(VIOLATIONS[table])


def test_only_identity_may_have_an_empty_day():
    conf = load_conf()
    counted = {table for table in SUITES if "num_rows" in {rule.name for rule in SUITES[table](conf).rules}}
    assert set(SUITES) - counted == {"identity"}


def test_closed_lists_are_known():
    assert tuple(LISTED_VALUES) == LISTED


@pytest.mark.parametrize("table", SUITES)
def test_every_required_column_is_checked_for_nulls(table):
    names = {rule.name for rule in SUITES[table](load_conf()).rules}
    assert {f"null_rows_{column.name}" for column in TABLES[table].columns if not column.nullable} <= names


def test_bounds_come_from_the_settings():
    conf = load_conf(sets=["gate.volume_ratio_max=3.0"])
    rule = next(rule for rule in SUITES["events"](conf).rules if rule.name == "volume_ratio")
    assert rule.kwargs == {"column": "volume_ratio", "min_value": 0.2, "max_value": 3.0}
