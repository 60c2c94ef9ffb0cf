"""A source mapping applied: raw columns to the columns of the events contract."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightjar.contracts import EVENTS
from nightjar.contracts.render import spark_ddl
from nightjar.settings import FILLED_BY_CLEAN, Source

#: Columns of `mapped` besides the contract's: what the row rules look at.
RAW_KIND = "_raw_kind"

_CORRUPT = "_corrupt_record"


def mapped(raw: DataFrame, source: Source) -> DataFrame:
    """Events as the mapping reads them, dirt included: nothing is rejected here, only `ignored` words are left out.

    Args:
        raw: the source's columns, `raw`, `landed` and `_corrupt_record`.

    Returns:
        The contract's columns (ids still the shop's own), `_raw_kind`, and every column of `raw`, so
        that a source's own `rejects` can use it; one whose name the contract takes has a `_` behind
        it. One row per element of `explode`, each with the whole `raw`.
    """
    return with_events(worded(raw, source).where(~is_ignored(source)), source)


def worded(raw: DataFrame, source: Source) -> DataFrame:
    """One row per event: elements apart, derived columns, and the log's own word for the kind in `_raw_kind`."""
    rows = raw
    if source.explode:
        # outer: a record whose array is absent or empty stays one row, with element and position null.
        rows = raw.select("*", F.posexplode_outer(F.expr(source.explode)).alias("position", "element"))
    for name, sql in source.derived.items():
        rows = rows.withColumn(name, F.expr(sql))
    return rows.withColumn(RAW_KIND, F.expr(source.events["kind"]).cast("string"))


def is_ignored(source: Source) -> Column:
    """Whether the mapping ignores the word of `_raw_kind`; false for a record that could not be parsed."""
    if not source.ignored:
        return F.lit(False)
    return F.col(_CORRUPT).isNull() & F.coalesce(F.col(RAW_KIND).isin(*source.ignored), F.lit(False))


def with_events(rows: DataFrame, source: Source) -> DataFrame:
    """Add the contract's columns to what `worded` gives."""
    types = dict(column.split(" ")[:2] for column in spark_ddl(EVENTS).split(", "))
    filled = FILLED_BY_CLEAN | {"kind"}
    columns = {name: F.expr(source.events.get(name, "null")) for name in EVENTS.names if name not in filled}
    events = {name: _of_type(name, value, types[name]) for name, value in columns.items()}
    if any("map<" in kind for _, kind in rows.dtypes):
        # A raw object lists its names in any order: two copies of one event would differ in nothing else.
        events["attributes"] = F.map_from_entries(F.array_sort(F.map_entries(events["attributes"])))
    events["kind"] = _kind(source)
    events["dt"] = F.to_date(F.from_utc_timestamp(events["event_ts"], source.time_zone))
    events["landed"] = F.coalesce(F.col("landed"), events["dt"])
    events["bot_rule"] = F.lit(None).cast("string")
    # Spark's names have no case: `Quantity` beside `quantity` would be ambiguous for the rules.
    names = {name: f"{name}_" if name.lower() in events else name for name in rows.columns if name != "landed"}
    kept = [F.col(f"`{name}`").alias(free) for name, free in names.items()]
    return rows.select(*kept, *[value.alias(name) for name, value in events.items()])


def _of_type(name: str, value: Column, type_name: str) -> Column:
    """Cast where the expression gave another type; text that is empty is absent, also among attributes."""
    if type_name == "STRING":
        text = F.trim(value.cast("string"))
        return F.when(text != "", text)
    if name == "attributes":
        texts = F.transform_values(value.cast(type_name), lambda _, text: F.trim(text))
        return F.map_filter(texts, lambda _, text: F.coalesce(text != "", F.lit(False)))
    return value.cast(type_name)


def _kind(source: Source) -> Column:
    pairs = [F.lit(part) for raw, kind in source.kinds.items() for part in (raw, kind.value)]
    return F.try_element_at(F.create_map(*pairs), F.coalesce(F.col(RAW_KIND), F.lit("")))
