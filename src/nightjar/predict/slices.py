"""Groups of people that a score is looked at in: by platform, and by how active somebody was of late.

Legend: B people.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nightjar.predict.task import numbers

Flags = NDArray[np.bool_]


def slices(features: pa.Table) -> dict[str, Flags]:
    """Slice -> who belongs to it; everybody is in one of each kind, slices without people are left out.

    Activity is cut where thirds of these people would be, by visits of four weeks: ties stay together.
    """
    platforms = features.column("last_platform")
    found = {
        f"platform {name}": np.asarray(pc.equal(platforms, name))
        for name in sorted(pc.unique(platforms.drop_null()).to_pylist())
    }
    visits_B = numbers(features, "num_sessions_28d")
    low = -1
    for cut in np.unique(np.quantile(visits_B, [1 / 3, 2 / 3, 1], method="higher")) if len(visits_B) else []:
        high = int(cut)
        name = f"{high}" if high == low + 1 else f"{low + 1} to {high}"
        found[f"{name} visits in four weeks"] = (visits_B > low) & (visits_B <= high)
        low = high
    return {name: members_B for name, members_B in found.items() if members_B.any()}
