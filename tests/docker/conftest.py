"""Whole nights from tests/ops, small published ones from tests/stores."""

from __future__ import annotations

import sys
from pathlib import Path

_TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(_TESTS / "ops"), str(_TESTS / "stores")]
