"""The Spark session of the jobs: every setting in one place, each with its reason."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nightjar.contracts import BadInput
from nightjar.settings import Spark

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_SETTINGS = {
    "spark.sql.session.timeZone": "UTC",  # event_ts is UTC; shops' zones appear only in mappings
    "spark.ui.enabled": "false",  # a nightly batch; history belongs to the event log of a cluster
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.ansi.enabled": "true",  # overflow and bad casts raise; mappings use try_cast where dirt is expected
    # HotSpot never compiles a method above 8,000 bytes; Spark then cuts the work into small ones. The row rules, 14 kB
    # as one method, took 40 % less CPU so (265,000 events, two slow cores, Spark 4.3).
    "spark.sql.codegen.hugeMethodLimit": "8000",
    "spark.sql.mapKeyDedupPolicy": "LAST_WIN",  # a raw object that repeats a name must not end the night
    "spark.sql.parquet.compression.codec": "zstd",
    "spark.sql.parquet.outputTimestampType": "TIMESTAMP_MICROS",  # what Arrow and DuckDB read natively
    "spark.hadoop.mapreduce.fileoutputcommitter.algorithm.version": "2",  # a run's own folder: no double rename
    "spark.hadoop.mapreduce.fileoutputcommitter.marksuccessfuljobs": "false",
    "spark.hadoop.fs.file.impl.disable.cache": "false",
    "spark.sql.sources.parallelPartitionDiscovery.threshold": "1000",  # listing 60 local days needs no job
    "spark.sql.execution.arrow.maxRecordsPerBatch": "4096",
    # Any smaller bound has the size of the batch summed up for each row: 15.6 s instead of 8.4 s for 20 M rows.
    "spark.sql.execution.arrow.maxBytesPerBatch": str(2**31 - 1),
    # Arrow's allocator in the Python workers keeps what it has been given: a bucket's tables come and go, and asking
    # the kernel for fresh pages each time took a quarter of the system time (4.8 s to 3.5 s, 1.25 M rows).
    "spark.executorEnv.MIMALLOC_PURGE_DELAY": "-1",
    "spark.log.level": "ERROR",
    # Where in Python a column was made is asked of the stack for each of them, in three more calls of the JVM: 5.7 s
    # instead of 3.3 s to describe `user_features` (988 columns). Errors still end with Python's own traceback.
    "spark.python.sql.dataFrameDebugging.enabled": "false",
    "spark.sql.dataFrameQueryContext.enabled": "false",
}


def session(application: str, spark: Spark, more: Mapping[str, str] | None = None) -> SparkSession:
    """Start (or join) the job's session.

    Args:
        more: settings of this run only.

    Under `spark-submit` the master of the submit line wins; started with plain Python it is
    `[spark] master`.

    Raises:
        BadInput: no Java 17 or newer.
    """
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.appName(application)
    # Where executors find this process: on this machine, unless the environment names an address that others reach.
    builder = builder.config("spark.driver.host", os.environ["SPARK_LOCAL_IP"])
    for key, value in {**_SETTINGS, **(more or {})}.items():
        builder = builder.config(key, value)
    builder = builder.config("spark.sql.shuffle.partitions", str(spark.shuffle_partitions))
    if "PYSPARK_GATEWAY_PORT" not in os.environ:  # set by spark-submit
        builder = builder.master(spark.master).config("spark.driver.memory", f"{spark.driver_memory_gib}g")
        builder = builder.config("spark.driver.extraJavaOptions", spark.java_options)
    try:
        return builder.getOrCreate()
    except PySparkRuntimeError as error:
        if "JAVA_GATEWAY_EXITED" not in str(error):
            raise
        raise BadInput("Spark could not start: no Java 17 or newer found", "make setup  # or set JAVA_HOME") from error
