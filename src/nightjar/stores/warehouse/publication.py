"""One night into the warehouse: stage, audit in SQL, one transaction."""

# ruff: noqa: S608 - only names from contracts are put into SQL; every value is bound

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NoReturn

from nightjar.contracts import (
    DATA_QUALITY,
    DECISIONS,
    FORETOLD,
    ITEMS,
    KEPT_DAYS,
    PROMOTIONS,
    RECOMMENDATIONS,
    USER_FEATURES,
    USERS,
    GateFailed,
    Partition,
)
from nightjar.settings import Conf
from nightjar.stores.warehouse import crm, pointer
from nightjar.stores.warehouse.audits import (
    Audit,
    Seen,
    mart_audits,
    night_audits,
    people_audits,
    run_audits,
    stage_lists,
)
from nightjar.stores.warehouse.connection import Connection, Passing, Warehouse, passing_by, turn
from nightjar.stores.warehouse.decided import decisions_audits, load_decisions, stage_decisions
from nightjar.stores.warehouse.pointer import Held
from nightjar.stores.warehouse.schema import NIGHTLY
from nightjar.stores.warehouse.user_scores import load_user_scores, stage_user_scores, user_scores_audits
from nightjar.stores.warehouse.views import ITEM_FACTS
from nightjar.stores.warehouse.workbench import Workbench, parquet, rows_of

#: People whose lists are compared with those of the night before.
_SAMPLE_PEOPLE = 20_000


@dataclass(frozen=True)
class MartDay:
    """One day of one table of `contracts.KEPT_DAYS`; `files` are paths of Parquet files, none where it has no rows."""

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
        marts: every day of `contracts.KEPT_DAYS`; those that readers see already are left as they are.
        features: the night's `user_features`, which ranks of people are made from; none where they could not be built.
        foretold: what the night foretells of people; none where it does not.
        decisions: whom the night would act on; none where nothing is decided.
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
    features: Sequence[str] = ()
    foretold: Sequence[str] = ()
    decisions: Sequence[str] = ()

    @property
    def content_hash(self) -> str:
        """Hash of the rows that readers will see, independent of their order and of files; 32 hex digits."""
        may_lack = {USER_FEATURES: self.features, FORETOLD: self.foretold, DECISIONS: self.decisions}
        tables = (RECOMMENDATIONS, ITEMS, *(table for table, files in may_lack.items() if files))
        seen = [str(self.partition.of(table)) for table in tables]
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
        publication = _publish(warehouse, night, conf, waiting, now, passing)
        passing("published")
        for file in waiting:  # only now: before the commit they were the sole copy
            file.unlink(missing_ok=True)
    return publication


def _publish(
    warehouse: Warehouse,
    night: Night,
    conf: Conf,
    waiting: Sequence[Path],
    now: Callable[[], datetime],
    passing: Passing,
) -> Publication:
    started = time.monotonic()
    shop = night.partition.shop
    with warehouse.writer(shop, passing) as db:
        _stage(db.bench, night, conf)
        passing("staged")
        new_users = _merge_people(db, night, waiting)
        _merge_ledgers(db, night)
        mart_days, of_marts = _replace_marts(db, night)
        passing("merged")
        known = _published_already(db, night, new_users)
        if known is not None:
            return replace(known, mart_days=mart_days, audits=of_marts)
        seen = of_marts | _audit(db, night, conf)
        passing("audited")
        crm.stage_contents(db, shop)
        _load(db, night)
        passing("loaded")
        publication = _publication(db.bench, seen, new_users, mart_days)
        before = pointer.shown(db, shop)
        published_at = pointer.next_instant(db, shop, now())
        # A past night that is published again must not hide a later one.
        shown = before is None or before.day <= night.partition.day
        crm.load_states(db, night.partition, published_at, shown=shown)
        _record(db, night, publication, before, published_at, started, shown=shown)
        _forget_old_nights(db, night.partition, conf.publish.keep_nights, before)
        passing("replaced")
    return publication


