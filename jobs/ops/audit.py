"""Hold every lock against the known weaknesses of its packages, by pip-audit in an environment of its own.

Exit codes: 0 nothing is known against what is locked, 1 something is (or a line of conf/audit.toml has run out), 2 the
service that knows did not answer, which says nothing about the locks.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from jobs.ops.sbom import LOCKED, normal
from jobs.ops.setup import AUDIT, setup

from nightjar.contracts import BadInput
from nightjar.settings import read_toml, repository

CLEAN, VULNERABLE, UNREACHABLE = 0, 1, 2
CONF = repository() / "conf" / "audit.toml"
#: Another address of the OSV service, for a mirror of one's own.
URL = "NIGHTJAR_OSV_URL"
DEFAULT_URL = "https://api.osv.dev/v1/query"


class Unreachable(Exception):
    """The service did not answer; carries what pip-audit said."""


@dataclass(frozen=True)
class Weakness:
    """One known weakness of one locked package."""

    package: str
    version: str
    names: tuple[str, ...]  # its id first, then the ids it has elsewhere
    fixed_in: tuple[str, ...]

    def __str__(self) -> str:
        mended = f"mended in {', '.join(self.fixed_in)}" if self.fixed_in else "not mended yet"
        return f"{self.package}=={self.version}: {', '.join(self.names)}; {mended}"


@dataclass(frozen=True)
class Ignored:
    """A weakness that was looked at and does not concern us, for a while."""

    package: str
    id: str
    reason: str
    until: date


def ignored(path: Path) -> list[Ignored]:
    """The list of weaknesses that are known and borne.

    Raises:
        BadInput: a line lacks its reason or its end.
    """
    found = []
    for line in read_toml(path).get("ignore", []):
        if (
            set(line) != {"package", "id", "reason", "until"}
            or not isinstance(line["until"], date)
            or not line["reason"]
        ):
            raise BadInput(f"{path}: [[ignore]] needs package, id, reason and until (a date): {line}", f"edit {path}")
        found.append(Ignored(**line))
    return found


def weaknesses(report: Mapping[str, Any]) -> Iterator[Weakness]:
    """What a report of pip-audit (`--format json`) holds.

    Raises:
        BadInput: a package was skipped: a lock names what the service does not know.
    """
    for package in report["dependencies"]:
        if "skip_reason" in package:
            raise BadInput(f"{package['name']} was not looked at: {package['skip_reason']}", "make locks")
        for one in package["vulns"]:
            names = (one["id"], *sorted(one.get("aliases", ())))
            yield Weakness(package["name"], package["version"], names, tuple(one["fix_versions"]))


def judged(found: Sequence[Weakness], borne: Sequence[Ignored], today: date) -> list[str]:
    """What must be done, a line each; empty when nothing must."""
    lines = [f"{one.package} {one.id} was borne until {one.until}: {one.reason}" for one in borne if one.until < today]
    excused = {(normal(one.package), one.id) for one in borne if one.until >= today}
    return lines + [str(one) for one in found if not any((normal(one.package), name) in excused for name in one.names)]


def report_of(lock: Path, url: str) -> dict[str, Any]:
    """What the service knows of a lock's packages.

    Raises:
        Unreachable: it did not answer.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.json"
        argv = [str(AUDIT.python), "-m", "pip_audit", "--requirement", str(lock), "--no-deps", "--disable-pip"]
        argv += ["--format", "json", "--output", str(path), "--vulnerability-service", "osv", "--osv-url", url]
        argv += ["--progress-spinner", "off", "--cache-dir", str(Path(folder) / "cache")]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        try:
            report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError) as error:
            raise Unreachable((done.stderr.strip() or "no report").splitlines()[-1]) from error
    return report


def audit(locks: Sequence[Path], url: str, conf: Path, today: date) -> int:
    """Look at every lock and say what was found; returns the exit code."""
    borne, found = ignored(conf), list[Weakness]()
    for lock in locks:
        try:
            report = report_of(lock, url)
        except Unreachable as error:
            print(f"audit: {url} did not answer, so nothing is known about {lock.name}\n  {error}", file=sys.stderr)
            print(f"  next: try again later, or export {URL}=address of a mirror", file=sys.stderr)
            return UNREACHABLE
        here = list(weaknesses(report))
        print(f"{lock.name}: {len(report['dependencies'])} packages, {len(here)} known weaknesses")
        found += here
    lines = judged(list(dict.fromkeys(found)), borne, today)
    for line in lines:
        print(f"  {line}")
    if lines:
        print(
            f"  next: raise the version in conf/locks, or say in {conf.name} why it does not concern us and until when"
        )
    return VULNERABLE if lines else CLEAN


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lock", type=Path, action="append", help="a lock file; default: all of conf/locks")
    parser.add_argument("--conf", type=Path, default=CONF, help="what is borne; default: conf/audit.toml")
    args = parser.parse_args()
    try:
        setup((AUDIT,))
        locks = args.lock or [environment.lock for environment in LOCKED]
        return audit(locks, os.environ.get(URL) or DEFAULT_URL, args.conf, datetime.now(UTC).date())
    except BadInput as error:
        print(f"audit: {error}", file=sys.stderr)
        return VULNERABLE


if __name__ == "__main__":
    sys.exit(main())
