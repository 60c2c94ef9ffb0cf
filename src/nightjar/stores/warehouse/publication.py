"""One night into the warehouse: stage, audit in SQL, one transaction."""

# ruff: noqa: S608 - only names from contracts are put into SQL; every value is bound

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from nightjar.contracts import (
    DATA_QUALITY,
    ITEMS,
    MARTS,
    PROMOTIONS,
    RECOMMENDATIONS,
    USERS,
    GateFailed,
    Partition,
    Table,
)
from nightjar.contracts.render import WAREHOUSE_TYPES
from nightjar.settings import Conf
from nightjar.stores.warehouse import pointer
from nightjar.stores.warehouse.audits import (
    Audit,
    Seen,
    mart_audits,
    night_audits,
    people_audits,
    run_audits,
)
from nightjar.stores.warehouse.connection import Connection, Passing, Warehouse, passing_by, turn
from nightjar.stores.warehouse.pointer import Held


@dataclass(frozen=True)
class MartDay:
    """One day of one analysis table; `files` are paths of Parquet files, none where it has no rows."""

    partition: Partition
    content_hash: str
    num_rows: int
    files: Sequence[str]


@dataclass(frozen=True)
class Night:
    """What one night brings; every list holds paths of Parquet files.

    Args:
        partition: the night's partition of `recommendations`.
        num_rows: rows that the lake says it has.
        eligible: the night's `sequences`: everybody in it gets a list.
        inputs: each partition that the night is made from, with the hash of its rows in the lake.
        new_users: the folder where mapping rows wait for the warehouse; emptied after the commit.
        num_candidates: items that could be recommended to a person with nothing excluded; None for all items.
        marts: every day of the analysis tables; those that readers see already are left as they are.
    """

    partition: Partition
    run_id: str
    num_rows: int
    recommendations: Sequence[str]
    items: Sequence[str]
    eligible: Sequence[str]
    promotions: Sequence[str]
    data_quality: Sequence[str]
    inputs: Mapping[str, str]
    new_users: Path
    num_candidates: int | None = None
    marts: Sequence[MartDay] = ()

    @property
    def content_hash(self) -> str:
        """Hash of the rows that readers will see, independent of their order and of files; 32 hex digits."""
        seen = [str(self.partition.of(table)) for table in (RECOMMENDATIONS, ITEMS)]
        return hashlib.sha256(json.dumps([(name, self.inputs[name]) for name in seen]).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Publication:
    """What became of a night.

    Args:
        published: False where the warehouse held the same recommendations already.
        publish_id: the row of publish_log that readers of this night see.
        mart_days: days of analysis tables that were new or changed, counted per table.
        audits: what each audit saw; empty where nothing was published.
    """

    published: bool
    publish_id: str
    num_rows: int
    num_users: int
    fallback_share: float
    new_users: int
    mart_days: int = 0
    audits: dict[str, Seen] = field(default_factory=dict)

    def counts(self) -> dict[str, Any]:
        return asdict(self)


def publish(
    warehouse: Warehouse, night: Night, conf: Conf, *, now: Callable[[], datetime], passing: Passing = passing_by
) -> Publication:
    """Show a night to readers, whole; the same rows again change nothing.

    Readers see the last complete night until the commit and this one after it. Killed anywhere, the
    next call begins again. Mapping rows and ledger rows that wait, and days of analysis tables that
    changed, become visible even where the recommendations did not change.

    Args:
        now: the clock, in UTC; read once, just before the commit.
        passing: called at each point named in the tests' list of failpoints.

    Raises:
        GateFailed: an audit failed; it is named with its numbers, and readers still see the last night.
        OSError: the disk is full or unwritable, the server away, or the file held by another writer.
    """
    # Files that wait are listed, merged and deleted by one publisher at a time, whatever the warehouse.
    with turn(night.new_users / ".lock"):
        waiting = sorted(night.new_users.glob("*.parquet"))
        publication = _publish(warehouse, night, conf, waiting, _Clock(now, time.monotonic()), passing)
        passing("published")
        for file in waiting:  # only now: before the commit they were the sole copy
            file.unlink(missing_ok=True)
    return publication


def _publish(
    warehouse: Warehouse, night: Night, conf: Conf, waiting: Sequence[Path], clock: _Clock, passing: Passing
) -> Publication:
    with warehouse.writer(night.partition.shop, passing) as db:
        new_users = _merge_people(db, night, waiting)
        _merge_ledgers(db, night)
        mart_days, of_marts = _replace_marts(db, night)
        known = _published_already(db, night, new_users)
        if known is not None:
            return replace(known, mart_days=mart_days, audits=of_marts)
        _stage_night(db, night, conf)
        passing("staged")
        seen = of_marts | _audit(db, night, conf)
        passing("audited")
        before = pointer.shown(db, night.partition.shop)
        publication = replace(_replace(db, night, seen, new_users, before, clock), mart_days=mart_days)
        _forget_old_nights(db, night.partition, conf.publish.keep_nights, before)
        passing("replaced")
    return publication


@dataclass(frozen=True)
class _Clock:
    now: Callable[[], datetime]
    started: float

    def seconds(self) -> float:
        return round(time.monotonic() - self.started, 3)


def _rows(table: Table, files: Sequence[str], *, prefix: str = "") -> str:
    """DuckDB SQL of a contract's columns in its types; no row where there is no file."""
    types = WAREHOUSE_TYPES["duckdb"]
    if not files:
        nothing = ", ".join(f"CAST(NULL AS {types[c.type]}) AS {c.name}" for c in table.columns)
        return f"SELECT {prefix}{nothing} WHERE false"
    columns = ", ".join(f"CAST({c.name} AS {types[c.type]}) AS {c.name}" for c in table.columns)
    return f"SELECT {prefix}{columns} FROM read_parquet($files, hive_partitioning = false)"


def _merge_people(db: Connection, night: Night, waiting: Sequence[Path]) -> int:
    """Add mapping rows that `users` lacks; returns how many. A pseudonym keeps the id it has."""
    files = [str(file) for file in waiting]
    db.stage("stage_users", f"SELECT DISTINCT * FROM ({_rows(USERS, files)})", files)
    absent = """
        FROM stage_users s LEFT JOIN users u ON u.shop = s.shop AND u.pseudonym = s.pseudonym
        WHERE u.pseudonym IS NULL AND s.shop = $1"""
    shop = night.partition.shop
    ((new_users,),) = db.query(f"SELECT count(DISTINCT s.pseudonym) {absent}", shop)
    if new_users:
        db.changed = True
        db.execute(
            "INSERT INTO users (shop, pseudonym, shop_id, id_kind)"
            f" SELECT s.shop, s.pseudonym, min(s.shop_id), min(s.id_kind) {absent} GROUP BY s.shop, s.pseudonym",
            shop,
        )
    _require(db, night.partition, people_audits(shop))
    return int(new_users)


def _merge_ledgers(db: Connection, night: Night) -> None:
    """Add the ledger rows that the warehouse lacks; ledgers are append-only, known keys stay as they are."""
    # The decision's id is unique by itself, an expectation's name only within the day's check.
    for table, key, files in (
        (PROMOTIONS, PROMOTIONS.key, night.promotions),
        (DATA_QUALITY, ("dt", *DATA_QUALITY.key), night.data_quality),
    ):
        staged = f"stage_{table.name}"
        db.stage(staged, _rows(table, files), files)
        same = " AND ".join(f"t.{name} = s.{name}" for name in key)
        absent = f"FROM {staged} s WHERE NOT EXISTS (SELECT 1 FROM {table.name} t WHERE {same})"
        if db.query(f"SELECT count(*) {absent}") != [(0,)]:
            db.changed = True
            names = ", ".join(table.names)
            db.execute(f"INSERT INTO {table.name} ({names}) SELECT {names} {absent}")


def _replace_marts(db: Connection, night: Night) -> tuple[int, dict[str, Seen]]:
    """Swap the days of analysis tables whose content readers do not see; returns how many, and their audits."""
    shop = night.partition.shop
    rows = db.query("SELECT table_name, dt, content_hash FROM published_marts WHERE shop = $1", shop)
    seen_by_readers = {(table_name, day): content for table_name, day, content in rows}
    changed = [
        mart
        for mart in night.marts
        if seen_by_readers.get((mart.partition.table, mart.partition.day)) != mart.content_hash
    ]
    if not changed:
        return 0, {}
    audits = []
    for table in MARTS:
        days = [mart for mart in changed if mart.partition.table == table.name]
        files = [file for mart in days for file in mart.files]
        db.stage(f"stage_{table.name}", _rows(table, files, prefix=f"'{shop}' AS shop, "), files)
        audits += mart_audits(table, {mart.partition.day: mart.num_rows for mart in days})
    seen = _require(db, night.partition, audits)
    db.changed = True
    for mart in changed:
        day = (shop, mart.partition.day)
        db.execute(f"DELETE FROM {mart.partition.table} WHERE shop = $1 AND dt = $2", *day)
        db.execute(
            "DELETE FROM published_marts WHERE shop = $1 AND dt = $2 AND table_name = $3", *day, mart.partition.table
        )
        db.execute(
            "INSERT INTO published_marts (shop, dt, table_name, content_hash, num_rows) VALUES ($1, $2, $3, $4, $5)",
            *day,
            mart.partition.table,
            mart.content_hash,
            mart.num_rows,
        )
    for table in MARTS:
        names = ", ".join(("shop", *table.names))
        order = ", ".join(("dt", *table.order))
        db.execute(f"INSERT INTO {table.name} ({names}) SELECT {names} FROM stage_{table.name} ORDER BY {order}")
    return len(changed), seen


def _published_already(db: Connection, night: Night, new_users: int) -> Publication | None:
    """The night's latest publication, if it holds these rows and they are still there."""
    rows = db.query(
        "SELECT l.content_hash, l.publish_id, l.num_rows, l.num_users, l.fallback_share FROM published_nights n"
        " JOIN publish_log l ON l.publish_id = n.publish_id WHERE n.shop = $1 AND n.dt = $2",
        night.partition.shop,
        night.partition.day,
    )
    if not rows or rows[0][0] != night.content_hash:
        return None
    _, publish_id, num_rows, num_users, fallback_share = rows[0]
    return Publication(False, publish_id, num_rows, num_users, fallback_share, new_users)


def _stage_night(db: Connection, night: Night, conf: Conf) -> None:
    db.stage("stage_recommendations", _rows(RECOMMENDATIONS, night.recommendations), night.recommendations)
    shop = f"'{night.partition.shop}' AS shop, "  # a Partition's names are letters, digits and _
    db.stage("stage_items", _rows(ITEMS, night.items, prefix=shop), night.items)
    # At most the history's distinct items are withheld from a person; exactly how many, score knows.
    excluded = "0" if conf.score.exclude == "none" else "len(list_distinct(item_ids))"
    db.stage("stage_eligible", _eligible(excluded, night.eligible), night.eligible)


def _eligible(excluded: str, files: Sequence[str]) -> str:
    if not files:
        return "SELECT CAST(NULL AS VARCHAR) AS user_id, CAST(NULL AS BIGINT) AS num_excluded WHERE false"
    columns = f"user_id, CAST({excluded} AS BIGINT) AS num_excluded"
    return f"SELECT {columns} FROM read_parquet($files, hive_partitioning = false)"


def _audit(db: Connection, night: Night, conf: Conf) -> dict[str, Seen]:
    ((num_items,),) = db.query("SELECT count(*) FROM stage_items")
    num_candidates = num_items if night.num_candidates is None else night.num_candidates
    ((num_scored,),) = db.query("SELECT count(*) FROM stage_recommendations WHERE strategy = 'model'")
    audits = night_audits(
        night.partition,
        conf.gate,
        num_rows=night.num_rows,
        k=conf.score.k,
        num_candidates=num_candidates,
        has_champion=num_scored > 0,
    )
    return _require(db, night.partition, audits)


def _require(db: Connection, partition: Partition, audits: Sequence[Audit]) -> dict[str, Seen]:
    seen, failed = run_audits(db, audits)
    if failed:
        raise GateFailed(
            str(partition), failed, f"look at {partition} in the lake, mend its cause and run the night again"
        )
    return seen


def _replace(
    db: Connection, night: Night, seen: dict[str, Seen], new_users: int, before: Held | None, clock: _Clock
) -> Publication:
    """Swap the night's rows, write the log, move the pointer; all of it inside the open transaction."""
    shop, day = night.partition.shop, night.partition.day
    db.changed = True
    for table in ("recommendations", "items"):
        db.execute(f"DELETE FROM {table} WHERE shop = $1 AND dt = $2", shop, day)
    _insert_recommendations(db, shop, f"{shop}|{day.isoformat()}|")
    names = ", ".join(("shop", *ITEMS.names))
    db.execute(f"INSERT INTO items ({names}) SELECT {names} FROM stage_items ORDER BY item_id")
    num_rows, num_users = _totals(db)
    share = seen["fallback_share"] or 0.0
    publication = Publication(True, uuid.uuid4().hex, num_rows, num_users, share, new_users, audits=seen)
    published = Held(day, publication.publish_id)
    published_at = pointer.next_instant(db, shop, clock.now())
    _log(db, night, publication, published_at, before, clock.seconds())
    pointer.hold(db, shop, published)
    if before is None or before.day <= day:  # a past night that is published again must not hide a later one
        pointer.show(db, shop, published, published_at)
    return publication


def _insert_recommendations(db: Connection, shop: str, key_prefix: str) -> None:
    """Stored by person, so that one person's rows lie together; user_id becomes the shop's own id here."""
    columns = {name: f"r.{name}" for name in RECOMMENDATIONS.names}
    columns["user_id"] = "u.shop_id"
    columns["row_key"] = "CAST($2 AS VARCHAR) || r.surface || '|' || u.shop_id || '|' || CAST(r.rank AS VARCHAR)"
    db.execute(
        f"INSERT INTO recommendations ({', '.join(columns)}) SELECT {', '.join(columns.values())}"
        " FROM stage_recommendations r JOIN users u ON u.shop = $1 AND u.pseudonym = r.user_id"
        " ORDER BY u.shop_id, r.surface, r.rank",
        shop,
        key_prefix,
    )


def _totals(db: Connection) -> tuple[int, int]:
    ((num_rows, num_users),) = db.query("SELECT count(*), count(DISTINCT user_id) FROM stage_recommendations")
    return int(num_rows), int(num_users)


def _log(
    db: Connection,
    night: Night,
    publication: Publication,
    published_at: datetime,
    before: Held | None,
    seconds: float,
) -> None:
    name, version = _champion(db)
    row: dict[str, object] = {
        "shop": night.partition.shop,
        "dt": night.partition.day,
        "partition_name": str(night.partition),
        "publish_id": publication.publish_id,
        "action": pointer.PUBLISHED,
        "published_at": published_at,
        "run_id": night.run_id,
        "content_hash": night.content_hash,
        "inputs": json.dumps(dict(night.inputs), sort_keys=True),
        "num_rows": publication.num_rows,
        "num_users": publication.num_users,
        "fallback_share": publication.fallback_share,
        "model_name": name,
        "model_version": version,
        "audits": json.dumps(publication.audits, sort_keys=True),
        "num_bytes": sum(Path(file).stat().st_size for file in (*night.recommendations, *night.items)),
        "seconds": seconds,
        "previous_publish_id": before.publish_id if before else None,
        "restored_publish_id": None,
    }
    pointer.log(db, row)


def _champion(db: Connection) -> tuple[str, str]:
    """The one model that scored (an audit saw that it is one); the fallback's name where none did."""
    rows = db.query(
        "SELECT model_name, model_version FROM stage_recommendations"
        " ORDER BY CASE WHEN strategy = 'model' THEN 0 ELSE 1 END, model_name, model_version LIMIT 1"
    )
    return rows[0][0], rows[0][1]


def _forget_old_nights(db: Connection, partition: Partition, keep_nights: int, before: Held | None) -> None:
    """Keep the latest nights, this one, what readers see and what they saw; ledgers and users keep everything."""
    wanted = [pointer.shown(db, partition.shop), before]
    for night in pointer.held_nights(db, partition.shop)[keep_nights:]:
        if night.day != partition.day and night not in wanted:
            pointer.forget(db, partition.shop, night.day)
            for table in ("recommendations", "items"):
                db.execute(f"DELETE FROM {table} WHERE shop = $1 AND dt = $2", partition.shop, night.day)
