"""One plausible night of a small shop, for the page's tests."""

from __future__ import annotations

import json
from datetime import date, timedelta
from typing import Any

from nightjar.monitor.arms import Arms
from nightjar.monitor.night import (
    Champion,
    Check,
    Day,
    Effect,
    Item,
    Judged,
    Kpi,
    Mover,
    Night,
    Realised,
    Recommended,
    Step,
    Trial,
)
from nightjar.monitor.realised import Interval, share_interval
from nightjar.monitor.scores import Contender, Decision, Group, Score
from nightjar.monitor.scores import Judged as JudgedScore

DAY = date(2001, 1, 15)


def result(run_id: str = "night-1", **counts: Any) -> dict[str, Any]:
    """A result manifest of a job that ended well."""
    cost = {"seconds": 12.5, "peak_gib": 0.81, "cpu_seconds": 20.5, "bytes_written": 3 * 2**20}
    return {"status": "done", "run_id": run_id, **cost, "counts": counts}


RESULTS: dict[str, dict[str, Any]] = {
    "clean": result(
        rows_in=4210,
        rows_out=4150,
        rows_rejected=12,
        rows_duplicate=48,
        rows_conflict=0,
        days_landed=1,
        reasons={"price_unreadable": 9, "event_ts_missing": 4},
    ),
    "sessionize": result(rows_in=4150, rows_out=870, rows_rejected=0),
    "identity": result(rows_in=2300, rows_out=640, rows_rejected=0),
    "sequences": result(rows_in=91000, rows_out=2000, rows_rejected=0),
    "features": result(rows_in=91000, rows_out=2000, rows_rejected=0, labelled_people=1900),
    "marts": result(rows_in=870, rows_out=310, rows_rejected=0, days_rebuilt=3),
    "train": result(rows_in=1900, rows_out=1, rows_rejected=0, trained=True, model_version="4") | {"seconds": 61.0},
    "evaluate": result(rows_in=640, rows_out=600, rows_rejected=40),
    "train_scores": result(rows_in=2000, rows_out=2, rows_rejected=0),
    "score_people": result(rows_in=2000, rows_out=3800, rows_rejected=0),
    "decide": result(rows_in=3800, rows_out=610, rows_rejected=0),
    "score": result(rows_in=2000, rows_out=40000, rows_rejected=0),
    "realise": result(rows_in=1990, rows_out=120, rows_rejected=0),
    "realise_scores": result(rows_in=3700, rows_out=46, rows_rejected=0),
    "watch": result(rows_in=40000, rows_out=13, rows_rejected=0, warnings=0),
    "publish": result(
        rows_in=40000,
        rows_out=40000,
        rows_rejected=0,
        num_rows=40000,
        num_users=2000,
        published=True,
        publish_id="9f3b6c1e2d4a4f0f8f4f2b7c6d5e4a3b",
    ),
}

#: A row of `promotions`.
DECISION: dict[str, Any] = {
    "candidate_version": "4",
    "champion_version": "3",
    "decision": "promoted",
    "reason": "ndcg@10 0.1312: holds: 600 users evaluated, at least 50 needed; more than popularity 0.0411 needed",
    "metrics": json.dumps(
        {
            "users": 600,
            "scorers": {
                "popularity": {"ndcg@10": 0.0411, "hr@10": 0.0833, "mrr": 0.0402},
                "candidate": {"ndcg@10": 0.1312, "hr@10": 0.2383, "mrr": 0.1147},
                "champion": {"ndcg@10": 0.1207, "hr@10": 0.2217, "mrr": 0.1066},
                "markov": {"ndcg@10": 0.0985, "hr@10": 0.1817, "mrr": 0.0879},
            },
            "intervals": {
                "popularity": {"ndcg@10": [0.0411, 0.0305, 0.0521]},
                "candidate": {"ndcg@10": [0.1312, 0.1121, 0.1508]},
                "champion": {"ndcg@10": [0.1207, 0.1019, 0.1399]},
                "markov": {"ndcg@10": [0.0985, 0.0811, 0.1163]},
            },
        }
    ),
    "rule": json.dumps({"metric": "ndcg@10", "must_beat": ["popularity"]}),
}

