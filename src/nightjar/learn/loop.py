"""The training loop: the same for every model, one process or many, fresh or resumed.

Legend: B = users, L = entries, D = width, N = targets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from nightjar import settings
from nightjar.contracts import BadInput
from nightjar.learn.checkpoint import Checkpoint, Progress
from nightjar.learn.dataset import Examples, TrainingSet
from nightjar.learn.models import SequenceModel
from nightjar.learn.objective import Objective, item_embedding
from nightjar.learn.optimizer import RowAdamW
from nightjar.learn.parallel import FlatGradients, Group
from nightjar.learn.validation import validation_ndcg

Log = Callable[[int, dict[str, float]], None]
Save = Callable[[Checkpoint], None]


def train(
    model: SequenceModel,
    data: TrainingSet,
    conf: settings.Train,
    *,
    group: Group,
    log: Log,
    save: Save,
    resume: Checkpoint | None = None,
) -> Progress:
    """Train `model` in place until the epochs or the patience end; it leaves with the best epoch's weights.

    Without validation users there is nothing to choose by: all epochs run and the last one stays.
    A run resumed from any of its checkpoints ends with the same weights as one left alone, because
    batches and dropout are functions of (seed, epoch, step, rank).

    Args:
        log: called on every rank with the number of steps so far and metrics; `loss` is the mean
            over the step's targets, an epoch's end brings `epoch`, `epoch_loss`, `epoch_targets`
            and, with validation users, `val_ndcg@10`.
        save: called on every rank every `conf.checkpoint_every_steps` steps and after each epoch.

    Raises:
        BadInput: the loss is no longer a finite number.
    """
    model.to(group.device).train()
    group.copy_from_first(model.parameters())
    objective = Objective.of(conf, data)
    objective.prepare(model)
    optimizer = RowAdamW(model.parameters(), lr=conf.learning_rate, weight_decay=conf.weight_decay, fused=True)
    checkpoint = resume or Checkpoint(Progress(), {}, {})
    checkpoint.restore(model, optimizer)
    progress, best = checkpoint.progress, checkpoint.best
    table = item_embedding(model).weight if objective.rows_only else None
    gradients = FlatGradients(model.parameters(), group.device, by_rows=table)
    while progress.epoch < conf.pretrain_epochs + conf.epochs and progress.stale_epochs < conf.patience_epochs:
        for examples in data.batches(progress.epoch, rank=group.rank, world=group.world, start=progress.step):
            _seed(conf.seed, progress, group.rank)
            gradients.clear()
            loss = gradients.summed(group, _backward(model, objective, examples.to(group.device), progress))
            if not math.isfinite(loss):
                raise BadInput(f"the loss became {loss} at step {progress.num_steps}", "lower train.learning_rate")
            optimizer.step()
            progress = progress.after_step(loss, examples.num_targets)
            log(progress.num_steps, {"loss": loss})
            if progress.step % conf.checkpoint_every_steps == 0:
                save(Checkpoint.of(progress, model, optimizer, best))
        ndcg = None
        if progress.epoch >= conf.pretrain_epochs:
            ndcg = validation_ndcg(model, data.validation(rank=group.rank, world=group.world), group)
        log(progress.num_steps, progress.epoch_metrics(ndcg))
        if ndcg is None or progress.best_ndcg is None or ndcg > progress.best_ndcg:
            best = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        progress = progress.after_epoch(ndcg)
        save(Checkpoint.of(progress, model, optimizer, best))
    model.load_state_dict(best)
    return progress


def _backward(model: SequenceModel, objective: Objective, examples: Examples, progress: Progress) -> Tensor | None:
    """Add this share's part of the gradient of the mean loss over the global batch; None for an empty share."""
    if not len(examples.targets_N):
        return None
    conf = objective.conf
    item_loss = partial(objective, name=(conf.seed, progress.epoch, progress.step))
    if progress.epoch < conf.pretrain_epochs:
        total = model.pretraining_loss(examples.inputs, item_loss, conf.mask_share)
    else:
        states_ND = model.encode(examples.inputs)[examples.inputs.real_BL]
        total = item_loss(states_ND, model.item_table(), examples.targets_N)
    loss = total / examples.num_targets
    loss.backward()
    return loss


def _seed(seed: int, progress: Progress, rank: int) -> None:
    """Dropout of a step depends on its name only, so a resume has no generator to restore."""
    words = np.random.SeedSequence([seed, progress.epoch, progress.step, rank]).generate_state(2, np.uint32)
    torch.manual_seed(int(words[0]) << 32 | int(words[1]))
