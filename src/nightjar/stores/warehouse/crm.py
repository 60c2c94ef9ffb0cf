"""Who has which content since when: what a CRM tool must be told, and nothing else.

`crm_states` holds per night and person a hash of the content and since when readers see it. A night inherits
`changed_at` from what readers saw before it, where the content is the same. Going back to another night moves a
pointer only: `v_crm_seen` then compares the two nights when somebody asks.
"""

# ruff: noqa: S608 - only names from contracts are put into SQL; every value is bound

from __future__ import annotations

from datetime import datetime

from nightjar.contracts import Partition
from nightjar.stores.warehouse.connection import Connection
from nightjar.stores.warehouse.workbench import Workbench

#: A prime below 2^31: products of two remainders fit a BIGINT.
_PRIME = 2147483647


def stage_contents(db: Connection, shop: str) -> None:
    """Have `stage_contents(user_id, content_hash)` of tonight's people, and `crm_before` of what readers see now.

    The hash is two sums over a person's rows, each of an item's hash times the weight of its place, modulo a prime:
    arithmetic on integers, where hashing every row's text would cost half as much as loading it. Two contents are
    taken for the same with a probability of about 2^-62. MD5 is the only function in it, so a new release of the
    engine changes no hash.
    """
    bench = db.bench
    db.fetch("crm_before", "SELECT user_id, content_hash, changed_at FROM v_crm_seen WHERE shop = $1", shop)
    _hashed(bench, "item_hashes", "item_id", ("item_id", "title", "category", "brand", "price"), "stage_items")
    place = ("surface", "rank", "reason_code")
    _hashed(
        bench,
        "place_hashes",
        ", ".join(place),
        place,
        f"(SELECT DISTINCT {', '.join(place)} FROM stage_recommendations)",
    )
    bench.table(
        "stage_contents",
        f"""
        SELECT p.shop_id AS user_id,
          CAST(h.high AS BIGINT) * {_PRIME + 1} + CAST(h.low AS BIGINT) AS content_hash
        FROM (
          SELECT r.user_id, sum((i.high * w.high) % {_PRIME}) % {_PRIME} AS high,
            sum((i.low * w.low) % {_PRIME}) % {_PRIME} AS low
          FROM stage_recommendations r
          JOIN item_hashes i ON i.item_id = r.item_id
          JOIN place_hashes w ON w.surface = r.surface AND w.rank = r.rank AND w.reason_code = r.reason_code
          GROUP BY r.user_id
        ) h JOIN people p ON p.pseudonym = h.user_id""",
    )


def _hashed(bench: Workbench, name: str, kept: str, hashed: tuple[str, ...], source: str) -> None:
    """Two independent remainders, never 0, of the MD5 of some columns."""
    text = "CAST(to_json(struct_pack(" + ", ".join(f"{column} := {column}" for column in hashed) + ")) AS VARCHAR)"
    halves = ", ".join(
        f"CAST(1 + md5_number_{half}(row_text) % {_PRIME - 1} AS BIGINT) AS {column}"
        for half, column in (("upper", "high"), ("lower", "low"))
    )
    bench.table(name, f"SELECT {kept}, {halves} FROM (SELECT {kept}, {text} AS row_text FROM {source})")


def load_states(db: Connection, partition: Partition, moved_at: datetime, *, shown: bool) -> None:
    """The night's states, and who is gone with it.

    Args:
        moved_at: since when readers see the night.
        shown: whether they will: a past night that is published again is kept for a rollback only.
    """
    shop, day = partition.shop, partition.day
    instant = f"TIMESTAMP '{moved_at.isoformat(sep=' ')}'"
    db.replace_night(
        "crm_states",
        shop,
        day,
        f"SELECT '{shop}' AS shop, DATE '{day.isoformat()}' AS dt, n.user_id, n.content_hash,"
        f" CASE WHEN b.content_hash = n.content_hash THEN b.changed_at ELSE {instant} END AS changed_at"
        " FROM stage_contents n LEFT JOIN crm_before b ON b.user_id = n.user_id",
    )
    if not shown:
        return
    settle_gone(db, shop)
    db.bench.table(
        "stage_gone",
        f"SELECT '{shop}' AS shop, b.user_id, {instant} AS deleted_at FROM crm_before b"
        " WHERE NOT EXISTS (SELECT 1 FROM stage_contents n WHERE n.user_id = b.user_id)",
    )
    db.append("crm_gone", "SELECT * FROM stage_gone")
    db.execute(
        "DELETE FROM crm_gone WHERE shop = $1 AND user_id IN"
        " (SELECT s.user_id FROM crm_states s WHERE s.shop = $1 AND s.dt = $2)",
        shop,
        day,
    )


def settle_gone(db: Connection, shop: str) -> None:
    """Write down who came and went with the last rollback, before the pointer forgets where it came from."""
    db.execute(
        "DELETE FROM crm_gone WHERE shop = $1 AND user_id IN (SELECT s.user_id FROM v_crm_seen s WHERE s.shop = $1)",
        shop,
    )
    db.execute(
        "INSERT INTO crm_gone (shop, user_id, deleted_at)"
        " SELECT d.shop, d.user_id, d.deleted_at FROM crm_deletions d WHERE d.shop = $1"
        " AND NOT EXISTS (SELECT 1 FROM crm_gone g WHERE g.shop = d.shop AND g.user_id = d.user_id)",
        shop,
    )


def settle_states(db: Connection, shop: str) -> None:
    """Write down since when readers see each content, where a rollback is about to follow another one."""
    settle_gone(db, shop)
    db.execute(
        "UPDATE crm_states SET changed_at = s.changed_at FROM v_crm_seen s"
        " WHERE s.shop = $1 AND crm_states.shop = s.shop AND crm_states.dt = s.dt"
        " AND crm_states.user_id = s.user_id AND crm_states.changed_at <> s.changed_at",
        shop,
    )
