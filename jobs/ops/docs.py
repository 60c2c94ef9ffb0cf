"""Write the generated pages, or check that they are up to date: data dictionary, settings, benchmarks."""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jobs.bench import page as benchmarks

from nightjar import settings
from nightjar.contracts import BOT_RULES, ROW_RULES, TABLES
from nightjar.contracts.render import dictionary
from nightjar.contracts.rules import AS_SENT, MALFORMED, TEXTS
from nightjar.settings import Conf, Files, Source, read_toml, repository

FOLDER = repository() / "docs"

_HEAD = """# Settings

Generated from `src/nightjar/settings.py` and `conf/base.toml` by `make docs`; do not edit.

`conf/base.toml` holds every key. Others state differences only, and the later one wins: a file of `conf/models/`
(`MODEL=gru`), `[gate]` and `[settings]` of the source, `SET="train.epochs=3 score.k=10"` on the command line.
An unknown key is an error.
"""

_RULES = f"""## Row rules

A row that breaks one goes to `quarantine` with every reason, in this order; a source adds its own under `[rejects]`.
Words are no reason: damaged ones ({", ".join(TEXTS)}) are repaired or withdrawn, and what was sent is kept in
`attributes` as `query{AS_SENT}` and so on.

| reason | the row | settings |
|---|---|---|
"""
_BOT_RULES = """## Bot rules

The first that fires is the event's or the session's `bot_rule`. Bots are kept, out of training and of people's numbers.

| rule | it fires on | settings |
|---|---|---|
"""

_SOURCE = """## A source: conf/sources/<shop>.toml

How one shop's raw logs become events; the file's name is the shop's name. SQL means Spark SQL over the raw columns.

"""
_COLUMNS = "| key | value | default | meaning |\n|---|---|---|---|"


def pages() -> dict[Path, str]:
    pages = {FOLDER / "data.md": data_page(), FOLDER / "conf.md": conf_page()}
    if benchmarks.NUMBERS.exists():
        pages[benchmarks.PAGE] = benchmarks.rendered(json.loads(benchmarks.NUMBERS.read_text(encoding="utf-8")))
    return pages


def data_page() -> str:
    """Every table and column, then the rules that rows are judged by."""
    rows = [_rule(rule.name, rule.doc, rule.settings) for rule in (MALFORMED, *ROW_RULES)]
    bots = [_rule(rule.name, rule.doc, rule.settings) for rule in BOT_RULES]
    return "\n".join([dictionary(TABLES), _RULES + "\n".join(rows), "", _BOT_RULES + "\n".join(bots), ""])


def _rule(name: str, doc: str, settings: tuple[str, ...]) -> str:
    # The source's settings are no bounds: a shop has one time zone.
    bounds = ", ".join(f"`{setting}`" for setting in settings if not setting.startswith("source."))
    return f"| {name} | {doc} | {bounds} |".replace("  |", " |")


def conf_page() -> str:
    """Every section and key with its type, its value in base.toml and the comment beside it."""
    values = read_toml(repository() / "conf" / "base.toml")
    written = _classes()
    parts = [_HEAD]
    for section, field in Conf.model_fields.items():
        model: Any = field.annotation
        doc = ast.get_docstring(written[model.__name__])
        parts += [f"## [{section}]", "", *([doc, ""] if doc else []), _COLUMNS]
        parts += [_row(key, kind, _shown(values[section][key]), note) for key, kind, note in _fields(model, written)]
        parts.append("")
    parts += [_SOURCE + _COLUMNS]
    known = Source.model_fields
    for key, kind, note in [*_fields(Files, written), *_fields(Source, written)]:
        if key != "name":
            default = "" if known[key].is_required() else _shown(known[key].get_default(call_default_factory=True))
            parts.append(_row(key, kind, default, note))
    return "\n".join([*parts, ""])


def _row(key: str, kind: str, default: str, note: str) -> str:
    return f"| `{key}` | {kind} | {default} | {note} |".replace("  |", " |")


def _shown(value: object) -> str:
    text = json.dumps(value, default=str).replace("|", "\\|")  # a bar would end the cell
    return f"`{text}`" if value not in ({}, "") else ""


def _classes() -> dict[str, ast.ClassDef]:
    tree = ast.parse(inspect.getsource(settings))
    return {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}


def _fields(model: Any, written: dict[str, ast.ClassDef]) -> Iterator[tuple[str, str, str]]:
    """(key, what it may be, comment) in the order of the class."""
    schema = model.model_json_schema()
    lines = inspect.getsource(settings).splitlines()
    for node in written[model.__name__].body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            name = node.target.id
            if name.startswith("_"):
                continue
            yield name, _kind(schema["properties"][name], schema), _comment(lines, node)


def _comment(lines: list[str], node: ast.AnnAssign) -> str:
    """The comment behind the field, else the `#:` line above it."""
    _, mark, behind = lines[(node.end_lineno or node.lineno) - 1][node.end_col_offset or 0 :].partition("#")
    above = lines[node.lineno - 2].strip()
    text = behind if mark else above.removeprefix("#:") if above.startswith("#:") else ""
    return text.strip().replace("|", "\\|")


def _kind(of: dict[str, Any], schema: dict[str, Any]) -> str:
    """A JSON schema in words."""
    if "$ref" in of:
        return _kind(schema["$defs"][of["$ref"].rsplit("/", 1)[1]], schema)
    if of.get("format") == "date":
        return "day"
    if "enum" in of:
        return ", ".join(f"`{value}`" for value in of["enum"])
    if of.get("type") == "array":
        return f"list of {_kind(of.get('items', {}), schema)}"
    if of.get("type") == "object":
        if "properties" in of:
            return "table"
        inner = of.get("additionalProperties")
        return f"table of {_kind(inner if isinstance(inner, dict) else {}, schema)}"
    if "anyOf" in of:
        return " or ".join(_kind(one, schema) for one in of["anyOf"])
    words = {"string": "text", "boolean": "`true`, `false`", "integer": "whole number", "number": "number"}
    return words.get(of.get("type", ""), "value") + _bounds(of)


def _bounds(of: dict[str, Any]) -> str:
    low, high = of.get("minimum"), of.get("maximum")
    if low is not None and (high is not None or "exclusiveMaximum" in of):
        return f", {low:g} to {high:g}" if high is not None else f", {low:g} to below {of['exclusiveMaximum']:g}"
    if low is not None:
        return f", at least {low:g}"
    return f", above {of['exclusiveMinimum']:g}" if "exclusiveMinimum" in of else ""


def main() -> None:
    parser = argparse.ArgumentParser(description="The generated pages: data dictionary, settings, benchmarks.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a page is out of date")
    args = parser.parse_args()
    for page, text in pages().items():
        if not args.check:
            page.write_text(text, encoding="utf-8")
        elif not page.exists() or page.read_text(encoding="utf-8") != text:
            sys.exit(f"{page} is not what the code says\n  next: make docs")


if __name__ == "__main__":
    main()