def _stage(bench: Workbench, night: Night, conf: Conf) -> None:
    """Views of the night's files; nothing is read yet."""
    bench.view("stage_recommendations", rows_of(RECOMMENDATIONS, night.recommendations))
    # At most the history's distinct items are withheld from a person; exactly how many, score knows.
    excluded = "0" if conf.score.exclude == "none" else "len(list_distinct(item_ids))"
    eligible = "SELECT CAST(NULL AS VARCHAR) AS user_id, CAST(NULL AS BIGINT) AS num_excluded WHERE false"
    if night.eligible:
        eligible = f"SELECT user_id, CAST({excluded} AS BIGINT) AS num_excluded FROM {parquet(night.eligible)}"
    bench.view("stage_eligible", eligible)
    stage_user_scores(bench, night.partition, night.features, night.foretold)
    stage_decisions(bench, night.decisions)


def _shop_column(night: Night) -> str:
    return f"'{night.partition.shop}' AS shop, "  # a shop's name is letters, digits and _


def _merge_people(db: Connection, night: Night, waiting: Sequence[Path]) -> int:
    """Have the shop's mapping as `people`, and add to it what it lacks; returns how many. A pseudonym keeps its id."""
    bench, shop = db.bench, night.partition.shop
    db.fetch("known_people", "SELECT pseudonym, shop_id FROM users WHERE shop = $1", shop)
    bench.table("stage_users", f"SELECT DISTINCT * FROM ({rows_of(USERS, [str(file) for file in waiting])})")
    _require(bench, night.partition, people_audits(shop))
    bench.table(
        "stage_new_users",
        "SELECT shop, pseudonym, min(shop_id) AS shop_id, min(id_kind) AS id_kind FROM stage_users s"
        " WHERE NOT EXISTS (SELECT 1 FROM known_people p WHERE p.pseudonym = s.pseudonym) GROUP BY shop, pseudonym",
    )
    new_users = bench.number("SELECT count(*) FROM stage_new_users")
    if new_users:
        db.changed = True
        db.append("users", "SELECT * FROM stage_new_users")
    # In one piece: DuckDB 2.0.0 loses rows that are inserted into a table whose CREATE … AS, in the same
    # transaction, found none.
    bench.table("people", "FROM known_people UNION ALL SELECT pseudonym, shop_id FROM stage_new_users")
    return new_users


def _merge_ledgers(db: Connection, night: Night) -> None:
    """Add the ledger rows that the warehouse lacks; ledgers are append-only, known keys stay as they are."""
    # The decision's id is unique by itself, an expectation's name only within the day's check.
    for table, key, files in (
        (PROMOTIONS, PROMOTIONS.key, night.promotions),
        (DATA_QUALITY, ("dt", *DATA_QUALITY.key), night.data_quality),
    ):
        staged = f"stage_{table.name}"
        db.stage(staged, rows_of(table, files))
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
    for table in KEPT_DAYS:
        days = [mart for mart in changed if mart.partition.table == table.name]
        files = [file for mart in days for file in mart.files]
        db.bench.view(f"stage_{table.name}", rows_of(table, files, prefix=_shop_column(night)))
        audits += mart_audits(table, {mart.partition.day: mart.num_rows for mart in days})
    seen = _require(db.bench, night.partition, audits)
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
    for table in KEPT_DAYS:
        order = ", ".join(("dt", *table.order))
        db.append(table.name, f"SELECT * FROM stage_{table.name} ORDER BY {order}")
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


def _audit(db: Connection, night: Night, conf: Conf) -> dict[str, Seen]:
    bench = db.bench
    bench.table("stage_items", rows_of(ITEM_FACTS, night.items, prefix=_shop_column(night)))
    stage_lists(bench, night.partition)
    _stage_yesterday(db, night.partition)
    num_items = bench.number("SELECT count(*) FROM stage_items")
    audits = night_audits(
        conf.gate,
        num_rows=night.num_rows,
        k=conf.score.k,
        num_candidates=num_items if night.num_candidates is None else night.num_candidates,
        has_champion=bench.number("SELECT count(*) FROM stage_recommendations WHERE strategy = 'model'") > 0,
    )
    return _require(
        bench, night.partition, [*audits, *user_scores_audits(night.partition), *decisions_audits(night.partition)]
    )


def _stage_yesterday(db: Connection, partition: Partition) -> None:
    """The lists that a sample of tonight's people had the night before; the same people for the same night."""
    db.bench.table(
        "stage_sample",
        "SELECT p.pseudonym, p.shop_id AS user_id FROM (SELECT DISTINCT user_id FROM stage_lists) l"
        f" JOIN people p ON p.pseudonym = l.user_id ORDER BY md5(p.shop_id), p.pseudonym LIMIT {_SAMPLE_PEOPLE}",
    )
    db.stage("sampled_people", "SELECT DISTINCT user_id FROM stage_sample")
    db.fetch(
        "stage_before",
        "SELECT r.surface, r.user_id, r.item_id FROM recommendations r"
        " JOIN sampled_people s ON s.user_id = r.user_id WHERE r.shop = $1 AND r.dt = $2",
        partition.shop,
        partition.day - timedelta(days=1),
    )


