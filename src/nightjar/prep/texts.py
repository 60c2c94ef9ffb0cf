"""Words for people, made readable: searches, titles, categories, brands.

A row is never rejected for its words: a purchase is one whatever the title. Text that was read in the
wrong code page ('cafÃ©') is decoded again, control characters become spaces, and what still cannot be
read (replacement characters: the letters are gone) is withdrawn, as null is no guess. What was sent
stays in the attributes as `query_as_sent`, `title_as_sent` and so on: a repair can be found, counted
and undone.
"""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightjar.contracts.rules import AS_SENT, CONTROLS, MOJIBAKE, NOT_PRINTABLE_ASCII, TEXTS, UNREADABLE, WINDOWS_1252

_SHOWN = "".join(WINDOWS_1252.values())
_BYTES = "".join(map(chr, WINDOWS_1252))


def with_readable_texts(events: DataFrame) -> DataFrame:
    """Repair `query` and the attributes of `TEXTS` in mapped rows; adds `_is_repaired`."""
    sent = [F.col(TEXTS[0]), *(_attribute(name) for name in TEXTS[1:])]
    together = F.concat_ws(" ", *sent)
    damaged = together.rlike(NOT_PRINTABLE_ASCII) & together.rlike(f"{UNREADABLE}|{MOJIBAKE}")
    # An array of all texts for the few rows that need it, null for the others. The lambda is interpreted once
    # for each text of these, instead of being compiled four times into the code for every row.
    repaired = F.when(damaged, F.transform(F.array(*sent), readable))
    changed = F.col("_texts").isNotNull() & ~F.col("_texts").eqNullSafe(F.array(*sent))
    rows = events.withColumn("_texts", repaired).withColumn("_is_repaired", changed)
    now = {name: F.col("_texts")[place] for place, name in enumerate(TEXTS)}
    before = dict(zip(TEXTS, sent, strict=True))
    kept = F.map_filter(_attributes(), lambda name, _: ~name.isin(*TEXTS[1:]))
    texts = F.create_map(*[part for name in TEXTS[1:] for part in (F.lit(name), now[name])])
    as_sent = F.create_map(
        *[
            part
            for name in TEXTS
            for part in (F.lit(name + AS_SENT), F.when(~before[name].eqNullSafe(now[name]), before[name]))
        ]
    )
    known = F.map_filter(F.map_concat(texts, as_sent), lambda _, text: text.isNotNull())
    rewritten = F.map_concat(kept, known)
    return rows.withColumns(
        {
            "query": F.when(F.col("_is_repaired"), now["query"]).otherwise(F.col("query")),
            "attributes": F.when(F.col("_is_repaired"), rewritten).otherwise(F.col("attributes")),
        }
    ).drop("_texts")


def readable(text: Column) -> Column:
    """A text as it was meant; null where nobody can tell."""
    # Some texts were read wrongly twice.
    decoded = _decoded(_decoded(F.trim(F.regexp_replace(text, f"{CONTROLS}+", " "))))
    return F.when(~decoded.rlike(UNREADABLE) & (decoded != ""), decoded)


def _decoded(text: Column) -> Column:
    """UTF-8 that was read as Windows-1252 or Latin-1; the text itself unless all of it is valid UTF-8 then."""
    as_bytes = F.translate(text, _SHOWN, _BYTES)
    may_be = text.rlike(MOJIBAKE) & ~as_bytes.rlike(r"[^\x00-\xFF]")
    valid = F.try_validate_utf8(F.encode(as_bytes, "ISO-8859-1").cast("string"))
    return F.coalesce(F.when(may_be, valid), text)


def _attributes() -> Column:
    return F.coalesce(F.col("attributes"), F.create_map().cast("map<string,string>"))


def _attribute(name: str) -> Column:
    return F.try_element_at("attributes", F.lit(name))
