"""Lists under rules: what holds for every row, whoever it is for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from tests.score.small_shop import DAY, DAY_END, SCORE, item_rows, night, random_histories, sequence_rows

from nightjar.score.catalogue import Catalogue
from nightjar.score.recommend import Champion, Recommender
from nightjar.score.rulebook import Rulebook, resolve

NAMES = [f"i{number:02d}" for number in range(40)]
KNOWN = [name for n, name in enumerate(NAMES) if n % 7]
CATEGORY = {name: ("tea", "cups", "pots", "mills")[n % 4] for n, name in enumerate(NAMES)}
BRAND = {name: ("north", "south", "east")[n % 3] for n, name in enumerate(NAMES)}
HISTORIES = random_histories(60, NAMES, seed=3) | {"nobody": "", "unread": "V:i00 V:i07"}

Row = dict[str, object]


def catalogue() -> Catalogue:
    rows = item_rows(*((name, (7 * n) % 11, 50 + n, 3) for n, name in enumerate(NAMES)))
    for column, words in (("category", CATEGORY), ("brand", BRAND)):
        rows = rows.set_column(rows.schema.get_field_index(column), column, pa.array([words[name] for name in NAMES]))
    return Catalogue.from_items(rows)


CATALOGUE = catalogue()


def served(champion: Champion | None, surfaces: dict[str, dict[str, object]]) -> dict[str, dict[str, list[Row]]]:
    """Surface -> person -> rows."""
    rulebook = Rulebook.model_validate({"surfaces": surfaces})
    available = CATALOGUE.available(DAY_END, 30)
    rules = resolve(rulebook, None, CATALOGUE, SCORE, available_N=available, day=DAY)
    lists: dict[str, dict[str, list[Row]]] = {}
    for batch in Recommender(night(), CATALOGUE, champion, rules).recommend([sequence_rows(HISTORIES)]):
        for row in batch.to_pylist():
            lists.setdefault(row["surface"], {}).setdefault(row["user_id"], []).append(row)
    for of_people in lists.values():
        for rows in of_people.values():
            assert [row["rank"] for row in rows] == list(range(1, len(rows) + 1))
            assert len({row["item_id"] for row in rows}) == len(rows)
            assert all(float(str(a["score"])) >= float(str(b["score"])) for a, b in pairwise(rows))
    return lists


def items(rows: list[Row]) -> list[str]:
    return [str(row["item_id"]) for row in rows]


def bought(user: str) -> set[str]:
    return {entry.split(":")[1] for entry in HISTORIES[user].split() if entry.startswith("P")}


def test_hard_rules_hold_in_every_row(champion: Callable[..., Champion]) -> None:
    lists = served(champion(KNOWN), {"home": {"deny_categories": ["tea"], "allow_brands": ["north", "east"]}})
    assert set(lists["home"]) == set(HISTORIES)
    for rows in lists["home"].values():
        assert len(rows) == 5
        assert all(CATEGORY[item] != "tea" and BRAND[item] != "south" for item in items(rows))


@pytest.mark.parametrize("with_model", [True, False])
def test_caps_hold_for_everybody_where_they_can(champion: Callable[..., Champion], with_model: bool) -> None:
    lists = served(champion(KNOWN) if with_model else None, {"home": {"max_per_category": 2, "max_per_brand": 2}})
    for rows in lists["home"].values():
        assert len(rows) == 5
        assert max(Counter(CATEGORY[item] for item in items(rows)).values()) <= 2
        assert max(Counter(BRAND[item] for item in items(rows)).values()) <= 2
        assert {row["rule"] for row in rows} == {None}


def test_a_cap_that_cannot_hold_gives_way_and_says_so(champion: Callable[..., Champion]) -> None:
    lists = served(champion(KNOWN), {"home": {"allow_categories": ["tea", "cups"], "max_per_category": 1}})
    for rows in lists["home"].values():
        assert [row["rule"] for row in rows] == [None] * 2 + ["cap_given_way"] * 3
        assert len({CATEGORY[item] for item in items(rows[:2])}) == 2


def test_pins_stand_in_their_places_unless_the_person_must_not_get_them(champion: Callable[..., Champion]) -> None:
    pins = [{"item": "i07", "rank": 1}, {"item": "i10", "rank": 4}]  # the model does not know i07
    lists = served(champion(KNOWN), {"home": {"pins": pins}})
    missed = 0
    for user, rows in lists["home"].items():
        expected = {1: "i07", 4: "i10"}
        pinned = {int(str(row["rank"])): row["item_id"] for row in rows if row["rule"] == "pinned"}
        assert set(pinned.values()) == set(expected.values()) - bought(user)
        missed += len(expected) - len(pinned)
        for row in rows:
            if row["rule"] == "pinned":
                assert (row["reason_code"], row["evidence_item_id"]) == ("chosen_by_shop", None)
        assert rows[0]["strategy"] == rows[1]["strategy"], "a pin is served by what serves the list"
    assert missed > 0, "or nobody had bought them"


def test_repeats_come_back_after_the_days_of_the_rule(champion: Callable[..., Champion]) -> None:
    # Histories are of January 1; the night is of the 15th.
    soon, late = (served(champion(KNOWN), {"home": {"no_repeat_days": days}})["home"] for days in (60, 1))
    assert all(not set(items(rows)) & bought(user) for user, rows in soon.items())
    assert any(set(items(rows)) & bought(user) for user, rows in late.items())


def test_surfaces_have_their_own_lists(champion: Callable[..., Champion]) -> None:
    lists = served(champion(KNOWN), {"home": {}, "email": {"k": 2, "deny_categories": ["cups"]}})
    assert {len(rows) for rows in lists["home"].values()} == {5}
    assert {len(rows) for rows in lists["email"].values()} == {2}
    plain = served(champion(KNOWN), {"home": {}})
    assert lists["home"] == plain["home"]


@pytest.mark.parametrize("method", ["mmr", "calibration"])
def test_diversity_mixes_and_weight_zero_changes_nothing(champion: Callable[..., Champion], method: str) -> None:
    model = champion(KNOWN)

    def lists(weight: float) -> dict[str, list[Row]]:
        return served(model, {"home": {"diversity": {"method": method, "weight": weight}}})["home"]

    plain = served(model, {"home": {}})["home"]
    assert {user: items(rows) for user, rows in lists(0.0).items()} == {u: items(rows) for u, rows in plain.items()}
    mixed = lists(0.8)
    assert any(items(mixed[user]) != items(plain[user]) for user in plain)
    if method == "mmr":
        return
    drift = {
        name: np.mean([distance(user, rows) for user, rows in of.items()]) for name, of in (("p", plain), ("m", mixed))
    }
    assert drift["m"] < drift["p"]


def distance(user: str, rows: list[Row]) -> float:
    """Half the sum of differences between the shares of categories of history and list."""
    history = Counter(CATEGORY[entry.split(":")[1]] for entry in HISTORIES[user].split())
    listed = Counter(CATEGORY[item] for item in items(rows))
    total = max(1, history.total())
    return sum(abs(history[c] / total - listed[c] / len(rows)) for c in set(CATEGORY.values())) / 2


def test_people_the_model_cannot_read_get_their_categories_first(champion: Callable[..., Champion]) -> None:
    rows = served(champion(KNOWN), {"home": {}})["home"]["unread"]  # i00 and i07: tea and mills
    assert {CATEGORY[item] for item in items(rows)} == {"tea", "mills"}
    assert {(row["strategy"], row["reason_code"]) for row in rows} == {("category", "popular_in_category")}
    nobody = served(champion(KNOWN), {"home": {}})["home"]["nobody"]
    assert {(row["strategy"], row["reason_code"]) for row in nobody} == {("popular", "popular_now")}
