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


def window_order(times: npt.NDArray[np.float64]) -> npt.NDArray[np.intp]:
    """Places of rows window by window, given rows of several windows that were sorted by start.

    Within a window each row begins where the one before ends; of equal rows the first belongs to the earlier window.

    Args:
        times: (T, 2) seconds, in order of start.
    """
    left, order = list(range(len(times))), []
    while left:
        at = left.pop(0)
        order.append(at)
        while (follower := next((i for i in left if times[i, 0] == times[at, 1]), None)) is not None:
            left.remove(follower)
            order.append(follower)
            at = follower
    return np.array(order, np.intp)


def filled(features: Features) -> npt.NDArray[np.float32]:
    """(T, D) float32 values, 0 in rows that are not valid; in place where they may be written to, to hold them once."""
    values = features.values if features.values.flags.writeable else features.values.copy()
    values[~features.valid] = 0
    return values
