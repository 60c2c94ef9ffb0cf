"""Row rules by records that break one each, and texts that were meant otherwise."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from tests.prep.raw_log import CLEAN, NAMES, RAW, SOURCE, VIOLATIONS, judged, raw_row
from tests.prep.small_log import Row

from nightjar.prep import clean
from nightjar.prep.sources import mapped
from nightjar.prep.texts import with_readable_texts

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.spark

#: Other ways to break the same rules.
MORE: list[tuple[str, Row]] = [
    ("day_impossible", {"at": "2100-01-01T12:00:00Z", "landed": None}),
    ("platform_unknown", {"via": None}),
    ("actor_placeholder", {"who": None, "device": "00000000-0000-0000-0000-000000000000"}),
    ("item_placeholder", {"item": "NaN"}),
    ("item_placeholder", {"item": "0"}),
    ("item_placeholder", {"item": "-"}),
    ("id_unreadable", {"item": "caf\ufffd"}),
    ("id_unreadable", {"device": "d\x00"}),
    ("id_unreadable", {"invoice": "17\t18"}),
    ("id_unreadable", {"id": "a\x85b"}),
    ("id_unreadable", {"who": "â€™"}),
    ("id_too_long", {"id": "e" * 41}),
    ("text_too_long", {"name": "x" * 61}),
    ("price_impossible", {"cost": float("nan")}),
    ("price_impossible", {"cost": float("inf")}),
    ("price_negative", {"cost": float("-inf")}),
    ("purchase_price_too_low", {"what": "purchase", "cost": 0.0}),
    ("quantity_impossible", {"number": 0}),
    ("test_traffic", {"promo": "QA 1"}),
    ("test_traffic", {"item": "dummy_3"}),
    ("test_traffic", {"agent": "k6/0.49.0 (https://k6.io/)"}),
]

#: Unusual, and right.
RIGHT: list[Row] = [
    {"cost": None, "number": None},
    {"what": "purchase", "cost": None},
    {"what": "return", "cost": 0.0},
    {"at": "2099-12-31T12:00:00Z", "landed": date(2099, 12, 31)},
    {"received": None},
    {"what": "cancel"},
    {"item": "Größe-ß“", "who": "Ångström", "device": "дом", "invoice": "北京-7"},
    {"words": "caf\ufffd"},  # words are never a reason
    {"agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"},  # bots are flagged, not rejected
    {"who": "contest", "promo": "latest", "item": "testimonial"},
]


def test_every_rule_has_a_row_that_breaks_it_alone(spark: SparkSession) -> None:
    assert list(VIOLATIONS) == list(clean.row_rules(CLEAN, SOURCE))
    expected: list[list[str] | None] = []
    rows: list[tuple[Any, ...]] = []

    def add(reasons: list[str] | None, **columns: Any) -> None:
        rows.append(raw_row(len(rows), **columns))
        expected.append(reasons)

    for reason, (bad, good) in VIOLATIONS.items():
        add([reason], **bad)
        add(None, **good)
    for reason, bad in MORE:
        add([reason], **bad)
    for right in RIGHT:
        add(None, **right)
    add(["malformed"], **(dict.fromkeys(set(NAMES) - {"raw", "landed"}) | {"_corrupt_record": "{"}))  # type: ignore[arg-type]
    several = {"id": None, "what": "dance", "via": "fax", "who": None, "cost": -1.0, "number": 99, "item": "POSTAGE"}
    add(
        [
            "event_id_missing",
            "kind_unknown",
            "platform_unknown",
            "actor_missing",
            "price_negative",
            "quantity_impossible",
            "item_is_a_fee",
        ],
        **several,
    )
    found = {row["raw"]: row["reasons"] for row in judged(spark, rows).select("raw", "reasons").collect()}
    assert [(rows[n], found[f"record {n}"]) for n in range(len(rows))] == list(zip(rows, expected, strict=True))


def test_rules_that_are_switched_off_reject_nothing(spark: SparkSession) -> None:
    off = dict.fromkeys(("item_pattern", *(f"test_{of}_pattern" for of in ("user", "campaign", "item", "agent"))), "")
    off_too = {"actor_placeholders": (), "item_placeholders": (), "min_purchase_price": 0.0}
    reasons = ("actor_placeholder", "item_placeholder", "item_is_no_product", "purchase_price_too_low", "test_traffic")
    rows = [raw_row(n, **VIOLATIONS[reason][0]) for n, reason in enumerate(reasons)]
    lenient = CLEAN.model_copy(update=off | off_too)
    frame = clean.with_reasons(mapped(spark.createDataFrame(rows, RAW), SOURCE), lenient, SOURCE)
    assert frame.where(clean.is_kept()).count() == len(rows)


def codegen(frame: DataFrame) -> str:
    jvm = frame.sparkSession._jvm
    mode = jvm.org.apache.spark.sql.execution.ExplainMode.fromString("codegen")  # type: ignore[union-attr]
    return str(frame._jdf.queryExecution().explainString(mode))


def test_no_method_is_too_large_for_the_jvm_to_compile(spark: SparkSession) -> None:
    """HotSpot interprets methods above 8,000 bytes for ever, and the rules as one method are more."""
    sizes = [int(size) for size in re.findall(r"maxMethodCodeSize:(\d+)", codegen(judged(spark, [raw_row(0)])))]
    assert max(sizes) > 8000, "small enough: then neither this test nor the setting is needed"
    assert int(spark.conf.get("spark.sql.codegen.hugeMethodLimit") or 0) <= 8000


# -- words

#: What was sent -> what was meant; null where nobody can tell.
MEANT = {
    "cafÃ©": "café",
    "cafÃƒÂ©": "café",  # wrongly read twice
    "donâ€™t": "don’t",
    "GrÃ¶ÃŸe": "Größe",
    "ä¸\xadæ–‡": "中文",
    "Ð´Ð¾Ð¼": "дом",
    "shoes ðŸ‘Ÿ": "shoes 👟",
    "red\tshoes\n": "red shoes",
    "caf\ufffd": None,
    "cafÃ© \ufffd": None,
    "\x00": None,
    "\x85": None,
}
#: Looks odd and is meant: no valid UTF-8 when read as bytes, or nothing to repair at all.
AS_IT_IS = ("café", "„Spaß“", "MAÇÃ”", "Â", "Ã la carte", "50 €", "naïve – très", "北京", "👟", "a\u200db")


def test_texts_become_what_was_meant(spark: SparkSession) -> None:
    sent = [*MEANT, *AS_IT_IS]
    rows = [raw_row(n, words=text, name=text, agent="cafÃ©") for n, text in enumerate(sent)]
    frame = with_readable_texts(mapped(spark.createDataFrame(rows, RAW), SOURCE))
    found = {row["raw"]: row for row in frame.select("raw", "query", "attributes", "_is_repaired").collect()}
    for number, text in enumerate(sent):
        row, meant = found[f"record {number}"], MEANT.get(text, text)
        assert (row["query"], row["attributes"].get("title")) == (meant, meant), text
        # The mapping trims spaces; agents are compared, not read.
        kept = {"query_as_sent": text, "title_as_sent": text} if text in MEANT else {}
        assert {k: v for k, v in row["attributes"].items() if k != "title"} == {"user_agent": "cafÃ©"} | kept, text
        assert row["_is_repaired"] == (text in MEANT), text


def test_only_damaged_texts_of_a_row_are_touched(spark: SparkSession) -> None:
    frame = with_readable_texts(mapped(spark.createDataFrame([raw_row(0, words="cafÃ©", name="Tee")], RAW), SOURCE))
    (row,) = frame.select("query", "attributes").collect()
    assert row["query"] == "café"
    assert row["attributes"] == {"title": "Tee", "query_as_sent": "cafÃ©"}
    assert not {name for name in frame.columns if name.startswith("_")} - {
        "_raw_kind",
        "_is_repaired",
        "_corrupt_record",
    }
