"""The models by name. A new one is a file here, a line in `MODELS` and a name in `settings.Model`."""

from __future__ import annotations

from collections.abc import Callable

from nightjar import settings
from nightjar.contracts import BadInput
from nightjar.learn.models.bert4rec import Bert4Rec
from nightjar.learn.models.esasrec import ESasRec
from nightjar.learn.models.gru import Gru
from nightjar.learn.models.hstu import Hstu
from nightjar.learn.models.lstm import Lstm
from nightjar.learn.models.sasrec import SasRec
from nightjar.learn.models.sequence_model import SequenceModel

MODELS: dict[str, Callable[[settings.Model, int], SequenceModel]] = {
    "sasrec": SasRec,
    "esasrec": ESasRec,
    "bert4rec": Bert4Rec,
    "hstu": Hstu,
    "gru": Gru,
    "lstm": Lstm,
}


def build(conf: settings.Model, num_items: int) -> SequenceModel:
    """A model with fresh weights; `num_items` does not count padding."""
    if conf.width % conf.num_heads:
        raise BadInput(
            f"model.width {conf.width} cannot be shared by {conf.num_heads} heads",
            "choose model.num_heads so that it divides model.width",
        )
    if conf.time_bias and conf.name != "hstu":
        raise BadInput(f"model {conf.name} has no time bias", "set model.time_bias=false, or model.name=hstu")
    return MODELS[conf.name](conf, num_items)


__all__ = ["MODELS", "SequenceModel", "build"]
