"""Yes or no about people, from the states of a sequence model: one encoder, one small head per question.

The encoder comes pre-trained (next items, or masked items and next sessions) and is frozen or learns on at a rate of
its own; with fresh weights the same code is the from-scratch contender. Fine-tuning as in BERT
(https://arxiv.org/abs/1810.04805), several questions at once as in Caruana 1997
(https://doi.org/10.1023/A:1007379606734): a person who has no answer to one of them still teaches the others.

Legend: B = people, L = entries, D = width, T = questions, S = what is read of a history.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from nightjar.learn.batch import Batch
from nightjar.learn.histories import Histories
from nightjar.learn.models import SequenceModel

Answers = NDArray[np.float64]

#: Numbers beside the states: how long ago the latest entry was, how many entries there are.
_NUM_FACTS = 2

_DAY_SECONDS = 86_400


class People(NamedTuple):
    """Histories as of an instant, with what became of them."""

    histories: Histories
    instants_B: NDArray[np.int64]  #: seconds since 1970-01-01 UTC that each history looks back from
    answers_BT: Answers  #: 1, 0, or not a number where nobody can say

    def take(self, which: NDArray[np.int64]) -> People:
        return People(self.histories.take(which), self.instants_B[which], self.answers_BT[which])


@dataclass(frozen=True)
class Lesson:
    """How heads are fitted; rates are AdamW's."""

    epochs: int
    batch_people: int
    head_rate: float
    encoder_rate: float  #: 0 leaves the encoder as it is
    weight_decay: float = 0.01
    patience: int = 2  #: epochs without a lower loss on the tuning people


class Heads(nn.Module):
    """An encoder, a layer that all questions share, and a linear head each.

    The layer reads the latest state, the mean of all, and two facts. Only states are normalised: the facts' size tells.
    """

    def __init__(self, encoder: SequenceModel, num_questions: int) -> None:
        super().__init__()
        width = encoder.conf.width
        self.encoder = encoder
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(2))
        self.shared = nn.Linear(2 * width + _NUM_FACTS, width)
        self.heads = nn.Linear(width, num_questions)
        nn.init.zeros_(self.heads.weight)  # the first answer to every question is its base rate
        nn.init.zeros_(self.heads.bias)

    def forward(self, batch: Batch, instants_B: Tensor) -> Tensor:
        """logits_BT; of who has no entry, the same for all of them."""
        logits_BT: Tensor = self.heads(F.gelu(self.shared(self.read(batch, instants_B))))
        return logits_BT

    @property
    def own(self) -> list[nn.Parameter]:
        """What is not the encoder's."""
        return [one for layer in (self.norms, self.shared, self.heads) for one in layer.parameters()]

    def read(self, batch: Batch, instants_B: Tensor) -> Tensor:
        """What the shared layer reads, shape (B, S)."""
        states_BLD, real_BL = self.encoder.encode(batch), batch.real_BL
        last_B = (batch.lengths_B - 1).clamp(min=0)
        people_B = torch.arange(len(last_B), device=last_B.device)
        known_B1 = (batch.lengths_B > 0)[:, None]
        latest_BD = states_BLD[people_B, last_B] * known_B1
        mean_BD = (states_BLD * real_BL[:, :, None]).sum(1) / batch.lengths_B.clamp(min=1)[:, None]
        silent_B = (instants_B - batch.times_BL[people_B, last_B]).clamp(min=0) / _DAY_SECONDS
        facts_B2 = torch.stack([torch.log1p(silent_B), torch.log1p(batch.lengths_B)], dim=1).to(states_BLD.dtype)
        states = [norm(part_BD) for norm, part_BD in zip(self.norms, (latest_BD, mean_BD), strict=True)]
        return torch.cat([*states, facts_B2 * known_B1], dim=1)


