"""Take people out of the warehouse: their mapping, their rows of every night, and what CRM tools were told of them."""

# ruff: noqa: S608 - only names from contracts are put into SQL; every value is bound

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence

from nightjar.stores.warehouse.connection import Connection, Passing, Warehouse, passing_by
from nightjar.stores.warehouse.schema import CRM_GONE, NIGHTLY, exists

#: Tables that hold the shop's own ids as user_id.
_BY_USER = (*NIGHTLY, CRM_GONE.name)

#: Ids per statement.
_AT_ONCE = 500

#: Of each person: how many rows each table holds.
Counts = list[dict[str, int]]


def shop_ids(warehouse: Warehouse, shop: str, pseudonyms: Collection[str]) -> dict[str, str]:
    """Pseudonym -> the shop's id, of those that the warehouse knows.

    Raises:
        BadInput: there is no warehouse.
    """
    found: dict[str, str] = {}
    with warehouse.reader() as db:
        for some, places in _portions(sorted(pseudonyms)) if exists(db, "users") else ():
            sql = f"SELECT pseudonym, shop_id FROM users WHERE shop = $1 AND pseudonym IN ({places})"
            found |= {str(pseudonym): str(shop_id) for pseudonym, shop_id in db.query(sql, shop, *some)}
    return found


def erase(
    warehouse: Warehouse,
    shop: str,
    people: Sequence[Mapping[str, Collection[str]]],
    *,
    found: Callable[[Counts], None],
    passing: Passing = passing_by,
) -> None:
    """Delete every row of these people, in one transaction; what was published of everybody else stays as it is.

    DuckDB's file is then written anew, because deleted rows lie in it until their room is needed. In PostgreSQL that
    room is VACUUM's business.

    Args:
        people: of each person `members` (pseudonyms) and `shop_ids`.
        found: is told before the commit what each person has here.

    Raises:
        OSError: the warehouse cannot be written.
    """
    with warehouse.writer(shop, passing) as db:
        counts = [_counted(db, shop, person) for person in people]
        found(counts)
        if any(sum(one.values()) for one in counts):
            for person in people:
                for table, column, names in _rows_of(person):
                    for some, places in _portions(names):
                        db.execute(f"DELETE FROM {table} WHERE shop = $1 AND {column} IN ({places})", shop, *some)
            db.changed = True
            db.purged = True
            passing("replaced")


def _counted(db: Connection, shop: str, person: Mapping[str, Collection[str]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for table, column, names in _rows_of(person):
        for some, places in _portions(names):
            sql = f"SELECT count(*) FROM {table} WHERE shop = $1 AND {column} IN ({places})"
            ((rows,),) = db.query(sql, shop, *some)
            counts[table] = counts.get(table, 0) + int(rows)
    return counts


def _rows_of(person: Mapping[str, Collection[str]]) -> list[tuple[str, str, list[str]]]:
    """Table, column, values."""
    by_user = [(table, "user_id", sorted(person["shop_ids"])) for table in _BY_USER]
    return [*by_user, ("users", "pseudonym", sorted(person["members"]))]


def _portions(names: Sequence[str]) -> list[tuple[Sequence[str], str]]:
    """Some names, and the places where they are bound, behind $1."""
    cut = [names[start : start + _AT_ONCE] for start in range(0, len(names), _AT_ONCE)]
    return [(some, ", ".join(f"${place}" for place in range(2, len(some) + 2))) for some in cut]
