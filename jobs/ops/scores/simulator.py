"""The simulated shop, where the truth is known: the contest beside the best score there is, what a coupon really does,
what pre-training is worth, and how much figures move with seeds and instants.

Instants are the eves of coupon campaigns, so that every task has something to foretell and nobody's coin has been
thrown. Two are learned from, the third judges; the second is judged too, learned from the first alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, timedelta
from statistics import fmean, stdev
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from jobs._people import Instant, answers, read_instant, teach, with_suspicions
from jobs.ops.scores import contest, uplifts
from jobs.ops.scores.chain import SYNTHETIC, Chain
from jobs.ops.scores.contest import Best, Held
from jobs.ops.scores.logs import best_of
from jobs.ops.scores.parts import Number, Say, Where, interval, number, rounded
from numpy.typing import NDArray
from scipy.stats import spearmanr

from nightjar.contracts import EVENTS, USER_FEATURES, Kind
from nightjar.learn.checkpoint import LoadedModel
from nightjar.learn.models import SequenceModel, build
from nightjar.predict import anomaly, metrics, qini, uplift
from nightjar.predict.aggregates import Columns
from nightjar.predict.boosted import boosted
from nightjar.predict.metrics import Counts, Floats
from nightjar.predict.qini import Trial, trial
from nightjar.predict.task import Binary, numbers
from nightjar.predict.tasks import named
from nightjar.predict.tasks.churn import CHURN
from nightjar.predict.tasks.click import CLICK
from nightjar.predict.tasks.coupon import COUPON
from nightjar.predict.tasks.fraud import FRAUD
from nightjar.predict.tasks.purchase import PURCHASE
from nightjar.prep.pseudonyms import pseudonyms
from nightjar.settings import Conf
from nightjar.simulate import Shop
from nightjar.simulate.chances import Chances
from nightjar.simulate.posterior import Foreseen
from nightjar.simulate.visits import CAMPAIGN_DAYS, CAMPAIGN_EVERY_DAYS, CAMPAIGN_FIRST_DAY
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake
from nightjar.stores.secrets import pseudonym_key

#: Campaigns whose eves are the instants.
CAMPAIGNS = (1, 2, 3)

SETS = ("simulate.num_people=5000", "train.epochs=8")

#: Shares of the labels that are learned from, and how many draws of people each figure is the mean of.
LABEL_SHARES = {0.01: 5, 0.1: 3, 1.0: 1}

SEEDS = (1, 2, 3)

Flags = NDArray[np.bool_]

RESPONSE, TRUTH = "response", "truth"

#: What a best score knows.
LOG, HABITS = "log", "habits"


class World(NamedTuple):
    """What the simulator knows, and how its people are called in the lake."""

    shop: Shop
    names: pa.Array  #: pseudonym of each person by number

    @classmethod
    def of(cls, conf: Conf, home: Home) -> World:
        shop = Shop(conf.simulate)
        told = pa.array(shop.truth.user_ids(np.arange(conf.simulate.num_people)), pa.string())
        return cls(shop, pseudonyms(pseudonym_key(home), "user", told)[1])

    def places(self, features: pa.Table) -> Counts:
        """Each row's person by number, -1 where it is nobody who ever logged in."""
        found = pc.fill_null(pc.index_in(features.column("user_id"), self.names), -1)
        numbers_B: Counts = found.to_numpy().astype(np.int64)
        return numbers_B

    def in_ring(self, features: pa.Table) -> Flags:
        """Who of the rows' people is of the fraud ring."""
        places_B = self.places(features)
        found: Flags = (places_B >= 0) & self.shop.truth.people(np.maximum(places_B, 0)).in_ring
        return found

    def eve(self, campaign: int) -> date:
        return self.shop.first + timedelta(days=CAMPAIGN_FIRST_DAY + campaign * CAMPAIGN_EVERY_DAYS - 1)

    def best(self, day: date, conf: Conf) -> Best:
        """Bayes' rule on silence and habits, and on silence and what else the log shows; nothing of an open cart."""

        def scores(features: pa.Table, task: Binary) -> dict[str, Floats]:
            if task.name not in WAYS:
                return {}
            known_B = (places_B := self.places(features)) >= 0
            silent_B = np.floor(numbers(features, "hours_since_last_event") / 24).astype(np.int64)
            last_B = self.shop.truth.day_number(day) - silent_B
            ways: dict[str, Chances | Foreseen] = {
                LOG: self.shop.truth.foreseen(places_B[known_B], day),
                HABITS: self.shop.truth.chances(places_B[known_B], last_B[known_B], day),
            }
            found = {name: np.full(features.num_rows, np.nan) for name in ways}
            for name, way in ways.items():
                found[name][known_B] = WAYS[task.name](way, task.window_days(conf.labels))
            return found

        return scores


