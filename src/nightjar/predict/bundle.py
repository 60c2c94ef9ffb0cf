"""A fitted task as it serves: which contender, with what it needs, and how it becomes a probability.

Written as JSON and LightGBM's text; the encoder, shared by all tasks, is kept beside them by whoever trained it.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.contracts import BadInput
from nightjar.predict.aggregates import Columns
from nightjar.predict.calibration import Calibration, Deciles
from nightjar.predict.contest import COMBINED, ENCODER, RULE, TREES, Combination
from nightjar.predict.tasks import TASKS, Task
from nightjar.predict.trees import Trees

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Fitted:
    """Everything that any of the contenders needs; `serving` says which of them serves."""

    task: str
    serving: str
    columns: Columns
    trees: Trees
    combination: Combination
    calibrations: dict[str, Calibration]  #: of each contender
    deciles: Deciles | None  #: of the people it was calibrated on; None while it is being fitted

    @property
    def definition(self) -> Task:
        return TASKS[self.task]

    def raw(self, contender: str, features: pa.Table, encoder_B: Floats) -> Floats:
        """What a contender says before calibration.

        Args:
            encoder_B: the encoder's probabilities of the same people; read by those that need them only.
        """
        if contender == RULE:
            return self.definition.rule.score(features)
        if contender == ENCODER:
            return encoder_B
        trees_B = self.trees.predict(self.columns.matrix(features))
        return trees_B if contender == TREES else self.combination.apply(trees_B, encoder_B)

    def probabilities(self, features: pa.Table, encoder_B: Floats, contender: str = "") -> Floats:
        """Calibrated, of the contender that serves or of another one."""
        name = contender or self.serving
        found: Floats = self.calibrations[name].apply(self.raw(name, features, encoder_B))
        return found

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        said = {
            "task": self.task,
            "serving": self.serving,
            "columns": self.columns.dump(),
            "combination": asdict(self.combination),
            "calibrations": {name: asdict(one) for name, one in self.calibrations.items()},
            "deciles": self.deciles and asdict(self.deciles),
        }
        (folder / "trees.txt").write_text(self.trees.text, encoding="utf-8")
        (folder / "task.json").write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Fitted:
        """Raises BadInput where the folder holds no task of today's registry."""
        try:
            said: dict[str, Any] = json.loads((folder / "task.json").read_text(encoding="utf-8"))
            text = (folder / "trees.txt").read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise BadInput(f"{folder} holds no fitted task: {error}", "make nightly SET=predict.force=true") from error
        if said["task"] not in TASKS or said["serving"] not in (RULE, TREES, ENCODER, COMBINED):
            raise BadInput(f"no such task any more: {said['task']}", "make nightly SET=predict.force=true")
        return cls(
            said["task"],
            said["serving"],
            Columns.load(said["columns"]),
            Trees(text),
            Combination(**said["combination"]),
            {name: Calibration(**one) for name, one in said["calibrations"].items()},
            Deciles(**said["deciles"]),
        )
