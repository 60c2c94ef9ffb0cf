"""`bench-score` and `bench-publish` end to end on a small night: what their last lines say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from nightjar.settings import repository


def lines(home: Path, *argv: str) -> list[dict[str, Any]]:
    environment = {**os.environ, "NIGHTJAR_HOME": str(home)}
    command = [sys.executable, "-m", *argv]
    done = subprocess.run(command, cwd=repository(), env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.slow
def test_scoring_a_small_night(tmp_path: Path) -> None:
    argv = ["jobs.bench.score", "--users", "300", "--items", "200", "--k", "5", "--cores", "1", "--heap-gib", "1"]
    *steps, last = lines(tmp_path, *argv)
    assert [line["step"] for line in steps] == ["ours", "floor", "explaining"]
    assert steps[0]["rows"] == 1500
    assert last["score_vs_floor"] == round(steps[0]["users_per_second"] / steps[1]["users_per_second"], 3)
    assert last["explain_vs_score"] > 0
    assert last["peak_gib_by_users"] == {"300": steps[0]["peak_gib"]}
    kept = json.loads((tmp_path / "bench" / "results" / "score-300.json").read_text())
    assert kept["comparison"] == last


@pytest.mark.slow
def test_publishing_a_small_night(tmp_path: Path) -> None:
    argv = ["jobs.bench.publish", "--users", "300", "--k", "4", "--targets", "duckdb"]
    *steps, last = lines(tmp_path, *argv)
    assert [line["step"] for line in steps] == ["copy_duckdb", "publish_duckdb"]
    assert {"audited", "loaded", "committed"} <= set(steps[1]["parts"])
    assert (last["rows"], last["vs_copy_postgres"]) == (1200, None)
    assert last["vs_copy_duckdb"] == round(steps[0]["seconds"] / steps[1]["seconds"], 3)
