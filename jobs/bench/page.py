"""docs/benchmarks/prep.md and its picture, from what the benchmarks left under `bench/results` of NIGHTJAR_HOME.

The numbers are kept beside the page as `prep.json`, and the page is written from that file alone.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Any

from jobs.ops.plots import OTHERS, OURS, picture

from nightjar.contracts import BadInput
from nightjar.settings import repository
from nightjar.stores.files import write_json

FOLDER = repository() / "docs" / "benchmarks"
PAGE, NUMBERS, PICTURE = FOLDER / "prep.md", FOLDER / "prep.json", FOLDER / "prep.svg"

#: Seconds for 20,000,000 events in another log of these columns, 2 cores, Spark 4.3, DuckDB 2.0, polars 2.1:
#: measured earlier on the same kind of machine.
EARLIER = {"floor": 33.0, "plain": 44.0, "duckdb": 9.0, "polars": 8.9}

_NAMES = {
    "floor": "Spark: shuffle, sort, write",
    "plain": "Spark: plain window functions",
    "ours": "**ours: clean and sessionize, everything on**",
    "duckdb": "DuckDB",
    "polars": "polars",
    "floor without skew": "Spark: shuffle, sort, write; no hot key",
    "ours without skew": "ours; no hot key",
}

_HEAD = """# Cleaning and sessionizing: what it costs

Generated from `prep.json` by `make bench-page`; do not edit. Measured by `make bench-prep` and `make bench-night`.

## What is compared

The log has four columns (`user_id`, `event_ts`, `item_id`, `kind`), seven days, 20 events per user on average with a
heavy tail, and Zipf-distributed items; it is invented and the same on every machine. All steps read the same
Parquet files and write Parquet with zstd:

- **Spark: shuffle, sort, write**, the floor: by user, then by user and time. What Spark needs before anybody computes.
- **Spark: plain window functions**: the same, and two windows that number each user's sessions. **DuckDB** and
  **polars** number them too; the three tables are compared row by row.
- **ours**: the night's jobs `clean` and `sessionize` as they are, on a source mapping of the log: row rules,
  pseudonyms, duplicates, bots, sessions with their caps, the gate, and three tables in the lake (`events`,
  `session_events`, `sessions`). It does more than the others, and nothing is turned off for it.

