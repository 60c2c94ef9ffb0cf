"""A marketer's file: what is refused and how, and what it means for a catalogue."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.score.small_shop import DAY, DAY_END, SCORE, item_rows

from nightjar.contracts import BadInput
from nightjar.score.catalogue import Catalogue
from nightjar.score.rulebook import Rules, load_facts, load_rulebook, resolve, rules_file
from nightjar.settings import repository

NAMES = [f"i{number:02d}" for number in range(12)]


def catalogue() -> Catalogue:
    """i00 to i11: category by number mod 3, brand by number mod 2, price 10 x number but of i11; i05 long silent."""
    rows = item_rows(*((name, 1, 1, 45 if name == "i05" else 1) for name in NAMES))
    columns = {
        "category": pa.array([("tea", "cups", None)[n % 3] for n in range(12)]),
        "brand": pa.array([("north", "south")[n % 2] for n in range(12)]),
        "price": pa.array([None if n == 11 else 10.0 * n for n in range(12)]),
    }
    for name, column in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, column)
    return Catalogue.from_items(rows)


CATALOGUE = catalogue()
AVAILABLE = CATALOGUE.available(DAY_END, 30)


def written(folder: Path, text: str) -> Path:
    path = folder / "rules.toml"
    path.write_text(text, encoding="utf-8")
    return path


def resolved(folder: Path, text: str, *, day: date = DAY) -> Rules:
    path = written(folder, text)
    rulebook = load_rulebook(path)
    facts = load_facts(rulebook, path, day)
    (rules,) = resolve(rulebook, facts, CATALOGUE, SCORE, available_N=AVAILABLE, day=day)
    return rules


def allowed(rules: Rules) -> set[int]:
    return set(np.flatnonzero(rules.allowed_N).tolist())


def findings(rules: Rules) -> dict[str, tuple[bool, str]]:
    return {rule: (met, said) for rule, met, said in rules.findings}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('deny_items = ["i00", "i03"]', {1, 2, 4, 5, 6, 7, 8, 9, 10, 11}),
        ('deny_categories = ["tea"]', {1, 2, 4, 5, 7, 8, 10, 11}),
        ('deny_brands = ["south"]', {0, 2, 4, 6, 8, 10}),
        ('allow_categories = ["cups"]', {1, 4, 7, 10}),
        ('allow_categories = ["cups"]\nallow_items = ["i00"]\ndeny_brands = ["south"]', {0, 4, 10}),
        ("min_price = 20\nmax_price = 40", {2, 3, 4, 11}),
        ("max_price = 40\nshow_unpriced = false", {0, 1, 2, 3, 4}),
        ("", set(range(12))),
    ],
)
def test_what_lists_and_bounds_leave(tmp_path: Path, text: str, expected: set[int]) -> None:
    assert allowed(resolved(tmp_path, f"[surfaces.home]\n{text}")) == expected


def test_stock_and_margins_come_from_the_shops_own_file(tmp_path: Path) -> None:
    (tmp_path / f"stock-{DAY}.csv").write_text("item_id,stock,margin\ni01,5,0.4\ni02,0,0.9\ni03,7,-0.1\nother,9,9\n")
    rules = resolved(tmp_path, 'facts = "stock-{day}.csv"\n[surfaces.home]\nmin_stock = 1\nk = 2')
    assert allowed(rules) == {1, 3}
    assert findings(rules)["min_stock"] == (True, "the facts do not name 9 items: not shown")
    assert allowed(resolved(tmp_path, 'facts = "stock-{day}.csv"\n[surfaces.home]\nmin_margin = 0.0')) == {1, 2}


def test_a_surface_states_what_differs(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '[every_surface]\ndeny_brands = ["south"]\nmax_per_category = 2\n'
        "[surfaces.home]\n[surfaces.email]\nk = 3\ndeny_brands = []\nno_repeat_days = 30\n",
    )
    email, home = resolve(load_rulebook(path), None, CATALOGUE, SCORE, available_N=AVAILABLE, day=DAY)
    assert (home.surface, home.k, len(allowed(home)), home.no_repeat_days) == ("home", 5, 6, 0)
    assert (email.surface, email.k, len(allowed(email)), email.no_repeat_days) == ("email", 3, 12, 30)
    assert [(cap.rule, cap.at_most) for cap in (*home.caps, *email.caps)] == [("max_per_category", 2)] * 2


def test_pins_hold_on_their_days(tmp_path: Path) -> None:
    text = (
        '[surfaces.home]\npins = [{ item = "i03", rank = 2 }, { item = "i01", rank = 1, last_day = 2001-01-15 },'
        ' { item = "i02", rank = 3, first_day = 2001-01-16 }]'
    )
    assert [(pin.item, pin.position, pin.rank) for pin in resolved(tmp_path, text).pins] == [
        ("i01", 1, 1),
        ("i03", 3, 2),
    ]
    later = resolved(tmp_path, text, day=date(2001, 1, 16))
    assert [pin.item for pin in later.pins] == ["i03", "i02"]


@pytest.mark.parametrize(
    ("text", "rule", "said"),
    [
        ('pins = [{ item = "gone", rank = 1 }]', "pin gone at 1", "the catalogue has no such item tonight"),
        ('pins = [{ item = "i05", rank = 1 }]', "pin i05 at 1", "the item is not available"),
        ('pins = [{ item = "i03", rank = 9 }]', "pin i03 at 9", "lists have 5 rows"),
        ('deny_items = ["i03"]\npins = [{ item = "i03", rank = 1 }]', "pin i03 at 1", "other rules of the surface"),
        ('deny_items = ["i99"]', "deny_items", "no item of tonight's catalogue is i99"),
        ('deny_categories = ["coffee", "tea"]', "deny_categories", "no item of tonight's catalogue is coffee"),
        ('allow_items = ["i01", "i02"]', "k", "2 items are left for lists of 5"),
    ],
)
def test_what_cannot_be_met_is_said(tmp_path: Path, text: str, rule: str, said: str) -> None:
    met, found = findings(resolved(tmp_path, f"[surfaces.home]\n{text}"))[rule]
    assert not met
    assert found.startswith(said)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[surfaces.home]\ndeny_item = []", r"surfaces\.home\.deny_item: Extra inputs are not permitted"),
        ("[surfaces.home]\nmin_price = 9\nmax_price = 3", r"min_price 9\.0 is above max_price 3\.0"),
        ("[surfaces.home]\nmin_stock = 1", "needs stock or margins, and `facts` names no file"),
        ("[every_surface]\nk = 3", r"names no \[surfaces\.<name>\]"),
        (
            "[surfaces.home]\ndiversity = { method = 'mmr', weight = 2.0 }",
            r"diversity\.weight: .* less than or equal to 1",
        ),
        ('[surfaces.home]\npins = [{ item = "a", rank = 1 }, { item = "b", rank = 1 }]', "two pins have the same rank"),
        ("surfaces = 1", "surfaces"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(BadInput, match=rf"{problem}[\s\S]*\n  next: edit .*rules\.toml; make rules-check$"):
        load_rulebook(path)


def test_longer_lists_than_the_night_writes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"surfaces\.home\.k = 9 is above score\.k = 5\n  next: --set score\.k=9"):
        resolved(tmp_path, "[surfaces.home]\nk = 9")


def test_facts_that_are_missing_or_lack_a_column_are_refused(tmp_path: Path) -> None:
    text = 'facts = "f.csv"\n[surfaces.home]\nmin_stock = 1'
    with pytest.raises(BadInput, match=r"cannot read the item facts .*\n  next: head -3 .*f\.csv"):
        resolved(tmp_path, text)
    (tmp_path / "f.csv").write_text("item_id,margin\ni01,1\n")
    with pytest.raises(BadInput, match="lacks the columns stock"):
        resolved(tmp_path, text)


def test_which_file_is_the_shops(tmp_path: Path) -> None:
    assert rules_file(tmp_path, "rules", "") is None
    path = written(tmp_path, "")
    assert rules_file(tmp_path, "rules", "") == path
    assert rules_file(tmp_path, "other", str(path)) == path
    with pytest.raises(BadInput, match="is no file"):
        rules_file(tmp_path, "other", str(tmp_path / "gone.toml"))


def test_the_example_is_a_rules_file() -> None:
    path = repository() / "conf" / "rules" / "example.toml"
    email, home = resolve(load_rulebook(path), None, CATALOGUE, SCORE, available_N=AVAILABLE, day=date(2026, 6, 1))
    assert (home.k, email.k) == (5, 4)
    assert findings(email)["pin summer-sale at 1"] == (False, "the catalogue has no such item tonight")
    assert findings(home)["deny_categories"] == (False, "no item of tonight's catalogue is gift cards")