#: How a task's best score is asked for.
WAYS: dict[str, Callable[[Chances | Foreseen, int], Floats]] = {
    CHURN.name: lambda best, days: best.churn(days),
    PURCHASE.name: lambda best, days: best.purchase(days),
    CLICK.name: lambda best, days: best.click(days),
    COUPON.name: lambda best, days: best.coupon_use(days),
}


def measure(where: Where, sets: Sequence[str] = SETS) -> dict[str, Any]:
    """Build the lake, then everything that it answers."""
    home = Home(where.work)
    shop = Shop(Chain(SYNTHETIC, None, (), tuple(sets), home).conf.simulate)
    eves = tuple(World(shop, pa.array([], pa.string())).eve(campaign) for campaign in CAMPAIGNS)
    reach = (eves[-1] - shop.first).days + CAMPAIGN_DAYS + 1
    chain = Chain(SYNTHETIC, None, eves, tuple(sets), home, history_days=reach)
    seconds = chain.run(where.say)
    return {"jobs": seconds, **asked(chain, where.say)}


def asked(chain: Chain, say: Say) -> dict[str, Any]:
    """All that a lake with the three instants answers."""
    conf, instants = chain.conf, chain.read()
    world = World.of(conf, chain.home)
    first, second, third = instants
    best = world.best(third.day, conf)
    tasks = [task for task in named(conf.predict.tasks) if isinstance(task, Binary)]
    earlier = (first, second)
    found = contest.measured(tasks, earlier, third, chain.encoder(), conf.predict, say, best=best)
    return {
        "people": conf.simulate.num_people,
        "contest": found,
        "fraud": fraud(world, chain, third.day, conf, say),
        "coupon": coupon(world, chain.lake, instants, conf, say),
        "transfer": transfer(chain, (first, second), third, conf, say),
        "stability": stability(chain, ((first,), (first, second)), (second, third), conf, say),
    }


# -- the fraud ring


def fraud(world: World, chain: Chain, day: date, conf: Conf, say: Say) -> dict[str, Any]:
    """Who stands out, learned without labels as `train_scores` does, against who is of the ring."""
    say("the fraud ring")
    recommender = chain.encoder()
    at = USER_FEATURES.at(SYNTHETIC, day)
    one = read_instant(chain.source, chain.lake, at, recommender and recommender.vocabulary)
    one = one.where(FRAUD.serves(one.features, conf.labels))
    one = with_suspicions(chain.lake, at, one, recommender, conf.train.seed)
    return recovered(one.features, world.in_ring(one.features))


def recovered(people: pa.Table, guilty_B: Flags, *, num_resamples: int = 1000) -> dict[str, Any]:
    """AUROC of who stands out and of the rule, and how much of the ring is among those whom a reviewer is shown."""
    detector = anomaly.fit(FRAUD, people)
    if detector is None or not guilty_B.any():
        return {"not_measured": "too few people, or none of the ring"}
    found = detector.foretell(people, np.full(people.num_rows, np.nan))
    num_shown, y = int(found.flagged_B.sum()), guilty_B.astype(np.int64)
    told: dict[str, Any] = {"people": people.num_rows, "guilty": int(y.sum()), "shown": num_shown, "scores": {}}
    for name, scores_B in (("rule", FRAUD.rule.score(people)), (FRAUD.name, found.probability_B)):
        first = np.argsort(-scores_B, kind="stable")[:num_shown]
        area = metrics.bootstrap(metrics.auroc, y, scores_B, seed=1, num_resamples=num_resamples)
        told["scores"][name] = {
            "auroc": interval(area),
            "share": number(contest.share(area.mean, 1.0)),
            "among_shown": int(y[first].sum()),
        }
    return told


# -- coupons


