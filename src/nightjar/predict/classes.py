"""Which of several outcomes comes next: rows to a fitted model and a verdict, and what serves.

The likeliest class with its probability, of trees or of a rule that names one class. A model serves only where it names
the right one more often than the rule, beyond chance. The encoder has no part in it yet.

Legend: B = people, K = classes.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

from nightjar.contracts import BadInput
from nightjar.predict import metrics
from nightjar.predict.aggregates import Columns
from nightjar.predict.bundle import BY_RULE
from nightjar.predict.calibration import Deciles
from nightjar.predict.contest import RULE, TREES, Judged, Verdict
from nightjar.predict.fitting import Rows, is_tuning
from nightjar.predict.served import AGAIN, Foretold, Reads, read_json, strongest, write_json
from nightjar.predict.task import Multiclass
from nightjar.predict.trees import Trees

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

#: Classes that are told apart, the most frequent ones; whoever turns to another one is foretold wrongly.
MAX_CLASSES = 32

#: What is foretold is flagged where it is likelier than everything else together.
_FLAGGED = 0.5

#: People whose reasons are worked out at once: a number per person, class and column.
_AT_ONCE = 1024


@dataclass(frozen=True)
class Chooser:
    """Both contenders, and which of them serves."""

    definition: Multiclass
    serving: str
    classes: tuple[str, ...]
    columns: Columns
    trees: Trees
    temperature: float  #: of the trees' log-probabilities: Guo et al. 2017, https://arxiv.org/abs/1706.04599
    base_rates: tuple[float, ...]
    rule_right: float  #: how often the rule's class was the one
    deciles: Deciles | None  #: None while it is being fitted

    @property
    def task(self) -> str:
        return self.definition.name

    @property
    def reads(self) -> Reads:
        return ""

    @property
    def silent(self) -> bool:
        return False

    def probabilities(self, features: pa.Table, contender: str = "") -> Floats:
        """Of each class, shape (people, classes), of the contender that serves or of another one."""
        if (contender or self.serving) == TREES:
            return tempered(self.trees.predict(self.columns.matrix(features)), self.temperature)
        named_B = places(self.definition.rule(features), self.classes)
        found_BK = np.tile(np.array(self.base_rates), (features.num_rows, 1))
        says_B = named_B < len(self.classes)
        rows, named = np.flatnonzero(says_B), named_B[says_B]
        found_BK[rows, named] = 0.0
        rest_B = found_BK[rows].sum(axis=1, keepdims=True)
        found_BK[rows] *= (1 - self.rule_right) / np.maximum(rest_B, 1e-12)
        found_BK[rows, named] = self.rule_right
        whole_BK: Floats = found_BK / found_BK.sum(axis=1, keepdims=True)
        return whole_BK

    def chosen(self, features: pa.Table, said_BK: Floats, contender: str = "") -> Places:
        """The class that a contender names: the likeliest, or the rule's own word where it has one."""
        best_B: Places = said_BK.argmax(axis=1)
        if (contender or self.serving) == TREES:
            return best_B
        named_B = places(self.definition.rule(features), self.classes)
        return np.where(named_B < len(self.classes), named_B, best_B)

    def foretell(self, features: pa.Table, encoder_B: Floats) -> Foretold:
        assert self.deciles is not None
        said_BK = self.probabilities(features)
        best_B = self.chosen(features, said_BK)
        probability_B = said_BK[np.arange(len(best_B)), best_B]
        return Foretold(
            probability_B,
            self.deciles.number(probability_B),
            probability_B >= _FLAGGED,
            self.serving,
            self.reasons(features, best_B),
            pa.array(self.classes, pa.string()).take(pa.array(best_B)),
        )

    def reasons(self, features: pa.Table, best_B: Places) -> pa.ListArray:
        """The columns that moved a person most towards the class that is foretold (Shapley values)."""
        if self.serving == RULE:
            return pa.array([[BY_RULE]] * features.num_rows, pa.list_(pa.string()))
        matrix = self.columns.matrix(features)
        parts = [
            strongest(self.trees.contributions_to(matrix[at : at + _AT_ONCE], best_B[at : at + _AT_ONCE]), names)
            for names in [self.columns.names]
            for at in range(0, len(matrix), _AT_ONCE)
        ]
        return pa.concat_arrays(parts) if parts else pa.array([], pa.list_(pa.string()))

    def save(self, folder: Path) -> None:
        write_json(
            folder,
            {
                "task": self.task,
                "serving": self.serving,
                "classes": self.classes,
                "columns": self.columns.dump(),
                "temperature": self.temperature,
                "base_rates": self.base_rates,
                "rule_right": self.rule_right,
                "deciles": self.deciles and asdict(self.deciles),
            },
        )
        (folder / "trees.txt").write_text(self.trees.text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, task: Multiclass) -> Chooser:
        said = read_json(folder)
        try:
            text = (folder / "trees.txt").read_text(encoding="utf-8")
        except OSError as error:
            raise BadInput(f"{folder} holds no trees: {error}", AGAIN) from error
        return cls(
            task,
            said["serving"],
            tuple(said["classes"]),
            Columns.load(said["columns"]),
            Trees(text),
            said["temperature"],
            tuple(said["base_rates"]),
            said["rule_right"],
            Deciles(**said["deciles"]),
        )


def places(words: pa.ChunkedArray, classes: tuple[str, ...]) -> Places:
    """The number of each word's class; the number of classes for other words and nulls.

    >>> places(pa.chunked_array([["b", None, "x"]]), ("a", "b")).tolist()
    [1, 2, 2]
    """
    found = pc.fill_null(pc.index_in(words, pa.array(classes, pa.string())), len(classes))
    return np.asarray(found.to_numpy(), np.int64)


