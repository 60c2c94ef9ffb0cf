"""Ledgers in the lake: small tables of decisions and verdicts, one partition a night."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nightjar.contracts import DATA_QUALITY, PROMOTIONS, Partition, Table
from nightjar.contracts.render import arrow_schema
from nightjar.stores.lake import Lake
from nightjar.stores.touched import TOUCHED

if TYPE_CHECKING:
    import pyarrow as pa


def read_rows(lake: Lake, table: Table, partition: Partition) -> list[dict[str, Any]]:
    """The night's rows; none when nothing was recorded."""
    import pyarrow.parquet as pq

    if not lake.has(partition):
        return []
    return [row for file in lake.files(partition) for row in pq.ParquetFile(file).read().to_pylist()]


def promoted_versions(lake: Lake, shop: str, model_name: str) -> set[str]:
    """Every version of a registered model that was champion once."""
    nights = [read_rows(lake, PROMOTIONS, PROMOTIONS.at(shop, day)) for day in lake.days(shop, PROMOTIONS.name)]
    rows = [row for night in nights for row in night if row["model_name"] == model_name]
    won = {row["candidate_version"] for row in rows if row["decision"] == "promoted"}
    return {version for version in won | {row["champion_version"] for row in rows} if version}


def replace_part(lake: Lake, partition: Partition, table: Table, rows: pa.Table, column: str, run_id: str) -> None:
    """Replace the rows that share a value of `column` with `rows`; the night's others stay.

    Args:
        rows: in the table's schema, not empty, with one value of `column`.
    """
    import pyarrow as pa

    values = set(rows[column].to_pylist())
    kept = [row for row in read_rows(lake, table, partition) if row[column] not in values]
    both = pa.concat_tables([pa.Table.from_pylist(kept, schema=rows.schema), rows])
    ordered = both.sort_by([(name, "ascending") for name in table.order])
    lake.commit([lake.stage_arrow(ordered, table, partition.shop, run_id, days=[partition.day])])


def record(lake: Lake, table: Table, partition: Partition, rows: Sequence[Mapping[str, Any]], run_id: str) -> None:
    """Add rows; a row with the key of an earlier one takes its place, so that a re-run says things once."""
    import pyarrow as pa

    if table is DATA_QUALITY:
        TOUCHED.checks += rows
    by_key = {tuple(row[name] for name in table.key): dict(row) for row in [*read_rows(lake, table, partition), *rows]}
    arrow = pa.Table.from_pylist(list(by_key.values()), schema=arrow_schema(table))
    lake.commit([lake.stage_arrow(arrow, table, partition.shop, run_id)])
