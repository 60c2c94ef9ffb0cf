"""Write what changed for a CRM tool since the last time: files with a manifest, below exports/ of NIGHTJAR_HOME.

TARGET is braze, hubspot, sfmc (Salesforce Marketing Cloud) or klaviyo. The first export tells of everybody,
later ones of the people whose content changed or who have none any more. Nothing is sent anywhere.
"""

from __future__ import annotations

import argparse
import sys

from nightjar.contracts import BadInput
from nightjar.settings import load_conf, load_source
from nightjar.stores.exports import export
from nightjar.stores.home import Home
from nightjar.stores.warehouse import open_warehouse


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True)
    parser.add_argument("--target", required=True, help="braze, hubspot, sfmc or klaviyo")
    parser.add_argument("--set", default="", help="settings, separated by spaces")
    args = parser.parse_args()
    try:
        source, home = load_source(args.source), Home.from_environment()
        conf = load_conf(source=source, sets=args.set.split())
        done = export(open_warehouse(conf.publish, home), source.name, args.target, home.exports)
    except BadInput as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"nothing was exported: {error}", file=sys.stderr)
        return 2
    if done is None:
        print(f"{source.name}: nothing changed for {args.target} since the last export")
        return 0
    print(f"{source.name}: {done.num_changed} people changed, {done.num_deleted} gone, {len(done.files)} files")
    print(done.folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
