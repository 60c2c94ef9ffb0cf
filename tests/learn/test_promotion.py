"""Each clause of the rule, alone."""

from __future__ import annotations

import pytest

from nightjar.learn.metrics import Interval
from nightjar.learn.promotion import Decision, decide
from nightjar.settings import Promotion

RULE = Promotion(metric="ndcg@10", min_gain_over_champion=0.0, must_beat=("popularity",), min_users=50)


def of(value: float) -> dict[str, float]:
    return {"ndcg@10": value, "hr@10": 0.9, "mrr": 0.9}


def ahead_of(baseline: float, candidate: float, *, half_width: float = 0.005) -> Interval:
    return Interval(candidate - baseline, candidate - baseline - half_width, candidate - baseline + half_width)


def decided(
    candidate: float, *, champion: float | None = 0.10, num_users: int = 50, rule: Promotion = RULE
) -> Decision:
    return decide(
        rule,
        candidate=of(candidate),
        champion=None if champion is None else of(champion),
        baselines={"popularity": ahead_of(0.08, candidate), "markov": ahead_of(0.2, candidate)},
        num_users=num_users,
    )


def test_every_clause_holds() -> None:
    assert decided(0.12) == Decision(
        "promoted",
        "ndcg@10 0.1200: holds: 50 users evaluated, at least 50 needed;"
        " more than popularity needed, beyond chance: +0.0400 (+0.0350 to +0.0450);"
        " at least 0.1000 needed against the champion's 0.1000",
    )


def test_a_baseline_must_be_beaten_beyond_chance() -> None:
    assert decided(0.084, champion=0.05) == Decision(
        "kept",
        "ndcg@10 0.0840: fails: more than popularity needed, beyond chance: +0.0040 (-0.0010 to +0.0090)",
    )
    assert decided(0.0851, champion=0.05).decision == "promoted"


def test_only_named_baselines_must_be_beaten() -> None:
    both = RULE.model_copy(update={"must_beat": ("popularity", "markov")})
    assert decided(0.15).decision == "promoted"
    assert decided(0.15, rule=both).reason.startswith("ndcg@10 0.1500: fails: more than markov needed")


def test_the_champion_must_be_met() -> None:
    assert decided(0.10).decision == "promoted"
    assert decided(0.0999) == Decision(
        "kept", "ndcg@10 0.0999: fails: at least 0.1000 needed against the champion's 0.1000"
    )


@pytest.mark.parametrize(
    ("gain", "candidate", "decision"), [(0.05, 0.104, "kept"), (0.05, 0.106, "promoted"), (-0.1, 0.091, "promoted")]
)
def test_the_gain_is_relative_and_may_be_negative(gain: float, candidate: float, decision: str) -> None:
    assert decided(candidate, rule=RULE.model_copy(update={"min_gain_over_champion": gain})).decision == decision


def test_without_a_champion_the_baselines_decide() -> None:
    assert decided(0.09, champion=None).decision == "promoted"
    assert decided(0.07, champion=None).decision == "kept"


def test_too_few_users_decide_nothing() -> None:
    assert decided(0.9, num_users=49) == Decision(
        "kept", "ndcg@10 0.9000: fails: 49 users evaluated, at least 50 needed"
    )


def test_every_failed_clause_is_named() -> None:
    reason = decided(0.05, num_users=3).reason
    assert reason == (
        "ndcg@10 0.0500: fails: 3 users evaluated, at least 50 needed;"
        " more than popularity needed, beyond chance: -0.0300 (-0.0350 to -0.0250);"
        " at least 0.1000 needed against the champion's 0.1000"
    )


def test_not_a_number_loses() -> None:
    assert decided(float("nan")).decision == "kept"
    assert decided(0.5, champion=float("nan")).decision == "kept"


def test_the_configured_metric_decides() -> None:
    by_mrr = RULE.model_copy(update={"metric": "mrr"})
    assert "mrr 0.9000: fails" in decided(0.0, champion=0.5, rule=by_mrr).reason


def test_no_candidate() -> None:
    decision = decide(RULE, candidate=None, champion=of(0.1), baselines={}, num_users=500)
    assert decision == Decision("none", "no candidate was trained for this night")
