"""`make source-check`, as a command: what it says of good logs and of broken ones, and what it never says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from jobs.ops.source_check import check, drops_text

from nightjar.contracts import BadInput
from nightjar.settings import load_source, repository

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = repository()
FIXTURES = ROOT / "tests" / "fixtures" / "sources"


def command(source: str | Path, raw: str | Path, *more: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, with the jobs' environment."""
    path = os.pathsep.join([str(ROOT / "src"), str(ROOT)])
    argv = [sys.executable, "-m", "jobs.ops.source_check", "--source", str(source), "--raw", str(raw), *more]
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run(argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def line(text: str, begin: str) -> list[str]:
    """The cells of the one line that begins so."""
    (found,) = [row for row in text.splitlines() if row.startswith(begin)]
    return re.split(r"  +", found.strip())


def error(done: subprocess.CompletedProcess[str]) -> tuple[str, str]:
    """(problem, next command)"""
    assert done.returncode == 2, done.stdout + done.stderr
    problem, next_command = done.stderr[done.stderr.index("source-check: ") :].rstrip().split("\n  next: ")
    return problem, next_command


MAPPING = """
doc = "The cosmetics shop: monthly files of our own column names."
extends = "rees46"
layout = "daily"
pattern = "{day}-*.csv*"
delimiter = ";"
time_zone = "Europe/Vienna"
[events]
event_id = "sha2(concat_ws('|', happened, did, sku, customer), 256)"
event_ts = "try_to_timestamp(happened)"
user_id = "customer"
device_id = "cookie"
kind = "did"
item_id = "sku"
price = "try_cast(cost AS DOUBLE)"
attributes = "map('title', label, 'brand', maker, 'contact', mail)"
[kinds]
looked = "view"
took = "cart"
bought = "purchase"
[rejects]
price_unreadable = "cost IS NOT NULL AND price IS NULL"
"""
PERSON = "customer-77;cookie-88;x@y.example"
HEADER = "happened;did;sku;label;maker;cost;customer;cookie;mail;basket"


@pytest.mark.spark
def test_a_mapping_outside_conf_for_a_log_of_other_names(tmp_path: Path) -> None:
    mapping = tmp_path / "cosmetics.toml"
    mapping.write_text(MAPPING, encoding="utf-8")
    raw = tmp_path / "raw"
    raw.mkdir()
    good = [
        f"2001-01-{day} {hour}:30:00 UTC;{did};sku-{hour};Cream {hour};acme;{hour}.5;{PERSON};b"
        for day in (15, 17)
        for hour, did in (("10", "looked"), ("10", "took"), ("11", "bought"), ("23", "looked"))
    ]
    (raw / "2001-01-15-a.csv").write_text("\n".join([HEADER, *good[:4]]) + "\n")
    (raw / "2001-01-17-a.csv").write_text(
        "\n".join([HEADER, *good[4:], good[4], good[4].replace("10.5", "free")]) + "\n"
    )
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))

    done = command(mapping, raw)
    problem, next_command = error(done)
    text = done.stdout
    assert f"source    cosmetics, {mapping}: The cosmetics shop" in text
    assert "drops     2 files of 2 days, 2001-01-15 to 2001-01-17; none for 2001-01-16" in text
    assert "10 gave 10 rows: 0 ignored, 7 kept, 3 rejected (30.0% of those not ignored)" in text
    assert "repeat an event_id: 1 kept row; a night keeps one of each" in text
    assert "raw columns that no expression names: basket" in text
    assert line(text, "user_id ") == ["user_id", "string", "100.0%", "customer", "aaaaaaaa-99"]
    assert line(text, "device_id ") == ["device_id", "string", "100.0%", "cookie", "aaaaaa-99"]
    assert line(text, "price ") == ["price", "double", "90.0%", "try_cast(cost AS DOUBLE)", "10.5 … 23.5"]
    assert line(text, "item_id ")[-1] == "sku-10 … sku-23"
    assert line(text, "campaign ") == ["campaign", "string", "0.0%"]
    assert line(text, "attributes.title ")[-1] == "Cream 10 … Cream 23"
    assert line(text, "attributes.contact ") == ["attributes.contact", "string", "100.0%"]
    assert line(text, "looked ") == ["looked", "view", "6"]
    assert line(text, "price_unreadable ") == ["price_unreadable", "2001-01-17-a.csv:7", "1"]
    # Half past eleven in London is tomorrow in Vienna: later than the drop can know.
    assert line(text, "from_the_future ") == ["from_the_future", "2001-01-15-a.csv:5", "2"]
    assert line(text, "time ") == ["time", "2001-01-15 10:30:00 to 2001-01-17 11:30:00 UTC"]
    assert "cut at midnight of Europe/Vienna, kept rows: 2001-01-15 3, 2001-01-17 4" in text
    assert "0 kept rows are of another day than their drop" in text
    assert line(text, "actors ")[1].startswith("1 user, 1 device; 0 kept rows without a user")
    assert "30.0% of the rows would be rejected, gate.max_quarantined_share allows 5.0%" in problem
    assert next_command == f"edit {mapping}, then make source-check SOURCE={mapping} RAW={raw}"
    for private in ("customer-77", "cookie-88", "x@y.example"):
        assert private not in done.stdout + done.stderr
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before, "it writes nothing"


