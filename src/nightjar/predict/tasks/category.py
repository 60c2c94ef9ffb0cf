"""Of which category the next purchase is."""

from __future__ import annotations

import pyarrow as pa

from nightjar.predict.task import Flags, Multiclass
from nightjar.settings import Labels


def _has_a_taste(features: pa.Table, _: Labels) -> Flags:
    found: Flags = features.column("top_category").is_valid().to_numpy()
    return found


CATEGORY = Multiclass(
    name="next_category",
    doc="Category of the first item bought in the next `labels.horizon_days`, if any is.",
    label="next_category",
    serves=_has_a_taste,
    rule_doc="the most frequent category of what was viewed, put into the cart and bought",
    rule=lambda features: features.column("top_category"),
)
