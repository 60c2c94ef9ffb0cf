"""Raw drops: what a record is, when it landed, and what damaged input says."""

from __future__ import annotations

import gzip
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from nightjar.contracts import BadInput
from nightjar.prep.sources import mapped
from nightjar.settings import Source
from nightjar.stores.drops import spread
from nightjar.stores.raw import find_all_files, find_files, read_raw, reading, sample_raw

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

DAYS = [date(2001, 1, 14), date(2001, 1, 15), date(2001, 1, 16)]
HEADER = "id,when,who,what,note"


def source(**changes: Any) -> Source:
    columns = {
        "event_id": "id",
        "event_ts": "try_to_timestamp(when)",
        "user_id": "who",
        "kind": "what",
        "platform": "'web'",
    }
    fields = {
        "format": "csv",
        "layout": "daily",
        "pattern": "{day}.csv*",
        "events": columns,
        "kinds": {"looked": "view"},
    }
    return Source.model_validate({"name": "acme", "doc": "A shop.", "time_zone": "UTC", **fields, **changes})


JSONL = source(format="jsonl", pattern="{day}.jsonl*", fields={"id": "STRING", "n": "INT", "who": "STRUCT<id: STRING>"})


def drop(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    content = text.encode(encoding)
    packed = {".gz": gzip.compress, ".zst": zstd}.get(Path(name).suffix, bytes)(content)
    (folder / name).write_bytes(packed)
    return folder / name


def zstd(content: bytes) -> bytes:
    packed = pa.BufferOutputStream()
    with pa.CompressedOutputStream(packed, "zstd") as stream:
        stream.write(content)
    return bytes(packed.getvalue())


def read(spark: SparkSession, of: Source, folder: Path) -> DataFrame:
    return read_raw(spark, of, find_files(of, folder, DAYS))


def refused(spark: SparkSession, of: Source, folder: Path, *words: str) -> str:
    """Reading fails as bad data, in words; returns the next command."""
    with pytest.raises(BadInput) as caught, reading(of):
        read(spark, of, folder).collect()
    assert not [word for word in words if word not in caught.value.problem], caught.value.problem
    return caught.value.next_command


# -- which files


def test_daily_files_are_found_by_their_day(tmp_path: Path) -> None:
    for name in ("2001-01-14.csv", "2001-01-15.csv", "2001-01-15.csv.gz", "2001-01-17.csv", "notes.txt"):
        drop(tmp_path, name, HEADER)
    found = find_files(source(), tmp_path, DAYS)
    assert {day: [path.name for path in paths] for day, paths in found.items()} == {
        DAYS[0]: ["2001-01-14.csv"],
        DAYS[1]: ["2001-01-15.csv", "2001-01-15.csv.gz"],
        DAYS[2]: [],  # a closed day is no error
    }


def test_a_single_file_or_a_folder_of_them(tmp_path: Path) -> None:
    single = source(layout="single", pattern="*.csv*")
    one = drop(tmp_path, "b.csv.gz", HEADER)
    two = drop(tmp_path, "a.csv", HEADER)
    (tmp_path / "c.csv").mkdir()
    assert find_files(single, one, DAYS) == {None: [one]}
    assert find_files(single, tmp_path, DAYS) == {None: [two, one]}


def test_missing_files_folders_and_days(tmp_path: Path) -> None:
    drop(tmp_path, "2001-02-01.csv", HEADER)
    for of, raw, words in (
        (source(), tmp_path / "nowhere", "no such file or folder: .*nowhere"),
        (source(), tmp_path / "2001-02-01.csv", "is no folder"),
        (source(), tmp_path, r"no drop \{day\}.csv\* for 2001-01-14 to 2001-01-16"),
        (source(layout="single", pattern="*.json"), tmp_path, r"holds no file like \*.json"),
    ):
        with pytest.raises(BadInput, match=words) as caught:
            find_files(of, raw, DAYS)
        assert caught.value.next_command


def test_days_in_other_spellings_and_every_day_there_is(tmp_path: Path) -> None:
    compact = source(pattern="{yyyy}/events_{yyyy}{mm}{dd}*.csv")
    for name in ("events_20010115.csv", "events_20010115_2.csv", "events_20010116.csv", "events_20010230.csv", "x.csv"):
        drop(tmp_path / "2001", name, HEADER)
    assert {
        day: [path.name for path in paths] for day, paths in find_files(compact, tmp_path, DAYS).items() if paths
    } == {
        DAYS[1]: ["events_20010115.csv", "events_20010115_2.csv"],
        DAYS[2]: ["events_20010116.csv"],
    }
    assert list(find_all_files(compact, tmp_path)) == DAYS[1:], "30 February is no day, x.csv no drop"
    with pytest.raises(BadInput, match=r"holds no drop \{day\}.csv\*"):
        find_all_files(source(), tmp_path)


def test_a_sample_takes_the_first_the_last_and_what_lies_between(tmp_path: Path) -> None:
    for day in range(1, 32):
        drop(tmp_path, f"2001-01-{day:02d}.csv", HEADER if day != 31 else "")
    found = find_all_files(source(), tmp_path)

    def days(per_part: int) -> list[int]:
        return [day.day for day in spread(source(), found, per_part) if day]

    assert (days(1), days(2), days(3)) == ([1], [1, 30], [1, 15, 30]), "31 January is empty"
    assert len(days(99)) == 30


# -- records


@pytest.mark.spark
def test_csv_of_several_drops(spark: SparkSession, tmp_path: Path) -> None:
    folder = tmp_path / "raw drops [2001] ü"  # a name that Spark must not read as a pattern
    drop(
        folder,
        "2001-01-14.csv",
        f'{HEADER}\r\n1,t,ann,looked,plain\r\n2,t,ann,looked,"a, b ""c"""\r\n\r\n',
        "utf-8-sig",
    )
    drop(
        folder,
        "2001-01-15.csv.gz",
        f'{HEADER}\n3,t,"",looked,李雷\n4,t,bob\n5,t,bob,looked,x,y\n6,t,bob,looked,"open\n',
    )
    drop(folder, "2001-01-16.csv", f"{HEADER}\n")
    found = read(spark, source(), folder).orderBy("id").collect()
    assert [row["id"] for row in found] == ["1", "2", "3", "4", "5", "6"]
    assert [row["landed"].day for row in found] == [14, 14, 15, 15, 15, 15]
    assert [row["note"] for row in found[:3]] == ["plain", 'a, b "c"', "李雷"]
    assert [row["raw"] for row in found] == [
        "1,t,ann,looked,plain",
        '2,t,ann,looked,"a, b ""c"""',
        '3,t,"",looked,李雷',
        "4,t,bob",
        "5,t,bob,looked,x,y",
        '6,t,bob,looked,"open',
    ]
    corrupt = {row["id"]: row["_corrupt_record"] is not None for row in found}
    assert (corrupt["1"], corrupt["2"], corrupt["3"], corrupt["4"], corrupt["5"]) == (False, False, False, True, True)


@pytest.mark.spark
def test_other_delimiters_and_single_files_without_a_drop_day(spark: SparkSession, tmp_path: Path) -> None:
    path = drop(tmp_path, "all.csv", '"id"|"two words"\n1|a,b\n2|"c|d"\n')
    single = source(layout="single", delimiter="|")
    found = read_raw(spark, single, find_files(single, path, DAYS)).orderBy("id").collect()
    assert [(row["id"], row["two words"], row["landed"]) for row in found] == [("1", "a,b", None), ("2", "c|d", None)]


@pytest.mark.spark
def test_json_lines_keep_corrupt_ones(spark: SparkSession, tmp_path: Path) -> None:
    lines = [
        '{"id": "1", "n": 3, "who": {"id": "ann"}, "more": [1]}',
        '{"id": 2}',
        '{"id": "3", "n": "three"}',
        "{broken",
        "[1]",
        "no json",
        "",
    ]
    drop(tmp_path, "2001-01-15.jsonl.gz", "\r\n".join(lines))
    drop(tmp_path, "2001-01-16.jsonl", '{"id": "late"}\n')
    found = {row["raw"]: row for row in read(spark, JSONL, tmp_path).collect()}
    assert set(found) == {*lines[:-1], '{"id": "late"}'} | ({""} & set(found))
    assert (found[lines[0]]["id"], found[lines[0]]["n"], found[lines[0]]["who"]["id"]) == ("1", 3, "ann")
    assert found[lines[1]]["id"] == "2"
    assert [found[line]["_corrupt_record"] is None for line in lines[:6]] == [True, True, False, False, False, False]
    assert (found[lines[3]]["landed"], found['{"id": "late"}']["landed"]) == (DAYS[1], DAYS[2])


@pytest.mark.spark
@pytest.mark.parametrize("ending", ["", ".gz", ".zst"])
def test_text_comes_plain_and_packed(spark: SparkSession, tmp_path: Path, ending: str) -> None:
    drop(tmp_path, f"2001-01-15.csv{ending}", f"{HEADER}\n1,t,ann,looked,李雷\n2,t,bob,looked,\n")
    drop(tmp_path, f"2001-01-15.jsonl{ending}", '{"id": "1", "n": 3}\n{"id": "2"}\n')
    drop(tmp_path, f"2001-01-15.log{ending}", "1 ann\n2 bob\n")
    log = source(format="lines", pattern="{day}.log*", regex=r"(?<id>\d) (?<who>\w+)")
    for of, cells in ((source(), ["1", "李雷"]), (JSONL, ["1", 3]), (log, ["1", "ann"])):
        rows = read(spark, of, tmp_path).orderBy("id").collect()
        assert [row["id"] for row in rows] == ["1", "2"], of.format
        assert [rows[0]["id"], rows[0][{"csv": "note", "jsonl": "n", "lines": "who"}[of.format]]] == cells
        assert [row["_corrupt_record"] for row in rows] == [None, None]


@pytest.mark.spark
def test_zstd_of_several_frames(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "2001-01-15.csv.zst").write_bytes(zstd(f"{HEADER}\n1,t,ann,looked,a\n".encode()) + zstd(b"2,t,b,c,d\n"))
    assert sorted(row["id"] for row in read(spark, source(), tmp_path).collect()) == ["1", "2"]


@pytest.mark.spark
@pytest.mark.parametrize("codec", ["none", "gzip", "zstd", "snappy"])
def test_parquet_in_any_codec(spark: SparkSession, tmp_path: Path, codec: str) -> None:
    pq.write_table(pa.table({"id": ["1"]}), tmp_path / "2001-01-15.parquet", compression=codec)
    (row,) = read(spark, source(format="parquet", pattern="{day}.parquet"), tmp_path).collect()
    assert (row["id"], row["landed"]) == ("1", DAYS[1])


@pytest.mark.spark
def test_csv_without_a_header(spark: SparkSession, tmp_path: Path) -> None:
    drop(tmp_path, "2001-01-15.csv", "\ufeffid,who\n1,ann\n2\n1,ann,x\n")
    rows = read(spark, source(columns=["id", "who"]), tmp_path).collect()
    assert [(row["id"], row["who"], row["_corrupt_record"] is None) for row in rows] == [
        ("id", "who", True),  # nothing is taken for a header
        ("1", "ann", True),
        ("2", None, False),
        ("1", "ann", False),
    ]


@pytest.mark.spark
def test_quotes_that_quote_nothing(spark: SparkSession, tmp_path: Path) -> None:
    drop(tmp_path, "2001-01-15.csv", 'id\tnote\n1\t"a" b\n2\t"open\n3\tback\\slash\n')
    rows = read(spark, source(delimiter="\t", quote=""), tmp_path).orderBy("id").collect()
    assert [row["note"] for row in rows] == ['"a" b', '"open', "back\\slash"]
    assert {row["_corrupt_record"] for row in rows} == {None}


@pytest.mark.spark
def test_columns_that_some_drops_lack(spark: SparkSession, tmp_path: Path) -> None:
    drop(tmp_path, "2001-01-14.csv", "id,who\n1,ann\n")
    drop(tmp_path, "2001-01-15.csv", "who,coupon,id\nbob,TEN,2\n")
    of = source(fields={"coupon": "STRING", "channel": "STRING"})
    rows = read(spark, of, tmp_path).orderBy("id").collect()
    assert [(row["id"], row["who"], row["coupon"], row["channel"]) for row in rows] == [
        ("1", "ann", None, None),
        ("2", "bob", "TEN", None),
    ]
    assert [row["raw"] for row in rows] == ["1,ann", "bob,TEN,2"]
    refused(spark, source(), tmp_path, "2001-01-15.csv begins with another header than 2001-01-14.csv")


@pytest.mark.spark
def test_parquet_that_lacks_a_column(spark: SparkSession, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["1"]}), tmp_path / "2001-01-15.parquet")
    of = source(format="parquet", pattern="{day}.parquet", fields={"id": "INT", "lines": "ARRAY<STRUCT<sku: STRING>>"})
    (row,) = read(spark, of, tmp_path).collect()
    assert (row["id"], row["lines"], row["raw"]) == ("1", None, '{"id":"1"}')


