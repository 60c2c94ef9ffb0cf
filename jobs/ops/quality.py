"""How good a recipe is on a data set of the literature, by the published protocol and as a night would train it.

DATA is a text file, one person per line (the person, then items in order; plain or gzip), or a folder with
`train_sessions.parquet` (`session`) and `test.parquet` (`prefix`, `target`), or, for protocol rolling, a folder of
`sequences` files: each fold is trained before an instant and asked for what people touched first after it.
Two figures per seed: `hr@10`, ... of the model that validation chose, trained without validation; `refit_hr@10`, ...
of the same recipe trained on training and validation together, for as many epochs as were chosen.
Every item of the data is a candidate, ties count against the model, scores are float32. A target that the candidates
lack, because the person has seen it or the training never showed it, is a miss.
Output ends with one line of JSON: means over the seeds, and standard deviations as `..._std`.
With OUT, a folder, that line is kept there as `quality.json` beside each seed's epochs, and two pictures: `epochs.svg`,
the learning curves, and `history.svg`, quality by the length of the history.
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
from jobs.ops.plots import OURS, picture
from jobs.ops.summary import table

from nightjar.contracts import ENVIRONMENT, HOLDOUT, BadInput
from nightjar.contracts.render import arrow_schema
from nightjar.learn import metrics
from nightjar.learn.fit import Fitted, fit
from nightjar.learn.loop import Log
from nightjar.learn.parallel import Group, process_group
from nightjar.learn.protocols import Split, global_time, leave_one_out, rolling_origins, sessions
from nightjar.learn.public_data import read_people, read_sequences, read_sessions, sequence_rows
from nightjar.score.catalogue import Catalogue
from nightjar.score.evaluation import Evaluation, Scorer, baseline_scorers, evaluate, model_scorer
from nightjar.score.model import CatalogueModel
from nightjar.score.rules import Policy
from nightjar.settings import Conf, load_conf
from nightjar.stores.files import write_json

#: Protocol -> what the literature on it does with items that the person has seen.
PROTOCOLS: dict[str, Policy] = {"leave-one-out": "seen", "sessions": "none", "rolling": "none"}

#: Of the sessions, kept back to choose the epoch by.
_VALIDATION_SHARE = 0.05

#: Name in the last line -> in `metrics.at_cutoffs`. With one target, what papers on sessions call P@20 is HR@20.
_HEADLINE = {"hr@10": "hr@10", "ndcg@10": "ndcg@10", "mrr@20": "mrr@20", "p@20": "hr@20"}

#: Columns of the tables.
_SHOWN = ("hr@1", "hr@10", "hr@20", "hr@50", "ndcg@10", "mrr@20")


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
        return Catalogue.counted(pa.concat_arrays([before, test.histories.flatten(), test.targets]), before)

    def judge(self, scorers: Mapping[str, Scorer]) -> Evaluation:
        return evaluate(
            scorers,
            self.catalogue,
            sequences=[self.histories],
            holdout=[self.targets],
            exclude=self.exclude,
            hidden_targets=True,
        )

    def judge_model(self, fitted: Fitted) -> Evaluation:
        fitted.loaded.model.cpu()
        return self.judge({"model": model_scorer(CatalogueModel(fitted.loaded, self.catalogue), self.catalogue)})

    def baselines(self) -> Evaluation:
        """They know everything before the test, validation included."""
        return self.judge(baseline_scorers(self.catalogue, [self.known]))


@dataclass(frozen=True)
class Result:
    """One seed on one split."""

    chosen: Evaluation
    refitted: Evaluation
    epochs: int
    seconds: float  # of training the chosen model, validation included
    curve: list[dict[str, float]]  # of each epoch `epoch`, `epoch_loss` and `val_ndcg@10`


def read(data: Path, protocol: str, num_folds: int) -> list[Split]:
    """One split, or one per fold."""
    if protocol == "sessions":
        train, test = read_sessions(data)
        return [sessions(train, test, validation_share=_VALIDATION_SHARE)]
    if protocol == "rolling":
        histories, times = read_sequences(data)
        return [global_time(histories, times, instants) for instants in rolling_origins(times, num_folds)]
    return [leave_one_out(read_people(data))]


def one_seed(bench: Bench, conf: Conf, seed: int, group: Group) -> Result:
    train, curve = conf.train.model_copy(update={"seed": seed}), list[dict[str, float]]()
    begun = time.monotonic()
    chosen = fit(
        bench.split.fitted,
        bench.split.valid,
        conf.model,
        train,
        folder=bench.folder,
        group=group,
        log=_epochs(seed, curve),
        without_seen=bench.exclude == "seen",
    )
    seconds = time.monotonic() - begun
    epochs = chosen.progress.best_epoch
    print(f"seed {seed}: {derived(conf, chosen)}", file=sys.stderr, flush=True)
    first = bench.judge_model(chosen)
    figures = (f"{key} {first.at_cutoffs('model')[name]:.4f}" for key, name in _HEADLINE.items())
    print(f"seed {seed}: epoch {epochs} chosen, {', '.join(figures)}", file=sys.stderr, flush=True)
    # What was derived is settled: a night does not change its recipe for a day more.
    model, again = chosen.loaded.conf, chosen.conf.model_copy(update={"epochs": epochs})
    refitted = fit(
        bench.split.refitted, None, model, again, folder=bench.folder, group=group, log=_epochs(seed, [], "refit ")
    )
    result = Result(first, bench.judge_model(refitted), epochs, seconds, curve)
    one, other = result.chosen.at_cutoffs("model"), result.refitted.at_cutoffs("model")
    parts = (f"{key} {one[name]:.4f} (refitted {other[name]:.4f})" for key, name in _HEADLINE.items())
    print(f"seed {seed}: {epochs} epochs, {seconds:.0f} s, {', '.join(parts)}", flush=True)
    return result


def derived(conf: Conf, fitted: Fitted) -> str:
    """What "auto" became."""
    values: dict[str, object] = {key: getattr(fitted.loaded.conf, key) for key in conf.model.derived}
    values |= {key: getattr(fitted.conf, key) for key in conf.train.derived}
    return ", ".join(f"{key} {value}" for key, value in values.items()) or "nothing is derived"


def _epochs(seed: int, curve: list[dict[str, float]], what: str = "") -> Log:
    """A line per epoch on standard error, and its figures at the end of `curve`."""

    def log(step: int, said: dict[str, float]) -> None:
        if "epoch" in said:
            curve.append({name: said[name] for name in ("epoch", "epoch_loss", "val_ndcg@10") if name in said})
            text = ", ".join(f"{name} {value:.4f}" for name, value in curve[-1].items() if name != "epoch")
            print(f"{what}seed {seed}, epoch {said['epoch']:.0f}: {text}", file=sys.stderr, flush=True)

    return log


def summary(results: Sequence[Result]) -> dict[str, float]:
    """The last line: means, and standard deviations between trainings (0 for one)."""
    columns: dict[str, list[float]] = {}
    for key, name in _HEADLINE.items():
        columns[key] = [result.chosen.at_cutoffs("model")[name] for result in results]
        columns[f"refit_{key}"] = [result.refitted.at_cutoffs("model")[name] for result in results]
    columns["seconds"] = [result.seconds for result in results]
    columns["epochs"] = [float(result.epochs) for result in results]
    line = {key: round(fmean(values), 5) for key, values in columns.items()}
    return line | {f"{key}_std": round(stdev(v), 5) if len(v) > 1 else 0.0 for key, v in columns.items()}


def report(baselines: Evaluation, results: Sequence[Result]) -> str:
    """What the trainings on one split found, beside baselines, with 95 % intervals over people.

    A model's figure is the mean over seeds: of each person first, so that the interval is of that mean.
    """
    found = {name: (baselines.ranks[name], baselines.beside_accuracy(name)) for name in baselines.ranks}
    rows = {name: (metrics.at_cutoffs(ranks), beside) for name, (ranks, beside) in found.items()}
    for name, evaluations in (
        ("model", [r.chosen for r in results]),
        ("model, refitted", [r.refitted for r in results]),
    ):
        rows[name] = (_averaged([e.ranks["model"] for e in evaluations]), evaluations[0].beside_accuracy("model"))
    accuracy = [[name, *(_interval(values[key]) for key in _SHOWN)] for name, (values, _) in rows.items()]
    lists = [[name, *(f"{value:.3f}" for value in beside.values())] for name, (_, beside) in rows.items()]
    values = _averaged([result.chosen.ranks["model"] for result in results])
    slices = [
        [name, f"{chosen_B.sum():,}", *(_interval(values[key][chosen_B]) for key in _SHOWN)]
        for name, chosen_B in results[0].chosen.slices().items()
    ]
    parts = [
        table(["scorer", *_SHOWN], accuracy, words=1),
        table(["lists of", *baselines.beside_accuracy("popularity")], lists, words=1),
        table(["model on", "questions", *_SHOWN], slices, words=1),
    ]
    return "\n\n".join(parts)


def _averaged(ranks: Sequence[metrics.Floats]) -> dict[str, metrics.Floats]:
    """Metric -> value of each person, the mean over the trainings."""
    found = [metrics.at_cutoffs(one) for one in ranks]
    return {key: np.mean([values[key] for values in found], axis=0) for key in found[0]}


def _interval(values: metrics.Floats) -> str:
    mean, low, high = metrics.bootstrap(values, seed=1)
    return f"{mean:.4f} [{low:.4f}, {high:.4f}]"


def by_history(evaluations: Sequence[Evaluation], scorer: str) -> list[tuple[str, int, metrics.Interval]]:
    """Entries in the history -> questions, NDCG@10 with its interval: in eights of about as many questions.

    Of several evaluations of the same questions, of each question's mean.
    """
    lengths_B = evaluations[0].judged.history_lengths_B
    values_B = _averaged([evaluation.ranks[scorer] for evaluation in evaluations])["ndcg@10"]
    edges = np.unique(np.quantile(lengths_B, np.linspace(0, 1, 9)[1:], method="higher"))
    found = []
    for low, high in zip([lengths_B.min() - 1, *edges[:-1]], edges, strict=True):
        chosen_B = (lengths_B > low) & (lengths_B <= high)
        if chosen_B.any():
            name = f"{high}" if high == low + 1 else f"{low + 1}-{high}"
            found.append((name, int(chosen_B.sum()), metrics.bootstrap(values_B[chosen_B], seed=1)))
    return found


def draw(folder: Path, baselines: Evaluation, results: Sequence[Result], seed: int) -> None:
    """`epochs.svg` and `history.svg` of trainings on one split, the first of which had this seed."""
    with picture(folder / "epochs.svg", 2) as (losses, gains):
        for number, result in enumerate(results):
            epochs = [row["epoch"] for row in result.curve]
            label = f"seed {seed + number}"
            losses.plot(epochs, [row["epoch_loss"] for row in result.curve], label=label)
            (line,) = gains.plot(epochs, [row.get("val_ndcg@10", 0.0) for row in result.curve], label=label)
            gains.axvline(result.epochs, color=line.get_color(), linestyle=":", linewidth=1)
        losses.set_ylabel("training loss")
        gains.set_ylabel("validation NDCG@10")
        gains.set_xlabel("epoch; dotted: the one that was chosen")
        losses.legend(frameon=False)
    with picture(folder / "history.svg", height=3.6) as (axis,):
        last = 0
        for name, evaluations, scorer, colour in (
            ("model", [result.chosen for result in results], "model", OURS),
            *((name, [baselines], name, None) for name in baselines.ranks),
        ):
            found = by_history(evaluations, scorer)
            means = [interval.mean for _, _, interval in found]
            reach = [[i.mean - i.low for _, _, i in found], [i.high - i.mean for _, _, i in found]]
            axis.errorbar(range(len(found)), means, yerr=reach, label=name, color=colour, marker="o", capsize=3)
            last = len(found)
        labels = [f"{name}\n{count:,}" for name, count, _ in by_history([baselines], next(iter(baselines.ranks)))]
        axis.set_xticks(range(last), labels)
        axis.set_xlabel("entries of the history, and below it questions; bars: 95 % intervals")
        axis.set_ylabel("NDCG@10")
        axis.legend(frameon=False)


def measure(
    data: Path,
    protocol: str,
    conf: Conf,
    *,
    num_seeds: int,
    num_folds: int,
    exclude: Policy | None,
    out: Path | None = None,
) -> None:
    splits, policy = read(data, protocol, num_folds), exclude or PROTOCOLS[protocol]
    results = []
    for split in splits:
        sizes = (
            f"{len(split.refitted):,} histories, {len(split.valid):,} validation and {len(split.test):,} test questions"
        )
        print(f"{protocol}: {sizes}; candidates: all items{' but those seen' * (policy == 'seen')}", flush=True)
        with tempfile.TemporaryDirectory(prefix="nightjar-quality-") as folder, process_group() as group:
            bench = Bench(split, policy, Path(folder))
            found = [one_seed(bench, conf, conf.train.seed + number, group) for number in range(num_seeds)]
            baselines = bench.baselines()
            print(f"\n{report(baselines, found)}\n")
        results += found
        if out is not None:  # of several folds the latest
            draw(out, baselines, found, conf.train.seed)
    line = summary(results) | {"seeds": num_seeds} | ({"folds": num_folds} if len(splits) > 1 else {})
    if out is not None:
        write_json(out / "quality.json", {"line": line, "seeds": [result.curve for result in results]})
    print(json.dumps(line), flush=True)


def _number(name: str, text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise BadInput(f"{name}={text} is no number from 1 up", f"write {name}=3")
    return int(text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="a text file of people, or a folder of sessions")
    parser.add_argument("--protocol", required=True, help=" or ".join(PROTOCOLS))
    parser.add_argument("--conf", required=True, help="settings: a TOML file like those of conf/models")
    parser.add_argument("--seeds", default="3", help="how many trainings (default: 3)")
    parser.add_argument("--folds", default="3", help="how many folds of protocol rolling (default: 3)")
    parser.add_argument("--exclude", default="", help="candidates to leave out: none or seen; by protocol, if not said")
    parser.add_argument("--out", default="", help="a folder for the figures of each epoch and for pictures")
    parser.add_argument("--set", default="", help='changes to the settings, "section.key=value ..."')
    args = parser.parse_args()
    try:
        if not args.data:
            raise BadInput("DATA names no data", "make quality DATA=people.txt.gz PROTOCOL=leave-one-out")
        if args.protocol not in PROTOCOLS:
            raise BadInput(f"PROTOCOL={args.protocol} is none of {', '.join(PROTOCOLS)}", "choose one of them")
        if args.exclude not in ("", "none", "seen"):
            raise BadInput(f"EXCLUDE={args.exclude} is neither none nor seen", "choose one, or leave it out")
        seeds, folds = _number("SEEDS", args.seeds), _number("FOLDS", args.folds)
        conf = load_conf(files=[Path(args.conf)], sets=args.set.split())
        data, exclude = Path(args.data), args.exclude or None
        out = Path(args.out) if args.out else None
        measure(data, args.protocol, conf, num_seeds=seeds, num_folds=folds, exclude=exclude, out=out)
    except BadInput as error:
        print(f"quality: {error}", file=sys.stderr)
        sys.exit(ENVIRONMENT)


if __name__ == "__main__":
    main()
