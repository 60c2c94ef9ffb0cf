"""Which columns become a matrix, and how."""

from __future__ import annotations

import json

import numpy as np
import pytest
from tests.predict.people import features

from nightjar.contracts import USER_FEATURES, BadInput
from nightjar.predict.aggregates import MAX_WORDS, Columns


def test_every_column_but_names_and_what_is_sensitive() -> None:
    read = set(Columns.of(features(1)).names)
    assert set(USER_FEATURES.names) - read == {"user_id", "dt", "night_share"}
    assert set(Columns.of(features(1), sensitive=["night_share"]).names) == read | {"night_share"}


def test_no_sensitive_column_is_an_error_that_says_which_there_are() -> None:
    with pytest.raises(BadInput, match="num_orders") as caught:
        Columns.of(features(1), sensitive=["num_orders"])
    assert "night_share" in caught.value.next_command


def test_words_are_places_by_frequency_and_unknown_ones_no_number() -> None:
    known = features(5, top_brand=["b", "a", "c", "c", None])
    columns = Columns.of(known)
    assert columns.words["top_brand"] == ("c", "a", "b")
    place = columns.names.index("top_brand")
    assert place in columns.categorical
    later_B = columns.matrix(features(3, top_brand=["b", "unheard of", None]))[:, place]
    np.testing.assert_array_equal(later_B, [2, np.nan, np.nan])


def test_rare_words_are_left_out() -> None:
    columns = Columns.of(features(100, top_brand=[f"b{row:02}" for row in range(100)]))
    assert len(columns.words["top_brand"]) == MAX_WORDS


def test_nulls_are_no_numbers_and_rows_keep_their_order() -> None:
    columns = Columns.of(features(1))
    found_BF = columns.matrix(features(3, hours_since_last_cart=[5.0, None, 7.0], num_orders=[1, 2, 3]))
    np.testing.assert_array_equal(found_BF[:, columns.names.index("hours_since_last_cart")], [5, np.nan, 7])
    np.testing.assert_array_equal(found_BF[:, columns.names.index("num_orders")], [1, 2, 3])


def test_written_and_read_again_it_is_the_same() -> None:
    columns = Columns.of(features(2, top_brand=["x", "y"]))
    assert Columns.load(json.loads(json.dumps(columns.dump()))) == columns
