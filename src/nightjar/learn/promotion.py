"""Whether a candidate becomes champion: a pure rule over metrics of the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

from nightjar.learn.metrics import Interval
from nightjar.settings import Promotion

Metrics = Mapping[str, float]


class Decision(NamedTuple):
    """`promoted`: the alias moves. `kept`: the candidate lost. `none`: there was no candidate."""

    decision: Literal["promoted", "kept", "none"]
    reason: str


def decide(
    rule: Promotion,
    *,
    candidate: Metrics | None,
    champion: Metrics | None,
    baselines: Mapping[str, Interval],
    num_users: int,
) -> Decision:
    """Apply every clause of `[promotion]` and say which held, with the numbers.

    A baseline must be beaten beyond chance: the whole interval of the paired difference lies above zero. Against the
    champion means decide, for of two equals the younger one knows what came since. NaN loses every comparison.

    Args:
        candidate: metric name -> value; None when nothing was trained.
        champion: the same for today's champion; None when there is none to beat.
        baselines: baseline name -> the candidate's `rule.metric` minus the baseline's, person by person, with its 95 %
            interval; holds at least those of `must_beat`.
        num_users: people evaluated.
    """
    if candidate is None:
        return Decision("none", "no candidate was trained for this night")
    ours = candidate[rule.metric]
    clauses = [(num_users >= rule.min_users, f"{num_users} users evaluated, at least {rule.min_users} needed")]
    for name in rule.must_beat:
        ahead = baselines[name]
        said = f"{ahead.mean:+.4f} ({ahead.low:+.4f} to {ahead.high:+.4f})"
        clauses.append((ahead.low > 0, f"more than {name} needed, beyond chance: {said}"))
    if champion is not None:
        needed = (1 + rule.min_gain_over_champion) * champion[rule.metric]
        clauses.append(
            (ours >= needed, f"at least {needed:.4f} needed against the champion's {champion[rule.metric]:.4f}")
        )
    failed = [text for holds, text in clauses if not holds]
    verdict, told = ("fails", failed) if failed else ("holds", [text for _, text in clauses])
    sentence = f"{rule.metric} {ours:.4f}: {verdict}: {'; '.join(told)}"
    return Decision("kept" if failed else "promoted", sentence)
