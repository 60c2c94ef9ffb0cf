"""docs/scores.md: what every score of people is worth, on real data sets and on the simulated shop, with one command.

DATA is the folder of the data sets; one that it lacks is named as not measured. ONLY names parts, separated by commas;
the others keep the numbers of the run that measured them. Numbers are kept in docs/scores.json, and the page and its
pictures are made of that file alone. The lakes of the parts that run jobs are built anew in a folder of their own,
below `scores/` of NIGHTJAR_HOME, where the jobs' logs are kept too.
The last line on standard output is JSON: the main figures of each part that was measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jobs.ops.scores import hillstrom, logs, open_bandit, page, pictures, simulator
from jobs.ops.scores.parts import Where

from nightjar.contracts import ENVIRONMENT, BadInput
from nightjar.settings import repository
from nightjar.stores.environment import describe
from nightjar.stores.files import write_atomically
from nightjar.stores.home import Home

_PACKAGES = ("numpy", "scikit-learn", "lightgbm", "torch", "pyspark")


@dataclass(frozen=True)
class Part:
    """One data set: what it needs below DATA, how it is measured, and what the last line tells of it."""

    needs: tuple[str, ...]
    measure: Callable[[Where], dict[str, Any]]
    headline: Callable[[Mapping[str, Any]], dict[str, Any]]


PARTS = {
    "simulator": Part((), simulator.measure, simulator.headline),
    "retailrocket": Part((logs.RETAILROCKET.path,), logs.RETAILROCKET.measure, logs.headline),
    "online_retail": Part((logs.ONLINE_RETAIL.path,), logs.ONLINE_RETAIL.measure, logs.headline),
    "hillstrom": Part((hillstrom.FILE,), hillstrom.measure, hillstrom.headline),
    "open_bandit": Part(open_bandit.FILES, open_bandit.measure, open_bandit.headline),
}


def measured(name: str, part: Part, data: Path, work: Path) -> dict[str, Any]:
    """The part's numbers with what they were measured on, or why there are none."""
    on = {"date": datetime.now(UTC).date().isoformat(), "environment": describe(_PACKAGES)}
    if missing := [file for file in part.needs if not (data / file).exists()]:
        return {"on": on, "not_measured": f"DATA has no {' and no '.join(missing)}"}
    begun = time.monotonic()

    def say(step: str) -> None:
        print(f"{time.monotonic() - begun:6.0f} s  {name}: {step}", file=sys.stderr, flush=True)

    numbers = part.measure(Where(data, work / name, say))
    return {"on": on | {"seconds": round(time.monotonic() - begun, 1)}, "numbers": numbers}


def report(data: Path, only: list[str], docs: Path, work: Path, parts: Mapping[str, Part] = PARTS) -> dict[str, Any]:
    """Measure, write page and pictures after each part, and return the headline."""
    file = docs / "scores.json"
    known: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for name in only:
        known[name] = measured(name, parts[name], data, work)
        # In the order of the code, which is the page's: a key sorted would be a contender moved.
        write_atomically(file, (json.dumps(known, indent=1) + "\n").encode())
        pictures.draw(known, docs / "images")
        write_atomically(docs / "scores.md", page.rendered(known).encode())
    told = {name: parts[name].headline(known[name]["numbers"]) for name in only if "numbers" in known[name]}
    return told | {"not_measured": [name for name in only if "numbers" not in known[name]]}


def chosen(only: str) -> list[str]:
    """The parts to measure, in order.

    Raises:
        BadInput: a part that is none.
    """
    wanted = [name for name in only.split(",") if name]
    if unknown := sorted(set(wanted) - PARTS.keys()):
        raise BadInput(f"ONLY names no parts: {', '.join(unknown)}", f"choose from {','.join(PARTS)}")
    return [name for name in PARTS if not wanted or name in wanted]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="the folder of the data sets")
    parser.add_argument("--only", default="", help=f"parts, separated by commas: {','.join(PARTS)} (default: all)")
    args = parser.parse_args()
    try:
        if not args.data or not Path(args.data).is_dir():
            raise BadInput(f"DATA={args.data} is no folder", "make scores-report DATA=folder")
        docs, work = repository() / "docs", Home.from_environment().root / "scores"
        told = report(Path(args.data).absolute(), chosen(args.only), docs, work)
    except BadInput as error:
        print(f"scores-report: {error}", file=sys.stderr)
        sys.exit(ENVIRONMENT)
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main()
