"""What only a server can get wrong: connections, and secrets in messages."""

from __future__ import annotations

from pathlib import Path

import nights
import pytest

from nightjar.contracts import BadInput
from nightjar.settings import Publish
from nightjar.stores.home import Home
from nightjar.stores.warehouse import DuckDbFile, open_warehouse

POSTGRES = Publish(target="postgres", keep_nights=3)


@pytest.mark.parametrize(
    ("uri", "problem"), [("", "is not set"), ("host=db password=hunter2", "is no postgresql:// URI")]
)
def test_a_missing_or_odd_uri_is_named_but_not_shown(
    home: Home, monkeypatch: pytest.MonkeyPatch, uri: str, problem: str
) -> None:
    monkeypatch.setenv("NIGHTJAR_WAREHOUSE_URI", uri)
    with pytest.raises(BadInput, match=problem) as caught:
        open_warehouse(POSTGRES, home)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("postgresql://u:hunter2@127.0.0.1:1/x", "Connection refused"),
        ("postgresql://u@127.0.0.1/x?hunter2=hunter2", "the URI cannot be read"),
    ],
)
def test_no_connection_is_an_environment_error_without_the_secret(
    tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch, uri: str, said: str
) -> None:
    monkeypatch.setenv("NIGHTJAR_WAREHOUSE_URI", uri)
    warehouse = open_warehouse(POSTGRES, home)
    with pytest.raises(ConnectionError, match=f"of NIGHTJAR_WAREHOUSE_URI: .*{said}") as caught:
        nights.put(warehouse, nights.night(tmp_path))
    assert "hunter2" not in f"{caught.value!r} {caught.value.__cause__!r} {warehouse!r}"
    assert caught.value.__suppress_context__


def test_the_default_is_a_file_below_home(home: Home) -> None:
    assert open_warehouse(Publish(target="duckdb", keep_nights=3), home) == DuckDbFile(home.root / "warehouse.duckdb")
