"""Let a day's rejected records through again, after its mapping or a rule was mended.

Runs `clean --replay` and then `sessionize`, in processes of their own; what they changed reaches
readers with the next night, or with `make nightly` for the day.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from datetime import date

from nightjar.contracts import EVENTS, BadInput
from nightjar.settings import load_source, repository
from nightjar.stores.home import Home


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True)
    parser.add_argument("--day", required=True)
    parser.add_argument("--set", default="", help="settings, separated by spaces")
    args = parser.parse_args()
    try:
        source, day = load_source(args.source), _day(args.day)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 2
    partition = str(EVENTS.at(source.name, day))
    sets = [part for assignment in args.set.split() for part in ("--set", assignment)]
    home = Home.from_environment()
    for job, *more in (("clean", "--replay"), ("sessionize",)):
        command = [sys.executable, str(repository() / "jobs" / f"{job}.py"), "--source", args.source]
        done = subprocess.run([*command, "--events", partition, "--run", "replay", *sets, *more], check=False)
        if done.returncode:
            return done.returncode
        counts = json.loads(home.result(source.name, day, job).read_text())["counts"]
        if job == "clean":
            print(
                f"{day}: {counts['rows_rejected']} of the drop's {counts['rows_in']} records are still rejected"
                + "".join(f"\n  {reason}: {number}" for reason, number in counts["reasons"].items())
            )
    print(f"next: make nightly SOURCE={args.source} DAY={day}  # or wait for tonight")
    return 0


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"DAY={text!r} is no day", "make replay SOURCE=name DAY=2001-01-15") from error


if __name__ == "__main__":
    sys.exit(main())
