"""What a check may show of a value."""

from __future__ import annotations

import pytest

from nightjar.prep.findings import public, shape


@pytest.mark.parametrize(
    ("text", "seen"),
    [("anna@shop.example", "aaaa@aaaa.aaaaaaa"), ("Customer-0042", "Aaaaaaaa-9999"), ("李雷 Ü", "aa A"), ("", "")],
)
def test_a_shape_keeps_no_letter_and_no_digit(text: str, seen: str) -> None:
    assert shape(text) == seen


@pytest.mark.parametrize("address", ["anna@shop.example", "from 192.0.2.17", "2001:db8::1", "fe80:1:2:3:4:5:6:7"])
def test_addresses_are_shown_by_their_shape(address: str) -> None:
    assert public(address) == shape(address) != address


@pytest.mark.parametrize("text", ["add_to_cart", "Mug 0.5 l", "2001-01-15 10:00:00", "1.2.3", "Kitchen: Mugs"])
def test_everything_else_is_shown(text: str) -> None:
    assert public(text) == text
