"""Columns of voice activity, and where a clip has speech by them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from storage.records import Features

VOICE_ACTIVITY = "voice_activity"
SPEECH_COLUMNS = ("speech_probability", "is_speech")


def speech_intervals(activity: Features) -> npt.NDArray[np.float64]:
    """Seconds of speech of a clip, whether its rows are windows or segments.

    Args:
        activity: Voice activity of the clip, with `SPEECH_COLUMNS`.

    Returns:
        (K, 2) starts and ends in order, no two touching.
    """
    rows = activity.times[activity.valid & (activity.values[:, SPEECH_COLUMNS.index("is_speech")] == 1)]
    if not len(rows):
        return np.empty((0, 2))
    begins = np.flatnonzero(np.r_[True, rows[1:, 0] - rows[:-1, 1] > 1e-9])
    return np.stack([rows[begins, 0], rows[np.r_[begins[1:] - 1, len(rows) - 1], 1]], axis=1)
