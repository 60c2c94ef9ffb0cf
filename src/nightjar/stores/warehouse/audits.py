"""What must hold of a night before readers see it, in SQL on the workbench, where the night's files are views.

`stage_recommendations` and `stage_items` have their contracts' columns (user_id still a pseudonym),
`stage_eligible(user_id, num_excluded)` is who gets a list, `people(pseudonym, shop_id)` the shop's mapping; where a
day of a table of `contracts.KEPT_DAYS` is new or changed, there is `stage_<table>` of every one of them, with `shop`.

Lists come one after the other, best row first, because that is how they are scored. Neighbouring rows are then
compared in one pass, where grouping 20 million rows would cost more than loading them; `stage_lists` finds out
whether it is so, and where it is not the rows are sorted once.
"""

# ruff: noqa: S608 - only names from contracts are put into SQL; every value is bound

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

from nightjar.contracts import (
    CART_ABANDONMENT,
    DAILY_KPIS,
    FUNNELS,
    MARTS,
    REALISED_CALIBRATION,
    REALISED_DECISIONS,
    REALISED_SCORES,
    RECOMMENDATIONS,
    Partition,
    Table,
)
from nightjar.contracts.marts import ALL
from nightjar.contracts.published import ACT, CONTROL, FALLBACKS
from nightjar.settings import Gate
from nightjar.stores.warehouse.workbench import Workbench

#: Places of a list that are searched for items that occur twice.
_LONGEST_COMPARED = 1000

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

    def see(self, db: Workbench) -> Seen:
        ((seen,),) = db.query(self.sql, *self.values)
        return None if seen is None else round(float(seen), 6)

    def holds(self, seen: Seen) -> bool:
        return seen is None or ((self.low is None or seen >= self.low) and (self.high is None or seen <= self.high))

    def sentence(self, seen: Seen) -> str:
        band = f"at least {self.low:g}" if self.high is None else f"{self.low:g} to {self.high:g}"
        return f"{self.name}: {seen:g} {self.counts}, allowed {band}"


def run_audits(db: Workbench, audits: Sequence[Audit]) -> tuple[dict[str, Seen], list[str]]:
    """What every audit saw, and the sentences of those that failed; all run, so that one night tells all."""
    seen = {audit.name: audit.see(db) for audit in audits}
    return seen, [audit.sentence(seen[audit.name]) for audit in audits if not audit.holds(seen[audit.name])]


def people_audits(shop: str) -> list[Audit]:
    """The waiting mapping rows (`stage_users`) agree with each other and with `known_people`."""
    return [
        Audit(
            "contradicting_users",
            "pseudonyms that stand for two ids of the shop",
            """
            SELECT count(*) FROM (
              SELECT s.pseudonym FROM stage_users s LEFT JOIN known_people p ON p.pseudonym = s.pseudonym
              GROUP BY s.pseudonym
              HAVING max(CASE WHEN s.shop <> $1 OR p.shop_id <> s.shop_id THEN 1 ELSE 0 END) = 1
                OR min(s.shop_id) <> max(s.shop_id)
            ) t""",
            (shop,),
        )
    ]


def stage_lists(db: Workbench, partition: Partition) -> None:
    """Have `stage_lists(surface, user_id, num_rows, is_fallback)` and `stage_facts`.

    `stage_facts` has one row: how many rows break each rule that a row and its neighbours decide. Where lists do
    not lie one after the other, best row first, `stage_recommendations` is sorted before.
    """
    fallbacks = ", ".join(f"'{name}'" for name in FALLBACKS)
    db.table(
        "stage_lists",
        f"""
        SELECT surface, user_id, count(*) AS num_rows,
          max(CASE WHEN rank = 1 AND strategy IN ({fallbacks}) THEN 1 ELSE 0 END) AS is_fallback
        FROM stage_recommendations GROUP BY surface, user_id""",
    )
    longest = db.number("SELECT coalesce(max(num_rows), 0) FROM stage_lists")
    db.table("stage_facts", _facts(partition, longest))
    in_order = "num_begun = (SELECT count(*) FROM stage_lists) AND num_misplaced = 0"
    if not db.number(f"SELECT count(*) FROM stage_facts WHERE {in_order}"):
        db.table("sorted_recommendations", "SELECT * FROM stage_recommendations ORDER BY surface, user_id, rank")
        db.view("stage_recommendations", "SELECT * FROM sorted_recommendations")
        db.table("stage_facts", _facts(partition, longest))


