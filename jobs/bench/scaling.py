"""What a second process buys: entries per second of one process with one thread and of two with one thread each.

The same training on invented histories, in turn, so that a machine that slows down slows both. The last line is JSON:
the ratio of medians, and the smallest and largest ratio of a turn.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from statistics import median

from nightjar.settings import repository


def entries_per_second(processes: int, conf: str, steps: int, items: int, sets: str) -> float:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    bench = ["-m", "jobs.bench.large", "--conf", conf, "--steps", str(steps), "--items", str(items), "--set", sets]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        [sys.executable, *torchrun, *bench],
        cwd=repository(),
        env=environment,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["processes"], found["threads"]) == (processes, 1), found
    return float(found["entries_per_second"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conf", default="conf/models/sasrec.toml", help="settings: a file like conf/models/*.toml")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--items", type=int, default=12_000)
    parser.add_argument("--set", default="train.batch_users=128", help='"section.key=value ..."')
    args = parser.parse_args()
    rates: dict[int, list[float]] = {1: [], 2: []}
    for number in range(args.runs):
        for processes in rates:
            rates[processes].append(entries_per_second(processes, args.conf, args.steps, args.items, args.set))
        print(f"turn {number + 1}: {rates[1][-1]:,.0f} and {rates[2][-1]:,.0f} entries/s", flush=True)
    ratios = [two / one for one, two in zip(rates[1], rates[2], strict=True)]
    line = {
        "entries_per_second_1": round(median(rates[1])),
        "entries_per_second_2": round(median(rates[2])),
        "ratio": round(median(rates[2]) / median(rates[1]), 3),
        "ratio_min": round(min(ratios), 3),
        "ratio_max": round(max(ratios), 3),
        "load": [round(load, 1) for load in os.getloadavg()],
    }
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