@pytest.mark.spark
def test_raw_columns_named_like_ours(spark: SparkSession, tmp_path: Path) -> None:
    drop(tmp_path, "2001-01-15.csv", "id,Raw,landed,part\n1,rare,today,all\n")
    (row,) = read(spark, source(), tmp_path).collect()
    assert (row["raw"], row["landed"]) == ("1,rare,today,all", DAYS[1])
    assert (row["Raw_"], row["landed_"], row["part_"]) == ("rare", "today", "all")


@pytest.mark.spark
def test_lines_by_a_regular_expression(spark: SparkSession, tmp_path: Path) -> None:
    regex = r'(?<who>\S+) (?:via )?(?<what>\w+)(?: "(?<note>[^"]*)")?'
    lines = [
        'ann looked "a $1 \\ b"',
        "bob via bought",
        'eve looked ""',
        "no",
        "\x02ann\x01looked\x01",
        "ann loo\x01ked",
    ]
    drop(tmp_path, "2001-01-15.log", "\n".join([*lines, "", "  "]))
    rows = read(spark, source(format="lines", pattern="{day}.log", regex=regex), tmp_path).collect()
    assert [row["raw"] for row in rows] == lines
    assert [(row["who"], row["what"], row["note"], row["_corrupt_record"]) for row in rows] == [
        ("ann", "looked", "a $1 \\ b", None),
        ("bob", "bought", None, None),
        ("eve", "looked", None, None),
        *((None, None, None, line) for line in lines[3:]),
    ]


