"""What all contenders of `bench-learn` have in common: data, options and the clock. Standard library only."""

from __future__ import annotations

import argparse
import gzip
import time
from pathlib import Path
from typing import Any

#: The last item of each history is the test's, the one before it chooses the epoch, as in the literature; whoever
#: has fewer items would leave nothing to train on.
MIN_ITEMS = 4

#: Not timed: the first batches allocate memory and choose kernels.
WARM_UP_STEPS = 3


def histories(file: Path) -> list[list[str]]:
    """Everybody's items, oldest first, from a file with a person per line, then items in order; plain or gzip."""
    content = file.read_bytes()
    text = (gzip.decompress(content) if file.suffix == ".gz" else content).decode()
    people = [line.split()[1:] for line in text.splitlines()]
    return [items for items in people if len(items) >= MIN_ITEMS]


def targets_per_step(people: list[list[str]], args: argparse.Namespace) -> int:
    """How many next items a batch of people learns on average; of a history all but the last two items are trained."""
    targets = sum(min(len(items) - 3, int(args.length)) for items in people)
    return round(int(args.batch_users) * targets / len(people))


def parsed(doc: str | None, contenders: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("contender", choices=contenders)
    parser.add_argument("what", choices=("rate", "quality", "score"))
    for name in ("data", "scratch"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--loss", choices=("softmax", "sampled_softmax"), required=True)
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    limits = ("steps", "epochs", "patience", "minutes")
    for name in ("cores", *limits, "width", "blocks", "length", "batch-users", "negatives"):
        parser.add_argument(f"--{name}", type=int, required=True)
    for name in ("dropout", "learning-rate"):
        parser.add_argument(f"--{name}", type=float, required=True)
    return parser.parse_args()


class Enough(Exception):
    """As many steps as were asked for."""


class Clock:
    """Adds up targets and seconds between steps, without the first ones."""

    def __init__(self, max_steps: int | None) -> None:
        self.max_steps, self.steps, self.targets, self.seconds = max_steps, 0, 0, 0.0
        self.last = time.perf_counter()

    def step(self, targets: int) -> None:
        """A step has ended.

        Raises:
            Enough: it was the last.
        """
        now = time.perf_counter()
        self.steps += 1
        if self.steps > WARM_UP_STEPS:
            self.targets += targets
            self.seconds += now - self.last
        if self.max_steps is not None and self.steps >= self.max_steps + WARM_UP_STEPS:
            raise Enough
        self.skip()

    def skip(self) -> None:
        """What happened since the last step does not count."""
        self.last = time.perf_counter()

    def said(self) -> dict[str, Any]:
        return {"targets_per_second": self.targets / self.seconds, "steps": self.steps, "seconds": self.seconds}
