"""Small nights for the warehouse's tests, and processes that can be killed at a named point.

python nights.py TARGET FILE POINT publishes a saved night, python nights.py TARGET --to=NIGHT POINT rolls back to one.
With SERVER, a process, after the point, that is killed there with all below it, and the publisher is not; the
repository's root must then be on PYTHONPATH.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from nightjar.contracts import (
    DAILY_KPIS,
    DATA_QUALITY,
    DECISIONS,
    FORETOLD,
    FUNNELS,
    ITEMS,
    MARTS,
    PROMOTIONS,
    RECOMMENDATIONS,
    SEQUENCES,
    USER_FEATURES,
    USERS,
    Partition,
    Table,
)
from nightjar.contracts.render import arrow_schema
from nightjar.settings import Conf, load_conf
from nightjar.stores.warehouse import DuckDbFile, MartDay, Night, Postgres, Publication, Warehouse, publish, rollback
from nightjar.stores.warehouse.schema import TABLES

SHOP = "acme"
DAY = date(2001, 1, 15)
NOW = datetime(2001, 1, 15, 19, tzinfo=UTC)
K = 3

#: Person -> items, best first. Ada, Bob and Cy have a history; Dee is served by the fallback.
LISTS = {
    "p-ada": ("i1", "i2", "i3"),
    "p-bob": ("i2", "i3", "i4"),
    "p-cy": ("i5", "i1", "i2"),
    "p-dee": ("i1", "i2", "i5"),
}
CHANGED = LISTS | {"p-ada": ("i1", "i2", "i5")}

#: Whether readers see tonight when the publisher is killed there, in DuckDB and in PostgreSQL; None: it does not pass.
POINTS: dict[str, tuple[bool | None, bool | None]] = {
    "opened": (False, False),
    "staged": (False, False),
    "merged": (False, False),
    "audited": (False, False),
    "loaded": (False, False),
    "replaced": (False, False),
    # DuckDB's transaction is committed inside the copy, which readers get by the rename after this point.
    "committed": (False, True),
    "flushed": (False, None),
    "swapped": (True, None),
    "tidied": (None, True),
    "published": (True, True),
}
FALLBACK = ("p-dee",)
ITEM_IDS = ("i1", "i2", "i3", "i4", "i5")

Rows = list[dict[str, Any]]


def conf(*sets: str) -> Conf:
    return load_conf(sets=[f"score.k={K}", 'score.exclude="none"', "publish.keep_nights=3", *sets])


def recommendations(lists: Mapping[str, Sequence[str]] = LISTS, *, day: date = DAY, shop: str = SHOP) -> Rows:
    """One row per item of the lists, as score leaves them: user_id is a pseudonym."""
    rows = []
    for person, items in lists.items():
        for rank, item in enumerate(items, 1):
            popular = person in FALLBACK
            rows.append(
                {
                    "row_key": f"{shop}|{day}|home|{person}|{rank}",
                    "shop": shop,
                    "dt": day,
                    "surface": "home",
                    "user_id": person,
                    "rank": rank,
                    "item_id": item,
                    "score": 1.0 - rank / 8,
                    "strategy": "popular" if popular else "model",
                    "reason_code": "popular_now" if popular else "because_viewed",
                    "evidence_item_id": None if popular else "i4",
                    "model_name": "popularity" if popular else f"nightjar_{shop}",
                    "model_version": "1" if popular else "7",
                }
            )
    return rows


def items(item_ids: Sequence[str] = ITEM_IDS, *, day: date = DAY) -> Rows:
    return [
        {
            "item_id": item,
            "dt": day,
            "title": f"Title of {item}",
            "category": "tea",
            "brand": None,
            "price": 2.5,
            "price_bucket": 5,
            "first_seen": datetime(2001, 1, 1, 8, tzinfo=UTC),
            "last_seen": datetime(2001, 1, 15, 8, tzinfo=UTC),
            "num_events": 10,
            "num_recent": 4,
            "num_purchases": 1,
            "recent_by_platform": [4, 0, 0, 0, 0, 0],
        }
        for item in item_ids
    ]


def sequences(people: Sequence[str], *, day: date = DAY, history: Sequence[str] = ()) -> Rows:
    codes = [1] * len(history)
    names = ("kinds", "event_ts", "platforms", "session_ordinals", "price_buckets", "category_codes")
    row = {"dt": day, "item_ids": list(history), **dict.fromkeys(names, codes), "num_events": len(history)}
    row["last_platform"] = "web"
    return [{"user_id": person, **row} for person in people]


def features(days_ago: Mapping[str, int], spend: Mapping[str, float], *, day: date = DAY) -> Rows:
    """What scores are ranks of; people who are not in `spend` never bought, and everybody came once."""
    zeros: dict[str, Any] = {column.name: 0 if not column.nullable else None for column in USER_FEATURES.columns}
    zeros |= {"dt": day, "num_sessions": 1, "last_platform": "web"}
    return [
        zeros | {"user_id": person, "hours_since_last_event": 24.0 * days, "spend": spend.get(person, 0.0)}
        for person, days in days_ago.items()
    ]


def foretold(probabilities: Mapping[str, float], *, score_name: str = "churn", day: date = DAY, **columns: Any) -> Rows:
    """One task's rows: a tenth of probability is a decile, one half is flagged."""
    return [
        {
            "dt": day,
            "score_name": score_name,
            "user_id": person,
            "probability": probability,
            "decile": min(int(probability * 10) + 1, 10),
            "flagged": probability >= 0.5,
            "contender": "trees",
            "model_version": "4",
            "reasons": ["hours_since_last_event", "num_orders"],
            "outcome": None,
        }
        | columns
        for person, probability in probabilities.items()
    ]


