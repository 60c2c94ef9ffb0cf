"""What counts as a job's own time, and what as the night's overhead."""

from __future__ import annotations

import pytest
from jobs.bench.overhead import covered, measured, share


def test_time_of_jobs_side_by_side_counts_once() -> None:
    assert covered([]) == 0
    assert covered([(5, 6), (0, 2), (1, 3), (1, 2)]) == 4


def test_overhead_is_what_no_job_was_running_in() -> None:
    assert share((0, 10), [(1, 4), (3, 6), (7, 12)]) == pytest.approx(0.2)
    assert share((0, 10), [(-5, -1)]) == 1


def test_of_a_run() -> None:
    def at(second: int) -> str:
        return f"2001-01-15T02:00:{second:02}Z"

    tasks = {
        "clean": {"start_date": at(1), "end_date": at(30)},
        "score": {"start_date": at(31), "end_date": at(59)},
        "verdict": {"start_date": at(59), "end_date": at(59)},
    }
    start = 979_524_000.0
    jobs = {"clean": (start + 8, start + 29), "score": (start + 40, start + 58)}
    assert measured({"start_date": at(0), "end_date": at(59), "tasks": tasks}, jobs) == {
        "overhead_share": pytest.approx(1 - 39 / 59, abs=1e-4),
        "seconds": 59.0,
        "job_seconds": 39.0,
        "seconds_before_code": {"clean": 7.0, "score": 9.0},
    }