def fit(model: Heads, known: People, tuning: People, lesson: Lesson, *, seed: int) -> list[float]:
    """Teach all questions at once; the model ends with the weights of its best epoch.

    The loss is the mean over answers, each question weighing the same, whatever the number of its answers.

    Returns:
        The loss on the tuning people before the first epoch and after each.
    """
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    weights_T = torch.from_numpy(_weights(known.answers_BT))
    with torch.no_grad():
        model.heads.bias.copy_(torch.from_numpy(_base_rates(known.answers_BT)).to(model.heads.bias.dtype))
    groups = [{"params": model.own, "lr": lesson.head_rate}]
    model.encoder.requires_grad_(lesson.encoder_rate > 0)
    if lesson.encoder_rate > 0:
        groups.append({"params": list(model.encoder.parameters()), "lr": lesson.encoder_rate})
    optimizer = torch.optim.AdamW(groups, weight_decay=lesson.weight_decay)
    losses, best, kept = [_loss_on(model, tuning, weights_T, lesson)], 0, copy.deepcopy(model.state_dict())
    for epoch in range(1, lesson.epochs + 1):
        model.train()
        for people in _batches(known, lesson.batch_people, random):
            optimizer.zero_grad(set_to_none=True)
            _loss(model, people, weights_T).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        losses.append(_loss_on(model, tuning, weights_T, lesson))
        if losses[-1] < losses[best]:
            best, kept = epoch, copy.deepcopy(model.state_dict())
        elif epoch - best >= lesson.patience:
            break
    model.load_state_dict(kept)
    model.eval()
    return losses


@torch.no_grad()
def predict(model: Heads, histories: Histories, instants_B: NDArray[np.int64], *, batch_people: int = 1024) -> Answers:
    """Probabilities of a yes, shape (people, questions), in the order of `histories`."""
    model.eval()
    found_BT = np.empty((len(histories), model.heads.out_features))
    for which in _by_length(histories, batch_people):
        batch = histories.take(which).batch(model.encoder.conf.max_length)
        logits_BT = model(batch, torch.from_numpy(instants_B[which]))
        found_BT[which] = torch.sigmoid(logits_BT).double().numpy()
    return found_BT


def _batches(people: People, size: int, random: np.random.Generator) -> Iterator[People]:
    """Everybody once, like lengths together, batches in random order."""
    chunks = list(_by_length(people.histories, size, random))
    for number in random.permutation(len(chunks)):
        yield people.take(chunks[number])


def _by_length(
    histories: Histories, size: int, random: np.random.Generator | None = None
) -> Iterator[NDArray[np.int64]]:
    order = np.arange(len(histories)) if random is None else random.permutation(len(histories))
    order = order[np.argsort(histories.lengths[order], kind="stable")]
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _loss(model: Heads, people: People, weights_T: Tensor) -> Tensor:
    """Mean over the answers of a batch, weighed by question."""
    total, weight = _summed(model, people, weights_T)
    return total / weight.clamp(min=1e-9)


@torch.no_grad()
def _loss_on(model: Heads, people: People, weights_T: Tensor, lesson: Lesson) -> float:
    model.eval()
    total = weight = 0.0
    for which in _by_length(people.histories, lesson.batch_people):
        some, of = _summed(model, people.take(which), weights_T)
        total, weight = total + some.item(), weight + of.item()
    return total / weight if weight else math.nan


def _summed(model: Heads, people: People, weights_T: Tensor) -> tuple[Tensor, Tensor]:
    batch = people.histories.batch(model.encoder.conf.max_length)
    answers_BT = torch.from_numpy(people.answers_BT)
    known_BT = ~torch.isnan(answers_BT)
    logits_BT = model(batch, torch.from_numpy(people.instants_B)).double()
    losses_BT = F.binary_cross_entropy_with_logits(logits_BT, torch.nan_to_num(answers_BT), reduction="none")
    weights_BT = known_BT * weights_T
    return (losses_BT * weights_BT).sum(), weights_BT.sum()


def _weights(answers_BT: Answers) -> Answers:
    """So that each question's answers weigh as much as another's, 1 an answer on average."""
    counts_T = (~np.isnan(answers_BT)).sum(0)
    asked = max(1, int((counts_T > 0).sum()))
    weights_T: Answers = np.where(counts_T > 0, counts_T.sum() / asked / np.maximum(counts_T, 1), 0.0)
    return weights_T


def _base_rates(answers_BT: Answers) -> Answers:
    """Log-odds of a yes to each question; 0 where nobody answered."""
    counts_T, yes_T = (~np.isnan(answers_BT)).sum(0), np.nansum(answers_BT, 0)
    rates_T = (yes_T + 0.5) / (counts_T + 1)
    found_T: Answers = np.log(rates_T / (1 - rates_T))
    return found_T
