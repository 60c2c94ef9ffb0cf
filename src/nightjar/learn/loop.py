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
from nightjar.learn.average import Average
from nightjar.learn.checkpoint import Checkpoint, Progress
from nightjar.learn.dataset import Examples, TrainingSet
from nightjar.learn.layout import Layout
from nightjar.learn.models import SequenceModel
from nightjar.learn.objective import Objective, item_embedding
from nightjar.learn.optimizer import RowAdamW
from nightjar.learn.parallel import Group
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
        save: called on every rank every `conf.checkpoint_every_steps` steps and after each epoch; of a model
            that is split over the processes the first rank gets the whole.

    Raises:
        BadInput: the loss is no longer a finite number.
    """
    model.train()
    objective = Objective.of(conf, data)
    objective.prepare(model)
    table = item_embedding(model).weight if objective.rows_only else None
    layout = Layout(model, conf, group, by_rows=table)
    gradients = layout.gradients
    optimizer = RowAdamW(model.parameters(), lr=conf.learning_rate, weight_decay=conf.weight_decay, fused=True)
    checkpoint = resume or Checkpoint(Progress(), {}, {})
    checkpoint.restore(model, optimizer)
    progress, best = checkpoint.progress, layout.laid_out(checkpoint.best)
    average = Average(model, conf.average_decay, layout.laid_out(checkpoint.average))

    def keep() -> None:
        save(Checkpoint.of(progress, model, optimizer, best, average.weights).gathered(group))

    while progress.epoch < conf.pretrain_epochs + conf.epochs and progress.stale_epochs < conf.patience_epochs:
        for examples in data.batches(progress.epoch, rank=group.rank, world=group.world, start=progress.step):
            _seed(conf.seed, progress, group.rank)
            gradients.clear()
            loss = gradients.summed(group, _backward(model, objective, examples.to(group.device), progress, layout))
            if not math.isfinite(loss):
                raise BadInput(f"the loss became {loss} at step {progress.num_steps}", "lower train.learning_rate")
            optimizer.step()
            progress = progress.after_step(loss, examples.num_targets)
            average.update(model, progress.num_steps)
            log(progress.num_steps, {"loss": loss})
            if progress.step % conf.checkpoint_every_steps == 0:
                keep()
        with average.in_place_of_latest(model):
            ndcg = None
            if progress.epoch >= conf.pretrain_epochs:
                with layout.whole_table():
                    asked = layout.together(data.validation(rank=group.rank, world=group.world))
                    ndcg = validation_ndcg(model, asked, group, without_seen=data.without_seen)
            log(progress.num_steps, progress.epoch_metrics(ndcg))
            if ndcg is None or progress.best_ndcg is None or ndcg > progress.best_ndcg:
                best = {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
        progress = progress.after_epoch(ndcg)
        keep()
    model.load_state_dict(best)
    return progress


def _backward(
    model: SequenceModel, objective: Objective, examples: Examples, progress: Progress, layout: Layout
) -> Tensor | None:
    """Add this share's part of the gradient of the mean loss over the global batch; None for an empty share.

    Where the model is split, an empty share goes through it too: the others wait for its part of the weights.
    """
    if not len(examples.targets_N) and not layout.split:
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
