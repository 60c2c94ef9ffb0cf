"""What a mapping makes of a sample of a log: what it fills, what it rejects and why, and nobody's identifier."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from nightjar.contracts import EVENTS
from nightjar.prep.clean import is_kept, with_reasons
from nightjar.prep.sources import RAW_KIND, is_ignored, with_events, worded
from nightjar.settings import FILLED_BY_CLEAN, Clean, Source

#: Columns whose values are shown by their shape only: they name people, or hold what people typed.
MASKED = ("event_id", "user_id", "device_id", "order_id", "query")
#: Attributes that describe items; of the others only the names are shown.
_ABOUT_ITEMS = ("title", "category", "brand")
_PERSONAL = re.compile(r"@|\b\d{1,3}(\.\d{1,3}){3}\b|::|([0-9a-fA-F]{1,4}:){3}")  # e-mail and network addresses
_LONGEST = 40  # characters of an example


@dataclass(frozen=True)
class Filled:
    """One column of events, or one attribute (`attributes.title`), over the rows that are not ignored."""

    name: str
    type: str
    sql: str  #: what fills it; empty when the mapping names no such column
    share: float
    examples: tuple[str, ...]  #: smallest and largest value, or their shapes


@dataclass(frozen=True)
class Word:
    """One word of the log for what happened; `kind` is null for words that the mapping ignores or does not know."""

    text: str
    kind: str | None
    ignored: bool
    num_rows: int


@dataclass(frozen=True)
class Reason:
    """One row rule that rows break, and where the first of them stands."""

    name: str
    num_rows: int
    place: str


@dataclass(frozen=True)
class Findings:
    num_records: int
    num_ignored: int
    num_rows: int  #: not ignored; an exploded record gives several
    num_kept: int
    num_repeated: int  #: kept rows whose event_id an earlier one has
    num_other_day: int  #: kept rows of another day than their drop's
    num_bots: int  #: kept rows whose browser says that it is one
    num_open_quotes: int  #: CSV lines in which a quote stays open
    num_users: int
    num_devices: int
    num_anonymous: int  #: kept rows without a login
    first: datetime | None
    last: datetime | None
    columns: tuple[Filled, ...]
    words: tuple[Word, ...]
    reasons: tuple[Reason, ...]
    rows_by_day: dict[date, int]  #: kept rows, by the shop's day
    rows_by_hour: dict[int, int]  #: kept rows, by the shop's hour
    unused: tuple[str, ...]  #: raw columns that no expression names

    @property
    def num_unknown(self) -> int:
        return sum(reason.num_rows for reason in self.reasons if reason.name == "kind_unknown")

    @property
    def rejected_share(self) -> float:
        return 1 - self.num_kept / self.num_rows if self.num_rows else 0.0


def findings(sample: DataFrame, source: Source, clean: Clean) -> Findings:
    """Map and judge a sample.

    Args:
        sample: raw records as `mapped` takes them, and `_place`: where each stands.
    """
    words = with_events(worded(sample, source).withColumn("_ignored", is_ignored(source)), source).persist()
    rows = with_reasons(words.where(~F.col("_ignored")), clean, source).persist()
    try:
        totals = rows.agg(*_totals(clean, source)).collect()[0]
        return Findings(
            num_records=sample.count(),
            num_ignored=words.where("_ignored").count(),
            num_open_quotes=_open_quotes(sample, source),
            columns=(*_columns(rows, source, totals["num_rows"]), *_attributes(rows, totals["num_rows"])),
            words=_words(words),
            reasons=_reasons(rows),
            rows_by_day=_counts(rows, F.col("dt")),
            rows_by_hour=_counts(rows, F.hour(F.from_utc_timestamp("event_ts", source.time_zone))),
            unused=_unused(sample, source),
            **totals.asDict(),
        )
    finally:
        words.unpersist()
        rows.unpersist()


def _totals(clean: Clean, source: Source) -> list[Column]:
    kept = is_kept()
    agent = F.try_element_at("attributes", F.lit("user_agent"))
    counts = {
        "num_rows": F.lit(True),
        "num_kept": kept,
        "num_other_day": kept & (F.col("dt") != F.col("landed")),
        "num_bots": kept & agent.rlike(clean.bot_agent_pattern),
        "num_anonymous": kept & F.col("user_id").isNull(),
    }
    ids = {"num_users": "user_id", "num_devices": "device_id"}
    return [
        *(F.count(F.when(condition, 1)).alias(name) for name, condition in counts.items()),
        *(F.count_distinct(F.when(kept, F.col(column))).alias(name) for name, column in ids.items()),
        (F.count(F.when(kept, 1)) - F.count_distinct(F.when(kept, F.col("event_id")))).alias("num_repeated"),
        F.min(F.when(kept, F.col("event_ts"))).alias("first"),
        F.max(F.when(kept, F.col("event_ts"))).alias("last"),
    ]


def _columns(rows: DataFrame, source: Source, num_rows: int) -> list[Filled]:
    mapped = [column for column in EVENTS.columns if column.name not in FILLED_BY_CLEAN | {"attributes"}]
    found = rows.agg(*[part for column in mapped for part in _extremes(column.name, F.col(column.name))]).collect()[0]
    return [
        Filled(
            column.name,
            column.type,
            " ".join(source.events.get(column.name, "").split()),
            found[f"{column.name}.filled"] / max(num_rows, 1),
            _examples(column.name, found),
        )
        for column in mapped
    ]


def _attributes(rows: DataFrame, num_rows: int) -> list[Filled]:
    entries = rows.select(F.explode("attributes").alias("key", "text"), "user_id", "device_id")
    found = entries.groupBy("key").agg(*_extremes("text", F.col("text"))).orderBy("key").collect()
    return [
        Filled(
            f"attributes.{row['key']}",
            "string",
            "",
            row["text.filled"] / max(num_rows, 1),
            _examples("text", row) if row["key"] in _ABOUT_ITEMS else (),
        )
        for row in found
    ]


def _extremes(name: str, value: Column) -> list[Column]:
    """How often a column is filled, its smallest and its largest value, those of somebody's id left out."""
    own = value.cast("string")
    is_id = own.eqNullSafe(F.col("user_id")) | own.eqNullSafe(F.col("device_id"))
    shown = value if name in MASKED else F.when(~is_id, value)
    return [
        F.count(value).alias(f"{name}.filled"),
        F.min(shown).alias(f"{name}.low"),
        F.max(shown).alias(f"{name}.high"),
    ]


