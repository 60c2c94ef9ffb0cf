"""Judge the night's candidate, and make it champion if the rule says so.

Reads `sequences`, `items` and `holdout` as of `holdout_days` before the night, the candidate that the
night's training named, and today's champion. Writes one row of `promotions`, metrics to the candidate's
run and, on promotion only, the alias `champion`.
Safe to run twice: a decision that stands is not taken again, only carried out if that was cut short.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import Any

from nightjar.contracts import HOLDOUT, ITEMS, PROMOTIONS, SEQUENCES, BadInput, Partition
from nightjar.learn.checkpoint import load_model
from nightjar.learn.metrics import Interval, bootstrap_difference, per_user
from nightjar.learn.promotion import Decision, decide
from nightjar.score.catalogue import Catalogue
from nightjar.score.cost import Cost, diversity_costs
from nightjar.score.evaluation import (
    COLD_SLICES,
    Evaluation,
    Scorer,
    baseline_scorers,
    category_scorer,
    evaluate,
    evaluate_newcomers,
    model_scorer,
    platform_scorer,
    popularity_scorer,
    window_scorer,
)
from nightjar.score.model import CatalogueModel
from nightjar.score.recommend import Champion, Night, night_rules
from nightjar.score.rulebook import load_facts, load_rulebook, rules_file
from nightjar.settings import repository
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.lake import Lake
from nightjar.stores.ledgers import read_rows, record
from nightjar.stores.tracking import ModelVersion, Tracking

MODELS = ("candidate", "champion")
CATEGORY, PLATFORM = "category", "platform"
LEARNED = "learned items only"  # the model, without rows for items that it has not learned


def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
    lake, at, tracking = Lake(job.home.lake), args.sequences, Tracking(job.home, job.shop)
    champion, candidate = tracking.champion(), find_candidate(job, at, tracking)
    earlier = standing(read_rows(lake, PROMOTIONS, at.of(PROMOTIONS)), candidate, champion)
    if earlier is not None:
        carry_out(earlier, candidate, champion, tracking)
        return counts(earlier)
    if candidate and champion and candidate.version == champion.version:
        candidate = None  # a model that reigns already is on trial no more
    versions = {"candidate": candidate, "champion": champion}
    refuse_a_look_ahead(job, at, versions)
    found = judged(job, lake, at, {name: version for name, version in versions.items() if version}, tracking)
    means = {name: found.means(name) for name in compared(found)}
    decision = decide(
        job.conf.promotion,
        candidate=means.get("candidate"),
        champion=means.get("champion"),
        baselines=numbers_ahead(found, job),
        num_users=found.num_users,
    )
    numbers = report(found, job.conf.train.seed) | cold_start(job, lake, at, found)
    costs = costs_of_diversity(job, lake, at, candidate or champion, tracking, found.catalogue)
    numbers["diversity_costs"] = {cost.surface: cost._asdict() for cost in costs}
    for cost in costs:
        job.log.info("%s", cost)
    row = ledger_row(job, at, tracking.name, versions, decision, numbers)
    # The ledger first: if this is cut short, the next run finds what remains to be done.
    record(lake, PROMOTIONS, at.of(PROMOTIONS), [row], job.run_id)
    if candidate is not None:
        tracking.log_metrics(candidate.run_id, {f"holdout/{name}": value for name, value in means["candidate"].items()})
    carry_out(row, candidate, champion, tracking)
    job.log.info("%s: %s", decision.decision, decision.reason)
    return counts(row)


def find_candidate(job: Job, at: Partition, tracking: Tracking) -> ModelVersion | None:
    """The version that the training before this registered; None when it failed, or found nothing due."""
    path = job.result(at.day, "train")
    if not path.is_file():
        return None
    result = json.loads(path.read_text(encoding="utf-8"))
    version = (result.get("counts") or {}).get("model_version") if result["status"] == "done" else None
    return None if version is None else tracking.version(str(version))


def standing(
    rows: list[dict[str, Any]], candidate: ModelVersion | None, champion: ModelVersion | None
) -> dict[str, Any] | None:
    """The night's decision that a re-run would only repeat.

    With a candidate it is the one on that candidate. Without, it is the one that made today's champion,
    or that found the same champion and no candidate.
    """
    ours, theirs = (version and version.version for version in (candidate, champion))
    on_candidate = [row for row in rows if row["candidate_version"] == ours]
    made_champion = [row for row in rows if row["decision"] == "promoted" and row["candidate_version"] == theirs]
    on_nothing = [row for row in rows if row["candidate_version"] is None and row["champion_version"] == theirs]
    same = on_candidate if ours else made_champion or on_nothing
    return max(same, key=lambda row: row["decided_at"], default=None)


def carry_out(
    row: dict[str, Any], candidate: ModelVersion | None, champion: ModelVersion | None, tracking: Tracking
) -> None:
    """Move the alias if the row says so and it still points where it did; a later move by others stays."""
    before = champion and champion.version
    if candidate is not None and row["decision"] == "promoted" and before == row["champion_version"]:
        tracking.promote(candidate)


def refuse_a_look_ahead(job: Job, at: Partition, versions: dict[str, ModelVersion | None]) -> None:
    """A candidate must not know the window. A champion may, on a night that is made up for later.

    Its numbers then flatter it, which errs on the side of keeping it.
    """
    instant = before_window(job, at).day
    candidate, champion = versions["candidate"], versions["champion"]
    if candidate is not None and candidate.as_of > instant:
        raise BadInput(
            f"{candidate.name} version {candidate.version} was trained on data up to {candidate.as_of}, the window"
            f" begins after {instant}",
            "train this night again with the same sequences.holdout_days",
        )
    if champion is not None and champion.as_of > instant:
        job.log.warning(
            "the champion was trained on data up to %s and may know the window after %s", champion.as_of, instant
        )


def before_window(job: Job, at: Partition) -> Partition:
    return at.on(at.day - timedelta(days=job.conf.sequences.holdout_days))


def judged(job: Job, lake: Lake, at: Partition, models: dict[str, ModelVersion], tracking: Tracking) -> Evaluation:
    past = before_window(job, at)
    sequences, catalogue = lake.files(past.of(SEQUENCES)), Catalogue.read(lake.files(past.of(ITEMS)))
    neighbours = job.conf.score.content_neighbours
    loaded = {name: load_model(tracking.download(version)) for name, version in models.items()}
    scorers: dict[str, Scorer] = {
        name: model_scorer(CatalogueModel(one, catalogue, neighbours=neighbours), catalogue)
        for name, one in loaded.items()
    }
    if neighbours and loaded:  # of the last, the champion where there is one: a pair of rows is enough
        last = list(loaded.values())[-1]
        scorers[LEARNED] = model_scorer(CatalogueModel(last, catalogue), catalogue)
    scorers |= baseline_scorers(catalogue, sequences)
    scorers |= {CATEGORY: category_scorer(catalogue), PLATFORM: platform_scorer(catalogue)}
    return evaluate(
        scorers,
        catalogue,
        sequences=sequences,
        holdout=lake.files(past.of(HOLDOUT)),
        exclude=job.conf.score.exclude,
    )


def report(found: Evaluation, seed: int) -> dict[str, Any]:
    """What the ledger keeps: means with 95 % intervals, paired differences, and who was judged."""
    names = compared(found)
    others = [name for name in names if name != "candidate"] if "candidate" in names else []
    return {
        "users": found.num_users,
        "users_without_history": found.num_without_history,
        "users_without_target": found.num_without_target,
        "unseen_target_share": found.unseen_target_share,
        "scorers": {name: found.means(name) for name in names},
        "intervals": {name: found.intervals(name, seed=seed) for name in names},
        "lists": {name: found.beside_accuracy(name) for name in names},
        "slices": {name: found.by_slice(name, seed=seed) for name in names if name in MODELS},
        "candidate_minus": {name: found.differences("candidate", name, seed=seed) for name in others},
    }


def numbers_ahead(found: Evaluation, job: Job) -> dict[str, Interval]:
    """Baseline -> by how much the candidate is better in the metric that decides; not a number without people."""
    if "candidate" not in found.ranks:
        return {}
    values = {name: per_user(found.ranks[name])[job.conf.promotion.metric] for name in compared(found)}
    ours, seed = values["candidate"], job.conf.train.seed
    return {
        name: bootstrap_difference(ours, theirs, seed=seed) for name, theirs in values.items() if name not in MODELS
    }


def compared(found: Evaluation) -> list[str]:
    """The scorers that a model is held against; how the fallback does is told where it serves, in `cold_start`."""
    return [name for name in found.ranks if name not in (CATEGORY, PLATFORM, LEARNED)]


def cold_start(job: Job, lake: Lake, at: Partition, found: Evaluation) -> dict[str, Any]:
    """Each strategy on those for whom it is meant: people with one entry, targets that are new, people without any."""
    past, seed, catalogue = before_window(job, at), job.conf.train.seed, found.catalogue
    scorers = {
        "popularity": popularity_scorer(catalogue),
        "popularity of the window": window_scorer(catalogue),
        PLATFORM: platform_scorer(catalogue),
    }
    new = evaluate_newcomers(
        scorers, catalogue, sequences=lake.files(past.of(SEQUENCES)), holdout=lake.files(past.of(HOLDOUT))
    )
    rows: dict[str, Any] = {
        "no history": {"users": new.num_users, **{name: new.intervals(name, seed=seed) for name in new.ranks}}
    }
    shown = (*MODELS, LEARNED, "popularity", CATEGORY, PLATFORM)
    slices, names = found.slices(), [name for name in found.ranks if name in shown]
    for slice_name in COLD_SLICES:
        if slice_name in slices:
            users = {"users": int(slices[slice_name].sum())}
            rows[slice_name] = users | {name: found.by_slice(name, seed=seed)[slice_name] for name in names}
    return {"cold_start": rows}


def costs_of_diversity(
    job: Job, lake: Lake, at: Partition, version: ModelVersion | None, tracking: Tracking, catalogue: Catalogue
) -> list[Cost]:
    """Of the surfaces that the shop's rules mix, with the model that may serve them tonight."""
    path = rules_file(repository() / "conf" / "rules", job.shop, job.conf.score.rules)
    if path is None or version is None:
        return []
    past, rulebook = before_window(job, at), load_rulebook(path)
    try:
        facts = load_facts(rulebook, path, past.day)
    except BadInput as error:  # tonight's rules may have a file for tonight only
        job.log.warning("what diversity costs is not known: %s", error)
        return []
    night = Night(at.shop, past.day, job.source.end_of(past.day), job.conf.score)
    return diversity_costs(
        night,
        catalogue,
        Champion(version.name, version.version, tracking.download(version)),
        night_rules(night, catalogue, rulebook, facts),
        sequences=lake.files(past.of(SEQUENCES)),
        holdout=lake.files(past.of(HOLDOUT)),
        seed=job.conf.train.seed,
    )


