"""A night as one self-contained HTML page: no script, no font, no picture from anywhere else."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from nightjar.monitor import charts
from nightjar.monitor.night import Check, Night, Scorer, Trial
from nightjar.monitor.realised import Interval
from nightjar.monitor.scores import Score
from nightjar.monitor.verdict import first_line, judge

#: Reason code -> what the page calls it, in the order of the page.
REASONS = {
    "because_bought": "because they bought",
    "because_carted": "because they put in the cart",
    "because_viewed": "because they viewed",
    "popular_now": "popular now",
    "popular_in_category": "popular in their categories",
    "chosen_by_shop": "chosen by the shop",
}
METRICS = ("ndcg@10", "hr@10", "mrr")


def render(night: Night) -> str:
    """The page. Whatever comes from logs (titles, reasons, errors) is escaped."""
    environment = Environment(
        loader=PackageLoader("nightjar.monitor", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "number": number,
        "percent": percent,
        "first_line": first_line,
        "change": change,
        "size": size,
        "money": money,
        "signed": signed,
    }
    page: str = environment.get_template("report.html").render(
        night=night,
        verdict=judge(night),
        style=Markup(environment.get_template("report.css").render()),  # noqa: S704 - our own file
        meter=charts.meter,
        slowest=max((step.seconds or 0 for step in night.steps), default=0),
        seconds=sum(step.seconds or 0 for step in night.steps),
        comparison=comparison(night.trial) if night.trial else [],
        metrics=METRICS,
        trends=trends(night),
        suites=suites(night.checks),
        quarantine=quarantine(night),
        reasons=reasons(night),
        reason_plot=reason_plot(night),
        drop=night.step("clean").counts,
        cpu_seconds=sum(step.cpu_seconds or 0 for step in night.steps),
        hit_plot=realised_plot(night, "hit_rate"),
        ndcg_plot=realised_plot(night, "ndcg"),
        judged_plot=judged_plot(night),
        funnel=funnel(night),
        people=[score_block(score) for score in night.scores],
    )
    return page


def number(value: object) -> str:
    """Thousands are grouped; what nobody counted is a dash."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.1f}"


def change(now: float | None, then: float | None) -> Markup:
    """The relative change, with an arrow; what was nothing or unknown has none."""
    if now is None or not then:
        return Markup('<span class="flat">–</span>')
    grown = now / then - 1
    css, arrow = ("up", "▲") if grown > 0.005 else ("down", "▼") if grown < -0.005 else ("flat", "●")
    return Markup('<span class="{}">{} {:+.1f} %</span>').format(css, arrow, 100 * grown)


def size(value: int | None) -> str:
    """Bytes in words."""
    if value is None:
        return "–"
    for unit, bytes_of in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if value >= bytes_of:
            return f"{value / bytes_of:.1f} {unit}"
    return f"{value} B"


def realised_plot(night: Night, name: str) -> Markup:
    """What people took up of the lists, night by night, above what was popular."""
    ours, theirs = ([getattr(one, f"{name}{more}") for one in night.realised] for more in ("", "_popular"))
    titles = [
        f"{one.day}: lists {percent(a)}, popular {percent(b)}"
        for one, a, b in zip(night.realised, ours, theirs, strict=True)
    ]
    label = f"{name.replace('_', ' ')} of the lists and of what was popular, by night"
    return charts.lines([("baseline", theirs), ("ours", ours)], titles, label)


def judged_plot(night: Night) -> Markup:
    values, popular = [one.value for one in night.judged], [one.popularity for one in night.judged]
    titles = [f"{one.day}: {one.value:.4f}" for one in night.judged]
    return charts.lines([("baseline", popular), ("ours", values)], titles, "quality on the holdout by night")


def score_block(score: Score) -> dict[str, Any]:
    """One score with its plots: calibration of the latest judged night, lift from night to night."""
    points = [
        charts.Point(
            group.foretold,
            group.happened.mean,
            group.happened.low,
            group.happened.high,
            f"{number(group.num_people)} people: foretold {percent(group.foretold)},"
            f" happened {percent(group.happened.mean)}",
        )
        for group in score.groups
    ]
    lifts = [one.lift for one in score.nights]
    titles = [f"{one.day}: {'–' if one.lift is None else f'{one.lift:.2f}'}" for one in score.nights]
    chance = [1.0] * len(lifts)
    return {
        "score": score,
        "calibration": charts.calibration(points, f"{score.words}: what happened over what was foretold, by tenths"),
        "top": charts.calibration_top(points),
        "lift": charts.lines(
            [("baseline", chance), ("ours", lifts)], titles, f"{score.words}: lift of the first decile by night"
        ),
    }


def money(value: float | None) -> str:
    return "–" if value is None else f"{value:,.2f}"


