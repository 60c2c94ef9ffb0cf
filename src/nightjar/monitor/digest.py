"""A night in a few lines, for those who are told and do not look."""

from __future__ import annotations

from typing import Any

from nightjar.monitor.night import Night
from nightjar.monitor.verdict import Verdict

#: Verdicts from which on a digest is sent.
_FROM = {"never": (), "bad": ("bad",), "warn": ("bad", "warn"), "always": ("bad", "warn", "good")}

_MARK = {"good": "fine", "warn": "to look at", "bad": "failed"}


def is_due(verdict: Verdict, when: str) -> bool:
    return verdict.level in _FROM[when]


def subject(night: Night, verdict: Verdict) -> str:
    return f"Nightjar {night.shop} {night.day}: {verdict.word or _MARK[verdict.level]}"


def text(night: Night, verdict: Verdict, page: str = "", link: str = "") -> str:
    """Every notice on a line, failures first, then where to read more: the page, if it is written, and the run."""
    lines = [verdict.headline, *(f"{'x' if one.level == 'bad' else '!'} {one.text}" for one in verdict.notices)]
    more = [f"{name}: {where}" for name, where in (("report", page), ("run", link)) if where]
    return "\n".join([*lines, *more, ""])


def message(night: Night, verdict: Verdict, page: str = "", link: str = "") -> dict[str, Any]:
    """The same as plain values; `text` alone is what chat services show."""
    return {
        "text": f"{subject(night, verdict)}\n{text(night, verdict, page, link)}",
        "shop": night.shop,
        "day": night.day.isoformat(),
        "run_id": night.run_id,
        "verdict": verdict.level,
        "headline": verdict.headline,
        "notices": [{"level": one.level, "text": one.text} for one in verdict.notices],
        "page": page,
        "link": link,
    }
