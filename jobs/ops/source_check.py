"""What a source mapping makes of the first records of a log, before any night depends on it. Writes nothing."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path

from jobs.ops.doctor import need_java
from jobs.ops.summary import table

from nightjar.contracts import ENVIRONMENT, BadInput
from nightjar.prep.findings import Findings, Word, findings
from nightjar.settings import Gate, Source, load_conf, load_source
from nightjar.stores.drops import find_all_files, spread
from nightjar.stores.raw import reading, sample_raw
from nightjar.stores.spark import session

FILES_PER_PART = 3
_BARS = " ▁▂▃▄▅▆▇█"
_MAX_WORDS = 30
_MAX_SQL = 60  # characters of an expression


def check(source: Source, raw: Path, num_records: int) -> None:
    """Print what the mapping makes of the sample.

    Raises:
        BadInput: it cannot be read or mapped, or a night of such records would stop at the gate.
    """
    conf = load_conf(source=source)
    found = find_all_files(source, raw)
    chosen = spread(source, found, FILES_PER_PART)
    num_files = sum(len(paths) for paths in chosen.values())
    if not num_files:
        raise BadInput(f"every file of {raw} is empty", f"ls -l {raw}")
    print(f"source    {source.name}, {source.mapping}: {source.doc}")
    print(f"drops     {drops_text(found)}")
    print(f"sample    {', '.join(path.name for paths in chosen.values() for path in paths)}", flush=True)
    spark = session("nightjar source-check", conf.spark)
    with reading(source):
        seen = findings(sample_raw(spark, source, chosen, max(1, num_records // num_files)), source, conf.clean)
    print(report(seen, source))
    if stops := problems(seen, conf.gate):
        again = f"edit {source.mapping}, then make source-check SOURCE={source.argument} RAW={raw}"
        raise BadInput("; ".join(stops), again)


def drops_text(found: dict[date | None, list[Path]]) -> str:
    """How many files there are; of daily drops the days, and which of them are missing in between."""
    files = _counted(sum(len(paths) for paths in found.values()), "file")
    days = [day for day in found if day]
    if not days:
        return f"{files}, all days together"
    missing = [day for day in _days(days[0], days[-1]) if day not in found]
    gaps = f"; none for {', '.join(map(str, missing[:5]))}{' …' * (len(missing) > 5)}" if missing else ""
    return f"{files} of {_counted(len(days), 'day')}, {days[0]} to {days[-1]}{gaps}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'s' * (number != 1)}"


def _days(first: date, last: date) -> Iterator[date]:
    return (first + timedelta(days=number) for number in range((last - first).days + 1))


def report(seen: Findings, source: Source) -> str:
    parts = [
        _records(seen),
        table(["column", "type", "filled", "from", "smallest … largest (ids by their shape)"], _columns(seen), words=5),
        table(["the log's word", "is", "rows"], _words(seen.words), words=2),
    ]
    if seen.reasons:
        lines = [[reason.name, reason.place, f"{reason.num_rows:,}"] for reason in seen.reasons]
        parts.append(table(["rejected because", "first at", "rows"], lines, words=2))
    return "\n\n".join([*parts, "\n".join(_times(seen, source))])


def _records(seen: Findings) -> str:
    rejected = seen.num_rows - seen.num_kept
    text = (
        f"records   {seen.num_records:,} gave {_counted(seen.num_rows + seen.num_ignored, 'row')}: "
        f"{seen.num_ignored:,} ignored, {seen.num_kept:,} kept, {rejected:,} rejected "
        f"({seen.rejected_share:.1%} of those not ignored)"
    )
    notes = {
        f"repeat an event_id: {_counted(seen.num_repeated, 'kept row')}; a night keeps one of each": seen.num_repeated,
        f"open a quote and do not close it: {_counted(seen.num_open_quotes, 'line')}; "
        "a record must not have line breaks inside quotes": seen.num_open_quotes,
        f"raw columns that no expression names: {', '.join(seen.unused)}": len(seen.unused),
    }
    return "\n".join([text, *(f"          {note}" for note, num in notes.items() if num)])


def _columns(seen: Findings) -> list[list[str]]:
    lines = []
    for column in seen.columns:
        sql = column.sql if len(column.sql) <= _MAX_SQL else f"{column.sql[: _MAX_SQL - 1]}…"
        lines.append([column.name, column.type, f"{column.share:.1%}", sql, " … ".join(column.examples)])
    return lines


def _words(words: Sequence[Word]) -> list[list[str]]:
    told = [
        [word.text, word.kind or ("ignored" if word.ignored else "UNKNOWN: rejected"), f"{word.num_rows:,}"]
        for word in words[:_MAX_WORDS]
    ]
    more = words[_MAX_WORDS:]
    return [*told, *([[f"{len(more):,} more", "", f"{sum(w.num_rows for w in more):,}"]] if more else [])]


def _times(seen: Findings, source: Source) -> Iterator[str]:
    if not seen.first or not seen.last:
        return
    yield f"time      {seen.first:%Y-%m-%d %H:%M:%S} to {seen.last:%Y-%m-%d %H:%M:%S} UTC"
    days = [f"{day} {num:,}" for day, num in seen.rows_by_day.items()]
    shown = days if len(days) <= 8 else [*days[:4], "…", *days[-3:]]
    yield f"days      cut at midnight of {source.time_zone}, kept rows: {', '.join(shown)}"
    if source.layout == "daily":
        yield f"          {seen.num_other_day:,} kept rows are of another day than their drop"
    most = max(seen.rows_by_hour.values())
    bars = "".join(_BARS[-(-seen.rows_by_hour.get(hour, 0) * (len(_BARS) - 1) // most)] for hour in range(24))
    yield f"hours     there, 0 to 23: |{bars}|  few at night, if the time zone is right"
    yield (
        f"actors    {_counted(seen.num_users, 'user')}, {_counted(seen.num_devices, 'device')}; "
        f"{seen.num_anonymous:,} kept rows "
        f"without a user; {seen.num_bots:,} by browsers that say they are bots"
    )


def problems(seen: Findings, gate: Gate) -> list[str]:
    """Why a night of such records would stop."""
    if not seen.num_kept:
        return [f"no record of the sample would be kept: {seen.reasons[0].name if seen.reasons else 'all are ignored'}"]
    found = []
    if seen.num_unknown > gate.max_unknown_kind_rows:
        found.append(f"{_counted(seen.num_unknown, 'row')} with words that neither [kinds] nor ignored names")
    if seen.rejected_share > gate.max_quarantined_share:
        share, bound = f"{seen.rejected_share:.1%}", f"{gate.max_quarantined_share:.1%}"
        found.append(f"{share} of the rows would be rejected, gate.max_quarantined_share allows {bound}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", required=True, help="a mapping under conf/sources/, or a path to one")
    parser.add_argument("--raw", required=True, help="the raw logs: a file, or the folder of daily drops")
    parser.add_argument("--records", default="10000", help="how many records to read (default: 10000)")
    args = parser.parse_args()
    try:
        if not args.raw:
            raise BadInput("RAW names no logs", f"make source-check SOURCE={args.source} RAW=path")
        if not args.records.isdigit() or int(args.records) < 1:
            raise BadInput(f"SAMPLE={args.records} is no number of records", "write SAMPLE=10000")
        os.environ["JAVA_HOME"] = str(need_java())
        check(load_source(args.source), Path(args.raw), int(args.records))
    except BadInput as error:
        print(f"source-check: {error}", file=sys.stderr)
        sys.exit(ENVIRONMENT)


if __name__ == "__main__":
    main()
