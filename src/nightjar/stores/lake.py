"""The lake: immutable Parquet files of a run, made visible by one atomic step.

Layout below the root::

    <shop>/<table>/<run>-<nonce>/_dt=2001-01-15/part-….parquet   a run's own files, never changed
    <shop>/<table>/<run>-<nonce>/2001-01-15.json                 the partition's entry: its files, also older runs'
    <shop>/_snapshots/00000012.json                              table -> day -> entry; the highest number is current

A night stages its files where nobody looks, has them checked, and commits: one new snapshot, created
under a name that must not exist yet. Readers see the snapshot before or the snapshot after, for every
table of the shop at once. Two writers cannot take the same number; the later one applies its change
on top. A killed job leaves files that no snapshot names.

The largest tables lie in buckets: a visitor's rows of a day are in one file, found without a search,
and a night that touches a bucket writes that file anew and keeps naming the others.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from datetime import date, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nightjar.contracts import BadInput, Column, Partition, Table
from nightjar.contracts.render import arrow_schema, spark_ddl
from nightjar.stores.files import create_exclusively, write_json
from nightjar.stores.touched import TOUCHED

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    import pyarrow.parquet as pq
    from pyspark.sql import DataFrame, SparkSession

#: Snapshots kept behind the current one: readers that opened an older one still find its files.
KEPT_SNAPSHOTS = 50

#: Rows of a table in memory at once, where it is read in one process.
READ_ROWS = 2**17


@dataclass(frozen=True)
class Part:
    """One file of a partition; `bucket` is None in tables without buckets."""

    file: str
    num_rows: int
    num_bytes: int
    content_hash: str
    bucket: int | None = None


@dataclass(frozen=True)
class Entry:
    """What one partition holds. Every entry of a bucketed table has the same `num_buckets`; 0: no buckets."""

    partition: str
    parts: tuple[Part, ...]
    run_id: str
    contract_version: int
    num_buckets: int = 0
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def files(self) -> tuple[str, ...]:
        return tuple(part.file for part in self.parts)

    @property
    def num_rows(self) -> int:
        return sum(part.num_rows for part in self.parts)

    @property
    def num_bytes(self) -> int:
        return sum(part.num_bytes for part in self.parts)

    @property
    def content_hash(self) -> str:
        """Hash of the rows, whatever their order, files or buckets."""
        return combined(part.content_hash for part in self.parts)

    def bucket_hashes(self) -> dict[int, str]:
        """Content of each bucket that has rows."""
        return {part.bucket: part.content_hash for part in self.parts if part.bucket is not None}


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


@dataclass(frozen=True)
class Stored:
    """One bucket of some days as they are now, readable wherever its task runs."""

    files: dict[tuple[str, date], str]

    def days(self, table: Table) -> list[date]:
        """Days on which the bucket has rows, oldest first."""
        return sorted(day for name, day in self.files if name == table.name)

    def read(self, table: Table, days: Iterable[date], columns: Iterable[str] | None = None) -> pa.Table:
        """Rows of the days that exist, with the contract's columns or some of them."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = list(table.names if columns is None else columns)
        schema = pa.schema([arrow_schema(table).field(name).with_nullable(True) for name in names])
        found = [self.files[table.name, day] for day in days if (table.name, day) in self.files]
        read = [pq.read_table(file, columns=names, partitioning=None).cast(schema) for file in found]
        return pa.concat_tables([schema.empty_table(), *read])


#: One bucket's work, run where its task runs: (bucket, the task's rows, what is stored) -> the rows
#: that (table name, day) holds from now on, all of the bucket's, and a report of plain values.
Work = Callable[[int, "pa.Table", Stored], "tuple[dict[tuple[str, date], pa.Table], dict[str, Any]]"]


#: Table name -> ISO day -> path of the partition's entry below the lake.
State = dict[str, dict[str, str]]


