"""Bot rules against numbers worked out by hand, plain-Python definitions and the simulated shop's truth."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from statistics import fmean, median_low, pstdev
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightjar.contracts import Kind
from nightjar.prep import bots
from nightjar.settings import Clean, load_conf, load_source
from nightjar.simulate import Shop

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

CLEAN = load_conf().clean


def settings(**changes: Any) -> Clean:
    return CLEAN.model_copy(update=changes)


def test_codes_have_the_contracts_names() -> None:
    assert bots.RULES == ("agent", "rate", "metronome", "crawl")
    assert bots.names(np.array([0, 4, 1, 0], dtype=np.int8)).to_pylist() == [None, "crawl", "agent", None]


# -- by agent

MACHINES = (
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "Mozilla/5.0 (compatible; Google-InspectionTool/1.0;)",
    "Mediapartners-Google",
    "Mozilla/5.0 (compatible; Yahoo! Slurp; http://help.yahoo.com/help/us/ysearch/slurp)",
    "Sogou web spider/4.0(+http://www.sogou.com/docs/help/webmasters.htm#07)",
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "WhatsApp/2.23.20.0",
    "Mozilla/5.0 AppleWebKit/537.36 (KHTML, like Gecko; compatible; ChatGPT-User/1.0; +https://openai.com/bot)",
    "Pingdom.com_bot_version_1.4_(http://www.pingdom.com/)",
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/124.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36 Chrome-Lighthouse",
    "curl/8.5.0",
    "Wget/1.21.4",
    "python-requests/2.31.0",
    "Python/3.11 aiohttp/3.9.1",
    "Go-http-client/2.0",
    "Apache-HttpClient/4.5.14 (Java/17.0.9)",
    "Scrapy/2.11.0 (+https://scrapy.org)",
    "axios/1.6.2",
    "PriceSpider/3.0",
    "k6/0.49.0 (https://k6.io/)",
)
PEOPLE = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4"
    " Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 13; CUBOT X70) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/119.0.0.0 Mobile"
    " Safari/537.36",
    "Mozilla/5.0 (compatible; MSIE 10.0; Windows NT 6.2; Trident/6.0)",
    "okhttp/4.12.0",
    "ShopApp/5.3 (Android 14)",
    "Dalvik/2.1.0 (Linux; U; Android 12; SM-G991B Build/SP1A.210812.016)",
    "Mozilla/5.0 (Linux; Android 14; SM-S918B) AppleWebKit/537.36 MicroMessenger/8.0.47 Language/zh_CN",
)


@pytest.mark.spark
def test_programs_name_themselves_and_phones_do_not(spark: SparkSession) -> None:
    agents = [*MACHINES, *PEOPLE, ""]
    rows = [(number, {"user_agent": agent}) for number, agent in enumerate(agents)]
    rows += [(len(rows), {"title": "robot vacuum"}), (len(rows) + 1, None)]  # type: ignore[list-item]
    frame = spark.createDataFrame(rows, "number INT, attributes MAP<STRING, STRING>")
    found = {row["number"]: row["said"] for row in frame.select("number", bots.is_agent(CLEAN).alias("said")).collect()}
    assert {agent: found[number] for number, agent in enumerate(agents)} == (
        dict.fromkeys(MACHINES, True) | dict.fromkeys((*PEOPLE, ""), False)
    )
    assert [found[number] for number in range(len(agents), len(rows))] == [False, False]
    off = frame.select(bots.is_agent(settings(bot_agent_pattern="")).alias("said"))
    assert {row["said"] for row in off.collect()} == {False}


def test_letters_that_words_begin_with_are_complete() -> None:
    """The look-ahead only saves time: without it the pattern finds the same words."""
    pattern = CLEAN.bot_agent_pattern
    bare = re.sub(r"\(\?=.*?\)", "", pattern, count=1)
    assert bare != pattern
    words = bare.removeprefix("(?i)(?:").removesuffix(")").split("|")
    for word in words:
        said = re.sub(r"\(\?<?!.*?\)", "", word).replace("[ey]", "y")
        assert re.search(pattern, said), word


# -- by rate


def rated(visitors: Sequence[int], hours: Sequence[int], agents: Sequence[bool], limit: int) -> list[int]:
    columns = np.array(visitors, np.int64), np.array(hours, np.int64), np.array(agents, np.bool_)
    return [int(code) for code in bots.event_rules(*columns, settings(bot_events_per_hour=limit))]


def test_rate_counts_a_visitors_events_of_one_hour() -> None:
    calm, fast, split, honest = [7] * 3, [4] * 4, [9] * 4, [1] * 5
    visitors = [*calm, *fast, *split, *honest]
    hours = [*[10] * 3, *[10] * 4, *[10, 10, 11, 11], *[10] * 4, 11]
    agents = [*[False] * 11, *[False, True, False, False, False]]
    found = rated(visitors, hours, agents, limit=3)
    rate, agent = bots.RATE, bots.AGENT
    assert found == [*[0] * 3, *[rate] * 4, *[0] * 4, *[rate, agent, rate, rate, 0]]


def test_nobody_is_no_bot() -> None:
    assert rated([], [], [], limit=3) == []
    assert rated([5], [1], [False], limit=1) == [0]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4), st.booleans()), max_size=60))
def test_rate_is_what_a_counter_says_in_whatever_order_the_hours_come(events: list[tuple[int, int, bool]]) -> None:
    rows = sorted(events, key=lambda event: event[0])
    num = Counter((visitor, hour) for visitor, hour, _ in rows)
    expected = [bots.AGENT if says else bots.RATE if num[v, hour] > 3 else 0 for v, hour, says in rows]
    assert rated([r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows], limit=3) == expected


# -- by the shape of a session

Action = tuple[float, Kind, int]  # seconds, kind, item


def shapes(sessions: Sequence[Sequence[Action]], **changes: Any) -> list[str | None]:
    actions = [action for session in sessions for action in session]
    codes = bots.session_shapes(
        np.cumsum([0, *map(len, sessions)])[:-1],
        np.array([round(seconds * 1e6) for seconds, _, _ in actions], dtype=np.int64),
        np.array([kind.code for _, kind, _ in actions], dtype=np.int8),
        np.array([item for _, _, item in actions], dtype=np.int64),
        settings(**changes),
    )
    found: list[str | None] = bots.names(codes).to_pylist()
    return found


def views(steps: Sequence[float], num_items: int = 1) -> list[Action]:
    """Views of items in turn, `steps` seconds apart."""
    at = np.cumsum([0.0, *steps])
    return [(float(seconds), Kind.VIEW, number % num_items) for number, seconds in enumerate(at)]


def test_metronome() -> None:
    clock = views([10.0] * 19)
    assert shapes([clock]) == ["metronome"]
    assert shapes([clock[1:]]) == [None]  # 19 moments
    # Steps of 8 and 12 s: mean 10, deviation 2.
    assert shapes([views([8.0, 12.0] * 10)]) == ["metronome"]
    assert shapes([views([7.9, 12.1] * 10)]) == [None]
    assert shapes([views([10.0] * 19), views([2.0, 60.0] * 20), [], views([1.0] * 30)][:2]) == ["metronome", None]


def test_one_actions_records_are_one_moment() -> None:
    """An invoice of thirty lines at one instant, or 3 ms apart, is no machine's work."""
    for apart in (0.0, 0.003):
        lines = [(apart * number, Kind.PURCHASE, number) for number in range(30)]
        assert shapes([lines]) == [None]
    twice = [(10.0 * (number // 2) + 0.05 * (number % 2), Kind.VIEW, 0) for number in range(40)]
    assert shapes([twice], metronome_min_events=20) == ["metronome"]
    assert shapes([twice], metronome_min_events=21) == [None]


def test_what_was_only_shown_counts_for_nothing() -> None:
    shown = [(0.5 * number, Kind.IMPRESSION, number) for number in range(100)]
    assert shapes([shown]) == [None]
    between = sorted([*views([10.0] * 19), *shown])
    assert shapes([between]) == ["metronome"]


#: Uneven enough for no metronome: steps of 1 and 5 s.
QUICK = [1.0, 5.0] * 25


def test_crawl() -> None:
    assert shapes([views(QUICK, num_items=40)]) == ["crawl"]
    assert shapes([views(QUICK, num_items=39)]) == [None]
    assert shapes([views([1.0, 5.1] * 25, num_items=40)]) == ["crawl"]  # half of the steps are quick
    assert shapes([views([1.0, 5.1] * 25 + [9.0], num_items=40)]) == [None]
    for kind in (Kind.SEARCH, Kind.CART, Kind.PURCHASE, Kind.COUPON):
        assert shapes([[*views(QUICK, num_items=40), (200.0, kind, -1)]]) == [None], kind
    for kind in (Kind.CLICK, Kind.REVIEW, Kind.UNCART):
        assert shapes([[*views(QUICK, num_items=40), (200.0, kind, -1)]]) == ["crawl"], kind


def test_no_session_has_no_shape() -> None:
    assert shapes([]) == []
    assert shapes([views([])]) == [None]


@dataclass(frozen=True)
class Definition:
    """The two rules, said slowly."""

    clean: Clean

    def __call__(self, session: list[Action]) -> str | None:
        done = [action for action in session if action[1] is not Kind.IMPRESSION]
        gaps = [round(b[0] * 1e6) - round(a[0] * 1e6) for a, b in pairwise(done)]
        steps = [gap for gap in gaps if gap >= 100_000]
        if len(steps) + 1 >= self.clean.metronome_min_events and (
            pstdev(steps) <= self.clean.metronome_max_variation * fmean(steps)
        ):
            return "metronome"
        wants = {Kind.SEARCH, Kind.CART, Kind.PURCHASE, Kind.COUPON} & {kind for _, kind, _ in done}
        num_items = len({item for _, _, item in done if item >= 0})
        quick = gaps and median_low(gaps) <= self.clean.crawl_max_gap_seconds * 1e6
        return "crawl" if quick and not wants and num_items >= self.clean.crawl_min_items else None


_STEPS = st.sampled_from([0.0, 0.05, 0.1, 1.0, 1.5, 2.0, 30.0])
_KINDS = st.sampled_from([Kind.VIEW, Kind.VIEW, Kind.VIEW, Kind.CLICK, Kind.IMPRESSION, Kind.SEARCH])
_SESSIONS = st.lists(st.lists(st.tuples(_STEPS, _KINDS, st.integers(-1, 4)), min_size=1, max_size=12), max_size=6)


@given(_SESSIONS)
def test_shapes_are_those_of_the_definition(drawn: list[list[Action]]) -> None:
    changes = {
        "metronome_min_events": 4,
        "metronome_max_variation": 0.33,
        "crawl_min_items": 3,
        "crawl_max_gap_seconds": 1.5,
    }
    sessions = []
    for steps in drawn:
        at = np.cumsum([step for step, _, _ in steps]).round(6)
        sessions.append([(float(s), kind, item) for s, (_, kind, item) in zip(at, steps, strict=True)])
    assert shapes(sessions, **changes) == [Definition(settings(**changes))(session) for session in sessions]


# -- on the simulated shop


@dataclass(frozen=True)
class Log:
    visitors: np.ndarray
    event_ts: np.ndarray
    kinds: np.ndarray
    items: np.ndarray
    agents: np.ndarray
    is_bot: np.ndarray  # the truth
    starts: np.ndarray


@pytest.fixture(scope="module")
def log() -> Log:
    """Four days of a shop in which every fiftieth actor is a bot, half of them silent about it."""
    start = date(2001, 1, 15)
    size = {"num_people": 3000, "bot_share": 0.02, "malformed_share": 0.0, "start": start.isoformat()}
    shop, kinds = Shop(load_conf().simulate.model_copy(update=size)), load_source("synthetic").kinds
    rows = []
    for day in range(7, 11):
        for chunk in shop.chunks(start + timedelta(days=day)):
            for line in dict.fromkeys(chunk.lines):
                record = json.loads(line)
                ts, product = record["ts"], record["product"] or {}
                at = datetime.fromisoformat(ts) if "T" in str(ts) else datetime.fromtimestamp(int(ts) / 1000, UTC)
                said = re.search(CLEAN.bot_agent_pattern, record["client"]["user_agent"]) is not None
                kind, is_bot = kinds[record["type"]].code, chunk.counts["bots"] > 0
                device = record["actor"]["device_id"]
                rows.append((device, round(at.timestamp() * 1e6), kind, product.get("sku", ""), said, is_bot))
    rows.sort()
    devices, event_ts, codes, skus, agents, is_bot = zip(*rows, strict=True)
    visitors, ts = np.unique(devices, return_inverse=True)[1], np.array(event_ts)
    opens = (np.diff(visitors, prepend=-1) != 0) | (np.diff(ts, prepend=0) > 30 * 60e6)
    items = np.unique([*skus, ""], return_inverse=True)[1][:-1] - 1
    return Log(visitors, ts, np.array(codes), items, np.array(agents), np.array(is_bot), np.flatnonzero(opens))


def test_rules_on_events_find_every_simulated_bot_and_nobody_else(log: Log) -> None:
    found = bots.event_rules(log.visitors, log.event_ts // 3_600_000_000, log.agents, CLEAN)
    assert log.is_bot.sum() > 5000
    assert np.array_equal(found > 0, log.is_bot)
    assert {int(code) for code in np.unique(found)} == {0, bots.AGENT, bots.RATE}


@pytest.mark.parametrize(
    ("rule", "off", "least_recall"),
    [(bots.METRONOME, {"crawl_min_items": 10**9}, 0.99), (bots.CRAWL, {"metronome_min_events": 10**9}, 0.6)],
)
def test_shapes_find_simulated_bots_and_nobody_else(
    log: Log, rule: int, off: dict[str, int], least_recall: float
) -> None:
    """Each rule alone; on these days metronome found 100 % of the bots' sessions and crawl three quarters."""
    found = bots.session_shapes(log.starts, log.event_ts, log.kinds, log.items, settings(**off)) == rule
    truth = log.is_bot[log.starts]
    assert truth.sum() > 50
    assert not (found & ~truth).any()
    assert (found & truth).sum() >= least_recall * truth.sum()


def test_humans_are_far_from_the_bounds(log: Log) -> None:
    """Bounds twice as loose hit no simulated person either."""
    loose = settings(metronome_max_variation=2 * CLEAN.metronome_max_variation, crawl_max_gap_seconds=10.0)
    found = bots.session_shapes(log.starts, log.event_ts, log.kinds, log.items, loose) > 0
    assert not (found & ~log.is_bot[log.starts]).any()
