"""A person is forgotten: after three nights of a small shop, published and exported, nothing names them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.jobs.prep_nights import KEY, Nights, job_environment

from nightjar.contracts import (
    DECISIONS,
    ERASURES,
    EVENTS,
    FORETOLD,
    ITEMS,
    PERSON_COLUMNS,
    QUARANTINE,
    RECOMMENDATIONS,
    SEQUENCES,
    SESSION_EVENTS,
    SESSION_RENAMES,
    SESSIONS,
    USERS,
    Table,
)
from nightjar.contracts.render import arrow_schema
from nightjar.prep.pseudonyms import pseudonym, unsealed
from nightjar.settings import repository
from nightjar.stores.exports import export
from nightjar.stores.warehouse import DuckDbFile
from nightjar.stores.warehouse.schema import TABLES

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = [pytest.mark.spark, pytest.mark.slow]

DAYS = tuple(date(2001, 1, day) for day in (15, 16, 17))
FIRST, SECOND, THIRD = DAYS
FOURTH = date(2001, 1, 18)
NIGHT = ("clean", "sessionize", "identity", "sequences", "features")
SETS = ("score.k=2", "gate.max_fallback_share=1.0", 'score.exclude="none"')

ADA = {"user": ("ada@shop.example",), "device": ("ada-phone",)}
OTHERS = {"user": ("bob@shop.example", "dee@shop.example"), "device": ("bobs-laptop", "cids-tablet", "kiosk")}

SOURCE = """
doc = "A shop for tests."
format = "jsonl"
layout = "daily"
pattern = "{day}.jsonl"
time_zone = "UTC"
history_days = 2

[fields]
id = "STRING"
at = "STRING"
who = "STRING"
device = "STRING"
what = "STRING"
item = "STRING"
cost = "STRING"

[events]
event_id = "id"
event_ts = "try_to_timestamp(at)"
user_id = "who"
device_id = "device"
platform = "'web'"
kind = "what"
item_id = "item"
price = "try_cast(cost AS DOUBLE)"
quantity = "CASE WHEN what = 'purchase' THEN 1 END"

[kinds]
view = "view"
purchase = "purchase"

[gate]
max_quarantined_share = 0.9

