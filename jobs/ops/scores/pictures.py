"""The pictures of docs/scores.md; the same bytes for the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from jobs.ops.plots import OTHERS, OURS, picture

Numbers = Mapping[str, Any]


def qini(trials: Mapping[str, Numbers], path: Path) -> None:
    """A curve of incremental outcomes for each learner, a trial below the other; the one that serves in our colour."""
    with picture(path, len(trials), height=3.2) as axes:
        for axis, (title, trial) in zip(axes, trials.items(), strict=True):
            depth = trial["depth"]
            whole = trial["learners"][trial["serving"]]["gain"][-1]
            axis.plot([0, 1], [0, whole * 1e3], color=OTHERS, linestyle=":", label="random order")
            for number, (name, one) in enumerate(trial["learners"].items()):
                serves = name == trial["serving"]
                colour, width = (OURS, 2.2) if serves else (f"C{number}", 1.2)
                label = f"{name}, serves" if serves else name
                axis.plot(depth, [gain * 1e3 for gain in one["gain"]], color=colour, linewidth=width, label=label)
            if "truth" in trial:
                truth = [gain * 1e3 for gain in trial["truth"]["gain"]]
                axis.plot(depth, truth, color="black", linestyle="--", linewidth=1, label="by the true uplift")
            axis.set_title(title, loc="left")
            axis.set_ylabel("gained per 1,000 people")
            axis.legend(frameon=False, fontsize=8)
        axes[-1].set_xlabel("share of people treated, best first")


def calibration(contest: Numbers, path: Path) -> None:
    """What was said and what happened, by groups of equally many people: a panel a task."""
    if not (tasks := _judged(contest)):
        path.unlink(missing_ok=True)  # of a run that judged more
        return
    with picture(path, len(tasks), height=3.2) as axes:
        for axis, (name, one) in zip(axes, tasks.items(), strict=True):
            curves = {contender: said["reliability"] for contender, said in one["contenders"].items()}
            reach = max(max(*curve["predicted"], *curve["observed"]) for curve in curves.values())
            axis.plot([0, reach], [0, reach], color=OTHERS, linestyle=":", label="as said")
            for contender, curve in curves.items():
                axis.plot(curve["predicted"], curve["observed"], marker="o", markersize=3, **_line(contender, one))
            axis.set_title(name, loc="left")
            axis.set_ylabel("happened")
            axis.legend(frameon=False, fontsize=8)
        axes[-1].set_xlabel("said")


def gain(contest: Numbers, path: Path) -> None:
    """How many of all yeses are found down to a depth: a panel a task."""
    if not (tasks := _judged(contest)):
        path.unlink(missing_ok=True)  # of a run that judged more
        return
    with picture(path, len(tasks), height=3.2) as axes:
        for axis, (name, one) in zip(axes, tasks.items(), strict=True):
            axis.plot([0, 1], [0, 1], color=OTHERS, linestyle=":", label="random order")
            for contender, said in one["contenders"].items():
                found = [0.0, *said["gain"]]
                axis.plot([place / (len(found) - 1) for place in range(len(found))], found, **_line(contender, one))
            axis.set_title(name, loc="left")
            axis.set_ylabel("share of all yeses")
            axis.legend(frameon=False, fontsize=8)
        axes[-1].set_xlabel("share of people, highest scores first")


def _judged(contest: Numbers) -> dict[str, Numbers]:
    return {name: one for name, one in contest["tasks"].items() if "not_judged" not in one}


def _line(contender: str, one: Numbers) -> dict[str, Any]:
    place = list(one["contenders"]).index(contender)
    colour = OURS if contender == one["best"] else f"C{place}"
    return {"color": colour, "linewidth": 2.0 if contender == one["best"] else 1.0, "label": contender}


def transfer(tasks: Mapping[str, Numbers], path: Path) -> None:
    """AUROC by how many labels were learned from: a panel a task."""
    with picture(path, len(tasks), height=3.0) as axes:
        for axis, (name, shares) in zip(axes, tasks.items(), strict=True):
            for arm, colour in (("pre-trained", OURS), ("from scratch", OTHERS)):
                points = [one[arm] for one in shares.values()]
                reach = [[mean - low for mean, low, _ in points], [high - mean for mean, _, high in points]]
                labels = [one["labels"] for one in shares.values()]
                axis.errorbar(
                    labels, [mean for mean, _, _ in points], reach, color=colour, marker="o", capsize=3, label=arm
                )
            axis.set_xscale("log")
            axis.set_title(name, loc="left")
            axis.set_ylabel("AUROC")
            axis.legend(frameon=False, fontsize=8)
        axes[-1].set_xlabel("labels; bars: 95 % intervals")


def _contest(name: str) -> Callable[[Numbers, Path], None]:
    return lambda numbers, folder: calibration(numbers["contest"], folder / f"scores-calibration-{name}.svg")


def _simulator(numbers: Numbers, folder: Path) -> None:
    calibration(numbers["contest"], folder / "scores-calibration-simulator.svg")
    gain(numbers["contest"], folder / "scores-gain-simulator.svg")
    coupon = numbers["coupon"]
    qini({"orders by a coupon": coupon}, folder / "scores-qini-coupon.svg")
    if "not_measured" not in numbers["transfer"]:
        transfer(numbers["transfer"], folder / "scores-transfer.svg")


def _hillstrom(numbers: Numbers, folder: Path) -> None:
    qini({f"the {arm}'s e-mail": one for arm, one in numbers.items()}, folder / "scores-qini-hillstrom.svg")


#: Part -> what draws its pictures into a folder.
PICTURES: dict[str, Callable[[Numbers, Path], None]] = {
    "simulator": _simulator,
    "retailrocket": _contest("retailrocket"),
    "online_retail": _contest("online_retail"),
    "hillstrom": _hillstrom,
}


def draw(parts: Mapping[str, Numbers], folder: Path) -> None:
    """The pictures of every part that was measured and has some."""
    for name, drawn in PICTURES.items():
        if "numbers" in parts.get(name, {}):
            drawn(parts[name]["numbers"], folder)
