"""Questions about people, answered from the states of a sequence model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.learn.sequence_files import START, write_sequences

from nightjar.learn import heads
from nightjar.learn.heads import Heads, Lesson, People
from nightjar.learn.histories import WHOLE, read_histories
from nightjar.learn.models import build
from nightjar.learn.vocabulary import Vocabulary
from nightjar.settings import load_conf, repository

ITEMS = Vocabulary(tuple(f"i{number}" for number in range(20)))
LESSON = Lesson(epochs=8, batch_people=64, head_rate=0.02, encoder_rate=0.005, patience=8)


def people(folder: Path, num: int, seed: int) -> People:
    """Yes to the first question: the latest item is one of the first ten. To the second: silent for long. No third."""
    random = np.random.default_rng(seed)
    rows = [[f"i{item}" for item in random.integers(0, 20, random.integers(0, 9))] for _ in range(num)]
    file = write_sequences(folder / f"part-{seed}", rows)
    (found,) = read_histories([file], ITEMS, max_length=WHOLE, rows_per_batch=num)
    silent_B = random.integers(1, 40, num)
    latest_B = np.array([int(row[-1][1:]) if row else 99 for row in rows])
    answers = np.stack([latest_B < 10, silent_B > 20, np.full(num, np.nan)], axis=1).astype(float)
    answers[latest_B == 99] = np.nan
    answers[random.random(num) < 0.3, 1] = np.nan  # who does not answer one question still teaches the other
    lasts_B = np.array([START + 60 * max(0, len(row) - 1) for row in rows])
    return People(found, lasts_B + 86_400 * silent_B, answers)


def model(seed: int = 0) -> Heads:
    torch.manual_seed(seed)
    conf = load_conf(files=[repository() / "conf" / "models" / "sasrec.toml"]).model
    small = {"width": 16, "num_blocks": 1, "num_heads": 2, "max_length": 8, "dropout": 0.0, "cosine_scale": 0.0}
    return Heads(build(conf.model_copy(update=small), ITEMS.size), 3)


def right(found_BT: np.ndarray, asked: People) -> list[float]:
    answers_BT = asked.answers_BT
    known = [~np.isnan(answers_BT[:, number]) for number in (0, 1)]
    return [
        float(((found_BT[which, number] > 0.5) == answers_BT[which, number]).mean())
        for number, which in enumerate(known)
    ]


def test_both_questions_are_learned_by_one_encoder(tmp_path: Path) -> None:
    known, tuning, later = people(tmp_path, 900, 1), people(tmp_path, 200, 2), people(tmp_path, 300, 3)
    one = model()
    losses = heads.fit(one, known, tuning, LESSON, seed=1)
    assert losses[-1] < 0.5 * losses[0]
    assert min(right(heads.predict(one, later.histories, later.instants_B), later)) > 0.9


def test_a_frozen_encoder_keeps_its_weights_and_heads_learn_what_they_can(tmp_path: Path) -> None:
    known, tuning = people(tmp_path, 300, 1), people(tmp_path, 100, 2)
    one = model()
    before = {name: tensor.clone() for name, tensor in one.encoder.state_dict().items()}
    losses = heads.fit(one, known, tuning, Lesson(4, 64, 0.02, 0.0), seed=1)
    assert min(losses) < losses[0]
    assert all(torch.equal(before[name], tensor) for name, tensor in one.encoder.state_dict().items())


def test_equal_seeds_give_equal_answers_in_the_order_of_the_people(tmp_path: Path) -> None:
    known, tuning, later = people(tmp_path, 200, 1), people(tmp_path, 60, 2), people(tmp_path, 50, 3)
    found = []
    for _ in range(2):
        one = model()
        heads.fit(one, known, tuning, Lesson(2, 32, 0.02, 0.005), seed=3)
        found.append(heads.predict(one, later.histories, later.instants_B, batch_people=7))
    np.testing.assert_array_equal(*found)
    turned = np.arange(len(later.histories))[::-1].copy()
    backwards = heads.predict(one, later.histories.take(turned), later.instants_B[turned], batch_people=50)
    np.testing.assert_allclose(backwards[turned], found[0], atol=1e-6)


def test_before_any_lesson_the_answer_is_the_base_rate(tmp_path: Path) -> None:
    known, tuning = people(tmp_path, 300, 1), people(tmp_path, 50, 2)
    one = model()
    heads.fit(one, known, tuning, Lesson(0, 64, 0.1, 0.0), seed=1)
    found_BT = heads.predict(one, tuning.histories, tuning.instants_B)
    expected = [np.nanmean(known.answers_BT[:, number]) for number in (0, 1)]
    assert found_BT[0, :2] == pytest.approx(expected, abs=0.01)
    assert np.ptp(found_BT, axis=0) == pytest.approx([0, 0, 0])


def test_who_has_no_history_gets_one_answer(tmp_path: Path) -> None:
    known, tuning = people(tmp_path, 200, 1), people(tmp_path, 50, 2)
    one = model()
    heads.fit(one, known, tuning, Lesson(1, 32, 0.05, 0.005), seed=1)
    nobody = np.flatnonzero(known.histories.lengths == 0)
    assert len(nobody) > 1
    found_BT = heads.predict(one, known.histories.take(nobody), known.instants_B[nobody])
    assert np.ptp(found_BT, axis=0) == pytest.approx([0, 0, 0], abs=1e-7)
