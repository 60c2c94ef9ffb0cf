"""The first thing a reader wants: did it run, and is there anything to look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from nightjar.monitor.night import Night, Step


@dataclass(frozen=True)
class Notice:
    """One thing to look at, and the section of the page that says more."""

    text: str
    section: str
    level: Literal["bad", "warn"] = "warn"


@dataclass(frozen=True)
class Verdict:
    """`good`: nothing to look at. `warn`: published, look. `bad`: a step failed or nothing was published."""

    level: Literal["good", "warn", "bad"]
    headline: str
    notices: tuple[Notice, ...]
    word: str = ""  #: for a subject line, where the level alone does not say it


def late(night: Night) -> Verdict:
    """Of a night that is still on its way after its deadline."""
    done = [step.name for step in night.steps if step.status == "done"]
    failed = tuple(notice for step in night.steps if step.status == "failed" for notice in _of_step(step))
    headline = f"Not finished by its deadline; done so far: {', '.join(done) or 'nothing'}."
    return Verdict("bad", headline, failed, "late")


def judge(night: Night) -> Verdict:
    """The verdict, failures before warnings."""
    notices = sorted(_notices(night), key=lambda notice: notice.level != "bad")
    levels = {notice.level for notice in notices}
    level: Literal["good", "warn", "bad"] = "bad" if "bad" in levels else "warn" if levels else "good"
    return Verdict(level, _headline(night), tuple(notices))


def _headline(night: Night) -> str:
    published = night.step("publish")
    if published.status != "done":
        return "Nothing was published: readers still see the last complete night."
    people, rows = published.counts.get("num_users"), published.counts.get("num_rows")
    if not isinstance(people, int) or not isinstance(rows, int):
        return "Published."
    if published.counts.get("published") is False:
        return f"The warehouse held these {rows:,} recommendations for {people:,} people already; nothing changed."
    return f"Published {rows:,} recommendations for {people:,} people."


def _notices(night: Night) -> Iterator[Notice]:
    for step in night.steps:
        yield from _of_step(step)
    any_failed = any(step.status == "failed" for step in night.steps)
    for check in night.checks:
        stopped = check.severity == "stop"
        if not check.success and not (stopped and any_failed):  # the step that it stopped says it already
            text = f"{check.table}: expectation {check.expectation} {'stopped the night' if stopped else 'warns'}"
            yield Notice(f"{text}, observed {check.observed}", "quality", "bad" if stopped else "warn")
    for section, checks in (("watch", night.watched), ("people", night.of_people)):
        for check in checks:
            if not check.success and check.severity != "stop":  # what stopped the night is the step's own failure
                yield Notice(f"{check.table}: {check.expectation}: {check.observed}", section)
    if night.champion is None:
        yield Notice("There is no champion yet: everybody gets what is popular", "model")
    if night.recommended is None:
        yield Notice("The lake has no recommendations for this day", "recommendations")


def _of_step(step: Step) -> Iterator[Notice]:
    if step.status == "failed":
        yield Notice(f"{step.name} failed: {first_line(step.error)}", "steps", "bad")
    elif step.status == "missing":
        yield Notice(f"{step.name} left no result", "steps", "bad" if step.name == "publish" else "warn")
    elif conflicts := step.counts.get("rows_conflict"):
        yield Notice(f"{step.name}: {conflicts:,} rows share an event id with a row that says otherwise", "quality")


def first_line(error: str | None) -> str:
    return (error or "it does not say why").splitlines()[0]
