"""Replay past nights as they would have run, and hold each one's lists against what people did next.

The nights run one after the other in a home of their own, below `backtest/` of NIGHTJAR_HOME: each night knows the
drops up to its day and no more, trains when training is due, promotes by the rule and scores with the champion it had
then. Nothing is published. What people did is then written to `realised` of the real home, as origin `replayed`,
beside what was published. The last line is JSON: everything that the nights say together.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from jobs.ops.summary import table
from jobs.ops.warm import WarmJobs

from nightjar.contracts import REALISED, BadInput
from nightjar.contracts.render import arrow_schema
from nightjar.monitor import realised
from nightjar.settings import Conf, Source, load_conf, load_source, repository
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake
from nightjar.stores.ledgers import read_rows, replace_part

SYNTHETIC = "synthetic"

#: job -> its partition flag. What a night needs to know; then what it does; then the look back.
KNOW = {"clean": "events", "sessionize": "events", "identity": "identity"}
DECIDE = {"sequences": "sequences", "train": "sequences", "evaluate": "sequences", "score": "recommendations"}
#: As in the DAG: a night whose training fails is scored by the champion it had.
MAY_FAIL = ("train", "evaluate")

Row = dict[str, Any]


@dataclass(frozen=True)
class Backtest:
    """Which nights, of which shop, and where they run."""

    source: Source
    conf: Conf
    model: Path
    raw: Path
    first: date
    last: date
    sets: tuple[str, ...]
    real: Home

    @classmethod
    def of(cls, args: argparse.Namespace, home: Home) -> Backtest:
        """Check what was typed.

        Raises:
            BadInput: names the make variable that is wrong or missing.
        """
        source = load_source(args.source)
        if not args.raw and source.name != SYNTHETIC:
            raise BadInput(f"source {source.name} needs its raw logs", "make backtest SOURCE=… RAW=path FROM=… TO=…")
        raw = Path(args.raw).absolute() if args.raw else _home(home, source).raw / source.name
        if source.name != SYNTHETIC and not raw.exists():
            raise BadInput(f"RAW={args.raw}: there is no {raw}", f"ls -l '{raw.parent}'")
        first, last = _day("FROM", args.first), _day("TO", args.last)
        if first > last:
            raise BadInput(f"FROM={first} is after TO={last}", f"make backtest FROM={last} TO={first}")
        model, sets = repository() / "conf" / "models" / f"{args.model}.toml", tuple(args.set.split())
        conf = load_conf(files=[model], source=source, sets=list(sets))
        return cls(source, conf, model, raw, first, last, sets, home)

    @property
    def home(self) -> Home:
        return _home(self.real, self.source)

    @property
    def nights(self) -> list[date]:
        return _days(self.first, self.last)

    @property
    def days(self) -> list[date]:
        """The nights, and the days after the last one in which its people are watched."""
        return _days(self.first, self.last + timedelta(days=self.conf.realised.window_days))

    def arguments(self, job: str, flag: str, day: date, *more: str) -> list[str]:
        """The job's script and its arguments."""
        argv = [str(repository() / "jobs" / f"{job}.py"), "--source", self.source.argument]
        argv += [f"--{flag}", f"{self.source.name}/{flag}/dt={day}", "--run", "backtest", "--conf", str(self.model)]
        return [*argv, *(part for one in self.sets for part in ("--set", one)), *more]


def run(backtest: Backtest) -> Iterator[Row]:
    """Run every night; yields the rows of `realised` of each night once its people were watched.

    Raises:
        BadInput: a job failed that no night can do without.
    """
    shutil.rmtree(backtest.home.root, ignore_errors=True)  # what an earlier replay knew must not be known again
    environ = {**os.environ, "NIGHTJAR_HOME": str(backtest.home.root), "PYTHONPATH": _python_path()}
    with WarmJobs(environ) as jobs:
        for day in backtest.days:
            if backtest.source.name == SYNTHETIC:
                _job(jobs, backtest, "simulate", "events", day, "--raw", str(backtest.raw))
            for job, flag in KNOW.items():
                _job(jobs, backtest, job, flag, day, *(["--raw", str(backtest.raw)] if job == "clean" else []))
            if day in backtest.nights:
                for job, flag in DECIDE.items():
                    _job(jobs, backtest, job, flag, day)
            yield from _looked_back(jobs, backtest, day)


