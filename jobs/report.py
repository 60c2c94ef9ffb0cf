"""The night on one page, for a person.

Reads the results of the night's jobs, facts and ledgers of the lake, `recommendations` of the night and
of the night before, `items`, `foretold`, `decisions`, the alias `champion`. Writes `<home>/reports/<shop>/<day>.html`.
What is missing is said on the page: no step has to have run. Safe to run twice.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nightjar.contracts import (
    DAILY_KPIS,
    DATA_QUALITY,
    DECISIONS,
    EVENTS,
    FORETOLD,
    FUNNELS,
    ITEMS,
    PROMOTIONS,
    REALISED,
    REALISED_CALIBRATION,
    REALISED_DECISIONS,
    REALISED_SCORES,
    RECOMMENDATIONS,
    SESSIONS,
    BadInput,
    Partition,
    Table,
)
from nightjar.contracts.marts import ALL
from nightjar.monitor import digest, drift, lists, night, people, realised, scores
from nightjar.monitor.page import render
from nightjar.monitor.verdict import Verdict, judge, late
from nightjar.predict.decisions import DECIDED
from nightjar.stores.files import write_atomically
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake, batches, read_columns
from nightjar.stores.ledgers import read_rows
from nightjar.stores.post import call_webhook, send_mail
from nightjar.stores.touched import TOUCHED, Outside
from nightjar.stores.tracking import Tracking
from nightjar.stores.warehouse import history, open_warehouse


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    at, path = args.recommendations, job.home.report(job.shop, args.recommendations.day)
    seen = tonight(job, Lake(job.home.lake), at, path.parent)
    if args.late:
        return {"rows_in": 0, "rows_out": 0, "rows_rejected": 0, "told": told(job, seen, late(seen), "", args.link)}
    write_atomically(path, render(seen).encode("utf-8"))
    TOUCHED.targets[Outside.file(path, "The page that people look at in the morning.")] = None
    verdict = judge(seen)
    job.log.info("%s %d to look at: %s", verdict.headline, len(verdict.notices), path)
    return {
        "rows_in": seen.recommended.num_rows if seen.recommended else 0,
        "rows_out": 1,
        "rows_rejected": 0,
        "page": str(path),
        "verdict": verdict.level,
        "told": told(job, seen, verdict, str(path), args.link),
        "notices": [notice.text for notice in verdict.notices],
    }


def told(job: Job, seen: night.Night, verdict: Verdict, page: str, link: str) -> list[str]:
    """Send the digest to whoever has an address in the environment; a server that is away costs no night."""
    conf = job.conf.digest
    if not digest.is_due(verdict, conf.when):
        return []
    patience = {"timeout_seconds": conf.timeout_seconds}
    subject, text = digest.subject(seen, verdict), digest.text(seen, verdict, page, link)
    message = digest.message(seen, verdict, page, link)
    ways: dict[str, tuple[str, Callable[[str], None]]] = {
        "mail": (conf.smtp_variable, lambda uri: send_mail(conf.smtp_variable, uri, subject, text, **patience)),
        "webhook": (
            conf.webhook_variable,
            lambda url: call_webhook(conf.webhook_variable, url, message, **patience),
        ),
    }
    reached = []
    for way, (variable, send) in ways.items():
        if not (address := os.environ.get(variable)):
            continue
        try:
            send(address)
            reached.append(way)
        except (BadInput, OSError) as error:
            # Not the error itself: a server's answer or an address in it may hold a secret.
            job.log.warning("no digest by %s, see %s: %s", way, variable, type(error).__name__)
    return reached


def tonight(job: Job, lake: Lake, at: Partition, folder: Path) -> night.Night:
    """What is known of the night; links are relative to `folder`."""
    steps = tuple(step(job, at, name) for name in night.JOBS)
    docs = job.home.docs / job.shop / "index.html"
    found = checks(lake, at)
    judged_nights, effects = taken_up(lake, at, job.conf.watch.trailing_nights)
    shown, yesterday = shown_on(lake, at), shown_on(lake, at.on(at.day - timedelta(days=1)))
    return night.Night(
        shop=job.shop,
        day=at.day,
        run_id=job.run_id,
        # Raw logs of another shop come from outside: nobody wrote them for us.
        steps=tuple(one for one in steps if one.name != "simulate" or one.status != "missing"),
        checks=tuple(
            one
            for one in found
            if one.expectation not in drift.WATCHED and not people.is_of_people(one.table, one.expectation)
        ),
        watched=tuple(one for one in found if one.expectation in drift.WATCHED),
        kpis=kpis(lake, at),
        funnel=funnel(lake, at),
        realised=judged_nights,
        effects=tuple(night.Effect(name, one.mean, one.low, one.high) for name, one in effects.items()),
        movers=movers(lake, at, shown, yesterday),
        judged=tuple(judged(job, lake, at, job.conf.watch.trailing_nights)),
        trend=tuple(trend(lake, at, job.conf.gate.trailing_days)),
        trial=trial(job, lake, at),
        champion=champion(job),
        recommended=recommended(lake, at, shown, yesterday),
        overlap_yesterday=overlap_yesterday(job, at, next(one for one in steps if one.name == "publish")),
        publish_target=job.conf.publish.target,
        of_people=tuple(one for one in found if people.is_of_people(one.table, one.expectation)),
        scores=foretold(job, lake, at),
        decisions=decided(job, lake, at),
        docs_link=os.path.relpath(docs, folder) if docs.is_file() else None,
    )


def step(job: Job, at: Partition, name: str) -> night.Step:
    path = job.home.result(at.shop, at.day, name)
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        result = None
    except ValueError:
        result = {"status": "failed", "error": f"{path} is no JSON", "run_id": job.run_id}
    return night.Step.of(name, result, job.run_id)


def checks(lake: Lake, at: Partition) -> tuple[night.Check, ...]:
    rows = read_rows(lake, DATA_QUALITY, at.of(DATA_QUALITY))
    return tuple(
        night.Check(row["table_name"], row["expectation"], row["severity"], row["success"], row["observed"])
        for row in rows
    )


def trend(lake: Lake, at: Partition, num_days: int) -> Iterator[night.Day]:
    """The night's day and the days before it, oldest first."""
    for back in range(num_days, -1, -1):
        day = at.day - timedelta(days=back)
        yield night.Day(day, num_rows(lake, EVENTS.at(at.shop, day)), num_rows(lake, SESSIONS.at(at.shop, day)))


