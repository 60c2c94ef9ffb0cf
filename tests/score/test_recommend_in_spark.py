"""The task as Spark runs it: other processes, people dealt out among them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.score.small_shop import item_rows, night, random_histories, sequence_rows

from nightjar.contracts import RECOMMENDATIONS, SEQUENCES
from nightjar.contracts.render import spark_ddl
from nightjar.score.catalogue import Catalogue
from nightjar.score.recommend import Champion, Recommender, ScoringTask

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

NAMES = [f"i{number:02d}" for number in range(40)]
ITEMS = item_rows(*((name, n % 5, n, 1) for n, name in enumerate(NAMES)))


@pytest.mark.spark
def test_every_person_once_with_the_same_rows(
    spark: SparkSession, champion: Callable[..., Champion], tmp_path: Path
) -> None:
    model, histories = champion(NAMES[:30]), random_histories(100, NAMES, seed=11)
    rows = sequence_rows(histories)
    pq.write_table(ITEMS, tmp_path / "items.parquet")
    pq.write_table(pa.Table.from_batches([rows]), tmp_path / "sequences.parquet")
    task = ScoringTask(night(), (str(tmp_path / "items.parquet"),), model)
    people = spark.read.schema(spark_ddl(SEQUENCES)).parquet(str(tmp_path / "sequences.parquet"))
    found = people.repartition(3, "user_id").mapInArrow(task, spark_ddl(RECOMMENDATIONS)).collect()

    here = Recommender(night(), Catalogue.from_items(ITEMS), model)
    expected = {row["row_key"]: row for batch in here.recommend([rows]) for row in batch.to_pylist()}
    assert len(found) == len(expected) == 100 * night().conf.k
    for row in found:
        wanted = expected[row["row_key"]]
        assert row["score"] == pytest.approx(wanted["score"], abs=2e-6)
        assert {**row.asDict(), "score": 0} == {**wanted, "score": 0}