[settings]
"sequences.holdout_days" = 1
"sequences.history_days" = 3
"sequences.min_item_events" = 1
"labels.horizon_days" = 1
"labels.churn_days" = 1
"lake.buckets" = 2
"spark.shuffle_partitions" = 2
"""

FLAGS = {
    "identity": "identity",
    "sequences": "sequences",
    "features": "user_features",
    "erase": "erasures",
    "publish": "recommendations",
}


class Shop(Nights):
    """The jobs of a night, publishing and erasing included."""

    def argv(self, name: str, day: date, *sets: str) -> list[str]:
        table = FLAGS.get(name, "events")
        found = ["--source", str(self.source), f"--{table}", f"{self.shop}/{table}/dt={day}"]
        found += ["--raw", str(self.raw)] if name == "clean" else []
        return [*found, *(part for setting in (*SETS, *sets) for part in ("--set", setting))]

    def copy(self, root: Path) -> Shop:
        shutil.copytree(self.home.root, root / "home")
        return Shop(root, self.shop, self.source.read_text(), self.raw)

    @property
    def warehouse(self) -> DuckDbFile:
        return DuckDbFile(self.home.warehouse)

    def ask(self, **request: str) -> None:
        folder = self.home.secrets / "erasures" / self.shop
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "asked.jsonl").write_text(json.dumps({"requested_at": "2001-01-18T09:00:00Z", **request}) + "\n")

    def content(self) -> dict[str, Any]:
        """Every row that readers may see, in the lake and in the warehouse, but for the instants of the erasure."""
        tables = (*PERSON_COLUMNS, QUARANTINE, ERASURES)
        found: dict[str, Any] = {table.name: self.table(table).to_pylist() for table in tables}
        for row in found[ERASURES.name]:
            row.pop("erased_at")
        with self.warehouse.reader() as db:
            return found | {f"w/{t.name}": sorted(db.query(f"SELECT * FROM {t.name}"), key=repr) for t in TABLES}


def record(name: str, day: date, minute: int, who: str | None, device: str | None, **changes: str) -> dict[str, Any]:
    at = datetime(day.year, day.month, day.day, 9, tzinfo=UTC) + timedelta(minutes=minute)
    item = f"i{len(name + (who or device or '')) % 5}"
    return {"id": name, "at": at.isoformat(), "who": who, "device": device, "what": "view", "item": item} | changes


def drop(day: date) -> Iterable[dict[str, Any] | str]:
    """Ada on her phone and on the kiosk that Bob uses too, once before she logs in there; Cid never logs in."""
    ada, bob, dee = "ada@shop.example", "bob@shop.example", "dee@shop.example"
    n = day.day
    for minute in range(4):
        yield record(f"{n}-phone{minute}", day, minute, ada if minute == 2 or n == 16 else None, "ada-phone")
        yield record(f"{n}-laptop{minute}", day, minute, bob if minute else None, "bobs-laptop")
        yield record(f"{n}-tablet{minute}", day, minute, None, "cids-tablet")
        yield record(f"{n}-dee{minute}", day, minute, dee, None, what="purchase", cost="2.5")
        yield record(f"{n}-kiosk-bob{minute}", day, 200 + minute, bob, "kiosk")
        yield record(f"{n}-kiosk-ada{minute}", day, 100 + minute, ada if minute else None, "kiosk")
    yield record(f"{n}-ada-bad", day, 5, ada, None, cost="-1")
    yield record(f"{n}-bob-bad", day, 5, bob, None, cost="-1")
    yield '{broken, "who": "ada@shop.example"'
    yield '{broken, "who": "bob@shop.example"'


def send(raw: Path, day: date) -> None:
    raw.mkdir(parents=True, exist_ok=True)
    lines = [one if isinstance(one, str) else json.dumps(one) for one in drop(day)]
    (raw / f"{day}.jsonl").write_text("\n".join(lines) + "\n")


def scored_people(people: list[str]) -> dict[Table, pa.Table]:
    """Something foretold of each of them, and decided on each."""
    foretold = [
        {
            "dt": THIRD,
            "score_name": "churn",
            "user_id": person,
            "probability": 0.5,
            "decile": 5,
            "flagged": True,
            "contender": "trees",
            "model_version": "1",
            "reasons": ["spend"],
        }
        for person in people
    ]
    decisions = [
        {
            "row_key": f"acme|{THIRD}|retention|{person}",
            "shop": "acme",
            "dt": THIRD,
            "decision": "retention",
            "user_id": person,
            "arm": "act",
            "rank": rank,
            "offer": "call",
            "expected_value": 1.0,
            "cost": 0.0,
            "score_name": "churn",
            "score": 0.5,
            "reasons": '["spend"]',
        }
        for rank, person in enumerate(people, 1)
    ]
    rows = {FORETOLD: foretold, DECISIONS: decisions}
    return {table: pa.Table.from_pylist(some, arrow_schema(table)) for table, some in rows.items()}


@pytest.fixture(scope="module")
def before(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The shop after three nights; the last is published, and exported to two tools."""
    shop = Shop(tmp_path_factory.mktemp("erase"), "acme", SOURCE)
    for day in DAYS:
        send(shop.raw, day)
        shop.night(spark, day, *NIGHT)
    shown = shop.table(ITEMS, [THIRD])["item_id"].to_pylist()
    lists = [
        {
            "row_key": f"acme|{THIRD}|home|{person}|{rank}",
            "shop": "acme",
            "dt": THIRD,
            "surface": "home",
            "user_id": person,
            "rank": rank,
            "item_id": shown[rank],
            "score": 1 / rank,
            "strategy": "popular",
            "reason_code": "popular_now",
            "model_name": "popularity",
            "model_version": "1",
        }
        for person in shop.table(SEQUENCES, [THIRD])["user_id"].to_pylist()
        for rank in (1, 2)
    ]
    rows = pa.Table.from_pylist(lists, arrow_schema(RECOMMENDATIONS))
    shop.lake.commit([shop.lake.stage_arrow(rows, RECOMMENDATIONS, "acme", "test")])
    for table, scored in scored_people(shop.table(SEQUENCES, [THIRD])["user_id"].to_pylist()).items():
        shop.lake.commit([shop.lake.stage_arrow(scored, table, "acme", "test")])
    shop.night(spark, THIRD, "publish")
    for target in ("braze", "sfmc"):
        export(shop.warehouse, "acme", target, shop.home.exports)
    # What only waits: rows of a night that nobody has published.
    waiting = shop.home.secrets / "users" / "acme" / "waiting.parquet"
    names = [(kind, one) for kind, ids in {**ADA}.items() for one in ids] + [("user", "bob@shop.example")]
    mapping = [{"shop": "acme", "pseudonym": name(*one), "shop_id": one[1], "id_kind": one[0]} for one in names]
    pq.write_table(pa.Table.from_pylist(mapping, arrow_schema(USERS)), waiting)
    (shop.home.backtest("acme") / "lake").mkdir(parents=True)
    (shop.home.backtest("acme") / "lake" / "rows").write_text(name("user", "ada@shop.example"))
    return shop


