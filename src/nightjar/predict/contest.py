"""Which of a rule, trees, an encoder and both together foretells best, on people of a later window.

Every winner of the RecSys Challenge 2025 joined a learned representation with hand-made aggregates
(https://doi.org/10.1145/3758126); whether that helps a shop is asked anew each time. A model is promoted only where it
beats the rule beyond chance; where it does not, the rule stays, calibrated like the others.

Legend: B = people.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit, logit

from nightjar.learn.metrics import Interval
from nightjar.predict import metrics
from nightjar.predict.metrics import Floats, Labels
from nightjar.predict.task import Metric

RULE, TREES, ENCODER, COMBINED = "rule", "trees", "encoder", "combined"

#: Of equals the one that is cheaper to run is taken.
BY_COST = (RULE, TREES, ENCODER, COMBINED)

#: Probabilities this close to 0 or 1 are taken for it.
_LEAST = 1e-6

#: Parts of the rows, each left out once to see whether a stack helps.
_FOLDS = 10

METRICS: dict[Metric, Callable[[Labels, Floats], float]] = {
    "auroc": metrics.auroc,
    "average_precision": metrics.average_precision,
}


@dataclass(frozen=True)
class Combination:
    """Log-odds of two models, added with weights that are not negative: a stack (Wolpert 1992) of two.

    With one weight at zero it is the other model alone.
    """

    bias: float
    trees: float
    encoder: float

    @classmethod
    def fit(cls, trees_B: Floats, encoder_B: Floats, outcomes_B: Labels) -> Combination:
        """The stack, where it is shown to foretell better than trees; otherwise trees as they are.

        Shown is what exceeds one standard error of the gain in log loss on rows that were left out (Breiman et al.
        1984): from some hundred yeses weights that help nothing are drawn as easily as not, and cost more on the next
        window than what they bring (docs/experiments.md).
        """
        folds_B = np.arange(len(outcomes_B)) % _FOLDS
        gains_B = np.zeros(len(outcomes_B))
        for fold in range(_FOLDS):
            out_B = folds_B == fold
            stack = cls.stack(trees_B[~out_B], encoder_B[~out_B], outcomes_B[~out_B])
            alone = cls.stack(trees_B[~out_B], None, outcomes_B[~out_B])
            without_B, with_B = (
                metrics.log_losses(outcomes_B[out_B], one.apply(trees_B[out_B], encoder_B[out_B]))
                for one in (alone, stack)
            )
            gains_B[out_B] = without_B - with_B
        standard_error = gains_B.std() / np.sqrt(len(gains_B))
        return cls.stack(trees_B, encoder_B, outcomes_B) if gains_B.mean() > standard_error else TREES_ALONE

    @classmethod
    def stack(cls, trees_B: Floats, encoder_B: Floats | None, outcomes_B: Labels) -> Combination:
        """The weights of least log loss, without an encoder the trees' alone.

        A trace of regularisation keeps them finite where a model knows everything.
        """
        second_B = np.zeros(len(trees_B)) if encoder_B is None else _log_odds(encoder_B)
        rows_B3 = np.stack([np.ones(len(outcomes_B)), _log_odds(trees_B), second_B], axis=1)
        signs_B = 2.0 * outcomes_B - 1.0

        def loss(weights_3: Floats) -> tuple[float, Floats]:
            margins_B = signs_B * (rows_B3 @ weights_3)
            missed_B = expit(-margins_B)
            gradient_3 = -(signs_B * missed_B) @ rows_B3 / len(signs_B) + 1e-4 * weights_3
            return float(np.logaddexp(0, -margins_B).mean() + 0.5e-4 * weights_3 @ weights_3), gradient_3

        bounds = [(None, None), (0, None), (0, None if encoder_B is not None else 0)]
        begin = np.array([0.0, 0.5, 0.0 if encoder_B is None else 0.5])
        found = minimize(loss, begin, jac=True, bounds=bounds, method="L-BFGS-B")
        return cls(*(float(weight) for weight in found.x))

    def apply(self, trees_B: Floats, encoder_B: Floats) -> Floats:
        log_odds_B = self.bias + self.trees * _log_odds(trees_B) + self.encoder * _log_odds(encoder_B)
        found: Floats = expit(log_odds_B)
        return found


#: What stands where an encoder adds nothing, or is none.
TREES_ALONE = Combination(bias=0.0, trees=1.0, encoder=0.0)


class Judged(NamedTuple):
    """One contender on the later window."""

    value: float  #: of the metric that decides
    ahead_of_rule: Interval  #: person by person, with its 95 % interval
    metrics: dict[str, float]


class Verdict(NamedTuple):
    """Who won, and whether it may replace the rule."""

    winner: str
    promoted: bool
    reason: str
    contenders: dict[str, Judged]


def judge(
    metric: Metric, outcomes_B: Labels, scores: Mapping[str, Floats], *, min_positives: int, seed: int
) -> Verdict:
    """Hold calibrated probabilities against each other.

    Args:
        outcomes_B: 1 or 0, of a window that none of the contenders has seen.
        scores: contender -> probabilities of the same people; holds `RULE`.
        min_positives: fewer yeses, or fewer noes, than this decide nothing.
    """
    best = METRICS[metric]
    found = {
        name: Judged(
            best(outcomes_B, scores_B),
            metrics.paired_bootstrap(best, outcomes_B, scores_B, scores[RULE], seed=seed),
            described(outcomes_B, scores_B),
        )
        for name, scores_B in scores.items()
    }
    learned = [name for name in BY_COST if name in scores and name != RULE]
    fewest = int(min(outcomes_B.sum(), (1 - outcomes_B).sum()))
    if fewest < min_positives:
        return Verdict(RULE, False, f"{fewest} of the rarer outcome, at least {min_positives} needed", found)
    winner = max(learned, key=lambda name: (found[name].value, -BY_COST.index(name)), default=RULE)
    ahead = found[winner].ahead_of_rule
    said = f"{winner}: {metric} {found[winner].value:.4f}, ahead of the rule by {ahead.mean:+.4f}"
    said += f" ({ahead.low:+.4f} to {ahead.high:+.4f})"
    return Verdict(winner, True, said, found) if ahead.low > 0 else Verdict(RULE, False, said, found)


def described(outcomes_B: Labels, scores_B: Floats) -> dict[str, float]:
    """Every metric that the report tells of a probability."""
    gains = metrics.lift_and_gain(outcomes_B, scores_B)
    return {
        "auroc": metrics.auroc(outcomes_B, scores_B),
        "average_precision": metrics.average_precision(outcomes_B, scores_B),
        "log_loss": metrics.log_loss(outcomes_B, scores_B),
        "ece": metrics.expected_calibration_error(outcomes_B, scores_B),
        "lift_first_decile": float(gains.lift[0]),
        "gain_first_decile": float(gains.gain[0]),
    }


def _log_odds(scores_B: Floats) -> Floats:
    found: Floats = logit(np.clip(scores_B, _LEAST, 1 - _LEAST))
    return found
