"""Local days of the shop as instants. Instants are int64 milliseconds since 1970-01-01 UTC."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from nightjar.simulate.noise import Floats, Ints

TIME_ZONE = ZoneInfo("Europe/Berlin")
HOUR_MS = 3_600_000
#: Visits by local hour: low at night, a lunch bump, an evening peak that spills over midnight.
_BY_HOUR = np.array([9, 5, 3, 2, 2, 3, 8, 16, 22, 26, 28, 30, 36, 34, 28, 27, 29, 34, 42, 52, 58, 56, 44, 34], float)
_CURVE = np.concatenate([[0.0], np.cumsum(_BY_HOUR) / _BY_HOUR.sum()])
#: Visits by weekday, Monday first; mean 1.
_BY_WEEKDAY = (0.98, 0.94, 0.94, 0.97, 0.99, 1.05, 1.13)


def midnight(day: date) -> int:
    """The instant at which the shop's day begins."""
    return int(datetime.combine(day, time(), TIME_ZONE).timestamp()) * 1000


def instants(day: date, fractions: Floats) -> Ints:
    """Instants at fractions of the day; a day of a clock change is 23 or 25 hours long."""
    begin, end = midnight(day), midnight(day + timedelta(days=1))
    return np.asarray((begin + fractions * (end - begin)).astype(np.int64))


def on_the_daily_curve(uniform: Floats) -> Floats:
    """Turn uniform draws into fractions of the day at which people visit."""
    return np.asarray(np.interp(uniform, _CURVE, np.linspace(0.0, 1.0, 25)))


def weekday_factor(day: date) -> float:
    return _BY_WEEKDAY[day.weekday()]


def local_texts(at: Ints) -> list[str]:
    """ISO-8601 with the zone's offset, such as `2001-01-15T20:00:00.000+01:00`."""
    hours, which = np.unique(at // HOUR_MS, return_inverse=True)
    offsets = np.array([_offset_minutes(int(hour)) for hour in hours], dtype=np.int64)[which]
    walls = _iso(at + offsets * 60_000)
    signs = {
        minutes: f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"
        for minutes in set(offsets.tolist())
    }
    return [wall + signs[minutes] for wall, minutes in zip(walls, offsets.tolist(), strict=True)]


def utc_texts(at: Ints) -> list[str]:
    """ISO-8601 in UTC, such as `2001-01-15T19:00:00.000Z`."""
    return [text + "Z" for text in _iso(at)]


def _iso(at: Ints) -> list[str]:
    texts: list[str] = np.datetime_as_string(at.astype("datetime64[ms]"), unit="ms").tolist()
    return texts


def _offset_minutes(hour: int) -> int:
    # Offsets of this zone change on full hours, so one look-up per hour is exact.
    offset = datetime.fromtimestamp(hour * 3600, TIME_ZONE).utcoffset()
    return int(offset.total_seconds()) // 60 if offset else 0
