"""Why somebody is scored as they are: the aggregates that raised the score most.

Legend: B = people, F = columns.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from nightjar.predict.bundle import Fitted
from nightjar.predict.contest import ENCODER, RULE

#: Reasons of a person at most.
NAMED = 3

#: What stands for the encoder, which reads the history itself, and for the rule.
HISTORY, BY_RULE = "history", "rule"


def reasons(fitted: Fitted, features: pa.Table) -> pa.ListArray:
    """The columns with the largest effect upwards (Shapley values), strongest first; none where all fall.

    Where the encoder decides alone its reason is the history, where the rule does the rule.
    """
    if fitted.serving in (RULE, ENCODER):
        word = BY_RULE if fitted.serving == RULE else HISTORY
        return pa.array([[word]] * features.num_rows, pa.list_(pa.string()))
    moved_BF = fitted.trees.contributions(fitted.columns.matrix(features))
    order_BF = np.argsort(-moved_BF, axis=1, kind="stable")[:, :NAMED]
    raised_BF = np.take_along_axis(moved_BF, order_BF, axis=1) > 0
    names = pa.array(fitted.columns.names, pa.string())
    offsets = np.concatenate([[0], np.cumsum(raised_BF.sum(1))]).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), names.take(pa.array(order_BF[raised_BF])))
