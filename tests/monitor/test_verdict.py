"""The first lines of the page."""

from __future__ import annotations

from dataclasses import replace

from tests.monitor.example import CHECKS, RESULTS, night, result

from nightjar.monitor.night import Check, Night, Step
from nightjar.monitor.verdict import judge

GOOD = tuple(check for check in CHECKS if check.success)


def with_step(name: str, step: Step) -> Night:
    steps = tuple(step if one.name == name else one for one in night().steps)
    return night(steps=steps, checks=GOOD)


def test_a_good_night() -> None:
    verdict = judge(night(checks=GOOD))
    assert (verdict.level, verdict.notices) == ("good", ())
    assert verdict.headline == "Published 40,000 recommendations for 2,000 people."


def test_a_warning_of_the_gate() -> None:
    verdict = judge(night())
    assert verdict.level == "warn"
    assert [notice.text for notice in verdict.notices] == ["events: expectation bot_share warns, observed 0.61"]
    assert verdict.notices[0].section == "quality"


def test_a_failed_training_is_red_although_the_night_was_published() -> None:
    failed = {"status": "failed", "run_id": "night-1", "error": "MemoryError: no room\n  next: fewer batch_users"}
    verdict = judge(with_step("train", Step.of("train", failed, "night-1")))
    assert verdict.level == "bad"
    assert verdict.headline.startswith("Published 40,000")
    assert [notice.text for notice in verdict.notices] == ["train failed: MemoryError: no room"]


def test_failures_stand_before_warnings() -> None:
    stopped = Check("sessions", "events_lost", "stop", False, "3")
    verdict = judge(night(checks=(*CHECKS, stopped)))
    assert [notice.level for notice in verdict.notices] == ["bad", "warn"]
    assert verdict.notices[0].text == "sessions: expectation events_lost stopped the night, observed 3"


def test_what_stopped_a_step_is_said_once() -> None:
    stopped = Check("sessions", "events_lost", "stop", False, "3")
    failed = Step.of("sessionize", {"status": "failed", "run_id": "night-1", "error": "gate stopped it"}, "night-1")
    verdict = judge(replace(with_step("sessionize", failed), checks=(stopped,)))
    assert [notice.text for notice in verdict.notices] == ["sessionize failed: gate stopped it"]


def test_nothing_published() -> None:
    verdict = judge(with_step("publish", Step.of("publish", None, "night-1")))
    assert (verdict.level, verdict.headline) == (
        "bad",
        "Nothing was published: readers still see the last complete night.",
    )


def test_published_already() -> None:
    again = RESULTS["publish"]["counts"] | {"published": False}
    verdict = judge(with_step("publish", Step.of("publish", result(**again), "night-1")))
    assert verdict.level == "good"
    assert verdict.headline == (
        "The warehouse held these 40,000 recommendations for 2,000 people already; nothing changed."
    )


def test_no_champion_and_conflicts_are_worth_a_look() -> None:
    clean = Step.of("clean", result(rows_conflict=2), "night-1")
    verdict = judge(replace(with_step("clean", clean), champion=None))
    assert [notice.text for notice in verdict.notices] == [
        "clean: 2 rows share an event id with a row that says otherwise",
        "There is no champion yet: everybody gets what is popular",
    ]
