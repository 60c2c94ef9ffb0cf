"""How good a recipe is on a data set of the literature, by the published protocol and as a night would train it.

DATA is a text file, one person per line (the person, then items in order; plain or gzip), or a folder with
`train_sessions.parquet` (`session`) and `test.parquet` (`prefix`, `target`).
Two figures per seed: `hr@10`, ... of the model that validation chose, trained without validation; `refit_hr@10`, ...
of the same recipe trained on training and validation together, for as many epochs as were chosen.
Every item of the data is a candidate, ties count against the model, scores are float32. A target that the candidates
lack, because the person has seen it or the training never showed it, is a miss.
Output ends with one line of JSON: means over the seeds, and standard deviations as `..._std`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jobs.ops.summary import table

from nightjar.contracts import ENVIRONMENT, HOLDOUT, BadInput
from nightjar.contracts.render import arrow_schema
from nightjar.learn.fit import Fitted, fit
from nightjar.learn.loop import Log
from nightjar.learn.parallel import Group, process_group
from nightjar.learn.protocols import Split, leave_one_out, sessions
from nightjar.learn.public_data import read_people, read_sessions, sequence_rows
from nightjar.learn.vocabulary import Vocabulary
from nightjar.score.catalogue import Catalogue
from nightjar.score.evaluation import Evaluation, Scorer, evaluate, markov_scorer, model_scorer, popularity_scorer
from nightjar.score.model import CatalogueModel
from nightjar.score.rules import Policy
from nightjar.settings import Conf, load_conf

#: Protocol -> what the literature on it does with items that the person has seen.
PROTOCOLS: dict[str, Policy] = {"leave-one-out": "seen", "sessions": "none"}

#: Of the sessions, kept back to choose the epoch by.
_VALIDATION_SHARE = 0.05

#: Name in the last line -> in `metrics.at_cutoffs`. With one target, what papers on sessions call P@20 is HR@20.
_HEADLINE = {"hr@10": "hr@10", "ndcg@10": "ndcg@10", "mrr@20": "mrr@20", "p@20": "hr@20"}


@dataclass(frozen=True)
class Bench:
    """One data set under one protocol, with the files that evaluation reads."""

    split: Split
    exclude: Policy
    folder: Path

    def __post_init__(self) -> None:
        test = self.split.test
        pq.write_table(sequence_rows(test.histories), self.histories)
        pq.write_table(sequence_rows(self.split.refitted), self.known)
        targets = pa.ListArray.from_arrays(np.arange(len(test) + 1, dtype=np.int32), test.targets)
        pq.write_table(sequence_rows(targets).select(arrow_schema(HOLDOUT).names), self.targets)

    @property
    def histories(self) -> Path:
        return self.folder / "histories.parquet"

    @property
    def targets(self) -> Path:
        return self.folder / "targets.parquet"

    @property
    def known(self) -> Path:
        """Everything before the test, for the baselines."""
        return self.folder / "known.parquet"

    @cached_property
    def catalogue(self) -> Catalogue:
        """Every item of the data; popular is what was before the test."""
        test, before = self.split.test, self.split.refitted.flatten()
        everything = pa.concat_arrays([before, test.histories.flatten(), test.targets])
        vocabulary = Vocabulary(tuple(sorted(everything.unique().to_pylist())))
        counts = np.bincount(vocabulary.encode(before), minlength=vocabulary.size + 1)[1:]
        return Catalogue(vocabulary, np.zeros(vocabulary.size, np.int64), counts, counts)

    def judge(self, scorers: Mapping[str, Scorer]) -> Evaluation:
        return evaluate(
            scorers,
            self.catalogue,
            sequences=[self.histories],
            holdout=[self.targets],
            exclude=self.exclude,
            hidden_targets=True,
        )

    def baselines(self) -> Evaluation:
        """They know everything before the test, validation included."""
        return self.judge(
            {
                "popularity": popularity_scorer(self.catalogue),
                "markov": markov_scorer(self.catalogue, [self.known]),
            }
        )


@dataclass(frozen=True)
class Result:
    """One seed."""

    chosen: dict[str, float]
    refitted: dict[str, float]
    epochs: int
    seconds: float  # of training the chosen model, validation included


def read(data: Path, protocol: str) -> Split:
    if protocol == "sessions":
        train, test = read_sessions(data)
        return sessions(train, test, validation_share=_VALIDATION_SHARE)
    return leave_one_out(read_people(data))


def one_seed(bench: Bench, conf: Conf, seed: int, group: Group) -> Result:
    train = conf.train.model_copy(update={"seed": seed})
    begun = time.monotonic()
    chosen = fit(
        bench.split.fitted, bench.split.valid, conf.model, train, folder=bench.folder, group=group, log=_epochs(seed)
    )
    seconds = time.monotonic() - begun
    epochs = chosen.progress.best_epoch
    again = train.model_copy(update={"epochs": epochs})
    figures = figures_of(bench, chosen)
    refitted = fit(
        bench.split.refitted, None, conf.model, again, folder=bench.folder, group=group, log=_epochs(seed, "refit ")
    )
    result = Result(figures, figures_of(bench, refitted), epochs, seconds)
    parts = (f"{key} {result.chosen[key]:.4f} (refitted {result.refitted[key]:.4f})" for key in _HEADLINE.values())
    print(f"seed {seed}: {epochs} epochs, {seconds:.0f} s, {', '.join(parts)}", flush=True)
    return result


def figures_of(bench: Bench, fitted: Fitted) -> dict[str, float]:
    fitted.loaded.model.cpu()
    scorer = model_scorer(CatalogueModel(fitted.loaded, bench.catalogue), bench.catalogue)
    return bench.judge({"model": scorer}).at_cutoffs("model")


def _epochs(seed: int, what: str = "") -> Log:
    """A line per epoch on standard error."""

    def log(step: int, metrics: dict[str, float]) -> None:
        if "epoch" in metrics:
            text = " ".join(f"{name} {value:.4f}" for name, value in metrics.items() if name not in ("epoch",))
            print(f"{what}seed {seed} epoch {metrics['epoch']:.0f}: {text}", file=sys.stderr, flush=True)

    return log


def summary(results: Sequence[Result]) -> dict[str, float]:
    """The last line: means, and standard deviations between seeds (0 for one)."""
    columns: dict[str, list[float]] = {}
    for key, name in _HEADLINE.items():
        columns[key] = [result.chosen[name] for result in results]
        columns[f"refit_{key}"] = [result.refitted[name] for result in results]
    columns["seconds"] = [result.seconds for result in results]
    columns["epochs"] = [float(result.epochs) for result in results]
    line = {key: round(fmean(values), 5) for key, values in columns.items()}
    line |= {f"{key}_std": round(stdev(v), 5) if len(v) > 1 else 0.0 for key, v in columns.items()}
    return line | {"seeds": len(results)}


def comparison(baselines: Evaluation, results: Sequence[Result]) -> str:
    """Baselines and models in one table; the models' figures are means over the seeds."""
    rows = {name: baselines.at_cutoffs(name) for name in baselines.ranks}
    for name, found in (("model", [r.chosen for r in results]), ("model, refitted", [r.refitted for r in results])):
        rows[name] = {key: fmean(figures[key] for figures in found) for key in found[0]}
    columns = ["hr@1", "hr@10", "hr@20", "hr@50", "ndcg@10", "ndcg@20", "mrr@10", "mrr@20"]
    lines = [[name, *(f"{figures[key]:.4f}" for key in columns)] for name, figures in rows.items()]
    return table(["scorer", *columns], lines, words=1)


