"""The tasks by name. A new one is a file here and a line in `TASKS`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nightjar.contracts import BadInput
from nightjar.predict.anomaly import Detector
from nightjar.predict.bundle import Fitted
from nightjar.predict.classes import Chooser
from nightjar.predict.effects import Effect
from nightjar.predict.served import AGAIN, Served, read_json
from nightjar.predict.task import Anomaly, Binary, Multiclass, Uplift
from nightjar.predict.tasks.cart import CART
from nightjar.predict.tasks.category import CATEGORY
from nightjar.predict.tasks.churn import CHURN
from nightjar.predict.tasks.click import CLICK
from nightjar.predict.tasks.coupon import COUPON
from nightjar.predict.tasks.fraud import FRAUD
from nightjar.predict.tasks.fraud_case import FRAUD_CASE
from nightjar.predict.tasks.purchase import PURCHASE
from nightjar.predict.tasks.uplift import UPLIFT

Task = Binary | Anomaly | Uplift | Multiclass

TASKS: dict[str, Task] = {
    task.name: task for task in (CHURN, PURCHASE, CART, CLICK, COUPON, FRAUD, FRAUD_CASE, UPLIFT, CATEGORY)
}


def named(names: Iterable[str]) -> list[Task]:
    """Raises BadInput where one is no task."""
    wanted = list(names)
    if unknown := sorted(set(wanted) - TASKS.keys()):
        raise BadInput(
            f"no such task: {', '.join(unknown)}", f"--set 'predict.tasks={sorted(TASKS)}', or fewer of them"
        )
    return [TASKS[name] for name in wanted]


def load(folder: Path) -> Served:
    """What `Served.save` wrote, for today's definition of the task.

    Raises:
        BadInput: the folder holds no task of today's registry, or one that was of another kind.
    """
    name = read_json(folder)["task"]
    if name not in TASKS:
        raise BadInput(f"no such task any more: {name}", AGAIN)
    task = TASKS[name]
    match task:
        case Binary():
            return Fitted.load(folder, task)
        case Anomaly():
            return Detector.load(folder, task)
        case Uplift():
            return Effect.load(folder, task)
        case Multiclass():
            return Chooser.load(folder, task)


__all__ = ["TASKS", "Task", "load", "named"]
