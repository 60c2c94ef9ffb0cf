"""How a job ends: exit code, result manifest, last line; whatever happened inside it."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nightjar.contracts import BadInput
from nightjar.stores.home import Home
from nightjar.stores.job import Job, arguments, run
from nightjar.stores.sole import sole

Main = Callable[[argparse.Namespace, Job], dict[str, Any]]

ARGUMENTS = ["--source", "synthetic", "--events", "synthetic/events/dt=2001-01-15", "--run", "r1"]


@pytest.fixture
def ended(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run a job's main; returns its exit code, its result manifest and its standard output."""

    def end(main: Main, *more: str) -> tuple[int, dict[str, Any], str]:
        monkeypatch.setattr("sys.argv", ["job.py", *ARGUMENTS, *more])
        with pytest.raises(SystemExit) as caught:
            run("clean", arguments("A job.", events="a partition"), main)
        result = home.runs / "synthetic" / "2001-01-15" / "clean.json"
        return int(str(caught.value.code)), json.loads(result.read_text()), capsys.readouterr().out

    return end


def test_done(ended: Callable[..., Any]) -> None:
    code, result, out = ended(lambda args, job: {"rows_in": 3, "rows_out": 2, "rows_rejected": 1})
    assert code == 0
    assert (result["status"], result["failure"], result["run_id"]) == ("done", None, "r1")
    assert result["partition"] == "synthetic/events/dt=2001-01-15"
    assert json.loads(out.splitlines()[-1]) == {"rows_in": 3, "rows_out": 2, "rows_rejected": 1}


def test_bad_data_is_never_to_be_retried(ended: Callable[..., Any]) -> None:
    def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
        raise BadInput("no such column: prise", "edit conf/sources/synthetic.toml")

    code, result, out = ended(main)
    assert (code, result["failure"], out) == (1, "bad_data", "")
    assert result["error"] == "no such column: prise\n  next: edit conf/sources/synthetic.toml"


def test_a_full_disk_may_be_retried_and_says_so(ended: Callable[..., Any]) -> None:
    def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
        with Path("/dev/full").open("wb", buffering=0) as full:  # every write there fails with ENOSPC
            full.write(b"x")
        return {}

    code, result, _ = ended(main)
    assert (code, result["failure"]) == (2, "environment")
    assert result["error"].startswith("the disk is full: ")
    assert result["error"].splitlines()[-1].startswith("  next: df -h")


def test_any_other_error_is_the_environment(ended: Callable[..., Any]) -> None:
    def main(args: argparse.Namespace, job: Job) -> dict[str, Any]:
        raise ConnectionResetError("peer went away")

    code, result, _ = ended(main)
    assert (code, result["failure"]) == (2, "environment")
    assert result["error"].startswith("ConnectionResetError: peer went away")


def test_an_old_success_does_not_stand_for_a_run_that_failed(ended: Callable[..., Any]) -> None:
    assert ended(lambda args, job: {"rows_in": 1})[1]["status"] == "done"
    code, result, _ = ended(lambda args, job: {}, "--set", "train.epoch=3")
    assert (code, result["status"]) == (1, "failed")
    assert "unknown key train.epoch" in result["error"]


def test_a_partition_of_another_shop_is_refused(ended: Callable[..., Any], home: Home) -> None:
    code, result, _ = ended(lambda args, job: {}, "--source", "retailrocket")
    assert (code, result["failure"]) == (1, "bad_data")
    assert "synthetic/events/dt=2001-01-15 is not of source retailrocket" in result["error"]


def test_bad_usage_is_not_to_be_retried(home: Home, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("sys.argv", ["job.py", "--source", "synthetic", "--events", "synthetic/events/2001-01-15"])
    with pytest.raises(SystemExit) as caught:
        run("clean", arguments("A job.", events="a partition"), lambda args, job: {})
    assert caught.value.code == 1
    assert "write it as shop/table/dt=YYYY-MM-DD" in capsys.readouterr().err


def test_while_another_run_is_at_it_nothing_is_touched(
    ended: Callable[..., Any], home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The manifest stays the other run's: ours has none to say anything of."""
    monkeypatch.setattr("nightjar.stores.sole.PATIENCE_SECONDS", 0.3)
    assert ended(lambda args, job: {"rows_in": 1})[0] == 0
    lock = home.runs / "synthetic" / "2001-01-15" / "clean.lock"
    with sole(lock, "another", logging.getLogger()):
        code, result, out = ended(lambda args, job: pytest.fail("two copies at once"))
    assert (code, out) == (2, "")
    assert (result["status"], result["run_id"]) == ("done", "r1")
