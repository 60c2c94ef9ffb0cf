"""Training and scoring beside RecTools and RecBole: one data set, one architecture, one batch, one run.

Every measurement is a process of its own in its contender's environment; they take turns, run after run, and
ratios are of medians. `rate`: targets per second over some steps. `quality`: seconds of training until
the validation NDCG@10 that RecTools reaches at best. `score`: people per second for their top 20 of the whole
catalogue, beside one matrix product and `topk`. Standard output is JSON lines, the comparison last; everything is
also kept under `bench/results` of NIGHTJAR_HOME.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from jobs.bench.prep import Line, bench_folder, emptied, environment
from jobs.bench.watch import watched
from jobs.ops import setup

from nightjar.contracts import BadInput
from nightjar.learn.recipe import has_bfloat16
from nightjar.settings import repository
from nightjar.stores.files import write_json

#: What all contenders share: RecTools' defaults but for the size, which is what the literature trains on Beauty.
SHARED = {
    "width": 64,
    "blocks": 1,
    "length": 50,
    "dropout": 0.2,
    "batch-users": 128,
    "negatives": 256,
    "learning-rate": 0.001,
}
_NAMES = {"softmax": "full softmax", "sampled_softmax": "sampled softmax"}


@dataclass(frozen=True)
class Bench:
    folder: Path
    data: Path
    cores: int
    steps: int  # per rate
    epochs: int  # at most, for quality; 0 leaves it out
    minutes: int  # of training at most, for a peer's quality
    precision: str

    @property
    def scratch(self) -> Path:
        return self.folder / "learn"


def run(bench: Bench, runs: int) -> Iterator[Line]:
    """Every line of the run, the comparison last."""
    yield (floor := {"step": "floor", **measured(bench, "floor", "rate", "softmax")})
    lines = [floor]
    for number in range(1, runs + 1):
        for contender, what, loss in turns(bench):
            line = {"step": contender, "what": what, "loss": loss, "run": number}
            lines.append(line | measured(bench, contender, what, loss))
            yield lines[-1]
    yield comparison(lines, runs)


def turns(bench: Bench) -> Iterator[tuple[str, str, str]]:
    for loss in _NAMES:
        yield from ((contender, "rate", loss) for contender in ("ours", "rectools"))
    yield "recbole", "rate", "softmax"
    yield from ((contender, "score", "softmax") for contender in ("ours", "rectools"))
    if bench.epochs:
        yield from ((contender, "quality", "softmax") for contender in ("ours", "rectools"))


def measured(bench: Bench, contender: str, what: str, loss: str) -> Line:
    """What one process found, or why there is none."""
    peer = {"rectools": setup.RECTOOLS, "recbole": setup.RECBOLE}.get(contender)
    if peer is not None and not setup.is_complete(peer):
        return {"skipped": f"no environment .envs/{peer.name} that matches its lock"}
    python = Path(sys.executable) if peer is None else peer.python
    module = "jobs.bench.learn_ours" if peer is None else "jobs.bench.learn_peers"
    values = {**SHARED, "data": bench.data, "scratch": bench.scratch, "loss": loss, "cores": bench.cores}
    # A rate ends by its steps, a list needs a model and not a good one.
    epochs = {"rate": 10_000, "quality": bench.epochs, "score": 1}[what]
    values |= {"steps": bench.steps, "patience": 3, "epochs": epochs, "minutes": bench.minutes}
    if peer is None:
        values["precision"] = bench.precision
    command = [str(python), "-m", module, contender, what, *(f"--{key}={value}" for key, value in values.items())]
    threads = {"OMP_NUM_THREADS": str(bench.cores), "MKL_NUM_THREADS": str(bench.cores)}
    with emptied(bench.scratch):
        done = watched(command, bench.folder / "said" / f"learn-{contender}-{what}-{loss}", threads)
    return {**done.said, "peak_gib": round(done.peak_gib, 3)}


def comparison(lines: list[Line], runs: int) -> Line:
    """Ratios of medians; null where a step was skipped."""

    def middle(step: str, what: str, loss: str, number: str) -> float | None:
        chosen = (line for line in lines if (line["step"], line.get("what"), line.get("loss")) == (step, what, loss))
        known = [line[number] for line in chosen if line.get(number) is not None]
        return median(known) if known else None

    def ratio(peer: str, what: str, loss: str, number: str) -> float | None:
        above, below = middle("ours", what, loss, number), middle(peer, what, loss, number)
        return round(above / below, 3) if above and below else None

    rate = middle("ours", "rate", "softmax", "targets_per_second")
    users = middle("ours", "score", "softmax", "users_per_second")
    floor = lines[0]
    assert rate is not None
    assert users is not None
    fastest = max(floor["targets_per_second_float32"], floor["targets_per_second_bfloat16"])
    return {
        "rate_vs_rectools_softmax": ratio("rectools", "rate", "softmax", "targets_per_second"),
        "rate_vs_rectools_sampled": ratio("rectools", "rate", "sampled_softmax", "targets_per_second"),
        "rate_vs_recbole": ratio("recbole", "rate", "softmax", "targets_per_second"),
        "time_to_quality_vs_rectools": time_to_quality(lines),
        "score_vs_floor": round(users / floor["users_per_second"], 3),
        **{f"ndcg_{name}": best_ndcg(lines, name) for name in ("ours", "rectools")},
        "rectools_ended_by_itself": all(line.get("ended_by_itself", True) for line in lines),
        "score_vs_rectools": ratio("rectools", "score", "softmax", "users_per_second"),
        "rate_vs_floor": round(rate / fastest, 3),
        "peak_gib": max(line["peak_gib"] for line in lines if line["step"] == "ours"),
        "runs": runs,
    }


def time_to_quality(lines: list[Line]) -> float | None:
    """Our seconds until RecTools' best NDCG, by RecTools' seconds until then: the median over runs.

    None where quality was not measured, or where we never got there: `ndcg_ours` tells which.
    """
    ratios = []
    for theirs in lines:
        if theirs["step"] != "rectools" or theirs.get("what") != "quality" or "epochs" not in theirs:
            continue
        best = max(theirs["epochs"], key=lambda epoch: epoch["ndcg"])
        ours = next(
            line for line in lines
            if (line["step"], line.get("what"), line.get("run")) == ("ours", "quality", theirs["run"])
        )  # fmt: skip
        reached = [epoch["seconds"] for epoch in ours["epochs"] if epoch["ndcg"] >= best["ndcg"]]
        if not reached:
            return None
        ratios.append(min(reached) / best["seconds"])
    return round(median(ratios), 4) if ratios else None


def best_ndcg(lines: list[Line], step: str) -> float | None:
    """On validation: the median over runs of the best epoch."""
    runs = [line.get("epochs") for line in lines if line["step"] == step and line.get("what") == "quality"]
    best = [max(epoch["ndcg"] for epoch in epochs) for epochs in runs if epochs]
    return round(median(best), 4) if best else None


def fast_precision() -> str:
    """bfloat16 where the processor multiplies in it; anywhere else it would be slower than float32."""
    return "bfloat16" if has_bfloat16() else "float32"


def default_data() -> Path:
    real = os.environ.get("NIGHTJAR_REAL_DATA") or repository().parent / "shared" / "data"
    return Path(real) / "beauty" / "Beauty.txt.gz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=default_data(), help="one person per line, then items in order")
    parser.add_argument("--runs", type=int, default=1, help="how often everything runs (default: 1)")
    parser.add_argument("--steps", type=int, default=40, help="steps of each rate (default: 40)")
    parser.add_argument("--epochs", type=int, default=30, help="at most, for quality; 0: without it (default: 30)")
    parser.add_argument(
        "--minutes", type=int, default=120, help="of a peer's training for quality; then its best so far counts"
    )
    parser.add_argument("--cores", type=int, default=len(os.sched_getaffinity(0)), help="cores that each step may use")
    parser.add_argument(
        "--precision", choices=("float32", "bfloat16"), default=fast_precision(), help="of our products"
    )
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: children and files go too
    bench = Bench(
        bench_folder(), args.data.resolve(), args.cores, args.steps, args.epochs, args.minutes, args.precision
    )
    facts: dict[str, Any] = environment(args.cores, ()) | {"shared": SHARED, "precision": args.precision}
    lines = []
    try:
        if not args.data.is_file():
            raise BadInput(f"no file {args.data}", "add DATA=<file>, or set NIGHTJAR_REAL_DATA")
        for line in run(bench, args.runs):
            print(json.dumps(line), flush=True)
            lines.append(line)
    except BadInput as error:
        sys.exit(f"bench-learn: {error}")
    write_json(bench.folder / "results" / "learn.json", {"lines": lines[:-1], "comparison": lines[-1], **facts})


if __name__ == "__main__":
    main()