def num_rows(lake: Lake, partition: Partition) -> int | None:
    return lake.entry(partition).num_rows if lake.has(partition) else None


def trial(job: Job, lake: Lake, at: Partition) -> night.Trial | None:
    """The night's latest decision on the recommender; the ledger holds those on scores of people too."""
    name = Tracking(job.home, job.shop).name
    rows = [row for row in read_rows(lake, PROMOTIONS, at.of(PROMOTIONS)) if row["model_name"] == name]
    latest = max(rows, key=lambda row: (row["decided_at"], row["decision_id"]), default=None)
    return night.Trial.of(latest) if latest else None


def champion(job: Job) -> night.Champion | None:
    found = Tracking(job.home, job.shop).champion()
    return night.Champion(found.name, found.version, found.run_id, found.as_of) if found else None


#: Numbers of the shop's day: name -> column, or part and whole.
KPIS: dict[str, tuple[str, ...]] = {
    "visitors": ("num_visitors",),
    "sessions": ("num_sessions",),
    "orders": ("num_orders",),
    "revenue": ("revenue",),
    "sessions that buy": ("num_sessions_with_purchase", "num_sessions"),
    "sessions with a cart": ("num_sessions_with_cart", "num_sessions"),
}
FUNNEL = {
    "viewed": "num_viewed",
    "then put in the cart": "num_viewed_carted",
    "then bought": "num_viewed_carted_bought",
}


