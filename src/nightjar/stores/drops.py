"""Raw drops as files: which ones a night needs, which day and which part each is, and their bytes."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import date
from itertools import islice
from pathlib import Path
from typing import IO, cast

from nightjar.contracts import BadInput
from nightjar.settings import Source
from nightjar.stores.touched import TOUCHED, Outside

YEAR_TO_DAY = ("{yyyy}", "{mm}", "{dd}")
_MAX_HEAD_CHARACTERS = 2**26  # a sample must fit in memory, however long its records are


def find_files(source: Source, raw: Path, days: Iterable[date]) -> dict[date | None, list[Path]]:
    """The files of each day (layout daily), or all files under the key None (layout single).

    A day without a file has an empty list: shops close on some days.

    Raises:
        BadInput: the path does not exist or holds no file that the source's pattern names.
    """
    _check_place(source, raw)
    TOUCHED.sources.add(raw_logs(raw))
    if source.layout == "single":
        return {None: _single_files(source, raw)}
    found: dict[date | None, list[Path]] = {day: _matching(source, raw, day) for day in days}
    if not any(found.values()):
        first, last = (end(day for day in found if day).isoformat() for end in (min, max))
        raise BadInput(f"{raw} holds no drop {_patterns(source)} for {first} to {last}", f"ls {raw} | tail")
    return found


def find_all_files(source: Source, raw: Path) -> dict[date | None, list[Path]]:
    """`find_files` for every day that has one, in the order of days.

    Raises:
        BadInput: as `find_files`.
    """
    _check_place(source, raw)
    if source.layout == "single":
        return {None: _single_files(source, raw)}
    days = {day for path in _matching(source, raw, None) if (day := _day_of(source, path))}
    if not days:
        raise BadInput(f"{raw} holds no drop {_patterns(source)}", f"ls {raw} | tail")
    return {day: _matching(source, raw, day) for day in sorted(days)}


def raw_logs(raw: Path) -> Outside:
    """The drops, as lineage names them."""
    return Outside.file(raw, "The shop's raw logs.")


def _check_place(source: Source, raw: Path) -> None:
    if not raw.exists():
        raise BadInput(f"no such file or folder: {raw}", f"ls -l {raw.parent}")
    if source.layout == "daily" and not raw.is_dir():
        raise BadInput(
            f"{raw} is no folder, but source {source.name} has one drop a day",
            f"make nightly SOURCE={source.name} RAW={raw.parent}",
        )


def _single_files(source: Source, raw: Path) -> list[Path]:
    files = [raw] if raw.is_file() else [path for path in _matching(source, raw, None) if path.is_file()]
    if not files:
        raise BadInput(f"{raw} holds no file like {_patterns(source)}", f"ls {raw}")
    return files


def _matching(source: Source, raw: Path, day: date | None) -> list[Path]:
    return sorted({path for files in source.files.values() for path in raw.glob(files.glob(day))})


def _patterns(source: Source) -> str:
    return " or ".join(files.pattern for files in source.files.values())


def _day_of(source: Source, path: Path) -> date | None:
    for files in source.files.values():
        regex, tokens = files.path_regex()
        if found := re.search(regex, path.as_posix()):
            texts = dict(zip(tokens, found.groups(), strict=True))
            try:
                return date.fromisoformat(texts.get("{day}") or "-".join(texts[token] for token in YEAR_TO_DAY))
            except ValueError:  # 2001-02-30
                return None
    return None


def part_of(source: Source, path: Path) -> str:
    """The first part whose pattern fits.

    Raises:
        BadInput: none does.
    """
    if not source.parts:
        return ""
    for part, files in source.parts.items():
        if re.search(files.path_regex()[0], path.as_posix()):
            return part
    raise BadInput(
        f"{path.name} is like none of {_patterns(source)}", f"edit {source.mapping}: a pattern under [parts]"
    )


def first_line(path: Path) -> str:
    with _opening(path), _open(path) as file:
        return io.TextIOWrapper(file, encoding="utf-8-sig").readline().rstrip("\r\n")


def _open(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked by the name's ending: .gz, .zst, anything else is plain."""
    if path.suffix == ".gz":
        return cast("IO[bytes]", gzip.open(path, "rb"))
    if path.suffix == ".zst":
        import pyarrow as pa

        return cast("IO[bytes]", pa.input_stream(str(path), compression="zstd"))
    return path.open("rb")


def head(path: Path, num_lines: int) -> Iterator[tuple[int, str]]:
    """The first lines of a file with their numbers, from 1; fewer when they are very long.

    Raises:
        BadInput: the file cannot be read.
    """
    left = _MAX_HEAD_CHARACTERS
    with _opening(path), _open(path) as file:
        for number, line in enumerate(islice(io.TextIOWrapper(file, "utf-8-sig", "replace"), num_lines), 1):
            left -= len(line)
            if left < 0:
                return
            yield number, line.rstrip("\r\n")


def check_readable(path: Path) -> None:
    """Open each file and read its first bytes: permission, and names that promise a compression which is not there."""
    with _opening(path), _open(path) as file:
        file.read(1)


@contextmanager
def _opening(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise BadInput(f"cannot read {path}: {error}", f"{unpack_test(path)}; ls -l {path}; file {path}") from error


def unpack_test(path: Path | str) -> str:
    return f"zstd -t {path}" if str(path).endswith(".zst") else f"gzip -t {path}"


def spread(source: Source, files: dict[date | None, list[Path]], per_part: int) -> dict[date | None, list[Path]]:
    """Of each part the first, the last and evenly between them: `per_part` files that hold anything."""
    chosen: set[Path] = set()
    filled = [path for paths in files.values() for path in paths if path.stat().st_size]
    for part in source.files:
        mine = [path for path in filled if part_of(source, path) == part]
        steps = range(min(per_part, len(mine)))
        chosen |= {mine[step * (len(mine) - 1) // max(len(steps) - 1, 1)] for step in steps}
    left = {day: [path for path in paths if path in chosen] for day, paths in files.items()}
    return {day: paths for day, paths in left.items() if paths}
