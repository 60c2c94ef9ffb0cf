"""A real PostgreSQL for the tests; they are skipped where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from jobs.ops import postgres

from nightjar.contracts import BadInput


@contextmanager
def running(*options: str) -> Iterator[postgres.Server]:
    """A started server, deleted afterwards."""
    try:
        postgres.binaries()
    except BadInput as error:
        pytest.skip(error.problem)
    with postgres.running(*options) as server:
        yield server
