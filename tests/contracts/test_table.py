"""What partitions and tables accept and refuse, and what importing them costs."""

from __future__ import annotations

import argparse
import subprocess
import sys
from datetime import date
from itertools import pairwise

import pytest

from nightjar.contracts import (
    ITEM_KINDS,
    MARTS,
    SEQUENCES,
    SESSIONS,
    TABLES,
    BadInput,
    Column,
    GateFailed,
    Kind,
    Partition,
    Platform,
    Ratio,
    Table,
)
from nightjar.settings import repository

NIGHT = Partition("acme", "events", date(2001, 1, 15))


def test_a_partition_prints_and_parses_as_one_path() -> None:
    assert str(NIGHT) == "acme/events/dt=2001-01-15"
    assert Partition.parse("acme/events/dt=2001-01-15") == NIGHT
    assert Partition.parse("a/b_2/dt=2000-02-29") == Partition("a", "b_2", date(2000, 2, 29))


def test_partitions_of_one_night_are_found_from_each_other() -> None:
    assert str(NIGHT.of(SESSIONS)) == "acme/sessions/dt=2001-01-15"
    assert str(NIGHT.on(date(2001, 1, 9))) == "acme/events/dt=2001-01-09"
    assert SESSIONS.at("acme", NIGHT.day) == NIGHT.of(SESSIONS)


def test_partitions_sort_by_shop_table_day() -> None:
    specs = [
        "acme/events/dt=2001-01-15",
        "acme/events/dt=2001-02-01",
        "acme/items/dt=2001-01-01",
        "b/events/dt=2000-01-01",
    ]
    assert [str(p) for p in sorted(map(Partition.parse, reversed(specs)))] == specs


@pytest.mark.parametrize(
    "spec",
    [
        "",
        "events",
        "acme/events",
        "acme/events/2001-01-15",
        "acme/events/dt=",
        "acme/events/dt=2001-1-5",
        "acme/events/dt=2001-02-29",
        "acme/events/dt=20010115",  # ISO-8601 too, but two spellings of one partition would be two files
        "acme/events/dt=2001-W03-1",
        "acme/events/dt=2001-01-15/",
        "acme/events/dt=2001-01-15 ",
        "acme/events/dt=2001-01-15/part-0",
        "/acme/events/dt=2001-01-15",
        "../acme/events/dt=2001-01-15",
        "../events/dt=2001-01-15",
        "Acme/events/dt=2001-01-15",
        "acme-1/events/dt=2001-01-15",
        "1acme/events/dt=2001-01-15",
        "_acme/events/dt=2001-01-15",
        "acme\n/events/dt=2001-01-15",
        "acme/events;drop/dt=2001-01-15",
        "ácme/events/dt=2001-01-15",
        "a" * 64 + "/events/dt=2001-01-15",
    ],
)
def test_anything_else_is_no_partition(spec: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        Partition.parse(spec)


def test_argparse_takes_parse_as_a_type(capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--events", type=Partition.parse)
    assert parser.parse_args(["--events", str(NIGHT)]).events == NIGHT
    with pytest.raises(SystemExit):
        parser.parse_args(["--events", "acme/events"])
    assert "acme/events" in capsys.readouterr().err


def test_a_misspelt_key_or_type_fails_when_the_table_is_written() -> None:
    with pytest.raises(ValueError, match="unknown type varchar"):
        Column("a", "varchar", "A.")
    with pytest.raises(ValueError, match="no such column: b"):
        Table("t", "T.", (Column("a", "int", "A."),), key=("b",), order=("a",))
    column = Column("a", "int", "A.")
    with pytest.raises(ValueError, match="ratio r has no such column: b"):
        Table("t", "T.", (column,), key=("a",), order=("a",), ratios=(Ratio("r", "a", ("a", "b"), "R.", "0 to 1"),))
    with pytest.raises(KeyError, match="no column nothing"):
        SESSIONS.column("nothing")


@pytest.mark.parametrize("table", TABLES.values(), ids=list(TABLES))
def test_every_table_keeps_the_house_rules(table: Table) -> None:
    names = (*table.names, *(ratio.name for ratio in table.ratios))
    assert len(set(names)) == len(names)
    assert all(column.doc.endswith(".") for column in table.columns if column.doc[-1] != ")")
    assert all(ratio.doc.endswith(".") and ratio.unit for ratio in table.ratios)
    # An order is total when it ends in something unique: the key, or the vocabulary's index.
    unique = ("item_index",) if table.name == "vocabulary" else table.key
    assert set(unique) <= set(table.order)
    assert not any(table.column(name).nullable for name in (*table.key, *table.order))
    if table.name != "users":
        assert table.column("dt").type == "date"


def test_analysis_tables_name_nobody() -> None:
    identifiers = {"user_id", "visitor_id", "device_id", "person_id", "member_id", "session_id", "event_id", "order_id"}
    for table in MARTS:
        assert not identifiers & set(table.names)
        assert table.names[0] == "dt"


def test_codes_are_positions_that_never_move() -> None:
    kinds = ["view", "search", "cart", "purchase", "return", "review", "coupon", "click", "impression", "uncart"]
    kinds += ["favourite", "cancel"]
    assert {kind.value: kind.code for kind in Kind} == {name: place for place, name in enumerate(kinds, 1)}
    platforms = {"web": 1, "app": 2, "mini_program": 3, "email": 4, "store": 5, "other": 6}
    assert {platform.value: platform.code for platform in Platform} == platforms
    assert set(Kind) - set(ITEM_KINDS) == {Kind.SEARCH, Kind.COUPON, Kind.CLICK, Kind.IMPRESSION, Kind.CANCEL}


def test_parallel_arrays_stand_together() -> None:
    arrays = [column.name for column in SEQUENCES.columns if column.type.startswith("array")]
    places = [SEQUENCES.names.index(name) for name in arrays]
    assert len(arrays) == 7
    assert all(after == before + 1 for before, after in pairwise(places))


def test_errors_end_with_what_to_do() -> None:
    assert str(BadInput("no file x", "ls -l x")) == "no file x\n  next: ls -l x"
    failed = GateFailed("acme/events/dt=2001-01-15", ["volume: observed 9", "nulls: observed 1"], "look")
    assert isinstance(failed, BadInput)
    assert str(failed) == (
        "gate stopped acme/events/dt=2001-01-15: failed expectation volume: observed 9; nulls: observed 1\n  next: look"
    )


def test_contracts_need_the_standard_library_only() -> None:
    """In an interpreter without site-packages: the scheduler has none of the jobs' packages."""
    script = (
        f"import sys; sys.path.insert(0, {str(repository() / 'src')!r})\n"
        "from nightjar.contracts import TABLES\n"
        "from nightjar.contracts.render import dictionary, spark_ddl, warehouse_ddl\n"
        "dictionary(TABLES), [spark_ddl(t) for t in TABLES.values()], warehouse_ddl(TABLES['sessions'], 'postgres')\n"
        "ours = {name.split('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(sorted(ours - {'__main__'}))\n"
    )
    done = subprocess.run([sys.executable, "-I", "-S", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['nightjar']"
