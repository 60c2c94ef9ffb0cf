"""The shop's ids become pseudonyms at the door.

A pseudonym is HMAC-SHA256 under the installation's key, cut to 12 bytes and written in URL-safe
base64: 16 characters. 96 bits keep the chance that any two of a billion people share one below
1e-11, and 16 bytes keep shuffles small.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

import pyarrow as pa
from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

_BLOCK = 64  # bytes of a SHA-256 block, to which HMAC pads its key (RFC 2104)
_CUT = 12
_INNER, _OUTER, _AES = "_hmac_inner", "_hmac_outer", "_aes_key"


def pseudonym(key: bytes, id_kind: str, shop_id: str) -> str:
    """The definition, in plain Python; `id_kind` keeps user 17 and device 17 apart."""
    digest = hmac.new(key, f"{id_kind}:{shop_id}".encode(), hashlib.sha256).digest()
    return base64.urlsafe_b64encode(digest[:_CUT]).decode()


def pseudonyms(key: bytes, id_kind: str, ids: pa.Array) -> tuple[pa.StructArray, pa.Array]:
    """`pseudonym` of a column: its distinct (pseudonym, shop_id) pairs, and the column; null stays null.

    Once per distinct id and not per row: an HMAC costs 1.5 us, and people come back.
    """
    encoded = ids.dictionary_encode()
    named = pa.array([pseudonym(key, id_kind, shop_id) for shop_id in encoded.dictionary.to_pylist()], pa.string())
    pairs = pa.StructArray.from_arrays([named, encoded.dictionary.cast(pa.string())], ["pseudonym", "shop_id"])
    return pairs, named.take(encoded.indices)


def with_key(frame: DataFrame, key: bytes) -> DataFrame:
    """Add the key's derived columns, for `encrypted` and `decrypted`; drop them with `without_key`.

    A broadcast row, not literals: literals would print the key in every query plan.
    """
    padded = key.ljust(_BLOCK, b"\0")
    row = (
        bytearray(byte ^ 0x36 for byte in padded),
        bytearray(byte ^ 0x5C for byte in padded),
        bytearray(hashlib.sha256(b"quarantine" + key).digest()),
    )
    spark: SparkSession = frame.sparkSession
    keys = spark.createDataFrame([row], f"{_INNER} BINARY, {_OUTER} BINARY, {_AES} BINARY")
    return frame.crossJoin(F.broadcast(keys))


def without_key(frame: DataFrame) -> DataFrame:
    return frame.drop(_INNER, _OUTER, _AES)


def encrypted(column: str) -> Column:
    """AES-256-GCM of a text column, readable with the key only.

    The nonce derives from the text, so a re-run writes the same bytes; equal records are then
    visibly equal, which the record's own hash says anyway.
    """
    text = F.encode(F.col(column), "UTF-8")
    nonce = F.substring(_hmac(F.concat(F.encode(F.lit("nonce:"), "UTF-8"), text)), 1, 12)
    return F.aes_encrypt(text, F.col(_AES), F.lit("GCM"), F.lit("DEFAULT"), nonce)


def decrypted(column: str) -> Column:
    """The inverse of `encrypted`."""
    return F.decode(F.aes_decrypt(F.col(column), F.col(_AES), F.lit("GCM")), "UTF-8")


def _hmac(message: Column) -> Column:
    inner = F.unhex(F.sha2(F.concat(F.col(_INNER), message), 256))
    return F.unhex(F.sha2(F.concat(F.col(_OUTER), inner), 256))
