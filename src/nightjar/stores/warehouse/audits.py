"""What must hold of a staged night before readers see it, in SQL that both dialects run.

Staged beside the warehouse's own tables: `stage_recommendations` and `stage_items` with their contracts'
columns (user_id still a pseudonym), `stage_eligible(user_id, num_excluded)`; and where a day of an
analysis table is new or changed, `stage_<table>` of every one of them, with `shop`.
"""

# ruff: noqa: S608 - only names from contracts are put into SQL; every value is bound

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta

from nightjar.contracts import CART_ABANDONMENT, DAILY_KPIS, FUNNELS, RECOMMENDATIONS, Partition, Table
from nightjar.contracts.marts import ALL
from nightjar.settings import Gate
from nightjar.stores.warehouse.connection import Connection

#: One number: what an audit saw. None where there was nothing to compare with.
Seen = float | None


@dataclass(frozen=True)
class Audit:
    """One number and its band, both ends included; an open end is None.

    Args:
        counts: what the number counts, for the error's sentence.
        sql: a SELECT of that one number; NULL where there is nothing to compare with.
    """

    name: str
    counts: str
    sql: str
    values: tuple[object, ...] = ()
    low: float | None = 0
    high: float | None = 0

    def see(self, db: Connection) -> Seen:
        ((seen,),) = db.query(self.sql, *self.values)
        return None if seen is None else round(float(seen), 6)

    def holds(self, seen: Seen) -> bool:
        return seen is None or ((self.low is None or seen >= self.low) and (self.high is None or seen <= self.high))

    def sentence(self, seen: Seen) -> str:
        band = f"at least {self.low:g}" if self.high is None else f"{self.low:g} to {self.high:g}"
        return f"{self.name}: {seen:g} {self.counts}, allowed {band}"


def run_audits(db: Connection, audits: Sequence[Audit]) -> tuple[dict[str, Seen], list[str]]:
    """What every audit saw, and the sentences of those that failed; all run, so that one night tells all."""
    seen = {audit.name: audit.see(db) for audit in audits}
    return seen, [audit.sentence(seen[audit.name]) for audit in audits if not audit.holds(seen[audit.name])]


def people_audits(shop: str) -> list[Audit]:
    """The waiting mapping rows (`stage_users`) agree with each other and with `users`, merged already."""
    return [
        Audit(
            "contradicting_users",
            "pseudonyms that stand for two ids of the shop",
            """
            SELECT count(DISTINCT s.pseudonym) FROM stage_users s
            JOIN users u ON u.shop = s.shop AND u.pseudonym = s.pseudonym
            WHERE s.shop <> $1 OR s.shop_id <> u.shop_id""",
            (shop,),
        )
    ]


def mart_audits(table: Table, num_rows: Mapping[date, int]) -> list[Audit]:
    """Every audit of the staged days of one analysis table; its names begin with the table's.

    Args:
        num_rows: rows that the lake says each staged day has.
    """
    staged = f"SELECT count(*) FROM stage_{table.name}"
    empty = " OR ".join(f"{column.name} IS NULL" for column in table.columns if not column.nullable)
    days = ", ".join(f"DATE '{day.isoformat()}'" for day in sorted(num_rows)) or "NULL"
    key = ", ".join(("dt", *table.key))
    expected = sum(num_rows.values())
    audits = [
        Audit("rows", "rows", staged, low=expected, high=expected),
        Audit("missing_values", "rows with an empty column", f"{staged} WHERE {empty}"),
        Audit("foreign_rows", "rows of another day", f"{staged} WHERE dt NOT IN ({days})"),
        Audit(
            "repeated_rows",
            "rows of the same day and dimensions",
            f"SELECT count(*) FROM (SELECT 1 FROM stage_{table.name} GROUP BY {key} HAVING count(*) > 1) t",
        ),
        Audit(
            "days_without_all",
            f"days without a row for {ALL}",
            f"SELECT count(*) FROM (SELECT dt FROM stage_{table.name} GROUP BY dt"
            " HAVING max(CASE WHEN platform = $1 THEN 1 ELSE 0 END) = 0) t",
            (ALL,),
        ),
        *_meaning_audits(table),
    ]
    return [replace(audit, name=f"{table.name}_{audit.name}") for audit in audits]


