"""People by lot: the same ones every night, whoever else is there."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def lots(user_ids: pa.Array | pa.ChunkedArray, salt: str) -> NDArray[np.float64]:
    """Each person's number from 0 to below 1, even over people, by a hash of their pseudonym.

    Those below a share are that share of people, and a part of those below a larger one.

    Args:
        salt: another one draws independently.
    """
    keyed = (f"{salt}\0{user}".encode() for user in user_ids.to_pylist())
    drawn = np.frombuffer(b"".join(blake2b(one, digest_size=8).digest() for one in keyed), ">u8")
    return np.asarray(drawn / 2.0**64)
