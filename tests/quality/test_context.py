"""Importing Great Expectations ahead of time, in a process that has not done so."""

import subprocess
import sys

AHEAD = """
import sys, threading
from nightjar.quality.context import ephemeral_context, preload
assert "great_expectations" not in sys.modules
preload()
(ahead,) = [thread for thread in threading.enumerate() if thread.name.startswith("import")]
ahead.join()
assert "great_expectations" in sys.modules
print(ephemeral_context().list_data_docs_sites())
"""


def test_preload_imports_beside_the_caller(tmp_path):
    script = tmp_path / "ahead.py"  # pyspark takes a main module without a file for a doctest run
    script.write_text(AHEAD)
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False, timeout=300)
    assert (done.returncode, done.stdout.strip()) == (0, "{}"), done.stderr