def _meaning_audits(table: Table) -> list[Audit]:
    if table == DAILY_KPIS:
        sums = " OR ".join(
            f"sum(CASE WHEN platform = $1 THEN {name} ELSE -{name} END) <> 0"
            for name in ("num_sessions", "num_events", "num_sessions_with_purchase", "num_bot_sessions")
        )
        counts = f"days whose platforms do not add up to {ALL}"
        sql = f"SELECT count(*) FROM (SELECT dt FROM stage_{table.name} GROUP BY dt HAVING {sums}) t"
        return [Audit("broken_totals", counts, sql, (ALL,))]
    if table == FUNNELS:
        rising = (
            "num_viewed > num_sessions OR num_viewed_carted > num_viewed"
            " OR num_viewed_carted_bought > num_viewed_carted OR num_viewed_carted_bought > num_bought"
        )
        return [
            Audit(
                "rising_steps", "rows that grow from step to step", f"SELECT count(*) FROM stage_funnels WHERE {rising}"
            ),
            Audit(
                "other_sessions",
                "days and platforms with other sessions than daily_kpis",
                """
                SELECT count(*) FROM stage_funnels f
                JOIN stage_daily_kpis k ON k.dt = f.dt AND k.platform = f.platform
                WHERE f.category = $1 AND f.campaign = $1 AND f.num_sessions <> k.num_sessions""",
                (ALL,),
            ),
        ]
    if table == CART_ABANDONMENT:
        fates = "num_bought + num_removed + num_abandoned + num_open"
        return [
            Audit(
                "lost_lines",
                "rows whose items have no fate, or two",
                f"SELECT count(*) FROM stage_{table.name} WHERE num_lines <> {fates} OR num_recovered > num_abandoned",
            )
        ]
    return []


def night_audits(
    partition: Partition, gate: Gate, *, num_rows: int, k: int, num_candidates: int, has_champion: bool
) -> list[Audit]:
    """Every audit of one night.

    Args:
        num_rows: rows the lake says the partition has.
        k: rows per person and surface, where there are enough candidates.
        num_candidates: items that could be recommended to a person with nothing excluded.
        has_champion: a model scored; without one popularity serves everybody, and no share of it is too large.
    """
    return [
        *_shape_audits(partition, num_rows),
        *_list_audits(k, num_candidates),
        *_reference_audits(partition.shop),
        *_band_audits(partition, gate, has_champion),
    ]


def _shape_audits(partition: Partition, num_rows: int) -> list[Audit]:
    staged = "SELECT count(*) FROM stage_recommendations"
    empty = " OR ".join(f"{column.name} IS NULL" for column in RECOMMENDATIONS.columns if not column.nullable)
    expected = max(num_rows, 1)  # readers never get an empty night
    return [
        Audit("rows", "rows", staged, low=expected, high=expected),
        Audit("missing_values", "rows with an empty column", f"{staged} WHERE {empty}"),
        Audit(
            "foreign_rows",
            "rows of another shop or day",
            f"{staged} WHERE shop <> $1 OR dt <> $2",
            (partition.shop, partition.day),
        ),
    ]


def _list_audits(k: int, num_candidates: int) -> list[Audit]:
    """Each person's list: its length, its ranks, its items, its scores."""
    least = "least(CAST($1 AS BIGINT), greatest(CAST($2 AS BIGINT) - coalesce(e.num_excluded, 0), 0))"
    return [
        Audit(
            "rows_per_user",
            f"lists without {k} rows",
            f"""
            SELECT count(*) FROM (
              SELECT user_id, surface, count(*) AS n FROM stage_recommendations GROUP BY user_id, surface
            ) c LEFT JOIN stage_eligible e ON e.user_id = c.user_id
            WHERE c.n > CAST($1 AS BIGINT) OR c.n < {least}""",
            (k, num_candidates),
        ),
        Audit(
            "missing_users",
            "eligible people without a list",
            f"""
            SELECT count(DISTINCT e.user_id) FROM stage_eligible e
            CROSS JOIN (SELECT DISTINCT surface FROM stage_recommendations) s
            LEFT JOIN (SELECT DISTINCT surface, user_id FROM stage_recommendations) r
              ON r.surface = s.surface AND r.user_id = e.user_id
            WHERE r.user_id IS NULL AND {least} > 0""",
            (k, num_candidates),
        ),
        Audit(
            "repeated_items",
            "items twice in one list",
            """
            SELECT count(*) FROM (
              SELECT item_id FROM stage_recommendations GROUP BY surface, user_id, item_id HAVING count(*) > 1
            ) t""",
        ),
        Audit(
            "ranks",
            "lists whose ranks are not 1, 2, …",
            """
            SELECT count(*) FROM (
              SELECT user_id FROM stage_recommendations GROUP BY surface, user_id
              HAVING min(rank) <> 1 OR max(rank) <> count(*) OR count(DISTINCT rank) <> count(*)
            ) t""",
        ),
        Audit(
            "infinite_scores",
            "scores that are no finite number",
            # True for NaN too: both databases order it above every number.
            "SELECT count(*) FROM stage_recommendations WHERE NOT (abs(score) <= 1.7976931348623157e308)",
        ),
        Audit(
            "rising_scores",
            "scores above the rank before",
            """
            SELECT count(*) FROM (
              SELECT score, lag(score) OVER (PARTITION BY surface, user_id ORDER BY rank) AS before
              FROM stage_recommendations
            ) t WHERE score > before""",
        ),
    ]


