"""Files that are whole or absent."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_atomically(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Replace `path` in one step; a reader or a crash sees the old file or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _written_beside(path, content, mode)
    os.replace(temporary, path)


def create_exclusively(path: Path, content: bytes, *, mode: int = 0o644) -> bool:
    """Create `path` whole unless it exists already; says whether this call created it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _written_beside(path, content, mode)
    try:
        os.link(temporary, path)  # fails if the name is taken; a rename would overwrite silently
    except FileExistsError:
        return False
    finally:
        os.unlink(temporary)
    return True


def write_json(path: Path, value: Any) -> None:
    write_atomically(path, (json.dumps(value, indent=1, sort_keys=True, default=str) + "\n").encode())


def _written_beside(path: Path, content: bytes, mode: int) -> str:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, mode)
    except BaseException:
        os.unlink(name)
        raise
    return name
