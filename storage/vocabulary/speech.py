"""Columns of voice activity, and where a clip has speech by them."""

from __future__ import annotations

from typing import Any

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


def is_speech_at(times: npt.NDArray[Any], intervals: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """(T,) bool: which times lie in speech.

    Args:
        times: (T,) seconds, or samples.
        intervals: (K, 2) starts and ends of speech in the same unit, in order; the ends do not belong to it.
    """
    place = np.searchsorted(intervals[:, 0], times, side="right") - 1
    ends = np.append(intervals[:, 1], -np.inf)  # the last one stands for "before all speech"
    found: npt.NDArray[np.bool_] = times < ends[place]
    return found