def decisions(arms: Mapping[str, str], *, decision: str = "retention", day: date = DAY, **columns: Any) -> Rows:
    """Person -> arm, best first."""
    return [
        {
            "row_key": f"{SHOP}|{day}|{decision}|{person}",
            "shop": SHOP,
            "dt": day,
            "decision": decision,
            "user_id": person,
            "arm": arm,
            "rank": rank,
            "offer": "call" if arm == "act" else None,
            "expected_value": 10.0 / rank,
            "cost": 0.0,
            "score_name": "churn",
            "score": 0.75,
            "reasons": '["num_orders"]',
        }
        | columns
        for rank, (person, arm) in enumerate(arms.items(), 1)
    ]


def users(people: Sequence[str], *, shop: str = SHOP) -> Rows:
    """The shop calls p-ada ada."""
    return [
        {"shop": shop, "pseudonym": person, "shop_id": person.removeprefix("p-"), "id_kind": "user"}
        for person in people
    ]


def promotions(decision_id: str = "d1", *, day: date = DAY) -> Rows:
    row: dict[str, Any] = dict.fromkeys(PROMOTIONS.names, "x")
    return [row | {"shop": SHOP, "dt": day, "decision_id": decision_id, "decided_at": NOW, "champion_version": None}]


def data_quality(expectation: str = "volume", *, day: date = DAY) -> Rows:
    row: dict[str, Any] = dict.fromkeys(DATA_QUALITY.names, "x")
    return [row | {"shop": SHOP, "dt": day, "expectation": expectation, "success": True}]


def mart_rows(table: Table, *, day: date = DAY, num_sessions: int = 4) -> Rows:
    """A day on which everybody used the web, and nothing is known but the sessions."""
    nothing: dict[str, Any] = {column.name: None if column.nullable else 0 for column in table.columns} | {"dt": day}
    nothing |= dict.fromkeys(table.key, "(all)")
    if table in (DAILY_KPIS, FUNNELS):
        nothing["num_sessions"] = num_sessions
    return [nothing, nothing | {"platform": "web"}]


def judged_rows(table: Table, *rows: Mapping[str, Any], day: date = DAY) -> Rows:
    """Rows of what is realised: nought where nothing is said."""
    nothing: dict[str, Any] = {c.name: None if c.nullable else "x" if c.type == "string" else 0 for c in table.columns}
    return [nothing | {"dt": day} | dict(row) for row in rows]


def mart(folder: Path, table: Table, rows: Rows, *, day: date = DAY) -> MartDay:
    content = hashlib.sha256(repr(rows).encode()).hexdigest()
    files = write(folder, table, rows, f"{day}-{content[:8]}") if rows else []
    return MartDay(Partition(SHOP, table.name, day), content, len(rows), files)


def marts(folder: Path, *days: date, num_sessions: int = 4) -> list[MartDay]:
    """Every analysis table on these days."""
    return [
        mart(folder, table, mart_rows(table, day=day, num_sessions=num_sessions), day=day)
        for table in MARTS
        for day in days
    ]


def write(folder: Path, table: Table, rows: Rows, name: str = "part-0") -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{table.name}-{name}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, arrow_schema(table)), path)
    return [str(path)]


def night(folder: Path, lists: Mapping[str, Sequence[str]] = LISTS, *, day: date = DAY, **rows: Rows) -> Night:
    """Write a night's files below `folder`; `rows` replaces the rows of a table by name."""
    tables: dict[str, Rows] = {
        "recommendations": recommendations(lists, day=day),
        "items": items(day=day),
        "sequences": sequences(list(lists), day=day),
        "promotions": promotions(day=day),
        "data_quality": data_quality(day=day),
        "users": users(list(lists)),
    } | rows
    inputs = {
        str(Partition(SHOP, name, day)): hashlib.sha256(repr(sorted(tables[name], key=repr)).encode()).hexdigest()
        for name in ("recommendations", "items", "sequences", "user_features", "foretold", "decisions")
        if name in tables
    }
    if tables["users"]:
        write(folder / "users", USERS, tables["users"], str(day))
    return Night(
        partition=Partition(SHOP, "recommendations", day),
        run_id="test",
        num_rows=len(tables["recommendations"]),
        recommendations=write(folder, RECOMMENDATIONS, tables["recommendations"], str(day)),
        items=write(folder, ITEMS, tables["items"], str(day)),
        eligible=write(folder, SEQUENCES, tables["sequences"], str(day)),
        promotions=write(folder, PROMOTIONS, tables["promotions"], str(day)),
        data_quality=write(folder, DATA_QUALITY, tables["data_quality"], str(day)),
        inputs=inputs,
        new_users=folder / "users",
        features=write(folder, USER_FEATURES, tables["user_features"], str(day)) if "user_features" in tables else [],
        foretold=write(folder, FORETOLD, tables["foretold"], str(day)) if "foretold" in tables else [],
        decisions=write(folder, DECISIONS, tables["decisions"], str(day)) if "decisions" in tables else [],
    )


