"""Rule, trees, encoder and both together on people of a later instant, as numbers for the page.

Whatever is learned is learned by `nightjar.predict.fitting.fit` and by the heads of `train_scores`, as in a night.

Legend: B people.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from jobs._people import Instant, answers, teach
from jobs.ops.scores.parts import Number, Say, interval, number, rounded

from nightjar.learn.checkpoint import LoadedModel
from nightjar.learn.heads import Heads
from nightjar.learn.metrics import Interval
from nightjar.predict import calibration, metrics
from nightjar.predict.bundle import Fitted
from nightjar.predict.contest import METRICS, RULE, Verdict, described
from nightjar.predict.fitting import Rows, answered, fit, is_tuning, with_latest
from nightjar.predict.metrics import Counts, Floats
from nightjar.predict.slices import slices
from nightjar.predict.task import Binary, Metric
from nightjar.settings import Predict

#: Fewer of either outcome in a slice tell nothing worth a line.
_LEAST = 20

#: From people at instants and the task to a score of each, higher meaning sooner; fitted on the first, said of both.
Baseline = Callable[[Rows, Rows, Binary], tuple[Floats, Floats]]

#: From people of the later instant, and the task, to the best scores there are by what each of them knows: not a number
#: of people whom nobody knows, none of a task that nobody can work out.
Best = Callable[[pa.Table, Binary], Mapping[str, Floats]]


class Held(NamedTuple):
    """One task on the later instant: what happened, and what each contender said."""

    features: pa.Table
    outcomes_B: Counts
    scores: dict[str, Floats]
    verdict: Verdict

    @property
    def best(self) -> str:
        """The contender of the best deciding metric, whether or not it may replace the rule."""
        return max(self.verdict.contenders, key=lambda name: self.verdict.contenders[name].value)


class Learned(NamedTuple):
    """One task, learned from some instants and judged by a later one."""

    task: Binary
    taught: Heads | None
    place: int  #: of the task's head
    before: Rows
    judged: Rows
    fitted: Fitted
    verdict: Verdict

    def rows(self, one: Instant) -> Rows:
        return Rows(one.features, one.labels, answers(self.taught, one, self.place))


def learned(
    tasks: Sequence[Binary],
    known: Sequence[Instant],
    judged: Instant,
    encoder: LoadedModel | None,
    conf: Predict,
    *,
    seed: int,
) -> Iterator[tuple[Binary, Learned | None]]:
    """Every task, with nothing where there is too little to learn from; the encoder stays as it was."""
    taught = teach(copy.deepcopy(encoder.model), known, tasks, conf, seed=seed)[0] if encoder else None
    for place, task in enumerate(tasks):
        *rows, now = (Rows(one.features, one.labels, answers(taught, one, place)) for one in (*known, judged))
        before = Rows.of(rows)
        fitted = fit(
            task,
            before,
            now,
            tuning_share=conf.tuning_share,
            sensitive=conf.sensitive,
            min_positives=conf.min_positives,
            seed=seed,
        )
        yield task, fitted and Learned(task, taught, place, before, now, *fitted)


def hold(
    tasks: Sequence[Binary],
    known: Sequence[Instant],
    later: Instant,
    encoder: LoadedModel | None,
    conf: Predict,
    *,
    seed: int,
    baselines: Mapping[str, Baseline] | None = None,
) -> dict[str, Held | str]:
    """Every task, or why it could not be judged."""
    found: dict[str, Held | str] = {}
    for task, one in learned(tasks, known, later, encoder, conf, seed=seed):
        if one is None:
            found[task.name] = f"fewer than {conf.min_positives} of the rarer outcome to learn from"
            continue
        held = _held(one, conf, baselines or {})
        both = 0 < held.outcomes_B.sum() < len(held.outcomes_B)
        found[task.name] = held if both else "the later window holds one outcome only"
    return found


def as_served(
    tasks: Sequence[Binary],
    known: Sequence[Instant],
    later: Instant,
    encoder: LoadedModel | None,
    conf: Predict,
    *,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """The calibration error of what a night serves, by task, as far as there is enough to learn from.

    A night's winner learns from the people who judged it too, is calibrated on them, and then says something of later
    ones. So here: judged by the last of the known instants, and held against the later one.
    """
    *before, judged = known
    found = {}
    for task, one in learned(tasks, before, judged, encoder, conf, seed=seed) if before else ():
        if one is not None:
            serving = with_latest(
                one.fitted,
                one.before,
                one.judged,
                tuning_share=conf.tuning_share,
                sensitive=conf.sensitive,
                seed=seed,
            )
            people, outcomes_B = answered(task, one.rows(later))
            scores_B = serving.probabilities(people.features, people.encoder_B)
            found[task.name] = {
                "contender": serving.serving,
                "ece": number(metrics.expected_calibration_error(outcomes_B, scores_B)),
                "ece_by_chance": rounded(metrics.calibration_error_by_chance(scores_B)),
            }
    return found


def _held(one: Learned, conf: Predict, baselines: Mapping[str, Baseline]) -> Held:
    task, fitted = one.task, one.fitted
    later, outcomes_B = answered(task, one.judged)
    scores = {name: fitted.probabilities(later.features, later.encoder_B, name) for name in fitted.calibrations}
    earlier, said_B = answered(task, one.before)
    tunes_B = is_tuning(earlier.features.column("user_id"), conf.tuning_share)
    for name, baseline in baselines.items():
        then_B, now_B = baseline(earlier, later, task)
        scores[name] = calibration.fit(said_B[tunes_B], then_B[tunes_B]).apply(now_B)
    return Held(later.features, outcomes_B, scores, one.verdict)


def told(held: Held, metric: Metric, *, best: Mapping[str, Floats] | None = None, seed: int = 1) -> dict[str, Any]:
    """The numbers of one task; `best` has the best scores of these people, where the simulator knows them."""
    outcomes_B = held.outcomes_B
    contenders = {}
    for name, scores_B in held.scores.items():
        said = described(outcomes_B, scores_B)
        contenders[name] = {
            "auroc": interval(metrics.bootstrap(metrics.auroc, outcomes_B, scores_B, seed=seed)),
            **{key: number(said[key]) for key in ("average_precision", "log_loss", "ece", "lift_first_decile")},
            "ece_by_chance": rounded(metrics.calibration_error_by_chance(scores_B)),
            "ahead": interval(_ahead(held, name, metric, seed)),
            "reliability": _reliability(outcomes_B, scores_B),
            "gain": rounded(metrics.lift_and_gain(outcomes_B, scores_B, num_bins=20).gain),
        }
    found = {
        "people": len(outcomes_B),
        "positives": int(outcomes_B.sum()),
        "metric": metric,
        "serving": held.verdict.winner,
        "best": held.best,
        "reason": held.verdict.reason,
        "contenders": contenders,
        "slices": _slices(held, seed),
    }
    return found | ({"bayes": {name: _bayes(held, best_B, seed) for name, best_B in best.items()}} if best else {})


def _ahead(held: Held, name: str, metric: Metric, seed: int) -> Interval:
    """Of the metric that decides; the rule's own is zero."""
    if name in held.verdict.contenders:
        return held.verdict.contenders[name].ahead_of_rule
    ours_B, rule_B = held.scores[name], held.scores[RULE]
    return metrics.paired_bootstrap(METRICS[metric], held.outcomes_B, ours_B, rule_B, seed=seed)


