"""DuckDB or polars numbering the sessions of the log; the last line on standard output is the result as JSON.

Runs in whichever environment has the engine, so besides it only the standard library is imported. The answer is
that of `spark_steps.plain`, row by row. With --warm-up the engine first does the smaller log.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from pathlib import Path


def with_duckdb(log: Path, out: Path, cores: int, gap_us: int) -> None:
    import duckdb

    connection = duckdb.connect()
    connection.execute(f"SET threads = {cores}")
    connection.execute("SET preserve_insertion_order = false")
    connection.execute(f"SET temp_directory = '{out.parent / 'duckdb-spill'}'")
    connection.execute(
        f"""
        COPY (
            SELECT user_id, event_ts, item_id, kind,
                   (sum(opens) OVER (PARTITION BY user_id ORDER BY event_ts
                                     ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW))::INTEGER AS session
            FROM (
                SELECT *, (epoch_us(event_ts) - coalesce(epoch_us(lag(event_ts) OVER (
                               PARTITION BY user_id ORDER BY event_ts)), 0) > {gap_us})::INTEGER AS opens
                FROM read_parquet('{log}/*.parquet')
            )
        ) TO '{out}' (FORMAT parquet, COMPRESSION zstd)
        """  # noqa: S608 - our own paths and numbers
    )
    connection.close()


def with_polars(log: Path, out: Path, cores: int, gap_us: int) -> None:
    os.environ["POLARS_MAX_THREADS"] = str(cores)  # read when it is imported
    import polars as pl  # type: ignore[import-not-found,unused-ignore]

    user, us = pl.col("user_id"), pl.col("event_ts").dt.epoch("us")
    others = (user != user.shift(1)).fill_null(value=True)
    # In the sorted table one running sum numbers all sessions; each user's own begin where the user does.
    number = (others | (us - us.shift(1) > gap_us)).cast(pl.Int32).cum_sum()
    session = number - pl.when(others).then(number).forward_fill() + 1
    rows = pl.scan_parquet(f"{log}/*.parquet").sort("user_id", "event_ts").with_columns(session=session)
    rows.sink_parquet(out, compression="zstd")


ENGINES = {"duckdb": with_duckdb, "polars": with_polars}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", choices=sorted(ENGINES))
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True, help="folder, which must not exist")
    parser.add_argument("--warm-up", type=Path)
    parser.add_argument("--cores", type=int, required=True)
    parser.add_argument("--gap-us", type=int, required=True)
    args = parser.parse_args()
    numbered = ENGINES[args.engine]
    for log in (args.warm_up, args.log) if args.warm_up else (args.log,):
        shutil.rmtree(args.out, ignore_errors=True)
        args.out.mkdir(parents=True)
        started = time.perf_counter()
        numbered(log, args.out / "sessions.parquet", args.cores, args.gap_us)
        seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
