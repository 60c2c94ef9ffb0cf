from __future__ import annotations

import pytest
from tests.score.small_shop import sequence_rows

from nightjar.learn.histories import WHOLE, histories_from_arrow
from nightjar.learn.vocabulary import Vocabulary
from nightjar.score.rules import Policy, excluded


@pytest.mark.parametrize(
    ("policy", "pairs"),
    [
        ("none", set()),
        ("seen", {(0, "a"), (0, "b"), (2, "c"), (2, "a")}),
        ("purchased", {(0, "b"), (2, "a")}),
    ],
)
def test_what_a_policy_hides(policy: Policy, pairs: set[tuple[int, str]]) -> None:
    names = ("a", "b", "c")
    rows = sequence_rows({"u": "V:a P:b V:b", "v": "", "w": "C:c V:gone P:a"})
    hidden = excluded(policy, histories_from_arrow(rows, Vocabulary(names), max_length=WHOLE))
    assert {(int(row), names[item]) for row, item in zip(*hidden, strict=True)} == pairs
