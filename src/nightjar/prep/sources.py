"""A source mapping applied: raw columns to the columns of the events contract."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from nightjar.contracts import EVENTS
from nightjar.contracts.render import spark_ddl
from nightjar.settings import FILLED_BY_CLEAN, Source

#: Columns of `mapped` besides the contract's: what the row rules look at.
RAW_KIND = "_raw_kind"


def mapped(raw: DataFrame, source: Source) -> DataFrame:
    """Events as the mapping reads them, dirt included: nothing is rejected here.

    Args:
        raw: the source's columns, `raw`, `landed` and `_corrupt_record`.

    Returns:
        The contract's columns (ids still the shop's own), `_raw_kind`, and every column of `raw`
        whose name the contract does not take, so that a source's own `rejects` can use it.
    """
    types = dict(column.split(" ")[:2] for column in spark_ddl(EVENTS).split(", "))
    columns = {name: F.expr(source.events.get(name, "null")) for name in EVENTS.names if name not in FILLED_BY_CLEAN}
    raw_kind = columns.pop("kind").cast("string")
    events = {name: _of_type(name, value, types[name]) for name, value in columns.items()}
    events["kind"] = _kind(raw_kind, source)
    events[RAW_KIND] = raw_kind
    events["dt"] = F.to_date(F.from_utc_timestamp(events["event_ts"], source.time_zone))
    events["landed"] = F.coalesce(F.col("landed"), events["dt"])
    events["bot_rule"] = F.lit(None).cast("string")
    # Spark's names have no case: `Quantity` beside `quantity` would be ambiguous for the rules.
    kept = [F.col(f"`{name}`") for name in raw.columns if name.lower() not in events]
    return raw.select(*kept, *[value.alias(name) for name, value in events.items()])


def _of_type(name: str, value: Column, type_name: str) -> Column:
    """Cast where the expression gave another type; text that is empty is absent."""
    if type_name == "STRING":
        text = F.trim(value.cast("string"))
        return F.when(text != "", text)
    return value.cast(type_name)


def _kind(raw_kind: Column, source: Source) -> Column:
    pairs = [F.lit(part) for raw, kind in source.kinds.items() for part in (raw, kind.value)]
    return F.try_element_at(F.create_map(*pairs), F.coalesce(raw_kind, F.lit("")))