def _examples(name: str, found: Row) -> tuple[str, ...]:
    values = [found[f"{name}.{end}"] for end in ("low", "high") if found[f"{name}.{end}"] is not None]
    texts = [shape(str(value)) if name in MASKED else public(str(value)) for value in values]
    return tuple(dict.fromkeys(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…" for text in texts))


def shape(text: str) -> str:
    """What a value looks like and not what it is: 9 for digits, a and A for letters of any script."""
    letters = ("9" if sign.isdigit() else "A" if sign.isupper() else "a" if sign.isalpha() else sign for sign in text)
    return "".join(letters)


def public(text: str) -> str:
    """The text, or its shape where it looks like an address."""
    return shape(text) if _PERSONAL.search(text) else text


def _words(rows: DataFrame) -> tuple[Word, ...]:
    word = F.col(RAW_KIND)
    is_id = word.eqNullSafe(F.col("user_id")) | word.eqNullSafe(F.col("device_id"))
    found = (
        rows.where(word.isNotNull() & F.col("_corrupt_record").isNull())
        .groupBy(word, "kind", "_ignored", is_id.alias("is_id"))
        .count()
        .orderBy(F.desc("count"), RAW_KIND, "is_id")
        .collect()
    )
    return tuple(
        Word(
            shape(row[RAW_KIND]) if row["is_id"] else public(row[RAW_KIND]), row["kind"], row["_ignored"], row["count"]
        )
        for row in found
    )


def _reasons(rows: DataFrame) -> tuple[Reason, ...]:
    file, line = F.regexp_extract("_place", "^(.*):", 1), F.substring_index("_place", ":", -1).cast("int")
    first = F.min_by("_place", F.struct(file, line))
    found = rows.select(F.explode("reasons").alias("reason"), "_place").groupBy("reason")
    counted = found.agg(F.count("*").alias("num"), first.alias("place")).orderBy(F.desc("num"), "reason")
    return tuple(Reason(row["reason"], row["num"], row["place"]) for row in counted.collect())


def _counts(rows: DataFrame, by: Column) -> dict[Any, int]:
    found = rows.where(is_kept()).groupBy(by.alias("by")).count().orderBy("by").collect()
    return {row["by"]: row["count"] for row in found}


def _open_quotes(sample: DataFrame, source: Source) -> int:
    quotes = {files.quote for files in source.files.values() if files.format == "csv" and files.quote}
    is_open = F.lit(False)
    for quote in quotes:
        is_open |= (F.length("raw") - F.length(F.replace("raw", F.lit(quote), F.lit("")))) % 2 == 1
    return sample.where(is_open).count() if quotes else 0


def _unused(sample: DataFrame, source: Source) -> tuple[str, ...]:
    expressions = [source.explode, *source.derived.values(), *source.events.values(), *source.rejects.values()]
    named = {word.lower() for sql in expressions for word in re.findall(r"\w+", sql)}
    ours = {"raw", "landed", "part", "_form", "_place", "_corrupt_record"}
    return tuple(
        name for name in sample.columns if name not in ours and not set(re.findall(r"\w+", name.lower())) <= named
    )