def _facts(partition: Partition, longest: int) -> str:
    """One pass. The windows have neither PARTITION nor ORDER: DuckDB streams them over the rows as they come."""
    empty = " OR ".join(f"{column.name} IS NULL" for column in RECOMMENDATIONS.columns if not column.nullable)
    # Longer lists than that fail the audit of their length: their items need not be compared.
    backs = range(1, min(longest, _LONGEST_COMPARED))
    again = " OR ".join(f"(place > {back} AND item_id = lag(item_id, {back}) OVER ())" for back in backs) or "false"
    return f"""
SELECT count(*) AS num_rows,
  count(CASE WHEN place = 1 THEN 1 END) AS num_begun,
  count(CASE WHEN rank <> place THEN 1 END) AS num_misplaced,
  count(CASE WHEN place > 1 AND score > score_before THEN 1 END) AS num_rising,
  -- No comparison: Parquet's statistics leave NaN out.
  count(CASE WHEN NOT isfinite(score) THEN 1 END) AS num_infinite,
  count(CASE WHEN again THEN 1 END) AS num_repeated,
  count(CASE WHEN incomplete THEN 1 END) AS num_incomplete,
  count(CASE WHEN shop <> '{partition.shop}' OR dt <> DATE '{partition.day.isoformat()}' THEN 1 END) AS num_foreign
FROM (
  SELECT *, {again} AS again FROM (
    SELECT *, number - max(CASE WHEN begins THEN number END) OVER (ROWS UNBOUNDED PRECEDING) + 1 AS place
    FROM (
      SELECT shop, dt, rank, item_id, score, {empty} AS incomplete,
        row_number() OVER () AS number,
        lag(score) OVER () AS score_before,
        user_id IS DISTINCT FROM lag(user_id) OVER () OR surface IS DISTINCT FROM lag(surface) OVER () AS begins
      FROM stage_recommendations
    )
  )
)"""


def mart_audits(table: Table, num_rows: Mapping[date, int]) -> list[Audit]:
    """Every audit of the staged days of one table of `contracts.KEPT_DAYS`; its names begin with the table's.

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
        *_meaning_audits(table),
    ]
    return [replace(audit, name=f"{table.name}_{audit.name}") for audit in audits]


def _meaning_audits(table: Table) -> list[Audit]:
    if table in MARTS:
        whole = Audit(
            "days_without_all",
            f"days without a row for {ALL}",
            f"SELECT count(*) FROM (SELECT dt FROM stage_{table.name} GROUP BY dt"
            " HAVING max(CASE WHEN platform = $1 THEN 1 ELSE 0 END) = 0) t",
            (ALL,),
        )
        return [whole, *_sum_audits(table)]
    if table in (REALISED_SCORES, REALISED_CALIBRATION):
        more = "num_positives > num_people OR num_positives < 0 OR NOT foretold_sum BETWEEN 0 AND num_people + 1e-6"
        more += " OR num_people > num_foretold" if table == REALISED_SCORES else ""
        sql = f"SELECT count(*) FROM stage_{table.name} WHERE {more}"
        return [Audit("impossible_rows", "rows that count more people than there are", sql)]
    if table == REALISED_DECISIONS:
        few = "num_answered > num_people OR num_positives > num_answered OR arm NOT IN ($1, $2)"
        sql = f"SELECT count(*) FROM stage_{table.name} WHERE {few}"
        return [Audit("impossible_rows", "rows that count more people than there are", sql, (ACT, CONTROL))]
    return []


def _sum_audits(table: Table) -> list[Audit]:
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


def night_audits(gate: Gate, *, num_rows: int, k: int, num_candidates: int, has_champion: bool) -> list[Audit]:
    """Every audit of one night; for the last one `stage_before` holds the lists that `stage_sample` had yesterday.

    Args:
        num_rows: rows the lake says the partition has.
        k: rows per person and surface, where there are enough candidates.
        num_candidates: items that could be recommended to a person with nothing excluded.
        has_champion: a model scored; without one popularity serves everybody, and no share of it is too large.
    """
    return [
        *_shape_audits(num_rows),
        *_list_audits(k, num_candidates),
        *_reference_audits(),
        *_band_audits(gate, has_champion),
    ]


def _shape_audits(num_rows: int) -> list[Audit]:
    expected = max(num_rows, 1)  # readers never get an empty night
    return [
        Audit("rows", "rows", "SELECT num_rows FROM stage_facts", low=expected, high=expected),
        Audit("missing_values", "rows with an empty column", "SELECT num_incomplete FROM stage_facts"),
        Audit("foreign_rows", "rows of another shop or day", "SELECT num_foreign FROM stage_facts"),
    ]


def _list_audits(k: int, num_candidates: int) -> list[Audit]:
    """Each person's list: its length, its ranks, its items, its scores."""
    least = "least(CAST($1 AS BIGINT), greatest(CAST($2 AS BIGINT) - coalesce(e.num_excluded, 0), 0))"
    return [
        Audit(
            "rows_per_user",
            f"lists without {k} rows",
            f"""
            SELECT count(*) FROM (SELECT user_id, num_rows FROM stage_lists WHERE num_rows <> CAST($1 AS BIGINT)) c
            LEFT JOIN stage_eligible e ON e.user_id = c.user_id
            WHERE c.num_rows > CAST($1 AS BIGINT) OR c.num_rows < {least}""",
            (k, num_candidates),
        ),
        Audit(
            "missing_users",
            "eligible people without a list",
            f"""
            SELECT count(DISTINCT m.user_id) FROM (
              SELECT p.user_id FROM (SELECT user_id FROM stage_eligible) p
              CROSS JOIN (SELECT DISTINCT surface FROM stage_lists) s
              ANTI JOIN stage_lists l ON l.surface = s.surface AND l.user_id = p.user_id
            ) m JOIN stage_eligible e ON e.user_id = m.user_id WHERE {least} > 0""",
            (k, num_candidates),
        ),
        Audit("repeated_items", "items twice in one list", "SELECT num_repeated FROM stage_facts"),
        Audit("ranks", "rows whose rank is not their place in the list", "SELECT num_misplaced FROM stage_facts"),
        Audit("infinite_scores", "scores that are no finite number", "SELECT num_infinite FROM stage_facts"),
        Audit("rising_scores", "scores above the rank before", "SELECT num_rising FROM stage_facts"),
    ]


