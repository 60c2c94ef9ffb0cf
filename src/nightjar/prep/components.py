"""Connected components of a graph that may be larger than one machine's memory."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

#: More than any graph needs: a chain of 2^n nodes takes about n rounds, and no shape is known to take more.
MAX_ROUNDS = 60


def components(pairs: DataFrame) -> DataFrame:
    """(node, component) for every node of a pair; a component is called by its smallest node.

    Alternates large-star and small-star (Kiveris et al., Connected Components in MapReduce and Beyond,
    SoCC 2014) until every component is a star around its smallest node. No round has more edges than the one before.
    A graph that consists of such stars already takes no round at all.

    Args:
        pairs: columns `upper` and `lower` of one orderable type, in any direction; repeats and loops
            do no harm, but a node that has only a loop is absent from the result.
    """
    upper, lower = F.greatest("upper", "lower").alias("upper"), F.least("upper", "lower").alias("lower")
    edges = _cut(pairs.where(F.col("upper") != F.col("lower")).select(upper, lower).distinct())
    for _ in range(MAX_ROUNDS):
        if _are_stars(edges):
            leaves = edges.select(F.col("upper").alias("node"), F.col("lower").alias("component"))
            centres = edges.select(F.col("lower").alias("node"), F.col("lower").alias("component")).distinct()
            return leaves.union(centres)
        edges = _cut(_small_star(_large_star(edges)))
    raise RuntimeError(f"components did not settle in {MAX_ROUNDS} rounds")


def _large_star(edges: DataFrame) -> DataFrame:
    """Hang every larger neighbour of a node on the smallest node around it."""
    seen = edges.select(F.col("upper").alias("node"), F.col("lower").alias("near")).union(
        edges.select(F.col("lower").alias("node"), F.col("upper").alias("near"))
    )
    smallest = F.least(F.col("node"), F.min("near").over(Window.partitionBy("node")))
    larger = seen.withColumn("smallest", smallest).where(F.col("near") > F.col("node"))
    return larger.select(F.col("near").alias("upper"), F.col("smallest").alias("lower")).distinct()


def _small_star(edges: DataFrame) -> DataFrame:
    """Hang a node and its smaller neighbours on the smallest of them."""
    smallest = F.min("lower").over(Window.partitionBy("upper"))
    around = edges.withColumn("smallest", smallest)
    own = around.select("upper", F.col("smallest").alias("lower"))
    others = around.where(F.col("lower") > F.col("smallest")).select(
        F.col("lower").alias("upper"), F.col("smallest").alias("lower")
    )
    return own.union(others).distinct()


def _are_stars(edges: DataFrame) -> bool:
    """No node hangs on two others, and none that hangs has another hanging on it."""
    ends = edges.select(F.col("upper").alias("node"), F.lit(1).alias("hangs")).union(
        edges.select(F.col("lower").alias("node"), F.lit(0).alias("hangs"))
    )
    nodes = ends.groupBy("node").agg(F.sum("hangs").alias("hangs"), F.count(F.lit(1)).alias("ends"))
    tangled = nodes.where((F.col("hangs") > 1) | ((F.col("hangs") > 0) & (F.col("ends") > F.col("hangs"))))
    return not tangled.head(1)


def _cut(edges: DataFrame) -> DataFrame:
    # A round's plan holds the round before it twice: without a checkpoint it would double every time. The
    # blocks go when the frame does; an executor lost with its blocks fails the job, which may be run again.
    return edges.localCheckpoint()
