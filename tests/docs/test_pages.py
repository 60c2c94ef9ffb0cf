"""Prose that can be checked is checked: commands, links, headings, generated pages, the README's example."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from jobs.ops.docs import pages

from nightjar.settings import load_source, repository

ROOT = repository()
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "conf").rglob("*.md")])
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]

each_page = pytest.mark.parametrize("page", PAGES, ids=NAMES)


def code(text: str) -> Iterator[str]:
    """Inline code, and the lines of indented and fenced blocks."""
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line.strip()
        else:
            yield from re.findall(r"`([^`]+)`", line)


def headings(text: str) -> list[str]:
    return [line.lstrip("# ") for line in text.splitlines() if re.match(r"#+ ", line)]


def anchors(page: Path) -> list[str]:
    """What links into the page may name, as GitHub derives it from headings."""
    found = headings(page.read_text(encoding="utf-8"))
    return [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in found]


def test_the_pages_that_people_look_for_exist() -> None:
    expected = {
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/runbook.md",
        "docs/data.md",
        "docs/conf.md",
    }
    assert expected <= set(NAMES)
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


@each_page
def test_make_targets_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    assert "nightly" in targets
    named = {name for piece in code(page.read_text(encoding="utf-8")) for name in re.findall(r"^make ([a-z-]+)", piece)}
    assert named <= targets, f"{page.name} names make targets that do not exist: {sorted(named - targets)}"


@each_page
def test_relative_links_resolve(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, fragment = link.partition("#")
        target = page.parent / path if path else page
        if not target.exists() or (fragment and fragment not in anchors(target)):
            broken.append(link)
    assert broken == []


def tasks() -> set[str]:
    """Task ids in dags/nightly.py, read without Airflow: the first word of each factory, or task_id."""
    tree = ast.parse((ROOT / "dags" / "nightly.py").read_text(encoding="utf-8"))
    (dag,) = (node for node in tree.body if isinstance(node, ast.With))
    calls = [node.value for node in dag.body if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call)]
    named = [
        next((word.value for word in call.keywords if word.arg == "task_id"), None) or call.args[0] for call in calls
    ]
    return {name.value for name in named if isinstance(name, ast.Constant)}


def test_every_task_has_a_heading_in_the_runbook() -> None:
    found = headings((ROOT / "docs" / "runbook.md").read_text(encoding="utf-8"))
    assert {"land", "clean", "publish", "verdict"} <= tasks()
    assert tasks() <= set(found)


def test_every_setting_is_explained() -> None:
    settings = tomllib.loads((ROOT / "conf" / "base.toml").read_text(encoding="utf-8"))
    sections = re.split(r"^## ", (ROOT / "docs" / "conf.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    keys = {text.split("\n")[0]: set(re.findall(r"^\| `([^`]+)`", text, re.MULTILINE)) for text in sections}
    for section, values in settings.items():
        assert keys[f"[{section}]"] == set(values)


def test_comments_reach_the_page() -> None:
    page = (ROOT / "docs" / "conf.md").read_text(encoding="utf-8")
    assert "| `max_age_days` | whole number, at least 0 | `7` | an older champion is due for training |" in page
    assert '| `name` | `sasrec`, `gru`, `lstm`, `esasrec`, `bert4rec`, `hstu` | `"sasrec"` | |' in page


@pytest.mark.parametrize("name", ["data.md", "conf.md"])
def test_generated_pages_are_up_to_date(name: str) -> None:
    path = ROOT / "docs" / name
    assert path.read_text(encoding="utf-8") == pages()[path], "run make docs"


def test_the_readmes_mapping_is_one(tmp_path: Path) -> None:
    (block,) = re.findall(r"```toml\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path / "myshop.toml"
    path.write_text(block, encoding="utf-8")
    source = load_source(str(path))
    assert (source.name, source.layout, source.kinds["basket"]) == ("myshop", "daily", "cart")


def test_the_readme_lists_every_bundled_mapping() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = readme[readme.index("| your log |") : readme.index("## Your own warehouse")]
    named = set(re.findall(r"`([a-z0-9_]+)`", "".join(re.findall(r"\|([^|]*)\|$", table, re.MULTILINE))))
    assert named == {path.stem for path in (ROOT / "conf" / "sources").glob("*.toml")} - {"synthetic"}


def test_decisions_are_numbered_from_1() -> None:
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs" / "decisions").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
