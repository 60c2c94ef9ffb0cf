"""Follow a night's data from the raw logs to what BI reads, by what its jobs told as they ran, and draw it.

Whatever a job wrote must come from the raw logs, whatever it read must have been written by somebody, and both must be
what its manifest says. Reads `lineage/<shop>/<day>/*.jsonl`; see `nightjar.stores.lineage` for who writes them.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from jobs.ops.drawing import Box, svg

from nightjar.contracts import BadInput
from nightjar.settings import load_conf, load_source
from nightjar.stores.files import write_atomically
from nightjar.stores.home import Home
from nightjar.stores.lineage import is_elsewhere
from nightjar.stores.warehouse import what_readers_see

Dataset = tuple[str, str]  # namespace and name, as OpenLineage has them


@dataclass(frozen=True)
class Step:
    """What the runs of a job told that night: how the latest ended, what all that are complete read and wrote."""

    job: str
    ended: str  # COMPLETE, FAIL, or START where it was killed
    started: str  # ISO 8601, UTC
    inputs: frozenset[Dataset]
    outputs: Mapping[Dataset, int | None]  # -> rows, where they are known


def steps_of(folder: Path) -> list[Step]:
    """The jobs of one night, in the order in which they began."""
    found = [step for path in folder.glob("*.jsonl") if (step := _step(path))]
    return sorted(found, key=lambda step: (step.started, step.job))


def _step(path: Path) -> Step | None:
    events = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    if not events:
        return None
    latest = [event for event in events if event["run"]["runId"] == events[-1]["run"]["runId"]]
    # A table's day holds what all of its runs brought: a replay reads no raw logs, a second training finds nothing due.
    complete = [event for event in events if event["eventType"] == "COMPLETE"]
    return Step(
        path.stem,
        latest[-1]["eventType"],
        latest[0]["eventTime"],
        frozenset(_key(one) for event in complete for one in event["inputs"]),
        {_key(one): _rows(one) for event in complete for one in event["outputs"]},
    )


def _key(dataset: Mapping[str, Any]) -> Dataset:
    return dataset["namespace"], dataset["name"]


def _rows(dataset: Mapping[str, Any]) -> int | None:
    facets = dataset.get("outputFacets") or {}
    counted: int | None = (facets.get("outputStatistics") or {}).get("rowCount")
    return counted


# -- checks


def problems(
    steps: Sequence[Step],
    manifests: Mapping[str, Mapping[str, Any]],
    before: Iterable[Dataset],
    *,
    lake: Path,
    wanted: Dataset,
) -> list[str]:
    """What is missing between the raw logs and the published view, a sentence each.

    Args:
        manifests: job -> what it left behind.
        before: what earlier nights wrote.
        lake: the shop's folder in it.
        wanted: what must have come out.
    """
    complete = [step for step in steps if step.ended == "COMPLETE"]
    written = {one for step in complete for one in step.outputs}
    raw = raw_logs(complete, lake)
    known = raw | written | set(before)
    found = [] if raw else ["nobody read raw logs"]
    found += [
        f"nobody wrote {_name(one)}, which {step.job} read" for step in complete for one in sorted(step.inputs - known)
    ]
    reached = _reached(complete, raw, before)
    found += [f"{_name(one)} does not come from the raw logs" for one in sorted(written - reached)]
    found += [] if wanted in written else [f"nobody wrote {wanted[1]}"]
    for job, said in sorted(manifests.items()):
        found += _against(job, said, {step.job: step for step in steps}.get(job), lake)
    return found


def raw_logs(steps: Iterable[Step], lake: Path) -> set[Dataset]:
    """What `clean` read from outside the lake."""
    read = {one for step in steps if step.job == "clean" for one in step.inputs if one[0] == "file"}
    return {one for one in read if Path(one[1]).parent != lake}


def _reached(steps: Sequence[Step], raw: set[Dataset], before: Iterable[Dataset]) -> set[Dataset]:
    """All that comes from the raw logs, over any number of jobs; of an earlier night's work its own check tells."""
    reached, size = raw | set(before), -1
    while len(reached) != size:
        size = len(reached)
        for step in steps:
            if step.inputs & reached:
                reached |= step.outputs.keys()
    return reached


def _against(job: str, said: Mapping[str, Any], step: Step | None, lake: Path) -> Iterator[str]:
    """What a manifest says and the events do not."""
    if said.get("status") != "done":
        return
    if step is None or step.ended != "COMPLETE":
        yield f"{job} is done, and told nobody"
        return
    tables = said.get("tables") or {}
    for verb, told in (("read", step.inputs), ("written", step.outputs.keys())):
        for name in tables.get(verb, ()):
            if ("file", str(lake / name)) not in told:
                yield f"{job} has {verb} {name}, and did not tell"


def _name(dataset: Dataset) -> str:
    return Path(dataset[1]).name if dataset[0] == "file" else dataset[1]


# -- drawing


