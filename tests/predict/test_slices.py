"""Everybody is in one platform and one group of activity."""

from __future__ import annotations

import numpy as np
from tests.predict.people import features

from nightjar.predict.slices import slices


def test_everybody_is_in_one_of_each_kind() -> None:
    people = features(
        9, last_platform=["app", "web", "web"] * 3, num_sessions_28d=np.array([0, 0, 0, 0, 1, 2, 3, 9, 20], np.int32)
    )
    found = {name: members.nonzero()[0].tolist() for name, members in slices(people).items()}
    assert found == {
        "platform app": [0, 3, 6],
        "platform web": [1, 2, 4, 5, 7, 8],
        "0 visits in four weeks": [0, 1, 2, 3],
        "1 to 3 visits in four weeks": [4, 5, 6],
        "4 to 20 visits in four weeks": [7, 8],
    }


def test_of_nobody_there_are_none() -> None:
    assert slices(features(0)) == {}
