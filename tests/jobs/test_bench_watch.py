"""What a watched child is reported to have taken."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from jobs.bench.watch import watched

from nightjar.contracts import BadInput

#: Two processes that hold 150 MiB each at the same time, and share what they inherit.
TREE = """
import os, time
inherited = bytearray(os.urandom(1)) * (150 << 20)
child = os.fork()
own = bytearray(os.urandom(1)) * (150 << 20)
time.sleep(2)
if child:
    os.waitpid(child, 0)
    print('noise')
    print('{"seconds": 1.5}')
"""


def test_memory_of_a_tree_counts_shared_pages_once(tmp_path: Path) -> None:
    done = watched([sys.executable, "-c", TREE], tmp_path)
    assert done.said == {"seconds": 1.5}
    assert 0.44 < done.peak_gib < 0.54  # 150 MiB inherited, 150 MiB twice, and two interpreters
    assert done.seconds >= 2


def test_a_failure_shows_the_end_of_what_the_child_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"ended with 3:\n  it broke"):
        watched([sys.executable, "-c", "import sys; print('it broke', file=sys.stderr); sys.exit(3)"], tmp_path)


def test_the_child_sees_its_environment(tmp_path: Path) -> None:
    code = "import json, os; print(json.dumps({'home': os.environ['NIGHTJAR_HOME'], 'path': 'PATH' in os.environ}))"
    done = watched([sys.executable, "-c", code], tmp_path, {"NIGHTJAR_HOME": "/elsewhere"})
    assert done.said == {"home": "/elsewhere", "path": True}
