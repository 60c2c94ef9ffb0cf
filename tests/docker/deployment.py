"""What docker/ says, read: compose.yaml with its variables filled in, the Dockerfiles as instructions."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

from nightjar.settings import repository

FOLDER = repository() / "docker"
SCRIPTS = FOLDER / "scripts"
DOCKERFILES = sorted(FOLDER.glob("*.Dockerfile"))


def script(name: str) -> ModuleType:
    """A script of the images as a module; a package of PyPI is called `docker` too."""
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def defaults() -> dict[str, str]:
    """What .env.example sets."""
    lines = (FOLDER / ".env.example").read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def compose(**differing: str) -> dict[str, Any]:
    """compose.yaml as Compose reads it, with .env.example as .env but for what differs."""
    known = defaults() | differing

    def value(found: re.Match[str]) -> str:
        name, mark, otherwise = found.groups()
        if name in known and (known[name] or mark == "-"):
            return known[name]
        assert mark, f"compose.yaml: ${{{name}}} has no default"
        return otherwise

    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    read: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{(\w+)(?:(:?-)([^}]*))?\}", value, text))
    return read


@dataclass(frozen=True)
class Instruction:
    """One instruction of a Dockerfile, its continued lines joined."""

    name: str
    text: str

    @property
    def argv(self) -> list[str]:
        """The command of RUN, CMD, ENTRYPOINT or HEALTHCHECK; only the form without a shell is one."""
        command = re.sub(r"^(--\S+\s+)*(CMD\s+)?", "", self.text)
        argv: list[str] = json.loads(command)
        return argv

    @property
    def words(self) -> list[str]:
        return shlex.split(self.text)


def instructions(dockerfile: Path) -> list[Instruction]:
    joined = re.sub(r"\\\n\s*", "", dockerfile.read_text(encoding="utf-8"))
    lines = [line.strip() for line in joined.splitlines() if line.strip() and not line.startswith("#")]
    return [Instruction(*line.split(maxsplit=1)) for line in lines]
