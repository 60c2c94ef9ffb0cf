"""Bundled mappings on the logs they are made for, counted against plain Python.

The logs are not ours to ship: set NIGHTJAR_REAL_DATA to a folder that holds them, or keep it at
../shared/data beside the checkout; without it these tests skip.
"""

from __future__ import annotations

import csv
import gzip
import os
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pyspark.sql import functions as F
from tests.prep.small_log import opened

from nightjar.contracts import EVENTS
from nightjar.prep.clean import is_kept, with_reasons
from nightjar.prep.sessions import session_events_from, stream_of
from nightjar.prep.sources import mapped
from nightjar.settings import load_conf, load_source, repository
from nightjar.stores.raw import find_files, read_raw

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DATA = Path(os.environ.get("NIGHTJAR_REAL_DATA") or repository().parent / "shared" / "data")

pytestmark = pytest.mark.spark


def raw_log(name: str) -> Path:
    if not (DATA / name).exists():
        pytest.skip(f"no real log {DATA / name}; set NIGHTJAR_REAL_DATA to the folder that holds it")
    return DATA / name


def judged(spark: SparkSession, source_name: str, raw: Path, days: list[date]) -> DataFrame:
    source = load_source(source_name)
    conf = load_conf(source=source)
    return with_reasons(
        mapped(read_raw(spark, source, find_files(source, raw, days)), source), conf.clean, source
    ).persist()


def records(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file)


def test_retailrocket(spark: SparkSession) -> None:
    path = raw_log("retailrocket/events.csv.gz")
    expected = Counter(row["event"] for row in records(path))
    rows = judged(spark, "retailrocket", path, [])
    found = {row["kind"]: row["count"] for row in rows.where(is_kept()).groupBy("kind").count().collect()}
    assert found == {"view": expected["view"], "cart": expected["addtocart"], "purchase": expected["transaction"]}
    assert sum(found.values()) == sum(expected.values()), "every record of this log is good"
    first, last = rows.agg(F.min("dt"), F.max("dt")).collect()[0]
    assert (first, last) == (date(2015, 5, 3), date(2015, 9, 18))
    assert rows.select("event_id").distinct().count() == sum(expected.values())
    # Its visits, by the rules of a session in plain Python.
    sessions = load_conf(source=load_source("retailrocket")).sessions
    events = rows.select(*EVENTS.names).toArrow()
    cut = session_events_from(stream_of(events), sessions, "UTC")
    names = dict(zip(cut["event_id"].to_pylist(), cut["session_id"].to_pylist(), strict=True))
    log = events.select(["event_id", "event_ts", "user_id", "device_id"]).to_pylist()
    gap, limits = timedelta(minutes=sessions.gap_minutes), {"max_hours": sessions.max_hours}
    wanted = opened(log, gap, max_events=sessions.max_events, **limits)
    assert names == {row["event_id"]: session_id for session_id, row in wanted}
    assert len(set(names.values())) > 10_000


def test_online_retail(spark: SparkSession) -> None:
    folder = raw_log("online_retail")
    days = [date(2011, 11, 29), date(2011, 11, 30)]
    lines = [row for day in days for row in records(folder / f"{day}.csv.gz")]
    expected = Counter(reason for row in lines for reason in broken(row))
    rows = judged(spark, "online_retail", folder, days)
    reasons = rows.select(F.explode("reasons").alias("reason")).groupBy("reason").count().collect()
    assert {row["reason"]: row["count"] for row in reasons} == dict(expected)
    good = [row for row in lines if not broken(row)]
    kinds = {row["kind"]: row["count"] for row in rows.where(is_kept()).groupBy("kind").count().collect()}
    cancelled = sum(row["InvoiceNo"].startswith("C") for row in good)
    written_off = sum(int(row["Quantity"]) < 0 for row in good) - cancelled
    assert (kinds["cancel"], kinds.get("return", 0)) == (cancelled, written_off)
    assert kinds["purchase"] == len(good) - cancelled - written_off
    assert rows.where("landed <> dt").count() == 0, "a drop holds its own day in the shop's time zone"


QUOTED = r'"((?:[^"\\]|\\.)*)"'
ACCESS = re.compile(rf"(\S+) \S+ \S+ \[[^\]]+\] {QUOTED} (\d+) \S+ {QUOTED} {QUOTED}$")
ARTICLE = re.compile(r"/(?:blog|presentations|projects)/([^/?]+)/?(?:[?].*)?$")


def test_weblog(spark: SparkSession, tmp_path: Path) -> None:
    """A site with articles in the place of products. Lines hold addresses: only counts reach an assertion."""
    path = raw_log("weblogs/apache_combined_2015.log.gz")
    mapping = tmp_path / "articles.toml"
    mapping.write_text(
        """
        extends = "weblog"
        layout = "single"
        [derived]
        viewed_item = "regexp_extract(path, '^/(?:blog|presentations|projects)/([^/]+)/?$', 1)"
        """
    )
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as file:
        lines = [line.rstrip("\n") for line in file]
    told = [found.groups() for line in lines if (found := ACCESS.match(line))]
    views = [
        (sha256(f"{host}|{agent}".encode()).hexdigest(), agent, article[1])
        for host, request, status, _, agent in told
        if status[0] in "23" and request.startswith("GET ") and (article := ARTICLE.match(request.split(" ")[1]))
    ]
    num_views, num_unread, num_devices = len(views), len(lines) - len(told), len({device for device, _, _ in views})
    assert num_views > 500
    source = load_source(str(mapping))
    conf = load_conf(source=source)
    rows = judged(spark, str(mapping), path, [])
    kept = rows.where(F.col("reasons").isNull())
    reasons = {tuple(row["reasons"] or ()): row["count"] for row in rows.groupBy("reasons").count().collect()}
    assert reasons == +Counter({(): num_views, ("malformed",): num_unread})
    assert {row["kind"] for row in kept.select("kind").distinct().collect()} == {"view"}
    items = {row["item_id"]: row["count"] for row in kept.groupBy("item_id").count().collect()}
    assert items == Counter(item for _, _, item in views)
    assert kept.select("device_id").distinct().count() == num_devices
    bots = kept.where(F.col("attributes")["user_agent"].rlike(conf.clean.bot_agent_pattern)).count()
    num_bots = sum(bool(re.search(conf.clean.bot_agent_pattern, agent)) for _, agent, _ in views)
    assert bots == num_bots > 50
    assert kept.where("device_id NOT RLIKE '^[0-9a-f]{64}$'").count() == 0, "no address is an id"


def broken(row: dict[str, str]) -> list[str]:
    """The row rules that a line of this log can break, in words of its own columns."""
    sold = not row["InvoiceNo"].startswith("C") and int(row["Quantity"]) >= 0
    rules = {
        "actor_missing": not row["CustomerID"].strip(),
        "item_is_no_product": not re.match(r"[0-9]{5}", row["StockCode"].strip()),
        "price_negative": float(row["UnitPrice"]) < 0,
        "price_missing": sold and float(row["UnitPrice"]) <= 0,
    }
    return [reason for reason, is_broken in rules.items() if is_broken]
