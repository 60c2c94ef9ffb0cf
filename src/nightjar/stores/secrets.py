"""The one secret of the lake: the key behind pseudonyms and the quarantine's encryption."""

from __future__ import annotations

import os
import secrets

from nightjar.contracts import BadInput
from nightjar.stores.files import create_exclusively
from nightjar.stores.home import Home

_VARIABLE = "NIGHTJAR_PSEUDONYM_KEY"
_BYTES = 32


def pseudonym_key(home: Home) -> bytes:
    """The 32-byte key from `NIGHTJAR_PSEUDONYM_KEY` (64 hex digits) or `secrets/pseudonym.key`.

    Created on first use. Losing it makes tonight's pseudonyms differ from yesterday's, so the
    file belongs in the shop's backup of secrets.
    """
    text = os.environ.get(_VARIABLE)
    if text is None:
        path = home.secrets / "pseudonym.key"
        home.secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
        create_exclusively(path, secrets.token_hex(_BYTES).encode(), mode=0o600)
        text = path.read_text(encoding="ascii").strip()
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != _BYTES:
        raise BadInput(f"{_VARIABLE} or secrets/pseudonym.key is not {2 * _BYTES} hex digits", "openssl rand -hex 32")
    return key
