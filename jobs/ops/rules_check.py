"""What a shop's rules file means for the latest night's items; writes nothing.

Per surface: how many items may be shown, what each rule says of itself, and what cannot be met.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from nightjar.contracts import ITEMS, BadInput, Partition
from nightjar.score.catalogue import Catalogue
from nightjar.score.rulebook import Rules, load_facts, load_rulebook, resolve, rules_file
from nightjar.settings import load_conf, load_source, repository
from nightjar.stores.home import Home
from nightjar.stores.lake import Lake

FOLDER = repository() / "conf" / "rules"


def lines(home: Home, source_name: str, sets: list[str]) -> Iterator[str]:
    """The answer, line by line.

    Raises:
        BadInput: no rules, rules that cannot be meant, or no night yet to hold them against.
    """
    source = load_source(source_name)
    conf = load_conf(source=source, sets=sets)
    path = rules_file(FOLDER, source.name, conf.score.rules)
    if path is None:
        raise BadInput(
            f"{source.name} has no rules: there is no conf/rules/{source.name}.toml",
            f"cp conf/rules/example.toml conf/rules/{source.name}.toml",
        )
    rulebook, lake = load_rulebook(path), Lake(home.lake)
    days = lake.days(source.name, ITEMS.name)
    if not days:
        raise BadInput(f"{path} is well formed; the lake has no items to hold it against", "make nightly")
    day = max(days)
    catalogue = Catalogue.read(lake.files(Partition(source.name, ITEMS.name, day)))
    available_N = catalogue.available(source.end_of(day), conf.score.available_within_days)
    facts = load_facts(rulebook, path, day)
    yield f"{_shown(path)}, held against {catalogue.size:,} items of {day}, {available_N.sum():,} of them available"
    for rules in resolve(rulebook, facts, catalogue, conf.score, available_N=available_N, day=day):
        yield from _surface(rules, int((rules.allowed_N & available_N).sum()))


def _surface(rules: Rules, num_shown: int) -> Iterator[str]:
    yield f"\n{rules.surface}: lists of {rules.k} from {num_shown:,} items"
    if rules.no_repeat_days:
        yield f"  nothing that the person bought in the last {rules.no_repeat_days} days"
    yield from (f"  {cap.rule}: at most {cap.at_most} in a list" for cap in rules.caps)
    yield from (f"  {pin.name}" for pin in rules.pins)
    if rules.diversity:
        yield f"  mixed by {rules.diversity.method}, weight {rules.diversity.weight}"
    yield from (f"  {'note' if found.met else 'NOT MET'}  {found.rule}: {found.said}" for found in rules.findings)


def _shown(path: Path) -> str:
    return str(path.relative_to(repository()) if path.is_relative_to(repository()) else path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", required=True, help="the shop: a mapping under conf/sources/, or a path to one")
    parser.add_argument("--set", default="", help="settings, section.key=value, separated by spaces")
    args = parser.parse_args()
    try:
        for line in lines(Home.from_environment(), args.source, args.set.split()):
            print(line)
    except BadInput as error:
        sys.exit(f"rules-check: {error}")


if __name__ == "__main__":
    main()