def _reference_audits() -> list[Audit]:
    """Everything a row names exists, and names one thing."""
    listed = "(SELECT DISTINCT user_id FROM stage_lists) l"
    return [
        Audit(
            "unknown_users",
            "people who are not eligible",
            f"SELECT count(*) FROM {listed} ANTI JOIN stage_eligible e ON e.user_id = l.user_id",
        ),
        Audit(
            "unmapped_users",
            "people without the shop's own id",
            f"SELECT count(*) FROM {listed} ANTI JOIN people p ON p.pseudonym = l.user_id",
        ),
        Audit(
            "ambiguous_users",
            "ids of the shop that stand for two people, such as a login and a device of the same name",
            f"""
            SELECT count(*) FROM (
              SELECT p.shop_id FROM {listed} JOIN people p ON p.pseudonym = l.user_id
              GROUP BY p.shop_id HAVING count(*) > 1
            ) t""",
        ),
        Audit(
            "unknown_items",
            "rows whose item is not in items",
            "SELECT count(*) FROM stage_recommendations r ANTI JOIN stage_items i ON i.item_id = r.item_id",
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


def _band_audits(gate: Gate, has_champion: bool) -> list[Audit]:
    return [
        Audit(
            "fallback_share",
            "of people served by the fallback",
            "SELECT count(DISTINCT CASE WHEN is_fallback = 1 THEN user_id END) / nullif(count(DISTINCT user_id), 0)"
            " FROM stage_lists",
            high=gate.max_fallback_share if has_champion else 1,
        ),
        Audit(
            "overlap_yesterday",
            "of a list stood in the same person's list the night before, on average",
            """
            WITH tonight AS (
              SELECT r.surface, s.user_id, r.item_id FROM stage_recommendations r
              JOIN stage_sample s ON s.pseudonym = r.user_id
            ),
            shares AS (
              SELECT CAST(count(b.item_id) AS DOUBLE) / count(*) AS share FROM tonight t
              JOIN (SELECT DISTINCT surface, user_id FROM stage_before) p
                ON p.surface = t.surface AND p.user_id = t.user_id
              LEFT JOIN stage_before b ON b.surface = t.surface AND b.user_id = t.user_id AND b.item_id = t.item_id
              GROUP BY t.surface, t.user_id
            )
            SELECT avg(share) FROM shares""",
            low=gate.min_overlap_yesterday,
            high=gate.max_overlap_yesterday,
        ),
    ]
