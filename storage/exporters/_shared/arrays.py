"""Features as plain arrays, for readers that know no masks."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from configs.errors import RunError
from configs.plugins import Section
from storage.records import Features

Dtype = Literal["float32", "float16"]


class Precision(Section):
    """How exact exported numbers are.

    Attributes:
        dtype: Type of the values: float32 as stored, or float16, half the size and some three digits.
    """

    dtype: Dtype = "float32"


def as_dtype(values: npt.NDArray[np.float32], dtype: Dtype, where: str) -> npt.NDArray[np.floating[Any]]:
    """Values in the type that an export is to have.

    Args:
        values: Finite numbers, or NaN where there is nothing.
        dtype: The type.
        where: What they are, for the message.

    Raises:
        RunError: If one is too large for it.
    """
    if dtype == "float32":
        return values
    largest = float(np.nanmax(np.abs(values), initial=0.0))
    if largest > float(np.finfo(np.float16).max):
        raise RunError(f"{where}: {largest:g} is too large for float16 (65504 at most); leave out --opt dtype=float16")
    return values.astype(np.float16)


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