def coupon(
    world: World, lake: Lake, instants: Sequence[Instant], conf: Conf, say: Say, *, num_resamples: int = 1000
) -> dict[str, Any]:
    """Whom a coupon moves: learned on all campaigns but the last, judged on the last, beside the true uplift."""
    say("uplift of coupons")
    campaigns = [drawn(world, lake, one, campaign) for campaign, one in zip(CAMPAIGNS, instants, strict=True)]
    *learned, judged = campaigns
    columns = Columns.of(pa.concat_tables([one.features for one in learned]), sensitive=conf.predict.sensitive)
    matrices = [columns.matrix(one.features).astype(np.float64) for one in campaigns]
    known_BD = np.concatenate(matrices[:-1])
    people = Trial(*(np.concatenate(parts) for parts in zip(*(one.people for one in learned), strict=True)))
    scores = {
        name: learner(known_BD, people).score(matrices[-1])
        for name, learner in {
            RESPONSE: uplift.response(boosted("regression", 80)),
            "t-trees": uplift.t_learner(boosted("regression", 80)),
            "x-trees": uplift.x_learner(boosted("regression", 80), boosted("regression", 50)),
        }.items()
    }
    told = uplifts.told(scores, judged.people, baseline=RESPONSE, num_resamples=num_resamples)
    truth_B = judged.uplift
    whole = qini.bootstrap(qini.qini, truth_B, judged.people, seed=0, num_resamples=num_resamples)
    for name, scores_B in scores.items():
        told["learners"][name] |= {
            "share_of_truth": number(told["learners"][name]["qini"][0] / whole.mean),
            "rank_correlation": number(float(spearmanr(scores_B, truth_B).statistic)),
        }
    curve = qini.qini_curve(truth_B, judged.people)
    told["truth"] = {"qini": interval(whole), "gain": rounded(np.interp(told["depth"], *curve))}
    return told


class Campaign(NamedTuple):
    """Who could have got the coupon, on its eve."""

    features: pa.Table
    people: Trial
    uplift: Floats  #: expected orders that the coupon adds in the campaign's days


def drawn(world: World, lake: Lake, one: Instant, campaign: int) -> Campaign:
    """The campaign as a trial: treated by the coin, orders of its days from the lake, nobody of the fraud ring."""
    places_B = world.places(one.features)
    truth = world.shop.truth.coupon(campaign, np.maximum(places_B, 0))
    asked_B = (places_B >= 0) & truth.eligible
    features = one.features.filter(pa.array(asked_B))
    orders_B = orders(lake, features.column("user_id"), truth.first, truth.last)
    people = trial(truth.treated[asked_B], orders_B, truth.propensity)
    return Campaign(features, people, (truth.orders_with - truth.orders_without)[asked_B])


def orders(lake: Lake, user_ids: pa.ChunkedArray, first: date, last: date) -> Floats:
    """Distinct orders of each person on the days from `first` to `last`."""
    days = [first + timedelta(days=shift) for shift in range((last - first).days + 1)]
    files = [file for day in days for file in lake.files(EVENTS.at(SYNTHETIC, day))]
    names = ["user_id", "kind", "order_id"]
    rows = pa.concat_tables([pq.ParquetFile(file).read(columns=names) for file in files])
    bought = rows.filter(pc.equal(rows.column("kind"), Kind.PURCHASE.value))
    counted = bought.group_by("user_id").aggregate([("order_id", "count_distinct")])
    found = pc.index_in(user_ids, counted.column("user_id").combine_chunks())
    orders = pc.fill_null(counted.column("order_id_count_distinct").take(found), 0)
    orders_B: Floats = orders.to_numpy().astype(np.float64)
    return orders_B


# -- transfer


def transfer(chain: Chain, known: Sequence[Instant], later: Instant, conf: Conf, say: Say) -> dict[str, Any]:
    """The recommender's encoder taught on, against the same architecture with fresh weights, by share of the labels.

    Figures are means over draws of people; intervals come from resampling the people who are judged.
    """
    tasks = (PURCHASE, CHURN)
    if chain.encoder() is None:
        return {"not_measured": "no encoder was promoted"}
    scores: dict[tuple[float, str], list[Floats]] = {}
    for share, draws in LABEL_SHARES.items():
        for draw in range(1, draws + 1):
            say(f"transfer: {share:.0%} of the labels, draw {draw}")
            some = of_share(known, share, seed=draw)
            for name in ("pre-trained", "from scratch"):
                encoder, rate = prepared(chain, name, conf, seed=draw)
                lesson = conf.predict.model_copy(update={"encoder_rate": rate})
                taught = teach(encoder, some, tasks, lesson, seed=draw)[0]
                said_BT = np.stack([answers(taught, later, place) for place in range(len(tasks))], axis=1)
                scores.setdefault((share, name), []).append(said_BT)
    found: dict[str, Any] = {}
    for place, task in enumerate(tasks):
        outcomes_B = task.outcomes(later.labels)
        known_B = ~np.isnan(outcomes_B)
        y = outcomes_B[known_B].astype(np.int64)
        found[task.name] = {}
        for share in LABEL_SHARES:
            arms = [
                [said_BT[known_B, place] for said_BT in scores[share, name]] for name in ("pre-trained", "from scratch")
            ]
            ours, theirs, gap = means_of(y, *arms)
            found[task.name][f"{share:g}"] = {
                "labels": sum(int((~np.isnan(task.outcomes(one.labels))).sum() * share) for one in known),
                "draws": LABEL_SHARES[share],
                "pre-trained": ours,
                "from scratch": theirs,
                "ahead": gap,
            }
    return found