@pytest.mark.spark
def test_a_regular_expression_that_is_none(spark: SparkSession, tmp_path: Path) -> None:
    drop(tmp_path, "2001-01-15.log", "ann looked\n")
    broken = source(format="lines", pattern="{day}.log", regex="(?<who>[)")
    assert "acme.toml" in refused(spark, broken, tmp_path, "regular expression")


TWO = {
    "parts": {
        "clicks": {"pattern": "{day}-clicks.csv", "columns": ["id", "who"]},
        "orders": {"pattern": "{day}*.csv", "fields": {"total": "STRING"}},
    }
}


@pytest.mark.spark
def test_parts_are_read_each_in_its_way_and_put_together(spark: SparkSession, tmp_path: Path) -> None:
    drop(tmp_path, "2001-01-14-clicks.csv", "1,ann\n")
    drop(tmp_path, "2001-01-15-clicks.csv", "2,ann\n")
    drop(tmp_path, "2001-01-15.csv", "id,total,extra\n3,9.5,x\n")
    drop(tmp_path, "2001-01-16.csv", "")  # nobody bought anything
    rows = read(spark, source(**TWO), tmp_path).orderBy("id").collect()
    assert [(row["part"], row["id"], row["who"], row["total"], row["landed"]) for row in rows] == [
        ("clicks", "1", "ann", None, DAYS[0]),
        ("clicks", "2", "ann", None, DAYS[1]),
        ("orders", "3", None, "9.5", DAYS[1]),
    ]
    assert rows[2]["extra"] == "x"
    (tmp_path / "2001-01-15.csv").unlink()
    (tmp_path / "2001-01-16.csv").unlink()
    assert {row["total"] for row in read(spark, source(**TWO), tmp_path).collect()} == {None}


