"""Mappings, settings and rules as a slip of the hand leaves them: each is read, or refused with what to type next."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nightjar.contracts import BadInput
from nightjar.score.rulebook import load_rulebook
from nightjar.settings import Conf, Source, load_conf, load_source, read_toml, repository

CONF = repository() / "conf"
SLOW = settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))

#: What shells, templates, SQL, paths and regular expressions read in their own way, and what is no text at all.
WRONG: tuple[Any, ...] = (
    *(
        "",
        " ",
        "\0",
        "\n",
        "../../etc/passwd",
        "/etc/passwd",
        "$(id)",
        "'; DROP TABLE x; --",
        "{{ 7*7 }}",
        "(",
        "[",
        "*",
    ),
    *("{day}", "{day.__class__}", "%s", "é", "\u202e", "a" * 200, "1e400", "synthetic", "base.toml"),
    *(0, -1, 2**63, 1.5, float("nan"), float("inf"), True, date(2001, 1, 15)),
    *([], ["a", 1], [[]], {}, {"a": {}}, {"": ""}, {"a.b": [1]}),
)

Where = tuple[str | int, ...]


def leaves(value: Any, at: Where = ()) -> Iterator[Where]:
    """Every place below a table, tables and lists included."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*at, key)
        yield from leaves(one, (*at, key))


def changed(table: dict[str, Any], at: Where, to: Any) -> dict[str, Any]:
    found = copy.deepcopy(table)
    *above, last = at
    inner: Any = found
    for key in above:
        inner = inner[key]
    inner[last] = to
    return found


def written(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return "{" + ", ".join(f"{written(str(key))} = {written(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, str):
        return '"' + "".join(c if c.isprintable() and c not in '"\\' else f"\\U{ord(c):08x}" for c in value) + '"'
    return str(value)


def as_toml(table: dict[str, Any]) -> str:
    text = "".join(f"{written(str(key))} = {written(one)}\n" for key, one in table.items())
    assert tomllib.loads(text).keys() == table.keys()
    return text


def read_or_refused(read: Callable[[], Any]) -> Any:
    try:
        return read()
    except BadInput as refused:
        said = (refused.problem, refused.next_command)
    assert all(said)
    return None


@pytest.mark.parametrize("shop", ["synthetic", "online_retail", "retailrocket"])
@SLOW
@given(data=st.data())
def test_a_mapping_with_a_wrong_value(shop: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    known = read_toml(CONF / "sources" / f"{shop}.toml")
    at, to = data.draw(st.sampled_from(list(leaves(known)))), data.draw(st.sampled_from(WRONG))
    path = tmp_path_factory.getbasetemp() / f"{shop}.toml"
    path.write_text(as_toml(changed(known, at, to)), encoding="utf-8")
    source = read_or_refused(lambda: load_source(str(path)))
    if source is None:
        return
    assert isinstance(source, Source)
    for files in source.files.values():
        for glob in (files.glob(None), files.glob(date(2001, 1, 15))):
            below = list(Path(tmp_path_factory.getbasetemp()).glob(glob))
            assert all(".." not in file.parts for file in below), (
                "a mapping's pattern stays below the folder of raw logs"
            )
    read_or_refused(lambda: load_conf(source=source))


@SLOW
@given(data=st.data())
def test_settings_with_a_wrong_value(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    known = read_toml(CONF / "base.toml")
    at, to = data.draw(st.sampled_from(list(leaves(known)))), data.draw(st.sampled_from(WRONG))
    path = tmp_path_factory.getbasetemp() / "mine.toml"
    path.write_text(as_toml(changed(known, at, to)), encoding="utf-8")
    conf = read_or_refused(lambda: load_conf(files=[path]))
    assert conf is None or isinstance(conf, Conf)


@SLOW
@given(data=st.data())
def test_rules_with_a_wrong_value(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    known = read_toml(CONF / "rules" / "example.toml")
    at, to = data.draw(st.sampled_from(list(leaves(known)))), data.draw(st.sampled_from(WRONG))
    path = tmp_path_factory.getbasetemp() / "rules.toml"
    path.write_text(as_toml(changed(known, at, to)), encoding="utf-8")
    read_or_refused(lambda: load_rulebook(path))


@SLOW
@given(content=st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)))
def test_files_that_are_no_toml_or_another(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content)
    for read in (lambda: load_source(str(path)), lambda: load_conf(files=[path]), lambda: load_rulebook(path)):
        read_or_refused(read)