def prepared(chain: Chain, name: str, conf: Conf, *, seed: int) -> tuple[SequenceModel, float]:
    """An encoder and the rate at which it learns on; fresh weights learn at the rate of a training from nothing."""
    import torch

    loaded: LoadedModel | None = chain.encoder()
    assert loaded is not None
    if name == "pre-trained":
        return loaded.model, conf.predict.encoder_rate
    torch.manual_seed(seed)
    return build(loaded.conf, loaded.vocabulary.size), conf.train.learning_rate


def of_share(known: Sequence[Instant], share: float, *, seed: int) -> list[Instant]:
    """Some of the people, the same ones at every instant; all of them for a share of one."""
    columns = [one.features.column("user_id") for one in known]
    names = pa.array(sorted(set(pa.chunked_array([part for one in columns for part in one.chunks]).to_pylist())))
    drawn = names.filter(pa.array(np.random.default_rng(seed).random(len(names)) < share))
    masks = [pc.is_in(one, drawn).combine_chunks() for one in columns]
    return [
        one.where(np.asarray(mask))._replace(labels=one.labels.filter(mask))
        for one, mask in zip(known, masks, strict=True)
    ]


def means_of(y: Counts, ours: Sequence[Floats], theirs: Sequence[Floats]) -> tuple[Any, Any, Any]:
    """Mean AUROC of either side's draws and their difference, each with its interval, on the same resampled people."""

    def of(rows: NDArray[np.int64]) -> tuple[float, float]:
        one, other = (fmean(metrics.auroc(y[rows], scores[rows]) for scores in side) for side in (ours, theirs))
        return one, other

    point = of(np.arange(len(y)))
    drawn = np.array(
        [of(np.repeat(np.arange(len(y)), counts)) for counts in metrics.resamples(len(y), seed=1, num_resamples=300)]
    )
    return (
        interval(metrics.percentiles(point[0], drawn[:, 0])),
        interval(metrics.percentiles(point[1], drawn[:, 1])),
        interval(metrics.percentiles(point[0] - point[1], drawn[:, 0] - drawn[:, 1])),
    )


# -- stability


def stability(
    chain: Chain, known: Sequence[Sequence[Instant]], later: Sequence[Instant], conf: Conf, say: Say
) -> dict[str, Any]:
    """AUROC of the best contender by seed and judged instant: mean, spread over seeds, and over everything."""
    tasks = (CHURN, PURCHASE)
    found: dict[str, dict[str, list[float]]] = {task.name: {} for task in tasks}
    for earlier, judged in zip(known, later, strict=True):
        for seed in SEEDS:
            say(f"stability: people of {judged.day}, seed {seed}")
            for name, one in contest.hold(tasks, earlier, judged, chain.encoder(), conf.predict, seed=seed).items():
                if isinstance(one, Held):
                    area = metrics.auroc(one.outcomes_B, one.scores[one.best])
                    found[name].setdefault(judged.day.isoformat(), []).append(area)
    return {
        name: {**_by_day(days), "all": _spread([area for areas in days.values() for area in areas])}
        for name, days in found.items()
    }


def _by_day(days: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    return {day: {"auroc": rounded(areas), **_spread(areas)} for day, areas in days.items()}


def _spread(areas: Sequence[float]) -> dict[str, Number]:
    return {"mean": number(fmean(areas)), "std": number(stdev(areas))}


def headline(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Of each task the best contender and its share of the Bayes distance; what serves coupons; what transfer adds."""
    said = {name: best_of(one) for name, one in numbers["contest"]["tasks"].items() if "not_judged" not in one}
    told: dict[str, Any] = {"contest": said, "coupon": numbers["coupon"]["serving"]}
    if "not_measured" not in numbers["transfer"]:
        told["transfer"] = {
            task: {share: one["ahead"] for share, one in shares.items()} for task, shares in numbers["transfer"].items()
        }
    return told