def _require(bench: Workbench, partition: Partition, audits: Sequence[Audit]) -> dict[str, Seen]:
    seen, failed = run_audits(bench, audits)
    if failed:
        _stop(partition, failed)
    return seen


def _stop(partition: Partition, failed: list[str]) -> NoReturn:
    raise GateFailed(str(partition), failed, f"look at {partition} in the lake, mend its cause and run the night again")


def _load(db: Connection, night: Night) -> None:
    """Swap the night's rows; user_id becomes the shop's own id here."""
    shop, day = night.partition.shop, night.partition.day
    db.changed = True
    columns = {name: f"r.{name}" for name in RECOMMENDATIONS.names}
    columns["user_id"] = "p.shop_id"
    columns["row_key"] = (
        f"'{shop}|{day.isoformat()}|' || r.surface || '|' || p.shop_id || '|' || CAST(r.rank AS VARCHAR)"
    )
    selected = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    rows = f"SELECT {selected} FROM stage_recommendations r JOIN people p ON p.pseudonym = r.user_id"
    held = db.replace_night("recommendations", shop, day, rows)
    db.execute("DELETE FROM items WHERE shop = $1 AND dt = $2", shop, day)
    db.append("items", "SELECT * FROM stage_items ORDER BY item_id")
    loaded = {
        "rows_loaded": (held, night.num_rows),
        "scores_loaded": load_user_scores(db, night.partition),
        "decisions_loaded": load_decisions(db, night.partition),
    }
    # What was audited is what was loaded.
    if lost := [
        f"{name}: {rows} rows, allowed {all_} to {all_}" for name, (rows, all_) in loaded.items() if rows != all_
    ]:
        _stop(night.partition, lost)


def _publication(bench: Workbench, seen: dict[str, Seen], new_users: int, mart_days: int) -> Publication:
    ((num_rows, num_users),) = bench.query("SELECT sum(num_rows), count(DISTINCT user_id) FROM stage_lists")
    share = seen["fallback_share"] or 0.0
    return Publication(True, uuid.uuid4().hex, int(num_rows), num_users, share, new_users, mart_days, seen)


def _record(
    db: Connection,
    night: Night,
    publication: Publication,
    before: Held | None,
    published_at: datetime,
    started: float,
    *,
    shown: bool,
) -> None:
    """Write the log and move the pointer, beside the rows in the open transaction."""
    name, version = _champion(db.bench)
    loaded = (*night.recommendations, *night.items, *night.features, *night.foretold, *night.decisions)
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
        "num_bytes": sum(Path(file).stat().st_size for file in loaded),
        "seconds": round(time.monotonic() - started, 3),
        "previous_publish_id": before.publish_id if before else None,
        "restored_publish_id": None,
    }
    pointer.log(db, row)
    published = Held(night.partition.day, publication.publish_id)
    pointer.hold(db, night.partition.shop, published)
    if shown:
        pointer.show(db, night.partition.shop, published, published_at)


def _champion(bench: Workbench) -> tuple[str, str]:
    """The one model that scored (an audit saw that it is one); the fallback's name where none did."""
    ((name, version),) = bench.query(
        "SELECT model_name, model_version FROM stage_recommendations GROUP BY strategy, model_name, model_version"
        " ORDER BY CASE WHEN strategy = 'model' THEN 0 ELSE 1 END, model_name, model_version LIMIT 1"
    )
    return name, version


def _forget_old_nights(db: Connection, partition: Partition, keep_nights: int, before: Held | None) -> None:
    """Keep the latest nights, this one, what readers see and what they saw; ledgers and users keep everything."""
    wanted = [pointer.shown(db, partition.shop), before]
    for night in pointer.held_nights(db, partition.shop)[keep_nights:]:
        if night.day != partition.day and night not in wanted:
            pointer.forget(db, partition.shop, night.day)
            for table in NIGHTLY:
                db.drop_night(table, partition.shop, night.day)
            db.execute("DELETE FROM items WHERE shop = $1 AND dt = $2", partition.shop, night.day)
