"""Who stands out, where nobody has labels: how rare each of a person's signals is, added up.

ECOD (Li et al. 2022, https://doi.org/10.1109/TKDE.2022.3159580): a score is the sum over signals of -ln of the share of
people with a value at least as extreme. Its authors look at both tails; here a person has said which end of a signal is
conspicuous, so only that one counts: nobody is suspected for never returning anything. Plain arithmetic, kept as JSON.

What comes out is an order. It is no probability of fraud: nothing here has ever seen one.

Legend: B = people, S = signals, K = values that are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.contracts import BadInput
from nightjar.predict.calibration import Deciles
from nightjar.predict.contest import Verdict
from nightjar.predict.served import AGAIN, Foretold, Reads, read_json, strongest, write_json
from nightjar.predict.task import Anomaly

Floats = NDArray[np.float64]

#: What serves, as `foretold` calls it.
CONTENDER = "anomaly"

#: What is said of it where models are judged.
NOT_JUDGED = Verdict(CONTENDER, True, "anomaly, not judged: nobody knows whom it should name", {})

#: Fewer people have no tails to speak of.
MIN_PEOPLE = 200

#: The largest values are kept one by one, of the rest so many.
MAX_KEPT = 1000

#: A signal is a reason where at most a tenth of people have as much of it.
CONSPICUOUS = float(np.log(10))


@dataclass(frozen=True)
class Tail:
    """What share of some people has at least a value: `values` fall, `shares` rise."""

    values: tuple[float, ...]
    shares: tuple[float, ...]

    @classmethod
    def of(cls, values_B: Floats) -> Tail:
        """Of those whose value is a number; of nobody an empty one.

        >>> Tail.of(np.array([1.0, 1.0, 5.0, np.nan, 2.0]))
        Tail(values=(5.0, 2.0, 1.0), shares=(0.25, 0.5, 1.0))
        """
        known_B = values_B[~np.isnan(values_B)]
        distinct_K, counts_K = np.unique(-known_B, return_counts=True)
        shares_K = np.cumsum(counts_K) / max(1, len(known_B))
        kept = np.arange(len(distinct_K))
        if len(kept) > 2 * MAX_KEPT:
            kept = np.append(kept[:MAX_KEPT], np.linspace(MAX_KEPT, len(kept) - 1, MAX_KEPT).astype(np.int64))
        return cls(tuple((-distinct_K[kept]).tolist()), tuple(shares_K[kept].tolist()))

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", tuple(self.values))
        object.__setattr__(self, "shares", tuple(self.shares))

    def share(self, values_B: Floats) -> Floats:
        """Of each value, rounded up to a value that is kept; at least that of the largest; 1 for what is no number.

        >>> Tail((5.0, 2.0, 1.0), (0.25, 0.5, 1.0)).share(np.array([9.0, 3.0, 1.0, 0.0, np.nan])).tolist()
        [0.25, 0.5, 1.0, 1.0, 1.0]
        """
        places_B = np.searchsorted(-np.array(self.values), -values_B, side="left")
        found: Floats = np.append(np.array(self.shares), 1.0)[places_B]
        return np.where(np.isnan(values_B), 1.0, found)


@dataclass(frozen=True)
class Detector:
    """The tails of each signal and of their sum, among the people it was fitted on."""

    definition: Anomaly
    tails: dict[str, Tail]
    total: Tail
    deciles: Deciles

    @property
    def task(self) -> str:
        return self.definition.name

    @property
    def reads(self) -> Reads:
        return "accounts"

    @property
    def silent(self) -> bool:
        return False

    def foretell(self, features: pa.Table, encoder_B: Floats) -> Foretold:
        """The share of the people it was fitted on who are less conspicuous, as `probability_B`."""
        rarities_BS = rarities(self.definition, self.tails, features)
        behind_B = self.total.share(rarities_BS.sum(1))
        less_B = 1 - behind_B
        return Foretold(
            less_B,
            self.deciles.number(less_B),
            behind_B <= self.definition.flagged_share,
            CONTENDER,
            strongest(rarities_BS, tuple(self.tails), above=CONSPICUOUS),
        )

    def save(self, folder: Path) -> None:
        write_json(
            folder,
            {
                "task": self.task,
                "tails": {name: asdict(tail) for name, tail in self.tails.items()},
                "total": asdict(self.total),
                "deciles": asdict(self.deciles),
            },
        )

    @classmethod
    def load(cls, folder: Path, task: Anomaly) -> Detector:
        """Raises BadInput where it was fitted to other signals than today's."""
        said = read_json(folder)
        if said["tails"].keys() != task.signals.keys():
            raise BadInput(f"{task.name} has other signals than {', '.join(said['tails'])}", AGAIN)
        tails = {name: Tail(**tail) for name, tail in said["tails"].items()}
        return cls(task, tails, Tail(**said["total"]), Deciles(**said["deciles"]))


def fit(task: Anomaly, features: pa.Table) -> Detector | None:
    """The tails among these people; None where they are too few.

    Args:
        features: rows of `user_features` of those whom the task serves, with what it reads.
    """
    if features.num_rows < MIN_PEOPLE:
        return None
    tails = {name: Tail.of(signal.of(features)) for name, signal in task.signals.items()}
    totals_B = rarities(task, tails, features).sum(1)
    total = Tail.of(totals_B)
    return Detector(task, tails, total, Deciles.of(1 - total.share(totals_B)))


def rarities(task: Anomaly, tails: Mapping[str, Tail], features: pa.Table) -> Floats:
    """-ln of the share of people with as much of each signal, shape (people, signals); 0 where it says nothing."""
    shares_BS = np.stack([tail.share(task.signals[name].of(features)) for name, tail in tails.items()], axis=1)
    found: Floats = -np.log(shares_BS)
    return found
