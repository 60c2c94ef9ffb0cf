"""Scoring a night, from sequences to written rows, beside the least that it could take: one product and one selection.

Ours is what the nightly job does between reading `sequences` and the gate: Spark hands histories to one Python
worker per core, which encodes, ranks, explains and gives rows, and they are written as the lake writes them. The
floor is float32 states times the item table and `torch.topk` over all of it, in as many threads, and neither
reads, encodes, excludes, explains nor writes. What explaining adds is told beside it. Weights are fresh ones, spread
as training spreads them: they decide what is recommended and not what it costs. Each contender runs in a process of
its own. Standard output is JSON lines; they are also kept under `bench/results` of NIGHTJAR_HOME.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jobs.bench.prep import Line, bench_folder, environment
from jobs.bench.watch import watched

from nightjar.contracts import ITEMS, SEQUENCES, BadInput, Table
from nightjar.contracts.render import arrow_schema, spark_ddl
from nightjar.settings import Conf, load_conf, repository
from nightjar.stores.files import write_json

SHOP, DAY = "bench", date(2001, 1, 15)
_END = datetime(2001, 1, 16, tzinfo=UTC)
_SEED = 20010115
_MEAN_LENGTH = 15  # entries of a history; at most as many as the model reads
_USERS_PER_FILE, _CHUNK_USERS = 250_000, 25_000
_FLOOR_SECONDS = 10.0
_EXPLAINED_PEOPLE = 10_000


@dataclass(frozen=True)
class Shape:
    """What decides every row that is scored."""

    users: int
    items: int
    k: int
    heap_gib: int  # of Spark's JVM, which takes what it may before it collects

    @property
    def folder(self) -> Path:
        return bench_folder() / f"histories-{self.users}-users-{self.items}-items"

    @property
    def options(self) -> list[str]:
        return [f"--users={self.users}", f"--items={self.items}", f"--k={self.k}", f"--heap-gib={self.heap_gib}"]


def settings_for(shape: Shape, cores: int) -> Conf:
    """As a night has them, on as many cores."""
    sets = [f"score.k={shape.k}", f"spark.master='local[{cores}]'", "spark.java_options='-XX:+UseParallelGC'"]
    sets += [f"spark.shuffle_partitions={2 * cores}", f"spark.driver_memory_gib={shape.heap_gib}"]
    return load_conf(sets=sets)


# -- the night's files


def write_night(shape: Shape, conf: Conf) -> None:
    """Items, histories and a model; once, whole or not at all."""
    if shape.folder.exists():
        return
    unfinished = shape.folder.with_name(f"{shape.folder.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    draw = np.random.default_rng(_SEED)
    item_ids = np.array([f"item-{number:07d}" for number in range(shape.items)])
    _write(unfinished / "items.parquet", ITEMS, _items(item_ids, draw))
    for number, first in enumerate(range(0, shape.users, _USERS_PER_FILE)):
        last = min(first + _USERS_PER_FILE, shape.users)
        with pq.ParquetWriter(unfinished / f"sequences-{number}.parquet", arrow_schema(SEQUENCES)) as writer:
            for start in range(first, last, _CHUNK_USERS):
                users = min(_CHUNK_USERS, last - start)
                writer.write_table(_table(SEQUENCES, _histories(users, item_ids, conf.model.max_length, draw)))
    _save_model(unfinished / "model", item_ids, conf)
    unfinished.rename(shape.folder)


def _items(item_ids: Any, draw: np.random.Generator) -> dict[str, Any]:
    num, seen = len(item_ids), _END - timedelta(days=1)
    return {
        "item_id": item_ids,
        "dt": [DAY] * num,
        "title": [f"Title of {name}" for name in item_ids],
        "category": [f"category-{code}" for code in draw.integers(0, 300, num)],
        "brand": [f"brand-{code}" for code in draw.integers(0, 2000, num)],
        "price": np.round(draw.lognormal(3, 1, num), 2),
        "price_bucket": np.full(num, 5, np.int32),
        "first_seen": [seen] * num,
        "last_seen": [seen] * num,
        "num_events": np.full(num, 10),
        "num_recent": draw.integers(0, 100, num),
        "num_purchases": np.full(num, 1),
        "recent_by_platform": [[10, 0, 0, 0, 0, 0]] * num,
    }


def _histories(users: int, item_ids: Any, longest: int, draw: np.random.Generator) -> dict[str, Any]:
    lengths = np.minimum(1 + draw.geometric(1 / _MEAN_LENGTH, users), longest)
    total = int(lengths.sum())
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
    popular = (draw.random(total) ** 3 * len(item_ids)).astype(np.int64)
    schema = arrow_schema(SEQUENCES)

    def lists(name: str, values: Any) -> pa.Array:
        return pa.ListArray.from_arrays(offsets, pa.array(values).cast(schema.field(name).type.value_type))

    ones = np.ones(total, np.int64)
    return {
        "user_id": [draw.bytes(16).hex() for _ in range(users)],
        "dt": [DAY] * users,
        "item_ids": lists("item_ids", item_ids[popular]),
        "kinds": lists("kinds", draw.choice([1, 1, 1, 3, 4], total)),
        "event_ts": lists("event_ts", np.arange(total)),
        "platforms": lists("platforms", ones),
        "session_ordinals": lists("session_ordinals", ones),
        "price_buckets": lists("price_buckets", ones),
        "category_codes": lists("category_codes", ones),
        "num_events": lengths.astype(np.int32),
        "last_platform": ["web"] * users,
    }


def _save_model(folder: Path, item_ids: Any, conf: Conf) -> None:
    import torch

    from nightjar.learn.checkpoint import save_model
    from nightjar.learn.models import build
    from nightjar.learn.vocabulary import Vocabulary

    torch.manual_seed(_SEED)
    model = build(conf.model, len(item_ids))
    with torch.no_grad():
        model.item_table()[1:] *= 4
    save_model(folder, model, conf.model, Vocabulary(tuple(item_ids.tolist())))


def _table(table: Table, columns: dict[str, Any]) -> pa.Table:
    schema = arrow_schema(table)
    return pa.table([columns[name] for name in schema.names], schema=schema)


def _write(path: Path, table: Table, columns: dict[str, Any]) -> None:
    pq.write_table(_table(table, columns), path)


# -- the contenders, each in a process of its own


def ours(shape: Shape, cores: int) -> Line:
    """Seconds from the read of `sequences` to staged rows; Spark has started, and its workers have not."""
    from nightjar.score.recommend import Champion, Night, ScoringTask
    from nightjar.stores.lake import Lake
    from nightjar.stores.spark import session

    sys.path.append(str(repository() / "jobs"))  # jobs find each other beside them
    job = importlib.import_module("jobs.score")
    conf = settings_for(shape, cores)
    spark = session("nightjar bench-score", conf.spark)
    lake = Lake(bench_folder() / "score" / "lake")
    champion = Champion("nightjar_bench", "1", shape.folder / "model")
    task = ScoringTask(Night(SHOP, DAY, _END, conf.score), (str(shape.folder / "items.parquet"),), champion)
    people = spark.read.schema(spark_ddl(SEQUENCES)).parquet(str(shape.folder / "sequences-*.parquet"))
    started = time.perf_counter()
    staged = job.stage(lake, people, task, "bench")
    seconds = time.perf_counter() - started
    assert staged.num_rows == shape.users * shape.k, f"{staged.num_rows} rows for {shape.users} people"
    return {"seconds": round(seconds, 2), "rows": staged.num_rows}


def floor(shape: Shape, cores: int) -> Line:
    """Seconds that the product and the selection of everybody's list would take, from some batches of them."""
    import torch

    torch.set_num_threads(cores)
    conf = settings_for(shape, cores)
    batch = conf.score.batch_users
    states_BD = torch.randn(batch, conf.model.width)
    items_ND = torch.randn(shape.items, conf.model.width)
    with torch.inference_mode():
        torch.topk(states_BD @ items_ND.T, shape.k)
        best, begun, runs = float("inf"), time.perf_counter(), 0
        while runs < 3 or time.perf_counter() - begun < _FLOOR_SECONDS:
            started = time.perf_counter()
            torch.topk(states_BD @ items_ND.T, shape.k)
            best, runs = min(best, time.perf_counter() - started), runs + 1
    return {"seconds": round(best * shape.users / batch, 4), "batches": runs}


