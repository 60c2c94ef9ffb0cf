"""That each task asks what its labels answer, and that its rule is one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from tests.predict.people import features, labels

from nightjar.predict import tasks
from nightjar.predict.task import ACCOUNTS, CONFIRMED, Anomaly, Binary, Costs, by_levels
from nightjar.predict.tasks import TASKS, Task
from nightjar.predict.tasks.churn import CHURN
from nightjar.settings import load_conf

CONF = load_conf().labels


def test_a_task_is_a_file_and_a_line() -> None:
    files = {path.stem for path in Path(tasks.__file__).parent.glob("*.py")} - {"__init__"}
    assert len(files) == len(TASKS)
    assert [name for name, task in TASKS.items() if name != task.name] == []


BINARY = [task for task in TASKS.values() if isinstance(task, Binary)]


@pytest.mark.parametrize("task", BINARY, ids=lambda task: task.name)
def test_labels_answer_or_are_silent(task: Binary) -> None:
    flags = {task.label: [True, False, None]}
    asked = {task.judged_where: [True, True, True]} if task.judged_where else {}
    if task.label == CONFIRMED:
        told = labels(3).append_column(CONFIRMED, pa.array(flags[CONFIRMED]))
    else:
        told = labels(3, **flags, **asked)
    np.testing.assert_array_equal(task.outcomes(told), [1, 0, np.nan])
    if task.judged_where:
        none = {task.judged_where: [False, False, False]}
        assert np.isnan(task.outcomes(labels(3, **flags, **none))).all()


RULED = [task for task in TASKS.values() if isinstance(task, Binary | Anomaly)]


@pytest.mark.parametrize("task", RULED, ids=lambda task: task.name)
def test_a_rule_gives_everybody_a_place_and_needs_no_history(task: Binary | Anomaly) -> None:
    people = features(4, hours_since_last_event=[1.0, 30.0, 900.0, 2.0])
    places_B = task.rule.score(people.append_column(ACCOUNTS, pa.array([1, 1, 1, 2])))
    assert places_B.shape == (4,)
    assert ((places_B >= 0) & (places_B <= 1)).all()
    assert not isinstance(task, Binary) or task.window_days(CONF) > 0


@pytest.mark.parametrize("task", TASKS.values(), ids=list(TASKS))
def test_a_task_of_any_kind_says_what_it_is_of_whom_it_asks_about_and_what_judges_it(task: Task) -> None:
    assert task.doc.endswith(".")
    assert task.serves(features(3), CONF).shape == (3,)
    assert json.loads(json.dumps(task.judged_by)) == task.judged_by


def test_who_is_gone_cannot_leave() -> None:
    people = features(2, hours_since_last_event=[24.0 * CONF.churn_days, 24.0 * CONF.churn_days + 1])
    assert TASKS["churn"].serves(people, CONF).tolist() == [True, False]
    assert CHURN.rule.score(people).tolist() == [0.0, 1.0]


def test_a_cart_must_be_open() -> None:
    people = features(2, num_open_cart_items=[0, 1])
    assert TASKS["cart_conversion"].serves(people, CONF).tolist() == [False, True]


def test_never_is_longer_ago_than_any_time() -> None:
    people = features(3, hours_since_last_purchase=[900.0, None, 1.0], num_orders=[9, 0, 1])
    assert np.argsort(TASKS["purchase"].rule.score(people)).tolist() == [1, 0, 2]


def test_ties_of_one_level_are_sorted_by_the_next() -> None:
    assert by_levels(np.array([2.0, 2.0, 1.0]), np.array([0.0, 1.0, 9.0])).tolist() == [0.5, 1.0, 0.0]
    assert by_levels(np.array([3.0, 3.0])).tolist() == [0.0, 0.0]


def test_an_unknown_column_and_a_free_error_are_refused() -> None:
    with pytest.raises(ValueError, match="no column of labels"):
        Binary(**{**vars(CHURN), "label": "will_churn"})
    with pytest.raises(ValueError, match="costs nothing"):
        Costs(0, 1)
