"""Publishing a night beside a plain COPY of the same files: rows per second, for DuckDB and a PostgreSQL of its own.

The plain COPY is each engine's fastest way from these Parquet files into a table with the contract's columns and
nothing else: no key, no index, no mapping, no audit. For DuckDB that is COPY FROM, for PostgreSQL a binary COPY fed
through ADBC. Publishing does all that the nightly job does after reading its arguments; the warehouse holds the
night before, and with it the people. Each contender runs in a process of its own, with DuckDB's memory limited
alike, in turns. Standard output is JSON lines; they are also kept under `bench/results` of NIGHTJAR_HOME.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from jobs.bench.prep import Line, bench_folder, environment
from jobs.bench.watch import watched
from jobs.ops import postgres

from nightjar.contracts import ITEMS, RECOMMENDATIONS, SEQUENCES, USERS, BadInput, Partition, Table
from nightjar.contracts.render import arrow_schema, warehouse_ddl
from nightjar.settings import load_conf
from nightjar.stores.files import write_json
from nightjar.stores.warehouse import DuckDbFile, Night, Postgres, Warehouse, publish
from nightjar.stores.warehouse.connection import duckdb_connection

SHOP = "bench"
NIGHTS = (date(2001, 1, 14), date(2001, 1, 15))
TARGETS = ("duckdb", "postgres")
_SEED = 20010115
_NUM_ITEMS = 100_000
_HISTORY = 10  # items of each person's sequence
_USERS_PER_FILE = 250_000
_CHUNK_USERS = 25_000
_BATCH_ROWS = 50_000


@dataclass(frozen=True)
class Shape:
    """What decides every row of the nights."""

    users: int
    k: int

    @property
    def rows(self) -> int:
        return self.users * self.k

    @property
    def folder(self) -> Path:
        return bench_folder() / f"nights-{self.users}-users-{self.k}"


# -- the nights' files


def write_nights(shape: Shape) -> None:
    """The night to publish and the night before it, where people got one item each; once, whole or not at all."""
    if shape.folder.exists():
        return
    unfinished = shape.folder.with_name(f"{shape.folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    draw = np.random.default_rng(_SEED)
    item_ids = np.array([f"item-{number:06d}" for number in range(_NUM_ITEMS)])
    people = np.array([draw.bytes(16).hex() for _ in range(shape.users)])
    for day, k in zip(NIGHTS, (1, shape.k), strict=True):
        folder = unfinished / day.isoformat()
        folder.mkdir(parents=True)
        _write_lists(folder, day, people, item_ids, k, draw)
        _write(folder / "items.parquet", ITEMS, _items(item_ids, day))
        with pq.ParquetWriter(folder / "sequences.parquet", arrow_schema(SEQUENCES)) as writer:
            for start in range(0, len(people), _CHUNK_USERS):
                some = people[start : start + _CHUNK_USERS]
                writer.write_table(_table(SEQUENCES, _sequences(some, item_ids, day, draw)))
    mapping = {
        "shop": [SHOP] * shape.users,
        "pseudonym": people,
        "shop_id": [f"customer-{number:08d}" for number in draw.permutation(shape.users)],
        "id_kind": ["user"] * shape.users,
    }
    _write(unfinished / "users.parquet", USERS, mapping)
    unfinished.rename(shape.folder)


def _write_lists(folder: Path, day: date, people: Any, item_ids: Any, k: int, draw: np.random.Generator) -> None:
    """As score leaves them: a person's rows one after the other, best first."""
    schema = arrow_schema(RECOMMENDATIONS)
    for number, first in enumerate(range(0, len(people), _USERS_PER_FILE)):
        with pq.ParquetWriter(folder / f"recommendations-{number}.parquet", schema) as writer:
            for start in range(first, min(first + _USERS_PER_FILE, len(people)), _CHUNK_USERS):
                users = people[start : min(start + _CHUNK_USERS, first + _USERS_PER_FILE)]
                writer.write_table(pa.table(_lists(users, item_ids, day, k, draw), schema=schema))