def explaining(shape: Shape, cores: int) -> Line:
    """What explaining costs beside everything else that a worker does, on some people in one thread."""
    import torch

    from nightjar.learn.histories import open_parquet
    from nightjar.score.catalogue import Catalogue
    from nightjar.score.recommend import Champion, Night, Recommender

    class Watched(Recommender):
        explain_seconds = 0.0

        def _explain(self, *arguments: Any) -> None:
            begun = time.perf_counter()
            super()._explain(*arguments)
            self.explain_seconds += time.perf_counter() - begun

    torch.set_num_threads(1)
    catalogue = Catalogue.read([shape.folder / "items.parquet"])
    night = Night(SHOP, DAY, _END, settings_for(shape, cores).score)
    recommender = Watched(night, catalogue, Champion("nightjar_bench", "1", shape.folder / "model"))
    with open_parquet(shape.folder / "sequences-0.parquet") as file:
        people = next(file.iter_batches(batch_size=_EXPLAINED_PEOPLE))
    started = time.perf_counter()
    rows = sum(batch.num_rows for batch in recommender.recommend([people]))
    seconds = time.perf_counter() - started
    assert rows == people.num_rows * shape.k, f"{rows} rows for {people.num_rows} people"
    other = seconds - recommender.explain_seconds
    scale = shape.users / people.num_rows
    return {"seconds": round(seconds * scale, 4), "explain_vs_score": round(recommender.explain_seconds / other, 3)}


