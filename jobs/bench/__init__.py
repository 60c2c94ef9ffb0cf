"""The benchmarks: what a night costs beside Spark's floor, DuckDB and polars, and after how much history."""