class Lake:
    """Tables of all shops below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    # -- reading

    def days(self, shop: str, table: str) -> list[date]:
        """The days a table has, oldest first."""
        return sorted(date.fromisoformat(day) for day in self._current(shop)[1].get(table, {}))

    def entries(self, shop: str, table: str) -> dict[date, Entry]:
        """What each day of a table holds, oldest first; all of one snapshot."""
        days = self._current(shop)[1].get(table, {})
        return {date.fromisoformat(day): self._read_entry(days[day]) for day in sorted(days)}

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
        return self._staged(table, shop, run_id, folder, {day: [] for day in expected} | found)

    def stage_arrow(self, rows: pa.Table, table: Table, shop: str, run_id: str, *, days: Iterable[date] = ()) -> Staged:
        """`stage` for a table that fits in memory, without Spark."""
        import pyarrow.compute as pc
        import pyarrow.parquet as pq

        folder = self._new_folder(shop, table, run_id)
        rows = rows.select(list(table.names)).cast(arrow_schema(table))
        found: dict[date, list[str]] = {day: [] for day in days}
        for day in sorted(set(rows.column("dt").to_pylist())):
            part = rows.filter(pc.equal(rows.column("dt"), day)).sort_by([(name, "ascending") for name in table.order])
            path = folder / f"_dt={day.isoformat()}" / "part-0.parquet"
            path.parent.mkdir(parents=True)
            pq.write_table(part, path)
            found[day] = [str(path)]
        return self._staged(table, shop, run_id, folder, found)

    def stage_buckets(
        self,
        rows: DataFrame,
        work: Work,
        tables: Iterable[Table],
        shop: str,
        run_id: str,
        *,
        num_buckets: int,
        stored: Mapping[Table, Iterable[date]],
        days: Mapping[Table, Iterable[date]],
        elsewhere: Mapping[Table, Path] | None = None,
    ) -> tuple[dict[str, Staged], list[dict[str, Any]]]:
        """Run `work` on each bucket, one Spark task each, and write what it gives; invisible until `commit`.

        A task that is killed, retried or run twice leaves files that nobody names: only those of
        the attempt whose result reached the driver count.

        Args:
            rows: one partition per bucket, partition n holding bucket n.
            tables: what `work` may give rows of.
            stored: days whose present rows `work` may ask for.
            days: partitions to write even where no bucket touches them.
            elsewhere: folders of tables that do not belong into the lake.

        Returns:
            What is staged per table name: of a touched day all buckets, the untouched ones as they
            are; and the reports in the order of the buckets.
        """
        tables, stored = list(tables), {table: list(wanted) for table, wanted in stored.items()}
        folders = {table.name: self._new_folder(shop, table, run_id) for table in tables}
        folders |= {table.name: folder for table, folder in (elsewhere or {}).items()}
        current = {table.name: self._entries_of(shop, table) for table in {*tables, *stored}}
        files: list[dict[tuple[str, date], str]] = [{} for _ in range(num_buckets)]
        for table, wanted in stored.items():
            for day in wanted:
                for part in current[table.name](day).parts:
                    files[_bucket(part, table)][table.name, day] = part.file
        task = _task(work, files, {table.name: (table, folders[table.name]) for table in tables})
        # A task takes its whole bucket; small batches would be glued together again.
        rows.sparkSession.conf.set("spark.sql.execution.arrow.maxRecordsPerBatch", "100000")
        results = [json.loads(row["result"]) for row in rows.mapInArrow(task, "result STRING").collect()]
        results.sort(key=lambda result: int(result["bucket"]))
        assert [result["bucket"] for result in results] == list(range(num_buckets)), "each bucket is one partition"
        staged = {}
        for table in tables:
            new: dict[date, dict[int, Part | None]] = {day: {} for day in days.get(table, ())}
            for result in results:
                for name, day, part in result["parts"]:
                    if name == table.name:
                        new.setdefault(date.fromisoformat(day), {})[result["bucket"]] = part and Part(**part)
            entries = {}
            for day, touched in sorted(new.items()):
                kept = [part for part in current[table.name](day).parts if _bucket(part, table) not in touched]
                parts = sorted([*kept, *filter(None, touched.values())], key=lambda part: _bucket(part, table))
                entries[day] = Entry(str(table.at(shop, day)), tuple(parts), run_id, table.version, num_buckets)
            folders[table.name].mkdir(parents=True, exist_ok=True)
            staged[table.name] = Staged(table, shop, folders[table.name], entries)
        return staged, [result["report"] for result in results]

    def repeated(self, table: Table, column: str, staged: Staged, days: Iterable[date]) -> pa.Table:
        """Rows whose value of `column` occurs more than once in the staged days and some stored ones.

        Returns:
            The contract's columns and `filename`; nearly always no row at all.
        """
        import duckdb

        current = self._entries_of(staged.shop, table)
        entries = [*staged.entries.values(), *(current(day) for day in days if day not in staged.entries)]
        files = [file for entry in entries for file in entry.files]
        with duckdb.connect(config={"memory_limit": "2GB"}) as connection:
            if files:
                # Names of columns are the contract's own. Hashes first: 8 bytes a row instead of the ids.
                again = f"SELECT hash({column}) FROM read_parquet($files) GROUP BY ALL HAVING count(*) > 1"  # noqa: S608
                hashes = [row[0] for row in connection.execute(again, {"files": files}).fetchall()]
                if hashes:
                    rows = f"FROM read_parquet($files, filename = true) WHERE list_contains($hashes, hash({column}))"
                    return connection.sql(rows, params={"files": files, "hashes": hashes}).to_arrow_table()
        return arrow_schema(table).append(_filename()).empty_table()

    def rewrite(self, staged: Staged, file: str, change: Callable[[pa.Table], pa.Table]) -> None:
        """Replace one file of the staged days, or of a stored day, which becomes staged."""
        table = staged.table
        current = self._entries_of(staged.shop, table)
        day = date.fromisoformat(Path(file).parent.name.removeprefix("_dt="))
        entry = staged.entries.get(day) or current(day)
        part = next(part for part in entry.parts if part.file == file)
        stored = Stored({(table.name, day): file})
        rows = change(stored.read(table, [day]))
        new = write_part(staged.folder, table, day, part.bucket, rows) if len(rows) else None
        parts = tuple(other if other is not part else new for other in entry.parts)
        staged.entries[day] = replace(entry, parts=tuple(part for part in parts if part is not None))

    def restaged(self, table: Table, shop: str, run_id: str) -> Staged:
        """Nothing yet, for `rewrite` and `merge` to put stored days into."""
        return Staged(table, shop, self._new_folder(shop, table, run_id), {})

    def merge(self, staged: Staged, day: date, files: Collection[str]) -> None:
        """Put some files of a stored day into one; the day's content stays what it was, which is checked."""
        import pyarrow.parquet as pq

        entry = self._entries_of(staged.shop, staged.table)(day)
        path = _part_path(staged.folder, day)
        writer: pq.ParquetWriter | None = None
        for file in (file for file in entry.files if file in files):
            for rows in pq.ParquetFile(file).iter_batches(batch_size=READ_ROWS):
                writer = writer or pq.ParquetWriter(path, rows.schema, compression="zstd")
                writer.write_batch(rows)
        if writer:
            writer.close()
        merged = [_part(staged.table, str(path))] if writer else []
        staged.entries[day] = replace(entry, parts=(*merged, *(p for p in entry.parts if p.file not in files)))
        assert staged.entries[day].content_hash == entry.content_hash, f"{entry.partition} differs after a merge"

    def num_buckets(self, shop: str, table: Table, wanted: int) -> int:
        """How many buckets the shop's table has; `wanted` while it has no rows at all."""
        days = self._current(shop)[1].get(table.name, {})
        return self._read_entry(days[max(days)]).num_buckets or wanted if days else wanted

    def state(self, shop: str) -> State:
        """What the shop's tables are now, to compare with later."""
        return self._current(shop)[1]

    def discard(self, shop: str, days: Mapping[str, Iterable[date]]) -> int:
        """Have partitions gone (table name -> days), all of them in one step; their files go with old snapshots."""
        return self._apply(shop, {name: dict.fromkeys(map(date.isoformat, some)) for name, some in days.items()}, None)

    def commit(
        self,
        staged: Iterable[Staged],
        *,
        facts: Mapping[tuple[str, date], dict[str, Any]] | None = None,
        since: State | None = None,
    ) -> int:
        """Make staged partitions visible, all of them in one step; returns the snapshot's number.

        Args:
            facts: (table name, day) -> numbers to keep with the partition, for later comparisons.
            since: leave out partitions that somebody else has written since then; by default the later one wins.
        """
        changes: dict[str, dict[str, str | None]] = {}
        shops = set()
        for part in staged:
            shops.add(part.shop)
            for day, entry in part.entries.items():
                path = part.folder / f"{day.isoformat()}.json"
                known = (facts or {}).get((part.table.name, day), {})
                # Relative names: a lake that is moved or mounted elsewhere stays readable.
                parts = tuple(replace(p, file=str(Path(p.file).relative_to(self.root))) for p in entry.parts)
                write_json(path, asdict(replace(entry, facts=known, parts=parts)))
                changes.setdefault(part.table.name, {})[day.isoformat()] = str(path.relative_to(self.root))
            TOUCHED.written[part.table.name] = TOUCHED.written.get(part.table.name, 0) + part.num_rows
        assert len(shops) == 1, "one commit concerns one shop"
        return self._apply(shops.pop(), changes, since)

    # -- snapshots

    def _apply(self, shop: str, changes: dict[str, dict[str, str | None]], since: State | None) -> int:
        while True:
            number, tables = self._current(shop)
            merged = {name: dict(days) for name, days in tables.items()}
            for name, days in changes.items():
                mine = merged.setdefault(name, {})
                for day, path in days.items():
                    if since is not None and mine.get(day) != since.get(name, {}).get(day):
                        continue
                    if path is None:
                        mine.pop(day, None)
                    else:
                        mine[day] = path
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
                self._forget(path, kept)
            snapshot.unlink(missing_ok=True)

    def vacuum(self, shop: str, *, keep_snapshots: int, before: datetime) -> dict[str, int]:
        """Delete what nobody can need any more; returns how many snapshots, files and bytes.

        That is snapshots which ceased to be the current one before an instant, but for the latest few, and all files
        from before it that no snapshot left names: of dropped snapshots, of killed jobs, of gates that stopped.

        Args:
            keep_snapshots: behind the current one.
            before: what is younger may be a running job's, or open in a reader.
        """
        done = {"snapshots": 0, "files": 0, "bytes": 0}
        folder, instant = self.root / shop, before.timestamp()
        snapshots = sorted((folder / "_snapshots").glob("[0-9]*.json"))
        # A snapshot was current until the next one came.
        ended = zip(snapshots[:-1], [path.stat().st_mtime for path in snapshots[1:]], strict=True)
        old = [path for path, end in list(ended)[: max(len(snapshots) - 1 - keep_snapshots, 0)] if end < instant]
        live = {entry for path in snapshots if path not in old for entry in self._entries(shop, int(path.stem))}
        needed = {str(self.root / entry) for entry in live} | {
            file for entry in live if (self.root / entry).exists() for file in self._parsed(entry).files
        }
        for path in old:  # first: once its files are gone, nobody may find it
            path.unlink(missing_ok=True)
            done["snapshots"] += 1
        # What a folder's deletion of files makes of its own time does not count.
        seen = [(path, path.lstat()) for path in sorted(folder.rglob("*"), reverse=True) if path.exists()]
        for path, was in seen:  # a folder behind what it holds
            if was.st_mtime >= instant or str(path) in needed or path in snapshots:
                continue
            with suppress(OSError):  # a folder that is not empty; a file that another commit has just deleted
                if path.is_dir():
                    path.rmdir()
                else:
                    path.unlink()
                    done["files"] += 1
                    done["bytes"] += was.st_size
        return done

    def _forget(self, path: str, kept: set[str]) -> None:
        """Delete an entry and those of its files that no kept entry of the same day names too."""
        entry = self.root / path
        if not entry.exists():
            return
        table, day = Path(path).parts[1], entry.stem
        same_day = [other for other in kept if Path(other).stem == day and Path(other).parts[1] == table]
        needed = {file for other in same_day for file in self._parsed(other).files}
        for file in set(self._parsed(path).files) - needed:
            Path(file).unlink(missing_ok=True)
            with suppress(OSError):  # its other files may still be needed
                Path(file).parent.rmdir()
        entry.unlink(missing_ok=True)

    def _read_entry(self, path: str) -> Entry:
        TOUCHED.read.add(Path(path).parts[1])
        return self._parsed(path)

    def _parsed(self, path: str) -> Entry:
        value = json.loads((self.root / path).read_text())
        parts = tuple(Part(**{**part, "file": str(self.root / part["file"])}) for part in value["parts"])
        return Entry(**{**value, "parts": parts})

    def _entries_of(self, shop: str, table: Table) -> Callable[[date], Entry]:
        """Look days up in one snapshot; a day that nobody has committed is empty."""
        days = self._current(shop)[1].get(table.name, {})

        def entry(day: date) -> Entry:
            path = days.get(day.isoformat())
            return self._read_entry(path) if path else Entry(str(table.at(shop, day)), (), "", table.version)

        return entry

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

    def _staged(self, table: Table, shop: str, run_id: str, folder: Path, found: dict[date, list[str]]) -> Staged:
        folder.mkdir(parents=True, exist_ok=True)
        entries = {}
        for day, files in sorted(found.items()):
            parts = tuple(_part(table, file) for file in files)
            entries[day] = Entry(str(table.at(shop, day)), parts, run_id, table.version)
        return Staged(table, shop, folder, entries)


