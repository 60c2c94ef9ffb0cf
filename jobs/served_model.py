"""The registered model as MLflow loads it: histories in, ranked items out.

MLflow stores this file beside the weights and runs it whenever the model is loaded, so that nothing
is pickled. It ranks all items by the model alone; the night's rules (seen, unavailable, fallback)
belong to scoring.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow.pyfunc
import pandas as pd
from mlflow.models import set_model


class ServedModel(mlflow.pyfunc.PythonModel):
    """Input: a frame with `item_ids`, oldest first. Output: `item_ids`, best first, and their `scores`.

    Items that the model does not know are passed over; a history without any known item gets an empty list.
    """

    def load_context(self, context) -> None:  # type: ignore[no-untyped-def]
        from nightjar.learn.checkpoint import load_model

        self.loaded = load_model(Path(context.artifacts["model.json"]).parent)

    def predict(  # type: ignore[no-untyped-def]
        self, context, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        k = int((params or {}).get("k", 20))
        rows = [self._ranked([str(item) for item in item_ids], k) for item_ids in model_input["item_ids"]]
        return pd.DataFrame(rows, columns=["item_ids", "scores"])

    def _ranked(self, item_ids: list[str], k: int) -> tuple[list[str], list[float]]:
        import pyarrow as pa
        import torch

        from nightjar.learn.batch import Batch

        model, conf, vocabulary = self.loaded
        indices = vocabulary.encode(pa.array(item_ids, pa.string()))
        indices = indices[indices > 0][-conf.max_length :]
        if not len(indices):
            return [], []
        items_BL = torch.from_numpy(indices)[None]
        zeros_BL = torch.zeros_like(items_BL)
        with torch.inference_mode():
            states_BLD = model.encode(Batch(items_BL, zeros_BL, zeros_BL, torch.tensor([len(indices)])))
            best: Any = (model.item_table()[1:] @ states_BLD[0, -1]).topk(min(k, vocabulary.size))
        return vocabulary.decode(best.indices.numpy() + 1).to_pylist(), best.values.tolist()


set_model(ServedModel())
