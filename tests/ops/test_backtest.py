"""What is asked of a backtest, in which order its jobs run, and what it prints; the jobs have tests of their own."""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from jobs.ops import backtest
from jobs.ops.backtest import Backtest

from nightjar.contracts import REALISED, BadInput
from nightjar.contracts.render import arrow_schema
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake
from nightjar.stores.ledgers import read_rows

#: Stands in the jobs' folder: it notes its arguments, and the look back leaves rows as the job does.
JOB = """
import json, os, sys
from pathlib import Path
job, flags = Path(sys.argv[0]).stem, dict(zip(sys.argv[1::2], sys.argv[2::2]))
partition = next(value for value in flags.values() if "/dt=" in value)
home = Path(os.environ["NIGHTJAR_HOME"])
with (home / "order").open("a") as order:
    print(job, partition, file=order)
failed = job == os.environ.get("FAILS")
result = home / "runs" / partition.split("/")[0] / partition[-10:] / f"{job}.json"
result.parent.mkdir(parents=True, exist_ok=True)
result.write_text(json.dumps({"status": "failed" if failed else "done", "seconds": 1.0, "error": "no room"}))
sys.exit(2 if failed else 0)
"""


def asked(home: Home, **changes: str) -> Backtest:
    words = {"source": "synthetic", "raw": "", "first": "2026-02-10", "last": "2026-02-11", "model": "gru", "set": ""}
    return Backtest.of(argparse.Namespace(**(words | changes)), home)


@pytest.fixture
def jobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout whose jobs only say that they ran."""
    for name in ("simulate", *backtest.KNOW, *backtest.DECIDE, "realise"):
        (tmp_path / "jobs").mkdir(exist_ok=True)
        (tmp_path / "jobs" / f"{name}.py").write_text(JOB)
    arguments = Backtest.arguments

    def beside(self: Backtest, job: str, flag: str, day: date, *more: str) -> list[str]:
        real = arguments(self, job, flag, day, *more)
        return [str(tmp_path / "jobs" / f"{job}.py"), *real[1:]]

    monkeypatch.setattr(Backtest, "arguments", beside)
    return tmp_path


def test_nights_run_in_order_and_know_no_later_day(home: Home, jobs: Path) -> None:
    wanted = asked(home)
    assert list(backtest.run(wanted)) == []
    night = ["simulate", "clean", "sessionize", "identity", "sequences", "train", "evaluate", "score"]
    lines = [line.split() for line in (wanted.home.root / "order").read_text().splitlines()]
    assert [(job, partition[-10:]) for job, partition in lines] == [
        *((job, "2026-02-10") for job in night),
        *((job, "2026-02-11") for job in [*night, "realise"]),
        *((job, "2026-02-12") for job in ["simulate", "clean", "sessionize", "identity", "realise"]),
    ]


def test_a_failed_training_costs_no_night_and_a_failed_scoring_does(
    home: Home, jobs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILS", "train")
    assert list(backtest.run(asked(home))) == []
    monkeypatch.setenv("FAILS", "score")
    with pytest.raises(BadInput, match="score of 2026-02-10 failed: no room"):
        list(backtest.run(asked(home)))


def row(**changes: Any) -> dict[str, Any]:
    counts = {column.name: 0 for column in REALISED.columns if column.type in ("long", "int", "double")}
    words = {"dt": date(2026, 2, 10), "origin": "replayed", "surface": "home", "strategy": "model", "segment": "(all)"}
    sums = {"k": 20, "num_lists": 10, "num_active": 4, "num_hits": 2, "ndcg_sum": 1.0, "ndcg_gain_squares": 0.5}
    return counts | words | {"model_name": "m", "model_version": "3", "list": "shown"} | sums | changes


def test_what_the_nights_say_together() -> None:
    popular = {"list": "popular", "num_hits": 1, "ndcg_sum": 0.5, "ndcg_gain_squares": 0.0}
    rows = [row(), row(**popular), row(dt=date(2026, 2, 11)), row(dt=date(2026, 2, 11), **popular)]
    assert backtest.night_line(rows[:2]) == [
        *("2026-02-10", "3", "10", "4", "0", "0"),
        *("0.5000", "0.2500", "0.2500", "0.1250"),
    ]
    said = backtest.together(rows)
    assert (said["nights"], said["shown"]["hit_rate"], said["popular"]["hit_rate"]) == (2, 0.5, 0.25)
    assert said["ndcg_gain"][0] == 0.125
    assert backtest.together([]) == {"nights": 0}
    json.dumps(said)


def test_replayed_rows_reach_the_real_home_beside_published_ones(home: Home, jobs: Path) -> None:
    wanted = asked(home, first="2026-02-10", last="2026-02-10")
    at = REALISED.at("synthetic", date(2026, 2, 10))

    def commit(where: Home, **changes: Any) -> None:
        table = pa.Table.from_pylist([row(**changes)], arrow_schema(REALISED))
        Lake(where.lake).commit([Lake(where.lake).stage_arrow(table, REALISED, "synthetic", "test")])

    commit(home, origin="published", num_lists=99)
    nights = backtest.run(wanted)
    # The look back is the last thing that happens: leave its rows before it is read.
    (jobs / "jobs" / "realise.py").write_text(
        JOB + f"\nimport shutil; shutil.copytree({str(home.root / 'made')!r}, home / 'lake', dirs_exist_ok=True)\n"
    )
    text = (jobs / "jobs" / "realise.py").read_text().replace("sys.exit(2 if failed else 0)\n", "")
    (jobs / "jobs" / "realise.py").write_text(text)
    commit(Home(home.root / "other"), num_lists=7)
    Path(home.root / "other" / "lake").rename(home.root / "made")
    assert [one["num_lists"] for one in nights] == [7]
    assert sorted((one["origin"], one["num_lists"]) for one in read_rows(Lake(home.lake), REALISED, at)) == [
        ("published", 99),
        ("replayed", 7),
    ]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"source": "retailrocket"}, "needs its raw logs"),
        ({"source": "retailrocket", "raw": "/nowhere/at/all"}, "there is no /nowhere/at/all"),
        ({"first": "yesterday"}, "FROM='yesterday' is no day"),
        ({"last": "2026-02-01"}, "FROM=2026-02-10 is after TO=2026-02-01"),
    ],
)
def test_what_was_typed_wrongly_is_named(home: Home, changes: dict[str, str], problem: str) -> None:
    with pytest.raises(BadInput, match=problem):
        asked(home, **changes)
