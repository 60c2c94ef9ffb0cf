"""Whom to act on: the night's decisions, checked once more in SQL, for the shop's own ids."""

# ruff: noqa: S608 - only names from contracts and paths of our own are put into SQL; every value is bound

from __future__ import annotations

from collections.abc import Sequence

from nightjar.contracts import DECISIONS, Partition
from nightjar.contracts.published import ACT, CONTROL
from nightjar.stores.warehouse.audits import Audit
from nightjar.stores.warehouse.connection import Connection
from nightjar.stores.warehouse.workbench import Workbench, rows_of


def stage_decisions(bench: Workbench, files: Sequence[str]) -> None:
    """Have `stage_decisions` with the contract's columns; user_id is still a pseudonym."""
    bench.view("stage_decisions", rows_of(DECISIONS, files))


def decisions_audits(partition: Partition) -> list[Audit]:
    """Rows are whole, of this night and of known people; nobody shares a rank, and nobody stands in both arms."""
    staged = "SELECT count(*) FROM stage_decisions d WHERE"
    empty = " OR ".join(f"d.{column.name} IS NULL" for column in DECISIONS.columns if not column.nullable)
    return [
        Audit("decisions_missing_values", "decisions with an empty column", f"{staged} {empty}"),
        Audit(
            "decisions_foreign_rows",
            "decisions of another shop or day",
            f"{staged} d.shop <> $1 OR d.dt <> $2",
            (partition.shop, partition.day),
        ),
        Audit(
            "decisions_unknown_users",
            "decisions on unknown people",
            f"{staged} NOT EXISTS (SELECT 1 FROM people p WHERE p.pseudonym = d.user_id)",
        ),
        Audit(
            "decisions_repeated",
            "people whom one decision concerns twice",
            "SELECT count(*) FROM (SELECT 1 FROM stage_decisions d JOIN people p ON p.pseudonym = d.user_id"
            " GROUP BY d.decision, p.shop_id HAVING count(*) > 1) t",
        ),
        Audit(
            "decisions_ranks",
            "decisions in which two people have one rank",
            "SELECT count(*) FROM (SELECT 1 FROM stage_decisions GROUP BY decision"
            " HAVING min(rank) < 1 OR count(DISTINCT rank) <> count(*)) t",  # whoever was erased leaves a gap
        ),
        Audit(
            "decisions_arms",
            "decisions that are neither an offer nor kept aside",
            f"{staged} NOT ((d.arm = $1 AND d.offer IS NOT NULL) OR (d.arm = $2 AND d.offer IS NULL AND d.cost = 0))",
            (ACT, CONTROL),
        ),
        Audit(
            "decisions_money",
            "decisions of no finite value or of a cost below 0",
            f"{staged} NOT (isfinite(d.expected_value) AND isfinite(d.cost) AND d.cost >= 0)",
        ),
    ]


def load_decisions(db: Connection, partition: Partition) -> tuple[int, int]:
    """Swap the night's rows, for the shop's own ids; returns how many there are now, and how many were staged."""
    shop, day = partition.shop, partition.day
    columns = {name: f"d.{name}" for name in DECISIONS.names} | {
        "row_key": f"'{shop}|{day.isoformat()}|' || d.decision || '|' || p.shop_id",
        "user_id": "p.shop_id",
    }
    selected = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    rows = f"SELECT {selected} FROM stage_decisions d JOIN people p ON p.pseudonym = d.user_id"
    return db.replace_night(DECISIONS.name, shop, day, rows), db.bench.number("SELECT count(*) FROM stage_decisions")
