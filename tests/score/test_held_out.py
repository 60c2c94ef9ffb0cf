"""Who sees no model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.score.small_shop import item_rows, night, save_small_model, sequence_rows

from nightjar.score.catalogue import Catalogue
from nightjar.score.held_out import held_out
from nightjar.score.recommend import Champion, Recommender

USERS = pa.array([f"{number:016x}" for number in range(20_000)])


def test_the_share_is_drawn_whoever_else_is_there() -> None:
    drawn = held_out(USERS, 0.1, "a")
    assert drawn.mean() == pytest.approx(0.1, abs=0.01)
    assert np.array_equal(held_out(USERS.slice(500, 70), 0.1, "a"), drawn[500:570])
    assert drawn[held_out(USERS, 0.05, "a")].all(), "a smaller share is a part of a larger one"
    both = drawn & held_out(USERS, 0.1, "b")
    assert both.mean() == pytest.approx(0.01, abs=0.004), "another salt draws independently"


def test_nobody_and_everybody() -> None:
    assert not held_out(USERS, 0.0, "a").any()
    assert held_out(USERS, 1.0, "a").all()


def test_the_held_out_get_what_is_popular_and_say_so(tmp_path: Path) -> None:
    names = [f"i{number}" for number in range(9)]
    save_small_model(tmp_path, names)
    histories = {f"{number:016x}": "V:i1 V:i2" for number in range(40)} | {"new": ""}
    catalogue = Catalogue.from_items(item_rows(*((name, 9 - n, 20, 1) for n, name in enumerate(names))))
    recommender = Recommender(night(held_out_share=0.5, held_out_salt="x"), catalogue, Champion("m", "1", tmp_path))
    rows = [row for batch in recommender.recommend([sequence_rows(histories)]) for row in batch.to_pylist()]
    drawn = dict(zip(histories, held_out(pa.array(list(histories)), 0.5, "x").tolist(), strict=True))
    assert 10 < sum(drawn.values()) < 30
    for user in histories:
        theirs = [row for row in rows if row["user_id"] == user]
        expected = "popular" if user == "new" else "held_out" if drawn[user] else "model"
        assert {row["strategy"] for row in theirs} == {expected}
        if expected != "model":
            assert [row["item_id"] for row in theirs] == names[:5]
            assert {row["model_name"] for row in theirs} == {"popularity"}
