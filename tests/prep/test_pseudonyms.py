"""Pseudonyms of columns against those of one id, and encryption in SQL."""

from __future__ import annotations

import base64
import hashlib
import hmac
import random
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from pyspark.sql import functions as F

from nightjar.prep.pseudonyms import decrypted, encrypted, pseudonym, pseudonyms, with_key, without_key

if TYPE_CHECKING:
    from pathlib import Path

    from pyspark.sql import DataFrame, SparkSession

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


@pytest.mark.spark
def test_ciphers_open_again(spark: SparkSession) -> None:
    rows = with_key(spark.createDataFrame([(text,) for text in IDS], "id STRING"), KEY)
    found = (
        rows.withColumns({"cipher": encrypted("id"), "again": encrypted("id")})
        .withColumn("plain", decrypted("cipher"))
        .withColumn("size", F.length("cipher"))
        .transform(without_key)
    )
    assert found.columns == ["id", "cipher", "again", "plain", "size"]
    for row in found.collect():
        if row["id"] is None:
            assert set(row.asDict().values()) == {None}
            continue
        assert row["plain"] == row["id"]
        assert row["cipher"] == row["again"]
        assert row["size"] == 12 + len(row["id"].encode()) + 16  # nonce, text, tag
        if len(row["id"]) > 1:
            assert row["id"].encode() not in bytes(row["cipher"])


@pytest.mark.spark
def test_another_key_does_not_open(spark: SparkSession) -> None:
    written = (
        with_key(spark.createDataFrame([("secret",)], "id STRING"), KEY)
        .withColumn("id", encrypted("id"))
        .transform(without_key)
    )
    with pytest.raises(Exception, match=r"AES_CRYPTO_ERROR|AEADBadTag"):
        with_key(written, bytes(32)).select(decrypted("id")).collect()


def plans(frame: DataFrame) -> str:
    plan = frame._jdf.queryExecution()
    modes = frame.sparkSession._jvm.org.apache.spark.sql.execution.ExplainMode
    shown = [plan.explainString(modes.fromString(mode)) for mode in ("extended", "codegen", "formatted", "cost")]
    return "\n".join(shown)


@pytest.mark.spark
def test_the_key_is_in_no_query_plan(spark: SparkSession, tmp_path: Path) -> None:
    local = spark.createDataFrame([("17", "a")], "id STRING, raw STRING")
    local.write.parquet(str(tmp_path / "ids"))
    secrets = {
        KEY,
        bytes(b ^ 0x36 for b in KEY),
        bytes(b ^ 0x5C for b in KEY),
        hashlib.sha256(b"quarantine" + KEY).digest(),
    }
    for frame in (local, spark.read.parquet(str(tmp_path / "ids"))):
        keyed = with_key(frame, KEY).withColumn("raw", encrypted("raw"))
        text = plans(without_key(keyed)).lower()
        assert "_hmac_inner" in text
        for secret in secrets:
            signed = ", ".join(str(b - 256 if b > 127 else b) for b in secret)
            spellings = {secret.hex(), " ".join(f"{b:02x}" for b in secret), signed, signed.replace(" ", "")}
            spellings |= {
                base64.b64encode(secret).decode().rstrip("=").lower(),
                secret.decode("latin-1").lower(),
                repr(secret)[2:-1].lower(),
            }
            assert not [spelling for spelling in spellings if spelling[:24] in text]
