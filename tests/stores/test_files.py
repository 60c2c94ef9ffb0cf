"""Files are whole or absent, whatever fails, and secrets are the owner's."""

from __future__ import annotations

import json
import os
import stat
import threading
from datetime import date
from pathlib import Path

import pytest

from nightjar.contracts import BadInput
from nightjar.stores.files import create_exclusively, write_atomically, write_json
from nightjar.stores.home import Home
from nightjar.stores.secrets import pseudonym_key


def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a" / "b.json"
    write_atomically(path, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for write in (write_atomically, create_exclusively):
        with pytest.raises(OSError, match="No space"):
            write(path, b"new")
    assert (path.read_bytes(), list(path.parent.iterdir())) == (b"old", [path])


def test_only_one_creates(tmp_path: Path) -> None:
    path, won = tmp_path / "n.json", []
    threads = [
        threading.Thread(target=lambda n=n: won.append(n) if create_exclusively(path, b"%d" % n) else None)
        for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    assert path.read_bytes() == b"%d" % won[0]
    assert list(tmp_path.iterdir()) == [path]


def test_json_has_one_spelling(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": date(2001, 1, 15), "a": [1]})
    assert (tmp_path / "a.json").read_text() == '{\n "a": [\n  1\n ],\n "b": "2001-01-15"\n}\n'
    assert json.loads((tmp_path / "a.json").read_text())["a"] == [1]


def test_the_key_is_made_once_and_for_the_owner(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NIGHTJAR_PSEUDONYM_KEY", raising=False)
    key = pseudonym_key(home)
    assert (len(key), pseudonym_key(home)) == (32, key)
    assert stat.S_IMODE((home.secrets / "pseudonym.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.secrets.stat().st_mode) == 0o700
    monkeypatch.setenv("NIGHTJAR_PSEUDONYM_KEY", "ab" * 32)
    assert pseudonym_key(home) == b"\xab" * 32


@pytest.mark.parametrize("text", ["", "ab", "zz" * 32, "ab" * 33])
def test_a_wrong_key_is_refused_without_being_told(home: Home, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("NIGHTJAR_PSEUDONYM_KEY", text)
    with pytest.raises(BadInput, match="64 hex digits") as caught:
        pseudonym_key(home)
    assert not text or text not in str(caught.value)


def test_home_is_the_environments_or_the_checkouts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NIGHTJAR_HOME", str(tmp_path))
    assert (
        Home.from_environment().result("acme", date(2001, 1, 15), "clean")
        == tmp_path / "runs" / "acme" / "2001-01-15" / "clean.json"
    )
    monkeypatch.setenv("NIGHTJAR_HOME", "")
    assert Home.from_environment().root.name == ".nightjar"
