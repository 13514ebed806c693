"""Features as plain arrays, for readers that know no masks."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from storage.records import Features


def pooled(features: Features) -> npt.NDArray[np.float32] | None:
    """(D,) float32 mean of the valid rows, summed in float64; None if there are none."""
    valid = features.values if features.valid.all() else features.values[features.valid]  # most need no copy
    if not len(valid):
        return None
    mean: npt.NDArray[np.float32] = valid.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean


def filled(features: Features) -> npt.NDArray[np.float32]:
    """(T, D) float32 values, 0 in rows that are not valid; in place where they may be written to, to hold them once."""
    values = features.values if features.values.flags.writeable else features.values.copy()
    values[~features.valid] = 0
    return values