def _filename() -> pa.Field:
    import pyarrow as pa

    return pa.field("filename", pa.string())


def combined(hashes: Iterable[str]) -> str:
    """Hash of the union of parts that share no row: both halves, a xor and a sum, are associative."""
    xor, total = 0, 0
    for one in hashes:
        xor, total = xor ^ int(one[:16], 16), (total + int(one[16:], 16)) % 2**64
    return f"{xor:016x}{total:016x}"


def _frame(spark: SparkSession, table: Table, files: list[str]) -> DataFrame:
    if not files:
        return spark.createDataFrame([], spark_ddl(table))
    return spark.read.schema(spark_ddl(table)).parquet(*files).select(*table.names)


def _part(table: Table, file: str, bucket: int | None = None) -> Part:
    """Describe a file from what it holds, not from what its writer believes it wrote."""
    import pyarrow.parquet as pq

    known = pq.read_metadata(file)
    content = _content_hash(table, file, _empty_columns(known))
    return Part(file, known.num_rows, Path(file).stat().st_size, content, bucket)


def _empty_columns(known: pq.FileMetaData) -> set[str]:
    """Flat columns without a value, by the file's own statistics; null hashes alike in all of their types."""
    nulls: dict[str, int] = {}
    for group in map(known.row_group, range(known.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            if column.statistics is not None and column.statistics.has_null_count:
                nulls[column.path_in_schema] = nulls.get(column.path_in_schema, 0) + column.statistics.null_count
    return {name for name, number in nulls.items() if number == known.num_rows}


def _content_hash(table: Table, file: str, empty: Collection[str] = ()) -> str:
    """Order-independent hash of a file's rows: keys are unique, so xor and sum together tell rows apart.

    Args:
        empty: columns known to hold nulls only; they count as such and are not read.
    """
    # The names are the contract's own; the file name is bound.
    row = f"hash({', '.join('NULL' if column.name in empty else _hashable(column) for column in table.columns)})"
    query = f"SELECT coalesce(bit_xor(h), 0), coalesce(sum(h::HUGEINT) % 18446744073709551616, 0) FROM (SELECT {row} AS h FROM read_parquet(?))"  # noqa: S608, E501
    xor, total = _one_thread().execute(query, [file]).fetchall()[0]
    return f"{int(xor):016x}{int(total):016x}"


@cache
def _one_thread() -> duckdb.DuckDBPyConnection:
    """A task's own engine, opened once per process: opening takes longer than hashing a small file."""
    import duckdb

    return duckdb.connect(config={"threads": 1})


def _hashable(column: Column) -> str:
    """Maps have no order, and DuckDB gives null the hash of the empty map."""
    if column.type.startswith("map<"):
        return f"list_sort(map_entries({column.name})), {column.name} IS NULL"
    return column.name


def _bucket(part: Part, table: Table) -> int:
    assert part.bucket is not None, f"{table.name} has a file without a bucket: {part.file}"
    return part.bucket


def _task(
    work: Work, files: list[dict[tuple[str, date], str]], targets: dict[str, tuple[Table, Path]]
) -> Callable[[Iterator[pa.RecordBatch]], Iterator[pa.RecordBatch]]:
    """What runs in Spark's Python workers: gather the bucket's rows, work, write, tell the driver."""

    def run(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        from pyspark import TaskContext

        context = TaskContext.get()
        assert context is not None
        bucket = context.partitionId()
        gathered = list(batches)
        found, report = work(
            bucket, pa.Table.from_batches(gathered) if gathered else pa.table({}), Stored(files[bucket])
        )
        del gathered
        parts = []
        for (name, day), rows in sorted(found.items(), key=lambda item: item[0]):
            table, folder = targets[name]
            part = write_part(folder, table, day, bucket, rows) if len(rows) else None
            parts.append((name, day.isoformat(), part and asdict(part)))
        result = json.dumps({"bucket": bucket, "parts": parts, "report": report})
        yield pa.RecordBatch.from_arrays([pa.array([result])], names=["result"])

    return run


def batches(files: Iterable[str], columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Some columns of Parquet files, in that order, `READ_ROWS` rows in memory at once."""
    import pyarrow.parquet as pq

    for file in files:
        for rows in pq.ParquetFile(file).iter_batches(batch_size=READ_ROWS, columns=list(columns)):
            yield rows.select(list(columns))


def read_columns(files: Iterable[str], table: Table, columns: Sequence[str]) -> pa.Table:
    """Some columns of a table's files in memory, with the contract's types; no file, no row."""
    import pyarrow as pa

    contract = arrow_schema(table)
    schema = pa.schema([contract.field(name) for name in columns])
    read = (pa.Table.from_batches([rows]).cast(schema) for rows in batches(files, columns))
    return pa.concat_tables([schema.empty_table(), *read])


def write_part(folder: Path, table: Table, day: date, bucket: int | None, rows: pa.Table) -> Part:
    """Write a day's rows, of one bucket where the table has any, under a name that no other attempt takes."""
    import pyarrow.parquet as pq

    path = _part_path(folder, day, bucket)
    schema = arrow_schema(table)
    # A dictionary of values that are all different would be built for nothing.
    repeating = [c.name for c in table.columns if c.type == "string" and c.name not in (*table.key, "order_id")]
    pq.write_table(
        rows.select(schema.names).cast(schema),
        path,
        compression="zstd",
        compression_level=1,
        use_dictionary=repeating,
        store_schema=False,  # readers take the contract's types, not this writer's
    )
    return _part(table, str(path), bucket)


def _part_path(folder: Path, day: date, bucket: int | None = None) -> Path:
    stem = "part" if bucket is None else f"{bucket:05d}"
    path = folder / f"_dt={day.isoformat()}" / f"{stem}-{uuid.uuid4().hex[:8]}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _days_below(folder: Path) -> list[date]:
    return [date.fromisoformat(path.name.removeprefix("_dt=")) for path in folder.glob("_dt=*")]


def _files(folder: Path) -> list[str]:
    return sorted(str(path) for path in folder.glob("*.parquet"))
