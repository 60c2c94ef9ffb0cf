"""What the job that runs in this process has read and written: its lineage, as it happened."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nightjar.contracts import Column


@dataclass(frozen=True)
class Outside:
    """Data that is no table of the lake: raw logs, a model, a view of the warehouse, a page.

    Args:
        namespace: what keeps it, such as `file`; never an address with a password in it.
        name: unique there.
    """

    namespace: str
    name: str
    doc: str = ""
    columns: tuple[Column, ...] = ()

    @classmethod
    def file(cls, path: Path, doc: str = "") -> Outside:
        return cls("file", str(path.absolute()), doc)


class Touched:
    """Filled in by whoever opens or commits something; cleared by `job.run`."""

    def __init__(self) -> None:
        self.read: set[str] = set()
        self.written: dict[str, int] = {}  # table -> rows of the partitions that were committed
        self.sources: set[Outside] = set()
        self.targets: dict[Outside, int | None] = {}  # -> rows, where somebody has counted them
        self.checks: list[Mapping[str, Any]] = []  # rows of `data_quality`

    def clear(self) -> None:
        for kept in (self.read, self.written, self.sources, self.targets, self.checks):
            kept.clear()

    @property
    def inputs(self) -> list[str]:
        """Tables that were read; what a job compares itself with is no source of it."""
        return sorted(self.read - self.written.keys())

    def summary(self) -> dict[str, Any]:
        """For the job's manifest."""
        return {"read": self.inputs, "written": dict(sorted(self.written.items()))}


#: Of the job that runs in this process.
TOUCHED = Touched()
