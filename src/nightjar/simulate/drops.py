"""Drops as files; the one module of this room that writes, and only where it is told to."""

from __future__ import annotations

import gzip
import os
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

#: zlib's fastest: a drop is read once or twice, and level 6 would cost more than simulating it.
COMPRESSION = 1
_LINES_PER_WRITE = 4096


def write_drop(path: Path, lines: Iterable[str], spoil: Callable[[bytes], bytes] | None = None) -> int:
    """Write lines as gzip, streamed, visible at once and whole; return their number.

    The gzip header holds neither time nor name, so equal lines give equal bytes.

    Args:
        spoil: what to do to the finished file's bytes before it becomes visible; holds them in memory.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        num_lines = _write(temporary, lines)
        if spoil is not None:
            temporary.write_bytes(spoil(temporary.read_bytes()))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return num_lines


def _write(path: Path, lines: Iterable[str]) -> int:
    num_lines, remaining = 0, iter(lines)
    with path.open("wb") as raw:
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=COMPRESSION, mtime=0) as file:
            while batch := list(islice(remaining, _LINES_PER_WRITE)):
                file.write(("\n".join(batch) + "\n").encode("utf-8"))
                num_lines += len(batch)
        raw.flush()
        os.fsync(raw.fileno())
    return num_lines
