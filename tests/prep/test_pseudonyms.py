"""Pseudonyms of columns against those of one id, and encryption in SQL."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from nightjar.contracts import BadInput
from nightjar.prep.landing import Land, Unseal
from nightjar.prep.pseudonyms import pseudonym, pseudonyms, sealed, unsealed
from nightjar.settings import load_conf

if TYPE_CHECKING:
    pass

KEY = random.Random(20010115).randbytes(32)
IDS = ["17", "", " ", "u:17", "Ünïcödé", "李雷", "👩‍👩‍👧", "a\nb", "a'b\"c\\", "x" * 5000, "é", "e\u0301", None]


def test_the_definition() -> None:
    """HMAC-SHA256, cut to 12 bytes, in URL-safe base64."""
    digest = hmac.new(KEY, b"user:17", hashlib.sha256).digest()
    assert pseudonym(KEY, "user", "17") == base64.urlsafe_b64encode(digest)[:16].decode()
    assert len({pseudonym(KEY, "user", "17"), pseudonym(KEY, "device", "17"), pseudonym(KEY[::-1], "user", "17")}) == 3


def test_columns_equal_the_definition_and_pairs_are_distinct() -> None:
    pairs, named = pseudonyms(KEY, "device", pa.array([*IDS, *IDS[::-1]], pa.string()))
    expected = [None if text is None else pseudonym(KEY, "device", text) for text in IDS]
    assert named.to_pylist() == [*expected, *expected[::-1]]
    assert {len(text) for text in expected if text is not None} == {16}
    assert pairs.to_pylist() == [
        {"pseudonym": pseudonym, "shop_id": text}
        for pseudonym, text in zip(expected, IDS, strict=True)
        if text is not None
    ]


@pytest.mark.parametrize("ids", [[], [None, None]])
def test_columns_of_nobody(ids: list[None]) -> None:
    pairs, named = pseudonyms(KEY, "user", pa.array(ids, pa.string()))
    assert (pairs.to_pylist(), named.to_pylist()) == ([], ids)
    assert named.type == pa.string()


def test_ciphers_open_again() -> None:
    texts = [text for text in IDS if text is not None]
    ciphers = sealed(KEY, texts)
    assert unsealed(KEY, ciphers) == texts
    assert ciphers == sealed(KEY, texts), "a re-run writes the same bytes"
    assert len(set(ciphers)) == len(set(texts))
    for text, cipher in zip(texts, ciphers, strict=True):
        assert len(cipher) == 12 + len(text.encode()) + 16  # nonce, text, tag
        assert len(text) <= 1 or text.encode() not in cipher


def test_another_key_does_not_open() -> None:
    with pytest.raises(BadInput, match="another key"):
        unsealed(bytes(32), sealed(KEY, ["secret"]))


def test_the_key_is_not_shown() -> None:
    """Work travels to tasks with the key in it; what is printed of it names no secret."""
    shown = repr(Unseal(KEY)) + repr(Land((), "acme", "acme", load_conf().clean, KEY))
    assert repr(KEY) not in shown
    assert KEY.hex() not in shown
