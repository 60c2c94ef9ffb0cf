"""Whether a candidate becomes champion: a pure rule over metrics of the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

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
    baselines: Mapping[str, Metrics],
    num_users: int,
) -> Decision:
    """Apply every clause of `[promotion]` and say which held, with the numbers.

    Point estimates decide; intervals are for the reader. NaN loses every comparison.

    Args:
        candidate: metric name -> value; None when nothing was trained.
        champion: the same for today's champion; None when there is none to beat.
        baselines: baseline name -> metrics; holds at least those of `must_beat`.
        num_users: people evaluated.
    """
    if candidate is None:
        return Decision("none", "no candidate was trained for this night")
    ours = candidate[rule.metric]
    clauses = [(num_users >= rule.min_users, f"{num_users} users evaluated, at least {rule.min_users} needed")]
    for name in rule.must_beat:
        theirs = baselines[name][rule.metric]
        clauses.append((ours > theirs, f"more than {name} {theirs:.4f} needed"))
    if champion is not None:
        needed = (1 + rule.min_gain_over_champion) * champion[rule.metric]
        clauses.append(
            (ours >= needed, f"at least {needed:.4f} needed against the champion's {champion[rule.metric]:.4f}")
        )
    failed = [text for holds, text in clauses if not holds]
    said = failed or [text for _, text in clauses]
    verdict = "fails" if failed else "holds"
    sentence = f"{rule.metric} {ours:.4f}: {verdict}: {'; '.join(said)}"
    return Decision("kept" if failed else "promoted", sentence)
