"""Ledgers in the lake: small tables of decisions and verdicts, one partition a night."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nightjar.contracts import Partition, Table
from nightjar.contracts.render import arrow_schema
from nightjar.stores.lake import Lake


def read_rows(lake: Lake, table: Table, partition: Partition) -> list[dict[str, Any]]:
    """The night's rows; none when nothing was recorded."""
    import pyarrow.parquet as pq

    if not lake.has(partition):
        return []
    return [row for file in lake.files(partition) for row in pq.ParquetFile(file).read().to_pylist()]


def record(lake: Lake, table: Table, partition: Partition, rows: Sequence[Mapping[str, Any]], run_id: str) -> None:
    """Add rows; a row with the key of an earlier one takes its place, so that a re-run says things once."""
    import pyarrow as pa

    by_key = {tuple(row[name] for name in table.key): dict(row) for row in [*read_rows(lake, table, partition), *rows]}
    arrow = pa.Table.from_pylist(list(by_key.values()), schema=arrow_schema(table))
    lake.commit([lake.stage_arrow(arrow, table, partition.shop, run_id)])
