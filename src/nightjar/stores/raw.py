"""The records of raw drops as a DataFrame of text columns."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from nightjar.contracts import BadInput
from nightjar.settings import RESERVED, Files, Source
from nightjar.stores.drops import (
    YEAR_TO_DAY,
    check_readable,
    find_all_files,
    find_files,
    first_line,
    head,
    part_of,
    unpack_test,
)

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

__all__ = ["find_all_files", "find_files", "read_raw", "reading", "sample_raw"]

#: Spark puts what it cannot parse here; nothing else fills it.
CORRUPT = "_corrupt_record"

_MARK, _SEPARATOR = "\x02", "\x01"  # servers write control characters escaped, so that no line holds them


def read_raw(spark: SparkSession, source: Source, files: dict[date | None, list[Path]]) -> DataFrame:
    """Every record of the files: the source's columns, `raw` (the record as it came), `landed`, `_corrupt_record`.

    `landed` is null for layout single: such a file says nothing about when its rows arrived. A source
    with parts has the column `part`, and every part's columns: null where a record's part lacks them.
    `_form` is what `read_again` needs besides the record itself.

    Raises:
        BadInput: a file that cannot be opened, a header that differs between files, a wrong delimiter.
    """
    return _records(source, [path for some in files.values() for path in some], _Whole(spark, source))


def sample_raw(
    spark: SparkSession, source: Source, files: dict[date | None, list[Path]], records_per_file: int
) -> DataFrame:
    """`read_raw` of the first records of each file, with the column `_place`: `name:line`, or `name:row` of Parquet.

    Raises:
        BadInput: as `read_raw`.
    """
    days = {path: day for day, paths in files.items() for path in paths}
    return _records(source, list(days), _Head(spark, source, days, records_per_file))


@dataclass(frozen=True)
class _Whole:
    """Files as Spark reads them: `landed`, and `value` (text) or the columns (Parquet)."""

    spark: SparkSession
    source: Source

    def lines(self, files: Files, paths: list[Path]) -> DataFrame:
        return self.spark.read.text(_literal(paths)).select(_landed(self.source, files).alias("landed"), "value")

    def table(self, files: Files, paths: list[Path]) -> DataFrame:
        frame = self.spark.read.parquet(*_literal(paths))
        return frame.select(_landed(self.source, files).alias("landed"), "*")


@dataclass(frozen=True)
class _Head:
    """The first records of each file, and where they stand: `landed`, `_place`, then as `_Whole`."""

    spark: SparkSession
    source: Source
    days: dict[Path, date | None]
    num_records: int

    def lines(self, files: Files, paths: list[Path]) -> DataFrame:
        # One more than asked for: a header is no record.
        found = [(path, *line) for path in paths for line in head(path, self.num_records + 1)]
        rows = [(self.days[path], f"{path.name}:{number}", text) for path, number, text in found]
        return self.spark.createDataFrame(rows, "landed DATE, _place STRING, value STRING")

    def table(self, files: Files, paths: list[Path]) -> DataFrame:
        from pyspark.sql import functions as F

        place = F.concat_ws(":", "_metadata.file_name", F.col("_metadata.row_index") + 1).alias("_place")
        frames = [
            self.spark.read.parquet(*_literal([path]))
            .select(F.lit(self.days[path]).cast("date").alias("landed"), place, "*")
            .limit(self.num_records)
            for path in paths
        ]
        return _together(frames)


def read_again(spark: SparkSession, source: Source, records: DataFrame) -> DataFrame:
    """`read_raw` of records that were read before.

    Args:
        records: `landed`, `part` (null in a source without parts), `_form`, and `value`, the record as it came.

    Raises:
        BadInput: records of a part that the mapping no longer has.
    """
    from pyspark.sql import functions as F

    kinds = records.select("part", "_form").distinct().orderBy("part", "_form").collect()
    frames = []
    for part, form in kinds:
        files = source.files.get(part or "")
        if files is None:
            raise BadInput(f"records of part {part}, which {source.mapping} does not have", f"edit {source.mapping}")
        lines = records.where(F.col("part").eqNullSafe(F.lit(part)) & F.col("_form").eqNullSafe(F.lit(form)))
        frame = _reread(lines.select("landed", "value"), files, form).withColumn("_form", F.lit(form))
        frames.append(frame.withColumn("part", F.lit(part)) if source.parts else frame)
    return _with_absent(_together(frames), _known(source))


def _reread(lines: DataFrame, files: Files, form: str | None) -> DataFrame:
    from pyspark.sql import functions as F

    if files.format == "parquet":
        parsed = F.from_json("value", str(form))
        columns = F.inline(F.array(parsed))
        return lines.select("landed", F.col("value").alias("raw"), columns).withColumn(
            CORRUPT, F.lit(None).cast("string")
        )
    if files.format == "jsonl":
        return _parse_json(lines, files)
    if files.format == "lines":
        return _parse_lines(lines, files)
    names = list(files.columns) if form is None else next(iter(_split(form, files)))
    return _parse_csv(lines, files, names, None)


def _known(source: Source) -> dict[str, str]:
    return {name: kind for files in source.files.values() for name, kind in files.known.items()}


def _records(source: Source, paths: list[Path], content: _Whole | _Head) -> DataFrame:
    from pyspark.sql import functions as F

    for path in paths:
        check_readable(path)
    frames = []
    for part, files in source.files.items():
        mine = [path for path in paths if part_of(source, path) == part]
        for frame in _read(source, files, mine, content) if mine else ():
            frames.append(frame.withColumn("part", F.lit(part)) if source.parts else frame)
    if not frames:
        raise BadInput(f"{paths[0].name} is empty, and so is every other drop", f"ls -l {paths[0].parent}")
    return _with_absent(_together(frames), _known(source))


def _read(source: Source, files: Files, paths: list[Path], content: _Whole | _Head) -> Iterator[DataFrame]:
    from pyspark.sql import functions as F

    plain = F.lit(None).cast("string")
    if files.format == "parquet":
        yield _read_parquet(content.table(files, paths))
    elif files.format == "jsonl":
        yield _parse_json(content.lines(files, paths), files).withColumn("_form", plain)
    elif files.format == "lines":
        yield _parse_lines(content.lines(files, paths), files).withColumn("_form", plain)
    else:
        for header, names, some in _by_header(source, files, paths):
            form = F.lit(header) if header else plain
            yield _parse_csv(content.lines(files, some), files, names, header).withColumn("_form", form)


def _together(frames: list[DataFrame]) -> DataFrame:
    return reduce(lambda one, other: one.unionByName(other, allowMissingColumns=True), frames)


def _with_absent(frame: DataFrame, known: dict[str, str]) -> DataFrame:
    """Add the columns that the mapping knows and no file has, as nulls."""
    from pyspark.sql import functions as F

    there = {name.lower() for name in frame.columns}
    absent = {name: kind for name, kind in known.items() if _free(name).lower() not in there}
    return frame.withColumns({_free(name): F.lit(None).cast(kind) for name, kind in absent.items()})


def _free(name: str) -> str:
    """A raw column's name where it is not one of ours."""
    return f"{name}_" if name.lower() in RESERVED else name


