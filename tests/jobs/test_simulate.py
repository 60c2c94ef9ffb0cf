"""The job as a command: drops, idempotence, equal bytes, fire drills, errors."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nightjar.settings import repository

SIZE = ["--set", "simulate.num_people=60", "--set", "simulate.num_items=50", "--set", "simulate.start='2001-01-15'"]


def simulate(home: Path, day: str, *flags: str) -> subprocess.CompletedProcess[str]:
    root = repository()
    environment = os.environ | {"NIGHTJAR_HOME": str(home), "PYTHONPATH": str(root / "src")}
    command = [sys.executable, str(root / "jobs" / "simulate.py"), "--source", "synthetic"]
    return subprocess.run(
        [*command, "--events", f"synthetic/events/dt={day}", *SIZE, *flags],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def counts(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    assert done.returncode == 0, done.stderr
    last: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return last


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def lines(home: Path, day: str) -> list[str]:
    return gzip.decompress((home / "raw" / "synthetic" / f"{day}.jsonl.gz").read_bytes()).decode().splitlines()


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object]]:
    home = tmp_path_factory.mktemp("home")
    return home, counts(simulate(home, "2001-01-18"))


def test_it_writes_every_day_since_the_first(done: tuple[Path, dict[str, object]]) -> None:
    home, said = done
    days = [f"2001-01-{number}" for number in (15, 16, 17, 18)]
    assert [path.name for path in sorted((home / "raw" / "synthetic").iterdir())] == [f"{day}.jsonl.gz" for day in days]
    assert said["drops_written"] == 4
    assert said["rows_out"] == sum(len(lines(home, day)) for day in days) > 100
    assert json.loads((home / "runs" / "synthetic" / "2001-01-18" / "simulate.json").read_text())["status"] == "done"


def test_history_days_bound_what_a_later_night_writes(tmp_path: Path) -> None:
    assert counts(simulate(tmp_path, "2001-04-30"))["drops_written"] == 36
    assert min(path.name for path in (tmp_path / "raw" / "synthetic").iterdir()) == "2001-03-26.jsonl.gz"


def test_a_second_run_writes_nothing(done: tuple[Path, dict[str, object]]) -> None:
    home, _ = done
    before = {path: path.stat().st_mtime_ns for path in (home / "raw" / "synthetic").iterdir()}
    assert counts(simulate(home, "2001-01-18"))["drops_written"] == 0
    assert {path: path.stat().st_mtime_ns for path in (home / "raw" / "synthetic").iterdir()} == before


def test_the_bytes_are_the_same_elsewhere_and_in_another_order(
    done: tuple[Path, dict[str, object]], tmp_path: Path
) -> None:
    home, _ = done
    simulate(tmp_path, "2001-01-16", "--raw", str(tmp_path / "drops"))
    simulate(tmp_path, "2001-01-18", "--raw", str(tmp_path / "drops"))
    assert digests(tmp_path / "drops") == digests(home / "raw" / "synthetic")


def test_a_fire_drill_spoils_the_night_s_drop_only_and_can_be_undone(tmp_path: Path) -> None:
    simulate(tmp_path, "2001-01-16")
    good = digests(tmp_path / "raw" / "synthetic")
    counts(simulate(tmp_path, "2001-01-16", "--poison", "null_ids"))
    nameless = [line for line in lines(tmp_path, "2001-01-16") if '"user_id":null,"device_id":null' in line]
    assert len(nameless) / len(lines(tmp_path, "2001-01-16")) == pytest.approx(0.5, abs=0.02)
    assert digests(tmp_path / "raw" / "synthetic")["2001-01-15.jsonl.gz"] == good["2001-01-15.jsonl.gz"]
    (tmp_path / "raw" / "synthetic" / "2001-01-16.jsonl.gz").unlink()
    simulate(tmp_path, "2001-01-16")
    assert digests(tmp_path / "raw" / "synthetic") == good


def test_a_truncated_drop_is_no_whole_gzip(tmp_path: Path) -> None:
    counts(simulate(tmp_path, "2001-01-15", "--poison", "truncated"))
    with pytest.raises(EOFError):
        lines(tmp_path, "2001-01-15")


def test_a_day_before_the_first_is_bad_data_and_says_what_to_type(tmp_path: Path) -> None:
    failed = simulate(tmp_path, "2001-01-14")
    assert failed.returncode == 1
    assert "2001-01-14 is before the synthetic shop's first day 2001-01-15" in failed.stderr
    assert "next: choose a day from 2001-01-15 on" in failed.stderr
    assert not (tmp_path / "raw").exists()
