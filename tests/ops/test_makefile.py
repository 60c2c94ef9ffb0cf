"""What is typed behind a make command reaches the program as it stands: neither the shell nor make reads it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from nightjar.settings import repository

MAKEFILE = (repository() / "Makefile").read_text(encoding="utf-8")
RECIPES = re.findall(r"^([a-z-]+): setup +##.*\n((?:\t.*\n)+)", MAKEFILE, re.MULTILINE)
INPUTS = re.search(r"^INPUTS := (.+?)\$\(", MAKEFILE.replace("\\\n", ""), re.MULTILINE).group(1).split()

#: Stands for the environments' Python: keeps what it was started with.
ECHO = """#!{python}
import json, os, sys
with open({said!r}, "a") as file:
    file.write(json.dumps([sys.argv[1:], {{name: os.environ.get(name) for name in {inputs!r}}}]) + "\\n")
"""

HOSTILE = [
    "$(touch {canary})",
    "$(shell touch {canary})",
    "${{shell touch {canary}}}",
    "`touch {canary}`",
    "'; touch {canary}; '",
    '"; touch {canary}; "',
    'x" && touch {canary} #',
    "a b\t--conf x",
    "$$HOME $HOME ${{HOME}} $$$$",
    "*",
    "\\",
    "ümlaut 日本 \u202egnp.exe",
]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Makefile with environments that only tell how they were started."""
    folder = tmp_path_factory.mktemp("make") / "check out"
    folder.mkdir()
    text = re.sub(r"^setup:.*\n(\t.*\n)+", "setup:\n", MAKEFILE, flags=re.MULTILINE)  # nothing is built
    (folder / "Makefile").write_text(text)
    for name in ("jobs/bin/python", "airflow/bin/python"):
        path = folder / ".envs" / name
        path.parent.mkdir(parents=True)
        path.write_text(ECHO.format(python=sys.executable, said=str(folder / "said"), inputs=INPUTS))
        path.chmod(0o755)
    return folder


def run(checkout: Path, targets: Sequence[str], typed: Mapping[str, str]) -> list[tuple[list[str], dict[str, str]]]:
    make = shutil.which("make")
    assert make
    # As an argument and, every other one, from the environment: make expands both.
    names = sorted(typed)
    python = f"PYTHON={checkout / '.envs/jobs/bin/python'}"
    argv = [make, "-s", python, *targets, *(f"{name}={typed[name]}" for name in names[::2])]
    environment = {"PATH": os.environ["PATH"], **{name: typed[name] for name in names[1::2]}}
    subprocess.run(argv, cwd=checkout, env=environment, check=True, capture_output=True, timeout=120)
    lines = (checkout / "said").read_text().splitlines()
    (checkout / "said").unlink()
    return [tuple(json.loads(line)) for line in lines]  # type: ignore[misc]


def hostile(checkout: Path, turn: int) -> dict[str, str]:
    """Every input with a value that would leave the canary behind, were it read."""
    canary = str(checkout / "canary").replace(" ", "?")  # a glob that the shell would find
    values = [template.format(canary=canary) for template in HOSTILE]
    return {name: values[(number + turn) % len(values)] for number, name in enumerate(INPUTS)}


@pytest.mark.parametrize("turn", range(len(HOSTILE) // 2))
def test_nothing_that_is_typed_is_run(checkout: Path, turn: int) -> None:
    typed = hostile(checkout, 2 * turn)
    ((argv, environment),) = run(checkout, ["nightly"], typed)
    assert not (checkout / "canary").exists()
    flags = {
        "source": "SOURCE",
        "raw": "RAW",
        "day": "DAY",
        "model": "MODEL",
        "set": "SET",
        "airflow-port": "AIRFLOW_PORT",
    }
    told = [part for flag, name in flags.items() for part in (f"--{flag}", typed[name])]
    assert argv == ["-m", "jobs.ops.nightly", *told]
    assert environment == typed


@pytest.mark.parametrize("turn", [0, 3, 6])
def test_every_recipe_hands_values_over_unread(checkout: Path, turn: int) -> None:
    targets = [name for name, _ in RECIPES if name not in ("test", "check", "format", "docs", "approve")]
    starts = run(checkout, targets, hostile(checkout, turn))
    assert len(starts) >= len(targets) > 20
    assert not (checkout / "canary").exists()


def test_every_variable_of_a_recipe_is_one_of_the_inputs() -> None:
    ours = {"one", "jobs", "airflow", "peer", "PYTHONPATH", "NIGHTJAR_TEST_NIGHTS"}
    used = {name for _, recipe in RECIPES for name in re.findall(r"\$\$\{?([A-Za-z_]+)", recipe)}
    assert used - ours <= set(INPUTS)
    # Whatever make itself puts into a recipe is parsed by the shell.
    expanded = {name for _, recipe in RECIPES for name in re.findall(r"(?<!\$)\$\(([A-Za-z_]+)\)", recipe)}
    assert expanded <= {"JOBS", "AIRFLOW", "PYTHON"}
