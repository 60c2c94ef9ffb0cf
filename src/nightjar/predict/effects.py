"""A task of uplift from a trial to a model, or to silence: `uplift.choose` decides, this keeps and serves its answer.

Legend: B = people, D = numbers of each.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.contracts import BadInput
from nightjar.learn.metrics import Interval
from nightjar.predict import uplift
from nightjar.predict.aggregates import Columns
from nightjar.predict.calibration import Deciles
from nightjar.predict.contest import Judged, Verdict
from nightjar.predict.qini import Trial
from nightjar.predict.served import AGAIN, Foretold, Reads, read_json, strongest, write_json
from nightjar.predict.task import Uplift

Floats = NDArray[np.float64]

#: What serves, as `foretold` calls it; and the model of responses that it must beat.
CONTENDER, RESPONSE = "uplift", "response"

#: The ridge of each arm's logistic regression: arms are small, and differences of models are noisy.
_L2 = 100.0


@dataclass(frozen=True)
class Inputs:
    """Numbers of people as a linear model reads them: on a logarithmic scale, with nothing missing."""

    columns: Columns
    fills: tuple[float, ...]  #: what stands for a missing value: the median of the others

    @classmethod
    def of(cls, features: pa.Table, *, sensitive: Collection[str]) -> Inputs:
        """Words are left out: a line has no place for them."""
        columns = Columns(Columns.of(features, sensitive=sensitive).numbers, {})
        rows_BD = _log(columns.matrix(features))
        known_D = ~np.isnan(rows_BD).all(axis=0)
        fills_D = np.zeros(rows_BD.shape[1])
        fills_D[known_D] = np.nanmedian(rows_BD[:, known_D], axis=0)
        return cls(columns, tuple(fills_D.tolist()))

    def matrix(self, features: pa.Table) -> Floats:
        rows_BD = _log(self.columns.matrix(features))
        return np.where(np.isnan(rows_BD), np.array(self.fills), rows_BD)


def _log(rows_BD: NDArray[np.float32]) -> Floats:
    numbers_BD = rows_BD.astype(np.float64)
    found_BD: Floats = np.sign(numbers_BD) * np.log1p(np.abs(numbers_BD))
    return found_BD


@dataclass(frozen=True)
class Effect:
    """An uplift model that won its trial, or the memory that none did."""

    definition: Uplift
    inputs: Inputs
    model: uplift.Model | None
    deciles: Deciles | None

    @property
    def task(self) -> str:
        return self.definition.name

    @property
    def reads(self) -> Reads:
        return ""

    @property
    def silent(self) -> bool:
        return self.model is None

    def foretell(self, features: pa.Table, encoder_B: Floats) -> Foretold:
        """By how much treatment raises the chance, 0 where it lowers it; flagged are those whom it raises at all."""
        assert self.model is not None
        assert self.deciles is not None
        rows_BD = self.inputs.matrix(features)
        more_B = np.clip(self.model.score(rows_BD), 0.0, 1.0)
        return Foretold(
            more_B,
            self.deciles.number(more_B),
            more_B > 0,
            CONTENDER,
            strongest(_moved(self.model, rows_BD), self.inputs.columns.names),
        )

    def save(self, folder: Path) -> None:
        write_json(
            folder,
            {
                "task": self.task,
                "columns": self.inputs.columns.dump(),
                "fills": self.inputs.fills,
                "model": self.model and self.model.as_dict(),
                "deciles": self.deciles and asdict(self.deciles),
            },
        )

    @classmethod
    def load(cls, folder: Path, task: Uplift) -> Effect:
        said = read_json(folder)
        if "fills" not in said:
            raise BadInput(f"{folder} holds no model of uplift", AGAIN)
        return cls(
            task,
            Inputs(Columns.load(said["columns"]), tuple(said["fills"])),
            said["model"] and uplift.read_model(said["model"]),
            said["deciles"] and Deciles(**said["deciles"]),
        )


def _moved(model: uplift.Model, rows_BD: Floats) -> Floats:
    """By how much each number moves the log-odds of the treated more than those of the others, from the mean person."""
    parts = [part for part in model.parts if isinstance(part, uplift.Logistic)]
    assert (model.kind, len(parts)) == ("t", 2)
    moved = [(rows_BD - np.array(part.means)) / np.array(part.scales) * np.array(part.weights) for part in parts]
    more_BD: Floats = moved[0] - moved[1]
    return more_BD


def fit(
    task: Uplift, features: pa.Table, people: Trial, *, sensitive: Collection[str], min_positives: int, seed: int
) -> tuple[Effect, Verdict] | None:
    """Judge on the trial itself, everybody by models that never saw them; None where an arm holds too little of either.

    Promoted is what beats the model of responses by its Qini coefficient beyond chance; otherwise nothing is foretold.

    Args:
        features: `user_features` of the trial's people, as of before they met it, in its order.
    """
    arms = [people.of(people.treated == arm) for arm in (True, False)]
    if min(int(min((arm.outcome > 0).sum(), (arm.outcome == 0).sum())) for arm in arms) < min_positives:
        return None
    inputs = Inputs.of(features, sensitive=sensitive)
    rows_BD = inputs.matrix(features)
    fitted = uplift.logistic(_L2)
    learners = {RESPONSE: uplift.response(fitted), CONTENDER: uplift.t_learner(fitted)}
    choice = uplift.choose(learners, rows_BD, people, baseline=RESPONSE, seed=seed)
    ahead = choice.difference[CONTENDER]
    said = f"uplift: Qini {choice.qini[CONTENDER].mean:.4f}, ahead of the model of responses by {ahead.mean:+.4f}"
    said += f" ({ahead.low:+.4f} to {ahead.high:+.4f}), {len(people.treated)} people of a trial"
    level = Interval(0.0, 0.0, 0.0)
    contenders = {
        name: Judged(one.mean, choice.difference.get(name, level), {"qini": one.mean})
        for name, one in choice.qini.items()
    }
    promoted = choice.name == CONTENDER
    if not promoted:
        return Effect(task, inputs, None, None), Verdict("nothing", False, said, contenders)
    model = learners[CONTENDER](rows_BD, people)
    deciles = Deciles.of(np.clip(model.score(rows_BD), 0.0, 1.0))
    return Effect(task, inputs, model, deciles), Verdict(CONTENDER, True, said, contenders)
