"""What a training ran on, so that its numbers can be read later."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Iterable
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

from nightjar.settings import repository


def describe(packages: Iterable[str]) -> dict[str, Any]:
    """Versions, commit and hardware as JSON values."""
    return {
        "python": platform.python_version(),
        "packages": {name: installed_version(name) for name in packages},
        "commit": _git("rev-parse", "HEAD"),
        "dirty": bool(_git("status", "--porcelain")),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
    }


def _git(*arguments: str) -> str | None:
    """Git's answer about the checkout; None in an installation that has no git or is no checkout."""
    command = ["git", "-C", str(repository()), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _processor() -> str:
    """The processor's name; Linux keeps it in /proc, `platform` knows it elsewhere."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()