def tempered(chances_BK: Floats, temperature: float) -> Floats:
    """Chances to the power of one over the temperature, adding up to 1 again.

    >>> tempered(np.array([[0.8, 0.2]]), 0.5).round(3).tolist()
    [[0.941, 0.059]]
    """
    raised_BK = np.log(np.maximum(chances_BK, 1e-12)) / temperature
    raised_BK = np.exp(raised_BK - raised_BK.max(axis=1, keepdims=True))
    found: Floats = raised_BK / raised_BK.sum(axis=1, keepdims=True)
    return found


def fit(
    task: Multiclass,
    earlier: Rows,
    later: Rows,
    *,
    tuning_share: float,
    sensitive: Collection[str],
    min_positives: int,
    seed: int,
    threads: int = 0,
) -> tuple[Chooser, Verdict] | None:
    """Fit and judge; None where fewer than three classes have `min_positives` people each to learn from."""
    earlier = _answered(task, earlier)
    tunes_B = is_tuning(earlier.features.column("user_id"), tuning_share)
    classes = _classes(earlier.where(~tunes_B).labels.column(task.label), min_positives)
    if len(classes) < 3:
        return None
    numbers_B = places(earlier.labels.column(task.label), classes)
    told_B = numbers_B < len(classes)
    earlier, numbers_B, tunes_B = earlier.where(told_B), numbers_B[told_B], tunes_B[told_B]
    if tunes_B.sum() < min_positives:
        return None
    columns = Columns.of(earlier.features, sensitive=sensitive)
    matrix = columns.matrix(earlier.features)
    trees = Trees.fit(
        matrix[~tunes_B],
        numbers_B[~tunes_B],
        tuning=(matrix[tunes_B], numbers_B[tunes_B]),
        names=columns.names,
        categorical=columns.categorical,
        seed=seed,
        num_classes=len(classes),
        threads=threads,
    )
    counts_K = np.bincount(numbers_B, minlength=len(classes))
    named_B = places(task.rule(earlier.features), classes)
    says_B = named_B < len(classes)
    right = float((named_B == numbers_B)[says_B].sum() + 1) / (says_B.sum() + 2)
    raw_BK = trees.predict(matrix[tunes_B])
    fitted = Chooser(
        task,
        RULE,
        classes,
        columns,
        trees,
        _temperature(raw_BK, numbers_B[tunes_B]),
        tuple((counts_K / counts_K.sum()).tolist()),
        right,
        None,
    )
    verdict = _judged(fitted, _answered(task, later), min_positives=min_positives, seed=seed)
    fitted = replace(fitted, serving=verdict.winner)
    tuning = earlier.where(tunes_B).features
    said_BK = fitted.probabilities(tuning)
    of_tuning_B = said_BK[np.arange(len(said_BK)), fitted.chosen(tuning, said_BK)]
    return replace(fitted, deciles=Deciles.of(of_tuning_B)), verdict


def _answered(task: Multiclass, rows: Rows) -> Rows:
    return rows.where(pc.is_valid(rows.labels.column(task.label)).to_numpy())


def _classes(words: pa.ChunkedArray, fewest: int) -> tuple[str, ...]:
    """The most frequent ones with enough people, ties by name."""
    tally = [(-one["counts"], one["values"]) for one in pc.value_counts(words.combine_chunks()).to_pylist()]
    return tuple(word for count, word in sorted(tally)[:MAX_CLASSES] if -count >= fewest)


def _temperature(chances_BK: Floats, numbers_B: Places) -> float:
    """Of least log loss."""

    def loss(log_temperature: float) -> float:
        return metrics.multiclass_log_loss(numbers_B, tempered(chances_BK, float(np.exp(log_temperature))))

    return float(np.exp(minimize_scalar(loss, bounds=(-2.0, 2.0), method="bounded").x))


def _judged(fitted: Chooser, later: Rows, *, min_positives: int, seed: int) -> Verdict:
    numbers_B = places(later.labels.column(fitted.definition.label), fitted.classes)
    said = {name: fitted.probabilities(later.features, name) for name in (RULE, TREES)}
    right = {
        name: (fitted.chosen(later.features, said_BK, name) == numbers_B).astype(np.float64)
        for name, said_BK in said.items()
    }
    found = {
        name: Judged(
            _share(numbers_B, right[name]),
            metrics.paired_bootstrap(_share, numbers_B, right[name], right[RULE], seed=seed),
            {"top1_accuracy": _share(numbers_B, right[name])} | _described(numbers_B, said_BK),
        )
        for name, said_BK in said.items()
    }
    if len(numbers_B) < min_positives:
        reason = f"{len(numbers_B)} people with an outcome, at least {min_positives} needed"
        return Verdict(RULE, False, reason, found)
    ahead = found[TREES].ahead_of_rule
    told = f"trees: top1_accuracy {found[TREES].value:.4f}, ahead of the rule by {ahead.mean:+.4f}"
    told += f" ({ahead.low:+.4f} to {ahead.high:+.4f})"
    return Verdict(TREES, True, told, found) if ahead.low > 0 else Verdict(RULE, False, told, found)


def _share(_: metrics.Labels, right_B: Floats) -> float:
    return float(right_B.mean()) if len(right_B) else float("nan")


def _described(numbers_B: Places, said_BK: Floats) -> dict[str, float]:
    """An outcome that was unknown has no chance with anybody."""
    padded_BK = np.pad(said_BK, ((0, 0), (0, 1)))
    return {
        "macro_auroc": metrics.macro_auroc(numbers_B, padded_BK),
        "log_loss": metrics.multiclass_log_loss(numbers_B, padded_BK),
    }
