"""Drops that a gate must stop, made from good ones: for tests and fire drills."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

_ACTOR = re.compile(r'"user_id":(?:"[^"]*"|null),"device_id":"[^"]*"')
_USER = re.compile(r'"user_id":"[^"]*"')
_TYPE = re.compile(r'"type":"[^"]*"')

NEW_KIND = "hologram_view"


def null_ids(lines: Iterable[str]) -> Iterator[str]:
    """Every second record names neither user nor device."""
    return _every_second(lines, lambda line: _ACTOR.sub('"user_id":null,"device_id":null', line))


def null_users(lines: Iterable[str]) -> Iterator[str]:
    """Every second record has lost its log-in; the device is still there, so each row alone looks fine."""
    return _every_second(lines, lambda line: _USER.sub('"user_id":null', line))


def volume(lines: Iterable[str]) -> Iterator[str]:
    """Every record ten times, each copy under an id of its own: no duplicates, just too much."""
    for line in lines:
        yield line
        for copy in range(1, 10):
            yield line.replace('"id":"', f'"id":"{copy}-', 1)


def new_kind(lines: Iterable[str]) -> Iterator[str]:
    """Every tenth record is of a kind that no mapping knows."""
    for number, line in enumerate(lines):
        yield _TYPE.sub(f'"type":"{NEW_KIND}"', line) if number % 10 == 0 else line


def empty(lines: Iterable[str]) -> Iterator[str]:
    """No record at all, in a file that is there."""
    return iter(())


def whole(content: bytes) -> bytes:
    """The file as it is."""
    return content


def truncated(content: bytes) -> bytes:
    """The first half of a file, as after a broken transfer."""
    return content[: len(content) // 2]


#: What happens to a drop's lines, then to the bytes of its compressed file.
POISONS: dict[str, tuple[Callable[[Iterable[str]], Iterator[str]], Callable[[bytes], bytes]]] = {
    "null_ids": (null_ids, whole),
    "null_users": (null_users, whole),
    "volume": (volume, whole),
    "new_kind": (new_kind, whole),
    "empty": (empty, whole),
    "truncated": (iter, truncated),
}


def _every_second(lines: Iterable[str], spoil: Callable[[str], str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield spoil(line) if number % 2 else line