def signed(interval: Interval | None, form: str) -> str:
    """A difference with its bounds; a dash where there is nothing to compare.

    >>> signed(Interval(0.5, 0.25, 0.75), "+.2f")
    '+0.50 (+0.25 to +0.75)'
    """
    if interval is None:
        return "–"
    mean, low, high = (format(value, form) for value in (interval.mean, interval.low, interval.high))
    return f"{mean} ({low} to {high})"


def funnel(night: Night) -> list[dict[str, Any]]:
    """Steps with their share of the first and of the one before."""
    top = night.funnel[0][1] if night.funnel else 0
    rows, before = [], None
    for name, sessions in night.funnel:
        rows.append(
            {
                "name": name,
                "sessions": sessions,
                "of_all": sessions / top if top else None,
                "of_last": sessions / before if before else None,
                "plot": charts.shares([("meter", sessions), ("rest", max(top - sessions, 0))], f"{name}: {sessions}"),
            }
        )
        before = sessions
    return rows


def percent(value: float | None) -> str:
    """Two significant digits below ten per cent: 0.3 % must not read 0 %."""
    if value is None:
        return "–"
    return f"{100 * value:.0f} %" if value >= 0.0995 or value == 0 else f"{100 * value:.2g} %"


def comparison(trial: Trial) -> list[dict[str, Any]]:
    """The scorers on one axis, which ends at the highest upper bound."""
    top = max((_bounds(scorer, trial.metric)[2] for scorer in trial.scorers), default=0) or 1
    return [_compared(scorer, trial, top) for scorer in trial.scorers]


def _compared(scorer: Scorer, trial: Trial, top: float) -> dict[str, Any]:
    mean, low, high = _bounds(scorer, trial.metric)
    label = f"{scorer.label}: {trial.metric} {mean:.4f}, 95 % interval {low:.4f} to {high:.4f}"
    ours = scorer.name in ("candidate", "champion")
    return {
        "scorer": scorer,
        "outcome": _outcome(scorer, trial),
        "plot": charts.interval(mean, low, high, top, "ours" if ours else "baseline", label),
        "low": low,
        "high": high,
    }


def _bounds(scorer: Scorer, metric: str) -> tuple[float, float, float]:
    mean = scorer.means.get(metric, 0.0)
    found = scorer.intervals.get(metric) or (mean, mean, mean)
    return mean, found[1], found[2]


def _outcome(scorer: Scorer, trial: Trial) -> str:
    if scorer.name == "candidate":
        return {"promoted": "champion from tonight on", "kept": "not promoted"}.get(trial.decision, "")
    if scorer.name == "champion":
        return "replaced" if trial.decision == "promoted" else "stays"
    return "baseline"


def trends(night: Night) -> list[dict[str, Any]]:
    """Events and sessions per day."""
    rows = []
    for name, attribute in (("Events", "num_events"), ("Sessions", "num_sessions")):
        values = [getattr(day, attribute) for day in night.trend]
        titles = [f"{day.day}: {number(value)}" for day, value in zip(night.trend, values, strict=True)]
        known = [value for value in values if value is not None]
        label = f"{name} per day, {number(min(known, default=None))} to {number(max(known, default=None))}"
        tonight = values[-1] if values else None
        rows.append({"name": name, "plot": charts.bars(values, titles, label), "tonight": tonight, "any": bool(known)})
    return rows


def suites(checks: tuple[Check, ...]) -> list[dict[str, Any]]:
    """One row per table: how many expectations, and those that failed."""
    tables = dict.fromkeys(check.table for check in checks)
    return [
        {
            "table": table,
            "total": sum(check.table == table for check in checks),
            "failed": [check for check in checks if check.table == table and not check.success],
        }
        for table in tables
    ]


def quarantine(night: Night) -> list[tuple[str, int, Markup]]:
    """Reasons by number of records, with a bar each."""
    found = night.step("clean").counts.get("reasons") or {}
    ordered = sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))
    return [(reason, rows, charts.meter(rows, ordered[0][1])) for reason, rows in ordered]


def reasons(night: Night) -> list[tuple[str, str, int, float]]:
    """(CSS class, words, rows, share) of each reason, known ones first."""
    if night.recommended is None:
        return []
    found = night.recommended.reasons
    total = sum(found.values()) or 1
    codes = [code for code in REASONS if code in found] + sorted(set(found) - set(REASONS))
    return [(_css(code), REASONS.get(code, code), found[code], found[code] / total) for code in codes]


def reason_plot(night: Night) -> Markup:
    parts = [(css, float(rows)) for css, _, rows, _ in reasons(night)]
    said = ", ".join(f"{words} {percent(share)}" for _, words, _, share in reasons(night))
    return charts.shares(parts, f"Reasons of recommendations: {said}")


def _css(code: str) -> str:
    return f"reason-{list(REASONS).index(code) + 1}" if code in REASONS else "reason-other"
