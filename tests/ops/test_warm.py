"""Jobs in one process: each with its own arguments, output and exit code, and what becomes of one that dies."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jobs.ops.warm import WarmJobs

from nightjar.settings import repository

JOB = """
import os, sys
import beside
beside.calls.append(sys.argv[1:])
print("said", beside.calls, flush=True)
os.system("echo said by a child")
if "--die" in sys.argv:
    os.kill(os.getpid(), 9)
if "--break" in sys.argv:
    raise ValueError("broken")
if "--refuse" in sys.argv:
    sys.exit("refused")
sys.exit(int(sys.argv[1]))
"""


@pytest.fixture
def job(tmp_path: Path) -> str:
    (tmp_path / "beside.py").write_text("calls = []\n")
    path = tmp_path / "job.py"
    path.write_text(JOB)
    return str(path)


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(repository() / "src"), str(repository())])}


def test_each_job_has_its_own_arguments_output_and_code(job: str, tmp_path: Path) -> None:
    with WarmJobs(environment()) as jobs:
        codes = [jobs.run([job, code], tmp_path / f"{code}.log") for code in ("0", "2", "7")]
    assert codes == [0, 2, 7]
    # The module beside the job was imported once: one process ran them all.
    assert (tmp_path / "7.log").read_text() == "said [['0'], ['2'], ['7']]\nsaid by a child\n"
    assert (tmp_path / "0.log").read_text() == "said [['0']]\nsaid by a child\n"


def test_an_error_is_an_exit_code_with_its_traceback_in_the_log(job: str, tmp_path: Path) -> None:
    with WarmJobs(environment()) as jobs:
        assert jobs.run([job, "--break"], tmp_path / "log") == 1
        assert "ValueError: broken" in (tmp_path / "log").read_text()
        assert jobs.run([job, "--refuse"], tmp_path / "log") == 1


def test_a_process_that_died_is_a_failed_job_and_the_next_one_gets_another(job: str, tmp_path: Path) -> None:
    with WarmJobs(environment()) as jobs:
        assert jobs.run([job, "--die"], tmp_path / "log") == -9
        assert jobs.run([job, "0"], tmp_path / "log") == 0
    assert (tmp_path / "log").read_text().startswith("said [['0']]")
