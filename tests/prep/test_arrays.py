"""Arrow columns as arrays against plain Python; days against the zone database, Python's and Spark's."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nightjar.prep.arrays import codes, dates, days_of, differs, flags, micros, one, ranks, stream_order

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

#: Texts whose order by bytes is neither that of letters nor that of UTF-16, and the empty one.
TEXTS = st.one_of(st.none(), st.sampled_from(["", "a", "B", "b", "é", "\uffee", "😀", "aa"]))


def split(values: list[Any], at: int, kind: pa.DataType) -> pa.ChunkedArray:
    """The column in two chunks."""
    return pa.chunked_array([values[:at], values[at:]], kind)


@settings(max_examples=100, deadline=None)
@given(st.lists(TEXTS, max_size=12), st.integers(0, 12))
def test_codes_and_ranks(values: list[str | None], at: int) -> None:
    column = split(values, at, pa.string())
    seen = list(dict.fromkeys(value for value in values if value is not None))
    assert codes(column).tolist() == [-1 if value is None else seen.index(value) for value in values]
    in_order = sorted(seen, key=str.encode)
    assert ranks(column).tolist() == [-1 if value is None else in_order.index(value) for value in values]
    assert one(column).to_pylist() == values


def test_instants_and_flags() -> None:
    at = datetime(2001, 1, 15, 19, 0, 0, 123456, UTC)
    kind = pa.timestamp("us", tz="UTC")
    found = micros(split([at, None, at - timedelta(days=20_000)], 1, kind)).tolist()
    assert found == [979_585_200_123_456, -(2**63), 979_585_200_123_456 - 20_000 * 86_400 * 10**6]
    assert flags(split([True, None, False], 2, pa.bool_())).tolist() == [True, False, False]
    assert (micros(pa.array([], kind)).tolist(), flags(pa.array([], pa.bool_())).tolist()) == ([], [])


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), TEXTS.filter(bool)), max_size=20))
def test_the_order_of_streams_is_total(rows: list[tuple[int, int, str]]) -> None:
    visitor, ts = (np.array([row[n] for row in rows], np.int64) for n in (0, 1))
    names = pa.array([row[2] for row in rows], pa.string())
    found = stream_order(visitor, ts, event_id=names)
    order = list(range(len(rows))) if found is None else found.tolist()
    assert sorted(order) == list(range(len(rows)))
    wanted = sorted(rows, key=lambda row: (row[0], row[1], row[2].encode()))
    assert [rows[n] for n in order] == wanted
    again = [np.array([row[n] for row in wanted], np.int64) for n in (0, 1)]
    rest = stream_order(*again, event_id=pa.array([row[2] for row in wanted], pa.string()))
    assert rest is None or [wanted[n] for n in rest] == wanted


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(*[st.sampled_from([None, 0.5, 1.0])] * 2, *[st.sampled_from([None, "", "a"])] * 2), max_size=8)
)
def test_differs_takes_null_as_a_value(rows: list[tuple[Any, ...]]) -> None:
    left = pa.table(
        {"x": pa.array([r[0] for r in rows], pa.float64()), "y": pa.array([r[2] for r in rows], pa.string())}
    )
    right = pa.table(
        {"x": pa.array([r[1] for r in rows], pa.float64()), "y": pa.array([r[3] for r in rows], pa.string())}
    )
    assert differs(left, right, ["x", "y"]).tolist() == [a != b or c != d for a, b, c, d in rows]
    assert differs(left, right, ["y"]).tolist() == [c != d for _, _, c, d in rows]


# -- days

#: Whole, half and quarter hours from UTC; clocks set at midnight (Havana, Beirut), by half an hour (Lord
#: Howe), by two (Troll), at 00:01 (St. John's until 2011); a day that was left out (Apia, 30 December 2011).
ZONES = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "America/Havana",
    "Asia/Beirut",
    "Antarctica/Troll",
    "America/St_Johns",
    "Pacific/Apia",
]


def expected_days(instants: list[datetime], zone: ZoneInfo) -> list[date]:
    return [instant.astimezone(zone).date() for instant in instants]


def found_days(instants: list[datetime], zone: str) -> list[date]:
    ts = micros(pa.array(instants, pa.timestamp("us", tz="UTC")))
    return dates(days_of(ts, zone)).to_pylist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ZONES)
def test_every_hour_of_a_year_has_the_zones_day(name: str) -> None:
    zone = ZoneInfo(name)
    for year in (2006, 2011):
        hours = [datetime(year, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(365 * 24)]
        around = [hour + shift for hour in hours for shift in (timedelta(), timedelta(microseconds=-1))]
        assert found_days(around, name) == expected_days(around, zone)


@pytest.mark.parametrize("name", ZONES)
def test_every_minute_around_a_clock_that_is_set_has_the_zones_day(name: str) -> None:
    zone = ZoneInfo(name)
    hours = [datetime(2006, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(6 * 365 * 24)]
    offsets = [hour.astimezone(zone).utcoffset() for hour in hours]
    set_at = [hour for hour, this, following in zip(hours, offsets, offsets[1:], strict=False) if this != following]
    assert bool(set_at) == (name not in ("UTC", "Asia/Kolkata", "Asia/Kathmandu"))
    minutes = [
        hour + timedelta(minutes=n, microseconds=shift) for hour in set_at for n in range(-70, 130) for shift in (-1, 0)
    ]
    assert found_days(minutes, name) == expected_days(minutes, zone)


def test_days_before_1970_and_of_nothing() -> None:
    assert found_days([datetime(1969, 12, 31, 23, 59, 59, 999_999, UTC)], "UTC") == [date(1969, 12, 31)]
    assert found_days([], "Europe/Berlin") == []


@pytest.mark.spark
def test_spark_and_python_agree_on_days(spark: SparkSession) -> None:
    """Spark cuts the days of events, `days_of` those of sessions: their zone databases are two."""
    from pyspark.sql import functions as F

    first = datetime(2024, 1, 1, tzinfo=UTC)
    hours = spark.range(0, 3 * 366 * 24, 1, 2).select(
        F.timestamp_seconds(F.lit(int(first.timestamp())) + F.col("id") * 3600).alias("at")
    )
    day = [F.to_date(F.from_utc_timestamp("at", zone)).alias(zone.replace("/", "_")) for zone in ZONES]
    found = hours.select("at", *day).toArrow()
    for zone in ZONES:
        mine = dates(days_of(micros(found["at"]), zone))
        assert one(found[zone.replace("/", "_")]).equals(mine), zone