@pytest.mark.spark
def test_a_log_that_a_night_would_take(tmp_path: Path) -> None:
    """Several kinds of files, fewer records than there are, and nothing to complain about: exit code 0."""
    (tmp_path / "yoochoose-clicks.dat").write_text(
        "".join(f"{n},2001-01-15T10:{n:02d}:00.000Z,item-{n},S\n" for n in range(1, 60))
    )
    (tmp_path / "yoochoose-buys.dat").write_text("7,2001-01-15T12:00:00.000Z,item-7,100,2\n")
    done = command("yoochoose", tmp_path, "--records", "20")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "drops     2 files, all days together" in done.stdout
    assert "sample    yoochoose-buys.dat, yoochoose-clicks.dat" in done.stdout
    assert (
        "records   12 gave 12 rows: 0 ignored, 12 kept, 0 rejected" in done.stdout
    )  # ten of each file, where it has them
    assert line(done.stdout, "clicks ") == ["clicks", "view", "11"]
    assert "rejected because" not in done.stdout


@pytest.mark.spark
def test_words_that_the_mapping_does_not_know(spark: SparkSession, capsys: pytest.CaptureFixture[str]) -> None:
    raw = FIXTURES / "segment"
    with pytest.raises(BadInput, match="1 row with words that neither \\[kinds\\] nor ignored names") as caught:
        check(load_source("segment"), raw, 100)
    text = capsys.readouterr().out
    assert line(text, "Level Reached ") == ["Level Reached", "UNKNOWN: rejected", "1"]
    assert line(text, "page ") == ["page", "ignored", "1"]
    assert line(text, "malformed ")[1] == "2001-01-15.jsonl:9"
    edit = "edit conf/sources/segment.toml, then make source-check SOURCE=segment"
    assert caught.value.next_command == f"{edit} RAW={raw}"


@pytest.mark.spark
def test_a_mapping_that_does_not_fit_the_log() -> None:
    problem, next_command = error(command("rees46", FIXTURES / "retailrocket"))
    assert "conf/sources/rees46.toml" in problem
    assert "`event_type` cannot be resolved" in problem
    assert next_command == "edit conf/sources/rees46.toml"


@pytest.mark.spark
def test_quotes_that_stay_open(spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "2001.csv").write_text(
        "event_time,event_type,product_id,category_id,category_code,brand,price,user_id,user_session\n"
        '2001-01-15 10:00:00 UTC,view,1,2,"two\nlines",acme,1.0,7,s\n'
    )
    with pytest.raises(BadInput, match="no record of the sample would be kept: malformed"):
        check(load_source("rees46"), tmp_path, 100)
    told = "open a quote and do not close it: 2 lines; a record must not have line breaks inside quotes"
    assert told in capsys.readouterr().out


@pytest.mark.parametrize(
    ("source", "raw", "more", "problem", "next_command"),
    [
        ("nowhere", "x", (), "no source mapping", "choose one of"),
        ("rees46", "", (), "RAW names no logs", "make source-check SOURCE=rees46 RAW=path"),
        ("rees46", "/nowhere", (), "no such file or folder: /nowhere", "ls -l /"),
        ("segment", str(FIXTURES / "otto"), (), "holds no drop {day}*.json*", "ls "),
        ("rees46", "x", ("--records", "many"), "SAMPLE=many is no number", "write SAMPLE=10000"),
    ],
)
def test_what_is_refused_before_spark_starts(
    source: str, raw: str, more: tuple[str, ...], problem: str, next_command: str
) -> None:
    said, then = error(command(source, raw, *more))
    assert problem in said
    assert then.startswith(next_command)


def test_drops_in_words() -> None:
    from datetime import date

    days = {date(2001, 1, day): [Path("x")] for day in (1, 2, 9)}
    missing = "2001-01-03, 2001-01-04, 2001-01-05, 2001-01-06, 2001-01-07 …"
    assert drops_text(dict(days)) == f"3 files of 3 days, 2001-01-01 to 2001-01-09; none for {missing}"
    assert drops_text({None: [Path("x")]}) == "1 file, all days together"