def test_a_file_of_no_part_is_refused(tmp_path: Path) -> None:
    single = source(**TWO, layout="single")
    path = drop(tmp_path, "notes.txt", "x")
    with pytest.raises(BadInput, match=r"notes.txt is like none of \{day\}-clicks.csv or"):
        read_raw(None, single, find_files(single, path, DAYS))  # type: ignore[arg-type]


@pytest.mark.spark
def test_a_sample_says_where_each_record_stands(spark: SparkSession, tmp_path: Path) -> None:
    drop(tmp_path, "2001-01-14.csv", f"{HEADER}\n1,t,ann,looked,\n\n2,t,ann,looked,\n3,t,ann,looked,\n")
    drop(tmp_path, "2001-01-15.csv.zst", f"{HEADER}\r\n4,t,ann,looked,\r\n")
    rows = sample_raw(spark, source(), find_all_files(source(), tmp_path), 3).orderBy("id").collect()
    assert [(row["id"], row["_place"], row["landed"], row["raw"]) for row in rows] == [
        ("1", "2001-01-14.csv:2", DAYS[0], "1,t,ann,looked,"),
        ("2", "2001-01-14.csv:4", DAYS[0], "2,t,ann,looked,"),
        ("4", "2001-01-15.csv.zst:2", DAYS[1], "4,t,ann,looked,"),
    ]
    pq.write_table(pa.table({"id": ["1", "2", "3"]}), tmp_path / "2001-01-16.parquet")
    table = source(format="parquet", pattern="{day}.parquet")
    rows = sample_raw(spark, table, find_all_files(table, tmp_path), 2).orderBy("id").collect()
    assert [(row["id"], row["_place"], row["landed"]) for row in rows] == [
        ("1", "2001-01-16.parquet:1", DAYS[2]),
        ("2", "2001-01-16.parquet:2", DAYS[2]),
    ]


