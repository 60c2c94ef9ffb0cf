"""The command behind make rollback, as a person runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.stores import nights

from nightjar.settings import repository
from nightjar.stores.home import Home
from nightjar.stores.warehouse import DuckDbFile


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "acme.toml"
    path.write_text(f'extends = "{repository()}/conf/sources/synthetic.toml"\n')
    return path


def run(source: Path, *argv: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "jobs.ops.rollback", "--source", str(source), *argv]
    done = subprocess.run(command, cwd=repository(), env=dict(os.environ), capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_there_and_back(home: Home, source: Path, tmp_path: Path) -> None:
    warehouse = DuckDbFile(home.warehouse)
    today, tomorrow = nights.days(2)
    for day in (today, tomorrow):
        nights.put(warehouse, nights.night(tmp_path, day=day))
    code, said = run(source)
    assert code == 0, said
    assert "acme: readers see 2001-01-15 since now, 2001-01-16 before" in said
    assert f"make rollback SOURCE={source} TO=latest" in said
    assert nights.current(warehouse) == nights.expected(nights.LISTS, today)
    assert run(source, "--to", "latest")[0] == 0
    assert nights.current(warehouse) == nights.expected(nights.LISTS, tomorrow)
    assert "readers see 2001-01-16 already" in run(source, "--to", "2001-01-16")[1]


def test_nothing_published_and_no_warehouse_are_bad_input(home: Home, source: Path, tmp_path: Path) -> None:
    assert run(source) == (1, "nothing of acme is published\n  next: make nightly SOURCE=acme\n")
    assert not home.warehouse.exists()
    nights.put(DuckDbFile(home.warehouse), nights.night(tmp_path))
    code, said = run(source, "--to", "2000-01-01")
    assert (code, "holds no night 2000-01-01; it holds 2001-01-15" in said) == (1, True)
