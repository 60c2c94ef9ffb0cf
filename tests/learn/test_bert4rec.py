"""What BERT4Rec does before it becomes a model of the next item."""

from __future__ import annotations

import pytest
import torch

from nightjar import settings
from nightjar.contracts import BadInput
from nightjar.learn.batch import Batch
from nightjar.learn.losses import full_softmax_loss
from nightjar.learn.models import build
from nightjar.learn.models.bert4rec import Bert4Rec, hidden_entries, session_pairs


def batch_of(*sessions: list[list[int]]) -> Batch:
    """A history is a list of sessions, a session a list of items."""
    rows = [[(item, 1 + number) for number, items in enumerate(history) for item in items] for history in sessions]
    width = max(map(len, rows))
    grids = torch.tensor([[*row, *[(0, 0)] * (width - len(row))] for row in rows])
    items, ordinals = grids[:, :, 0], grids[:, :, 1]
    lengths = torch.tensor([len(row) for row in rows])
    return Batch(items, (items > 0).long(), items * 0, lengths, sessions_BL=ordinals)


def model_of(**changes: object) -> Bert4Rec:
    values = {"name": "bert4rec", "width": 16, "num_blocks": 2, "num_heads": 2, "max_length": 8, "dropout": 0.0}
    model = build(settings.Model.model_validate({**values, **changes}), 20)
    assert isinstance(model, Bert4Rec)
    return model


def test_hidden_entries_are_a_share_of_real_ones_and_at_least_one_of_each_history() -> None:
    torch.manual_seed(1)
    lengths = torch.randint(1, 51, (2000,))
    grid = (torch.arange(50) < lengths[:, None]).long()
    batch = Batch(grid, grid, grid, lengths)
    hidden = hidden_entries(batch, 0.2)
    assert not hidden[grid == 0].any()
    assert hidden.any(1).all()
    assert hidden[lengths > 20].sum() / grid[lengths > 20].sum() == pytest.approx(0.2, abs=0.01)


def test_session_pairs_swap_whole_last_sessions() -> None:
    """The second history lends its last session to the third, and so on round; each coin both ways."""
    batch = batch_of([[1, 2], [3]], [[4], [5, 6]], [[7, 8, 9]])
    own = [[1, 2, 3], [4, 5, 6], [7, 8, 9]]
    swapped = [[1, 2, 7], [4, 3, 0], [5, 6, 0]]
    seen = set()
    for seed in range(30):
        torch.manual_seed(seed)
        pairs = session_pairs(batch)
        for row, genuine in enumerate(pairs.genuine_B.tolist()):
            assert pairs.batch.items_BL[row].tolist() == (own if genuine else swapped)[row]
            assert pairs.batch.lengths_B[row] == sum(item > 0 for item in pairs.batch.items_BL[row].tolist())
            seen.add((row, genuine))
        assert pairs.asked_B.tolist() == [True, True, False], "one session alone follows on nothing"
    assert len(seen) == 6


def test_states_of_pretraining_read_both_sides_and_no_padding() -> None:
    torch.manual_seed(1)
    model, batch = model_of(), batch_of([[1, 2, 3]], [[4, 5, 6, 7, 8]])
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        states = model.both_ways(batch)
        other = model.both_ways(batch._replace(items_BL=batch.items_BL.index_fill(1, torch.tensor([4]), 9)))
        causal = model.encode(batch)
    torch.testing.assert_close(states[0, :3], other[0, :3], msg="padding was read")
    assert (states[1, 0] - other[1, 0]).abs().max() > 1e-4, "the first entry does not see the last"
    assert (states[1, 0] - causal[1, 0]).abs().max() > 1e-4


def test_it_learns_what_is_hidden_and_which_session_follows() -> None:
    """Items 1-4 go with 5-8 in the next session, 11-14 with 15-18: both answers can be known."""
    torch.manual_seed(1)
    model = model_of()
    histories = [[[a, a + 1, a + 2], [a + 4, a + 5, a + 6]] for a in (1, 11, 2, 12) for _ in range(8)]
    order = torch.randperm(len(histories)).tolist()
    batch = batch_of(*(histories[number] for number in order))
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    losses = []
    for _ in range(200):
        loss = model.pretraining_loss(batch, full_softmax_loss, 0.2) / int(batch.lengths_B.sum())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-20:]) < 0.3 * sum(losses[:20])
    pairs = session_pairs(batch)
    with torch.no_grad():
        states = model.both_ways(pairs.batch, second_BL=pairs.second_BL)
        real = pairs.batch.real_BL[:, :, None]
        says = model.follows((states * real).sum(1) / real.sum(1))[:, 0] > 0
    own_kind = (pairs.batch.items_BL[:, 0] > 10) == (pairs.batch.items_BL[:, 4] > 10)
    told_apart = pairs.genuine_B | ~own_kind  # a session of one's own kind may well follow
    assert (says == pairs.genuine_B)[told_apart].float().mean() > 0.9


def test_without_sessions_only_items_are_asked_for() -> None:
    torch.manual_seed(1)
    batch = batch_of([[1, 2], [3]], [[4], [5, 6]])._replace(sessions_BL=None)
    model = model_of()
    model.pretraining_loss(batch, full_softmax_loss, 0.5).backward()
    assert model.follows.weight.grad is None


def test_other_models_have_no_tasks() -> None:
    model = build(settings.Model(name="sasrec", width=8, num_blocks=1, num_heads=1, max_length=4, dropout=0.0), 9)
    with pytest.raises(BadInput, match=r"sasrec has no tasks to pre-train on"):
        model.pretraining_loss(batch_of([[1, 2]]), full_softmax_loss, 0.2)
