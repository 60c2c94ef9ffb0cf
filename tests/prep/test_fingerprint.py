"""Contents that differ have fingerprints that differ, nulls included."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest

from nightjar.prep.fingerprint import fingerprint

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark


def test_nulls_have_a_place(spark: SparkSession) -> None:
    rows = list(product((None, "", "a", "b"), (None, "", "a", "b"), (None, 0, 1)))
    prints = spark.createDataFrame(rows, "x STRING, y STRING, z INT").select(fingerprint("x", "y", "z")).collect()
    assert len({row[0] for row in prints}) == len(rows)