@pytest.fixture
def shop(before: Shop, tmp_path: Path) -> Shop:
    return before.copy(tmp_path)


def name(kind: str, shop_id: str) -> str:
    return pseudonym(bytes.fromhex(KEY), kind, shop_id)


def names_of(people: dict[str, tuple[str, ...]]) -> set[str]:
    return {text for kind, ids in people.items() for shop_id in ids for text in (shop_id, name(kind, shop_id))}


def traces(shop: Shop, words: Iterable[str]) -> dict[str, list[str]]:
    """Which files below the home hold which of the words: in their bytes, or in what these decode or decrypt to."""
    found: dict[str, list[str]] = {}
    for path in (path for path in sorted(shop.home.root.rglob("*")) if path.is_file()):
        texts = [path.read_bytes()]
        if path.suffix == ".parquet":
            rows = pq.ParquetFile(path).read()
            texts.append(repr(rows.to_pylist()).encode())
            if "/quarantine/" in str(path):
                texts += [text.encode() for text in unsealed(bytes.fromhex(KEY), rows["raw"].to_pylist())]
        if hit := [word for word in words if any(word.encode() in text for text in texts)]:
            found[str(path.relative_to(shop.home.root))] = hit
    return found


def without_ada(shop: Shop, table: Table) -> list[dict[str, Any]]:
    """The rows that must stay, by what the drops say: not by what the job makes of them."""
    gone = names_of(ADA) | {
        row["id"] for day in (*DAYS, FOURTH) for row in drop(day) if isinstance(row, dict) and "ada" in row["id"]
    }
    rows = [row | {"num_rows": None} for row in shop.table(table).to_pylist()]
    return [row for row in rows if not gone & {value for value in row.values() if isinstance(value, str)}]


def test_nothing_names_the_person(spark: SparkSession, before: Shop, shop: Shop) -> None:
    assert len(traces(before, names_of(ADA))) > 20, "there is something to forget"
    kept = before.content()
    shop.ask(user_id="ada@shop.example", reason="she asked")
    code, said = shop.run(spark, "erase", THIRD)
    assert code == 0, said
    assert traces(shop, names_of(ADA)) == {}
    assert traces(shop, ["ada-kiosk", *(f"{day.day}-kiosk-ada{n}" for day in DAYS for n in range(4))]) == {}
    now = shop.content()
    for table in PERSON_COLUMNS:
        rows = [row | {"num_rows": None} for row in now[table.name]]
        assert rows == without_ada(before, table), table.name
        assert rows or table == SESSION_RENAMES, table.name  # nothing was ever renamed
    records = unsealed(bytes.fromhex(KEY), [row["raw"] for row in now["quarantine"]])
    assert sorted("bob" in text for text in records) == [True] * 6
    for table in (table for table in TABLES if f"w/{table.name}" in now):
        assert now[f"w/{table.name}"] == [row for row in kept[f"w/{table.name}"] if not names_of(ADA) & {*row}]
    assert len(now["w/users"]) == len(kept["w/users"]) - 2
    (row,) = now["erasures"]
    assert (row["request_id"], row["num_members"]) == (said["counts"]["requests"][0], 2)
    assert (row["champion_version"], row["champion_knew"]) == (None, None)
    removed = json.loads(row["rows_removed"])
    assert removed == {
        "lake/events": 24,  # 3 days of 4 on the phone and 4 on the kiosk, one of these before she logged in
        "lake/decisions": 1,
        "lake/foretold": 1,
        "lake/holdout": removed["lake/holdout"],
        "lake/identity": removed["lake/identity"],
        "lake/identity_links": 2,
        "lake/labels": removed["lake/labels"],
        "lake/quarantine": 6,
        "lake/recommendations": 2,
        "lake/sequences": removed["lake/sequences"],
        "lake/session_events": 24,
        "lake/sessions": 6,
        "lake/user_features": removed["lake/user_features"],
        "warehouse/crm_states": 1,
        "warehouse/decisions": 1,
        "warehouse/recommendations": 2,
        "warehouse/user_scores": 4,
        "warehouse/users": 2,
    }
    assert not (shop.home.secrets / "erasures" / "acme" / "asked.jsonl").exists()


