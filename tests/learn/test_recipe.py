"""The rules at sizes that were worked out by hand."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.learn.sequence_files import write_sequences

from nightjar import settings
from nightjar.contracts import BadInput
from nightjar.learn.recipe import DataSize, batch_users_for, dropout_for, resolved, settled, size_of
from nightjar.learn.vocabulary import Vocabulary

AUTO = ["model.max_length=auto", "model.dropout=auto", "train.batch_users=auto", "train.loss=auto"]


def test_sizes_are_counted(tmp_path: Path) -> None:
    rows = [["a", "b", "c"], ["a"], ["b", "x", "a"], ["x"]]
    files = [write_sequences(tmp_path / "one", rows[:2]), write_sequences(tmp_path / "two", rows[2:], first_user=2)]
    assert size_of(files, Vocabulary(("a", "b", "c"))) == DataSize(2, 3, 3, 3)
    assert size_of([], Vocabulary(("a",))) == DataSize(0, 1, 0, 1)


@pytest.mark.parametrize(("per_item", "dropout"), [(3, 0.5), (10, 0.5), (100, 0.4), (1000, 0.3), (10**9, 0.1)])
def test_dropout_falls_with_targets_per_item(per_item: int, dropout: float) -> None:
    assert dropout_for(DataSize(1000, 100, 100 * per_item, 50)) == pytest.approx(dropout)


@pytest.mark.parametrize(
    ("people", "targets", "users"),
    [
        (20_000, 160_000, 100),  # 800 targets a step, eight to a person
        (100, 400, 64),  # never fewer than 256
        (10**7, 10**8, 819),  # never more than 8,192
        (0, 0, 1),
    ],
)
def test_steps_grow_with_the_root_of_the_targets(people: int, targets: int, users: int) -> None:
    assert batch_users_for(DataSize(people, 100, targets, 50)) == users


@pytest.mark.parametrize(("longest", "length"), [(1, 10), (20, 20), (21, 50), (5000, 200)])
def test_the_length_holds_most_histories(longest: int, length: int) -> None:
    conf = settings.load_conf(sets=AUTO)
    model, _ = resolved(conf.model, conf.train, DataSize(1000, 100, 4000, longest))
    assert model.max_length == length


def test_only_what_says_auto_is_derived(tmp_path: Path) -> None:
    conf = settings.load_conf(sets=["train.loss=auto", "model.dropout=0.3"])
    assert (conf.train.derived, conf.model.derived) == (("loss",), ())
    model, train = resolved(conf.model, conf.train, DataSize(1000, 100_000, 4000, 30))
    assert (train.loss, train.batch_users, train.derived) == ("sampled_softmax", conf.train.batch_users, ())
    assert model == conf.model
    file = write_sequences(tmp_path / "part", [["a", "b"]])
    assert settled(conf.model, conf.train, [file], Vocabulary(("a", "b")))[1].loss == "softmax"


def test_a_recipe_without_auto_reads_nothing() -> None:
    conf = settings.load_conf()
    assert settled(conf.model, conf.train, ["no such file"], Vocabulary(())) == (conf.model, conf.train)


def test_precision_follows_from_the_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    conf = settings.load_conf(sets=["train.precision=auto"])
    for able, precision in (({"avx512_bf16": True}, "bfloat16"), ({"bf16": True}, "bfloat16"), ({}, "float32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda able=able: able)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        _, train = resolved(conf.model, conf.train, DataSize(1000, 100, 4000, 30))
        assert train.precision == precision


def test_auto_is_no_value_of_other_keys() -> None:
    with pytest.raises(BadInput, match=r"model\.width"):
        settings.load_conf(sets=["model.width=auto"])
