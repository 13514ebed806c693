"""Column layouts of visual features that are made of OpenFace's columns, by name of preset.

OpenFace 2.2 writes `frame, face_id, timestamp, confidence, success` and then blocks that flags switch on and off.
IndoMER's 673 columns are, most likely, all blocks but the shape parameters and four of the five leading ones; which
four is not known. No file of IndoMER's was ever published, so both layouts are provisional.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from storage.records import Features

_INTENSITIES = tuple(f"AU{n:02d}" for n in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45))
_PRESENCES = (*_INTENSITIES[:-1], "AU28", "AU45")


def _points(stem: str, axes: str, count: int) -> list[str]:
    return [f"{stem}{axis}_{i}" for axis in axes for i in range(count)]


BLOCKS: tuple[str, ...] = (
    *(f"gaze_{eye}_{axis}" for eye in "01" for axis in "xyz"),
    *("gaze_angle_x", "gaze_angle_y"),
    *_points("eye_lmk_", "xy", 56),
    *_points("eye_lmk_", "XYZ", 56),
    *(f"pose_{kind}{axis}" for kind in "TR" for axis in "xyz"),
    *_points("", "xy", 68),
    *_points("", "XYZ", 68),
    *(f"{au}_r" for au in _INTENSITIES),
    *(f"{au}_c" for au in _PRESENCES),
)

# How the leading columns come about: OpenFace's tracker is not there to ask.
LEADING: dict[str, str] = {
    "frame": "number of the row, from 1",
    "face_id": "0: one face per clip",
    "timestamp": "start of the row, seconds",
    "confidence": "1 where the feature has values, else 0",
    "success": "1 where the feature has values, else 0",
}

# The leading columns of each preset; `BLOCKS` follow.
PRESETS: dict[str, tuple[str, ...]] = {
    "indomer-673-h1a": ("face_id", "timestamp", "confidence", "success"),
    "indomer-673-h1b": ("frame", "timestamp", "confidence", "success"),
}


def leading_column(name: str, features: Features) -> npt.NDArray[np.float32]:
    """(T,) float32 values of one of the `LEADING` columns."""
    n_rows = len(features.valid)
    made = {
        "frame": np.arange(1, n_rows + 1),
        "face_id": np.zeros(n_rows),
        "timestamp": features.times[:, 0],
        "confidence": features.valid,
        "success": features.valid,
    }
    return made[name].astype(np.float32)