def measure(data: Path, protocol: str, conf: Conf, num_seeds: int, exclude: Policy | None) -> None:
    split, policy = read(data, protocol), exclude or PROTOCOLS[protocol]
    sizes = f"{len(split.refitted):,} histories, {len(split.valid):,} validation and {len(split.test):,} test questions"
    print(f"{protocol}: {sizes}; candidates: all items{' but those seen' * (policy == 'seen')}", flush=True)
    with tempfile.TemporaryDirectory(prefix="nightjar-quality-") as folder, process_group() as group:
        bench = Bench(split, policy, Path(folder))
        results = [one_seed(bench, conf, conf.train.seed + number, group) for number in range(num_seeds)]
        print(comparison(bench.baselines(), results))
        print(json.dumps(summary(results)), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a text file of people, or a folder of sessions")
    parser.add_argument("--protocol", required=True, help=" or ".join(PROTOCOLS))
    parser.add_argument("--conf", required=True, help="settings: a TOML file like those of conf/models")
    parser.add_argument("--seeds", default="3", help="how many trainings (default: 3)")
    parser.add_argument("--exclude", default="", help="candidates to leave out: none or seen; by protocol, if not said")
    parser.add_argument("--set", default="", help='changes to the settings, "section.key=value ..."')
    args = parser.parse_args()
    try:
        if not args.data:
            raise BadInput("DATA names no data", "make quality DATA=people.txt.gz PROTOCOL=leave-one-out")
        if args.protocol not in PROTOCOLS:
            raise BadInput(f"PROTOCOL={args.protocol} is none of {', '.join(PROTOCOLS)}", "choose one of them")
        if args.exclude not in ("", "none", "seen"):
            raise BadInput(f"EXCLUDE={args.exclude} is neither none nor seen", "choose one, or leave it out")
        if not args.seeds.isdigit() or int(args.seeds) < 1:
            raise BadInput(f"SEEDS={args.seeds} is no number of trainings", "write SEEDS=3")
        conf = load_conf(files=[Path(args.conf)], sets=args.set.split())
        measure(Path(args.data), args.protocol, conf, int(args.seeds), args.exclude or None)
    except BadInput as error:
        print(f"quality: {error}", file=sys.stderr)
        sys.exit(ENVIRONMENT)


if __name__ == "__main__":
    main()
