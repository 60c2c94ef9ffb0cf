"""A real PostgreSQL for the tests; they are skipped where there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from jobs.ops import postgres

from nightjar.contracts import BadInput


@contextmanager
def running() -> Iterator[str]:
    """A started server; yields the URI of an empty database and deletes everything afterwards."""
    try:
        postgres.binaries()
    except BadInput as error:
        pytest.skip(error.problem)
    with postgres.running("fsync=off") as server:
        yield server.uri
