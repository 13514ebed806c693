"""Arrays of features as tables of pandas: rows by their times, columns by name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import pandas as pd


def to_frame(values: npt.NDArray[np.float32], times: npt.NDArray[np.float64], columns: tuple[str, ...]) -> pd.DataFrame:
    """Rows with the index (start, end) as time from the clip's start, columns by name.

    Args:
        values: (T, D) numbers.
        times: (T, 2) seconds.
        columns: Names of the D columns; they are numbered where these are not known.
    """
    import pandas as pd

    start, end = (pd.to_timedelta(seconds, unit="s") for seconds in times.T)
    index = pd.MultiIndex.from_arrays([start, end], names=["start", "end"])
    width = values.shape[1]
    return pd.DataFrame(values, index=index, columns=list(columns) if len(columns) == width else range(width))


def utterance_frame(
    ids: Sequence[str], values: Sequence[npt.NDArray[np.float32]], columns: tuple[str, ...]
) -> pd.DataFrame:
    """One row per clip, with the index `clip`.

    Args:
        ids: The clips.
        values: (1, D) numbers of each.
        columns: Names of the D columns.
    """
    import pandas as pd

    stacked = np.concatenate(values) if values else np.empty((0, len(columns)), np.float32)
    return pd.DataFrame(stacked, index=pd.Index(list(ids), name="clip"), columns=list(columns))
