"""Where state lives: everything under one folder, so that deleting it is a full reset."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from nightjar.settings import repository


@dataclass(frozen=True)
class Home:
    """The folders of one installation."""

    root: Path

    @classmethod
    def from_environment(cls) -> Home:
        """`NIGHTJAR_HOME`, or `.nightjar` in the checkout."""
        return cls(Path(os.environ.get("NIGHTJAR_HOME") or repository() / ".nightjar").absolute())

    @property
    def lake(self) -> Path:
        return self.root / "lake"

    @property
    def warehouse(self) -> Path:
        return self.root / "warehouse.duckdb"

    @property
    def mlflow(self) -> Path:
        return self.root / "mlflow"

    @property
    def docs(self) -> Path:
        return self.root / "docs"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def exports(self) -> Path:
        return self.root / "exports"

    @property
    def raw(self) -> Path:
        return self.root / "raw"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    def lineage(self, shop: str, day: date) -> Path:
        """Where the night's jobs tell what they read and wrote, a file of OpenLineage events each."""
        return self.root / "lineage" / shop / day.isoformat()

    @property
    def airflow_events(self) -> Path:
        """Where Airflow tells of its runs and tasks."""
        return self.root / "lineage" / "airflow.jsonl"

    def report(self, shop: str, day: date) -> Path:
        """The page of one night."""
        return self.reports / shop / f"{day.isoformat()}.html"

    def result(self, shop: str, day: date, job: str) -> Path:
        """The result manifest of a job's latest run for one night."""
        return self.runs / shop / day.isoformat() / f"{job}.json"

    def turn(self, shop: str) -> Path:
        """The lock by which a job has a shop to itself."""
        return self.runs / f"{shop}.lock"

    def backtest(self, shop: str) -> Path:
        """The home of a shop's replayed nights."""
        return self.root / "backtest" / shop
