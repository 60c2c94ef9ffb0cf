"""Files for CRM tools: the people whose content changed since the last export, in the shape each tool documents.

An export is a folder, `<shop>/<target>/<instant>/`, with a manifest that names every file, its rows and its hash. It
appears by one rename, whole; the instant is that of the move of readers which it tells of, and the next export
begins where the latest one ended. Deleting a folder makes the next export tell everything since the one before.

Sources of the shapes, read in November 2026:
braze       braze.com/docs/user_guide/data/unification/cloud_ingestion/file_storage_integrations
hubspot     developers.hubspot.com/docs/api-reference/crm-contacts-v3/batch/post-crm-v3-objects-contacts-batch-upsert
sfmc        help.salesforce.com: mktg.mc_es_import_file_requirements, mktg.mc_es_import_activity
klaviyo     developers.klaviyo.com/en/reference/bulk_import_profiles
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from nightjar.contracts import BadInput
from nightjar.stores.files import write_json
from nightjar.stores.warehouse.connection import Connection, Warehouse, turn

MANIFEST = "manifest.json"
_INSTANT = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True)
class Person:
    """One row to tell: `items` are the recommendations, best first; None where the person is gone."""

    user_id: str  # the shop's own
    changed_at: datetime  # UTC, without a zone
    items: list[dict[str, Any]] | None


@dataclass(frozen=True)
class Exported:
    """One export: what it tells, of which publication, and since when."""

    target: str
    shop: str
    publish_id: str
    since: str  # the instant of the export before; empty for the first, which tells everything
    until: str
    num_changed: int
    num_deleted: int
    files: tuple[dict[str, Any], ...]  # name, rows, bytes, sha256
    folder: str = ""


#: One file's bytes and the rows in it.
Piece = tuple[str, bytes, int]
Shape = Callable[[Iterable[Person], Sequence[tuple[str, int]]], Iterator[Piece]]


def export(warehouse: Warehouse, shop: str, target: str, root: Path) -> Exported | None:
    """Write what changed since the latest export of this target; None where nothing did.

    Memory is that of a file, at most `_ROWS_PER_FILE` people, whatever their number.

    Raises:
        BadInput: no such target, no warehouse, or nothing published.
        OSError: the disk is full or unwritable; there is no half export.
    """
    if target not in SHAPES:
        raise BadInput(f"no such target {target}; there are {', '.join(sorted(SHAPES))}", "make export TARGET=braze")
    folder = root / shop / target
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)  # the files hold the shop's ids
    with turn(folder / ".lock"), warehouse.reader() as db:
        for leftover in folder.glob(".*.unfinished"):  # of an export that was killed
            shutil.rmtree(leftover)
        since = latest(folder)
        moves = db.query("SELECT publish_id, moved_at FROM publish_current WHERE shop = $1", shop)
        if not moves:
            raise BadInput(f"nothing of {shop} is published", f"make nightly SOURCE={shop}")
        publish_id, moved_at = moves[0]
        until = moved_at.strftime(_INSTANT)
        if since == until:
            return None
        unfinished = folder / f".{until}.unfinished"
        unfinished.mkdir(mode=0o700)
        shape, lengths = SHAPES[target], _lengths(db, shop)
        begin = datetime.strptime(since, _INSTANT) if since else _FIRST
        changed = _written(unfinished, shape(_changed(db, shop, begin), lengths))
        gone = _written(unfinished, shape(_deleted(db, shop, begin), lengths)) if since else []
        done = Exported(
            target,
            shop,
            publish_id,
            since,
            until,
            sum(file["rows"] for file in changed),
            sum(file["rows"] for file in gone),
            tuple(changed + gone),
            str(folder / until),
        )
        write_json(unfinished / MANIFEST, asdict(done))
        os.rename(unfinished, folder / until)
        _flush(folder)
    return done


def latest(folder: Path) -> str:
    """The instant of the latest export; empty before the first."""
    return max((path.parent.name for path in folder.glob(f"*/{MANIFEST}") if path.parent.name[0] != "."), default="")


def forget(root: Path, shop: str, shop_ids: Collection[str]) -> int:
    """Delete the exports that name any of these people, whole; returns how many.

    The next export of the target tells again what they told of everybody else.
    """
    num_gone = 0
    for folder in sorted(path for path in (root / shop).glob("*") if path.is_dir()):
        with turn(folder / ".lock"):
            for leftover in folder.glob(".*.unfinished"):
                shutil.rmtree(leftover)
            for manifest in sorted(folder.glob(f"*/{MANIFEST}")):
                if any(_names(file, shop_ids) for file in sorted(manifest.parent.iterdir())):
                    hidden = folder / f".{manifest.parent.name}.unfinished"  # killed from here on, the next one goes on
                    os.rename(manifest.parent, hidden)
                    shutil.rmtree(hidden)
                    num_gone += 1
    return num_gone


def _names(file: Path, shop_ids: Collection[str]) -> bool:
    if file.suffix == ".csv":
        with file.open(encoding="utf-8", newline="") as text:
            return any(row[0] in shop_ids for row in csv.reader(text))
    with file.open(encoding="utf-8") as text:
        spelled = [_compact(shop_id) for shop_id in shop_ids]
        return any(one in line for line in text for one in spelled)


def _lengths(db: Connection, shop: str) -> list[tuple[str, int]]:
    """Surface and rows of its longest list: the columns of a wide file."""
    rows = db.query(
        "SELECT surface, max(rank) FROM v_recommendations_current WHERE shop = $1 GROUP BY surface ORDER BY surface",
        shop,
    )
    return [(surface, int(longest)) for surface, longest in rows]


def _changed(db: Connection, shop: str, since: datetime) -> Iterator[Person]:
    sql = "SELECT user_id, changed_at, payload FROM crm_users WHERE shop = $1 AND changed_at > $2 ORDER BY user_id"
    for user_id, changed_at, payload in db.rows(sql, shop, since):
        yield Person(user_id, changed_at, json.loads(payload)["recommendations"])


def _deleted(db: Connection, shop: str, since: datetime) -> Iterator[Person]:
    sql = "SELECT user_id, deleted_at FROM crm_deletions WHERE shop = $1 AND deleted_at > $2 ORDER BY user_id"
    for user_id, deleted_at in db.rows(sql, shop, since):
        yield Person(user_id, deleted_at, None)


#: Before any publication, and an instant that every database knows.
_FIRST = datetime(1970, 1, 1)


def _written(folder: Path, pieces: Iterable[Piece]) -> list[dict[str, Any]]:
    files = []
    for name, content, rows in pieces:
        with (folder / name).open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        digest = hashlib.sha256(content).hexdigest()
        files.append({"name": name, "rows": rows, "bytes": len(content), "sha256": digest})
    return files


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    with suppress(OSError):  # some filesystems flush no folder
        os.fsync(descriptor)
    os.close(descriptor)


# -- the shapes


def _split(people: Iterable[Person], most: int) -> Iterator[tuple[int, str, list[Person]]]:
    """At most so many people per file: number, `changed` or `deleted`, people."""
    batch: list[Person] = []
    number = 0
    for person in people:
        batch.append(person)
        if len(batch) == most:
            yield number, _kind(batch), batch
            number, batch = number + 1, []
    if batch:
        yield number, _kind(batch), batch


def _kind(batch: Sequence[Person]) -> str:
    return "deleted" if batch[0].items is None else "changed"


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def braze(people: Iterable[Person], _: Sequence[tuple[str, int]]) -> Iterator[Piece]:
    """Cloud data ingestion from a bucket: a JSON object per line with `external_id` and `payload`.

    Deletions clear the attribute: Braze's own deletion sync deletes the person, which is not ours to ask for.
    """
    for number, kind, batch in _split(people, 100_000):
        lines = [
            _compact({"external_id": one.user_id, "payload": {"nightjar_recommendations": one.items}}) for one in batch
        ]
        yield f"{kind}-{number:05}.jsonl", ("\n".join(lines) + "\n").encode(), len(batch)


#: Inputs of one request.
_HUBSPOT_INPUTS = 100


def hubspot(people: Iterable[Person], lengths: Sequence[tuple[str, int]]) -> Iterator[Piece]:
    """Bodies of POST /crm/v3/objects/contacts/batch/upsert, one per line; contacts are found by `external_id`.

    Property values are text, and an empty text clears a property.
    """

    def properties(person: Person) -> dict[str, str]:
        values = {f"nightjar_{surface}_{rank}": "" for surface, longest in lengths for rank in range(1, longest + 1)}
        for item in person.items or []:
            values[f"nightjar_{item['surface']}_{item['rank']}"] = item["item_id"]
        return values | {"nightjar_changed_at": person.changed_at.isoformat(timespec="milliseconds") + "Z"}

    for number, kind, batch in _split(people, 100 * _HUBSPOT_INPUTS):
        bodies = []
        for start in range(0, len(batch), _HUBSPOT_INPUTS):
            inputs = [
                {"idProperty": "external_id", "id": person.user_id, "properties": properties(person)}
                for person in batch[start : start + _HUBSPOT_INPUTS]
            ]
            bodies.append(_compact({"inputs": inputs}))
        yield f"{kind}-{number:05}.jsonl", ("\n".join(bodies) + "\n").encode(), len(batch)


def sfmc(people: Iterable[Person], lengths: Sequence[tuple[str, int]]) -> Iterator[Piece]:
    """CSV for an import into a data extension whose primary key is SubscriberKey, update type "add and update".

    Marketing Cloud's imports delete no row: who is gone gets empty columns.
    """
    places = [(surface, rank) for surface, longest in lengths for rank in range(1, longest + 1)]
    fields = {"ItemId": "item_id", "Title": "title", "Price": "price"}
    head = ["SubscriberKey", "ChangedAt", *(f"{surface}_{rank}_{f}" for surface, rank in places for f in fields)]
    for number, kind, batch in _split(people, 100_000):
        text = io.StringIO(newline="")
        writer = csv.writer(text)  # commas, quotes where needed, CRLF
        writer.writerow(head)
        for person in batch:
            items = {(item["surface"], item["rank"]): item for item in person.items or []}
            values = [items.get(place, {}).get(field) for place in places for field in fields.values()]
            writer.writerow([person.user_id, person.changed_at.isoformat(sep=" ", timespec="seconds"), *values])
        yield f"{kind}-{number:05}.csv", text.getvalue().encode(), len(batch)


_KLAVIYO_PROFILES, _KLAVIYO_BYTES = 10_000, 5_000_000


def klaviyo(people: Iterable[Person], _: Sequence[tuple[str, int]]) -> Iterator[Piece]:
    """Bodies of POST /api/profile-bulk-import-jobs, one per file: at most 10,000 profiles and 5 MB.

    The import ignores nulls, so that who is gone gets an empty list.
    """
    head = '{"data":{"type":"profile-bulk-import-job","attributes":{"profiles":{"data":['
    tail = "]}}}}"
    number, kind, profiles, size = 0, "", list[str](), 0
    for person in people:
        attributes = {
            "external_id": person.user_id,
            "properties": {"nightjar_recommendations": person.items or []},
        }
        profile = _compact({"type": "profile", "attributes": attributes})
        wide = len(profile.encode()) + 1
        full = len(profiles) == _KLAVIYO_PROFILES or size + wide + len(head + tail) > _KLAVIYO_BYTES
        if profiles and full:
            yield f"{kind}-{number:05}.json", (head + ",".join(profiles) + tail).encode(), len(profiles)
            number, profiles, size = number + 1, [], 0
        kind = _kind([person])
        profiles.append(profile)
        size += wide
    if profiles:
        yield f"{kind}-{number:05}.json", (head + ",".join(profiles) + tail).encode(), len(profiles)


SHAPES: dict[str, Shape] = {"braze": braze, "hubspot": hubspot, "sfmc": sfmc, "klaviyo": klaviyo}
