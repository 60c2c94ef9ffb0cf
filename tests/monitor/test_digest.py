from __future__ import annotations

import pytest
from tests.monitor.example import night

from nightjar.monitor import digest
from nightjar.monitor.night import Step
from nightjar.monitor.verdict import judge, late


def test_a_warning_in_a_few_lines() -> None:
    seen = night()
    verdict = judge(seen)
    assert digest.subject(seen, verdict) == "Nightjar acme 2001-01-15: to look at"
    assert digest.text(seen, verdict, "/reports/acme.html") == (
        "Published 40,000 recommendations for 2,000 people.\n"
        "! events: expectation bot_share warns, observed 0.61\n"
        "report: /reports/acme.html\n"
    )
    message = digest.message(seen, verdict, "/reports/acme.html", "http://airflow/run")
    assert (message["verdict"], message["day"], len(message["notices"])) == ("warn", "2001-01-15", 1)
    assert message["link"] == "http://airflow/run"
    assert message["text"].endswith("report: /reports/acme.html\nrun: http://airflow/run\n")


def test_a_late_night_says_how_far_it_has_come() -> None:
    seen = night()
    steps = tuple(
        Step(step.name, status)
        for step, status in zip(seen.steps, ("done", "done", "failed", *["missing"] * 99), strict=False)
    )
    verdict = late(night(steps=steps))
    assert digest.subject(seen, verdict) == "Nightjar acme 2001-01-15: late"
    assert digest.is_due(verdict, "bad")
    first, second, third = (step.name for step in seen.steps[:3])
    assert verdict.headline == f"Not finished by its deadline; done so far: {first}, {second}."
    assert [notice.text.split(" failed")[0] for notice in verdict.notices] == [third]


@pytest.mark.parametrize(
    ("when", "due"),
    [("never", (False, False)), ("bad", (False, True)), ("warn", (True, True)), ("always", (True, True))],
)
def test_who_is_told_when(when: str, due: tuple[bool, bool]) -> None:
    seen = night()
    failed = tuple(Step("publish", "failed") if step.name == "publish" else step for step in seen.steps)
    verdicts = (judge(seen), judge(night(steps=failed)))
    assert tuple(digest.is_due(verdict, when) for verdict in verdicts) == due