`seconds` are warm: a process first does a tenth of the log (at most two million events) and is then timed from the
first call to the last file; the start of Python and Java is left out for every step alike. `cold` is the wall time of
whole processes from nothing, and ours is one process per job; long logs have none. `peak` is the largest sum of memory
over a step's tree of processes, JVM and Python workers included, in either of its two runs; pages that processes share
count once. Spark steps and our jobs have the same Spark settings.
"""


def rendered(numbers: dict[str, Any]) -> str:
    """The page of the collected numbers."""
    parts = [_HEAD, "![Seconds per step](prep.svg)", ""]
    for result in numbers["prep"]:
        parts += _comparison(result)
    if numbers["night"]:
        parts += _nights(numbers["night"])
    return "\n".join(parts)


def _comparison(result: dict[str, Any]) -> list[str]:
    size, skew, last = result["shape"]["size"], result["shape"]["skew"], result["comparison"]
    hot = {"none": "", "user": ", one hot user", "item": ", one hot item"}[skew]
    parts = [f"## {size:,} events{hot}", "", _measured_on(result), "", *_steps(result), ""]
    if any("skipped" in line for line in result["lines"]):
        parts += [f"{_bare(line['step'])} was skipped: {line['skipped']}." for line in _skipped(result)] + [""]
    told = [f"{last['ours_vs_floor']:.2f} times the floor's time"] if last["ours_vs_floor"] else []
    told += [f"{last['ours_vs_duckdb']:.2f} times DuckDB's"] if last["ours_vs_duckdb"] else []
    gate = "" if last["gate_share"] is None else f"; {last['gate_share']:.0%} of its time is the gate"
    said = [f"Ours takes {' and '.join(told)}{gate}."] if told else []
    said += [f"Plain windows take {last['plain_vs_floor']:.2f} times the floor's."] if last["plain_vs_floor"] else []
    parts += [" ".join(said), ""] if said else []
    if last.get("ours_vs_no_skew") and last.get("floor_vs_no_skew"):
        hot_key = f"The hot {skew} has {last['hot_share']:.1%} of all events. Of their time on the same log without it"
        parts += [
            f"{hot_key}, ours takes {last['ours_vs_no_skew']:.2f} and the floor {last['floor_vs_no_skew']:.2f}.",
            "",
        ]
    explained = [line for line in result["lines"] if line["step"] == "explain"]
    return parts + (_explained(explained) if explained else [])


def _steps(result: dict[str, Any]) -> list[str]:
    earlier = EARLIER if _like_earlier(result) else {}
    head = ["step", "seconds", "of floor", "events/s", "peak GiB", "cold", *(["earlier"] if earlier else [])]
    floor = _middle(result, "floor", "seconds")
    rows: list[list[str]] = []
    for step in dict.fromkeys(line["step"] for line in result["lines"] if "seconds" in line):
        if step == "explain":
            continue
        seconds, cold = _middle(result, step, "seconds"), _middle(result, step, "cold_seconds")
        assert seconds is not None
        cells = [
            _NAMES[step],
            f"{seconds:.1f}",
            f"{seconds / floor:.2f}" if floor else "",
            f"{result['shape']['size'] / seconds:,.0f}",
            f"{max(line['peak_gib'] for line in result['lines'] if line['step'] == step):.1f}",
            "" if cold is None else f"{cold:.1f}",
        ]
        rows.append([*cells, *([f"{earlier[step]:g}" if step in earlier else ""] if earlier else [])])
    note = (
        ["", "`earlier`: seconds measured earlier on the same kind of machine, another log of the same columns."]
        if earlier
        else []
    )
    return [*_table(head, rows), *note]


def _explained(lines: list[dict[str, Any]]) -> list[str]:
    total = sum(line["seconds"] for line in lines)
    rows = [
        [line["part"], f"{line['seconds']:.1f}", f"{line['seconds'] / total:.0%}", f"{line['cpu_seconds']:.1f}"]
        for line in lines
    ]
    said = "Where the floor's seconds go, from plans that end one part later each and keep nothing; all cores together:"
    return [said, "", *_table(["part", "seconds", "share", "CPU seconds"], rows), ""]


def _nights(result: dict[str, Any]) -> list[str]:
    lines, last = result["lines"], result["comparison"]
    rows = []
    for length in sorted(last["seconds_by_history_days"], key=int):
        of = [line for line in lines if line["step"] == "night" and line["history_days"] == int(length)]
        jobs = [f"{median(line['parts'][job] for line in of):.1f}" for job in of[0]["parts"]]
        rows.append([length, f"{last['seconds_by_history_days'][length]:.1f}", *jobs])
    head = ["days of history", "seconds", *lines[-1]["parts"]]
    return [
        "## A night after a long history",
        "",
        _measured_on(result),
        "",
        f"The next night of {last['events_per_night']:,} events after histories of different lengths, cold. The longest"
        f" takes {last['longest_vs_shortest']:.2f} times the shortest's time.",
        "",
        *_table(head, rows),
        "",
    ]


def _measured_on(result: dict[str, Any]) -> str:
    known, runs = result["environment"], result["comparison"]["runs"]
    versions = ", ".join(f"{name} {version}" for name, version in known["packages"].items())
    commit = f"{(known['commit'] or 'unknown')[:12]}{' with changes' if known['dirty'] else ''}"
    hardware = f"{result['cores']} cores of {known['processor']}, {known['memory_gib']:g} GiB"
    medians = "one run" if runs == 1 else f"medians of {runs} runs"
    return (
        f"{result['date']}, commit {commit}, {hardware}, {versions}; {medians}; load before {result['load_before']:g}."
    )


def _table(head: list[str], rows: Iterable[list[str]]) -> list[str]:
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def _middle(result: dict[str, Any], step: str, number: str) -> float | None:
    """None where no run of the step has that number."""
    known = [line[number] for line in result["lines"] if line["step"] == step and number in line]
    return float(median(known)) if known else None


def _skipped(result: dict[str, Any]) -> list[dict[str, Any]]:
    return list({line["step"]: line for line in result["lines"] if "skipped" in line}.values())


def _bare(step: str) -> str:
    return _NAMES[step].strip("*")


def _like_earlier(result: dict[str, Any]) -> bool:
    return (result["shape"]["size"], result["shape"]["skew"], result["cores"]) == (20_000_000, "none", 2)


def draw(numbers: dict[str, Any], path: Path) -> None:
    """One bar of seconds per step for every size without a hot key; the same bytes for the same numbers."""
    even = [result for result in numbers["prep"] if result["shape"]["skew"] == "none"]
    with picture(path, len(even)) as axes:
        for axis, result in zip(axes, even, strict=True):
            of_steps = {step: _middle(result, step, "seconds") for step in _NAMES}
            seconds = {step: middle for step, middle in of_steps.items() if middle is not None}
            colours = [OURS if step == "ours" else OTHERS for step in seconds]
            bars = axis.barh([_bare(step) for step in seconds], list(seconds.values()), color=colours)
            axis.bar_label(bars, fmt="%.1f s", padding=3)
            axis.set_title(f"{result['shape']['size']:,} events, {result['cores']} cores", loc="left")
            axis.invert_yaxis()
            axis.margins(x=0.12)


def collected(results: Path) -> dict[str, Any]:
    """What the benchmarks left, smallest log first.

    Raises:
        BadInput: nothing.
    """
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(results.glob("prep-*.json"))]
    if not found:
        raise BadInput(f"no results under {results}", "make bench-prep")
    found.sort(key=lambda result: (result["shape"]["size"], result["shape"]["skew"] != "none", result["shape"]["skew"]))
    night = results / "night.json"
    return {"prep": found, "night": json.loads(night.read_text(encoding="utf-8")) if night.exists() else None}


def main() -> None:
    from jobs.bench.prep import bench_folder

    try:
        numbers = collected(bench_folder() / "results")
    except BadInput as error:
        sys.exit(f"bench-page: {error}")
    write_json(NUMBERS, numbers)
    PAGE.write_text(rendered(numbers), encoding="utf-8")
    draw(numbers, PICTURE)
    print(f"{PAGE}\n{PICTURE}")


if __name__ == "__main__":
    main()
