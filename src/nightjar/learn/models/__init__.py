"""The models by name. A new one is a file here, a line in `MODELS` and a name in `settings.Model`."""

from __future__ import annotations

from collections.abc import Callable

from nightjar import settings
from nightjar.contracts import BadInput
from nightjar.learn.models.gru import Gru
from nightjar.learn.models.sasrec import SasRec
from nightjar.learn.models.sequence_model import SequenceModel

MODELS: dict[str, Callable[[settings.Model, int], SequenceModel]] = {"sasrec": SasRec, "gru": Gru}


def build(conf: settings.Model, num_items: int) -> SequenceModel:
    """A model with fresh weights; `num_items` does not count padding."""
    if conf.width % conf.num_heads:
        raise BadInput(
            f"model.width {conf.width} cannot be shared by {conf.num_heads} heads",
            "choose model.num_heads so that it divides model.width",
        )
    return MODELS[conf.name](conf, num_items)


__all__ = ["MODELS", "Gru", "SasRec", "SequenceModel", "build"]