def test_row_counts_hashes_and_marks_are_right(spark: SparkSession, shop: Shop) -> None:
    shop.ask(device_id="ada-phone")
    assert shop.run(spark, "erase", THIRD)[0] == 0
    for table in (*PERSON_COLUMNS, QUARANTINE):
        for day, entry in shop.lake.entries("acme", table.name).items():
            rows = shop.table(table, [day])
            anew = shop.lake.stage_arrow(rows, table, "acme", "oracle", days=[day]).entries[day]
            assert (entry.num_rows, entry.content_hash) == (len(rows), anew.content_hash), (table.name, day)
    # Nothing looks changed to the jobs whose inputs have lost rows: they would rebuild what is right already.
    for job in ("sessionize", "identity"):
        code, said = shop.run(spark, job, THIRD)
        assert (code, said["counts"]["days_rebuilt"]) == (0, 0), said


def test_no_drop_brings_the_person_back(spark: SparkSession, shop: Shop) -> None:
    shop.ask(user_id="ada@shop.example")
    assert shop.run(spark, "erase", THIRD)[0] == 0
    kept = shop.hashes(EVENTS, SESSIONS, SESSION_EVENTS, QUARANTINE)
    for day in DAYS:
        code, said = shop.run(spark, "clean", day)
        assert code == 0, said
        # Eight events; two records that were rejected, one of them unreadable.
        assert said["counts"]["rows_erased"] == 10
        assert said["counts"]["rows_in"] == 28
    assert shop.hashes(EVENTS, SESSIONS, SESSION_EVENTS, QUARANTINE) == kept
    send(shop.raw, FOURTH)  # a late drop, of before she was forgotten
    shop.night(spark, FOURTH, *NIGHT)
    (shop.raw / f"{FOURTH}.jsonl").unlink()
    assert traces(shop, names_of(ADA)) == {}
    assert shop.table(EVENTS, [FOURTH])["event_id"].to_pylist()


def test_who_comes_back_is_new(spark: SparkSession, shop: Shop) -> None:
    """What happens after the erasure is another story, which the shop may tell."""
    shop.ask(user_id="ada@shop.example")
    assert shop.run(spark, "erase", THIRD)[0] == 0
    tombstones = shop.home.secrets / "tombstones" / "acme.json"
    until = int(datetime(2001, 1, 17, 9, 1, tzinfo=UTC).timestamp() * 1_000_000)
    tombstones.write_text(json.dumps(dict.fromkeys(json.loads(tombstones.read_text()), until)))
    code, said = shop.run(spark, "clean", THIRD)
    assert code == 0, said
    found = [one for one in shop.table(EVENTS, [THIRD])["event_id"].to_pylist() if "phone" in one]
    assert sorted(found) == ["17-phone2", "17-phone3"]


