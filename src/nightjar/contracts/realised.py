"""What became of scores and decisions: kept as sums that add up over nights, without anybody's identifier."""

from __future__ import annotations

from nightjar.contracts.published import REALISED
from nightjar.contracts.table import Column, Ratio, Table

_SCORED_NIGHT = Column("dt", "date", "The night that foretold.", nullable=False)
_DECIDED_NIGHT = Column("dt", "date", "The night that decided.", nullable=False)
_SCORE_NAME = Column("score_name", "string", "The task, such as churn or purchase.", nullable=False)
_CONTENDER = Column("contender", "string", "What foretold: rule, trees, encoder or combined.", nullable=False)
_MODEL_VERSION = Column("model_version", "string", "Version of the task's registered model.", nullable=False)
_MONEY = "shop's currency"


def _count(name: str, doc: str, unit: str = "people") -> Column:
    return Column(name, "long", doc, unit, nullable=False)


def _sum(name: str, doc: str, unit: str = _MONEY) -> Column:
    return Column(name, "double", doc, unit, nullable=False)


def _measure(name: str, doc: str, unit: str = "") -> Column:
    return Column(name, "double", doc, unit)


_FORETOLD_SUM = _sum("foretold_sum", "Sum of their probabilities: how many were expected.", "people")
_FORETOLD_RATIOS = (
    Ratio("mean_foretold", "foretold_sum", ("num_people",), "Mean probability.", "0 to 1"),
    Ratio("observed_rate", "num_positives", ("num_people",), "Share of those for whom it came true.", "0 to 1"),
)

REALISED_SCORES = Table(
    "realised_scores",
    "How good a night's scores were, once what they foretold was over: one row per score, model and group of people.",
    (
        _SCORED_NIGHT,
        _SCORE_NAME,
        _CONTENDER,
        _MODEL_VERSION,
        Column(
            "segment",
            "string",
            "(all); platform: of the latest event; activity: visits in the last 28 days; or a group of the task's own.",
            nullable=False,
        ),
        Column("window_days", "int", "How long people were watched.", "days", nullable=False),
        _count("num_foretold", "People with the score."),
        _count("num_people", "Of them, those whose question has an answer: the numbers below are theirs."),
        _count("num_positives", "Of these, those for whom it came true."),
        _FORETOLD_SUM,
        _measure(
            "auroc", "Chance that one for whom it came true had the higher score; null with one outcome.", "0 to 1"
        ),
        _measure("average_precision", "Mean precision over those for whom it came true; null without any.", "0 to 1"),
        _measure("log_loss", "Mean of minus the logarithm of what was given to what happened.", "nats"),
        _measure("ece", "Expected calibration error over ten groups of equally many people.", "0 to 1"),
        _measure("ece_by_chance", "Its mean on as many people, were every probability right.", "0 to 1"),
        _measure("ece_by_chance_high", "What one such draw in forty would be above.", "0 to 1"),
        _measure("lift_first_decile", "How often it came true among the highest tenth, over that among everybody."),
    ),
    key=("score_name", "model_version", "segment"),
    order=("score_name", "model_version", "segment"),
    caveats=(
        "Sums add up over nights and groups; AUROC, precision, loss, calibration error and lift do not.",
        "Acting on a score changes what happens: where decisions work, fewer leave than was foretold.",
        "People who were erased since are in no count.",
    ),
    ratios=_FORETOLD_RATIOS,
)

REALISED_CALIBRATION = Table(
    "realised_calibration",
    "People of a night in groups of like probability: what was foretold of them, and what happened.",
    (
        _SCORED_NIGHT,
        _SCORE_NAME,
        _CONTENDER,
        _MODEL_VERSION,
        Column("bin", "int", "1 is least likely; ties can leave fewer than ten.", nullable=False),
        _count("num_people", "People of the group."),
        _count("num_positives", "Of them, those for whom it came true."),
        _FORETOLD_SUM,
    ),
    key=("score_name", "model_version", "bin"),
    order=("score_name", "model_version", "bin"),
    ratios=_FORETOLD_RATIOS,
)

_PER_PERSON = "A person acted on less one left alone"
_BOUNDS = "bound of its 95 % interval, by the normal approximation (Welch)"

REALISED_DECISIONS = Table(
    "realised_decisions",
    "What became of those a night acted on, and of those it left alone to compare with: one row per decision and arm.",
    (
        _DECIDED_NIGHT,
        Column("decision", "string", "As in `decisions`.", nullable=False),
        Column("arm", "string", "act or control.", nullable=False),
        Column("score_name", "string", "The score that decided.", nullable=False),
        Column("outcome", "string", "Column of `labels` that acting is meant to move; null where none is.", ""),
        Column("window_days", "int", "Days over which purchases count; an outcome may take longer.", "days", False),
        _count("num_people", "People of the arm of whom anything is known since."),
        _count("num_answered", "Of them, those for whom the outcome is known."),
        _count("num_positives", "Of these, those for whom it is true."),
        _sum("revenue", "Sum of price x quantity over their purchases in the window, before returns."),
        _sum("revenue_squares", "Sum over people of its squares, for intervals.", ""),
        _sum("margin", "Share of a price that was left to the shop, as settings had it.", "0 to 1"),
        _sum("expected_value", "Sum of what acting was expected to bring; of the control group, what it would have."),
        _sum("cost", "Sum of the offers' cost, as though everybody redeemed theirs."),
        _measure("outcome_difference", f"{_PER_PERSON}: share with the outcome; null of control or few.", "-1 to 1"),
        _measure("outcome_difference_low", f"Lower {_BOUNDS}.", "-1 to 1"),
        _measure("outcome_difference_high", f"Upper {_BOUNDS}.", "-1 to 1"),
        _measure("revenue_difference", f"{_PER_PERSON}: revenue; null of control or few.", _MONEY),
        _measure("revenue_difference_low", f"Lower {_BOUNDS}.", _MONEY),
        _measure("revenue_difference_high", f"Upper {_BOUNDS}.", _MONEY),
        _measure(
            "realised_value", "Margin on the difference in revenue, less the mean cost: per person acted on.", _MONEY
        ),
        _measure("realised_value_low", f"Lower {_BOUNDS}.", _MONEY),
        _measure("realised_value_high", f"Upper {_BOUNDS}.", _MONEY),
    ),
    key=("decision", "arm"),
    order=("decision", "arm"),
    caveats=(
        "The control group is drawn by person and stays the same: nights repeat it, and intervals over several are"
        " too narrow.",
        "Whether an offer was sent and redeemed is not known here: arms are compared as they were drawn.",
        "What a retention is expected to bring is what is at stake over the history window; what is realised here"
        " is bought within `window_days`.",
    ),
    ratios=(
        Ratio("outcome_rate", "num_positives", ("num_answered",), "Share with the outcome.", "0 to 1"),
        Ratio("revenue_per_person", "revenue", ("num_people",), "Mean revenue.", _MONEY),
        Ratio("expected_value_per_person", "expected_value", ("num_people",), "Mean expected value.", _MONEY),
    ),
)

#: What later nights know of a night; the warehouse keeps every day.
JUDGED = (REALISED, REALISED_SCORES, REALISED_CALIBRATION, REALISED_DECISIONS)