CHECKS = (
    Check("events", "num_rows", "stop", True, "4150"),
    Check("events", "bot_share", "warn", False, "0.61"),
    Check("sessions", "events_lost", "stop", True, "0"),
    Check("recommendations", "users_missing", "stop", True, "0"),
)

TITLES = ("Copper kettle", "Linen apron", "Oak <b>chopping</b> board & knife, a set whose name goes on and on", None)


def trend() -> tuple[Day, ...]:
    """Four weeks with a closed Sunday, and no sessions yet on the first day."""
    days = []
    for back in range(28, -1, -1):
        day = DAY - timedelta(days=back)
        events = 3600 + 140 * (day.day % 5) + 420 * (day.weekday() in (4, 5))
        closed = day.weekday() == 6
        days.append(Day(day, None if closed else events, None if closed or back == 28 else events // 5))
    return tuple(days)


def recommended() -> Recommended:
    items = tuple(Item(f"sku-{n}", TITLES[n % 4], 900 - 71 * n, [1, 3, None, 2][n % 4]) for n in range(10))
    reasons = {"because_viewed": 21000, "because_carted": 6400, "because_bought": 9000, "popular_now": 3600}
    return Recommended(40000, 2000, 180, 644, 760, reasons, items, sum(item.num_lists for item in items), True)


KPIS = (
    Kpi("visitors", 1312, 1260, 1344),
    Kpi("sessions", 1702, 1648, 1702),
    Kpi("orders", 61, 58, None),
    Kpi("revenue", 3120.4, 3344.0, 2870.2),
    Kpi("sessions that buy", 0.0358, 0.0352, 0.0331, is_share=True),
)
FUNNEL = (("viewed", 1480), ("then put in the cart", 212), ("then bought", 58))
WATCHED = (
    Check("events", "freshness", "warn", True, "the last event 0.2 h earlier than usual"),
    Check("events", "drift of kinds", "warn", True, "JS 0.004, L-infinity 0.031 (cart 10.0 % to 13.1 %), PSI 0.011"),
    Check("recommendations", "coverage", "warn", True, "84.7 % of available items stand in a list"),
)
OF_PEOPLE = (
    Check("foretold", "deciles of churn", "warn", True, "4.1 % of 1,790 people moved by more than one decile"),
    Check("foretold", "probabilities of churn", "warn", True, "PSI 0.012"),
    Check(
        "realised_scores",
        "level of purchase",
        "warn",
        True,
        "foretold 12 %, happened 11 %, of 1,950 people of 2001-01-01",
    ),
)
MOVERS = (
    Mover("sku-3", None, 687, 204),
    Mover("sku-41", "Walnut bowl", 12, 340),
    Mover("sku-0", "Copper kettle", 900, 811),
)
EFFECTS = (Effect("buyer_share", 0.0041, 0.0007, 0.0075),)


def realised() -> tuple[Realised, ...]:
    """Two weeks that get better, one night without anybody."""
    rows = []
    for back in range(14, 0, -1):
        rate = None if back == 9 else 0.31 - 0.006 * back + 0.01 * (back % 3)
        popular = rate and 0.14 + 0.004 * (back % 4)
        counts = (0, 0, 0) if rate is None else (520, 41, 15)
        day = DAY - timedelta(days=back)
        rows.append(Realised(day, back > 12, 1990, *counts, rate, popular, rate and rate / 2, popular and popular / 2))
    return tuple(rows)


def scores() -> tuple[Score, ...]:
    """Churn by the encoder and trees, judged on a fortnight of nights; clicks by the rule, judged on none."""
    days = [DAY - timedelta(days=back) for back in range(27, 13, -1)]
    nights = tuple(
        JudgedScore(day, "(all)", 1700 + 6 * n, 0.31, 0.30 + 0.004 * (n % 5), 0.781, 0.024, 0.019, 2.2 + 0.05 * (n % 4))
        for n, day in enumerate(days)
    )
    groups = []
    for tenth in range(10):
        happened = share_interval(10 + 14 * tenth, 175)
        assert happened is not None
        groups.append(Group(175, 0.04 + 0.083 * tenth, happened))
    named = ("platform: web", "platform: app", "activity: 1 visit", "activity: 5 or more visits")
    segments = tuple(
        JudgedScore(days[-1], name, 900 - 200 * n, 0.3 + 0.01 * n, 0.29, None if n == 3 else 0.77, 0.03, 0.026, 2.1)
        for n, name in enumerate(named)
    )
    contest = (
        Contender("rule", 0.731, 0.026, None, False),
        Contender("trees", 0.774, 0.022, (0.043, 0.021, 0.066), False),
        Contender("encoder", 0.769, 0.031, (0.038, 0.014, 0.061), False),
        Contender("combined", 0.781, 0.021, (0.050, 0.029, 0.072), True),
    )
    choice = (
        Contender("rule", None, None, None, True, 0.237),
        Contender("trees", None, None, (-0.123, -0.15, -0.09), False, 0.114),
    )
    reason = "combined: auroc 0.7810, ahead of the rule by +0.0500 (+0.0290 to +0.0720)"
    return (
        Score("churn", "combined", "3", 1790, 840, 0.312, "auroc", contest, reason, nights, tuple(groups), segments),
        Score("click", "rule", "2", 2000, 0, 0.048, "", (), "", (), (), ()),
        Score(
            "fraud",
            "anomaly",
            "1",
            900,
            9,
            0.5,
            "",
            (),
            "anomaly, not judged: nobody knows whom it should name",
            (),
            (),
            (),
        ),
        Score("next_category", "rule", "1", 2000, 0, 0.31, "top1_accuracy", choice, "trees: behind", (), (), ()),
    )


DECIDED = (
    Decision(
        "coupon",
        "purchase",
        412,
        46,
        188,
        412.0,
        500.0,
        1310.5,
        outcome="purchased_next",
        num_nights=14,
        arms=Arms(5600, 612, 3.18, Interval(0.021, -0.004, 0.046), None, Interval(1.42, -0.35, 3.19)),
    ),
    Decision("retention", "churn", 152, 17, 0, 0.0, None, 4870.25),
    Decision("fraud_review", unmet="nothing foretells fraud tonight"),
)


def judged() -> tuple[Judged, ...]:
    return tuple(Judged(DAY - timedelta(days=back), 0.13 - 0.002 * back, 0.041) for back in range(6, -1, -1))


def night(**changes: Any) -> Night:
    """The night, with some fields changed."""
    fields: dict[str, Any] = {
        "shop": "acme",
        "day": DAY,
        "run_id": "night-1",
        "steps": tuple(Step.of(name, one, "night-1") for name, one in RESULTS.items()),
        "checks": CHECKS,
        "trend": trend(),
        "trial": Trial.of(DECISION),
        "champion": Champion("nightjar_acme", "4", "0f6f7f9a0c8a4d1cb9e7a2d0c1b2a3f4", date(2001, 1, 12)),
        "recommended": recommended(),
        "overlap_yesterday": 0.42,
        "publish_target": "duckdb",
        "docs_link": "../../docs/acme/index.html",
        "kpis": KPIS,
        "funnel": FUNNEL,
        "realised": realised(),
        "effects": EFFECTS,
        "movers": MOVERS,
        "judged": judged(),
        "watched": WATCHED,
        "of_people": OF_PEOPLE,
        "scores": scores(),
        "decisions": DECIDED,
    }
    return Night(**(fields | changes))