@pytest.mark.spark
def test_parquet_keeps_its_types(spark: SparkSession, tmp_path: Path) -> None:
    rows = pa.table({"id": ["1", None], "n": pa.array([3, None], pa.int64())})
    pq.write_table(rows, tmp_path / "shop events-2001-01-15.parquet")
    of = source(format="parquet", pattern="shop events-{day}.parquet")
    found = read(spark, of, tmp_path).orderBy("n").collect()
    assert [(row["id"], row["n"], row["landed"], row["_corrupt_record"]) for row in found] == [
        (None, None, DAYS[1], None),
        ("1", 3, DAYS[1], None),
    ]
    assert found[1]["raw"] == '{"id":"1","n":3}'


@pytest.mark.spark
def test_columns_that_differ_from_ours_in_case_only(spark: SparkSession, tmp_path: Path) -> None:
    """Spark's names have no case: the raw column must not shadow the mapped one."""
    drop(tmp_path, "2001-01-15.csv", "Event_ID,Quantity,Extra\na,-3,x\n")
    of = source(
        events={
            **source().events,
            "event_id": "Event_ID",
            "quantity": "abs(try_cast(Quantity AS INT))",
            "event_ts": "null",
            "user_id": "'u'",
            "kind": "'looked'",
        }
    )
    rows = mapped(read(spark, of, tmp_path), of)
    (row,) = rows.select("event_id", "quantity", "Extra").collect()
    assert tuple(row) == ("a", 3, "x")


# -- damage


@pytest.mark.spark
def test_headers_must_agree_and_hold_the_delimiter(spark: SparkSession, tmp_path: Path) -> None:
    drop(tmp_path, "2001-01-14.csv", f"{HEADER}\n")
    drop(tmp_path, "2001-01-15.csv", "id;when;who;what;note\n")
    assert "zcat -f" in refused(spark, source(), tmp_path, "2001-01-15.csv", "another header than 2001-01-14.csv")
    (tmp_path / "2001-01-14.csv").unlink()
    assert "conf/sources/acme.toml" in refused(
        spark, source(), tmp_path, "2001-01-15.csv", "no delimiter ','", "id;when"
    )


