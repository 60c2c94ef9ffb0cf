"""Rules are values: every setting exists, every literal is one, nothing is named twice."""

from __future__ import annotations

import re
from datetime import date

import pytest

from nightjar.contracts import BOT_RULES, ROW_RULES, Kind
from nightjar.contracts.rules import MALFORMED, MOJIBAKE, UNREADABLE, RowRule, literal
from nightjar.settings import load_conf, load_source

CONF = load_conf()
SOURCE = load_source("synthetic")


@pytest.mark.parametrize(
    ("value", "sql"),
    [
        (True, "TRUE"),
        (3, "3"),
        (0.5, "0.5D"),
        (1e21, "1e+21D"),
        (date(2001, 1, 15), "DATE'2001-01-15'"),
        ("it's", r"'it\'s'"),
        (r"^\d+$", r"'^\\d+$'"),
        (Kind.VIEW, "'view'"),
        (("a", "b"), "'a', 'b'"),
        ((), "NULL"),
    ],
)
def test_literals(value: object, sql: str) -> None:
    assert literal(value) == sql


def test_only_plain_values_have_a_literal() -> None:
    with pytest.raises(TypeError, match="no literal for None"):
        literal(None)


def test_a_setting_cannot_become_sql() -> None:
    clean = CONF.clean.model_copy(update={"item_pattern": "' OR TRUE --"})
    rule = RowRule("odd", "", "item_id RLIKE {clean.item_pattern}")
    assert rule.settings == ("clean.item_pattern",)
    assert rule.sql(clean=clean) == r"item_id RLIKE '\' OR TRUE --'"


def test_every_rule_fills_from_the_settings() -> None:
    for rule in (MALFORMED, *ROW_RULES):
        sql = rule.sql(clean=CONF.clean, source=SOURCE)
        assert not re.search(r"\{(clean|source)\.", sql), rule.name


def test_names_are_unique_and_docs_are_sentences() -> None:
    for rules in ((MALFORMED, *ROW_RULES), BOT_RULES):
        assert len({rule.name for rule in rules}) == len(rules)
        for rule in rules:
            assert re.fullmatch(r"[a-z_]+", rule.name)
            assert re.fullmatch(r"[A-Z].*\.", rule.doc), rule.name
            assert "|" not in rule.doc, "a bar would end the cell of the data dictionary"


def test_settings_of_bot_rules_exist() -> None:
    for rule in BOT_RULES:
        for name in rule.settings:
            assert name.removeprefix("clean.") in type(CONF.clean).model_fields


def test_patterns_of_damaged_text() -> None:
    """The same patterns run in Java; their syntax is common to both."""
    for text in ("cafÃ©", "â€™", "ðŸ‘Ÿ", "Ð´"):
        assert re.search(MOJIBAKE, text), text
    for text in ("café", "größer", "Ã la", "naïve “x”", "北京", "дом", "Spaß“"):
        assert not re.search(f"{MOJIBAKE}|{UNREADABLE}", text), text
    assert all(re.search(UNREADABLE, text) for text in ("a\x00", "\t", "a\x7f", "\x85", "\ufffd"))
