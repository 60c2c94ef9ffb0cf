"""A fitted yes or no as it serves: which contender, with what it needs, and how it becomes a probability.

Written as JSON and LightGBM's text; the encoder, shared by all tasks, is kept beside them by whoever trained it.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.contracts import BadInput
from nightjar.predict.aggregates import Columns
from nightjar.predict.calibration import Calibration, Deciles
from nightjar.predict.contest import COMBINED, ENCODER, RULE, TREES, Combination
from nightjar.predict.served import AGAIN, Foretold, Reads, read_json, strongest, write_json
from nightjar.predict.task import Binary
from nightjar.predict.trees import Trees

Floats = NDArray[np.float64]

#: What stands for the encoder, which reads the history itself, and for the rule.
HISTORY, BY_RULE = "history", "rule"


@dataclass(frozen=True)
class Fitted:
    """Everything that any of the contenders needs; `serving` says which of them serves."""

    definition: Binary
    serving: str
    columns: Columns
    trees: Trees
    combination: Combination
    calibrations: dict[str, Calibration]  #: of each contender
    deciles: Deciles | None  #: of the people it was calibrated on; None while it is being fitted

    @property
    def task(self) -> str:
        return self.definition.name

    @property
    def reads(self) -> Reads:
        return "heads" if self.serving in (ENCODER, COMBINED) else ""

    @property
    def silent(self) -> bool:
        return False

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

    def foretell(self, features: pa.Table, encoder_B: Floats) -> Foretold:
        assert self.deciles is not None
        probability_B, costs = self.probabilities(features, encoder_B), self.definition.costs
        return Foretold(
            probability_B,
            self.deciles.number(probability_B),
            probability_B >= costs.false_positive / (costs.false_positive + costs.false_negative),
            self.serving,
            self.reasons(features),
        )

    def reasons(self, features: pa.Table) -> pa.ListArray:
        """The columns with the largest effect upwards (Shapley values), strongest first; none where all fall.

        Where the encoder decides alone its reason is the history, where the rule does the rule.
        """
        if self.serving in (RULE, ENCODER):
            word = BY_RULE if self.serving == RULE else HISTORY
            return pa.array([[word]] * features.num_rows, pa.list_(pa.string()))
        return strongest(self.trees.contributions(self.columns.matrix(features)), self.columns.names)

    def save(self, folder: Path) -> None:
        said = {
            "task": self.task,
            "serving": self.serving,
            "columns": self.columns.dump(),
            "combination": asdict(self.combination),
            "calibrations": {name: asdict(one) for name, one in self.calibrations.items()},
            "deciles": self.deciles and asdict(self.deciles),
        }
        write_json(folder, said)
        (folder / "trees.txt").write_text(self.trees.text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, task: Binary) -> Fitted:
        """Raises BadInput where the folder holds no such model."""
        said = read_json(folder)
        try:
            text = (folder / "trees.txt").read_text(encoding="utf-8")
        except OSError as error:
            raise BadInput(f"{folder} holds no trees: {error}", AGAIN) from error
        if said["serving"] not in (RULE, TREES, ENCODER, COMBINED):
            raise BadInput(f"no such contender any more: {said['serving']}", AGAIN)
        return cls(
            task,
            said["serving"],
            Columns.load(said["columns"]),
            Trees(text),
            Combination(**said["combination"]),
            {name: Calibration(**one) for name, one in said["calibrations"].items()},
            Deciles(**said["deciles"]),
        )
