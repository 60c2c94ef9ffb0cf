"""Fixtures of all tests: a Spark session, a home of one's own, golden files."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from nightjar.stores.home import Home

# A main module without a file is to pyspark a doctest run, which it ends; pytest-xdist's workers have none.
if not hasattr(sys.modules["__main__"], "__file__"):
    sys.modules["__main__"].__file__ = pytest.__file__

GOLDEN = Path(__file__).parent / "golden"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--approve", action="store_true", help="rewrite golden files with what the code gives now")


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    from nightjar.settings import load_conf
    from nightjar.stores.spark import session

    os.environ["PYSPARK_PYTHON"] = sys.executable
    # A task may fail once: what a second attempt makes of the first one's leavings is worth a test.
    conf = load_conf(sets=["spark.master='local[2,2]'", "spark.shuffle_partitions=4", "spark.driver_memory_gib=1"])
    started = session("nightjar tests", conf.spark)
    yield started
    started.stop()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    from nightjar.stores.home import Home

    monkeypatch.setenv("NIGHTJAR_HOME", str(tmp_path / "home"))
    return Home.from_environment()


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Compare text with `tests/golden/<test file>/<name>`; `--approve` rewrites it."""

    def compare(name: str, text: str) -> None:
        path = GOLDEN / Path(request.node.path).stem / name
        if request.config.getoption("--approve"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.exists(), f"no golden file {path}; look at the text, then run pytest --approve:\n{text}"
        assert text == path.read_text(encoding="utf-8"), f"differs from {path}; if meant: pytest --approve"

    return compare