def of_shop(night: Night, shop: str) -> Night:
    """The same files as another shop's night."""
    inputs = {str(replace(Partition.parse(name), shop=shop)): content for name, content in night.inputs.items()}
    return replace(night, partition=replace(night.partition, shop=shop), inputs=inputs)


def shuffled(night: Night, folder: Path) -> Night:
    """The same rows in another order and in two files."""
    table = pq.read_table(night.recommendations[0]).sort_by([("item_id", "descending"), ("user_id", "descending")])
    folder.mkdir(parents=True, exist_ok=True)
    paths = [str(folder / name) for name in ("a.parquet", "b.parquet")]
    pq.write_table(table.slice(0, 5), paths[0])
    pq.write_table(table.slice(5), paths[1])
    return replace(night, recommendations=paths)


def days(count: int) -> list[date]:
    return [DAY + timedelta(days=number) for number in range(count)]


def at(moment: datetime = NOW) -> Any:
    return lambda: moment


def put(warehouse: Warehouse, night: Night, *sets: str) -> Publication:
    return publish(warehouse, night, conf(*sets), now=at())


def ask(warehouse: Warehouse, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with warehouse.reader() as db:
        return db.query(sql, *values)


def everything(warehouse: Warehouse) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table, sorted."""
    with warehouse.reader() as db:
        return {table.name: sorted(db.query(f"SELECT * FROM {table.name}"), key=repr) for table in TABLES}


def view_columns(db: Any, view: str) -> dict[str, str | None]:
    """Name -> comment, in order."""
    sql = {
        "duckdb": "SELECT column_name, comment FROM duckdb_columns() WHERE table_name = $1 ORDER BY column_index",
        "postgres": "SELECT CAST(attname AS TEXT), col_description(attrelid, attnum) FROM pg_attribute"
        " WHERE attrelid = to_regclass($1) AND attnum > 0 ORDER BY attnum",
    }
    return dict(db.query(sql[db.dialect], view))


def current(warehouse: Warehouse) -> list[tuple[Any, ...]]:
    return ask(warehouse, "SELECT dt, user_id, item_id FROM v_recommendations_current ORDER BY user_id, rank")


def expected(lists: dict[str, tuple[str, ...]], day: date = DAY) -> list[tuple[Any, ...]]:
    return [(day, person.removeprefix("p-"), item) for person, items in lists.items() for item in items]


def saved(night: Night, path: Path) -> Path:
    """The night as a file that `python nights.py` reads."""
    value = asdict(night) | {"partition": str(night.partition), "new_users": str(night.new_users)}
    value["marts"] = [asdict(mart) | {"partition": str(mart.partition)} for mart in night.marts]
    path.write_text(json.dumps(value))
    return path


def argv(warehouse: Warehouse, file: Path, point: str = "", server: int | None = None) -> list[str]:
    return [sys.executable, __file__, target_of(warehouse), str(file), point, *([str(server)] if server else [])]


def rollback_argv(warehouse: Warehouse, to: str, point: str = "") -> list[str]:
    return [sys.executable, __file__, target_of(warehouse), f"--to={to}", point]


def target_of(warehouse: Warehouse) -> str:
    return warehouse.uri if isinstance(warehouse, Postgres) else str(warehouse.path)  # type: ignore[attr-defined]


def loaded(file: Path) -> Night:
    value = json.loads(file.read_text())
    value |= {"partition": Partition.parse(value["partition"]), "new_users": Path(value["new_users"])}
    value["marts"] = [MartDay(**{**one, "partition": Partition.parse(one["partition"])}) for one in value["marts"]]
    return Night(**value)


def _main(target: str, what: str, point: str, server: str = "") -> None:
    warehouse: Warehouse = Postgres(target) if target.startswith("postgresql") else DuckDbFile(Path(target))

    def passing(name: str) -> None:
        if name == point and server:
            from jobs.ops.postgres import kill_family

            kill_family(int(server))
        elif name == point:
            os.kill(os.getpid(), signal.SIGKILL)

    if what.startswith("--to="):
        rollback(warehouse, SHOP, what.removeprefix("--to="), now=at(), passing=passing)
        return
    publication = publish(warehouse, loaded(Path(what)), conf(), now=at(), passing=passing)
    print(json.dumps(publication.counts()))


if __name__ == "__main__":
    _main(*sys.argv[1:])
