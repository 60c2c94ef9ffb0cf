"""Who sees no model, so that the others can be compared with them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nightjar.learn.draws import lots


def held_out(user_ids: pa.Array, share: float, salt: str) -> NDArray[np.bool_]:
    """Draw people by a hash of their pseudonym: the same ones every night, whoever else is there.

    Args:
        share: of people, on average.
        salt: another one draws other people, independently.
    """
    if share == 0:
        return np.zeros(len(user_ids), np.bool_)
    return np.asarray(lots(user_ids, salt) < share)
