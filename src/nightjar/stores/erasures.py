"""Requests to forget people: how they wait, how far one has come, and who must not come back.

All of it lies below `secrets/`, readable by the owner only, because requests hold the shop's own ids:

    erasures/<shop>/*.jsonl, *.csv   requests that wait; a file whose name begins with a dot is not finished
    erasures/<shop>/.plan.json       the requests at work, from before the first row is removed until after the last
    tombstones/<shop>.json           keyed hashes of the names that were forgotten -> up to which instant
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nightjar.contracts import BadInput
from nightjar.stores.files import write_atomically
from nightjar.stores.home import Home

_KINDS = {"user_id": "user", "device_id": "device"}
_KNOWN = {*_KINDS, "requested_at", "reason"}


@dataclass(frozen=True)
class Request:
    """One person's request: their login, their device, or both, as the shop calls them."""

    ids: Mapping[str, str] = field(repr=False)  # id kind -> the shop's id
    requested_at: datetime


@dataclass(frozen=True)
class Waiting:
    """What a file of requests held when it was read."""

    digest: str
    requests: list[Request]


def folder_of(home: Home, shop: str) -> Path:
    folder = home.secrets / "erasures" / shop
    for path in (home.secrets, home.secrets / "erasures", folder):
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
    return folder


def waiting(home: Home, shop: str) -> list[Path]:
    """Files of requests, oldest name first; from now on their owner alone may read them."""
    files = [path for path in sorted(folder_of(home, shop).iterdir()) if path.suffix in (".jsonl", ".csv")]
    files = [path for path in files if not path.name.startswith(".")]
    for path in files:
        path.chmod(0o600)
    return files


def file_requests(home: Home, shop: str, name: str, requests: Iterable[Request]) -> Path:
    """Have requests wait under a name; the same name replaces them."""
    lines = [
        json.dumps({f"{kind}_id": shop_id for kind, shop_id in one.ids.items()} | {"requested_at": _iso(one)})
        for one in requests
    ]
    path = folder_of(home, shop) / f"{name}.jsonl"
    write_atomically(path, ("\n".join(lines) + "\n").encode(), mode=0o600)
    return path


def _iso(request: Request) -> str:
    return request.requested_at.isoformat()


def read(path: Path) -> Waiting:
    """A file's requests.

    Raises:
        BadInput: as `parse`.
        UnicodeDecodeError: it is no UTF-8.
    """
    content = path.read_bytes()
    return Waiting(hashlib.sha256(content).hexdigest(), parse(path.name, content.decode()))


def parse(name: str, text: str) -> list[Request]:
    """The requests of a file: JSON lines, or CSV with a header.

    Args:
        name: the file's, for messages; `.csv` means CSV.

    Raises:
        BadInput: a line that is no request, by its number: what stands in it is somebody's id.
    """
    if name.endswith(".csv"):
        rows: list[tuple[int, Any]] = list(enumerate(csv.DictReader(text.splitlines()), 2))
    else:
        rows = [(number, _json(line)) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
    return [_request(row, f"{name} line {number}") for number, row in rows]


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except ValueError:
        return None


def _request(row: Any, where: str) -> Request:
    advice = """echo '{"user_id": "…", "requested_at": "2001-01-15T12:00:00Z"}' | make erase"""
    if not isinstance(row, dict) or None in row or set(row) - _KNOWN:
        raise BadInput(f"{where} is no request: its keys are {', '.join(sorted(_KNOWN))}", advice)
    ids = {kind: str(row[key]) for key, kind in _KINDS.items() if row.get(key)}
    if not ids:
        raise BadInput(f"{where} names neither user_id nor device_id", advice)
    try:
        at = datetime.fromisoformat(str(row.get("requested_at") or ""))
    except ValueError:
        raise BadInput(f"{where}: requested_at is no instant like 2001-01-15T12:00:00Z", advice) from None
    return Request(ids, at.replace(tzinfo=at.tzinfo or UTC).astimezone(UTC))


# -- the requests at work


@dataclass
class Plan:
    """What is being done about some files of requests.

    Args:
        day: of the run that began.
        files: name of each file -> digest of what it held.
        until: the instant up to which the log forgets these people.
        requests: name of the request -> requested_at.
        people: of each person `requests`, `members`, `events`, `shop_ids`, and `rows`: store/table -> rows removed.
        champion: version of the model that scored, and whether it knew each person.
    """

    day: str
    files: dict[str, str]
    until: str
    requests: dict[str, str]
    people: list[dict[str, Any]] = field(repr=False)
    champion: dict[str, Any]

    def count(self, store: str, rows: Iterable[Mapping[str, int]]) -> None:
        """Note what a store is about to lose. Where it has lost everything already, what was noted then stays."""
        found = [dict(one) for one in rows]
        if not any(sum(one.values()) for one in found):
            return
        for person, counts in zip(self.people, found, strict=True):
            other = {name: number for name, number in person["rows"].items() if not name.startswith(f"{store}/")}
            person["rows"] = other | {f"{store}/{name}": number for name, number in counts.items() if number}


def read_plan(home: Home, shop: str) -> Plan | None:
    path = _plan(home, shop)
    return Plan(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def write_plan(home: Home, shop: str, plan: Plan) -> None:
    write_atomically(_plan(home, shop), json.dumps(asdict(plan)).encode(), mode=0o600)


def finish(home: Home, shop: str, plan: Plan) -> None:
    """The requests are done: nothing holds these ids any more."""
    for name, digest in plan.files.items():
        path = folder_of(home, shop) / name
        if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == digest:  # else: new requests
            path.unlink()
    _plan(home, shop).unlink(missing_ok=True)


def _plan(home: Home, shop: str) -> Path:
    return folder_of(home, shop) / ".plan.json"


# -- who must not come back


def read_tombstones(home: Home, shop: str) -> dict[str, int]:
    """Keyed hash -> microseconds since 1970, UTC."""
    path = _tombstones(home, shop)
    found: dict[str, int] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return found


def add_tombstones(home: Home, shop: str, marks: Iterable[str], until: datetime) -> None:
    """What a drop says of these names up to the instant is left out from now on."""
    micros = int(until.timestamp() * 1_000_000)
    known = read_tombstones(home, shop)
    both = known | {mark: max(micros, known.get(mark, 0)) for mark in marks}
    _tombstones(home, shop).parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_atomically(_tombstones(home, shop), json.dumps(both, sort_keys=True).encode(), mode=0o600)


def _tombstones(home: Home, shop: str) -> Path:
    return home.secrets / "tombstones" / f"{shop}.json"
