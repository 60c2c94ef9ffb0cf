"""Rows of a contract, such as `user_features` and `labels`: what is not named is nought, null or "web"."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pyarrow as pa

from nightjar.contracts import LABELS, USER_FEATURES
from nightjar.contracts.render import arrow_schema
from nightjar.contracts.table import Table

DAY = date(2001, 1, 15)

_NOUGHT: dict[str, Any] = {
    "string": "web",
    "int": 0,
    "long": 0,
    "double": 0.0,
    "boolean": False,
    "date": DAY,
    "timestamp": datetime(2001, 1, 15, tzinfo=UTC),
    "array<string>": [],
}


def rows_of(table: Table, num_rows: int, columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """Valid rows of a contract; columns that may be null are."""
    values: dict[str, Sequence[Any]] = {
        column.name: [None if column.nullable else _NOUGHT[column.type]] * num_rows
        for column in table.columns
        if column.name not in columns
    }
    values |= {"user_id": [f"{row:016x}" for row in range(num_rows)]} | dict(columns)
    return pa.table(values, schema=arrow_schema(table))


def features(num_rows: int, **columns: Sequence[Any]) -> pa.Table:
    return rows_of(USER_FEATURES, num_rows, columns)


def labels(num_rows: int, **columns: Sequence[Any]) -> pa.Table:
    return rows_of(LABELS, num_rows, columns)