@pytest.mark.spark
def test_truncated_and_damaged_gzip_names_the_file_and_gzip(spark: SparkSession, tmp_path: Path) -> None:
    long = gzip.compress(
        "".join(f"{n},t,p{n * 7919 % 9973},looked,{n * n}\n" for n in range(20000)).join((HEADER + "\n", "")).encode()
    )
    header = gzip.compress(f"{HEADER}\n".encode())
    flipped = bytearray(long)
    flipped[20:40] = b"\0" * 20
    cases = {
        "end": long[: len(long) // 2],
        "header": header[: len(header) // 2],
        "magic": b"id,when\n1,2\n",
        "flipped": bytes(flipped),
        "nothing": b"",
        "crc": long[:-8] + bytes(8),
    }
    for name, content in cases.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "2001-01-15.csv.gz").write_bytes(content)
        if name == "nothing":
            refused(spark, source(), folder, "2001-01-15.csv.gz")
        else:
            assert "gzip -t" in refused(spark, source(), folder, "2001-01-15.csv.gz"), name


@pytest.mark.spark
def test_truncated_and_damaged_zstd_names_the_file_and_zstd(spark: SparkSession, tmp_path: Path) -> None:
    # Incompressible enough that half of the file is more than one block.
    lines = "".join(f"{n},t,p{n * 7919 % 9973},looked,{n * n * 31 % 99991}\n" for n in range(60000))
    whole = zstd(f"{HEADER}\n{lines}".encode())
    for name, content in {"end": whole[: len(whole) // 2], "few": whole[:-3], "magic": b"id,when\n1,2\n"}.items():
        folder = tmp_path / name
        folder.mkdir()
        (folder / "2001-01-15.csv.zst").write_bytes(content)
        assert "zstd -t" in refused(spark, source(), folder, "2001-01-15.csv.zst"), name


@pytest.mark.spark
def test_files_that_cannot_be_opened_or_decoded(spark: SparkSession, tmp_path: Path) -> None:
    (tmp_path / "a" / "2001-01-15.csv").mkdir(parents=True)
    assert "ls -l" in refused(spark, source(), tmp_path / "a", "cannot read", "2001-01-15.csv")
    drop(tmp_path / "b", "2001-01-15.csv", f"{HEADER}\n", "utf-16")
    refused(spark, source(), tmp_path / "b", "2001-01-15.csv")
    drop(tmp_path / "c", "2001-01-15.csv", "no Parquet")
    refused(spark, source(format="parquet"), tmp_path / "c", "2001-01-15.csv")


@pytest.mark.spark
@pytest.mark.parametrize(
    ("column", "sql", "word"),
    [
        ("user_id", "customer", "customer"),
        ("price", "try_cast(", "try_cast("),
        ("price", "no_such_function(id)", "no_such_function"),
        ("price", "cast(note AS DOUBLE)", "CAST_INVALID_INPUT"),  # a dirty cell must not look like a broken machine
        ("event_ts", "to_timestamp(note, 'yyyy-MM-dd')", "CANNOT_PARSE_TIMESTAMP"),
    ],
)
def test_a_mapping_that_does_not_fit_names_its_file(
    spark: SparkSession, tmp_path: Path, column: str, sql: str, word: str
) -> None:
    drop(tmp_path, "2001-01-15.csv", f"{HEADER}\n1,t,ann,looked,free\n")
    of = source(events={**source().events, column: sql})
    with pytest.raises(BadInput, match=r"conf/sources/acme\.toml") as caught, reading(of):
        mapped(read(spark, of, tmp_path), of).collect()
    assert word in caught.value.problem
    assert "free" not in str(caught.value), "a cell may be somebody's id"
    assert "conf/sources/acme.toml" in caught.value.next_command


@pytest.mark.spark
def test_a_failure_that_is_nobodys_mapping_passes(spark: SparkSession) -> None:
    with pytest.raises(ZeroDivisionError), reading(source()):
        raise ZeroDivisionError