def erasing(shop: Shop, *before: str) -> subprocess.CompletedProcess[str]:
    script = (
        [str(Path(__file__).with_name("killed_erase.py")), *before] if before else [str(repository() / "jobs/erase.py")]
    )
    command = [sys.executable, *script, *shop.argv("erase", THIRD)]
    environment = job_environment(shop)
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.fixture(scope="module")
def erased(before: Shop, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    shop = before.copy(tmp_path_factory.mktemp("erased"))
    shop.ask(user_id="ada@shop.example")
    done = erasing(shop)
    assert done.returncode == 0, done.stderr
    assert not {word for word in names_of(ADA) if word in done.stdout + done.stderr}
    return shop.content()


POINTS = ("planned", "remembered", "staged", "committed", "opened", "replaced", "flushed", "swapped")
POINTS += ("unpublished", "unexported", "vacuumed", "recorded")


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_the_next_run_ends_the_same(erased: dict[str, Any], shop: Shop, point: str) -> None:
    shop.ask(user_id="ada@shop.example")
    assert erasing(shop, point).returncode == -signal.SIGKILL
    again = erasing(shop)
    assert again.returncode == 0, again.stderr
    assert shop.content() == erased
    assert traces(shop, names_of(ADA)) == {}
    assert json.loads(erasing(shop).stdout)["requests"] == [], "there is nothing left to do"


def test_a_night_meanwhile_waits_and_finds_nobody(shop: Shop) -> None:
    """A real clean and a real erasure at once: whichever is first, the person is gone."""
    send(shop.raw, FOURTH)
    shop.ask(user_id="ada@shop.example")
    clean = [sys.executable, str(repository() / "jobs" / "clean.py"), *shop.argv("clean", FOURTH)]
    with subprocess.Popen(clean, env=job_environment(shop), stderr=subprocess.PIPE, text=True) as night:
        done = erasing(shop)
        _, told = night.communicate(timeout=240)
    (shop.raw / f"{FOURTH}.jsonl").unlink()
    assert (done.returncode, night.returncode) == (0, 0), done.stderr + told
    assert shop.table(EVENTS, [FOURTH])["event_id"].to_pylist()
    assert traces(shop, names_of(ADA)) == {}


def test_a_file_that_cannot_be_read_holds_nobody_else_up(spark: SparkSession, shop: Shop) -> None:
    shop.ask(user_id="ada@shop.example")
    bad = shop.home.secrets / "erasures" / "acme" / "bad.csv"
    bad.write_text("user_id,requested_at\nada@shop.example,yesterday\n")
    code, said = shop.run(spark, "erase", THIRD)
    assert (code, said["failure"]) == (1, "bad_data")
    assert "bad.csv line 2: requested_at is no instant" in said["error"]
    assert set(traces(shop, names_of(ADA))) == {"secrets/erasures/acme/bad.csv"}
    assert bad.stat().st_mode & 0o777 == 0o600


def test_make_erase_files_requests(shop: Shop) -> None:
    text = '{"user_id": "ada@shop.example", "requested_at": "2001-01-18T09:00:00Z"}\n'
    command = [sys.executable, "-m", "jobs.ops.erase", "--source", str(shop.source)]
    environment = job_environment(shop) | {
        "PYTHONPATH": os.pathsep.join([str(repository() / "src"), str(repository())])
    }

    def filed(given: str, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*command, *more],
            input=given,
            env=environment,
            cwd=repository(),
            capture_output=True,
            text=True,
            check=False,
        )

    done = filed(text)
    assert done.returncode == 0, done.stderr
    (file,) = (shop.home.secrets / "erasures" / "acme").glob("*.jsonl")
    assert (file.stat().st_mode & 0o777, file.stem) == (0o600, done.stdout.split()[0])
    assert "ada" not in done.stdout + done.stderr
    wrong = filed('{"login": "ada@shop.example"}\n')
    assert (wrong.returncode, "ada@" in wrong.stderr) == (1, False)
    assert "standard input line 1 is no request" in wrong.stderr
    assert filed(text, "--now", "1", "--set", " ".join(SETS)).returncode == 0
    assert [row["request_id"] for row in shop.table(ERASURES).to_pylist()] == [file.stem]


def test_every_column_that_names_a_person_is_known() -> None:
    """By what the contracts say of their columns; identity's component_id is renamed, not removed."""
    from nightjar.contracts import TABLES as CONTRACTS

    named = {
        (table.name, column.name)
        for table in CONTRACTS.values()
        for column in table.columns
        if "seudonym" in column.doc or "shop's own id" in column.doc
    }
    known = {(table.name, column) for table, columns in PERSON_COLUMNS.items() for column in columns}
    others = {("users", "pseudonym"), ("user_scores", "user_id"), ("quarantine", "raw")}
    assert named - others - {("identity", "component_id")} <= known