def kpis(lake: Lake, at: Partition) -> tuple[night.Kpi, ...]:
    """The shop's day beside the day and the week before; none while there are no analysis tables."""
    today, yesterday, week = (whole_shop(lake, at.on(at.day - timedelta(days=back)), DAILY_KPIS) for back in (0, 1, 7))
    if today is None:
        return ()
    found = (
        (name, [value(day, columns) for day in (today, yesterday, week)], columns) for name, columns in KPIS.items()
    )
    return tuple(
        night.Kpi(name, now, then, before, len(columns) > 1)
        for name, (now, then, before), columns in found
        if now is not None
    )


def value(row: dict[str, Any] | None, columns: tuple[str, ...]) -> float | None:
    if row is None:
        return None
    part, *whole = (row[name] for name in columns)
    return float(part) / whole[0] if whole and whole[0] else None if whole else part


def whole_shop(lake: Lake, at: Partition, table: Table) -> dict[str, Any] | None:
    """The row of an analysis table that is of everything."""
    rows = read_rows(lake, table, at.of(table))
    return next((row for row in rows if all(row[name] == ALL for name in table.key)), None)


def funnel(lake: Lake, at: Partition) -> tuple[tuple[str, int], ...]:
    row = whole_shop(lake, at, FUNNELS)
    return () if row is None else tuple((name, row[column]) for name, column in FUNNEL.items())


def taken_up(lake: Lake, at: Partition, nights: int) -> tuple[tuple[night.Realised, ...], dict[str, realised.Interval]]:
    """What people did with the lists of the nights before, and what the model's lists did."""
    found, everything = [], []
    for back in range(nights, 0, -1):
        rows = read_rows(lake, REALISED, at.of(REALISED).on(at.day - timedelta(days=back)))
        published = [row for row in rows if row["origin"] == realised.PUBLISHED]
        chosen = published or rows  # a replay stands in where nothing was published
        shown, popular = (realised.overall(chosen, kind) for kind in (realised.SHOWN, realised.POPULAR))
        if shown:
            everything += published
            counts = (shown[name] for name in ("num_lists", "num_active", "num_purchases", "num_listed_purchases"))
            rates = (one[name] for name in ("hit_rate", "ndcg") for one in (shown, popular))
            found.append(night.Realised(chosen[0]["dt"], not published, *counts, *rates))
    return tuple(found), realised.effects(everything)


def judged(job: Job, lake: Lake, at: Partition, nights: int) -> Iterator[night.Judged]:
    """Quality of whoever reigned after each night's decision, oldest first."""
    for back in range(nights, -1, -1):
        decided = trial(job, lake, at.on(at.day - timedelta(days=back)))
        if decided is None:
            continue
        means = {scorer.name: scorer.means.get(decided.metric) for scorer in decided.scorers}
        reigning = means.get("candidate" if decided.decision == "promoted" else "champion")
        if reigning is not None:
            yield night.Judged(at.day - timedelta(days=back), reigning, means.get("popularity"))


def foretold(job: Job, lake: Lake, at: Partition) -> tuple[scores.Score, ...]:
    """What is foretold tonight, how each model was chosen, and what came of the nights that could be judged."""
    if not lake.has(at.of(FORETOLD)):
        return ()
    told = read_columns(lake.files(at.of(FORETOLD)), FORETOLD, scores.COLUMNS)
    pairs = told.group_by(["score_name", "model_version"]).aggregate([]).to_pylist()
    serving = {(row["score_name"], row["model_version"]) for row in pairs}
    past, groups = (rows_of_judged(job, lake, at, table) for table in (REALISED_SCORES, REALISED_CALIBRATION))
    return scores.scores(told, contests(job, lake, at, serving), past, groups)


def contests(job: Job, lake: Lake, at: Partition, serving: set[tuple[str, str]]) -> dict[str, dict[str, Any]]:
    """Score -> the latest decision that put its version there, however long ago."""
    wanted = {(Tracking(job.home, job.shop, name).name, version): name for name, version in serving}
    found: dict[str, dict[str, Any]] = {}
    for day in sorted(lake.days(at.shop, PROMOTIONS.name), reverse=True):
        if day > at.day or len(found) == len(wanted):
            continue
        for row in read_rows(lake, PROMOTIONS, at.of(PROMOTIONS).on(day)):
            name = wanted.get((row["model_name"], row["candidate_version"]))
            if name is not None:
                found.setdefault(name, row)
    return found


