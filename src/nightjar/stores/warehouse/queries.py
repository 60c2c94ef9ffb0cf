"""What a person asks first: whose recommendations, and what happened when."""

# ruff: noqa: S608 - only names from contracts are put into SQL; every value is bound

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Any

from nightjar.contracts import PUBLISH_LOG
from nightjar.stores.warehouse.connection import Warehouse
from nightjar.stores.warehouse.schema import exists


@dataclass(frozen=True)
class Recommended:
    """One recommended item of one person, with the reason; titles are None where the log gave none."""

    user_id: str  # the shop's own id
    surface: str
    rank: int
    item_id: str
    title: str | None
    score: float
    strategy: str
    reason_code: str
    evidence_item_id: str | None
    evidence_title: str | None


def sample(warehouse: Warehouse, shop: str, day: date, num_users: int = 3, num_items: int = 5) -> list[Recommended]:
    """The best items of a few people of one night, ordered by person and rank.

    The same people for the same night: those whose hashed id comes first, people with history before
    people served by the fallback.

    Raises:
        BadInput: there is no warehouse yet.
    """
    with warehouse.reader() as db:
        rows = db.query(_SAMPLE, shop, day, num_users, num_items)
    return [Recommended(*row) for row in rows]


def history(warehouse: Warehouse, shop: str, limit: int = 14) -> list[dict[str, Any]]:
    """The latest rows of publish_log, newest first, as column -> value."""
    with warehouse.reader() as db:
        rows = db.query(
            f"SELECT {', '.join(PUBLISH_LOG.names)} FROM publish_log WHERE shop = $1"
            " ORDER BY published_at DESC, publish_id DESC LIMIT CAST($2 AS BIGINT)",
            shop,
            limit,
        )
    return [dict(zip(PUBLISH_LOG.names, row, strict=True)) for row in rows]


_SAMPLE = """
WITH people AS (
  SELECT user_id, min(strategy) AS strategy FROM recommendations WHERE shop = $1 AND dt = $2 GROUP BY user_id
  ORDER BY min(strategy), md5(user_id) LIMIT CAST($3 AS BIGINT)
)
SELECT r.user_id, r.surface, r.rank, r.item_id, i.title, r.score, r.strategy, r.reason_code, r.evidence_item_id,
  e.title
FROM people p
JOIN recommendations r ON r.shop = $1 AND r.dt = $2 AND r.user_id = p.user_id
LEFT JOIN items i ON i.shop = $1 AND i.dt = $2 AND i.item_id = r.item_id
LEFT JOIN items e ON e.shop = $1 AND e.dt = $2 AND e.item_id = r.evidence_item_id
WHERE r.rank <= CAST($4 AS INTEGER)
ORDER BY p.strategy, md5(r.user_id), r.surface, r.rank"""


def held_models(warehouse: Warehouse, shop: str, model_name: str) -> set[str]:
    """Versions of a model that scored a night which the warehouse holds."""
    with warehouse.reader() as db:
        if not exists(db, "published_nights"):
            return set()
        rows = db.query(
            "SELECT DISTINCT l.model_version FROM published_nights n JOIN publish_log l ON l.publish_id = n.publish_id"
            " WHERE n.shop = $1 AND l.model_name = $2",
            shop,
            model_name,
        )
    return {str(version) for (version,) in rows}
