"""File requests of people who want to be forgotten; the DAG `maintenance` carries them out.

Takes JSON lines, or CSV with a header, from FILE or from standard input: user_id, device_id or both, as the shop
calls them; requested_at, an instant; and a reason, which is not kept. Prints what each request is called in the
table `erasures`. With NOW=1 the job runs at once, which waits until no other job of the shop is at work.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from nightjar.contracts import ERASURES, BadInput
from nightjar.prep.erasure import request_id
from nightjar.settings import Source, day_before, load_source, repository
from nightjar.stores.erasures import file_requests, parse
from nightjar.stores.home import Home
from nightjar.stores.secrets import pseudonym_key


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True)
    parser.add_argument("--file", default="", help="JSON lines, or a file that ends in .csv; default: standard input")
    parser.add_argument("--now", default="", help="anything: carry them out at once")
    parser.add_argument("--set", default="", help="settings, separated by spaces; only with --now")
    args = parser.parse_args()
    try:
        source, home = load_source(args.source), Home.from_environment()
        name, text = ("standard input", sys.stdin.read()) if not args.file else _read(Path(args.file))
        requests = parse(name, text)
        if not requests:
            raise BadInput(f"{name} holds no request", "make erase FILE=requests.jsonl")
        key = pseudonym_key(home)
        names = [request_id(key, one.ids, one.requested_at) for one in requests]
        file_requests(home, source.name, min(names), requests)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"nothing was filed: {error.strerror}", file=sys.stderr)
        return 2
    for name in names:
        print(name)
    if args.now:
        return subprocess.run(_job(source, args.set.split()), check=False).returncode
    print(f"{source.name}: {len(names)} requests wait for the DAG maintenance; at once: make erase NOW=1")
    return 0


def _read(path: Path) -> tuple[str, str]:
    try:
        return path.name, path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise BadInput(f"{path.name} is no UTF-8", f"file {path}") from None


def _job(source: Source, sets: list[str]) -> list[str]:
    at = ERASURES.at(source.name, day_before(datetime.now(UTC), source.time_zone))
    argv = [sys.executable, str(repository() / "jobs" / "erase.py"), "--source", source.argument]
    argv += ["--erasures", str(at), "--run", "erase"]
    return [*argv, *(part for one in sets for part in ("--set", one))]


if __name__ == "__main__":
    sys.exit(main())
