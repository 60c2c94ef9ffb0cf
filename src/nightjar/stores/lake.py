"""The lake: immutable Parquet files of a run, made visible by one atomic step.

Layout below the root::

    <shop>/<table>/<run>-<nonce>/_dt=2001-01-15/part-….parquet   a run's own files, never changed
    <shop>/<table>/<run>-<nonce>/2001-01-15.json                 what they hold: the partition's entry
    <shop>/_snapshots/00000012.json                              table -> day -> entry; the highest number is current

A night stages its files where nobody looks, has them checked, and commits: one new snapshot, created
under a name that must not exist yet. Readers see the snapshot before or the snapshot after, for every
table of the shop at once. Two writers cannot take the same number; the later one applies its change
on top. A killed job leaves files that no snapshot names.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightjar.contracts import BadInput, Partition, Table
from nightjar.contracts.render import arrow_schema, spark_ddl
from nightjar.stores.files import create_exclusively, write_json

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import Column, DataFrame, SparkSession

#: Snapshots kept behind the current one: readers that opened an older one still find its files.
KEPT_SNAPSHOTS = 50


@dataclass(frozen=True)
class Entry:
    """What one partition holds."""

    partition: str
    num_rows: int
    num_bytes: int
    files: tuple[str, ...]
    content_hash: str  # of the rows, whatever their order or files
    run_id: str
    contract_version: int
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Staged:
    """Files that are written but not visible."""

    table: Table
    shop: str
    folder: Path
    entries: dict[date, Entry]

    @property
    def num_rows(self) -> int:
        return sum(entry.num_rows for entry in self.entries.values())

    def frame(self, spark: SparkSession) -> DataFrame:
        """The staged rows, as readers will see them."""
        return _frame(spark, self.table, [file for entry in self.entries.values() for file in entry.files])


class Lake:
    """Tables of all shops below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    # -- reading

    def days(self, shop: str, table: str) -> list[date]:
        """The days a table has, oldest first."""
        return sorted(date.fromisoformat(day) for day in self._current(shop)[1].get(table, {}))

    def has(self, partition: Partition) -> bool:
        return partition.day.isoformat() in self._current(partition.shop)[1].get(partition.table, {})

    def entry(self, partition: Partition) -> Entry:
        """What the partition holds.

        Raises:
            BadInput: nobody has committed it.
        """
        days = self._current(partition.shop)[1].get(partition.table, {})
        if partition.day.isoformat() not in days:
            have = f"it has {min(days)} to {max(days)}" if days else "the table is empty"
            raise BadInput(
                f"no partition {partition}: {have}",
                f"make nightly SOURCE={partition.shop} DAY={partition.day.isoformat()}",
            )
        return self._read_entry(days[partition.day.isoformat()])

    def files(self, partition: Partition) -> list[str]:
        return list(self.entry(partition).files)

    def read(self, spark: SparkSession, table: Table, partitions: Iterable[Partition]) -> DataFrame:
        """Rows of the partitions that exist, with exactly the contract's columns.

        Days that were never committed count as empty: a window may begin before the shop did.
        Ask `entry` where absence is an error.
        """
        chosen = list(partitions)
        # Each shop's snapshot is looked up once: a commit meanwhile must not mix old days with new ones.
        snapshots = {shop: self._current(shop)[1] for shop in {p.shop for p in chosen}}
        entries = [snapshots[p.shop].get(p.table, {}).get(p.day.isoformat()) for p in chosen]
        return _frame(spark, table, [file for path in entries if path for file in self._read_entry(path).files])

    # -- writing

    def stage(self, frame: DataFrame, table: Table, shop: str, run_id: str, *, days: Iterable[date] = ()) -> Staged:
        """Write the frame's rows, one partition per value of `dt`, invisible until `commit`.

        Args:
            days: partitions to replace even where the frame has no row for them.
        """
        from pyspark.sql import functions as F

        expected = set(days)
        folder = self._new_folder(shop, table, run_id)
        # dt stays a column of the files (it costs nothing, dictionary-encoded), so the folder's twin
        # carries another name and any list of files can be read at once.
        rows = frame.select(*table.names).withColumn("_dt", F.col("dt"))
        # Every task writes a file per day it holds: months of history at once would be thousands of
        # small ones. Rebalancing gives each day to one task, or to several where it is large.
        spread = rows.hint("rebalance", "_dt") if len(expected) > 1 else rows
        spread.write.partitionBy("_dt").parquet(str(folder))
        found = {day: _files(folder / f"_dt={day.isoformat()}") for day in _days_below(folder)}
        hashes = _content_hashes(
            _frame(frame.sparkSession, table, [f for files in found.values() for f in files]), table
        )
        return self._staged(table, shop, run_id, folder, {day: [] for day in expected} | found, hashes)

    def stage_arrow(self, rows: pa.Table, table: Table, shop: str, run_id: str, *, days: Iterable[date] = ()) -> Staged:
        """`stage` for a table that fits in memory, without Spark."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        folder = self._new_folder(shop, table, run_id)
        rows = rows.select(list(table.names)).cast(arrow_schema(table))
        found: dict[date, list[str]] = {day: [] for day in days}
        hashes: dict[date, str] = {}
        for day in sorted(set(rows.column("dt").to_pylist())):
            part = rows.filter(pc.equal(rows.column("dt"), day)).sort_by([(name, "ascending") for name in table.order])
            path = folder / f"_dt={day.isoformat()}" / "part-0.parquet"
            path.parent.mkdir(parents=True)
            pq.write_table(part, path)
            found[day] = [str(path)]
            hashes[day] = _arrow_hash(part)
        return self._staged(table, shop, run_id, folder, found, hashes)

    def commit(
        self, staged: Iterable[Staged], *, facts: Mapping[tuple[str, date], dict[str, Any]] | None = None
    ) -> int:
        """Make staged partitions visible, all of them in one step; returns the snapshot's number.

        Args:
            facts: (table name, day) -> numbers to keep with the partition, for later comparisons.
        """
        changes: dict[str, dict[str, str]] = {}
        shops = set()
        for part in staged:
            shops.add(part.shop)
            for day, entry in part.entries.items():
                path = part.folder / f"{day.isoformat()}.json"
                known = (facts or {}).get((part.table.name, day), {})
                # Relative names: a lake that is moved or mounted elsewhere stays readable.
                files = tuple(str(Path(file).relative_to(self.root)) for file in entry.files)
                write_json(path, asdict(replace(entry, facts=known, files=files)))
                changes.setdefault(part.table.name, {})[day.isoformat()] = str(path.relative_to(self.root))
        assert len(shops) == 1, "one commit concerns one shop"
        return self._apply(shops.pop(), changes)

    # -- snapshots

    def _apply(self, shop: str, changes: dict[str, dict[str, str]]) -> int:
        while True:
            number, tables = self._current(shop)
            merged = {name: dict(days) for name, days in tables.items()}
            for name, days in changes.items():
                merged.setdefault(name, {}).update(days)
            content = json.dumps(merged, indent=1, sort_keys=True).encode()
            if create_exclusively(self._snapshot(shop, number + 1), content):
                self._forget_old(shop, number + 1, merged)
                return number + 1

    def _current(self, shop: str) -> tuple[int, dict[str, dict[str, str]]]:
        numbers = [int(path.stem) for path in (self.root / shop / "_snapshots").glob("[0-9]*.json")]
        if not numbers:
            return 0, {}
        return max(numbers), json.loads(self._snapshot(shop, max(numbers)).read_text())

    def _snapshot(self, shop: str, number: int) -> Path:
        return self.root / shop / "_snapshots" / f"{number:08d}.json"

    def _forget_old(self, shop: str, current: int, tables: dict[str, dict[str, str]]) -> None:
        """Drop snapshots beyond the kept ones, and the files that only they named."""
        old = sorted(
            p for p in (self.root / shop / "_snapshots").glob("[0-9]*.json") if int(p.stem) <= current - KEPT_SNAPSHOTS
        )
        if not old:
            return
        kept = {path for number in range(current - KEPT_SNAPSHOTS + 1, current) for path in self._entries(shop, number)}
        kept |= {path for days in tables.values() for path in days.values()}
        for snapshot in old:
            for path in self._entries(shop, int(snapshot.stem)) - kept:
                entry = self.root / path
                shutil.rmtree(entry.parent / f"_dt={entry.stem}", ignore_errors=True)
                entry.unlink(missing_ok=True)
            snapshot.unlink(missing_ok=True)

    def _read_entry(self, path: str) -> Entry:
        value = json.loads((self.root / path).read_text())
        return Entry(**{**value, "files": tuple(str(self.root / file) for file in value["files"])})

    def _entries(self, shop: str, number: int) -> set[str]:
        path = self._snapshot(shop, number)
        if not path.exists():
            return set()
        return {entry for days in json.loads(path.read_text()).values() for entry in days.values()}

    # -- staging

    def _new_folder(self, shop: str, table: Table, run_id: str) -> Path:
        name = "".join(letter if letter.isalnum() else "-" for letter in run_id)
        folder = self.root / shop / table.name / f"{name}-{uuid.uuid4().hex[:8]}"
        folder.parent.mkdir(parents=True, exist_ok=True)
        return folder

    def _staged(
        self, table: Table, shop: str, run_id: str, folder: Path, found: dict[date, list[str]], hashes: dict[date, str]
    ) -> Staged:
        import pyarrow.parquet as pq

        folder.mkdir(parents=True, exist_ok=True)
        entries = {}
        for day, files in sorted(found.items()):
            # Counted from the files' own footers, not from what the writer believes it wrote.
            num_rows = sum(pq.read_metadata(file).num_rows for file in files)
            num_bytes = sum(Path(file).stat().st_size for file in files)
            entries[day] = Entry(
                str(table.at(shop, day)), num_rows, num_bytes, tuple(files), hashes.get(day, "0"), run_id, table.version
            )
        return Staged(table, shop, folder, entries)


def _frame(spark: SparkSession, table: Table, files: list[str]) -> DataFrame:
    if not files:
        return spark.createDataFrame([], spark_ddl(table))
    return spark.read.schema(spark_ddl(table)).parquet(*files).select(*table.names)


def _content_hashes(frame: DataFrame, table: Table) -> dict[date, str]:
    """Order-independent hash of each day's rows: keys are unique, so xor and sum together tell rows apart."""
    from pyspark.sql import functions as F

    # xxhash64 skips nulls: without their places ('a', null) would equal (null, 'a').
    nulls = F.array(*[F.isnull(name) for name in table.names])
    row = F.xxhash64(*[_hashable(table, name) for name in table.names], nulls)
    hashed = frame.select("dt", row.alias("h")).groupBy("dt")
    rows = hashed.agg(F.bit_xor("h").alias("x"), F.sum(F.col("h").cast("decimal(38,0)")).alias("s")).collect()
    return {r["dt"]: f"{r['x'] & (2**64 - 1):016x}{int(r['s']) & (2**64 - 1):016x}" for r in rows}


def _hashable(table: Table, name: str) -> Column:
    from pyspark.sql import functions as F

    # Maps have no order, and Spark refuses to hash them.
    return F.sort_array(F.map_entries(name)) if table.column(name).type.startswith("map") else F.col(name)


def _arrow_hash(rows: pa.Table) -> str:
    import hashlib

    digest = hashlib.sha256()
    for row in rows.to_pylist():  # already in the table's total order
        digest.update(json.dumps(row, sort_keys=True, default=str).encode())
    return digest.hexdigest()[:32]


def _days_below(folder: Path) -> list[date]:
    return [date.fromisoformat(path.name.removeprefix("_dt=")) for path in folder.glob("_dt=*")]


def _files(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.glob("*.parquet"))
