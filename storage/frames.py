"""Features as tables of pandas: rows by their times, columns by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

    from storage.records import Features


def to_frame(features: Features) -> pd.DataFrame:
    """Rows with the index (start, end) as time from the clip's start, columns by name; NaN where not valid.

    Args:
        features: What was extracted.
    """
    import pandas as pd

    start, end = (pd.to_timedelta(seconds, unit="s") for seconds in features.times.T)
    index = pd.MultiIndex.from_arrays([start, end], names=["start", "end"])
    width = features.values.shape[1]
    named = len(features.columns) == width
    return pd.DataFrame(features.values, index=index, columns=list(features.columns) if named else range(width))


def utterance_frame(rows: dict[str, Features], columns: tuple[str, ...]) -> pd.DataFrame:
    """One row per clip, with the index `clip`.

    Args:
        rows: The features of each clip, one row each.
        columns: Names of the columns.
    """
    import pandas as pd

    values = [features.values for features in rows.values()]
    stacked = np.concatenate(values) if values else np.empty((0, len(columns)), np.float32)
    return pd.DataFrame(stacked, index=pd.Index(list(rows), name="clip"), columns=list(columns))