def _python_path() -> str:
    return os.pathsep.join([str(repository() / "src"), str(repository())])


def _looked_back(jobs: WarmJobs, backtest: Backtest, day: date) -> Iterator[Row]:
    night = day - timedelta(days=backtest.conf.realised.window_days)
    if night not in backtest.nights:
        return
    _job(jobs, backtest, "realise", "sessions", day, "--replayed")
    at = REALISED.at(backtest.source.name, night)
    rows = [row for row in read_rows(Lake(backtest.home.lake), REALISED, at) if row["origin"] == realised.REPLAYED]
    if rows:
        arrow = pa.Table.from_pylist(rows, schema=arrow_schema(REALISED))
        replace_part(Lake(backtest.real.lake), at, REALISED, arrow, "origin", "backtest")
    yield from rows


def _job(jobs: WarmJobs, backtest: Backtest, job: str, flag: str, day: date, *more: str) -> None:
    log = backtest.home.root / "logs" / f"{day}-{job}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    code = jobs.run(backtest.arguments(job, flag, day, *more), log)
    said: Row = {}
    if (path := backtest.home.result(backtest.source.name, day, job)).is_file():
        said = json.loads(path.read_text(encoding="utf-8"))
    print(
        f"{day} {job:10} {said.get('status', 'no result')} {said.get('seconds', 0):.0f} s", file=sys.stderr, flush=True
    )
    if code and job not in MAY_FAIL:
        raise BadInput(f"{job} of {day} failed: {said.get('error') or 'it left no result'}", f"less {log}")


def night_line(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """One night in words: what was shown beside what was popular."""
    shown, popular = (realised.overall(rows, kind) for kind in (realised.SHOWN, realised.POPULAR))
    versions = sorted({row["model_version"] for row in rows if row["strategy"] == "model"})
    rates = [_rate(one.get(name)) for name in ("hit_rate", "ndcg") for one in (shown, popular)]
    numbers = [f"{shown[name]:,}" for name in ("num_lists", "num_active", "num_purchases", "num_listed_purchases")]
    return [str(rows[0]["dt"]), " ".join(versions) or "–", *numbers, *rates]


HEAD = [
    *("night", "model", "lists", "active", "bought", "of lists"),
    *("hit rate", "popular", "NDCG", "popular"),
]


def together(rows: Sequence[Mapping[str, Any]]) -> Row:
    """All nights as one, with the intervals that their sums allow."""
    shown, popular = (realised.overall(rows, kind) for kind in (realised.SHOWN, realised.POPULAR))
    if not shown:
        return {"nights": 0}
    gain = realised.gain(rows)
    effects = {name: [one.mean, one.low, one.high] for name, one in realised.effects(rows).items()}
    return {
        "nights": len({row["dt"] for row in rows}),
        "k": shown["k"],
        "shown": shown,
        "popular": popular,
        "ndcg_gain": gain and [round(value, 6) for value in (gain.mean, gain.low, gain.high)],
        "held_out_effect": effects,
    }


def _home(real: Home, source: Source) -> Home:
    """A home of its own, raw drops of the synthetic shop included: other settings would give other drops."""
    return Home(real.backtest(source.name))


def _rate(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _days(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _day(name: str, text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"{name}={text!r} is no day", "make backtest FROM=2026-02-10 TO=2026-02-23") from error


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True)
    parser.add_argument("--raw", default="", help="the raw logs; the synthetic shop writes its own")
    parser.add_argument("--from", dest="first", required=True, help="the first night, YYYY-MM-DD")
    parser.add_argument("--to", dest="last", required=True, help="the last night, YYYY-MM-DD")
    parser.add_argument("--model", default="sasrec", help="a file under conf/models/")
    parser.add_argument("--set", default="", help="settings, separated by spaces")
    args = parser.parse_args()
    rows: list[Row] = []
    try:
        backtest = Backtest.of(args, Home.from_environment())
        rows += run(backtest)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 1
    nights = sorted({row["dt"] for row in rows})
    lines = [night_line([row for row in rows if row["dt"] == night]) for night in nights]
    print(table(HEAD, lines, words=2))
    print(json.dumps(together(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
