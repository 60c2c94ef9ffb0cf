"""Point readers at another night that the warehouse still holds: no row is read, moved or deleted."""

# ruff: noqa: S608 - only names from contracts are put into SQL; every value is bound

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import NoReturn

from nightjar.contracts import PUBLISH_LOG, BadInput
from nightjar.stores.warehouse import pointer
from nightjar.stores.warehouse.connection import Connection, Passing, Warehouse, passing_by
from nightjar.stores.warehouse.pointer import Held

LATEST = "latest"


@dataclass(frozen=True)
class Rollback:
    """What became of it.

    Args:
        moved: False where readers saw that night already.
        day, publish_id: what readers see now.
        before: the night that they saw.
        held: every night that they could be shown, newest first.
    """

    moved: bool
    day: date
    publish_id: str
    before: date
    held: tuple[date, ...]


def rollback(
    warehouse: Warehouse,
    shop: str,
    to: str = "",
    *,
    now: Callable[[], datetime],
    run_id: str = "manual",
    passing: Passing = passing_by,
) -> Rollback:
    """Show an earlier night, or go forward again; the next night that is published shows itself as always.

    Args:
        to: a night, YYYY-MM-DD; a publish_id; `latest`; empty for what readers saw before tonight's arrived.
        now: the clock, in UTC.

    Raises:
        BadInput: no night is published, or none that `to` names is held; it lists those that are.
        OSError: the warehouse cannot be written.
    """
    started = time.monotonic()
    with warehouse.writer(shop, passing) as db:
        held, before = pointer.held_nights(db, shop), pointer.shown(db, shop)
        if before is None:
            raise BadInput(f"nothing of {shop} is published", f"make nightly SOURCE={shop}")
        target = _chosen(to, held) if to else _earlier(db, held, before)
        if target != before:
            moved_at = pointer.next_instant(db, shop, now())
            _log(db, shop, target, before, moved_at, run_id, started)
            pointer.show(db, shop, target, moved_at)
            passing("replaced")
    passing("published")
    days = tuple(night.day for night in held)
    return Rollback(target != before, target.day, target.publish_id, before.day, days)


def _chosen(to: str, held: Sequence[Held]) -> Held:
    if to == LATEST:
        return held[0]
    found = [night for night in held if to in (night.day.isoformat(), night.publish_id)]
    return found[0] if found else _refuse(f"the warehouse holds no night {to}", held)


def _earlier(db: Connection, held: Sequence[Held], before: Held) -> Held:
    """What readers saw when tonight arrived (not a night that was rolled back from), else the night before."""
    saw = "SELECT previous_publish_id FROM publish_log WHERE publish_id = $1"
    ((previous,),) = db.query(saw, before.publish_id)
    earlier = [night for night in held if night.day < before.day]
    found = [night for night in earlier if night.publish_id == previous] or earlier
    return found[0] if found else _refuse(f"the warehouse holds no night before {before.day}", held)


def _refuse(problem: str, held: Sequence[Held]) -> NoReturn:
    days = ", ".join(night.day.isoformat() for night in held)
    raise BadInput(f"{problem}; it holds {days}", f"make rollback TO={held[-1].day}")


def _log(
    db: Connection, shop: str, target: Held, before: Held, moved_at: datetime, run_id: str, started: float
) -> None:
    """The publication's own row once more, with what the move itself did."""
    names = PUBLISH_LOG.names
    ((*published,),) = db.query(
        f"SELECT {', '.join(names)} FROM publish_log WHERE shop = $1 AND publish_id = $2", shop, target.publish_id
    )
    row = dict(zip(names, published, strict=True)) | {
        "publish_id": uuid.uuid4().hex,
        "action": pointer.ROLLED_BACK,
        "published_at": moved_at,
        "run_id": run_id,
        "audits": json.dumps({"night_is_held": 1}),
        "num_bytes": 0,
        "seconds": round(time.monotonic() - started, 3),
        "previous_publish_id": before.publish_id,
        "restored_publish_id": target.publish_id,
    }
    pointer.log(db, row)