def rows_of_judged(job: Job, lake: Lake, at: Partition, table: Table) -> list[dict[str, Any]]:
    """The latest nights whose labels are complete, oldest first."""
    latest = job.conf.labels.judged_on(at.day)
    days = [latest - timedelta(days=back) for back in range(job.conf.watch.trailing_nights - 1, -1, -1)]
    return [row for day in days for row in read_rows(lake, table, at.of(table).on(day))]


def decided(job: Job, lake: Lake, at: Partition) -> tuple[scores.Decision, ...]:
    """Whom the night acts on, against which budget, and what acting did before."""
    if not lake.has(partition := at.of(DECISIONS)):
        return ()
    budgets = {name: one.budget(job.conf.decisions) for name, one in DECIDED.items() if one.budget}
    rows = (row for batch in batches(lake.files(partition), DECIDED_COLUMNS) for row in batch.to_pylist())
    past = rows_of_judged(job, lake, at, REALISED_DECISIONS)
    return scores.decisions(lake.entry(partition).facts, rows, budgets, past)


DECIDED_COLUMNS = ("decision", "arm", "expected_value")


def movers(
    lake: Lake, at: Partition, shown: lists.Shown | None, yesterday: lists.Shown | None
) -> tuple[night.Mover, ...]:
    if shown is None or yesterday is None:
        return ()
    titles = titles_of(lake, at.of(ITEMS), lists.moved(shown, yesterday))
    return lists.movers(shown, yesterday, titles)


def recommended(
    lake: Lake, at: Partition, shown: lists.Shown | None, yesterday: lists.Shown | None
) -> night.Recommended | None:
    if shown is None:
        return None
    titles = titles_of(lake, at.of(ITEMS), shown.ranked()[: lists.TOP])
    facts = lake.entry(at.of(RECOMMENDATIONS)).facts
    return lists.recommended(shown, yesterday, titles, facts.get("num_candidates"))


def shown_on(lake: Lake, at: Partition) -> lists.Shown | None:
    partition = at.of(RECOMMENDATIONS)
    return lists.count(batches(lake.files(partition), lists.COLUMNS)) if lake.has(partition) else None


def titles_of(lake: Lake, items: Partition, item_ids: list[str]) -> dict[str, str | None]:
    if not lake.has(items):
        return {}
    wanted = pa.array(item_ids, pa.string())
    found = (
        rows.filter(pc.is_in(rows.column("item_id"), wanted))
        for rows in batches(lake.files(items), ("item_id", "title"))
    )
    return {row["item_id"]: row["title"] for rows in found for row in rows.to_pylist()}


def overlap_yesterday(job: Job, at: Partition, published: night.Step) -> float | None:
    """What publishing measured. A night that was published already was measured then: the log remembers."""
    audits = published.counts.get("audits") or logged_audits(job, at.day, published.counts.get("publish_id"))
    seen = audits.get("overlap_yesterday")
    return None if seen is None else float(seen)


def logged_audits(job: Job, day: date, publish_id: str | None) -> dict[str, Any]:
    if publish_id is None:
        return {}
    try:
        rows = history(open_warehouse(job.conf.publish, job.home), job.shop, limit=job.conf.publish.keep_nights)
    except (BadInput, OSError) as error:
        job.log.warning("no look into publish_log: %s", error)
        return {}
    found = next((row for row in rows if row["publish_id"] == publish_id), None)
    return dict(json.loads(found["audits"])) if found else {}


if __name__ == "__main__":
    parser = arguments(__doc__, recommendations="the night: shop/recommendations/dt=DAY")
    parser.add_argument("--late", action="store_true", help="the night missed its deadline: tell, and write no page")
    parser.add_argument("--link", default="", help="where the run can be looked at; told with the digest")
    run("report", parser, main)
