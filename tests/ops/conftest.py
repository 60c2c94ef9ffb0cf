"""The operator's commands are imported as `jobs.ops`, from the checkout; small published nights from tests/stores."""

from __future__ import annotations

import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_TESTS.parent), str(_TESTS / "stores")]
