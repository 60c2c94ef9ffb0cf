"""Show an earlier night to the warehouse's readers, or go forward again: one pointer moves, logged in publish_log.

Without TO the night before the one that readers see; TO=YYYY-MM-DD another night that the warehouse holds,
TO=latest the newest. The next night that is published shows itself as always; a night whose rows are there
already does not, so that what was rolled back stays so until its rows change.
"""

from __future__ import annotations

import argparse
import sys
import time
from datetime import UTC, datetime

from nightjar.contracts import BadInput
from nightjar.settings import load_conf, load_source
from nightjar.stores.home import Home
from nightjar.stores.warehouse import LATEST, open_warehouse, rollback


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True)
    parser.add_argument("--to", default="", help="a night, a publish_id, or latest; default: the night before")
    parser.add_argument("--set", default="", help="settings, separated by spaces")
    args = parser.parse_args()
    started = time.monotonic()
    try:
        source = load_source(args.source)
        conf = load_conf(source=source, sets=args.set.split())
        warehouse = open_warehouse(conf.publish, Home.from_environment())
        done = rollback(warehouse, source.name, args.to, now=lambda: datetime.now(UTC), run_id="rollback")
    except BadInput as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"readers see what they saw: {error}", file=sys.stderr)
        return 2
    seconds = time.monotonic() - started
    if not done.moved:
        print(f"{source.name}: readers see {done.day} already; nothing changed")
        return 0
    print(f"{source.name}: readers see {done.day} since now, {done.before} before; {seconds:.2f} s")
    if done.day != done.held[0]:
        print(f"forward again: make rollback SOURCE={args.source} TO={LATEST}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
