"""Who sees no model, so that the others can be compared with them."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def held_out(user_ids: pa.Array, share: float, salt: str) -> NDArray[np.bool_]:
    """Draw people by a hash of their pseudonym: the same ones every night, whoever else is there.

    Args:
        share: of people, on average.
        salt: another one draws other people, independently.
    """
    if share == 0:
        return np.zeros(len(user_ids), np.bool_)
    keyed = (f"{salt}\0{user}".encode() for user in user_ids.to_pylist())
    drawn = np.frombuffer(b"".join(blake2b(one, digest_size=8).digest() for one in keyed), ">u8")
    return np.asarray(drawn / 2.0**64 < share)