PARTS: dict[str, Callable[[Shape, int], Line]] = {"ours": ours, "floor": floor, "explaining": explaining}


# -- the run


def run(shapes: list[Shape], runs: int, cores: int) -> Iterator[Line]:
    """Every line of the run, the comparison last."""
    lines = []
    for shape in shapes:
        write_night(shape, settings_for(shape, cores))
        for number in range(1, runs + 1):
            for part in PARTS:
                lines.append(_line(shape, part, cores) | {"run": number})
                yield lines[-1]
    yield comparison(lines, runs)


def _line(shape: Shape, part: str, cores: int) -> Line:
    scratch = bench_folder() / "score"
    shutil.rmtree(scratch, ignore_errors=True)
    command = [sys.executable, "-m", "jobs.bench.score", *shape.options, f"--part={part}", f"--cores={cores}"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    try:
        done = watched(command, bench_folder() / "said" / f"score-{part}")
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.said | {
        "step": part,
        "users": shape.users,
        "items": shape.items,
        "k": shape.k,
        "heap_gib": shape.heap_gib,
        "users_per_second": round(shape.users / done.said["seconds"]),
        "cpu_seconds_of_the_process": round(cpu, 1),
        "peak_gib": round(done.peak_gib, 3),
    }


def comparison(lines: list[Line], runs: int) -> Line:
    """Of the largest number of people: rates by the best of the runs; the peak by number of people."""
    users = max(line["users"] for line in lines)
    best = {
        part: max(line["users_per_second"] for line in lines if line["step"] == part and line["users"] == users)
        for part in ("ours", "floor")
    }
    explained = [line["explain_vs_score"] for line in lines if line["step"] == "explaining" and line["users"] == users]
    of_ours = [line for line in lines if line["step"] == "ours"]
    return {
        "score_vs_floor": round(best["ours"] / best["floor"], 3),
        "users_per_second": best["ours"],
        "peak_gib": max(line["peak_gib"] for line in of_ours),
        "floor_users_per_second": best["floor"],
        "explain_vs_score": median(explained),
        "peak_gib_by_users": {str(line["users"]): line["peak_gib"] for line in of_ours},
        "users": users,
        "items": lines[0]["items"],
        "k": lines[0]["k"],
        "heap_gib": lines[0]["heap_gib"],
        "runs": runs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", default="1000000", help="people; several numbers show how memory grows")
    parser.add_argument("--items", type=int, default=100_000, help="items (default: 100,000)")
    parser.add_argument("--k", type=int, default=20, help="rows per person (default: 20)")
    parser.add_argument("--runs", type=int, default=1, help="how often each contender runs (default: 1)")
    heap = load_conf().spark.driver_memory_gib
    parser.add_argument("--heap-gib", type=int, default=heap, help=f"of Spark's JVM (default: {heap}, as a night)")
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="default: all there are")
    parser.add_argument("--part", choices=sorted(PARTS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: children and files go too
    shapes = [Shape(int(users), args.items, args.k, args.heap_gib) for users in args.users.split()]
    if args.part:
        print(json.dumps(PARTS[args.part](shapes[0], args.cores)))
        return
    facts, lines = environment(args.cores, ()), []
    try:
        for line in run(shapes, args.runs, args.cores):
            print(json.dumps(line), flush=True)
            lines.append(line)
    except BadInput as error:
        sys.exit(f"bench-score: {error}")
    name = f"score-{max(shape.users for shape in shapes)}.json"
    write_json(bench_folder() / "results" / name, {"lines": lines[:-1], "comparison": lines[-1], **facts})


if __name__ == "__main__":
    main()
