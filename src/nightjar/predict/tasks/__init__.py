"""The tasks by name. A new one is a file here and a line in `TASKS`."""

from __future__ import annotations

from collections.abc import Iterable

from nightjar.contracts import BadInput
from nightjar.predict.task import Task
from nightjar.predict.tasks.cart import CART
from nightjar.predict.tasks.churn import CHURN
from nightjar.predict.tasks.click import CLICK
from nightjar.predict.tasks.coupon import COUPON
from nightjar.predict.tasks.purchase import PURCHASE

TASKS: dict[str, Task] = {task.name: task for task in (CHURN, PURCHASE, CART, CLICK, COUPON)}


def named(names: Iterable[str]) -> list[Task]:
    """Raises BadInput where one is no task."""
    wanted = list(names)
    if unknown := sorted(set(wanted) - TASKS.keys()):
        raise BadInput(
            f"no such task: {', '.join(unknown)}", f"--set 'predict.tasks={sorted(TASKS)}', or fewer of them"
        )
    return [TASKS[name] for name in wanted]


__all__ = ["TASKS", "Task", "named"]