def ledger_row(
    job: Job,
    at: Partition,
    model_name: str,
    versions: dict[str, ModelVersion | None],
    decision: Decision,
    metrics: dict[str, Any],
) -> dict[str, Any]:
    numbers = {name: version and version.version for name, version in versions.items()}
    what = json.dumps([at.shop, at.day.isoformat(), numbers["candidate"], numbers["champion"]])
    return {
        "shop": at.shop,
        "dt": at.day,
        "decision_id": hashlib.sha256(what.encode()).hexdigest()[:16],
        "decided_at": datetime.now(UTC),
        "model_name": model_name,
        "candidate_version": numbers["candidate"],
        "champion_version": numbers["champion"],
        "decision": decision.decision,
        "reason": decision.reason,
        "metrics": json.dumps({name: _rounded(value) for name, value in metrics.items()}),
        "rule": json.dumps(job.conf.promotion.model_dump(mode="json")),
    }


def counts(row: dict[str, Any]) -> dict[str, Any]:
    metrics = json.loads(row["metrics"])
    return {
        "rows_in": metrics["users"] + metrics["users_without_history"] + metrics["users_without_target"],
        "rows_out": metrics["users"],
        "rows_rejected": metrics["users_without_history"] + metrics["users_without_target"],
        "decision": row["decision"],
        "reason": row["reason"],
        "candidate_version": row["candidate_version"],
        "champion_version": row["champion_version"],
        "unseen_target_share": metrics["unseen_target_share"],
        "metrics": metrics["scorers"],
        "intervals": metrics["intervals"],
        "cold_start": metrics.get("cold_start", {}),
        "diversity_costs": metrics.get("diversity_costs", {}),
    }


def _rounded(value: Any) -> Any:
    """Six digits, all the way down: what follows is noise of the machine."""
    if isinstance(value, dict):
        return {name: _rounded(one) for name, one in value.items()}
    if isinstance(value, tuple):
        return [_rounded(one) for one in value]
    return round(value, 6) if isinstance(value, float) else value


if __name__ == "__main__":
    run("evaluate", arguments(__doc__, sequences="the night: shop/sequences/dt=DAY"), main)
