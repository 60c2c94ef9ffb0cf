"""Bills of materials of the environments, as CycloneDX 1.6, and the licences of everything that is locked.

A bill names each package of a lock with its version, package URL and licence, from the metadata of the built
environment where there is one, else from conf/locks/licenses.txt. Hashes are not in it: locks name versions, and which
file of a version pip takes differs between machines. The list of licences is written by `--licenses`, which asks pip
what it would install.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from email import message_from_string
from pathlib import Path
from typing import Any

from jobs.ops.setup import AUDIT, ENVIRONMENTS, LOCKS, PEERS, SUPERSET, Environment, setup

from nightjar.contracts import BadInput
from nightjar.settings import repository
from nightjar.stores.files import write_json
from nightjar.stores.home import Home

LICENSES = LOCKS / "licenses.txt"
LOCKED = (*ENVIRONMENTS, *PEERS, SUPERSET, AUDIT)

#: What our own processes import at run time must not be under these alone, unless conf/audit.toml says why.
COPYLEFT = re.compile(r"\bA?GPL|General Public License|Affero", re.IGNORECASE)
#: The lesser licence lets others link to it.
LESSER = re.compile(r"\bLGPL[^;)]*|GNU (Library or )?Lesser General Public License[^;(]*", re.IGNORECASE)


def is_refused(licence: str) -> bool:
    """Whether the licence is GPL or AGPL without a choice; an SPDX expression states one by OR."""
    return bool(COPYLEFT.search(LESSER.sub("", licence))) and " OR " not in licence


def normal(name: str) -> str:
    """A package's name as PyPI compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(environment: Environment) -> dict[str, str]:
    """Package -> version of a lock file."""
    lines = environment.lock.read_text(encoding="utf-8").split()
    return {normal(name): version for name, _, version in (line.partition("==") for line in lines)}


def licence_of(metadata: Mapping[str, Any]) -> str:
    """One line: the SPDX expression, else the classifiers, else the first line of the free text.

    Args:
        metadata: as pip's reports have it: license_expression, license, classifier.
    """
    if expression := metadata.get("license_expression"):
        return str(expression)
    said = [line for line in metadata.get("classifier") or () if line.startswith("License ::")]
    words = [line.rpartition(" :: ")[2] for line in said]
    if words := [word for word in words if word != "OSI Approved"]:
        return "; ".join(words)
    lines = str(metadata.get("license") or "").strip().splitlines()
    return lines[0].strip()[:80] if lines else ""


def licenses() -> dict[str, str]:
    """Package -> licence, of everything that any lock names."""
    lines = LICENSES.read_text(encoding="utf-8").splitlines()
    pairs = (line.split(maxsplit=1) for line in lines if line and not line.startswith("#"))
    return {name: licence.strip() for name, licence in pairs}


def reported(environment: Environment) -> dict[str, str]:
    """Package -> licence, as pip finds it in what it would install; "" where the package says nothing.

    Raises:
        BadInput: pip could not; carries the end of what it said.
    """
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        argv = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--dry-run"]
        argv += ["--ignore-installed", "--no-deps", "--report", file.name, "--requirement", str(environment.lock)]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BadInput(f"pip cannot resolve {environment.lock}: {done.stderr.strip()[-500:]}", "make locks")
        said = json.loads(Path(file.name).read_text(encoding="utf-8"))
    found = (one["metadata"] for one in said["install"])
    return {normal(metadata["name"]): licence_of(metadata) for metadata in found}


def write_licenses() -> None:
    """Ask pip about every lock and rewrite the list; what pip does not say, as of SPDX before 24.3, stays."""
    known = licenses() if LICENSES.exists() else {}
    found: dict[str, str] = {}
    for environment in LOCKED:
        found |= {name: licence or known.get(name, "") for name, licence in reported(environment).items()}
    head = [line for line in LICENSES.read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    width = max(map(len, found))
    body = [f"{name:{width}}  {licence or 'UNKNOWN'}" for name, licence in sorted(found.items())]
    LICENSES.write_text("\n".join([*head, *body]) + "\n", encoding="utf-8")


def forbidden(environment: Environment) -> list[str]:
    """Packages of the environment that nobody gave a reason for, with their licences."""
    reasons = tomllib.loads((repository() / "conf" / "audit.toml").read_text(encoding="utf-8")).get("licence", [])
    excused = {normal(one["package"]) for one in reasons}
    known = licenses()
    return [f"{name}: {known[name]}" for name in locked(environment) if name not in excused and is_refused(known[name])]


def installed(environment: Environment) -> dict[str, dict[str, Any]]:
    """Package -> its metadata, of the built environment; empty where it is not built."""
    return {normal(found["name"]): found for found in _metadata(environment)}


def _metadata(environment: Environment) -> Iterator[dict[str, Any]]:
    for path in environment.path.glob("lib/python*/site-packages/*.dist-info/METADATA"):
        message = message_from_string(path.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0])
        yield {
            "name": message["Name"],
            "version": message["Version"].split("+")[0],
            "license_expression": message["License-Expression"],
            "license": message["License"],
            "classifier": message.get_all("Classifier"),
        }


def bill(environment: Environment) -> dict[str, Any]:
    """The environment as CycloneDX 1.6 JSON: same locks, same bytes.

    Raises:
        BadInput: a locked package that conf/locks/licenses.txt does not know, or another version is installed.
    """
    there, known = installed(environment), licenses()
    components = []
    for name, version in locked(environment).items():
        if name in there and there[name]["version"] != version:
            raise BadInput(f"{environment.name}: {name} is {there[name]['version']}, locked is {version}", "make setup")
        licence = licence_of(there.get(name, {})) or known.get(name)
        if not licence:
            raise BadInput(f"{name} has no line in {LICENSES}", "make licenses")
        url = f"pkg:pypi/{name}@{version}"
        component = {"type": "library", "bom-ref": url, "name": name, "version": version, "purl": url}
        components.append(component | {"licenses": [{"license": {"name": licence}}]})
    root = {"type": "application", "bom-ref": "nightjar", "name": f"nightjar-{environment.name}"}
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": root},
        "components": components,
        "dependencies": [{"ref": "nightjar", "dependsOn": [one["bom-ref"] for one in components]}],
    }


#: Run by the audit environment's Python: the schema's own validator.
_VALIDATE = """
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_6).validate_str(open(sys.argv[1], encoding="utf-8").read())
sys.exit(str(error) if error else 0)
"""


def validate(path: Path) -> None:
    """Hold a bill against CycloneDX's schema.

    Raises:
        BadInput: it does not fit.
    """
    argv = [str(AUDIT.python), "-c", _VALIDATE, str(path)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BadInput(f"{path} is no CycloneDX 1.6: {done.stderr.strip()[-500:]}", "make locks")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--licenses", action="store_true", help="rewrite conf/locks/licenses.txt, and nothing else")
    args = parser.parse_args()
    try:
        if args.licenses:
            write_licenses()
            return 0
        setup((AUDIT,))
        folder = Home.from_environment().root / "sbom"
        for environment in LOCKED:
            path = folder / f"{environment.name}.cdx.json"
            folder.mkdir(parents=True, exist_ok=True)
            write_json(path, bill(environment))
            validate(path)
            print(f"{path}: {len(locked(environment))} packages")
    except BadInput as error:
        print(f"sbom: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