def _literal(paths: list[Path]) -> list[str]:
    """Paths that Spark takes as they are, though it would read brackets as patterns."""
    return [re.sub(r"([\\\[\]{}*?])", r"\\\1", str(path)) for path in paths]


def _read_parquet(frame: DataFrame) -> DataFrame:
    from pyspark.sql import functions as F

    ours = [name for name in ("landed", "_place") if name in frame.columns]
    columns = [F.col(f"`{name}`").alias(_free(name)) for name in frame.columns if name not in ours]
    record = frame.select(*columns).schema.toDDL()
    return frame.select(
        *ours,
        F.to_json(F.struct(*columns)).alias("raw"),
        *columns,
        F.lit(None).cast("string").alias(CORRUPT),
        F.lit(record).alias("_form"),
    )


def _parse_json(lines: DataFrame, files: Files) -> DataFrame:
    from pyspark.sql import functions as F

    schema = ", ".join([*(f"`{name}` {kind}" for name, kind in files.fields.items()), f"{CORRUPT} STRING"])
    parsed = F.from_json("value", schema, {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": CORRUPT})
    return _spread(lines, parsed, list(files.fields))


def _parse_csv(lines: DataFrame, files: Files, names: list[str], header: str | None) -> DataFrame:
    """CSV by lines: the raw record stays what it was, at the price of no line breaks inside quotes."""
    from pyspark.sql import functions as F

    schema = ", ".join([*(f"`{name}` STRING" for name in names), f"{CORRUPT} STRING"])
    options = {"sep": files.delimiter, "quote": files.quote, "escape": files.quote or "\0", "mode": "PERMISSIVE"}
    parsed = F.from_csv("value", schema, {**options, "columnNameOfCorruptRecord": CORRUPT})
    is_record = F.trim("value") != ""
    if header is not None:
        is_record &= F.regexp_replace("value", "^\ufeff", "") != header
    return _spread(lines.where(is_record), parsed, names)


def _parse_lines(lines: DataFrame, files: Files) -> DataFrame:
    """Lines by a regular expression: it rewrites each to marked, separated cells, so that it runs once per line."""
    from pyspark.sql import functions as F

    groups = files.groups
    marked = _MARK + _SEPARATOR.join(f"${{{group}}}" for group in groups)
    cells = F.split(F.regexp_replace("value", rf"\A(?:{files.regex})\z", marked), _SEPARATOR)
    # A line that brings the marks itself must not pass for one that matched.
    honest = ~F.col("value").rlike(f"[{_MARK}{_SEPARATOR}]")
    rewritten = lines.where(F.trim("value") != "").withColumns({"_cells": cells, "_honest": honest})
    matches = F.col("_honest") & F.startswith(F.col("_cells")[0], F.lit(_MARK))
    texts = [F.get("_cells", F.lit(number)) for number in range(len(groups))]
    texts[0] = F.substring(texts[0], 2, 2**31 - 1)
    columns = [F.when(matches & (text != ""), text).alias(name) for name, text in zip(groups, texts, strict=True)]
    corrupt = F.when(~matches, F.col("value")).alias(CORRUPT)
    return _spread(rewritten, F.struct(*columns, corrupt), list(groups))


def _spread(lines: DataFrame, parsed: Column, names: list[str]) -> DataFrame:
    """Lines with the fields of `parsed` as columns, and the line itself as `raw`."""
    from pyspark.sql import functions as F

    ours = [name for name in ("landed", "_place") if name in lines.columns]
    # inline() instead of parsed.*: Spark would fold the projection and parse each line once per field
    # (240,000 lines: 17.2 s of CPU instead of 7.1 s).
    spread = lines.select(*ours, F.col("value").alias("raw"), F.inline(F.array(parsed)))
    return spread.toDF(*ours, "raw", *(_free(name) for name in names), CORRUPT)


def _by_header(source: Source, files: Files, paths: list[Path]) -> Iterator[tuple[str | None, list[str], list[Path]]]:
    """(header line, its names, the files that begin with it); one group without a header if the mapping names columns.

    Headers may differ in the columns that `fields` says some files lack, and in order.

    Raises:
        BadInput: they differ otherwise, or lack the delimiter.
    """
    if files.columns:
        yield None, list(files.columns), paths
        return
    # A shop that was closed may send an empty file.
    headers = {path: line for path in paths if (line := first_line(path))}
    if not headers:
        return
    first, header = next(iter(headers.items()))
    if files.delimiter not in header:
        raise BadInput(
            f"{first.name}: no delimiter {files.delimiter!r} in its header {header[:200]!r}",
            f"set delimiter in {source.mapping}",
        )
    names = {line: next(iter(_split(line, files))) for line in headers.values()}
    for path, line in headers.items():
        if (set(names[line]) ^ set(names[header])) - set(files.fields):
            raise BadInput(f"{path.name} begins with another header than {first.name}", f"zcat -f {path} | head -1")
    for line in names:
        yield line, names[line], [path for path in headers if headers[path] == line]


def _split(line: str, files: Files) -> Iterator[list[str]]:
    import csv

    if not files.quote:
        return csv.reader([line], delimiter=files.delimiter, quoting=csv.QUOTE_NONE)
    return csv.reader([line], delimiter=files.delimiter, quotechar=files.quote)


def _landed(source: Source, files: Files) -> Column:
    """The drop's day, from the file's name."""
    from pyspark.sql import functions as F

    if source.layout == "single":
        return F.lit(None).cast("date")
    regex, tokens = files.path_regex()
    path = F.url_decode(F.replace("_metadata.file_path", F.lit("+"), F.lit("%2B")))  # a URL: spaces are %20 there
    texts = {token: F.regexp_extract(path, regex, number) for number, token in enumerate(tokens, 1)}
    return F.to_date(texts.get("{day}", F.concat_ws("-", *(texts[token] for token in YEAR_TO_DAY if token in texts))))


@contextmanager
def reading(source: Source) -> Iterator[None]:
    """Turn what Spark says about bad files and bad mappings into what a person can act on."""
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import AnalysisException, ParseException, PySparkException

    mapping = source.mapping
    try:
        yield
    except (AnalysisException, ParseException) as error:
        said = [line for line in str(error).splitlines() if line.strip() and not line.startswith("==")]
        raise BadInput(f"{mapping}: {' '.join(said[:2])}", f"edit {mapping}") from error
    except (PySparkException, Py4JJavaError) as error:
        # Some failures of a task reach Python untranslated, as the Java stack trace.
        known = _bad_input(str(error), mapping)
        if known is None:
            raise
        raise known from error


def _bad_input(text: str, mapping: str) -> BadInput | None:
    """What a running query's failure says about the input; None when it says nothing."""
    if "FAILED_READ_FILE" in text:
        found = re.search(r"reading file file:/*(/.+?)\.\s", text)
        name = unquote(found.group(1)) if found else "a raw file"
        return BadInput(
            f"cannot read {name} to its end: truncated or damaged", f"{unpack_test(name)}  # then fetch the drop again"
        )
    if "INVALID_PARAMETER_VALUE.PATTERN" in text:
        return BadInput(f"{mapping}: a regular expression that Java does not understand", f"edit {mapping}")
    condition = re.search(r"\[([A-Z_.]+)\](?s:.*?)SQLSTATE: 22", text)  # class 22: data exceptions
    if condition:
        # The message quotes the cell, which may be somebody's id: only its kind is told.
        problem = f"{mapping}: an expression fails on the cells of a record ({condition.group(1)})"
        return BadInput(problem, f"edit {mapping}: use try_cast, try_to_timestamp, try_divide where the log is dirty")
    return None