def _reliability(outcomes_B: Counts, scores_B: Floats) -> dict[str, list[Number]]:
    curve = metrics.reliability(outcomes_B, scores_B)
    return {"predicted": rounded(curve.predicted), "observed": rounded(curve.observed)}


def _slices(held: Held, seed: int) -> dict[str, Any]:
    found = {}
    scores_B = held.scores[held.best]
    for name, members_B in slices(held.features).items():
        outcomes_B = held.outcomes_B[members_B]
        if min(outcomes_B.sum(), (1 - outcomes_B).sum()) >= _LEAST:
            area = metrics.bootstrap(metrics.auroc, outcomes_B, scores_B[members_B], seed=seed)
            found[name] = {"people": len(outcomes_B), "positives": int(outcomes_B.sum()), "auroc": interval(area)}
    return found


def _bayes(held: Held, best_B: Floats, seed: int) -> dict[str, Any]:
    """How far the best model gets on the way from a coin's AUROC to that of one of the best scores.

    Measured on the people whom the simulator knows; the interval is over resampled people, both on the same ones.
    """
    known_B = ~np.isnan(best_B)
    outcomes_B, best_B = held.outcomes_B[known_B], best_B[known_B]
    ours_B = held.scores[held.best][known_B]
    bayes = metrics.bootstrap(metrics.auroc, outcomes_B, best_B, seed=seed)
    ours = metrics.auroc(outcomes_B, ours_B)
    drawn = []
    for counts in metrics.resamples(len(outcomes_B), seed=seed, num_resamples=300):
        rows = np.repeat(np.arange(len(outcomes_B)), counts)
        drawn.append(
            share(metrics.auroc(outcomes_B[rows], ours_B[rows]), metrics.auroc(outcomes_B[rows], best_B[rows]))
        )
    reached = metrics.percentiles(share(ours, bayes.mean), drawn)
    return {"people": len(outcomes_B), "auroc": interval(bayes), "ours": number(ours), "share": interval(reached)}


def share(ours: float, bayes: float) -> float:
    """Of the distance between a coin's AUROC and the best one.

    >>> share(0.7, 0.75)
    0.7999999999999998
    """
    return (ours - 0.5) / (bayes - 0.5)


def measured(
    tasks: Sequence[Binary],
    known: Sequence[Instant],
    later: Instant,
    encoder: LoadedModel | None,
    conf: Predict,
    say: Say,
    *,
    best: Best | None = None,
    baselines: Mapping[str, Baseline] | None = None,
    seed: int = 1,
) -> dict[str, Any]:
    """The contest of every task at one instant."""
    say(f"contest on people of {later.day}")
    found: dict[str, Any] = {}
    for name, one in hold(tasks, known, later, encoder, conf, seed=seed, baselines=baselines).items():
        task = next(task for task in tasks if task.name == name)
        if isinstance(one, str):
            found[name] = {"not_judged": one}
            continue
        found[name] = told(one, task.metric, best=best and best(one.features, task), seed=seed)
    say("calibration of what would have served")
    for name, served in as_served(tasks, known, later, encoder, conf, seed=seed).items():
        if "not_judged" not in found[name]:
            found[name]["as_served"] = served
    days = {"judged": later.day.isoformat(), "learned": [one.day.isoformat() for one in known]}
    return {**days, "with_encoder": encoder is not None, "tasks": found}