def _lists(users: Any, item_ids: Any, day: date, k: int, draw: np.random.Generator) -> dict[str, Any]:
    num_rows, ranks = len(users) * k, np.tile(np.arange(1, k + 1, dtype=np.int32), len(users))
    first = (draw.random((len(users), 1)) ** 2 * _NUM_ITEMS).astype(np.int64)
    steps = np.cumsum(draw.integers(1, _NUM_ITEMS // (2 * k), (len(users), k)), axis=1)
    owners = np.repeat(users, k)
    reasons = np.array(["because_viewed", "because_carted", "because_bought"])
    return {
        "row_key": [f"{SHOP}|{day}|home|{user}|{rank}" for user, rank in zip(owners, ranks, strict=True)],
        "shop": pa.repeat(SHOP, num_rows),
        "dt": pa.repeat(pa.scalar(day, pa.date32()), num_rows),
        "surface": pa.repeat("home", num_rows),
        "user_id": owners,
        "rank": ranks,
        "item_id": item_ids[((first + steps) % _NUM_ITEMS).ravel()],
        "score": np.round(-np.sort(-draw.normal(size=(len(users), k)), axis=1).ravel(), 6),
        "strategy": pa.repeat("model", num_rows),
        "reason_code": reasons[draw.integers(0, len(reasons), num_rows)],
        "evidence_item_id": np.repeat(item_ids[draw.integers(0, _NUM_ITEMS, len(users))], k),
        "evidence_2_item_id": np.repeat(item_ids[draw.integers(0, _NUM_ITEMS, len(users))], k),
        "evidence_3_item_id": pa.nulls(num_rows, pa.string()),
        "rule": pa.nulls(num_rows, pa.string()),
        "model_name": pa.repeat("nightjar_bench", num_rows),
        "model_version": pa.repeat("7", num_rows),
    }


def _items(item_ids: Any, day: date) -> dict[str, Any]:
    seen = datetime(2001, 1, 14, tzinfo=UTC)
    same = {"category": "tea", "brand": "brand", "price": 2.5, "price_bucket": 5, "first_seen": seen, "last_seen": seen}
    counts = {"num_events": 10, "num_recent": 4, "num_purchases": 1}
    columns = {name: [value] * len(item_ids) for name, value in {**same, **counts}.items()}
    columns["recent_by_platform"] = [[4, 0, 0, 0, 0, 0]] * len(item_ids)
    return {**columns, "item_id": item_ids, "dt": [day] * len(item_ids), "title": [f"Title of {i}" for i in item_ids]}


def _sequences(people: Any, item_ids: Any, day: date, draw: np.random.Generator) -> dict[str, Any]:
    offsets = pa.array(np.arange(len(people) + 1, dtype=np.int32) * _HISTORY)
    codes = pa.array(np.ones(len(people) * _HISTORY, dtype=np.int64))

    def history(column: str) -> pa.Array:
        values = codes if column != "item_ids" else pa.array(item_ids[draw.integers(0, _NUM_ITEMS, len(codes))])
        return pa.ListArray.from_arrays(offsets, values.cast(arrow_schema(SEQUENCES).field(column).type.value_type))

    arrays = {c.name: history(c.name) for c in SEQUENCES.columns if c.type.startswith("array")}
    plain = {"user_id": people, "dt": [day] * len(people), "num_events": [_HISTORY] * len(people)}
    plain["last_platform"] = ["web"] * len(people)
    return {**arrays, **plain}


def _table(table: Table, columns: dict[str, Any]) -> pa.Table:
    schema = arrow_schema(table)
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _write(path: Path, table: Table, columns: dict[str, Any]) -> None:
    pq.write_table(_table(table, columns), path)


def night(shape: Shape, day: date, new_users: Path) -> Night:
    """The night as the job hands it over."""
    folder = shape.folder / day.isoformat()
    files = {
        name: [str(path) for path in sorted(folder.glob(f"{name}*.parquet"))]
        for name in ("recommendations", "items", "sequences")
    }
    partition = Partition(SHOP, "recommendations", day)
    return Night(
        partition=partition,
        run_id="bench",
        num_rows=sum(pq.read_metadata(file).num_rows for file in files["recommendations"]),
        recommendations=files["recommendations"],
        items=files["items"],
        eligible=files["sequences"],
        promotions=[],
        data_quality=[],
        inputs={f"{SHOP}/{name}/dt={day}": f"{shape.folder.name}-{name}" for name in files},
        new_users=new_users,
    )


# -- the contenders, each in a process of its own


def copy_duckdb(shape: Shape, scratch: Path) -> Line:
    """COPY FROM into an empty file, complete on disk."""
    path = scratch / "plain.duckdb"
    path.unlink(missing_ok=True)

    def load() -> None:
        with duckdb_connection(str(path)) as connection:
            connection.execute(warehouse_ddl(RECOMMENDATIONS, "duckdb"))
            connection.execute(
                f"COPY recommendations FROM '{shape.folder / NIGHTS[1].isoformat()}/recommendations-*.parquet'"
            )
            connection.execute("CHECKPOINT")
        with path.open("rb") as file:
            os.fsync(file.fileno())

    return _timed(load) | {"file_gib": round(path.stat().st_size / 2**30, 3)}


def copy_postgres(shape: Shape, scratch: Path) -> Line:
    """Binary COPY of the Parquet batches, committed."""
    from adbc_driver_postgresql import dbapi

    files = night(shape, NIGHTS[1], scratch).recommendations
    table = RECOMMENDATIONS.name
    with dbapi.connect(Postgres.from_environment().uri) as connection, connection.cursor() as cursor:
        cursor.execute("DROP SCHEMA IF EXISTS plain CASCADE")
        cursor.execute("CREATE SCHEMA plain")
        cursor.execute("SET search_path = plain")
        for statement in warehouse_ddl(RECOMMENDATIONS, "postgres").split(";\n"):
            cursor.execute(statement) if statement.strip() else None
        connection.commit()

        def load() -> None:
            batches = (batch for file in files for batch in pq.ParquetFile(file).iter_batches(_BATCH_ROWS))
            reader = pa.RecordBatchReader.from_batches(pq.read_schema(files[0]), batches)
            cursor.adbc_ingest(table, reader, mode="append", db_schema_name="plain")
            connection.commit()

        said = _timed(load)
        cursor.execute("DROP SCHEMA plain CASCADE")
        connection.commit()
    return said


def publish_duckdb(shape: Shape, scratch: Path) -> Line:
    warehouse = DuckDbFile(scratch / "warehouse.duckdb")
    said = _published(shape, warehouse, scratch)
    return said | {"file_gib": round(warehouse.path.stat().st_size / 2**30, 3)}


def publish_postgres(shape: Shape, scratch: Path) -> Line:
    return _published(shape, Postgres.from_environment(), scratch)


def _published(shape: Shape, warehouse: Warehouse, scratch: Path) -> Line:
    """Tonight into a warehouse that holds the night before."""
    points: list[tuple[str, float]] = []
    conf = load_conf(sets=[f"score.k={shape.k}", "gate.min_overlap_yesterday=0.0"])
    tonight = night(shape, NIGHTS[1], scratch / "waiting")

    def load() -> None:
        points.append(("begin", time.perf_counter()))
        publish(
            warehouse,
            tonight,
            conf,
            now=lambda: datetime.now(UTC),
            passing=lambda name: points.append((name, time.perf_counter())),
        )

    said = _timed(load)
    parts = {name: round(at - before, 2) for (_, before), (name, at) in pairwise(points)}
    return said | {"parts": parts}


def the_night_before(target: str, shape: Shape, scratch: Path) -> Line:
    """Have a warehouse with the people and a small night; not part of any number."""
    conf = load_conf(sets=["score.k=1"])
    waiting = scratch / "waiting"
    waiting.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(shape.folder / "users.parquet", waiting / "users.parquet")
    if target == "duckdb":
        (scratch / "warehouse.duckdb").unlink(missing_ok=True)
    warehouse = DuckDbFile(scratch / "warehouse.duckdb") if target == "duckdb" else Postgres.from_environment()
    publish(warehouse, night(shape, NIGHTS[0], waiting), conf, now=lambda: datetime.now(UTC))
    return {}


def _timed(load: Callable[[], None]) -> Line:
    def cpu() -> float:
        usage = resource.getrusage(resource.RUSAGE_SELF)
        return usage.ru_utime + usage.ru_stime

    seconds, cpu_seconds = time.perf_counter(), cpu()
    load()
    return {"seconds": round(time.perf_counter() - seconds, 3), "cpu_seconds": round(cpu() - cpu_seconds, 3)}


PARTS: dict[str, Callable[[Shape, Path], Line]] = {
    "copy_duckdb": copy_duckdb,
    "publish_duckdb": publish_duckdb,
    "copy_postgres": copy_postgres,
    "publish_postgres": publish_postgres,
    **{f"before_{target}": partial(the_night_before, target) for target in TARGETS},
}


# -- the run


def run(shape: Shape, targets: tuple[str, ...], runs: int) -> Iterator[Line]:
    """Every line of the run, the comparison last."""
    write_nights(shape)
    scratch, lines = bench_folder() / "publish", []
    try:
        for number in range(1, runs + 1):
            for target in targets:
                for line in _turn(shape, target, scratch):
                    lines.append(line | {"run": number})
                    yield lines[-1]
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    yield comparison(shape, lines, runs)


def _turn(shape: Shape, target: str, scratch: Path) -> Iterator[Line]:
    """One COPY and one publication; PostgreSQL begins empty each time."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    if target == "duckdb":
        yield _line(shape, "copy_duckdb", scratch, {}, None)
        _line(shape, "before_duckdb", scratch, {}, None)
        yield _line(shape, "publish_duckdb", scratch, {}, None)
        return
    with postgres.running() as server:
        environ, process = {"NIGHTJAR_WAREHOUSE_URI": server.uri}, psutil.Process(server.pid)
        yield _line(shape, "copy_postgres", scratch, environ, process)
        _line(shape, "before_postgres", scratch, environ, process)
        yield _line(shape, "publish_postgres", scratch, environ, process)


def _line(shape: Shape, part: str, scratch: Path, environ: dict[str, str], server: psutil.Process | None) -> Line:
    command = [sys.executable, "-m", "jobs.bench.publish", "--users", str(shape.users), "--k", str(shape.k)]
    before = _server_cpu(server)
    done = watched([*command, "--part", part, "--scratch", str(scratch)], bench_folder() / "said" / part, environ)
    said = done.said | {"step": part, "peak_gib": round(done.peak_gib, 3)}
    if "seconds" in said:
        said["rows_per_second"] = round(shape.rows / said["seconds"])
        said["server_cpu_seconds"] = round(_server_cpu(server) - before, 2)
    return said


def _server_cpu(server: psutil.Process | None) -> float:
    """CPU seconds of the server and of the sessions that it has ended."""
    if server is None:
        return 0.0
    total = 0.0
    for process in (server, *server.children(recursive=True)):
        times = process.cpu_times()
        total += times.user + times.system + (times.children_user + times.children_system)
    return total


def comparison(shape: Shape, lines: list[Line], runs: int) -> Line:
    """Rows per second over those of the plain COPY, medians; null where a target was left out."""

    def middle(step: str, key: str) -> float | None:
        known = [line[key] for line in lines if line["step"] == step]
        return median(known) if known else None

    def share(target: str, key: str) -> float | None:
        plain, ours = middle(f"copy_{target}", key), middle(f"publish_{target}", key)
        return round(plain / ours, 3) if plain and ours else None

    for line in lines:
        line["all_cpu_seconds"] = line["cpu_seconds"] + line["server_cpu_seconds"]
    return {
        **{f"vs_copy_{target}": share(target, "seconds") for target in TARGETS},
        **{f"vs_copy_{target}_cpu": share(target, "all_cpu_seconds") for target in TARGETS},
        "peak_gib": max(line["peak_gib"] for line in lines if line["step"].startswith("publish")),
        **{f"rows_per_second_{target}": middle(f"publish_{target}", "rows_per_second") for target in TARGETS},
        "users": shape.users,
        "rows": shape.rows,
        "runs": runs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=1_000_000, help="people (default: 1,000,000)")
    parser.add_argument("--k", type=int, default=20, help="rows per person (default: 20)")
    parser.add_argument("--runs", type=int, default=1, help="how often each contender runs (default: 1)")
    parser.add_argument("--targets", default=" ".join(TARGETS), help="default: duckdb postgres")
    parser.add_argument("--part", choices=sorted(PARTS), help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: server and files go too
    shape = Shape(args.users, args.k)
    if args.part:
        print(json.dumps(PARTS[args.part](shape, args.scratch)))
        return
    targets = tuple(args.targets.split())
    facts, lines = environment(len(os.sched_getaffinity(0)), ()), []
    try:
        if unknown := set(targets) - set(TARGETS):
            raise BadInput(f"no such target {', '.join(sorted(unknown))}", "make bench-publish TARGETS=duckdb")
        for line in run(shape, targets, args.runs):
            print(json.dumps(line), flush=True)
            lines.append(line)
    except BadInput as error:
        sys.exit(f"bench-publish: {error}")
    write_json(
        bench_folder() / "results" / f"publish-{shape.users}.json",
        {"lines": lines[:-1], "comparison": lines[-1], **facts},
    )


if __name__ == "__main__":
    main()
