from __future__ import annotations

import numpy as np
from tests.score.small_shop import DAY_END, item_rows

from nightjar.score.catalogue import Catalogue
from nightjar.score.fallback import Fallback


def names(fallback: Fallback, catalogue: Catalogue, k: int, *without: str) -> list[str]:
    hidden = np.array([catalogue.item_ids.to_pylist().index(name) for name in without], np.int64)
    return [catalogue.item_ids[int(i)].as_py() for i in fallback.first(k, without=hidden)]


def test_available_items_by_recent_events_then_all_then_id() -> None:
    catalogue = Catalogue.from_items(
        item_rows(("a", 1, 9, 1), ("b", 7, 7, 1), ("c", 9, 9, 40), ("d", 1, 10, 1), ("e", 1, 9, 1))
    )
    fallback = Fallback(catalogue, catalogue.available(DAY_END, 30))
    assert names(fallback, catalogue, 3) == ["b", "d", "a"]
    assert names(fallback, catalogue, 3, "b", "a") == ["d", "e"]
    assert names(fallback, catalogue, 9) == ["b", "d", "a", "e"]
    assert names(fallback, catalogue, 1, "c") == ["b"]