def drawing(steps: Sequence[Step], title: str, lake: Path) -> str:
    """The night as SVG, from top to bottom; what one job wrote and the same jobs read stands in one box.

    What nearly every job writes gets no arrows from them, and a job that found nothing to read or write no box.
    """
    complete = [step for step in steps if step.ended == "COMPLETE" and (step.inputs or step.outputs)]
    raw = raw_logs(complete, lake)
    every = sorted({one for step in complete for one in (*step.inputs, *step.outputs)})
    ends: dict[tuple[tuple[str, ...], tuple[str, ...]], list[Dataset]] = {}
    for one in every:
        writers = tuple(step.job for step in complete if one in step.outputs)
        readers = tuple(step.job for step in complete if one in step.inputs)
        ends.setdefault((writers, readers), []).append(one)
    boxes = {step.job: Box(step.job, "job") for step in complete}
    edges: list[tuple[str, str]] = []
    for (writers, readers), group in ends.items():
        name = "|".join(map(str, group))
        rows = {one: step.outputs[one] for step in complete for one in group if one in step.outputs}
        names = {one: f"raw logs of {_name(one)}" if one in raw else _name(one) for one in group}
        label = ", ".join(f"{names[one]} {rows[one]:,}" if rows.get(one) else names[one] for one in group)
        kind = "raw" if raw & set(group) else {"file": "table", "mlflow": "model"}.get(group[0][0], "shown")
        is_ledger = len(writers) > 3
        boxes[name] = Box(f"{label}, from {len(writers)} jobs" if is_ledger else label, kind)
        edges += [(writer, name) for writer in writers[:1] if is_ledger]
        edges += [(writer, name) for writer in writers if not is_ledger] + [(name, reader) for reader in readers]
    return svg(boxes, edges, [step.job for step in complete], title)


def night(home: Home, shop: str, day: date) -> list[Step]:
    """The night's jobs.

    Raises:
        BadInput: none of them told anything.
    """
    steps = steps_of(home.lineage(shop, day))
    if not steps:
        advice = f"make nightly SOURCE={shop} DAY={day}"
        if is_elsewhere():
            advice = "look where OPENLINEAGE_… sends events, or unset it and run the night again"
        raise BadInput(f"no job told what it read and wrote on the night of {day}", advice)
    return steps


def latest(home: Home, shop: str) -> date:
    """The latest night that told anything."""
    folder = home.lineage(shop, date.min).parent
    days = sorted(path.name for path in folder.glob("[0-9]*") if any(path.glob("*.jsonl")))
    if not days:
        raise BadInput(f"no night of {shop} told what it read and wrote", f"make nightly SOURCE={shop}")
    return date.fromisoformat(days[-1])


def earlier(home: Home, shop: str, day: date) -> set[Dataset]:
    """What the nights before this one wrote."""
    folder = home.lineage(shop, day).parent
    past = [path for path in folder.glob("[0-9]*") if path.name < day.isoformat()]
    return {one for path in past for step in steps_of(path) for one in step.outputs}


def main() -> None:
    parser = argparse.ArgumentParser(description="Check and draw where a night's tables come from.")
    parser.add_argument("--source", default="synthetic", help="the shop")
    parser.add_argument("--day", default="", help="the night's day; empty: the latest that there is")
    parser.add_argument("--out", default="", help="an SVG file to draw it to")
    parser.add_argument("--set", default="", help="settings that differ, separated by spaces")
    args = parser.parse_args()
    home = Home.from_environment()
    try:
        shop = load_source(args.source)
        try:
            day = date.fromisoformat(args.day) if args.day else latest(home, shop.name)
        except ValueError as error:
            raise BadInput(f"DAY={args.day} is no day", "write it as DAY=2001-01-15") from error
        target = load_conf(source=shop, sets=args.set.split()).publish.target
        steps = night(home, shop.name, day)
        view = what_readers_see(target)[0]
        found = problems(
            steps,
            _manifests(home, shop.name, day),
            earlier(home, shop.name, day),
            lake=home.lake / shop.name,
            wanted=(view.namespace, view.name),
        )
        if args.out:
            write_atomically(
                Path(args.out),
                drawing(
                    steps,
                    f"{shop.name}, night of {day}: tables with their rows, and the jobs between",
                    home.lake / shop.name,
                ).encode(),
            )
    except BadInput as error:
        sys.exit(f"lineage: {error}")
    datasets = {one for step in steps for one in (*step.inputs, *step.outputs)}
    print(f"night of {day}: {len(steps)} jobs, {len(datasets)} tables, models and views")
    if args.out:
        print(f"drawn to {args.out}")
    if found:
        sys.exit("lineage: " + "\n  ".join(found) + f"\n  next: make nightly SOURCE={args.source} DAY={day}")
    print(f"{view.name} and all the others come from the raw logs")


def _manifests(home: Home, shop: str, day: date) -> dict[str, dict[str, Any]]:
    folder = home.result(shop, day, "any").parent
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


if __name__ == "__main__":
    main()
