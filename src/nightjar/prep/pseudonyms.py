"""The shop's ids become pseudonyms at the door.

A pseudonym is HMAC-SHA256 under the installation's key, cut to 12 bytes and written in URL-safe
base64: 16 characters. 96 bits keep the chance that any two of a billion people share one below
1e-11, and 16 bytes keep shuffles small.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from nightjar.contracts import BadInput

_CUT = 12  # bytes of a pseudonym, and of a nonce
_BLOCK = 64  # bytes that SHA-256 takes at once


def pseudonym(key: bytes, id_kind: str, shop_id: str) -> str:
    """The definition, in plain Python; `id_kind` keeps user 17 and device 17 apart."""
    digest = hmac.new(key, f"{id_kind}:{shop_id}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest[:_CUT]).decode()


def pseudonyms(key: bytes, id_kind: str, ids: pa.Array) -> tuple[pa.StructArray, pa.Array]:
    """`pseudonym` of a column: its distinct (pseudonym, shop_id) pairs, and the column; null stays null.

    Once per distinct id and not per row, for people come back; and with the key's part of the HMAC done once,
    which takes an id from 6 us to 1.5.
    """
    encoded = ids.dictionary_encode()
    named = _named(key, id_kind, encoded.dictionary.to_pylist())
    pairs = pa.StructArray.from_arrays([named, encoded.dictionary.cast(pa.string())], ["pseudonym", "shop_id"])
    return pairs, named.take(encoded.indices)


def _named(key: bytes, id_kind: str, shop_ids: Sequence[str]) -> pa.StringArray:
    """`pseudonym` of each: HMAC (RFC 2104) in its two halves, and one base64 text for all."""
    block = (key if len(key) <= _BLOCK else hashlib.sha256(key).digest()).ljust(_BLOCK, b"\0")
    inner = hashlib.sha256(bytes(byte ^ 0x36 for byte in block) + f"{id_kind}:".encode())
    outer = hashlib.sha256(bytes(byte ^ 0x5C for byte in block))
    digests = []
    for shop_id in shop_ids:
        first, second = inner.copy(), outer.copy()
        first.update(shop_id.encode())
        second.update(first.digest())
        digests.append(second.digest()[:_CUT])
    text = base64.urlsafe_b64encode(b"".join(digests))  # 12 bytes are 16 characters exactly, so names do not mix
    offsets = np.arange(len(digests) + 1, dtype=np.int32) * (_CUT * 4 // 3)
    return pa.StringArray.from_buffers(len(digests), pa.py_buffer(offsets), pa.py_buffer(text))


def sealed(key: bytes, texts: Sequence[str]) -> list[bytes]:
    """AES-256-GCM of each text, readable with the key only.

    The nonce derives from the text, so a re-run writes the same bytes; equal records are then
    visibly equal, which the record's own hash says anyway.
    """
    cipher = AESGCM(_aes_key(key))

    def seal(text: str) -> bytes:
        nonce = hmac.new(key, f"nonce:{text}".encode(), hashlib.sha256).digest()[:_CUT]
        return nonce + cipher.encrypt(nonce, text.encode(), None)

    return [seal(text) for text in texts]


def unsealed(key: bytes, records: Sequence[bytes]) -> list[str]:
    """The inverse of `sealed`.

    Raises:
        BadInput: another key sealed them.
    """
    cipher = AESGCM(_aes_key(key))
    try:
        return [cipher.decrypt(record[:_CUT], record[_CUT:], None).decode() for record in records]
    except InvalidTag as error:
        raise BadInput(
            "the quarantine was written under another key", "restore secrets/pseudonym.key from the backup of secrets"
        ) from error


def _aes_key(key: bytes) -> bytes:
    return hashlib.sha256(b"quarantine" + key).digest()