def _reference_audits(shop: str) -> list[Audit]:
    """Everything a row names exists, and names one thing."""
    return [
        Audit(
            "unknown_users",
            "people who are not eligible",
            """
            SELECT count(DISTINCT r.user_id) FROM stage_recommendations r
            LEFT JOIN stage_eligible e ON e.user_id = r.user_id WHERE e.user_id IS NULL""",
        ),
        Audit(
            "unmapped_users",
            "people without the shop's own id",
            """
            SELECT count(DISTINCT r.user_id) FROM stage_recommendations r
            LEFT JOIN users u ON u.shop = $1 AND u.pseudonym = r.user_id WHERE u.pseudonym IS NULL""",
            (shop,),
        ),
        Audit(
            "ambiguous_users",
            "ids of the shop that stand for two people, such as a login and a device of the same name",
            """
            SELECT count(*) FROM (
              SELECT u.shop_id FROM (SELECT DISTINCT user_id FROM stage_recommendations) r
              JOIN users u ON u.shop = $1 AND u.pseudonym = r.user_id GROUP BY u.shop_id HAVING count(*) > 1
            ) t""",
            (shop,),
        ),
        Audit(
            "unknown_items",
            "rows whose item is not in items",
            """
            SELECT count(*) FROM stage_recommendations r
            LEFT JOIN stage_items i ON i.item_id = r.item_id WHERE i.item_id IS NULL""",
        ),
        Audit(
            "champions",
            "models that scored",
            """
            SELECT count(*) FROM (
              SELECT DISTINCT model_name, model_version FROM stage_recommendations WHERE strategy = 'model'
            ) t""",
            high=1,
        ),
    ]


def _band_audits(partition: Partition, gate: Gate, has_champion: bool) -> list[Audit]:
    return [
        Audit(
            "fallback_share",
            "of people served by the fallback",
            """
            SELECT CAST(count(DISTINCT CASE WHEN rank = 1 AND strategy <> 'model' THEN user_id END) AS DOUBLE PRECISION)
              / nullif(count(DISTINCT user_id), 0) FROM stage_recommendations""",
            high=gate.max_fallback_share if has_champion else 1,
        ),
        Audit(
            "overlap_yesterday",
            "of a list stood in the same person's list the night before, on average",
            """
            WITH before AS (SELECT surface, user_id, item_id FROM recommendations WHERE shop = $1 AND dt = $2),
            tonight AS (
              SELECT r.surface, u.shop_id AS user_id, r.item_id FROM stage_recommendations r
              JOIN users u ON u.shop = $1 AND u.pseudonym = r.user_id
            ),
            shares AS (
              SELECT CAST(count(b.item_id) AS DOUBLE PRECISION) / count(*) AS share FROM tonight t
              JOIN (SELECT DISTINCT surface, user_id FROM before) p ON p.surface = t.surface AND p.user_id = t.user_id
              LEFT JOIN before b ON b.surface = t.surface AND b.user_id = t.user_id AND b.item_id = t.item_id
              GROUP BY t.surface, t.user_id
            )
            SELECT avg(share) FROM shares""",
            (partition.shop, partition.day - timedelta(days=1)),
            low=gate.min_overlap_yesterday,
            high=gate.max_overlap_yesterday,
        ),
    ]
